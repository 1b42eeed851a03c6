/** Categories as codes in x: the first layer makes of them what stood written out in x before; files of then load and answer the same. */

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { loadModel, saveModel } from '../../lib/io/model.js'
import { readTable } from '../../lib/io/table-source.js'
import '../../lib/primitives/methods.js'
import { decodeModel, encodeModel } from '../../lib/io/model.js'
import { Linear, Sequential } from '../../lib/nn/layers.js'
import { TableInput } from '../../lib/nn/table-input.js'
import { category } from '../../lib/table/category.js'
import { type FitTableOptions, type FittedTable, fitTable, tableFromJSON } from '../../lib/table/fit.js'
import { windows } from '../../lib/table/windows.js'
import { tensor } from '../../lib/tensor/creation.js'
import { Random } from '../../lib/tensor/random.js'
import { SGD } from '../../lib/train/trainers.js'
import { folder } from '../io/helpers.js'

const place = folder()
const records = Array.from({ length: 300 }, (_, i) => ({
  plan: i % 11 === 0 ? null : ['free', 'basic', 'pro'][i % 3],
  city: ['Bonn', 'Köln', 'Ulm', 'Jena', 'Trier'][i % 50 === 1 ? 3 + (i % 2) : i % 3],
  tier: ['a', 'b'][(i >> 2) % 2],
  spend: (i * 7) % 50,
  left: (i * 7) % 50 > 25 ? 'yes' : 'no',
}))
const rows = await readTable(records)
const options: FitTableOptions = { target: 'left', columns: { city: category({ rare: 20 }), tier: category({ rare: 1 }) } }
const table = fitTable(rows, options)

/** The table as it was saved before, with its categories written out in x. */
function written(of: FittedTable): FittedTable {
  const json = JSON.parse(JSON.stringify(of))
  for (const column of json.columns) if (column.kind === 'category') column.version = 1
  return tableFromJSON(json)
}

/** What the first layer makes of records, by the names of features. */
function byName(of: FittedTable, list: readonly object[]): Map<string, number>[] {
  const y = of.input().forward(of.encode(list))
  return list.map((_, i) => new Map(of.features.map((name, j) => [name, y.data[i * of.width + j] as number])))
}

describe('codes become the features that were written out before', () => {
  test.each(['float32', 'float64'] as const)('in %s: known, missing, rare and unknown ones', (dtype) => {
    const fitted = fitTable(rows, { ...options, dtype })
    const before = written(fitted)
    expect(fitted.inputs.length).toBeLessThan(before.inputs.length)
    expect(new Set(fitted.features)).toEqual(new Set(before.features))
    const list = [
      ...records.slice(0, 12).map(({ left: _, ...rest }) => rest),
      { plan: 'gold', city: 'Atlantis', tier: 'z', spend: 1 },
      { plan: null, city: null, tier: null, spend: 2 },
    ]
    expect(byName(fitted, list)).toEqual(byName(before, list).map((map) => new Map(fitted.features.map((name) => [name, map.get(name)]))))
  })

  test('a gradient is that of the features written out', async () => {
    const before = written(table)
    const costs = [table, before].map((of) => {
      const rng = new Random(1)
      const last = new Linear(of.width, of.outputs, { rng, init: 'zeros' })
      const trainer = new SGD(new Sequential(of.input(), last), { loss: of.loss, learningRate: 0.1 })
      const { x, y } = of(rows)
      for (let i = 0; i < 20; i++)
        trainer.step([Array.from(x.data.subarray(i * of.inputs.length, (i + 1) * of.inputs.length))], [y.data[i] as number])
      return of.features.map((name, j) => [name, last.weight.data[j]] as const).sort(([a], [b]) => (a < b ? -1 : 1))
    })
    for (let j = 0; j < (costs[0] as readonly unknown[]).length; j++) {
      expect(costs[0]?.[j]?.[0]).toBe(costs[1]?.[j]?.[0])
      expect(costs[0]?.[j]?.[1]).toBeCloseTo(costs[1]?.[j]?.[1] as number, 6)
    }
  })

  test('many places take one column of x, and no more memory than their features', async () => {
    const many = await readTable(Array.from({ length: 2700 }, (_, i) => ({ k: `k${i % 900}`, y: i % 2 ? 'a' : 'b' })))
    const fitted = fitTable(many, { target: 'y', columns: { k: category({ as: 'oneHot', rare: 1 }) } })
    expect([fitted.inputs.length, fitted.width]).toEqual([1, 900])
    const y = fitted.input().forward(fitted.encode([{ k: 'k17' }, { k: 'new' }]))
    expect(Array.from(y.data.subarray(0, 900)).reduce((a, b) => a + b, 0)).toBe(1)
    expect(y.data[fitted.features.indexOf('k=k17')]).toBe(1)
    expect(y.data[900]).toBeCloseTo(1 / 900, 7)
  })
})

test('a model that was saved with categories written out answers as it did', async () => {
  const golden = fileURLToPath(new URL('../golden/table-wide', import.meta.url))
  const { records: asked, answers, features } = JSON.parse(readFileSync(`${golden}.json`, 'utf8'))
  const model = await loadModel(`${golden}.wengert`)
  // The last name stood for the codes of learned vectors, which have names of their own now.
  expect(model.table?.inputs).toEqual(features)
  const close = (list: typeof answers) => {
    for (const [i, answer] of list.entries()) {
      expect(answer.churned).toBe(answers[i].churned)
      expect(answer.probabilities.yes).toBeCloseTo(answers[i].probabilities.yes, 5)
    }
  }
  close(model.predictRecords(asked))
  // Saved anew it stays what it is.
  close(decodeModel(encodeModel(model, { table: model.table, threshold: model.threshold })).predictRecords(asked))
})

test('the layer is saved and read back, averages and all', async () => {
  const model = new Sequential(table.input({ rng: new Random(1) }), new Linear(table.width, 2, { rng: new Random(2) }))
  new SGD(model, { loss: table.loss, learningRate: 0.1 })
  await saveModel(model, place('codes.model'), { table })
  const loaded = await loadModel(place('codes.model'))
  const list = [{ plan: 'gold', city: 'Atlantis', tier: 'z', spend: 1 }]
  const x = table.encode(list)
  expect(Array.from(loaded.predict(x).data)).toEqual(Array.from(model.predict(x).data))
})

test('windows: past targets behind the codes pass, where the layer is told of them', async () => {
  const series = await readTable(
    Array.from({ length: 60 }, (_, i) => ({ kind: ['a', 'b', 'c'][i % 3], v: (i * 7) % 11, level: Math.sin(i) })),
  )
  const fitted = fitTable(series, { target: 'level' })
  const set = windows(fitted(series), { length: 4 })
  expect(set.x.shape).toEqual([56, 4, 3])
  const input = fitted.input({ history: true })
  expect(input.width).toBe(fitted.width + 1)
  const y = input.forward(set.x)
  expect(y.shape).toEqual([56, 4, input.width])
  // v, level and one of three kinds.
  expect(y.data[input.width - 1]).toBe(set.x.data[2])
  expect(Array.from(y.data.subarray(1, 4))).toEqual([1, 0, 0])
  expect(() => fitted.input().forward(set.x)).toThrow('expected x of shape [*, 2], got [56, 4, 3]')
})

test('misuse', () => {
  expect(() => new TableInput(1, [], { places: [{ count: 0 }] })).toThrow('expected places as a list of { count, average }')
  expect(() => new TableInput(1, [], { places: [{ count: 2, average: [1] }] })).toThrow('expected places')
  expect(() => new TableInput(0)).toThrow('dense')
  const layer = new TableInput(1, [], { places: [{ count: 2 }] })
  expect(() => layer.forward(tensor([[0.5, 2]]))).toThrow('0 … 1')
  expect(() => layer.forward(tensor([[0.5, 0.5]]))).toThrow('0.5')
  // A network without the layer does not take the codes for features.
  expect(() => new Linear(table.width, 2).forward(table(rows).x)).toThrow('expected x of shape')
})
