/**
 * Builds the binaries of a release into prebuilds/<platform>-<arch>/, where node-gyp-build looks:
 *
 *   npm run binaries                          linux-x64 and linux-arm64, cross-built on one Debian or Ubuntu machine
 *   npm run binaries -- linux-arm64           one of them
 *   npm run binaries -- --host                for the machine it runs on, with its own compiler (musl, macOS, Windows)
 *   npm run binaries -- --jobs 1              with so many processes of make
 *
 * Everything fetched and built on the way is kept in .cache/binaries. To add a target: a line in binaries/common.mjs.
 */
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { check } from './binaries/check.mjs'
import { cache, fail, found, hostTarget, root, run, say, targets } from './binaries/common.mjs'
import { openblas } from './binaries/openblas.mjs'
import { flagsFor, sysroot } from './binaries/sysroot.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { host: { type: 'boolean', default: false }, jobs: { type: 'string', default: String(availableParallelism()) } },
})

/** The addon of one target: straight with cmake, since cmake-js knows no sysroots. */
function addon(target, blas, tree, build) {
  const { compile, link } = flagsFor(target, tree)
  const packageOf = (name) => dirname(createRequire(join(root, 'package.json')).resolve(`${name}/package.json`))
  const toolchain = join(build, 'toolchain.cmake')
  rmSync(build, { recursive: true, force: true })
  mkdirSync(build, { recursive: true })
  const lines = [
    'set(CMAKE_SYSTEM_NAME Linux)',
    `set(CMAKE_SYSTEM_PROCESSOR ${target.processor})`,
    `set(CMAKE_LIBRARY_ARCHITECTURE ${target.triplet})`,
    `set(CMAKE_C_COMPILER ${target.tools.cc})`,
    `set(CMAKE_CXX_COMPILER ${target.tools.cxx})`,
    `set(CMAKE_CXX_FLAGS_INIT "${compile} -include ${join(root, 'scripts/binaries/old-symbols.h')} -ffile-prefix-map=${root}=.")`,
    `set(CMAKE_SHARED_LINKER_FLAGS_INIT "${link}")`,
    `set(CMAKE_EXE_LINKER_FLAGS_INIT "${link}")`,
  ]
  writeFileSync(toolchain, `${lines.join('\n')}\n`)
  const settings = {
    CMAKE_TOOLCHAIN_FILE: toolchain,
    CMAKE_BUILD_TYPE: 'Release',
    CMAKE_JS_INC: join(packageOf('node-api-headers'), 'include'),
    WENGERT_BLAS: join(blas, 'lib', 'libopenblas.a'),
    WENGERT_CBLAS: join(blas, 'include'),
  }
  run('cmake', ['-S', root, '-B', build, ...Object.entries(settings).map(([name, value]) => `-D${name}=${value}`)])
  run('cmake', ['--build', build, '--parallel', values.jobs])
  return join(build, 'wengert.node')
}

async function cross(name) {
  const target = targets[name] ?? fail(`unknown target '${name}'; known are ${Object.keys(targets).join(', ')}`)
  for (const tool of [target.tools.cxx, 'cmake', 'make']) {
    if (!found(tool)) fail(`${name} needs ${tool}: apt-get install cmake make ${target.packages.join(' ')}`)
  }
  const blas = await openblas(target, Number(values.jobs))
  const tree = sysroot(target)
  const made = addon(target, blas, tree, join(cache, `addon-${name}`))
  const file = join(root, 'prebuilds', name, target.file)
  mkdirSync(dirname(file), { recursive: true })
  copyFileSync(made, file)
  const { glibc, needs, megabytes, packed } = check(name, file, target)
  say(`${name}: ${megabytes} MB (${packed} MB packed), glibc ${glibc} or later, needs ${needs.join(', ')}`)
}

/** With the compiler of the system, by way of cmake-js. */
async function host() {
  const target = hostTarget()
  const path = join(root, 'prebuilds', `${process.platform}-${process.arch}`, target.file)
  const blas = await openblas(target, Number(values.jobs))
  mkdirSync(dirname(path), { recursive: true })
  const env = { ...process.env, WENGERT_OPENBLAS: blas }
  run(process.execPath, [join('scripts', 'build-native.mjs'), '--force', '--out', path], { cwd: root, env })
  say(path)
}

if (!existsSync(join(root, 'node_modules'))) fail('run npm ci first')
if (values.host) await host()
else for (const name of positionals.length > 0 ? positionals : Object.keys(targets)) await cross(name)
