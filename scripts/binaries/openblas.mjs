/**
 * The OpenBLAS of the release binaries: static, small (products in two types, three kernels) and single-threaded, because the
 * addon's own pool splits the products. Built from Debian's copy of the source, whose version and checksum are written here.
 */
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { cache, fail, found, run, say } from './common.mjs'

export const version = '0.3.34'
const source = {
  file: `openblas_${version}+ds.orig.tar.xz`,
  sha256: '031220660e58d0afd3344a379e47ba68c6e082cb9c8a104755e8cf0af7d0da7d',
  // snapshot.debian.org names files by this, and keeps them when the archive moves on.
  sha1: '1d5b65ee759b6c81a921fb5a3d4cb782af11c220',
}
/** NO_LAPACK and the two types keep it small; BUILD_COMPLEX stays unset, since 0 breaks the compilation of other parts. */
const flags = [
  'NOFORTRAN=1',
  'NO_LAPACK=1',
  'NO_LAPACKE=1',
  'NO_SHARED=1',
  'BUILD_SINGLE=1',
  'BUILD_DOUBLE=1',
  'DYNAMIC_ARCH=1',
  'USE_THREAD=0',
  'USE_LOCKING=1',
  'USE_OPENMP=0',
  'NO_AFFINITY=1',
  'NO_WARMUP=1',
  'COMMON_OPT=-O2 -fPIC -ffunction-sections -fdata-sections',
]

const digest = (algorithm, bytes) => createHash(algorithm).update(bytes).digest('hex')

function checked(path) {
  if (!existsSync(path)) return undefined
  const got = digest('sha256', readFileSync(path))
  return got === source.sha256 ? path : fail(`${path}: expected SHA-256 ${source.sha256}, got ${got}`)
}

/** The path of the source's archive: cached, or by apt with a sources list of its own, or downloaded. */
async function archive() {
  const path = join(cache, source.file)
  const had = checked(process.env.WENGERT_OPENBLAS_SOURCE ?? path)
  if (had) return had
  mkdirSync(join(cache, 'sid', 'lists', 'partial'), { recursive: true })
  if (found('apt-get')) {
    const folder = join(cache, 'sid')
    writeFileSync(join(folder, 'sources.list'), 'deb-src http://deb.debian.org/debian sid main\n')
    const options = [`Dir::Etc::sourcelist=${folder}/sources.list`, 'Dir::Etc::sourceparts=/dev/null', `Dir::State::lists=${folder}/lists`]
    const apt = (...args) => run('apt-get', [...options.flatMap((one) => ['-o', one]), ...args], { cwd: folder })
    apt('update')
    apt('source', '--download-only', `openblas=${version}+ds-2`)
    if (existsSync(join(folder, source.file))) renameSync(join(folder, source.file), path)
  }
  const places = [`https://deb.debian.org/debian/pool/main/o/openblas/${source.file}`, `https://snapshot.debian.org/file/${source.sha1}`]
  for (const place of places) {
    if (existsSync(path)) break
    say(`downloading ${place}`)
    const response = await fetch(place).catch((error) => ({ ok: false, statusText: error.message }))
    if (response.ok) writeFileSync(path, new Uint8Array(await response.arrayBuffer()))
    else say(`  ${response.statusText}`)
  }
  return checked(path) ?? fail(`the source of OpenBLAS ${version} could not be had; name the archive in WENGERT_OPENBLAS_SOURCE`)
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
  const settings = JSON.stringify([version, flags, target.openblas, target.tools.cc])
  return join(cache, `openblas-${version}-${target.processor}-${digest('sha256', settings).slice(0, 12)}`)
}

/** The folder, built if need be: some minutes on one core. */
export async function openblas(target, jobs = availableParallelism()) {
  const folder = openblasFolder(target)
  if (existsSync(join(folder, 'lib', 'libopenblas.a'))) return folder
  const build = `${folder}.build`
  rmSync(build, { recursive: true, force: true })
  mkdirSync(build, { recursive: true })
  run('tar', ['-xJf', await archive(), '-C', build, '--strip-components=1'])
  say(`building OpenBLAS ${version} for ${target.processor} (${target.openblas.join(', ')}): some minutes`)
  const { cc, ar, ranlib } = target.tools
  const settings = [`CC=${cc}`, `AR=${ar}`, `RANLIB=${ranlib}`, 'HOSTCC=gcc', ...flags, ...target.openblas]
  run('make', [`-j${jobs}`, 'libs', ...settings], { cwd: build })
  return keep(build, folder)
}

/** Keeps of a finished build what the addon needs. */
export function keep(build, folder) {
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
