/** The package as it would be published: compiled apart, packed by npm, installed into an empty folder with node alone on PATH. */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { bundleWeb } from './web.mjs'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')

/** npm's own program, wherever node was installed. */
export function npmProgram() {
  const beside = resolve(dirname(process.execPath), '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js')
  const windows = join(dirname(process.execPath), 'node_modules', 'npm', 'bin', 'npm-cli.js')
  const places = [
    process.env.npm_execpath,
    beside,
    windows,
    '/usr/share/nodejs/npm/bin/npm-cli.js',
    '/usr/lib/node_modules/npm/bin/npm-cli.js',
  ]
  const program = places.find((path) => path?.endsWith('npm-cli.js') && existsSync(path))
  if (!program) throw new Error('npm-cli.js was not found: run this by npm')
  return program
}

/** Runs a program to its end, and throws with what it said where it failed. */
export function run(command, args, options = {}) {
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', timeout: 300_000, ...options })
  if (error) throw error
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: status ${status ?? signal}\n${stdout}${stderr}`.trimEnd())
  return { stdout, stderr }
}

export const npm = (args, options) => run(process.execPath, [npmProgram(), ...args, '--no-audit', '--no-fund', '--loglevel=error'], options)

/** An environment whose PATH holds node and nothing else, and in which nothing chooses an engine. */
export function bareEnvironment(folder) {
  const bin = join(folder, 'only-node')
  mkdirSync(bin, { recursive: true })
  if (!existsSync(join(bin, 'node'))) symlinkSync(process.execPath, join(bin, 'node'))
  const kept = Object.entries(process.env).filter(([name]) =>
    /^(HOME|TMPDIR|TEMP|SystemRoot|npm_config_.*|https?_proxy|no_proxy|NODE_EXTRA_CA_CERTS)$/i.test(name),
  )
  return { ...Object.fromEntries(kept), PATH: bin }
}

/** The sum of the sizes of a folder's files, in bytes. */
export function sizeOf(path) {
  const status = statSync(path)
  return status.isDirectory() ? readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0) : status.size
}

const glibc = () => process.platform === 'linux' && process.report.getReport().header.glibcVersionRuntime

/**
 * Joins the compiled modules into one file for the library and one for the command: a hundred and fifty small files take five
 * times as long to import, two that share a third some milliseconds more than one. What is left is the parser's time, hence
 * short names; functions and classes keep theirs, which stacks and messages show. The declarations stay as they are, and
 * dependencies outside.
 */
async function bundle(dist) {
  const dependencies = Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies)
  const made = `${dist}.bundle`
  for (const name of ['index', 'cli/main']) {
    const build = await rolldown({
      input: { [name]: join(dist, `${name}.js`) },
      platform: 'node',
      external: (name) => dependencies.includes(name) || name.startsWith('node:'),
    })
    const minify = { compress: true, mangle: { keepNames: true }, codegen: { removeWhitespace: true } }
    await build.write({ dir: made, format: 'esm', codeSplitting: false, minify })
    await build.close()
  }
  await bundleWeb(dist, made)
  cpSync(dist, made, { recursive: true, filter: (path) => statSync(path).isDirectory() || path.endsWith('.d.ts') })
  rmSync(dist, { recursive: true })
  renameSync(made, dist)
}

/**
 * Packs. Binaries are those of `npm run binaries`; where there are none for this platform, that of `npm run build:native`
 * stands in. Gives the tarball and which of the two it holds; undefined where there is neither.
 */
export async function pack(folder) {
  const stage = join(folder, 'stage')
  mkdirSync(stage, { recursive: true })
  for (const name of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'licences'])
    cpSync(join(root, name), join(stage, name), { recursive: true })
  run(process.execPath, [tsc, '-p', join(root, 'tsconfig.json'), '--outDir', join(stage, 'dist')])
  for (const name of ['bench', 'examples']) rmSync(join(stage, 'dist', name), { recursive: true, force: true })
  await bundle(join(stage, 'dist', 'lib'))
  const platform = `${process.platform}-${process.arch}`
  const released = existsSync(join(root, 'prebuilds', platform)) && readdirSync(join(root, 'prebuilds', platform)).length > 0
  const built = join(root, 'build', 'Release', 'wengert.node')
  if (existsSync(join(root, 'prebuilds'))) cpSync(join(root, 'prebuilds'), join(stage, 'prebuilds'), { recursive: true })
  if (!released && existsSync(built)) {
    const libc = process.platform === 'linux' ? `.${glibc() ? 'glibc' : 'musl'}` : ''
    cpSync(built, join(stage, 'prebuilds', platform, `wengert${libc}.node`))
  }
  const { stdout } = npm(['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: stage })
  const [packed] = JSON.parse(stdout)
  const binary = released ? 'released' : existsSync(built) ? 'of this machine' : undefined
  return {
    tarball: join(folder, packed.filename),
    bytes: packed.size,
    unpacked: packed.unpackedSize,
    files: packed.files.map(({ path }) => path),
    binary,
  }
}

/** Installs the tarball into an empty project as users do; no script runs, and there is no compiler on PATH. */
export function install(folder, tarball) {
  const project = join(folder, 'project')
  rmSync(project, { recursive: true, force: true })
  mkdirSync(project, { recursive: true })
  writeFileSync(join(project, 'package.json'), '{ "name": "project", "version": "1.0.0", "private": true }\n')
  const start = performance.now()
  npm(['install', '--ignore-scripts', '--prefer-offline', tarball], { cwd: project, env: bareEnvironment(folder) })
  return { project, seconds: (performance.now() - start) / 1000 }
}

/** The README's quick start, as printed. */
export function quickStart() {
  const code = /^## Quick start\n[\s\S]*?```js\n([\s\S]*?)```/m.exec(readFileSync(join(root, 'README.md'), 'utf8'))?.[1]
  if (!code) throw new Error('the README has no quick start')
  return code
}
