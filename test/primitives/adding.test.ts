/**
 * docs/adding.md, followed: its elementwise operation is added to a copy of the library, in the files that it names and
 * nowhere else, and is there: exported, a method, differentiable, typed, drawn on a tape; in C++ at the same place.
 */

import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
let folder = ''
beforeAll(() => {
  mkdirSync(join(root, 'build'), { recursive: true })
  folder = mkdtempSync(join(root, 'build', 'adding-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The steps of the guide: a file and what is written into it. */
function stepsOf(guide: string): { file: string; text: string }[] {
  const section = guide.slice(guide.indexOf('## An elementwise operation'), guide.indexOf('## Any other primitive'))
  return [...section.matchAll(/^\d\. [\s\S]*?`((?:lib|native)\/[^`]+)`[\s\S]*?^ {3}```\w+\n([\s\S]*?)^ {3}```$/gm)].map(
    ([, file, text]) => ({
      file: file as string,
      text: (text as string).replace(/^ {3}/gm, ''),
    }),
  )
}

/** After which line of a file the text goes; at its end where none is said. */
const places: Record<string, RegExp> = {
  'lib/backend/program.ts': /^ .*\bsquare: 1, /,
  'lib/backend/js/kernels/micro-ops.ts': /^export const loops/,
  'native/kernels/elementwise_ops.h': /^ {2}X\(square,/,
}

function insert(file: string, text: string): void {
  if (file === 'lib/primitives/methods.ts') {
    const source = readFileSync(join(root, file), 'utf8')
    writeFileSync(join(folder, file), source.replaceAll(/\bsquare,/g, `square, ${text.trim()}`))
    return
  }
  const lines = readFileSync(join(root, file), 'utf8').split('\n')
  const at = lines.findIndex((line) => places[file]?.test(line))
  if (file === 'lib/backend/program.ts') lines[at] = (lines[at] as string).replace('square: 1, ', `square: 1, ${text.trim()} `)
  else lines.splice(at < 0 ? lines.length : at + 1, 0, text.trimEnd())
  writeFileSync(join(folder, file), lines.join('\n'))
}

const use = `
import { cube, grad, setBackend, tensor, trace } from './lib/index.js'
setBackend('js')
const x = tensor([-2, 0.5], { dtype: 'float64' })
console.log(JSON.stringify({
  value: cube(x).toArray(),
  method: x.cube().toArray(),
  first: grad((v) => v.cube().sum())(x).toArray(),
  second: grad((v) => grad((u) => u.cube().sum())(v).sum())(x).toArray(),
  tape: trace((v) => v.cube(), x).toString(),
}))
`

test('an elementwise operation takes the four files that the guide names, a method one name more', () => {
  const steps = stepsOf(readFileSync(join(root, 'docs', 'adding.md'), 'utf8'))
  const files = steps.map(({ file }) => file)
  expect(files.length).toBe(5)
  expect(new Set(files).size).toBe(5)
  expect(files[4]).toBe('lib/primitives/methods.ts')
  for (const room of ['lib', 'native/kernels']) cpSync(join(root, room), join(folder, room), { recursive: true })
  for (const { file, text } of steps) insert(file, text)

  writeFileSync(join(folder, 'use.ts'), use)
  const compilerOptions = { rootDir: '.', outDir: 'out', declaration: false, sourceMap: false }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ extends: '../../tsconfig.json', compilerOptions, include: ['use.ts'] }))
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  expect(spawnSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' }).stdout).toBe('')
  const out = execFileSync(process.execPath, [join(folder, 'out', 'use.js')], { encoding: 'utf8' })
  const { tape, ...numbers } = JSON.parse(out) as { tape: string }
  expect(numbers).toEqual({ value: [-8, 0.125], method: [-8, 0.125], first: [12, 0.75], second: [-12, 3] })
  expect(tape).toContain('³')
}, 120_000)

test('the table of C++ has it at its number, with its value', (context) => {
  const compiler = ['c++', 'g++', 'clang++'].find((name) => spawnSync(name, ['--version']).status === 0)
  if (compiler === undefined) return context.skip('no C++ compiler here: the native table is checked where there is one')
  const source = `
#include <cstdio>
#include "native/kernels/isa.h"
#include "native/kernels/elementwise_functions.h"
using namespace wengert::isa_baseline;
using F = double;
#define PRINT(name, arity, cost, value) { F x = 1.5, y = 0.5, z = 2; (void)x, (void)y, (void)z; std::printf("%s %d %.3f\\n", #name, arity, double(value)); }
int main() { WENGERT_ELEMENTWISE(PRINT) return wengert::kElementwiseOps == 0; }
`
  writeFileSync(join(folder, 'table.cc'), source)
  const made = spawnSync(compiler, ['-std=c++17', '-O0', '-w', '-I', folder, '-o', join(folder, 'table'), join(folder, 'table.cc')], {
    encoding: 'utf8',
  })
  expect(made.stderr).toBe('')
  const table = execFileSync(join(folder, 'table'), { encoding: 'utf8' }).trim().split('\n')
  const numbered = /elementwiseOps = \{([\s\S]*?)\} as const/.exec(readFileSync(join(folder, 'lib', 'backend', 'program.ts'), 'utf8'))
  const names = [...(numbered?.[1] ?? '').matchAll(/(\w+): (\d)/g)].map(([, name, arity]) => `${name} ${arity}`)
  expect(table.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual(names)
  expect(table).toContain('cube 1 3.375')
}, 120_000)
