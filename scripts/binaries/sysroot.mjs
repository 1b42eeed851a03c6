/**
 * The C library, the C++ library and the headers of Debian 11 (glibc 2.31, GCC 10), unpacked and not installed: what is linked
 * against them asks for old symbols only, and so runs on old systems. Compiled is with GCC 12.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { cache, fail, found, run, say } from './common.mjs'

/** Versions are what Debian 11 ended with; apt checks them against the archive's signature. */
const packages = {
  libc6: '2.31-13+deb11u11',
  'libc6-dev': '2.31-13+deb11u11',
  'libgcc-10-dev': '10.2.1-6',
  'libgcc-s1': '10.2.1-6',
  'libstdc++-10-dev': '10.2.1-6',
  libcrypt1: '',
  'linux-libc-dev': '',
}

/** Links that begin at the root of the machine begin at that of the tree. */
function relink(folder, tree) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    const status = lstatSync(path)
    if (status.isDirectory()) relink(path, tree)
    else if (status.isSymbolicLink() && readlinkSync(path).startsWith('/')) {
      const to = relative(dirname(path), join(tree, readlinkSync(path)))
      unlinkSync(path)
      symlinkSync(to, path)
    }
  }
}

/** The folder of the tree, made if need be. */
export function sysroot(target) {
  const tree = join(cache, `bullseye-${target.debian}`)
  if (existsSync(tree)) return tree
  if (!found('apt-get')) fail('the old C library comes by apt-get: build the binaries on Debian or Ubuntu')
  say(`fetching Debian 11's libraries for ${target.debian}`)
  const folder = join(cache, 'bullseye')
  const made = `${tree}.new`
  const debs = join(folder, target.debian)
  for (const path of [made, debs]) rmSync(path, { recursive: true, force: true })
  for (const path of [join(folder, 'lists', 'partial'), made, debs]) mkdirSync(path, { recursive: true })
  const architectures = [...new Set(['amd64', target.debian])].join(',')
  writeFileSync(join(folder, 'sources.list'), `deb [arch=${architectures}] http://deb.debian.org/debian bullseye main\n`)
  writeFileSync(join(folder, 'status'), '')
  const options = [
    `Dir::Etc::sourcelist=${folder}/sources.list`,
    'Dir::Etc::sourceparts=/dev/null',
    `Dir::State::lists=${folder}/lists`,
    `Dir::State::status=${folder}/status`,
    `Dir::Cache=${folder}`,
    `APT::Architecture=${target.debian}`,
    `APT::Architectures::=${target.debian}`,
  ]
  const apt = (...args) => run('apt-get', [...options.flatMap((one) => ['-o', one]), ...args], { cwd: debs })
  apt('update')
  apt('download', ...Object.entries(packages).map(([name, version]) => `${name}:${target.debian}${version ? `=${version}` : ''}`))
  for (const deb of readdirSync(debs).filter((name) => name.endsWith('.deb'))) run('dpkg', ['-x', join(debs, deb), made])
  relink(made, made)
  renameSync(made, tree)
  return tree
}

/** How the compiler is told to use the tree. */
export function flagsFor(target, tree) {
  const gcc = join(tree, 'usr', 'lib', 'gcc', target.triplet, '10')
  const libraries = [gcc, join(tree, 'usr', 'lib', target.triplet), join(tree, 'lib', target.triplet)]
  const headers = [join(tree, 'usr/include/c++/10'), join(tree, 'usr/include', target.triplet, 'c++/10')]
  return {
    compile: [`--sysroot=${tree}`, '-nostdinc++', ...headers.map((path) => `-isystem ${path}`)].join(' '),
    link: [`--sysroot=${tree}`, ...libraries.flatMap((path) => [`-B${path}`, `-L${path}`])].join(' '),
  }
}
