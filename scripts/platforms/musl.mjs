/**
 * Alpine's C library: Bun for musl, from npm, on Debian's musl. Node has no such program on npm. Bun wants a libstdc++.so.6 for musl, which
 * is linked here from Debian's archive, and glibc-on-musl.c.
 */
import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../package/stage.mjs'
import { cache, found, packageOf, released, run, testRunner } from './run.mjs'

const gcc = '/usr/lib/gcc/x86_64-linux-gnu/12'
const musl = '/usr/lib/x86_64-linux-musl'
const libraries = join(cache, 'musl')

function prepare() {
  if (existsSync(join(libraries, 'libstdc++.so.6'))) return
  mkdirSync(libraries, { recursive: true })
  const object = join(libraries, 'glibc-on-musl.o')
  const steps = [
    ['musl-gcc', '-O2', '-fPIC', '-c', join(root, 'scripts/platforms/glibc-on-musl.c'), '-o', object],
    [
      ...['gcc-12', '-shared', '-nostdlib', '-fPIC', '-Wl,-soname,libstdc++.so.6', '-o', join(libraries, 'libstdc++.so.6')],
      ...[`${musl}/crti.o`, `${gcc}/crtbeginS.o`, object, '-Wl,--whole-archive', `${gcc}/libstdc++.a`, '-Wl,--no-whole-archive'],
      ...[`${gcc}/libgcc_eh.a`, `${gcc}/libgcc.a`, `${gcc}/crtendS.o`, `${musl}/crtn.o`, `${musl}/libc.so`],
    ],
  ]
  for (const step of steps) {
    const { status, stderr } = run(step)
    if (status !== 0) throw new Error(`${step.slice(0, 2).join(' ')}: ${stderr}`)
  }
  symlinkSync(`${musl}/libc.so`, join(libraries, 'libc.musl-x86_64.so.1'))
}

export const alpine = {
  name: 'linux-x64-musl',
  flags: ['--os=linux', '--cpu=x64', '--libc=musl'], // as npm is told of another platform
  majors: ['bun'],
  missing: () => {
    if (!found('musl-gcc') || !found('gcc-12'))
      return 'musl-gcc or gcc-12 is not installed: apt-get install musl musl-dev musl-tools g++-12'
    if (!released('linux-x64', 'wengert.musl.node')) return 'no binary: npm run binaries -- --only linux-x64-musl'
  },
  runtime() {
    prepare()
    const bun = join(packageOf('@oven/bun-linux-x64-musl@latest', 'linux', 'x64', 'musl'), 'bin', 'bun')
    const env = { LD_LIBRARY_PATH: libraries, WENGERT_ADDON: released('linux-x64', 'wengert.musl.node') }
    const bindings = [
      ['@rolldown/binding-linux-x64-musl', 'rolldown'],
      ['lightningcss-linux-x64-musl', 'lightningcss'],
    ]
    const [rolldown] = testRunner(bindings.slice(0, 1), 'linux', 'x64', 'musl')
    // Its children are to find the libraries too, whatever environment a test gives them.
    const program = join(libraries, 'bun')
    writeFileSync(program, `#!/bin/sh\nexec env LD_LIBRARY_PATH=${libraries} ${bun} "$@"\n`)
    chmodSync(program, 0o755)
    const binding = join(rolldown, '@rolldown/binding-linux-x64-musl/rolldown-binding.linux-x64-musl.node')
    return { command: [program], env: { ...env, NAPI_RS_NATIVE_LIBRARY_PATH: binding } }
  },
  kernels: { command: [`${musl}/libc.so`], file: 'kernels-linux-x64-musl', env: {} },
}
