/** What the checks of the package share: npm, an environment with node alone on PATH, projects to install into. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'

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
  const windows = process.platform === 'win32'
  const node = join(bin, windows ? 'node.exe' : 'node')
  // On Windows not everybody may make links.
  if (!existsSync(node)) (windows ? copyFileSync : symlinkSync)(process.execPath, node)
  const kept = Object.entries(process.env).filter(([name]) =>
    /^(HOME|USERPROFILE|APPDATA|LOCALAPPDATA|PATHEXT|ComSpec|TMPDIR|TEMP|TMP|SystemRoot|npm_config_.*|https?_proxy|no_proxy|NODE_EXTRA_CA_CERTS)$/i.test(
      name,
    ),
  )
  return { ...Object.fromEntries(kept), PATH: bin }
}

/** The sum of the sizes of a folder's files, in bytes. */
export function sizeOf(path) {
  const status = statSync(path)
  return status.isDirectory() ? readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0) : status.size
}

/** Debian's libdeflate-tools: what npm compresses, it compresses by another twenty-fifth, in the same format. */
const compressor = 'libdeflate-gzip'
let told = false

/** What a user of one platform may have to download, in MB; more where tarballs are as npm leaves them. */
export const mostDownloadMB = () => (spawnSync(compressor, ['-V']).error ? 2.08 : 2)

function compressFurther(tarball) {
  const { error, status, stdout } = spawnSync(compressor, ['-12', '-c'], {
    input: gunzipSync(readFileSync(tarball)),
    maxBuffer: 1 << 28,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  if (!error && status !== 0) throw new Error(`${compressor}: status ${status}`)
  if (error && !told) process.stderr.write(`without ${compressor} (Debian: libdeflate-tools) the tarballs are 4 % larger\n`)
  told ||= error !== undefined
  if (!error) writeFileSync(tarball, stdout)
}

/** Packs a folder as npm publishes it. */
export function packFolder(stage, folder) {
  const [packed] = JSON.parse(npm(['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: stage }).stdout)
  const { filename, unpackedSize, files } = packed
  const tarball = join(folder, filename)
  compressFurther(tarball)
  return { tarball, bytes: statSync(tarball).size, unpacked: unpackedSize, files: files.map(({ path }) => path) }
}

/** An empty project. */
export function emptyProject(folder, name) {
  const project = join(folder, name)
  rmSync(project, { recursive: true, force: true })
  mkdirSync(project, { recursive: true })
  writeFileSync(join(project, 'package.json'), '{ "name": "project", "version": "1.0.0", "private": true }\n')
  return project
}

/**
 * Installs the package into an empty project as users do, from the registry given; no script runs, and there is no compiler on PATH.
 * `flags` may name another platform than this one's.
 */
export function install(folder, registry, { name = 'project', flags = [] } = {}) {
  const project = emptyProject(folder, name)
  const start = performance.now()
  const env = { ...bareEnvironment(folder), npm_config_registry: registry, npm_config_cache: join(folder, 'npm-cache') }
  npm(['install', '--ignore-scripts', ...flags, 'wengert'], { cwd: project, env })
  return { project, seconds: (performance.now() - start) / 1000 }
}

/** The README's quick start, as printed. */
export function quickStart() {
  const code = /^## Quick start\n[\s\S]*?```js\n([\s\S]*?)```/m.exec(readFileSync(join(root, 'README.md'), 'utf8'))?.[1]
  if (!code) throw new Error('the README has no quick start')
  return code
}
