/** Numbers and dates as people write them: told where all values agree, said where it is not clear, read the same in training and serving. */

import { describe, expect, test } from 'vitest'
import { readTable } from '../../lib/io/table-source.js'
import '../../lib/primitives/methods.js'
import { commaNumberIn } from '../../lib/table/cell.js'
import { fitTable, tableFromJSON } from '../../lib/table/fit.js'
import { number } from '../../lib/table/number.js'

const rowsOf = (text: (i: number) => string | null) =>
  readTable(Array.from({ length: 120 }, (_, i) => ({ v: text(i), other: (i * 7) % 13, y: i % 2 ? 'a' : 'b' })))
const reportOf = async (text: (i: number) => string | null) =>
  fitTable(await rowsOf(text), { target: 'y' }).columns.find(({ name }) => name === 'v')

test.each([
  ['1,5', 1.5],
  ['-1.234,5', -1234.5],
  ['1.234', 1234],
  ['12', 12],
  ['1.23', undefined],
  ['1,2,3', undefined],
  ['1,234.5', undefined],
  [`${'1'.repeat(500)},5`, undefined],
  ['', undefined],
])('a decimal comma in %s', (text, value) => expect(commaNumberIn(text)).toBe(value))

describe('decimal commas', () => {
  test('are told, and read in rows, records and streams alike', async () => {
    const rows = await rowsOf((i) => (i % 9 === 0 ? null : i % 4 ? `${i % 17},${i % 10}` : String(i % 17)))
    const table = fitTable(rows, { target: 'y' })
    expect(table.columns.find(({ name }) => name === 'v')).toMatchObject({
      kind: 'number',
      says: 'number, standardised; missing values marked; decimal commas',
    })
    const again = tableFromJSON(JSON.parse(JSON.stringify(table)))
    const plain = fitTable(await rowsOf((i) => (i % 9 === 0 ? null : i % 4 ? `${i % 17}.${i % 10}` : String(i % 17))), { target: 'y' })
    const expected = plain.encode([{ v: 3.5, other: 1 }])
    for (const v of ['3,5', 3.5]) {
      expect(Array.from(table.encode([{ v, other: 1 }]).data)).toEqual(Array.from(expected.data))
      expect(Array.from(again.encode([{ v, other: 1 }]).data)).toEqual(Array.from(expected.data))
    }
    expect(() => table.encode([{ v: '3.5', other: 1 }])).toThrow("column 'v': expected a number with a decimal comma, got '3.5'")
  })

  test('are not taken for granted where they may divide thousands', async () => {
    const found = await reportOf((i) => `${1 + (i % 9)},${100 + (i % 40)}`)
    expect(found?.kind).not.toBe('number')
    expect(found?.says).toContain("numbers with commas, such as '1,100': decimals by number({ decimal: ',' })")
    const told = fitTable(await rowsOf((i) => `${1 + (i % 9)},${100 + (i % 40)}`), {
      target: 'y',
      columns: { v: number({ decimal: ',' }) },
    })
    expect(told.inputs).toContain('v')
    expect(() => number({ decimal: '.' as never })).toThrow('decimal')
  })

  test('amounts in a form that is not read are said', async () => {
    expect((await reportOf((i) => `$${i}.50`))?.says).toContain("looks like numbers, such as '$0.50', in a form that is not read")
    expect((await reportOf((i) => `0${i % 7}`))?.says).toMatch(/^category, one feature for each of 7$/)
  })
})

describe('dates', () => {
  test.each([
    ['DD.MM.YYYY', (i: number) => `${String(1 + (i % 28)).padStart(2, '0')}.${String(1 + (i % 12)).padStart(2, '0')}.2025`],
    ['M/D/YYYY', (i: number) => `${1 + (i % 12)}/${1 + (i % 28)}/2025`],
    ['DD-MM-YYYY HH:mm', (i: number) => `${String(1 + (i % 28)).padStart(2, '0')}-03-2025 1${i % 10}:05`],
  ])('as %s', async (format, text) => {
    const rows = await rowsOf(text)
    const table = fitTable(rows, { target: 'y' })
    const found = table.columns.find(({ name }) => name === 'v')
    expect(found).toMatchObject({ kind: 'date', spec: { kind: 'date', format } })
    expect(found?.says).toContain(`dates as ${format}`)
    const { y: _, ...record } = rows.record(5)
    expect(Array.from(table.encode([record]).data)).toEqual(Array.from(table(rows.take([5])).x.data))
  })

  test('whose day and month may change places are said, not guessed', async () => {
    const found = await reportOf((i) => `0${1 + (i % 9)}/0${1 + (i % 7)}/2025`)
    expect(found?.kind).not.toBe('date')
    expect(found?.says).toContain('dates, and DD/MM/YYYY and MM/DD/YYYY read all of them: say which')
  })

  test('one that no format reads is said', async () => {
    expect((await reportOf((i) => (i === 77 ? '1.1.25' : `${1 + (i % 28)}.3.2025`)))?.says).toContain('but no one format reads all')
  })
})
