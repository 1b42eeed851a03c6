/**
 * Linux with glibc: GCC 12 against the C library, the C++ library and the headers of Debian 11 (glibc 2.31, GCC 10), unpacked and
 * not installed. What is linked against them asks for old symbols only, and so runs on old systems.
 */
import { lstatSync, readdirSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { archivesOf, made } from './archives.mjs'
import { root, run } from './common.mjs'

/** Links that begin at the root of the machine begin at that of the tree. */
export function relink(folder, tree) {
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

/** The folder of Debian 11's libraries for one architecture, made if need be. */
export const sysroot = ({ debian }) =>
  made(`bullseye-${debian}`, (tree) => {
    for (const deb of archivesOf('bullseye', new RegExp(`_${debian}\\.deb$`))) run('dpkg', ['-x', deb, tree])
    relink(tree, tree)
  })

export const triplet = ({ processor }) => `${processor}-linux-gnu`

export function glibc(target) {
  const tree = sysroot(target)
  const machine = triplet(target)
  const gcc = join(tree, 'usr', 'lib', 'gcc', machine, '10')
  const libraries = [gcc, join(tree, 'usr', 'lib', machine), join(tree, 'lib', machine)]
  const headers = [join(tree, 'usr/include/c++/10'), join(tree, 'usr/include', machine, 'c++/10')]
  const compile = [`--sysroot=${tree}`, '-nostdinc++', ...headers.flatMap((path) => ['-isystem', path])]
  const link = [`--sysroot=${tree}`, ...libraries.flatMap((path) => [`-B${path}`, `-L${path}`])]
  return {
    lines: [
      'set(CMAKE_SYSTEM_NAME Linux)',
      `set(CMAKE_SYSTEM_PROCESSOR ${target.processor})`,
      `set(CMAKE_LIBRARY_ARCHITECTURE ${machine})`,
      `set(CMAKE_C_COMPILER ${target.tools.cc})`,
      `set(CMAKE_CXX_COMPILER ${target.tools.cxx})`,
      `set(CMAKE_CXX_FLAGS_INIT "${compile.join(' ')} -include ${join(root, 'scripts/binaries/old-symbols.h')}")`,
      `set(CMAKE_SHARED_LINKER_FLAGS_INIT "${link.join(' ')}")`,
      `set(CMAKE_MODULE_LINKER_FLAGS_INIT "${link.join(' ')}")`,
      `set(CMAKE_EXE_LINKER_FLAGS_INIT "${link.join(' ')}")`,
    ],
    settings: {},
    compiler: target.tools.cxx,
    program: [...compile, ...link, '-static-libstdc++', '-static-libgcc', '-lpthread', '-lm'],
  }
}
