/**
 * Builds the binaries of a release into prebuilds/<platform>-<arch>/, all of them on one Debian machine
 * (x64), and checks each as far as that can be done without running it:
 *
 *   npm run binaries                          all: see binaries/targets.mjs
 *   npm run binaries -- --only win32-x64      one of them; may be given several times
 *   npm run binaries -- --sources FOLDER      takes the archives that it builds from out of a folder, where they are
 *   npm run binaries -- --jobs 1              with so many processes of make
 *
 * Everything fetched and built on the way is kept in .cache/binaries: the second time needs no network.
 */
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { setSources } from './binaries/archives.mjs'
import { check } from './binaries/check.mjs'
import { cache, fail, found, packageOf, root, run, say } from './binaries/common.mjs'
import { openblas } from './binaries/openblas.mjs'
import { targets } from './binaries/targets.mjs'
import { toolchains } from './binaries/toolchains.mjs'

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: Object.keys(targets) },
    sources: { type: 'string' },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
})
const jobs = Number(values.jobs)

/** The addon of one target: straight with cmake, since cmake-js knows no other platform than its own. */
function addon(toolchain, blas, build) {
  const file = join(build, 'toolchain.cmake')
  rmSync(build, { recursive: true, force: true })
  mkdirSync(build, { recursive: true })
  const prefix = `string(APPEND CMAKE_CXX_FLAGS_INIT " -ffile-prefix-map=${root}=.")`
  writeFileSync(file, `${[...toolchain.lines, prefix].join('\n')}\n`)
  const settings = {
    CMAKE_TOOLCHAIN_FILE: file,
    CMAKE_BUILD_TYPE: 'Release',
    CMAKE_JS_INC: join(packageOf('node-api-headers'), 'include'),
    WENGERT_BLAS: join(blas, 'lib', 'libopenblas.a'),
    WENGERT_CBLAS: join(blas, 'include'),
    ...toolchain.settings,
  }
  run('cmake', ['-S', root, '-B', build, ...Object.entries(settings).map(([name, value]) => `-D${name}=${value}`)])
  run('cmake', ['--build', build, '--target', 'wengert', '--parallel', String(jobs)])
  return join(build, 'wengert.node')
}

/** scripts/package/kernels.cc with the binary's own OpenBLAS: what the package check runs beside the addon. */
function program({ compiler, program: args }, blas, file) {
  if (!compiler) return
  const source = join(root, 'scripts/package/kernels.cc')
  run(compiler, ['-std=c++17', '-O3', `-I${blas}/include`, source, join(blas, 'lib', 'libopenblas.a'), ...args, '-o', file])
}

function make(name) {
  const target = targets[name] ?? fail(`unknown target '${name}'; known are ${Object.keys(targets).join(', ')}`)
  const missing = [...target.needs, 'cmake', 'make', 'patch', 'gcc'].filter((tool) => !found(tool))
  if (missing.length > 0)
    fail(`${name} needs ${missing.join(', ')}: apt-get install cmake make gcc patch xz-utils ${target.packages.join(' ')}`)
  const start = performance.now()
  target.prepare?.(target)
  const blas = openblas(target, jobs)
  const toolchain = toolchains[target.kind](target, jobs)
  const made = addon(toolchain, blas, join(cache, `addon-${name}`))
  program(toolchain, blas, join(cache, `kernels-${name}${target.kind === 'windows' ? '.exe' : ''}`))
  const file = join(root, 'prebuilds', target.folder, target.file)
  mkdirSync(dirname(file), { recursive: true })
  const told = check(name, made, target)
  // In one step: a process that runs the binary before keeps it whole.
  copyFileSync(made, `${file}.new`)
  renameSync(`${file}.new`, file)
  say(`${name}: ${told} (${((performance.now() - start) / 1000).toFixed(0)} s)`)
}

if (!existsSync(join(root, 'node_modules'))) fail('run npm ci first')
if (values.sources) setSources(resolve(values.sources))
for (const name of values.only) make(name)
