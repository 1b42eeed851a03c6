/** Dates as people write them through every command: told by all rows, read alike in parts, folds, the ejected program, later rows. */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadModel } from '../../lib/index.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
mkdirSync(join(root, '.cache'), { recursive: true })
const folder = mkdtempSync(join(root, '.cache', 'dates-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string) => join(folder, name)

function wengert(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--disable-warning=WENGERT_JS', join(root, 'dist/lib/cli/main.js'), ...args],
    { cwd: folder, encoding: 'utf8' },
  )
  return { status, stdout, stderr }
}

const two = (n: number) => String(n).padStart(2, '0')
interface Row {
  time: Date
  size: number
  y: string
}
/** 390 rows in the order of time; days after the twelfth are in the last thirty alone. */
const rows = Array.from({ length: 390 }, (_, i): Row => {
  const time = i < 360 ? Date.UTC(2023 + Math.floor(i / 144), Math.floor((i % 144) / 12), 1 + (i % 12)) : Date.UTC(2025, 11, 2 + (i - 360))
  return { time: new Date(time), size: (i * 37) % 100, y: (i * 37) % 100 > 40 + (i % 20) ? 'yes' : 'no' }
})
const european = ({ time }: Row) => `${two(time.getUTCDate())}/${two(time.getUTCMonth() + 1)}/${time.getUTCFullYear()}`
const iso = ({ time }: Row) => time.toISOString().slice(0, 10)
const write = (name: string, when: (row: Row) => string, part = rows) =>
  writeFileSync(at(name), `when,size,y\n${part.map((row) => `${when(row)},${row.size},${row.y}\n`).join('')}`)

beforeAll(() => {
  write('told.csv', european)
  write('iso.csv', iso)
  write('unclear.csv', european, rows.slice(0, 360))
  write('new.csv', european, rows.slice(0, 9))
  write('new-iso.csv', iso, rows.slice(0, 9))
})

const quick = ['--epochs', '3', '--rate', '0.01', '--hidden', '8', '--keep', 'when', '--report', 'none']
const tail = (text: string) => text.slice(text.indexOf('On the '))
const scores = (text: string) => tail(text).replace(/^wrote .*\n/m, '')

describe.each([
  ['--time --folds', ['--time', 'when', '--folds', '2']],
  ['--folds', ['--folds', '3']],
  ['--groups --folds', ['--groups', 'size', '--folds', '2']],
  ['--time --kind when=date', ['--time', 'when', '--folds', '2', '--kind', 'when=date']],
])('told by all rows, %s', (name, flags) => {
  const out = name.replaceAll(/\W/g, '')

  test('what is learned is what ISO dates teach', () => {
    const told = wengert('train', 'told.csv', '--target', 'y', ...flags, ...quick, '--out', `${out}.wengert`, '--eject', `${out}.mts`)
    expect([told.status, told.stderr]).toEqual([0, ''])
    expect(told.stdout).toMatch(/^column +when: date, .*; dates as DD\/MM\/YYYY/m)
    const plain = wengert('train', 'iso.csv', '--target', 'y', ...flags, ...quick, '--out', `${out}-iso.wengert`)
    expect(plain.status).toBe(0)
    expect(scores(told.stdout)).toBe(scores(plain.stdout))
  }, 60_000)

  test('predict and evaluate read as it was trained', async () => {
    const told = wengert('predict', `${out}.wengert`, 'new.csv', '--only').stdout
    expect(told.split('\n').length).toBe(11)
    expect(told).toBe(wengert('predict', `${out}-iso.wengert`, 'new-iso.csv', '--only').stdout)
    expect(wengert('evaluate', `${out}.wengert`, 'new.csv').stdout).toBe(wengert('evaluate', `${out}-iso.wengert`, 'new-iso.csv').stdout)
    const model = await loadModel(at(`${out}.wengert`))
    expect(() => model.predictRecords([{ when: '12/25/2024', size: 1 }])).toThrow('expected a date written as DD/MM/YYYY')
  }, 60_000)

  test('the ejected program reads other rows as these', () => {
    const program = readFileSync(at(`${out}.mts`), 'utf8')
    expect(program).toContain("when: date({ format: 'DD/MM/YYYY' })")
    if (flags.includes('--time')) expect(program).toContain("by: 'when', format: 'DD/MM/YYYY' })")
    writeFileSync(
      at(`${out}.mjs`),
      program.replaceAll(/^const (\w+): string/gm, 'const $1').replace(`'${out}.wengert'`, `'${out}-2.wengert'`),
    )
    const run = (source: string) =>
      spawnSync(process.execPath, ['--disable-warning=WENGERT_JS', `${out}.mjs`, source], { cwd: folder, encoding: 'utf8' })
    expect(run('told.csv')).toMatchObject({ status: 0, stderr: '' })
    const [a, b] = [`${out}.wengert`, `${out}-2.wengert`].map((model) => wengert('predict', model, 'new.csv').stdout)
    expect(b).toBe(a)
    expect(run('unclear.csv')).toMatchObject({ status: 0, stderr: '' })
  }, 60_000)
})

test('said: rows that do not tell are read as said, in folds as well', () => {
  const said = wengert(
    'train',
    'unclear.csv',
    '--target',
    'y',
    '--time',
    'when',
    '--kind',
    'when=date:DD/MM/YYYY',
    '--folds',
    '2',
    ...quick,
  )
  expect([said.status, said.stderr]).toEqual([0, ''])
  write('unclear-iso.csv', iso, rows.slice(0, 360))
  const plain = wengert('train', 'unclear-iso.csv', '--target', 'y', '--time', 'when', '--folds', '2', ...quick)
  expect(scores(said.stdout)).toBe(scores(plain.stdout))
}, 60_000)

describe('what cannot be is refused before anything is trained', () => {
  const late = () => {
    writeFileSync(at('late.csv'), `i,when,y\n${rows.map((row, i) => `${i},${iso(row)},${i > 380 ? 'maybe' : row.y}\n`).join('')}`)
    return 'late.csv'
  }
  const ties = () => {
    writeFileSync(at('ties.csv'), `when,size,y\n${rows.map((row, i) => `${2000 + (i % 6)},${row.size},${row.y}\n`).join('')}`)
    return 'ties.csv'
  }
  const cases: [name: string, args: () => string[], code: number, says: RegExp][] = [
    [
      'a way of writing that is not clear',
      () => ['unclear.csv', '--time', 'when', '--folds', '2'],
      64,
      /DD\/MM\/YYYY and MM\/DD\/YYYY read all/,
    ],
    [
      '--kind when=date that is not clear',
      () => ['unclear.csv', '--kind', 'when=date'],
      1,
      /'when': dates, and DD\/MM\/YYYY and MM\/DD\/YYYY read all of them/,
    ],
    [
      'a class that only the future has',
      () => [late(), '--time', 'when'],
      1,
      /expected one of the classes of the training part \(no, yes\), got 'maybe'/,
    ],
    [
      'folds of too few moments',
      () => [ties(), '--time', 'when', '--folds', '5', '--validation', '0.3'],
      1,
      /--folds 5: fold 1: part 0 of 2 would have none of the 65 rows/,
    ],
  ]
  test.each(cases)('%s', (_name, args, code, says) => {
    const { status, stdout, stderr } = wengert(
      'train',
      ...args(),
      '--target',
      'y',
      '--keep',
      'when',
      '--report',
      'none',
      '--out',
      'refused.wengert',
    )
    expect(stderr).toMatch(says)
    expect(status).toBe(code)
    expect(stdout).not.toMatch(/^rate|^trained/m)
    expect(existsSync(at('refused.wengert'))).toBe(false)
  })
})
