/**
 * Builds the addon, build/Release/wengert.node, where a source is newer than it. Quiet unless it fails; then it prints the
 * end of the log and exits with 1.
 *
 *   node scripts/build-native.mjs [--force] [--out FILE]
 *   node scripts/build-native.mjs --floor
 *
 * FILE: puts the addon there. It is then built in build/cmake, since whoever asks (binding.gyp) has files of its own in build/.
 *
 * --floor: builds build/bench/floor.node instead, which the bench compares with.
 *
 * WENGERT_SANITIZE=address,undefined builds build/sanitize/Release/wengert.node instead. To run with it, name it in
 * WENGERT_ADDON and preload the sanitizers:
 *
 *   LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
 *   UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 WENGERT_ADDON=build/sanitize/Release/wengert.node node …
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const sanitize = process.env.WENGERT_SANITIZE ?? ''
const out = process.argv.indexOf('--out')
const folder = join(root, 'build', ...(out > 0 ? ['cmake'] : []), ...(sanitize ? ['sanitize'] : []))
const target = process.argv.includes('--floor') ? 'floor' : 'wengert'
const addon = target === 'floor' ? join(folder, 'bench', 'floor.node') : join(folder, 'Release', 'wengert.node')

function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

/** The newest time of what the addon is made from. */
function newest(path) {
  const status = statSync(path)
  if (!status.isDirectory()) return status.mtimeMs
  return Math.max(status.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))))
}

function stale() {
  if (!existsSync(addon) || process.argv.includes('--force')) return true
  const own = target === 'floor' ? join('bench', 'floor') : 'native'
  const sources = [own, 'CMakeLists.txt', join('scripts', 'build-native.mjs')].map((name) => newest(join(root, name)))
  return Math.max(...sources) > statSync(addon).mtimeMs
}

/** The program of cmake-js: an entry of its package. */
function cmakeJs() {
  try {
    const manifest = createRequire(import.meta.url).resolve('cmake-js/package.json')
    const { bin } = JSON.parse(readFileSync(manifest, 'utf8'))
    return join(dirname(manifest), typeof bin === 'string' ? bin : bin['cmake-js'])
  } catch {
    return fail('cmake-js is not installed: run npm ci first')
  }
}

function build() {
  const program = cmakeJs()
  const cmake = spawnSync('cmake', ['--version'])
  if (cmake.error) fail('cmake was not found: install it (Debian: apt-get install cmake g++ make libopenblas-pthread-dev)')
  // A folder configured elsewhere (a copied tree) would build there.
  const cache = join(folder, 'CMakeCache.txt')
  if (existsSync(cache) && !readFileSync(cache, 'utf8').includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${root}\n`)) {
    rmSync(folder, { recursive: true, force: true })
  }
  const options = [`--CDWENGERT_SANITIZE=${sanitize}`, '--parallel', String(availableParallelism())]
  const args = [program, 'build', '--directory', root, '--out', folder, '--config', 'Release', '--target', target, ...options]
  const { status, stdout, stderr, error } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 })
  if (status === 0 && existsSync(addon)) return sanitize ? undefined : load()
  const lines = `${stdout ?? ''}${stderr ?? ''}${error ? `${error.message}\n` : ''}`.split(/\r?\n/).filter((line) => line.trim() !== '')
  // The first error says more than what follows from it.
  const first = lines.findIndex((line) => /\berror\b|CMake Error/i.test(line))
  const told = first >= 0 && first < lines.length - 40 ? [...lines.slice(first, first + 10), '…', ...lines.slice(-15)] : lines.slice(-40)
  fail(`${told.join('\n')}\nThe addon could not be built.`)
}

/** A name that no source defines is found when the addon is loaded, not when it is linked. */
function load() {
  const { status, stderr } = spawnSync(process.execPath, ['-e', 'require(process.argv[1])', addon], { encoding: 'utf8' })
  if (status === 0) return
  rmSync(addon)
  const why = stderr.split('\n').find((line) => line.startsWith('Error:')) ?? stderr
  fail(`${why}\nThe addon was built, but cannot be loaded. Are all its sources in native/sources.txt?`)
}

if (stale()) build()
if (out > 0) copyFileSync(addon, process.argv[out + 1])
