/**
 * Windows: Debian's mingw-w64, with threads of the POSIX kind for std::thread. Everything is linked in but KERNEL32 and the C
 * library of the system; windows-host.c says how Node's functions are found.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { made } from './archives.mjs'
import { packageOf, root, run } from './common.mjs'

/** Import libraries: of Node's functions, for binding at first use, with the hook that names the host; of some of the system's. */
const host = ({ tools }) =>
  made('windows-host-3', (folder) => {
    const lists = join(packageOf('node-api-headers'), 'def')
    const names = readdirSync(lists).flatMap((name) => readFileSync(join(lists, name), 'utf8').split(/\s+/))
    const functions = [...new Set(names.filter((name) => /^(napi|node_api)_[a-z0-9_]+$/.test(name)))].sort()
    writeFileSync(join(folder, 'node.def'), `LIBRARY node.exe\nEXPORTS\n${functions.join('\n')}\n`)
    run(tools.dlltool, ['-d', join(folder, 'node.def'), '-y', join(folder, 'libnode.a')])
    // Ahead of those of mingw, which take the x87's: far from 0 that has no digit right.
    writeFileSync(join(folder, 'math.def'), 'LIBRARY msvcrt.dll\nEXPORTS\nsin\nsinf\ncos\ncosf\ntan\ntanf\n')
    run(tools.dlltool, ['-d', join(folder, 'math.def'), '-l', join(folder, 'libmath.a')])
    run(tools.cc, ['-O2', '-c', join(root, 'scripts/binaries/windows-host.c'), '-o', join(folder, 'host.o')])
  })

export function windows(target) {
  const folder = host(target)
  return {
    lines: [
      'set(CMAKE_SYSTEM_NAME Windows)',
      `set(CMAKE_SYSTEM_PROCESSOR ${target.processor})`,
      `set(CMAKE_C_COMPILER ${target.tools.cc})`,
      `set(CMAKE_CXX_COMPILER ${target.tools.cxx})`,
    ],
    settings: { CMAKE_JS_LIB: [join(folder, 'host.o'), join(folder, 'libnode.a'), 'delayimp', join(folder, 'libmath.a')].join(';') },
    compiler: target.tools.cxx,
    program: ['-static'],
  }
}
