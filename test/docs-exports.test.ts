/** What the public surface exports has a docstring, and the guide made from the error codes is up to date. */

import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { errorCodes } from '../lib/errors.js'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Blank or a comment's inside: what may stand between a docstring and its declaration. */
const between = /^\s*\/\/ biome-ignore/

/** Whether the declaration of `name` in a source has a docstring right before it; undefined where it is not declared there. */
function documented(source: string, name: string): boolean | undefined {
  const lines = source.split('\n')
  const declaration = new RegExp(
    `^export (?:declare )?(?:abstract )?(?:async )?(?:function\\*?|class|const|let|interface|type|enum) (?:${name}\\b|\\{[^}]*\\b${name}\\b)`,
  )
  let found: boolean | undefined
  for (const [i, line] of lines.entries()) {
    if (!declaration.test(line)) continue
    let above = i - 1
    while (between.test(lines[above] ?? '')) above--
    found = found === true || (lines[above] ?? '').trimEnd().endsWith('*/')
  }
  return found
}

const index = join(root, 'lib', 'index.ts')

/** Every export of a file, those it hands on followed to where they are declared. */
function* exportsOf(file: string, prefix = ''): Generator<{ name: string; file: string; documented: boolean | undefined }> {
  const source = readFileSync(file, 'utf8')
  const target = (from: string) => join(dirname(file), from.replace(/\.js$/, '.ts'))
  for (const [, names, from] of source.matchAll(/^export (?:type )?\{([^}]*)\}(?: from '([^']+)')?/gm)) {
    for (const entry of (names as string).split(',').filter((one) => one.trim() !== '')) {
      const name = entry
        .trim()
        .replace(/^type /, '')
        .split(' as ')[0] as string
      const home = from === undefined ? file : target(from)
      yield { name: prefix + name, file: home, documented: documented(readFileSync(home, 'utf8'), name) }
    }
  }
  for (const [line, name, from] of source.matchAll(/^export \* as (\w+) from '([^']+)'/gm)) {
    const before = source.slice(0, source.indexOf(line as string)).trimEnd()
    yield { name: prefix + name, file, documented: before.endsWith('*/') }
    yield* exportsOf(target(from as string), `${prefix}${name}.`)
  }
  for (const [, from] of source.matchAll(/^export \* from '([^']+)'/gm)) yield* exportsOf(target(from as string), prefix)
  if (file === index) return
  for (const [, name] of source.matchAll(/^export (?:abstract )?(?:async )?(?:function\*?|class|const|interface|type|enum) (\w+)/gm)) {
    yield { name: `${prefix}${name}`, file, documented: documented(source, name as string) }
  }
}

describe('the public surface', () => {
  const all = [...exportsOf(index)]

  test('is read as a whole', () => {
    expect(all.length).toBeGreaterThan(200)
    for (const name of ['Tensor', 'MBSGD', 'nn.Linear', 'loss.crossEntropy', 'optim.adam', 'optim.schedules.cosine']) {
      expect(
        all.map((one) => one.name),
        name,
      ).toContain(name)
    }
  })

  test('has a docstring for every export', () => {
    const bare = all.filter((one) => one.documented !== true)
    expect(bare.map((one) => `${one.name} (${relative(root, one.file)})`)).toEqual([])
  })

  test('would miss one', () => {
    expect(documented('/** Said. */\nexport function f() {}', 'f')).toBe(true)
    expect(documented('\nexport const g = 1', 'g')).toBe(false)
    expect(documented('const h = 1', 'h')).toBeUndefined()
  })
})

test('docs/troubleshooting.md is what scripts/troubleshooting.mjs makes of the error codes', async () => {
  const script = '../scripts/troubleshooting.mjs'
  const { troubleshooting } = (await import(script)) as { troubleshooting(codes: typeof errorCodes): string }
  const file = join(root, 'docs', 'troubleshooting.md')
  expect(existsSync(file)).toBe(true)
  expect(readFileSync(file, 'utf8')).toBe(troubleshooting(errorCodes))
})
