/** Reading tables: CSV, JSON lines, records; typed columns; what is refused; memory that does not grow. */

import { writeFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { readTable } from '../../lib/io/table-source.js'
import { dateIn, numberIn } from '../../lib/table/cell.js'
import { DictionaryColumn, NumericColumn, TextColumn } from '../../lib/table/column.js'
import { failureOf, folder } from '../io/helpers.js'

const place = folder()
const file = (name: string, text: string): string => {
  writeFileSync(place(name), text)
  return place(name)
}
const csv = (text: string) => readTable(Readable.from([Buffer.from(text)]))
const refusal = async (source: Parameters<typeof readTable>[0], options = {}) => failureOf(readTable(source, options))

describe('cells', () => {
  test.each([
    ['1', 1],
    ['-1.5e3', -1500],
    ['.5', 0.5],
    ['+2.', 2],
    ['0', 0],
    ['0.25', 0.25],
    ['00123', undefined],
    ['9007199254740993', undefined],
    ['0x10', undefined],
    ['1e999', undefined],
    ['1e', undefined],
    ['.', undefined],
    ['', undefined],
    ['1,5', undefined],
    ['Infinity', undefined],
    ['-', undefined],
  ])('the number in %j', (text, value) => expect(numberIn(text)).toBe(value))

  test.each([
    ['2026-01-03', Date.UTC(2026, 0, 3)],
    ['2026-01-03T14:05', Date.UTC(2026, 0, 3, 14, 5)],
    ['2026-01-03 14:05:06.5Z', Date.UTC(2026, 0, 3, 14, 5, 6, 500)],
    ['2026-01-03T14:05:06+02:00', Date.UTC(2026, 0, 3, 12, 5, 6)],
    ['2026-01-03T14:05-0130', Date.UTC(2026, 0, 3, 15, 35)],
    ['2024-02-29', Date.UTC(2024, 1, 29)],
    ['2026-02-29', undefined],
    ['2026-13-01', undefined],
    ['2026-01-03T25:00', undefined],
    ['2026-01-03T14:05:06.', undefined],
    ['2026-01-03X', undefined],
    ['03.01.2026', undefined],
  ])('the date in %j', (text, value) => expect(dateIn(text)).toBe(value))

  test('dates agree with the runtime on random moments', () => {
    for (let i = 0; i < 2000; i++) {
      const time = Math.floor(Math.abs(Math.sin(i) * 4e12))
      expect(dateIn(new Date(time).toISOString())).toBe(time)
    }
  })

  test('reading takes time in proportion to the text', () => {
    const seconds = (n: number) => {
      const texts = [
        `${'1'.repeat(n)}x`,
        '1'.repeat(n),
        `2026-01-03T14:05:06.${'1'.repeat(n)}`,
        '-'.repeat(n),
        `${'1'.repeat(n)}.${'1'.repeat(n)}e`,
      ]
      const start = performance.now()
      for (const text of texts) for (let i = 0; i < 20; i++) [numberIn(text), dateIn(text)]
      return performance.now() - start
    }
    seconds(1000)
    expect(seconds(200_000)).toBeLessThan(2000)
  })
})

describe('a CSV', () => {
  test('has columns of numbers, dates and texts, missing cells among them', async () => {
    const rows = await csv('a,b,c,d\n1,2026-01-03,x,1.5\n,2026-01-04T10:00Z,,NA\n3,,y,-2\n')
    expect(rows.names).toEqual(['a', 'b', 'c', 'd'])
    expect(rows.length).toBe(3)
    expect(rows.record(0)).toEqual({ a: 1, b: new Date(Date.UTC(2026, 0, 3)), c: 'x', d: 1.5 })
    expect(rows.record(1)).toEqual({ a: null, b: new Date(Date.UTC(2026, 0, 4, 10)), c: null, d: null })
    expect([...rows].map(({ d }) => d)).toEqual([1.5, null, -2])
    expect(rows.column('a').column).toBeInstanceOf(NumericColumn)
    expect(rows.column('c').column).toBeInstanceOf(DictionaryColumn)
  })

  test('keeps every bit of long integers and leading zeros, as texts', async () => {
    const rows = await csv('id,zip,n\n9007199254740993,01234,2147483647\n9007199254740995,99999,-2147483648\n')
    expect(rows.record(0)).toEqual({ id: '9007199254740993', zip: '01234', n: 2147483647 })
    expect(rows.record(1)).toEqual({ id: '9007199254740995', zip: '99999', n: -2147483648 })
    expect((rows.column('n').column as NumericColumn).values).toBeInstanceOf(Int32Array)
  })

  test('a column that turns out to be text is read again, as it stands in the file', async () => {
    const rows = await readTable(file('mixed.csv', 'v,w\n1.10,1\n1.1,2\nbeta,3\n'))
    expect([...rows].map(({ v }) => v)).toEqual(['1.10', '1.1', 'beta'])
    expect(rows.mixed.get('v')).toEqual({ was: 'number', cell: 'beta', row: 4 })
    expect([...(await csv('v\n1.10\nbeta\n'))].map(({ v }) => v)).toEqual(['1.1', 'beta'])
  })

  test('finds the delimiter, takes headers or none', async () => {
    expect((await csv('a;b\n1;2\n')).names).toEqual(['a', 'b'])
    expect((await csv('a\tb\n1\t2\n')).names).toEqual(['a', 'b'])
    expect((await csv('"a,b";c\n1;2\n')).names).toEqual(['a,b', 'c'])
    const bare = await readTable(Readable.from(['1,2\n3,4\n']), { header: false })
    expect([...bare]).toEqual([
      { 0: 1, 1: 2 },
      { 0: 3, 1: 4 },
    ])
  })

  test('columns may be called anything', async () => {
    const rows = await csv('__proto__,constructor,toString,hasOwnProperty\n1,a,2,b\n3,c,4,d\n')
    const record = rows.record(1)
    expect(Object.keys(record)).toEqual(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])
    expect(Object.getOwnPropertyDescriptor(record, '__proto__')?.value).toBe(3)
    expect(Object.getPrototypeOf(record)).toBe(Object.prototype)
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  test('is refused with the place of the mistake', async () => {
    expect((await refusal(Readable.from(['a,a\n1,2\n']))).message).toContain("the column 'a' is there twice")
    expect(await refusal(Readable.from(['a,b\n1,2\n3\n']))).toMatchObject({ code: 'ERR_FILE' })
    expect((await refusal(Readable.from(['a,b\n']))).message).toContain('no rows')
    expect((await refusal(Readable.from([]))).message).toContain('no rows')
    expect(await refusal('/nowhere/at.csv')).toMatchObject({ code: 'ERR_FILE' })
    const typed = await refusal(file('typed.csv', 'age\n1\nold\n'), { types: { age: 'number' } })
    expect(typed).toMatchObject({ code: 'ERR_DATA' })
    expect(typed.message).toContain("row 3, column 'age': expected a number, got 'old'")
    expect((await refusal(file('t.csv', 'age\n1\n'), { types: { aeg: 'number' } })).message).toContain("did you mean 'age'?")
    expect((await refusal(file('t.csv', 'age\n1\n'), { sampel: 3 })).message).toContain("did you mean 'sample'?")
  })
})

describe('JSON lines and records', () => {
  test('lines, with columns that come and go', async () => {
    const rows = await readTable(file('a.jsonl', '{"a":1,"b":"x"}\n\n{"a":2,"c":true}\r\n{"b":null,"c":false}'))
    expect([...rows]).toEqual([
      { a: 1, b: 'x', c: null },
      { a: 2, b: null, c: 'true' },
      { a: null, b: null, c: 'false' },
    ])
    expect((await readTable(Readable.from(['{"a":', '1}\n{"a":2}\n']))).length).toBe(2)
  })

  test('records in memory, out of a database, with dates and large integers', async () => {
    const when = new Date('2026-01-03T10:00:00Z')
    const records = [
      { id: 9007199254740993n, when, n: 1n, price: '19.90' },
      { id: 5n, when, n: 2n, price: '5' },
    ]
    const rows = await readTable(records)
    expect(rows.record(0)).toEqual({ id: '9007199254740993', when, n: 1, price: 19.9 })
    const cursor = async function* () {
      yield* records
    }
    expect([...(await readTable(cursor()))]).toEqual([...rows])
    expect([...(await readTable(rows))]).toEqual([...rows])
  })

  test('are refused with line or record, and column', async () => {
    expect((await refusal(Readable.from(['{"a":1}\n{"a":\n']))).message).toContain('line 2 is not JSON')
    expect((await refusal(Readable.from(['[{"a":1}]']))).message).toContain('readTable(JSON.parse(text))')
    expect((await refusal(Readable.from(['{"a":1}\n{"a":[1]}\n']))).message).toContain("line 2, column 'a': expected a finite number")
    expect((await refusal([{ a: 1 }, { a: Number.POSITIVE_INFINITY }])).message).toContain("record 1, column 'a'")
    expect((await refusal([{ a: 1 }, 5])).message).toContain('got 5 as record 1')
    expect((await refusal([{ a: new Date('x') }])).message).toContain('an invalid date')
    expect(await refusal(5 as never)).toMatchObject({ code: 'ERR_VALUE' })
  })

  test('a hostile line cannot make prototypes or endless columns', async () => {
    const rows = await readTable(Readable.from(['{"__proto__":{"polluted":1},"a":1}\n'].map((line) => line.replace('{"polluted":1}', '7'))))
    expect(Object.getOwnPropertyDescriptor(rows.record(0), '__proto__')?.value).toBe(7)
    const many = [Object.fromEntries(Array.from({ length: 10_002 }, (_, i) => [`c${i}`, 1]))]
    expect((await refusal(many)).message).toContain('more than 10000 columns')
    const sparse = async function* () {
      for (let i = 0; i < 100_000; i++) yield { [`c${i % 5000}`]: 1 }
    }
    expect((await refusal(sparse())).message).toContain('hardly any value')
  })
})

test('texts that nearly all differ are kept as bytes, and are the same', async () => {
  const name = (i: number) => `käufer-${i}-${'x'.repeat(i % 7)}`
  const source = async function* () {
    for (let i = 0; i < 100_000; i++) yield { name: i % 10 === 0 ? null : name(i), few: `f${i % 5}` }
  }
  const rows = await readTable(source())
  expect(rows.column('name').column).toBeInstanceOf(TextColumn)
  for (const i of [0, 1, 9, 10, 32_770, 65_537, 99_999]) expect(rows.record(i).name).toBe(i % 10 === 0 ? null : name(i))
  const part = rows.take([99_999, 10, 7])
  expect([...part].map((r) => r.name)).toEqual([name(99_999), null, name(7)])
  expect(rows.bytes / (100_000 * (14 + 2))).toBeLessThan(3)
})

test('a sample takes every row equally often, in order, and no more than asked for', async () => {
  const source = function* () {
    for (let i = 0; i < 5000; i++) yield { i, text: `t${i % 10}` }
  }
  const counts = new Float64Array(10)
  for (let seed = 0; seed < 30; seed++) {
    const rows = await readTable(source(), { sample: 400, seed })
    expect(rows.length).toBeGreaterThanOrEqual(100)
    expect(rows.length).toBeLessThanOrEqual(400)
    const is = [...rows].map(({ i }) => i as number)
    expect(is).toEqual([...is].sort((a, b) => a - b))
    for (const { i, text } of rows) {
      expect(text).toBe(`t${(i as number) % 10}`)
      const tenth = Math.floor((i as number) / 500)
      counts[tenth] = (counts[tenth] as number) + 1
    }
  }
  const mean = counts.reduce((a, b) => a + b, 0) / 10
  for (const count of counts) expect(Math.abs(count - mean)).toBeLessThan(5 * Math.sqrt(mean))
  expect([...(await readTable(source(), { sample: 400, seed: 1 }))]).toEqual([...(await readTable(source(), { sample: 400, seed: 1 }))])
})

test('a signal ends the reading', async () => {
  const stop = new AbortController()
  const source = async function* () {
    for (let i = 0; ; i++) {
      if (i === 5000) stop.abort()
      yield { i }
    }
  }
  await expect(readTable(source(), { signal: stop.signal })).rejects.toThrow('aborted')
})

test('bytes and lists of pieces are text, as streams of them are', async () => {
  const text = 'a,b\n1,x\n2,y\n'
  const bytes = new TextEncoder().encode(text)
  const expected = [...(await csv(text))]
  expect(expected).toEqual([
    { a: 1, b: 'x' },
    { a: 2, b: 'y' },
  ])
  const pieces = function* () {
    yield bytes.subarray(0, 5)
    yield bytes.subarray(5)
  }
  for (const source of [bytes, Buffer.from(text), [bytes], ['a,b\n1', ',x\n2,y\n'], pieces()])
    expect([...(await readTable(source))]).toEqual(expected)
  expect([...(await readTable(Buffer.from('{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n')))]).toEqual(expected)
  let asked = 0
  const records = function* () {
    for (;;) yield { a: asked++ }
  }
  const stop = new AbortController()
  stop.abort(new Error('enough'))
  await expect(readTable(records(), { signal: stop.signal })).rejects.toThrow('enough')
})
