/**
 * The rooms of the house: each may import only from those above it in its list, and no file imports itself in a circle.
 * To add a room: its name at its place in `libRooms` or `nativeRooms`.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const script = '../scripts/package/web.mjs'
const { standIns } = (await import(script)) as { standIns: Record<string, Record<string, { by: string; except?: string }>> }

// biome-ignore format: a table
const libRooms = [
  'errors', 'util', 'native', 'backend', 'tensor', 'primitives', 'autodiff', 'plan', 'compile', 'nn', 'optim', 'distributed', 'data', 'table', 'io', 'train', 'sweep', 'web', 'index', 'package', 'cli',
]
const nativeRooms = ['mpi', 'kernels', 'program', 'boundary', 'async', 'addon', 'harness']

/** Rooms within rooms, by their folder: the first may not import from those after it. */
const innerRooms: Record<string, readonly string[]> = { 'backend/js': ['thresholds', 'kernels', 'replay', 'eager', 'engine', 'load'] }

/** What a kernel may know of the rooms below its own: that there is a pool. */
const nativeExceptions: Record<string, readonly string[]> = { kernels: ['program/pool.h'] }
const nodeFree = ['mpi', 'kernels', 'program', 'harness']
const nodeHeaders =
  /^(napi|napi-inl|node_api|node_api_types|js_native_api|js_native_api_types|node|node_buffer|node_version|v8|uv)(-\w+)?\.h$/

/** Sources by path relative to the root of the rooms. */
type Files = ReadonlyMap<string, string>
/** For each file the files that it imports. */
type Graph = ReadonlyMap<string, readonly string[]>

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|(^|[^:'"`\\])\/\/[^\n]*/g, '$1')
}

/** Every module that a TypeScript source names: imports, re-exports, dynamic imports, require, and workers' URLs. */
function importsOf(source: string): string[] {
  const patterns = [
    /(?:^|[;\n}])\s*(?:import|export)\b[^'"`;=(]*?\bfrom\s*['"]([^'"]+)['"]/g,
    /(?:^|[;\n}])\s*import\s*['"]([^'"]+)['"]/g,
    /\b(?:import|require)\s*\(\s*['"`]([^'"`]+)['"`]/g,
    /\bnew\s+URL\(\s*['"]([^'"]+\.[jt]s)['"]\s*,\s*import\.meta\.url/g,
  ]
  const text = withoutComments(source)
  return patterns.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1] as string))
}

function includesOf(source: string): string[] {
  return [...withoutComments(source).matchAll(/^\s*#\s*include\s*[<"]([^>"]+)[>"]/gm)].map((match) => match[1] as string)
}

/** The first folder, or the file's own name at the top. */
function roomOf(path: string): string {
  return (path.split('/')[0] as string).replace(/\.\w+$/, '')
}

/** One circle for each file that closes one, written `a -> b -> a`. */
function cyclesIn(graph: Graph): string[] {
  const state = new Map<string, 'open' | 'closed'>()
  const found: string[] = []
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === 'open') found.push(`circle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`)
    if (state.has(file)) return
    state.set(file, 'open')
    for (const next of graph.get(file) ?? []) visit(next, [...path, file])
    state.set(file, 'closed')
  }
  for (const file of graph.keys()) visit(file, [])
  return found
}

/** What breaks the order of the rooms. */
function upwardIn(graph: Graph, rooms: readonly string[], exceptions: Record<string, readonly string[]> = {}): string[] {
  const found: string[] = []
  for (const [file, imports] of graph) {
    const from = rooms.indexOf(roomOf(file))
    if (from === -1) found.push(`unknown room: ${file}`)
    for (const target of imports) {
      const allowed = exceptions[roomOf(file)]?.includes(target) ?? false
      if (from !== -1 && rooms.indexOf(roomOf(target)) > from && !allowed) found.push(`upward: ${file} -> ${target}`)
    }
  }
  return found
}

/** What breaks the order of the rooms within a room. */
function innerUpwardIn(graph: Graph): string[] {
  return Object.entries(innerRooms).flatMap(([folder, rooms]) => {
    const inner = (paths: readonly string[]) =>
      paths.filter((path) => path.startsWith(`${folder}/`)).map((path) => path.slice(folder.length + 1))
    const within = new Map(
      [...graph].filter(([file]) => inner([file]).length > 0).map(([file, imports]) => [inner([file])[0] as string, inner(imports)]),
    )
    return upwardIn(within, rooms).map((found) => `${folder}: ${found}`)
  })
}

/** The violations in lib/. `packages` are those that package.json lists as dependencies at run time. */
function checkLib(files: Files, packages: readonly string[]): string[] {
  const found: string[] = []
  const graph = new Map<string, string[]>()
  for (const [file, source] of files) {
    const inside: string[] = []
    for (const name of importsOf(source)) {
      if (!name.startsWith('.')) {
        const bare = name.split('/', name.startsWith('@') ? 2 : 1).join('/')
        if (!name.startsWith('node:') && !packages.includes(bare)) found.push(`not a dependency: ${file} -> ${name}`)
        continue
      }
      const target = posix.normalize(posix.join(posix.dirname(file), name)).replace(/\.js$/, '.ts')
      if (target.startsWith('../')) found.push(`outside lib: ${file} -> ${name}`)
      else if (!files.has(target)) found.push(`missing: ${file} -> ${name}`)
      else inside.push(target)
    }
    graph.set(file, inside)
  }
  return [...found, ...upwardIn(graph, libRooms), ...innerUpwardIn(graph), ...cyclesIn(graph)]
}

/** The violations in native/. Includes are found beside the file or from native/; others are the system's. */
function checkNative(files: Files): string[] {
  const found: string[] = []
  const graph = new Map<string, string[]>()
  for (const [file, source] of files) {
    const inside: string[] = []
    for (const name of includesOf(source)) {
      const target = [posix.normalize(posix.join(posix.dirname(file), name)), posix.normalize(name)].find((path) => files.has(path))
      if (target !== undefined) inside.push(target)
      else if (nodeFree.includes(roomOf(file)) && nodeHeaders.test(name)) found.push(`Node header: ${file} -> ${name}`)
    }
    graph.set(file, inside)
  }
  return [...found, ...upwardIn(graph, nativeRooms, nativeExceptions), ...cyclesIn(graph)]
}

function read(folder: string, extensions: RegExp): Files {
  const root = fileURLToPath(new URL(`../${folder}`, import.meta.url))
  const names = existsSync(root) ? readdirSync(root, { recursive: true }).map((name) => String(name).replaceAll('\\', '/')) : []
  return new Map(names.filter((name) => extensions.test(name)).map((name) => [name, readFileSync(`${root}/${name}`, 'utf8')]))
}

/** All modules that the bundle of an entry is made of, with what stands for others, and what they name beside the library. */
function bundled(entry: string, files: Files): { modules: Set<string>; foreign: string[] } {
  const modules = new Set<string>()
  const foreign: string[] = []
  const visit = (file: string): void => {
    if (modules.has(file)) return
    modules.add(file)
    for (const name of importsOf((files.get(file) ?? '').replace(/\b(?:import|export) type\b[^;]*?from\s*'[^']*'/g, ''))) {
      if (!name.startsWith('.')) {
        foreign.push(`${file} -> ${name}`)
        continue
      }
      const target = posix.normalize(posix.join(posix.dirname(file), name)).replace(/\.js$/, '')
      const instead = standIns[entry]?.[target]
      visit(`${instead && instead.except !== file.replace(/\.ts$/, '') ? instead.by : target}.ts`)
    }
  }
  visit(`${entry}.ts`)
  return { modules, foreign }
}

describe('the rooms', () => {
  test('lib/ imports only downward and in no circle', () => {
    const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { dependencies?: object }
    const files = read('lib', /\.ts$/)
    expect(files.size).toBeGreaterThan(0)
    expect(checkLib(files, Object.keys(manifest.dependencies ?? {}))).toEqual([])
  })

  test('what runs without Node imports nothing of it', () => {
    const files = read('lib', /\.ts$/)
    const all = Object.keys(standIns).map((entry) => ({ entry, ...bundled(entry, files) }))
    expect(all.map(({ entry }) => entry)).toEqual(['web', 'web/predict'])
    for (const { modules, foreign } of all) {
      expect(modules.size).toBeGreaterThan(50)
      expect([...modules].filter((file) => /^(native|cli|index)\b/.test(file) || !files.has(file))).toEqual([])
      // Bundled with what models with dates need; and what draws tapes, when somebody does.
      expect(foreign.filter((name) => !/ -> (dayjs|@viz-js\/viz)\b/.test(name))).toEqual([])
    }
  })

  test('native/ includes only downward and in no circle, and knows Node only at the boundary', () => {
    const files = read('native', /\.(cc|h|inc)$/)
    expect(files.size).toBeGreaterThan(0)
    expect(checkNative(files)).toEqual([])
  })
})

describe('the checker', () => {
  const lib = (files: Record<string, string>, packages: string[] = []) => checkLib(new Map(Object.entries(files)), packages)
  const native = (files: Record<string, string>) => checkNative(new Map(Object.entries(files)))

  test('lets downward imports pass', () => {
    const files = {
      'errors.ts': '',
      'util/shape.ts': "import { WengertError } from '../errors.js'\nimport fs from 'node:fs'",
      'index.ts': "export { a } from './util/shape.js'\nexport type { E } from './errors.js'",
    }
    expect(lib(files)).toEqual([])
  })

  test.each([
    ['an import', "import { t } from '../tensor/tensor.js'"],
    ['a type', "import type { T } from '../tensor/tensor.js'"],
    ['many names over many lines', "import {\n  a,\n  type b,\n} from '../tensor/tensor.js'"],
    ['a default and a namespace', "import t, * as all from '../tensor/tensor.js'"],
    ['a side effect', "import '../tensor/tensor.js'"],
    ['a re-export', "const x = 1\nexport * from '../tensor/tensor.js'"],
    ['a dynamic import', "const t = async () => import('../tensor/tensor.js')"],
    ['a type in place', "type T = import('../tensor/tensor.js').T"],
    ['require', "const t = require('../tensor/tensor.js')"],
    ['a worker', "new Worker(new URL('../tensor/tensor.js', import.meta.url))"],
    ['a second import on a line', "import a from 'node:fs'; import { t } from '../tensor/tensor.js'"],
    ['after a comment', "// it's here\nimport { t } from '../tensor/tensor.js'"],
  ])('finds an upward import: %s', (_, source) => {
    expect(lib({ 'util/a.ts': source, 'tensor/tensor.ts': '' })).toEqual(['upward: util/a.ts -> tensor/tensor.ts'])
  })

  test('reads neither comments nor plain strings as imports', () => {
    const source =
      "/**\n * import { t } from '../tensor/tensor.js'\n */\n// import '../tensor/tensor.js'\nconst url = 'https://example.org'\n"
    expect(lib({ 'util/a.ts': source, 'tensor/tensor.ts': '' })).toEqual([])
    expect(importsOf("export const message = () => `from 'here'`\nexport const b = c('from', 'there')")).toEqual([])
  })

  test('finds circles within a room, through a third file, and of one file with itself', () => {
    const ring = { 'nn/a.ts': "import './b.js'", 'nn/b.ts': "import type { C } from './c.js'", 'nn/c.ts': "export * from './a.js'" }
    expect(lib(ring)).toEqual(['circle: nn/a.ts -> nn/b.ts -> nn/c.ts -> nn/a.ts'])
    expect(lib({ 'nn/a.ts': "import './a.js'" })).toEqual(['circle: nn/a.ts -> nn/a.ts'])
    expect(lib({ 'nn/a.ts': "import './b.js'\nimport './c.js'", 'nn/b.ts': "import './c.js'", 'nn/c.ts': '' })).toEqual([])
  })

  test('finds rooms that are not in the list, files that are not there, and what lies outside', () => {
    expect(lib({ 'cellar/a.ts': '' })).toEqual(['unknown room: cellar/a.ts'])
    expect(lib({ 'util/a.ts': "import './b.js'" })).toEqual(['missing: util/a.ts -> ./b.js'])
    expect(lib({ 'util/a.ts': "import '../../test/b.js'" })).toEqual(['outside lib: util/a.ts -> ../../test/b.js'])
  })

  test('finds a definition of a kernel that knows of programs', () => {
    const files = { 'backend/js/kernels/sum.ts': "import './../replay/line.js'", 'backend/js/replay/line.ts': '' }
    expect(lib(files)).toEqual(['backend/js: upward: kernels/sum.ts -> replay/line.ts'])
  })

  test('finds packages that are no dependency at run time', () => {
    const source = "import load from 'node-gyp-build'\nimport { parse } from '@scope/name/sub'"
    expect(lib({ 'io/a.ts': source }, ['node-gyp-build', '@scope/name'])).toEqual([])
    expect(lib({ 'io/a.ts': source }, ['node-gyp-build'])).toEqual(['not a dependency: io/a.ts -> @scope/name/sub'])
  })

  test('native: a kernel knows the pool and nothing else of programs', () => {
    const files = { 'program/pool.h': '', 'program/arena.h': '', 'kernels/gemm.cc': '#include "program/pool.h"\n#include <cblas.h>' }
    expect(native(files)).toEqual([])
    expect(native({ ...files, 'kernels/sum.cc': '#include "../program/arena.h"' })).toEqual(['upward: kernels/sum.cc -> program/arena.h'])
    expect(native({ ...files, 'program/pool.h': '#include "boundary/spans.h"', 'boundary/spans.h': '' })).toEqual([
      'upward: program/pool.h -> boundary/spans.h',
    ])
  })

  test.each(['<napi.h>', '"node_api.h"', '<js_native_api.h>', '<v8.h>', '<uv.h>'])('native: no %s in kernels and programs', (header) => {
    const name = header.slice(1, -1)
    expect(native({ 'kernels/a.cc': `#include ${header}` })).toEqual([`Node header: kernels/a.cc -> ${name}`])
    expect(native({ 'program/a.h': `#  include ${header}` })).toEqual([`Node header: program/a.h -> ${name}`])
    expect(native({ 'boundary/a.cc': `#include ${header}` })).toEqual([])
  })

  test('native: finds circles of headers', () => {
    expect(native({ 'program/a.h': '#include "b.h"', 'program/b.h': '#include "program/a.h"' })).toEqual([
      'circle: program/a.h -> program/b.h -> program/a.h',
    ])
  })
})
