/** Joins the compiled modules of the library into few files, as they are published. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { rolldown } from 'rolldown'
import { finish } from './letters.mjs'
import { root } from './stage.mjs'
import { bundleWeb, importedBy, replacing, whole } from './web.mjs'

/** By path in lib/, without extension: modules that are read later, and what stands for them until then. */
const later = {
  'backend/js/load': { by: 'package/js-engine' },
  ...Object.fromEntries(
    ['data/image-folder', 'distributed/init', 'io/csv-records', 'io/csv-shard', 'io/table-source', 'sweep/sweep', 'train/report'].map(
      (path) => [path, { by: 'package/later', except: 'package/later' }],
    ),
  ),
}

/** Declarations of which nobody imports a name: what they say is read in the sources. */
const inner = /^(plan\/(?!profile)|util\/(?!dtype|shape)|backend\/program)/

/** The declarations that those given speak of, and they themselves: half of what is compiled. */
function declarations(entries) {
  const found = new Set()
  const visit = (file) => {
    if (found.has(file)) return
    found.add(file)
    for (const [, name] of readFileSync(file, 'utf8').matchAll(/(?:\bfrom |\bimport |\bimport\()['"](\.[^'"]+)\.js['"]/g))
      visit(join(dirname(file), `${name}.d.ts`))
  }
  for (const entry of entries) visit(entry)
  return found
}

/**
 * What an import of the library takes into one file, core.js, which index.js hands on and the commands share; some two hundred small
 * files take five times as long to import. What is left is the parser's time, hence short names, and what few programs use in files of
 * their own; functions and classes keep their names, which stacks and messages show. The declarations stay as they are, and
 * dependencies outside.
 */
export async function bundle(dist) {
  const dependencies = Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies)
  const made = `${dist}.bundle`
  const entry = join(dist, 'index.js')
  const first = new Set()
  const build = await rolldown({
    input: {
      index: entry,
      'js-engine': join(dist, 'backend', 'js', 'engine.js'),
      'package/whole': join(dist, 'package', 'whole.js'),
      'later/worker': join(dist, 'sweep', 'worker.js'), // beside sweep.js, which names it
      'cli/main': join(dist, 'cli', 'main.js'),
    },
    platform: 'node',
    ...whole,
    external: (name) => dependencies.some((one) => name === one || name.startsWith(`${one}/`)) || name.startsWith('node:'),
    plugins: [replacing(later, dist), importedBy(entry, first)],
  })
  const ofCommands = (ids) => ids.every((id) => relative(dist, id).startsWith('cli'))
  await build.write({
    dir: made,
    format: 'esm',
    codeSplitting: { groups: [{ name: 'core', test: (id) => first.has(id) }] },
    chunkFileNames: ({ name, moduleIds }) => (name === 'core' ? 'core.js' : `${ofCommands(moduleIds) ? 'cli' : 'later'}/[name].js`),
    minify: { compress: true, mangle: { keepNames: true }, codegen: { removeWhitespace: true } },
  })
  await build.close()
  finish(made)
  await bundleWeb(dist, made)
  for (const file of declarations(['index', 'web', 'web/predict'].map((name) => join(dist, `${name}.d.ts`)))) {
    const to = join(made, relative(dist, file))
    mkdirSync(dirname(to), { recursive: true })
    const text = readFileSync(file, 'utf8')
    writeFileSync(to, inner.test(relative(dist, file)) ? text.replace(/^\s*\/\*\*[\s\S]*?\*\/\n/gm, '') : text)
  }
  rmSync(dist, { recursive: true })
  renameSync(made, dist)
}
