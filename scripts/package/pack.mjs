/** The packages as they would be published: the library, compiled apart and bundled, and one package for each platform's binary. */
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { rolldown } from 'rolldown'
import { packPlatforms } from './platforms.mjs'
import { packFolder, root, run, tsc } from './stage.mjs'
import { bundleWeb, importedBy, whole } from './web.mjs'

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
 * Joins the compiled modules: what the library imports into one file, core.js, which index.js hands on and the commands share; some
 * two hundred small files take five times as long to import. What is left is the parser's time, hence short names; functions
 * and classes keep theirs, which stacks and messages show. The declarations stay as they are, and dependencies outside.
 */
async function bundle(dist) {
  const dependencies = Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies)
  const made = `${dist}.bundle`
  const entry = join(dist, 'index.js')
  const first = new Set()
  const build = await rolldown({
    input: { index: entry, 'cli/main': join(dist, 'cli', 'main.js') },
    platform: 'node',
    ...whole,
    external: (name) => dependencies.some((one) => name === one || name.startsWith(`${one}/`)) || name.startsWith('node:'),
    plugins: [importedBy(entry, first)],
  })
  await build.write({
    dir: made,
    format: 'esm',
    codeSplitting: { groups: [{ name: 'core', test: (id) => first.has(id) }] },
    chunkFileNames: ({ name }) => (name === 'core' ? 'core.js' : 'cli/[name].js'),
    minify: { compress: true, mangle: { keepNames: true }, codegen: { removeWhitespace: true } },
  })
  await build.close()
  await bundleWeb(dist, made)
  for (const file of declarations(['index', 'web', 'web/predict'].map((name) => join(dist, `${name}.d.ts`)))) {
    const to = join(made, relative(dist, file))
    mkdirSync(dirname(to), { recursive: true })
    cpSync(file, to)
  }
  rmSync(dist, { recursive: true })
  renameSync(made, dist)
}

/**
 * Packs all into `folder`. Binaries are those of `npm run binaries`; where there is none for this platform, that of
 * `npm run build:native` stands in. Gives the library's tarball, those of the platforms, and which binary this platform's is:
 * undefined where there is neither.
 */
export async function pack(folder) {
  const stage = join(folder, 'stage')
  mkdirSync(stage, { recursive: true })
  for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md']) cpSync(join(root, name), join(stage, name))
  run(process.execPath, [tsc, '-p', join(root, 'tsconfig.json'), '--outDir', join(stage, 'dist')])
  for (const name of ['bench', 'examples']) rmSync(join(stage, 'dist', name), { recursive: true, force: true })
  await bundle(join(stage, 'dist', 'lib'))
  const { version, ...manifest } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const platforms = packPlatforms(folder, version)
  const optionalDependencies = Object.fromEntries(platforms.map(({ name }) => [name, version]))
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify({ version, ...manifest, optionalDependencies }, null, 2)}\n`)
  const packed = packFolder(stage, folder)
  return { ...packed, platforms, binary: platforms.find(({ own }) => own)?.binary }
}
