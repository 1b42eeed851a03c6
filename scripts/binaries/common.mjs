/** What the scripts of the release binaries share: folders, the targets, running a program. */
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const cache = join(root, '.cache', 'binaries')

export function fail(message) {
  process.stderr.write(`binaries: ${message}\n`)
  process.exit(1)
}

export const say = (text) => process.stderr.write(`${text}\n`)

/** Runs a program to its end; its output where it succeeds. Else the end of what it said is shown, and the script is over. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28, ...options })
  if (result.error) fail(`${command} could not be started: ${result.error.message}`)
  if (result.status !== 0) {
    const said = `${result.stdout ?? ''}${result.stderr ?? ''}`.trimEnd().split('\n').slice(-25).join('\n')
    fail(`${command} ${args.join(' ')} failed:\n${said}`)
  }
  return result.stdout
}

export const found = (command) => spawnSync(command, ['--version']).status === 0

/**
 * The binaries that are cross-built on one Linux machine. `openblas` are the arguments of its make that differ; the list of
 * cores says which kernels are in, beside the plainest of the architecture.
 */
export const targets = {
  'linux-x64': {
    debian: 'amd64',
    triplet: 'x86_64-linux-gnu',
    processor: 'x86_64',
    tools: { cc: 'gcc-12', cxx: 'g++-12', ar: 'ar', ranlib: 'ranlib', objdump: 'objdump' },
    packages: ['g++-12'],
    openblas: ['DYNAMIC_LIST=HASWELL SKYLAKEX'],
    file: 'wengert.glibc.node',
  },
  'linux-arm64': {
    debian: 'arm64',
    triplet: 'aarch64-linux-gnu',
    processor: 'aarch64',
    tools: {
      cc: 'aarch64-linux-gnu-gcc-12',
      cxx: 'aarch64-linux-gnu-g++-12',
      ar: 'aarch64-linux-gnu-ar',
      ranlib: 'aarch64-linux-gnu-ranlib',
      objdump: 'aarch64-linux-gnu-objdump',
    },
    packages: ['g++-12-aarch64-linux-gnu'],
    // Newer cores fall back to ARMV8, whose products are in assembly too.
    openblas: ['ARCH=arm64', 'TARGET=ARMV8', 'CROSS=1', 'DYNAMIC_LIST=NEOVERSEN1'],
    file: 'wengert.glibc.node',
  },
}

/** The machine that the script runs on, with its own compiler: for musl, macOS and Windows. */
export function hostTarget() {
  const cores = { x64: ['DYNAMIC_LIST=HASWELL SKYLAKEX'], arm64: ['DYNAMIC_LIST=NEOVERSEN1'] }
  const { platform, arch } = process
  const openblas = cores[arch] ?? fail(`no list of OpenBLAS kernels for ${arch}`)
  const cc = platform === 'darwin' ? 'clang' : 'gcc'
  const musl = platform === 'linux' && !process.report.getReport().header.glibcVersionRuntime
  const libc = platform === 'linux' ? `.${musl ? 'musl' : 'glibc'}` : ''
  return { processor: `${platform}-${arch}`, tools: { cc, ar: 'ar', ranlib: 'ranlib' }, openblas, file: `wengert${libc}.node` }
}
