/**
 * What a release binary must be, as far as its file tells: made for its platform, readable by old systems, closed but for the two
 * functions that Node looks for, asking for nothing that is not there, small.
 */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { fail, root, run } from './common.mjs'
import { oldest } from './darwin.mjs'
import { machO } from './mach-o.mjs'
import { libc } from './musl.mjs'

const mostBytes = 6e6
const exported = ['napi_register_module_v1', 'node_api_module_get_api_version_v1']
const ofNode = /^_?(napi|node_api)_/
const compare = ([a, b], [c, d]) => a - c || b - d
const listed = (names) => [...names].sort().join(', ')

function expect(what, expected, got) {
  const text = listed(got)
  if (listed(expected) === text) return
  const shown = text.length > 500 ? `${text.slice(0, 500)} … (${got.length} in all)` : text
  throw new Error(`expected ${what} ${listed(expected) || '(none)'}, got ${shown || '(none)'}`)
}

/** What the doctor says that a platform's binary takes: lib/native/platforms.ts, which need not be compiled yet. */
function claimed({ kind, folder }) {
  const platform = kind === 'glibc' || kind === 'musl' ? `${folder}-${kind}` : folder
  const text = readFileSync(join(root, 'lib', 'native', 'platforms.ts'), 'utf8')
  return new RegExp(`'${platform}': \\{ runs: '([^']+)'`).exec(text)?.[1]
}

/** The system that a file asks for is the one that is claimed, neither newer nor older. */
function asClaimed(target, measured) {
  const claim = claimed(target)
  if (claim === measured) return
  throw new Error(`it takes ${measured}, and lib/native/platforms.ts says ${claim}: say there, and in the README, what it takes`)
}

/** The dynamic symbols of an ELF file, in two lists. */
function symbols(target, file) {
  const lines = run(target.tools.objdump, ['-T', file]).split('\n')
  const name = (line) => line.trim().split(/\s+/).at(-1)
  return {
    lines,
    open: lines.filter((line) => / g +D[FO] /.test(line) && !line.includes('*UND*')).map(name),
    defined: lines.filter((line) => / D[FO] /.test(line) && !line.includes('*UND*')).map(name),
    wanted: lines.filter((line) => line.includes('*UND*') && !/^\S+ +w /.test(line)).map(name),
  }
}

function elf(target, file, libraries) {
  const header = readFileSync(file).subarray(0, 64)
  const processor = { 62: 'x86_64', 183: 'aarch64' }[header.readUInt16LE(18)]
  expect('the processor', [target.processor], [processor])
  const dynamic = run(target.tools.objdump, ['-p', file])
  const needs = [...dynamic.matchAll(/NEEDED +(\S+)/g)].map(([, library]) => library)
  const foreign = needs.filter((library) => !libraries.test(library))
  expect('no libraries but those of the system', [], foreign)
  const found = symbols(target, file)
  expect('the exports', exported, found.open)
  return { ...found, needs, dynamic }
}

const kinds = {
  glibc(target, file) {
    const { lines, needs } = elf(target, file, /^(lib(c|m|pthread|dl)\.so\.\d|ld-linux-.*)$/)
    const strange = lines
      .filter((line) => line.includes('*UND*') && !/GLIBC_|^\S+ +w /.test(line))
      .map((line) => line.trim().split(/\s+/).at(-1))
    expect(
      'no symbols but those of Node and the C library',
      [],
      strange.filter((name) => !ofNode.test(name)),
    )
    const versions = lines.flatMap((line) => [...line.matchAll(/GLIBC_(\d+)\.(\d+)/g)].map(([, a, b]) => [Number(a), Number(b)]))
    const floor = versions.sort(compare).at(-1) ?? [0, 0]
    const takes = `glibc ${floor.join('.')} or later`
    asClaimed(target, takes)
    return `${takes}, needs ${needs.join(', ')}`
  },
  musl(target, file) {
    const { needs, wanted, dynamic } = elf(target, file, /^libc\.so$/)
    expect('the libraries', ['libc.so'], needs)
    const there = new Set(symbols(target, libc(target)).defined)
    expect(
      'nothing that musl lacks',
      [],
      wanted.filter((name) => !ofNode.test(name) && !there.has(name)),
    )
    if (!/EH_FRAME/.test(dynamic)) throw new Error('expected tables for exceptions (GNU_EH_FRAME), got none')
    return `needs ${needs.join(', ')}`
  },
  windows(target, file) {
    const dynamic = run(target.tools.objdump, ['-p', file])
    if (!dynamic.includes('file format pei-x86-64')) throw new Error('expected a library of Windows x64')
    const libraries = [...new Set([...dynamic.matchAll(/DLL Name: (\S+)/g)].map(([, name]) => name))]
    expect('the libraries', ['KERNEL32.dll', 'msvcrt.dll'], libraries)
    const [, table = ''] = dynamic.split('[Ordinal/Name Pointer] Table')
    expect(
      'the exports',
      exported,
      [...table.matchAll(/\[ *\d+\][^\n]*? ([a-z]\w+)$/gm)].map(([, name]) => name),
    )
    // Windows aligns the stack to 16 bytes: an aligned move of more there is a crash that other systems do not show.
    const code = run(target.tools.objdump, ['-d', '--no-show-raw-insn', file])
    const wide = code
      .split('\n')
      .filter((line) => /vmov(aps|apd|dqa|dqa32|dqa64) /.test(line) && /%[yz]mm/.test(line) && /%r[sb]p\b/.test(line))
    if (wide.length > 0)
      throw new Error(`expected no aligned moves of wide registers on the stack, got ${wide.length}, as ${wide[0].trim()}`)
    return `needs ${libraries.join(', ')}`
  },
  darwin(target, file) {
    const found = machO(readFileSync(file))
    expect('the processor', [target.processor], [found.processor])
    expect('the kind', ['bundle'], [found.kind])
    expect('the oldest system', [oldest], [found.oldest])
    const takes = `macOS ${found.oldest.replace(/\.0$/, '')} or later`
    asClaimed(target, takes)
    expect('the libraries', ['/usr/lib/libSystem.B.dylib'], found.libraries)
    expect('a signature that fits, pages that do not', [], found.wrongPages)
    const names = (text) =>
      text
        .split('\n')
        .map((line) => line.trim().split(/\s+/).at(-1))
        .filter((name) => /^_/.test(name))
    expect(
      'the exports',
      exported.map((name) => `_${name}`),
      names(run('llvm-nm', ['-gU', file])),
    )
    const bound = run('llvm-objdump', ['--macho', '--bind', '--lazy-bind', file])
      .split('\n')
      .filter((line) => line.includes('flat-namespace'))
    const wanted = names(bound.join('\n'))
    if (!wanted.includes('_napi_create_function')) throw new Error('expected to find what it asks of Node, got nothing of it')
    expect(
      'no symbols looked up in the process but those of Node',
      [],
      wanted.filter((name) => !ofNode.test(name)),
    )
    return `${takes}, needs ${found.libraries.join(', ')}, signature fits; not run`
  },
}

/** Checks one file and gives what was found, for the report. */
export function check(name, file, target) {
  const { size } = statSync(file)
  try {
    if (size > mostBytes) throw new Error(`expected ${mostBytes / 1e6} MB at most, got ${(size / 1e6).toFixed(1)}`)
    const packed = gzipSync(readFileSync(file), { level: 9 }).length
    return `${(size / 1e6).toFixed(2)} MB (${(packed / 1e6).toFixed(2)} MB packed), ${kinds[target.kind](target, file)}`
  } catch (error) {
    return fail(`${name}: ${error.message}`)
  }
}
