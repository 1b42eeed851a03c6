/** What a model goes by, scores on whole tables and streams, columns that give the target away, weights of classes. */

import { describe, expect, test } from 'vitest'
import { readTable, streamTable } from '../../lib/io/table-source.js'
import '../../lib/primitives/methods.js'
import { Linear, Sequential } from '../../lib/nn/layers.js'
import { scoreTable } from '../../lib/table/evaluate.js'
import { partialDependence, permutationImportance } from '../../lib/table/explain.js'
import { fitTable } from '../../lib/table/fit.js'
import { findLeaks } from '../../lib/table/leaks.js'
import { number } from '../../lib/table/number.js'
import { classWeights } from '../../lib/table/weights.js'
import { tensor } from '../../lib/tensor/creation.js'

const hash = (i: number) => ((Math.imul(i + 1, 2654435761) >>> 0) % 10_007) / 10_007
const records = Array.from({ length: 1000 }, (_, i) => ({
  strong: hash(i),
  weak: hash(i + 5000),
  none: hash(i + 9000),
  kind: ['a', 'b', 'c'][i % 3] as string,
  y: 3 * hash(i) + 0.5 * hash(i + 5000),
  label: hash(i) > 0.7 ? 'yes' : 'no',
}))
const rows = await readTable(records)

/** y = 3 strong + 0.5 weak, known exactly. */
const table = fitTable(rows.without('label'), {
  target: 'y',
  columns: {
    strong: number({ scale: 'none' }),
    weak: number({ scale: 'none' }),
    none: number({ scale: 'none' }),
    y: number({ scale: 'none' }),
  },
})
const linear = new Linear(table.width, 1)
linear.weight.assign(tensor([table.features.map((name) => ({ strong: 3, weak: 0.5 })[name] ?? 0)]))
linear.bias?.assign(tensor([0]))
const model = new Sequential(table.input(), linear)

test('importance is in the order of what columns contribute', () => {
  const found = permutationImportance(model, table, rows.without('label'), { repeats: 5 })
  expect(found.map(({ column }) => column)).toEqual(['strong', 'weak', ...found.slice(2).map(({ column }) => column)])
  // E (3 (x − x′))² = 9 · 2 var x, var x = 1/12.
  expect(found[0]?.importance).toBeCloseTo(9 / 6, 1)
  expect(found[1]?.importance).toBeCloseTo(0.25 / 6, 1)
  expect(found[2]?.importance).toBeCloseTo(0, 9)
  expect(permutationImportance(model, table, rows.without('label'), { repeats: 5 })).toEqual(found)
})

test('dependence is the slope of a line, and flat where nothing depends', () => {
  const { at, answers } = partialDependence(model, table, rows, 'strong') as NonNullable<ReturnType<typeof partialDependence>>
  const values = answers[0]?.values as readonly number[]
  const slope = ((values.at(-1) as number) - (values[0] as number)) / ((at.at(-1) as number) - (at[0] as number))
  expect(slope).toBeCloseTo(3, 4)
  const flat = partialDependence(model, table, rows, 'kind')
  expect(flat?.kind).toBe('category')
  expect([...(flat?.at ?? [])].sort()).toEqual(['a', 'b', 'c'])
  expect(new Set(flat?.answers[0]?.values.map((v) => v.toFixed(9))).size).toBe(1)
  expect(() => partialDependence(model, table, rows, 'strnog')).toThrow("did you mean 'strong'?")
})

describe('scores', () => {
  test('are the same of a table and of its batches', async () => {
    const whole = await scoreTable(model, table, rows.without('label'))
    expect(whole.rmse).toBeLessThan(1e-6)
    expect(whole.r2).toBeCloseTo(1, 9)
    const lines = records.map(({ label: _, ...rest }) => `${JSON.stringify(rest)}\n`)
    const { Readable } = await import('node:stream')
    const batches = streamTable(Readable.from(lines), { rows: 77 })
    const streamed = await scoreTable(model, table, batches)
    expect(streamed.rows).toBe(1000)
    expect(streamed.rmse).toBeCloseTo(whole.rmse as number, 9)
  })

  test('of classes: counts, and areas of one against the rest', async () => {
    const three = await readTable(records.map(({ strong, kind }) => ({ strong, kind })))
    const classes = fitTable(three, { target: 'kind' })
    const constant = new Sequential(new Linear(classes.width, 3, { init: 'zeros' }))
    const scores = await scoreTable(constant, classes, three)
    expect(scores.logLoss).toBeCloseTo(Math.log(3), 6)
    expect(scores.brier).toBeCloseTo(2 / 3, 6)
    expect(scores.rocAuc).toBe(0.5)
    expect(scores.confusionMatrix?.flat().reduce((a, b) => a + b, 0)).toBe(1000)
  })
})

describe('leaks', () => {
  const with_ = (extra: (r: (typeof records)[0], i: number) => object) =>
    readTable(records.map((r, i) => ({ strong: r.weak, none: r.none, ...extra(r, i), label: r.label })))
  test('a copy, an amount that only one class has, a date of leaving', async () => {
    for (const extra of [
      (r: (typeof records)[0]) => ({ copy: r.label.toUpperCase() }),
      (r: (typeof records)[0], i: number) => ({ copy: r.label === 'yes' ? 1 + (i % 90) : 0 }),
      (r: (typeof records)[0]) => ({ copy: r.label === 'yes' ? '2026-01-03' : null }),
    ])
      expect(findLeaks(await with_(extra), 'label').map(({ column }) => column)).toEqual(['copy'])
  })

  test('identifiers, noise and good predictors are none', async () => {
    expect(findLeaks(await with_((_r, i) => ({ id: `c${i}`, row: i, good: _r.strong + 0.1 * hash(i + 77) })), 'label')).toEqual([])
  })

  test('the columns of a small set that tell classes apart are none', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const small = await readTable(
        Array.from({ length: 105 }, (_, i) => ({
          petal: (i % 3) * 2 + hash(i + 1000 * seed),
          sepal: hash(i + 7),
          kind: ['a', 'b', 'c'][i % 3] as string,
        })),
      )
      expect(findLeaks(small, 'kind')).toEqual([])
    }
  })

  test('of a target of numbers', async () => {
    const numbers = await readTable(records.map(({ y, none, weak }) => ({ none, weak, twice: 2 * y + 1, y })))
    expect(findLeaks(numbers, 'y').map(({ column }) => column)).toEqual(['twice'])
  })
})

test('weights of classes', () => {
  expect(classWeights([0, 0, 0, 0, 1], 2)).toEqual([1, 4])
  expect(classWeights([0, 0, 0, 0, 1], 3, { power: 0.5 })).toEqual([1, 2, 1])
  expect(() => classWeights([0, 2], 2)).toThrow('labels in 0 … 1')
})
