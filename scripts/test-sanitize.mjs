/**
 * The whole suite on an addon that is built with the address and undefined-behaviour sanitizers:
 *
 *   npm run test:sanitize [-- test/native …]     what vitest is to run; everything by default
 *
 * What cannot work under them is left out, each with its reason; single tests leave themselves out by WENGERT_SANITIZED. Leaks
 * are not looked for: Node itself keeps memory until the process ends. Needs g++ on Linux.
 */
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Files that mean nothing, or cannot run, with the sanitizers in the process. */
const excluded = {
  'test/package.test.ts': 'the package holds released binaries, and its installs run other programs',
}

function run(command, args, env = {}) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
  if (status !== 0) process.exit(status ?? 1)
}

const library = (name) => spawnSync('g++', [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout?.trim()
if (process.platform !== 'linux' || !library('libasan.so')?.includes('/')) {
  console.log('skipped: the sanitizers of g++ on Linux are not here')
  process.exit(0)
}

run(process.execPath, [join('scripts', 'build-native.mjs')], { WENGERT_SANITIZE: 'address,undefined' })
const wanted = process.argv.slice(2)
for (const [file, reason] of Object.entries(excluded)) console.log(`skipped: ${file}: ${reason}`)
const exclude = Object.keys(excluded).map((file) => `--exclude=${file}`)
// Times and memory mean nothing here, and every allocation is padded.
run(
  process.execPath,
  [join('node_modules', 'vitest', 'vitest.mjs'), 'run', '--testTimeout=600000', '--maxWorkers=1', ...exclude, ...wanted],
  {
    WENGERT_ADDON: join(root, 'build', 'sanitize', 'Release', 'wengert.node'),
    WENGERT_SANITIZED: '1',
    LD_PRELOAD: `${library('libasan.so')} ${library('libubsan.so')}`,
    ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1',
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
  },
)
