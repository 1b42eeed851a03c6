/**
 * Linux with musl (Alpine): GCC 12 with Debian's musl, unpacked and not installed, and a libstdc++ that is built here from GCC's
 * own source, since Debian has none for musl. The unwinder is that of GCC 10: GCC 12's asks a function that glibc alone has.
 */
import { chmodSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { archivesOf, made } from './archives.mjs'
import { cache, fail, run, say } from './common.mjs'
import { relink, sysroot, triplet } from './glibc.mjs'

const place = ({ processor }) => `${processor}-linux-musl`

/** Debian's musl: headers, crt files and libc.so. */
const tree = ({ debian }) =>
  made(`musl-${debian}`, (folder) => {
    for (const deb of archivesOf('bookworm', new RegExp(`^musl(-dev)?_.*_${debian}\\.deb$`))) run('dpkg', ['-x', deb, folder])
    // Where /lib is a link to /usr/lib, as on a system that is installed.
    run('cp', ['-a', `${folder}/lib/.`, `${folder}/usr/lib/`])
    relink(folder, folder)
  })

/** What GCC needs to know to use it: headers, files to start and end with, libraries, loader. */
function specs(target) {
  const folder = tree(target)
  const include = join(folder, 'usr/include', place(target))
  const lib = join(folder, 'usr/lib', place(target))
  const unwinder = join(sysroot(target), 'usr/lib/gcc', triplet(target), '10')
  return [
    '%rename cpp_options old_cpp_options',
    `*cpp_options:\n-nostdinc -isystem ${include} -isystem include%s %(old_cpp_options)`,
    `*cc1:\n%(cc1_cpu) -nostdinc -isystem ${include} -isystem include%s`,
    `*link_libgcc:\n-L${lib} -L .%s`,
    `*libgcc:\n${unwinder}/libgcc_eh.a ${unwinder}/libgcc.a`,
    `*startfile:\n%{!shared: ${lib}/Scrt1.o} ${lib}/crti.o crtbeginS.o%s`,
    `*endfile:\ncrtendS.o%s ${lib}/crtn.o`,
    // Without --eh-frame-hdr nobody finds the tables of a shared library, and the first exception aborts.
    `*link:\n--eh-frame-hdr --hash-style=gnu -dynamic-linker /lib/ld-musl-${target.processor}.so.1 -nostdlib %{shared:-shared} %{static:-static} %{rdynamic:-export-dynamic}`,
    '*esp_link:\n',
    '*esp_options:\n',
    '*esp_cpp_options:\n',
    '',
  ].join('\n\n')
}

/** Wrappers of the compilers that know musl, in the folder given. */
function compilers(target, folder, more = '') {
  const file = join(folder, 'musl.specs')
  writeFileSync(file, specs(target))
  // Atomics by a call would ask glibc's __getauxval for what the processor can do.
  const inline = target.processor === 'aarch64' ? '-mno-outline-atomics' : ''
  for (const [name, program] of Object.entries({ cc: target.tools.cc, 'c++': target.tools.cxx })) {
    const path = join(folder, name)
    writeFileSync(path, `#!/bin/sh\nexec ${program} -specs ${file} ${inline} ${name === 'c++' ? more : ''} "$@"\n`)
    chmodSync(path, 0o755)
  }
}

/** The parts of GCC's source that libstdc++ is configured and built from. */
const parts = [
  ...['libstdc++-v3', 'libgcc', 'include', 'config', 'libiberty'].map((name) => `*/${name}/*`),
  ...['config.guess', 'config.sub', 'install-sh', 'config-ml.in', 'ltmain.sh', 'depcomp', 'missing', 'mkinstalldirs', 'move-if-change'],
  ...['symlink-tree', 'test-driver', 'compile', 'gcc/BASE-VER', 'gcc/DATESTAMP'],
].map((name) => (name.startsWith('*') ? name : `*/${name}`))

const source = () =>
  made('gcc-12', (folder) => {
    const [deb] = archivesOf('bookworm', /^gcc-12-source_/)
    const unpacked = join(folder, 'deb')
    run('dpkg', ['-x', deb, unpacked])
    const archive = run('find', [unpacked, '-name', 'gcc-*.tar.xz']).trim()
    run('tar', ['-xJf', archive, '-C', folder, '--strip-components=1', '--wildcards', ...parts])
    rmSync(unpacked, { recursive: true })
    symlinkSync('gthr-posix.h', join(folder, 'libgcc', 'gthr-default.h')) // else there is no std::mutex
  })

/** libstdc++.a and its headers: some minutes on one core. */
const library = (target, jobs) =>
  made(`libstdc++-${place(target)}`, (folder) => {
    const gcc = source()
    const build = join(cache, `libstdc++-${place(target)}.build`)
    rmSync(build, { recursive: true, force: true })
    run('mkdir', ['-p', build])
    compilers(target, build)
    say(`building libstdc++ for ${place(target)}: some minutes`)
    const optimise = '-O2 -fPIC -ffunction-sections -fdata-sections'
    const final = folder.replace(/\.new$/, '')
    const settings = [
      '--build=x86_64-linux-gnu',
      `--host=${place(target)}`,
      `--prefix=${final}`,
      `--with-gxx-include-dir=${final}/include/c++`,
      ...['multilib', 'nls', 'libstdcxx-pch', 'shared', 'libstdcxx-verbose', 'libstdcxx-filesystem-ts'].map((name) => `--disable-${name}`),
      '--with-pic',
      ...[`CC=${build}/cc`, `CXX=${build}/c++`, `CFLAGS=${optimise}`, `CXXFLAGS=${optimise} -nostdinc++`],
      ...Object.entries({ AR: target.tools.ar, RANLIB: target.tools.ranlib }).map(([name, tool]) => `${name}=${tool}`),
    ]
    run(join(gcc, 'libstdc++-v3', 'configure'), settings, { cwd: build })
    if (!/gthr-posix/.test(readFileSync(join(build, 'config.log'), 'utf8'))) fail(`libstdc++ for ${place(target)} has no threads`)
    run('make', [`-j${jobs}`], { cwd: build })
    const staging = join(build, 'staging')
    run('make', ['install', `DESTDIR=${staging}`], { cwd: build })
    run('cp', ['-a', `${staging}${final}/.`, folder])
    rmSync(build, { recursive: true })
  })

/** The C library itself: what a binary may ask for, and what runs it. */
export const libc = (target) => join(tree(target), 'usr/lib', place(target), 'libc.so')

export function musl(target, jobs) {
  const folder = library(target, jobs)
  const headers = join(folder, 'include', 'c++')
  compilers(target, folder, ['-nostdinc++', '-isystem', headers, '-isystem', join(headers, place(target)), `-L${folder}/lib`].join(' '))
  return {
    lines: [
      'set(CMAKE_SYSTEM_NAME Linux)',
      `set(CMAKE_SYSTEM_PROCESSOR ${target.processor})`,
      `set(CMAKE_LIBRARY_ARCHITECTURE ${place(target)})`,
      `set(CMAKE_C_COMPILER ${folder}/cc)`,
      `set(CMAKE_CXX_COMPILER ${folder}/c++)`,
    ],
    settings: {},
    program: ['-static-libgcc'],
    compiler: join(folder, 'c++'),
  }
}
