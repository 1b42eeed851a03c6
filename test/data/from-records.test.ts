/** Data sets out of records: plain numbers by name, integers whole, classes by text. */

import { expect, test } from 'vitest'
import { Dataset, nn, Random } from '../../lib/index.js'

const records = [
  { user: 16_777_217, item: 3, size: 1.5, kind: 'b', __weight: 2 },
  { user: 5, item: 4, size: 2.5, kind: 'a', __weight: 1 },
]

test('numbers, classes, weights, names', () => {
  const set = Dataset.fromRecords(records, { x: ['size', 'item'], y: 'kind', weights: '__weight' })
  expect(set.x.toArray()).toEqual([
    [1.5, 3],
    [2.5, 4],
  ])
  expect(Array.from(set.y.data)).toEqual([1, 0])
  expect(set.classes).toEqual(['a', 'b'])
  expect(set.features).toEqual(['size', 'item'])
  expect(Array.from(set.weights?.data ?? [])).toEqual([2, 1])
  expect(Dataset.fromRecords(records, { x: ['size'], y: ['item', 'size'] }).y.toArray()).toEqual([
    [3, 1.5],
    [4, 2.5],
  ])
})

test('integers keep all their bits', () => {
  const set = Dataset.fromRecords(records, { x: ['user', 'item'], y: 'size', dtype: 'int32' })
  expect(set.x.dtype).toBe('int32')
  expect(set.x.toArray()).toEqual([
    [16_777_217, 3],
    [5, 4],
  ])
  expect(set.y.dtype).toBe('float32')
  const table = new nn.Embedding(10, 2, { rng: new Random(1) })
  expect(table.forward(set.x.slice(null, [1, 2])).shape).toEqual([2, 1, 2])
})

test('misuse names record and column', () => {
  expect(() => Dataset.fromRecords(records, { x: ['kind'], y: 'size' })).toThrow(
    "record 0, column 'kind': expected a finite number, got 'b'; fitTable takes texts",
  )
  expect(() => Dataset.fromRecords([...records, { item: 1 }], { x: ['item'], y: 'size' })).toThrow("record 2 has no column 'size'")
  expect(() => Dataset.fromRecords(records, { x: ['size'], y: 'kind', classes: ['a'] })).toThrow(
    "record 0, column 'kind': expected one of a",
  )
  expect(() => Dataset.fromRecords([{ a: 1.5, b: 1 }], { x: ['a'], y: 'b', dtype: 'int32' })).toThrow('an integer of 32 bits')
  expect(() => Dataset.fromRecords([{ a: Number.NaN, b: 1 }], { x: ['a'], y: 'b' })).toThrow('a finite number')
  // No class is named by what is missing, and no digit of an identifier is lost in silence.
  for (const y of [null, undefined, Number.NaN, {}, new Date(0)])
    expect(() =>
      Dataset.fromRecords(
        [
          { a: 1, y: 'u' },
          { a: 2, y },
        ],
        { x: ['a'], y: 'y' },
      ),
    ).toThrow("record 1, column 'y': expected the name of a class")
  for (const a of [2n ** 60n + 1n, 10n ** 400n])
    expect(() => Dataset.fromRecords([{ a, y: 1 }], { x: ['a'], y: 'y', dtype: 'float64' })).toThrow('a number that a double holds')
  expect(Dataset.fromRecords([{ a: 2n ** 60n, y: 1 }], { x: ['a'], y: 'y', dtype: 'float64' }).x.data[0]).toBe(2 ** 60)
  expect(() => Dataset.fromRecords([], { x: ['a'], y: 'b' })).toThrow('at least one record')
  expect(() => Dataset.fromRecords([null], { x: ['a'], y: 'b' })).toThrow('as record 0')
  expect(() => Dataset.fromRecords(records, { x: ['toString'], y: 'size' })).toThrow("no column 'toString'")
})
