/**
 * Everything between a fresh clone and a run: packages, system tools, the addon, the compiled TypeScript. `npm start`,
 * `npm test` and `npm run bench` call it first. Plain Node, because nothing is installed yet when it starts.
 *
 * Each stage knows what it is made from and does nothing, silently, when that has not changed. It says so only after it
 * has succeeded, so a set-up that was killed is repaired by the next one. The addon is the one thing that may be missing:
 * then the JavaScript engine runs everything. Such a failure is remembered until the sources or the tools found change;
 * `node scripts/setup.mjs --retry` tries again at once.
 *
 * To add a system tool: a line in `tools`. To add a stage: a function in the list at the end, with its own freshness.
 */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const cache = join(root, '.cache', 'setup')
const addon = join(root, 'build', 'Release', 'wengert.node')
const windows = process.platform === 'win32'
const retry = process.argv.includes('--retry')
const say = (text) => process.stderr.write(text)

/** What the addon's build needs, how to see that it is there, and the packages that bring it. */
const tools = [
  {
    name: 'a C++ compiler',
    found: () => windows || ['c++', 'g++', 'clang++'].some(onPath),
    apt: ['g++'],
    dnf: ['gcc-c++', 'libstdc++-static'],
    brew: [],
  },
  { name: 'cmake', found: () => onPath('cmake'), apt: ['cmake'], dnf: ['cmake'], brew: ['cmake'] },
  { name: 'make', found: () => windows || ['make', 'ninja'].some(onPath), apt: ['make'], dnf: ['make'], brew: [] },
  {
    name: 'OpenBLAS',
    found: hasOpenBlas,
    apt: ['libopenblas-pthread-dev'],
    dnf: ['openblas-devel', 'openblas-static'],
    brew: ['openblas'],
  },
]

function onPath(name) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, windows ? `${name}.exe` : name), constants.X_OK)
      return folder !== ''
    } catch {
      return false
    }
  })
}

/** The static library, where the distributions and Homebrew put it. On Windows only CMake can tell. */
function hasOpenBlas() {
  if (windows) return true
  const triplets = existsSync('/usr/lib') ? readdirSync('/usr/lib').filter((name) => /-linux-/.test(name)) : []
  const folders = [
    ...(process.env.OPENBLAS_DIR ? [join(process.env.OPENBLAS_DIR, 'lib'), process.env.OPENBLAS_DIR] : []),
    ...triplets.flatMap((name) => ['openblas-pthread', 'openblas-serial', '.'].map((sub) => join('/usr/lib', name, sub))),
    ...['/usr/lib64', '/usr/lib', '/usr/local/lib', '/opt/homebrew/opt/openblas/lib', '/usr/local/opt/openblas/lib'],
  ]
  return folders.some((folder) => ['libopenblas.a', 'libopenblasp.a'].some((name) => existsSync(join(folder, name))))
}

const missingTools = () => tools.filter((tool) => !tool.found())

/** One line a file: path, time, size. Equal text means that nothing changed. `keep` chooses by name within folders. */
function fingerprint(paths, keep = () => true) {
  const lines = []
  const add = (path, wanted) => {
    const status = statSync(join(root, path), { throwIfNoEntry: false })
    if (status?.isDirectory()) for (const name of readdirSync(join(root, path))) add(join(path, name), keep(name))
    else if (status && wanted) lines.push(`${path} ${status.mtimeMs} ${status.size}`)
  }
  for (const path of paths) add(path, true)
  return lines.sort().join('\n')
}

function readStamp(name) {
  try {
    return JSON.parse(readFileSync(join(cache, `${name}.json`), 'utf8'))
  } catch {
    return undefined
  }
}

/** Whole or not at all: written beside, then renamed. */
function writeStamp(name, stamp) {
  const path = join(cache, `${name}.json`)
  writeFileSync(`${path}.${process.pid}`, JSON.stringify(stamp))
  renameSync(`${path}.${process.pid}`, path)
}

/** One set-up at a time: a file that holds the ids of the owner and of the command that it is running. */
const lock = join(cache, 'lock')
let locked = false
let child

function alive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

async function takeLock() {
  mkdirSync(cache, { recursive: true })
  for (let told = false; ; ) {
    try {
      const file = openSync(lock, 'wx')
      writeSync(file, `${process.pid}`)
      closeSync(file)
      locked = true
      return
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    try {
      const owners = readFileSync(lock, 'utf8').split(' ').map(Number).filter(Boolean)
      const young = Date.now() - statSync(lock).mtimeMs < 2000
      if (!owners.some(alive) && !(owners.length === 0 && young)) {
        rmSync(lock, { force: true })
        continue
      }
      if (!told) say(`wengert: waiting for another set-up (process ${owners.join(', ')})\n`)
      told = true
    } catch (error) {
      if (error.code !== 'ENOENT') throw error
    }
    await new Promise((wake) => setTimeout(wake, 200))
  }
}

process.on('exit', () => {
  if (locked) rmSync(lock, { force: true })
})
for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
]) {
  process.on(signal, () => {
    try {
      if (child) process.kill(windows ? child.pid : -child.pid, signal)
    } catch {}
    if (child) say('interrupted\n')
    process.exit(status)
  })
}

/** Runs a command hidden, in a process group of its own so that a signal ends all of it. */
async function run(command, args) {
  const { spawn } = await import('node:child_process')
  return new Promise((done) => {
    let log = ''
    const keep = (text) => {
      log = (log + text).slice(-1_000_000)
    }
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    child = spawn(command, args, {
      cwd: root,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: !windows,
      shell: windows && command === 'npm',
    })
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)
    if (child.pid) writeFileSync(lock, `${process.pid} ${child.pid}`)
    const end = (ok) => {
      child = undefined
      done({ ok, log })
    }
    child.on('error', (error) => {
      keep(`${error.message}\n`)
      end(false)
    })
    child.on('close', (code) => end(code === 0))
  })
}

/** The last lines of a log that say something, indented. */
function tail(log, count = 15) {
  const lines = log.split(/\r?\n/).filter((line) => line.trim() !== '')
  return lines
    .slice(-count)
    .map((line) => `    ${line}\n`)
    .join('')
}

/** Tells what is being done, and afterwards how long it took, in one line. */
async function stage(what, work) {
  const start = performance.now()
  say(`wengert: ${what} … `)
  const result = await work()
  say(`${result.ok ? '' : 'failed after '}${((performance.now() - start) / 1000).toFixed(1)} s\n`)
  return result
}

class Stop extends Error {}

// Packages: npm writes node_modules/.package-lock.json last, so it is there and young only after a whole install.
const time = (path) => statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? Number.NEGATIVE_INFINITY
const packages = {
  fresh: () => time('node_modules/.package-lock.json') >= time('package-lock.json') - 1000,
  async make() {
    const npm = /npm-cli\.js$/.test(process.env.npm_execpath ?? '') ? [process.execPath, process.env.npm_execpath] : ['npm']
    const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--prefer-offline', '--fetch-retry-maxtimeout=20000']
    const { ok, log } = await stage('installing packages (npm ci)', () => run(npm[0], [...npm.slice(1), ...args]))
    if (ok) return
    // npm tells the cause first and then how it is used.
    const cause = log
      .split('\n')
      .filter((line) => /^npm (error|ERR!) \S/.test(line))
      .slice(0, 12)
      .join('\n')
    const remedy = 'Is the network there, and is this folder writable? Then run the same command again.'
    throw new Stop(`${tail(cause || log)}  The packages could not be installed. ${remedy}\n`)
  },
}

// The addon, and the tools that its build needs.
const nativeSources = ['native', 'CMakeLists.txt', 'scripts/build-native.mjs', 'package-lock.json']
const platform = `${process.platform}-${process.arch}`
const missingNames = () => new Intl.ListFormat('en').format(missingTools().map((tool) => tool.name))
const native = {
  fresh() {
    if (process.env.WENGERT_BACKEND === 'js') return true
    const stamp = readStamp('native')
    if (stamp?.platform !== platform || stamp.sources !== fingerprint(nativeSources)) return false
    return stamp.status === 'built' ? existsSync(addon) : !retry && stamp.missing === missingNames()
  },
  async make() {
    const sources = fingerprint(nativeSources)
    const reason = await installTools()
    const missing = missingNames()
    if (missing !== '') {
      say(
        `${reason}  Without ${missing} the native engine cannot be built. To have it, run\n${commands()}  and then the same command again.\n`,
      )
      say('  Until then the JavaScript engine runs everything. To have the installation tried again: node scripts/setup.mjs --retry\n')
      return writeStamp('native', { platform, sources, status: 'missing', missing })
    }
    // A build that was killed may have left files cut short, which make would take for finished.
    const marker = join(cache, 'building')
    if (existsSync(marker)) rmSync(join(root, 'build'), { recursive: true, force: true })
    writeFileSync(marker, '')
    const { ok, log } = await stage('building the native engine', () => run(process.execPath, [join('scripts', 'build-native.mjs')]))
    rmSync(marker, { force: true })
    if (ok && existsSync(addon)) return writeStamp('native', { platform, sources, status: 'built' })
    writeFileSync(join(cache, 'native.log'), log)
    const stays = existsSync(addon) ? 'the one built before stays in use' : 'the JavaScript engine runs everything'
    say(`${tail(log)}  The native engine could not be built; ${stays}. The whole log: .cache/setup/native.log\n`)
    say('  It is built again when its sources change, or by: node scripts/setup.mjs --retry\n')
    writeStamp('native', { platform, sources, status: 'failed', missing })
  },
}

/** Brings what is missing by the system's package manager where that needs no password. Returns why not, or ''. */
async function installTools() {
  const missing = missingTools()
  if (missing.length === 0) return ''
  const manager = process.platform === 'darwin' ? 'brew' : ['apt-get', 'dnf'].find(onPath)
  if (!manager || (manager === 'brew' && !onPath('brew'))) return '  No package manager that this set-up knows was found.\n'
  const wanted = missing.flatMap((tool) => tool[manager === 'apt-get' ? 'apt' : manager])
  if (wanted.length === 0) return ''
  let prefix = []
  if (manager !== 'brew' && process.getuid?.() !== 0) {
    if (!onPath('sudo') || !(await run('sudo', ['-n', 'true'])).ok)
      return `  Installing ${wanted.join(' ')} needs root, or sudo without a password.\n`
    prefix = ['sudo', '-n', 'env', 'DEBIAN_FRONTEND=noninteractive']
  }
  const call = (...args) => {
    const [command, ...rest] = [...prefix, manager, ...args]
    return run(command, rest)
  }
  const { ok, log } = await stage(`installing ${wanted.join(' ')} (${manager})`, async () => {
    if (manager === 'brew') return call('install', ...wanted)
    if (manager === 'dnf') return call('install', '-y', ...wanted)
    // A list that cannot be refreshed is not yet a package that cannot be had: the install decides.
    await call('-o', 'DPkg::Lock::Timeout=120', 'update')
    return call('-o', 'DPkg::Lock::Timeout=120', 'install', '-y', '--no-install-recommends', ...wanted)
  })
  return ok ? '' : tail(log, 5)
}

/** The commands that a person can run, for the three package managers. */
function commands() {
  const sudo = process.getuid?.() === 0 ? '' : 'sudo '
  const all = (manager) => tools.flatMap((tool) => tool[manager]).join(' ')
  return [
    `Debian, Ubuntu   ${sudo}apt-get update && ${sudo}apt-get install -y ${all('apt')}`,
    `Fedora, RHEL     ${sudo}dnf install -y ${all('dnf')}`,
    `macOS            xcode-select --install; brew install ${all('brew')}`,
  ]
    .map((line) => `    ${line}\n`)
    .join('')
}

// TypeScript → dist. Under `npm test` its errors are left to the type check there, so that the tests run all the same.
const isSource = (name) => name.endsWith('.ts') && !name.endsWith('.d.ts')
const tsSources = () => fingerprint(['lib', 'examples', 'bench', 'tsconfig.json', 'package-lock.json'], isSource)
const typescript = {
  fresh() {
    const sources = tsSources()
    if (readStamp('typescript')?.sources !== sources) return false
    const files = sources.split('\n').map((line) => line.split(' ')[0])
    return files.every((file) => !isSource(file) || existsSync(join(root, 'dist', `${file.slice(0, -3)}.js`)))
  },
  async make() {
    const sources = tsSources()
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    const { ok, log } = await stage('compiling TypeScript', () => run(process.execPath, [tsc, '-p', 'tsconfig.json']))
    if (ok) return writeStamp('typescript', { sources })
    if (process.env.npm_lifecycle_event !== 'test') throw new Stop(`${tail(log)}  The TypeScript sources do not compile.\n`)
  },
}

const stages = [packages, native, typescript]

async function main() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19)) throw new Stop(`wengert: needs Node 20.19 or later, got ${process.versions.node}\n`)
  if (stages.every((one) => one.fresh())) return
  await takeLock()
  for (const one of stages) if (!one.fresh()) await one.make()
}

try {
  await main()
} catch (error) {
  say(error instanceof Stop ? error.message : `wengert: set-up failed: ${error.code ? error.message : error.stack}\n`)
  process.exitCode = 1
}
