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

  test('what cannot be', () => {
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
