/**
 * A program that a bundler made of the installed package, as those for servers are: node bundled.mjs PROJECT. It has the JavaScript engine
 * inside, since nothing beside it can be read later.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { rolldown } from 'rolldown'
import { run } from './stage.mjs'

const project = process.argv[2]
const entry = join(project, 'bundled.mjs')
writeFileSync(
  entry,
  "import { backend, readTable, setBackend, tensor } from 'wengert'\nsetBackend('js')\nconsole.log(backend().name, tensor([1, 2]).add(1).toArray().join(), typeof readTable)\n",
)
const formats = ['esm', 'cjs']
for (const format of formats) {
  const dir = join(project, `bundled-${format}`)
  const build = await rolldown({ input: entry, platform: 'node', external: ['@viz-js/viz', 'tinypool', /^dayjs/, /^node:/] })
  await build.write({ dir, format, entryFileNames: format === 'cjs' ? '[name].cjs' : '[name].mjs' })
  await build.close()
  const { stdout } = run(process.execPath, [join(dir, format === 'cjs' ? 'bundled.cjs' : 'bundled.mjs')], { cwd: dir })
  if (stdout.trim() !== 'js 2,3 function') throw new Error(`${format}: expected the JavaScript engine's answer, got ${stdout}`)
}
console.log(formats.join(', '))
