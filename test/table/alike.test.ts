/** Parts of a table are read alike: how texts write dates and numbers is told by all rows that were split, or said once. */

import { describe, expect, test } from 'vitest'
import { readTable } from '../../lib/io/table-source.js'
import '../../lib/primitives/methods.js'
import { date } from '../../lib/table/date.js'
import { type FittedTable, fitTable, tableFromJSON } from '../../lib/table/fit.js'
import { ignore } from '../../lib/table/kinds.js'
import { number } from '../../lib/table/number.js'
import { folds, split } from '../../lib/table/split.js'
import type { Table } from '../../lib/table/table.js'

const two = (n: number) => String(n).padStart(2, '0')
const day = 86_400_000
/** 360 days; the first twelve of ten months, and only the last sixty rows have days after the twelfth. */
const moments = Array.from({ length: 360 }, (_, i) =>
  i < 300 ? Date.UTC(2024, Math.floor((i % 120) / 12), 1 + (i % 12)) : Date.UTC(2025, 1, 1) + (i - 300) * day,
).sort((a, b) => a - b)
const european = (time: number) => {
  const d = new Date(time)
  return `${two(d.getUTCDate())}/${two(d.getUTCMonth() + 1)}/${d.getUTCFullYear()}`
}
const read = (of: (time: number) => unknown, mix = 1) =>
  readTable(
    moments.map((_, i) => {
      const k = (i * mix) % moments.length
      return { when: of(moments[k] as number), k, y: k % 3 ? 'a' : 'b' }
    }),
  )
const kindOf = (table: FittedTable, name = 'when') => table.columns.find((column) => column.name === name)
const target = 'y'
const without = { k: ignore() }
/** What the rows become where dates are dates. */
const same = async (part: Table, table: FittedTable) => {
  const dates = await readTable([...part].map((row) => ({ ...row, when: new Date(moments[row.k as number] as number) })))
  const expected = fitTable(dates, { target, columns: without })
  expect(table.features).toEqual(expected.features)
  expect(Array.from(table(part).x.data)).toEqual(Array.from(expected(dates).x.data))
}

describe('dates that only some rows tell', () => {
  test('split by time, fitted, cut into folds', async () => {
    const rows = await read(european)
    const [train, validation] = split(rows, { parts: [0.7, 0.3], by: 'when' })
    // The training part alone would not tell.
    const alone = await readTable([...train])
    expect(kindOf(fitTable(alone, { target }))?.kind).not.toBe('date')
    const table = fitTable(train, { target, columns: without })
    expect(kindOf(table)).toMatchObject({ kind: 'date', spec: { format: 'DD/MM/YYYY' } })
    await same(train, table)
    expect(table(validation).length).toBe(validation.length)
    const parts = folds(train, { by: 'when', folds: 3 })
    for (const { train: part, test } of parts) {
      const last = (of: Table, pick: (...all: number[]) => number) => pick(...[...of].map(({ k }) => moments[k as number] as number))
      expect(last(part, Math.max)).toBeLessThan(last(test, Math.min))
      await same(part, fitTable(part, { target, columns: without }))
    }
    const again = tableFromJSON(JSON.parse(JSON.stringify(table)))
    expect(again.encode([{ when: '02/01/2024' }]).data).toEqual(table.encode([{ when: '02/01/2024' }]).data)
  })

  test.each([{ seed: 3 }, { stratify: 'y' }, { groups: 'k' }])('split by %j, and parts of parts', async (how) => {
    const rows = await read(european, 7)
    const [part] = split(rows, { parts: [0.5, 0.5], ...how })
    const early = part.take(Uint32Array.from([...part].flatMap((row, i) => ((row.k as number) < 250 ? [i] : []))))
    for (const one of [part, early, early.head(90), early.without('y').complete('when'), folds(early, { folds: 2 })[0]?.train as Table]) {
      const named = one.has('y') ? target : 'k'
      expect(kindOf(fitTable(one, { target: named }))).toMatchObject({ kind: 'date', spec: { format: 'DD/MM/YYYY' } })
    }
  })

  test('said once, at the split', async () => {
    const unclear = await readTable([...(await read(european)).head(250)])
    for (const format of ['DD/MM/YYYY', 'MM/DD/YYYY']) {
      const [train] = split(unclear, { parts: [0.7, 0.3], by: 'when', format })
      expect(kindOf(fitTable(train, { target }))?.spec).toEqual({ kind: 'date', format })
      for (const { train: part } of folds(train, { by: 'when', folds: 2 }))
        expect(kindOf(fitTable(part, { target }))?.spec?.format).toBe(format)
      // What is said of the column itself counts.
      const other = fitTable(train, { target, columns: { when: date({ format: 'DD/MM/YYYY' }) } })
      expect(kindOf(other)?.spec?.format).toBe('DD/MM/YYYY')
    }
    expect(kindOf(fitTable(unclear, { target }))?.kind).not.toBe('date')
  })

  test('date() takes what is told, and refuses what is not clear', async () => {
    const rows = await read(european)
    const told = fitTable(rows, { target, columns: { when: date({ optional: true }) } })
    expect(kindOf(told)).toMatchObject({ guessed: false, spec: { kind: 'date', format: 'DD/MM/YYYY', optional: true } })
    await same(rows, fitTable(rows, { target, columns: { when: date(), ...without } }))
    expect(() => fitTable(rows.head(250), { target, columns: { when: date() } })).toThrow(
      "fitTable: column 'when': dates, and DD/MM/YYYY and MM/DD/YYYY read all of them: say which by date({ format: 'DD/MM/YYYY' })",
    )
    const junk = await readTable(moments.map((time, i) => ({ when: i === 7 ? 'soon' : european(time), y: i % 2 ? 'a' : 'b' })))
    expect(() => fitTable(junk, { target, columns: { when: date() } })).toThrow("row 0, column 'when': expected a date such as 2026-01-03")
  })

  test('a row outside the training part that is no date makes it none in every part', async () => {
    const rows = await readTable(moments.map((time, i) => ({ when: i === 350 ? 'soon' : european(time), k: i, y: i % 3 ? 'a' : 'b' })))
    const [train, validation] = split(rows, { parts: [0.5, 0.5], seed: 1 })
    const [first, second] = [...train].some(({ k }) => k === 350) ? [validation, train] : [train, validation]
    const table = fitTable(first, { target })
    expect(kindOf(table)?.kind).not.toBe('date')
    expect(table(second).length).toBe(second.length)
  })
})

describe('leading zeros', () => {
  const written = (of: (d: number, m: number) => string) =>
    readTable(Array.from({ length: 90 }, (_, i) => ({ when: of(10 + (i % 19), 10 + (i % 3)), k: i, y: i % 3 ? 'a' : 'b' })))

  test('ways that differ in nothing else are one, which reads both', async () => {
    const rows = await written((d, m) => `${d}.${m}.2024`)
    const [train] = split(rows, { parts: [0.7, 0.3], by: 'when' })
    const table = fitTable(train, { target, columns: without })
    expect(kindOf(table)?.spec).toEqual({ kind: 'date', format: 'D.M.YYYY' })
    const both = table.encode([{ when: '5.1.2025' }, { when: '05.01.2025' }, { when: '05.1.2025' }, { when: new Date('2025-01-05') }])
    const [first, ...others] = Array.from({ length: 4 }, (_, i) =>
      Array.from(both.data.slice(i * table.inputs.length, (i + 1) * table.inputs.length)),
    )
    for (const other of others) expect(other).toEqual(first)
    expect(() => table.encode([{ when: '32.1.2025' }])).toThrow('expected a date written as D.M.YYYY')
    expect(() => table.encode([{ when: '005.1.2025' }])).toThrow('expected a date written as D.M.YYYY')
  })

  test('with and without in one column', async () => {
    const rows = await readTable(
      moments.map((time, i) => ({ when: i % 2 ? european(time) : european(time).replace(/^0|(?<=\/)0/g, ''), y: i % 3 ? 'a' : 'b' })),
    )
    expect(kindOf(fitTable(rows, { target }))).toMatchObject({ kind: 'date', spec: { format: 'D/M/YYYY' } })
    expect(kindOf(fitTable(rows.head(200), { target }))?.says).toContain('D/M/YYYY and M/D/YYYY read all of them: say which')
  })
})

test('decimal commas that only some rows tell', async () => {
  const rows = await readTable(
    Array.from({ length: 200 }, (_, i) => ({ v: i < 150 ? `${1 + (i % 9)},${100 + i}` : `${i},5`, y: i % 2 ? 'a' : 'b', i })),
  )
  const [train] = split(rows, { parts: [0.6, 0.4], by: 'i' })
  expect(kindOf(fitTable(train, { target }), 'v')).toMatchObject({ kind: 'number', spec: { decimal: ',' } })
  expect(kindOf(fitTable(rows, { target, columns: { v: number({ log: true }) } }), 'v')?.spec).toEqual({
    kind: 'number',
    decimal: ',',
    log: true,
  })
})
