/**
 * Builds native/harness/threads.cc with the native program, pool, runner and kernels under the thread sanitizer, and runs it:
 *
 *   npm run test:threads [-- ROUNDS]     5 by default
 *
 * Needs g++ on Linux, and OpenBLAS as the addon does.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const folder = join(root, 'build', 'threads')

function skip(reason) {
  console.log(`skipped: ${reason}`)
  process.exit(0)
}

function run(command, args, env = {}) {
  const { status, signal } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
  if (status !== 0) process.exit(status ?? (signal ? 1 : 0))
}

if (process.platform !== 'linux' || spawnSync('g++', ['--version']).status !== 0) skip('g++ on Linux is not here')
const triplet = spawnSync('g++', ['-dumpmachine'], { encoding: 'utf8' }).stdout.trim()
const places = [process.env.WENGERT_OPENBLAS, ...['openblas-pthread', 'openblas-serial'].map((name) => `/usr/lib/${triplet}/${name}`)]
const blas = places.find((place) => place && existsSync(join(place, 'libopenblas.a')))
if (!blas) skip('a static OpenBLAS is not here')
const headers = blas.replace('/lib/', '/include/')

const common = ['-std=c++17', '-O1', '-g', '-fsanitize=thread', '-fPIC', '-ffp-contract=off', `-I${headers}`]
// Each variant of the kernels, as in CMakeLists.txt; which of them runs is decided when it runs.
const sets = { baseline: [] }
if (triplet.startsWith('x86_64')) {
  sets.avx2 = ['-mavx2', '-mfma']
  sets.avx512 = ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mavx2', '-mfma']
}
const sources = readFileSync(join(root, 'native', 'sources.txt'), 'utf8')
  .split('\n')
  .filter((name) => /^native\/(kernels|program)\/|training_thread\.cc$/.test(name))
mkdirSync(folder, { recursive: true })

const objects = []
for (const source of [...sources, 'native/harness/threads.cc']) {
  for (const [set, flags] of Object.entries(source.endsWith('_isa.cc') ? sets : { baseline: [] })) {
    const object = join(folder, `${source.slice('native/'.length, -'.cc'.length).replaceAll('/', '-')}.${set}.o`)
    objects.push(object)
    const fresh = existsSync(object) && statSync(object).mtimeMs > statSync(join(root, source)).mtimeMs && process.env.WENGERT_FRESH !== '1'
    if (!fresh) run('g++', [...common, ...flags, `-DWENGERT_ISA_${set}`, '-c', source, '-o', object])
  }
}
const program = join(folder, 'threads')
run('g++', [
  '-fsanitize=thread',
  ...objects,
  join(blas, 'libopenblas.a'),
  '-Wl,--wrap=openblas_num_threads_env',
  '-lpthread',
  '-lm',
  '-o',
  program,
])
run(program, process.argv.slice(2), { TSAN_OPTIONS: 'halt_on_error=0:exitcode=66:second_deadlock_stack=1', WENGERT_THREADS: '4' })
