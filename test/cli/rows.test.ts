/** Rows of all sorts through the commands: what is read comes back as it was, whatever it holds; what targets may be. */

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
mkdirSync(join(root, '.cache'), { recursive: true })
const folder = mkdtempSync(join(root, '.cache', 'rows-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function wengert(args: readonly string[], input?: string) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--disable-warning=WENGERT_JS', join(root, 'dist/lib/cli/main.js'), ...args],
    { cwd: folder, encoding: 'utf8', ...(input !== undefined && { input }) },
  )
  return { status, stdout, stderr }
}
const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text)
  return name
}
const each = <T>(of: (i: number, a: number) => T): T[] => Array.from({ length: 200 }, (_, i) => of(i, (i * 37) % 100))
const quick = ['--epochs', '2', '--rate', '0.01', '--hidden', '4', '--report', 'none']
const lines = (text: string) => text.trimEnd().split('\n')

describe('JSON lines', () => {
  const records = each(
    (i, a) => `{"id":${9007199254740993n + BigInt(i)},"a":${a},"new":${a % 2 === 0},"day":"2024-01-0${1 + (i % 9)}","y":${a > 50}}`,
  )
  beforeAll(() => {
    write('rows.jsonl', records.join('\n'))
    expect(wengert(['train', 'rows.jsonl', '--target', 'y', ...quick])).toMatchObject({ status: 0, stderr: '' })
  })

  test('come back as JSON lines, from files and pipes, with their types and every digit', () => {
    for (const { status, stdout } of [
      wengert(['predict', 'rows.wengert', 'rows.jsonl']),
      wengert(['predict', 'rows.wengert'], records.join('\n')),
    ]) {
      expect(status).toBe(0)
      const answers = lines(stdout)
      expect(answers.length).toBe(200)
      expect(answers[3]).toMatch(
        /^\{"id":"?9007199254740996"?,"a":11,"new":false,"day":"2024-01-04","y":false,"predicted y":"(true|false)","probability":0\.\d+\}$/,
      )
      expect(new Set(answers.map((line) => /"id":"?(\d+)/.exec(line)?.[1])).size).toBe(200)
    }
    expect(lines(wengert(['predict', 'rows.wengert', 'rows.jsonl', '--output', 'csv']).stdout)[1]).toMatch(
      /^9007199254740993,0,true,2024-01-01,false,/,
    )
  })

  test('identifiers of many digits stay apart', () => {
    expect(wengert(['inspect', 'rows.wengert']).stdout).toMatch(/^id +left out/m)
  })

  test('numbers of any size are answered, or refused by their row', () => {
    const row = (a: string) => `{"id":"1","a":${a},"new":true,"day":"2024-01-04"}`
    const large = wengert(
      ['predict', 'rows.wengert', '--only'],
      [row('10000000000000001'), row('100000000000000000000'), row('1e20')].join('\n'),
    )
    expect(large.stderr).toBe('')
    const [one, two, three] = lines(large.stdout)
    expect(one).toContain('"probability"')
    expect(two).toBe(three)
    const { status, stdout, stderr } = wengert(['predict', 'rows.wengert'], [...new Array(5000).fill(row('3')), row('1e300')].join('\n'))
    expect([status, lines(stdout).length]).toEqual([1, 4096])
    expect(stderr).toBe("wengert predict: row 5001, column 'a': '1e+300' is too far from the training values\n")
  })
})

test('folds in which a score is not defined are counted', () => {
  write('late.csv', `i,a,y\n${each((i, a) => `${i},${a},${i < 150 && i % 4 === 0 ? 'yes' : 'no'}`).join('\n')}\n`)
  const { status, stdout } = wengert([
    'train',
    'late.csv',
    '--target',
    'y',
    '--time',
    'i',
    '--validation',
    '0.2',
    '--test',
    '0.15',
    '--folds',
    '4',
    ...quick,
  ])
  expect(status).toBe(0)
  expect(stdout).toMatch(/^4 folds: rocAuc [\d.]+ ± [\d.]+ \(3 of 4\), .*logLoss [\d.]+ ± [\d.]+, /m)
})

describe('targets', () => {
  const scored = (...args: string[]) => wengert(['train', ...args, ...quick])

  test('several columns of truth values, however they are written, are labels', () => {
    write('truths.csv', `a,u,v\n${each((_, a) => `${a},${a > 50 ? 1 : 0},${a > 20 ? 'yes' : 'no'}`).join('\n')}\n`)
    expect(scored('truths.csv', '--target', 'u,v').stdout).toMatch(/^target +u: 2 labels, each there or not: u, v/m)
    write('ones.csv', `a,u,v\n${each((_, a) => `${a},${a > 50 ? 1 : 0},${a > 20 ? 1 : 0}`).join('\n')}\n`)
    expect(scored('ones.csv', '--target', 'u,v').stdout).toMatch(/2 labels/)
    expect(scored('ones.csv', '--target', 'u,v', '--task', 'numbers').stdout).toMatch(/^target +u: a number, standardised; v: a number/m)
  })

  test('of one column of labels, none is an answer: trained on, scored, and so in the ejected program', () => {
    write('labels.csv', `a,tags\n${each((_, a) => `${a},${a > 50 ? 'sport;music' : a > 20 ? 'music' : ''}`).join('\n')}\n`)
    const { status, stdout } = scored('labels.csv', '--target', 'tags', '--task', 'labels', '--eject', 'labels.mts')
    expect(status).toBe(0)
    expect(stdout).not.toContain('are left out')
    expect(stdout).toMatch(/^split +140 to train, 30 to stop by, 30 held out/m)
    expect(lines(wengert(['evaluate', 'labels.wengert', 'labels.csv']).stdout)[0]).toBe('200 rows')
    expect(readFileSync(join(folder, 'labels.mts'), 'utf8')).not.toContain('.complete(')
  })

  test('--kind says of a target what it is', () => {
    write('stars.csv', `a,stars\n${each((i, a) => `${a},${1 + (i % 5)}`).join('\n')}\n`)
    expect(scored('stars.csv', '--target', 'stars').stdout).toMatch(/^target +stars: 5 classes/m)
    expect(scored('stars.csv', '--target', 'stars', '--kind', 'stars=number').stdout).toMatch(/^target +stars: a number/m)
    expect(scored('stars.csv', '--target', 'a', '--kind', 'a=category').stdout).toMatch(/^target +a: 100 classes/m)
    expect(scored('stars.csv', '--target', 'stars', '--kind', 'stars=number', '--task', 'classes').status).toBe(64)
  })

  test('names and formats with commas', () => {
    write('commas.csv', `"a,b",when,y\n${each((i, a) => `${a},"Jan ${1 + (i % 28)}, 2024",${a > 50 ? 'yes' : 'no'}`).join('\n')}\n`)
    const { stdout } = scored('commas.csv', '--target', 'y', '--kind', 'when=date:MMM D, YYYY', '--kind', 'a,b=number')
    expect(stdout).toMatch(/^column +a,b: number/m)
    expect(stdout).toMatch(/^column +when: date/m)
    expect(scored('commas.csv', '--target', 'a,b', '--ignore', 'when').stdout).toMatch(/^target +a,b: a number/m)
    expect(scored('commas.csv', '--target', 'y', '--ignore', 'a,b', '--time', 'when', '--kind', 'when=date:MMM D, YYYY').stdout).toContain(
      'by time (when)',
    )
  })
})
