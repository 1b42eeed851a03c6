/**
 * The OpenBLAS of the release binaries: static, small (products in two types, three kernels) and single-threaded, because the
 * addon's own pool splits the products. Built from Debian's copy of the source, with a fault of that version mended.
 */
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { archive } from './archives.mjs'
import { cache, root, run, say } from './common.mjs'

export const version = '0.3.34'
const patch = join(root, 'scripts', 'binaries', 'openblas-blocking.patch')
/** Its objects by which float32 and float64 products are made, in every folder of it; a twentieth of what a BLAS has. */
const products = ['s', 'd'].flatMap((type) => [`${type}gemm_%`, `cblas_${type}gemm.%`])
const flags = ({ openblas: { settings, compile = [] } }) => [
  'NOFORTRAN=1',
  'NO_LAPACK=1',
  'NO_LAPACKE=1',
  'NO_SHARED=1',
  'BUILD_SINGLE=1',
  'BUILD_DOUBLE=1', // BUILD_COMPLEX stays unset: 0 breaks the compilation of other parts
  'BUILD_BFLOAT16=',
  'GEMM_GEMV_FORWARD=', // a product of one row is a product: the bits of a row do not depend on how many are beside it
  `BLASOBJS=$(filter-out %_batch.$(SUFFIX),$(filter ${products.join(' ')} setparam%,$(SBLASOBJS) $(DBLASOBJS)))`,
  'USE_THREAD=0',
  'USE_LOCKING=1',
  'USE_OPENMP=0',
  'NO_AFFINITY=1',
  'NO_WARMUP=1',
  `COMMON_OPT=${['-O2', '-fPIC', '-ffunction-sections', '-fdata-sections', ...compile].join(' ')}`,
  ...settings,
]

/**
 * The table of each core's kernels names those of all of a BLAS: what is not built is a trap. The package's check multiplies
 * by every kernel (scripts/package/kernels.cc), so that one which is wanted after all is found there.
 */
function fillTables({ nm, cc, ar }, build) {
  const library = join(build, 'libopenblas.a')
  const names = (...args) =>
    run(nm, [...args, library])
      .split('\n')
      .map((line) => line.trim().split(/\s+/).at(-1).replace(/^_/, '')) // what macOS puts before the names of C
  const there = new Set(names('-g', '--defined-only'))
  const kernels = /^[a-z]\w*_(PRESCOTT|HASWELL|SKYLAKEX|ARMV8|NEOVERSEN1)$/
  const unused = [...new Set(names('-u'))].filter((name) => kernels.test(name) && !there.has(name)).sort()
  if (unused.length === 0) return
  writeFileSync(join(build, 'unused.c'), unused.map((name) => `void ${name}(void) { __builtin_trap(); }\n`).join(''))
  run(cc, ['-Os', '-fPIC', '-c', 'unused.c', '-o', 'unused.o'], { cwd: build })
  run(ar, ['r', library, 'unused.o'], { cwd: build })
}

/** What `make install` would write: the settings of the build as a header. */
function configHeader(build) {
  const settings = readFileSync(join(build, 'config_last.h'), 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [word, name, ...value] = line.trim().split(/\s+/)
      return word === '#define' && name ? [`#define OPENBLAS_${name} ${value.join(' ')}`.trimEnd()] : []
    })
  const template = readFileSync(join(build, 'openblas_config_template.h'), 'utf8')
  return `#ifndef OPENBLAS_CONFIG_H\n#define OPENBLAS_CONFIG_H\n${settings.join('\n')}\n${template}\n#endif\n`
}

/** Where a build of these settings is kept: a folder with lib/libopenblas.a, include/ and LICENSE. */
export function openblasFolder(target) {
  const { openblas, processor } = target
  const [, changes] = readFileSync(patch, 'utf8').split(/^(?=--- )/m)
  const all = JSON.stringify([version, flags(target), basename(openblas.tools.cc), changes])
  return join(cache, `openblas-${version}-${processor}-${createHash('sha256').update(all).digest('hex').slice(0, 12)}`)
}

/** The folder, built if need be: some minutes on one core. */
export function openblas(target, jobs) {
  const folder = openblasFolder(target)
  if (existsSync(join(folder, 'lib', 'libopenblas.a'))) return folder
  const build = `${folder}.build`
  rmSync(build, { recursive: true, force: true })
  mkdirSync(build, { recursive: true })
  run('tar', ['-xJf', archive(`openblas_${version}+ds.orig.tar.xz`), '-C', build, '--strip-components=1'])
  run('patch', ['-p1', '--fuzz=0', '-i', patch], { cwd: build })
  const { tools, settings } = target.openblas
  say(`building OpenBLAS ${version} for ${target.processor} (${settings.join(', ')}): some minutes`)
  const programs = [`CC=${tools.cc}`, `AR=${tools.ar}`, `RANLIB=${tools.ranlib}`, 'HOSTCC=gcc']
  // Without MAKE_NB_JOBS its makefile takes all processors.
  run('make', [`-j${jobs}`, 'libs', `MAKE_NB_JOBS=${jobs}`, ...programs, ...flags(target)], { cwd: build })
  fillTables(tools, build)
  return keep(build, folder)
}

/** Keeps of a finished build what the addon needs. */
function keep(build, folder) {
  rmSync(folder, { recursive: true, force: true })
  const made = `${folder}.new`
  mkdirSync(join(made, 'lib'), { recursive: true })
  mkdirSync(join(made, 'include'), { recursive: true })
  copyFileSync(join(build, 'libopenblas.a'), join(made, 'lib', 'libopenblas.a'))
  const cblas = readFileSync(join(build, 'cblas.h'), 'utf8')
  writeFileSync(join(made, 'include', 'cblas.h'), cblas.replace('"common.h"', '"openblas_config.h"'))
  copyFileSync(join(build, 'LICENSE'), join(made, 'LICENSE'))
  writeFileSync(join(made, 'include', 'openblas_config.h'), configHeader(build))
  renameSync(made, folder)
  rmSync(build, { recursive: true, force: true })
  return folder
}
