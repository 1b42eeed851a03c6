/**
 * The release binaries, all of them made on one Linux machine. To add one: a line here, and a kind of toolchain where it is of
 * none of those that are there.
 *
 *   folder, file   where it lies in prebuilds/
 *   kind           which toolchain builds and checks it: toolchains.mjs
 *   openblas       the tools, the arguments of OpenBLAS's make that differ, and those of the compiler. The list of cores says
 *                  which kernels are in, beside the plainest of the architecture.
 *   needs          programs that must be there, and
 *   packages       of Debian that bring them
 *   prepare        makes the tools themselves, where they are none of the machine's
 */
import { join } from 'node:path'
import { cache } from './common.mjs'
import { darwinCompilers } from './darwin.mjs'

const gnu = (prefix = '') => ({
  cc: `${prefix}gcc-12`,
  cxx: `${prefix}g++-12`,
  ar: `${prefix}ar`,
  ranlib: `${prefix}ranlib`,
  nm: `${prefix}nm`,
  objdump: `${prefix}objdump`,
})
const mingw = 'x86_64-w64-mingw32-'
const windows = {
  cc: `${mingw}gcc-posix`,
  cxx: `${mingw}g++-posix`,
  ar: `${mingw}ar`,
  ranlib: `${mingw}ranlib`,
  nm: `${mingw}nm`,
  objdump: `${mingw}objdump`,
  dlltool: `${mingw}dlltool`,
}
/** clang with the headers and the C++ library of macOS: programs that darwin.mjs writes. */
const apple = (arch) => ({
  cc: join(cache, `darwin-${arch}`, 'cc'),
  cxx: join(cache, `darwin-${arch}`, 'c++'),
  ar: 'llvm-ar',
  ranlib: 'llvm-ranlib',
  nm: 'llvm-nm',
  objdump: 'llvm-objdump',
})

const chosen = ['DYNAMIC_ARCH=1', 'BLASDIRS=interface driver/level3 driver/others'] // the kernels are made for each core
const x86 = [...chosen, 'DYNAMIC_LIST=HASWELL SKYLAKEX']
const x64 = { debian: 'amd64', processor: 'x86_64', tools: gnu(), openblas: { tools: gnu(), settings: x86 } }
const arm = gnu('aarch64-linux-gnu-')
const arm64 = {
  debian: 'arm64',
  processor: 'aarch64',
  tools: arm,
  // Newer cores fall back to ARMV8, whose products are in assembly too.
  openblas: {
    tools: arm,
    settings: [...chosen, 'ARCH=arm64', 'TARGET=ARMV8', 'CROSS=1', 'DYNAMIC_LIST=NEOVERSEN1'],
    compile: ['-mno-outline-atomics'], // a call of glibc's, which musl lacks
  },
}

const macos = ['CROSS=1', 'BINARY=64', 'OSNAME=Darwin']
const darwin = (processor) => ({
  kind: 'darwin',
  folder: `darwin-${processor === 'x86_64' ? 'x64' : processor}`,
  file: 'wengert.node',
  needs: ['llvm-ar', 'llvm-objdump'],
  packages: ['lld', 'llvm'],
  prepare: darwinCompilers,
  processor,
  tools: apple(processor),
})

export const targets = {
  'linux-x64': { kind: 'glibc', folder: 'linux-x64', file: 'wengert.glibc.node', needs: ['g++-12'], packages: ['g++-12'], ...x64 },
  'linux-x64-musl': { kind: 'musl', folder: 'linux-x64', file: 'wengert.musl.node', needs: ['g++-12'], packages: ['g++-12'], ...x64 },
  'linux-arm64': {
    kind: 'glibc',
    folder: 'linux-arm64',
    file: 'wengert.glibc.node',
    needs: [arm.cxx],
    packages: ['g++-12-aarch64-linux-gnu'],
    ...arm64,
  },
  'linux-arm64-musl': {
    kind: 'musl',
    folder: 'linux-arm64',
    file: 'wengert.musl.node',
    needs: [arm.cxx],
    packages: ['g++-12-aarch64-linux-gnu'],
    ...arm64,
  },
  'win32-x64': {
    kind: 'windows',
    folder: 'win32-x64',
    file: 'wengert.node',
    needs: [windows.cxx],
    packages: ['g++-mingw-w64-x86-64-posix'],
    processor: 'x86_64',
    tools: windows,
    // A cross build must name the plainest core.
    openblas: { tools: windows, settings: [...x86, 'CROSS=1', 'TARGET=PRESCOTT', 'BINARY=64', 'OSNAME=WINNT'] },
  },
  'darwin-arm64': {
    ...darwin('arm64'),
    openblas: { tools: apple('arm64'), settings: [...macos, 'BLASDIRS=interface driver/level3 driver/others kernel', 'TARGET=VORTEX'] },
  },
  'darwin-x64': {
    ...darwin('x86_64'),
    openblas: { tools: apple('x86_64'), settings: [...x86, ...macos, 'TARGET=PRESCOTT'] },
  },
}
