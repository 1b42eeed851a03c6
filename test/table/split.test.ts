/** Parts and folds of tables: disjoint, whole, in proportion, by group, by time. */

import { describe, expect, test } from 'vitest'
import { readTable } from '../../lib/io/table-source.js'
import { folds, split } from '../../lib/table/split.js'
import type { Table } from '../../lib/table/table.js'

const rows = await readTable(
  Array.from({ length: 1000 }, (_, i) => ({
    i,
    rare: i % 50 === 0 ? 'yes' : 'no',
    patient: `p${Math.floor(i / 7)}`,
    day: new Date(Date.UTC(2026, 0, 1 + ((i * 37) % 100))),
    three: i < 3 ? 'a' : 'b',
  })),
)
const ids = (part: Table) => [...part].map(({ i }) => i as number)
const share = (part: Table, name: string, value: string) => [...part].filter((row) => row[name] === value).length / part.length

describe('split', () => {
  test('parts are disjoint, whole, of the shares asked for, and the same for the same seed', () => {
    const parts = split(rows, { parts: [0.7, 0.15, 0.15], seed: 1 })
    expect(parts.map(({ length }) => length)).toEqual([700, 150, 150])
    expect(parts.flatMap(ids).sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i))
    expect(split(rows, { parts: [0.7, 0.15, 0.15], seed: 1 }).map(ids)).toEqual(parts.map(ids))
    expect(split(rows, { parts: [0.7, 0.15, 0.15], seed: 2 }).map(ids)).not.toEqual(parts.map(ids))
  })

  test('stratified: a rare class in proportion, and no row lost in rounding', () => {
    const parts = split(rows, { parts: [0.5, 0.25, 0.25], stratify: 'rare', seed: 3 })
    for (const part of parts) expect(share(part, 'rare', 'yes')).toBeCloseTo(0.02, 2)
    expect(parts.map(({ length }) => length)).toEqual([500, 250, 250])
    for (let seed = 0; seed < 50; seed++) {
      const shares = [0.34, 0.33, 0.33]
      const cut = split(rows.head(200), { parts: shares, stratify: 'patient', seed })
      expect(cut.flatMap(ids).sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i))
      cut.forEach((part, i) => {
        expect(Math.abs(part.length - (shares[i] as number) * 200)).toBeLessThan(2)
      })
    }
  })

  test('groups stay together', () => {
    const [a, b] = split(rows, { parts: [0.8, 0.2], groups: 'patient', seed: 1 })
    const [pa, pb] = [a, b].map((part) => new Set([...part].map(({ patient }) => patient))) as [Set<unknown>, Set<unknown>]
    expect([...pa].filter((p) => pb.has(p))).toEqual([])
    expect(Math.abs(a.length - 800)).toBeLessThan(10)
  })

  test('by time: the future comes after the past, and no moment is in both', () => {
    const [a, b, c] = split(rows, { parts: [0.333, 0.333, 0.334], by: 'day' })
    const times = [a, b, c].map((part) => [...part].map(({ day }) => Number(day)))
    expect(Math.max(...(times[0] as number[]))).toBeLessThan(Math.min(...(times[1] as number[])))
    expect(Math.max(...(times[1] as number[]))).toBeLessThan(Math.min(...(times[2] as number[])))
    expect(a.length + b.length + c.length).toBe(1000)
  })

  describe('by time where dates are texts', () => {
    const two = (n: number) => String(n).padStart(2, '0')
    const written = (of: (date: Date) => string, count = 400) =>
      readTable(Array.from({ length: count }, (_, i) => ({ i, day: of(new Date(Date.UTC(2024, 0, 1 + ((i * 37) % count)))) })))
    const european = (d: Date) => `${two(d.getUTCDate())}/${two(d.getUTCMonth() + 1)}/${d.getUTCFullYear()}`
    const order = Array.from({ length: 400 }, (_, i) => i).sort((a, b) => ((a * 37) % 400) - ((b * 37) % 400))

    test('the way of writing is told by all values, or by format', async () => {
      const days = await written(european)

      for (const format of [undefined, 'DD/MM/YYYY']) {
        const [past, future] = split(days, { parts: [0.75, 0.25], by: 'day', ...(format && { format }) })
        expect([ids(past), ids(future)]).toEqual([order.slice(0, 300), order.slice(300)])
      }
    })

    test('what is not clear is refused, with what to do', async () => {
      const unclear = await written((d) => european(new Date(Date.UTC(2024, d.getUTCMonth(), 1 + (d.getUTCDate() % 12)))))
      expect(() => split(unclear, { parts: [0.5, 0.5], by: 'day' })).toThrow('DD/MM/YYYY and MM/DD/YYYY read all of them')
      const cut = ['DD/MM/YYYY', 'MM/DD/YYYY'].map((format) => split(unclear, { parts: [0.5, 0.5], by: 'day', format }).map(ids))
      expect(cut[0]).not.toEqual(cut[1])
      const days = await written(european)
      expect(() => split(days, { parts: [0.5, 0.5], by: 'day', format: 'YYYY-MM-DD' })).toThrow(
        "row 0, column 'day': expected a date written as YYYY-MM-DD, got '01/01/2024'",
      )
      expect(() => split(days, { parts: [0.5, 0.5], stratify: 'day', format: 'DD/MM/YYYY' })).toThrow('give by, too')
      expect(() => split(days, { parts: [0.5, 0.5], by: 'day', format: 7 as never })).toThrow("such as 'DD.MM.YYYY', got 7")
    })
  })

  test('by time: a moment of many rows at the end goes to the last part whole', async () => {
    const ties = await readTable(Array.from({ length: 20 }, (_, i) => ({ i, day: Math.min(i, 12) })))
    expect(split(ties, { parts: [0.8, 0.2], by: 'day' }).map((part) => part.length)).toEqual([12, 8])
    expect(() => split(ties, { parts: [0.1, 0.7, 0.1, 0.1], by: 'day' })).toThrow('part 2 of 4 would have none')
  })

  test('what cannot be', () => {
    expect(() => split([1] as never, { parts: [0.5, 0.5] })).toThrow(
      'split: expected a data set { x, y } or rows of readTable, got an array of 1; Dataset.fromRecords and readTable take lists of records',
    )
    expect(() => split(7 as never, { test: 0.5, seed: 1 })).toThrow('split: expected a data set { x, y } or rows of readTable, got 7')
    expect(() => split({ x: [[1], [2]], y: [1, 2] }, { parts: [0.5, 0.5] } as never)).toThrow('parts are for rows of readTable')
    expect(() => split(rows, { parts: [0.5, 0.6] })).toThrow('shares that are 1 together')
    expect(() => split(rows, { parts: [0.5, 0.5], stratify: 'rar' })).toThrow("did you mean 'rare'?")
    expect(() => split(rows, { parts: [0.5, 0.5], stratify: 'rare', by: 'day' })).toThrow('one of stratify, by and groups')
    expect(() => split(rows, { parts: [0.5, 0.5], by: 'rare' })).toThrow('holds text')
    expect(() => split(rows.head(2), { parts: [0.4, 0.3, 0.3] })).toThrow('would have none')
    expect(() => split(rows.head(7), { parts: [0.5, 0.5], groups: 'patient' })).toThrow('would have none')
    expect(() => split(rows, { parts: [0.5, 0.5], sead: 1 } as never)).toThrow("did you mean 'seed'?")
  })
})

describe('folds', () => {
  test.each([{}, { stratify: 'rare' }, { groups: 'patient' }])('every row is tested once: %j', (options) => {
    const cut = folds(rows, { folds: 4, seed: 1, ...options })
    expect(cut.length).toBe(4)
    expect(cut.flatMap(({ test: part }) => ids(part)).sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i))
    for (const { train, test: part } of cut) {
      const tested = new Set(ids(part))
      expect(ids(train).filter((i) => tested.has(i))).toEqual([])
      expect(train.length + part.length).toBe(1000)
    }
  })

  test('by time each is tested by what came before', () => {
    const cut = folds(rows, { folds: 4, by: 'day' })
    expect(cut.length).toBe(4)
    for (const { train, test: part } of cut) {
      const last = Math.max(...[...train].map(({ day }) => Number(day)))
      expect(Math.min(...[...part].map(({ day }) => Number(day)))).toBeGreaterThan(last)
    }
  })
})
