/** Fitted transforms: values by hand, the training part alone, sets and tensors, there and back, through JSON. */

import { describe, expect, test } from 'vitest'
import {
  Dataset,
  minMax,
  oneHotColumns,
  registerTransform,
  split,
  standardize,
  type Transform,
  type TransformJSON,
  tensor,
  transformFromJSON,
} from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'

const data = new Dataset(
  tensor(
    [
      [1, 10, 5],
      [2, 20, 5],
      [3, 60, 5],
    ],
    { dtype: 'float64' },
  ),
  [0, 1, 1],
  { classes: ['no', 'yes'], features: ['a', 'b', 'c'] },
)

describe('standardize', () => {
  test('mean 0 and standard deviation 1 over m; a constant becomes 0', () => {
    const z = standardize(data)(data).x
    expect(z.dtype).toBe('float64')
    const r = Math.sqrt(1.5)
    const b = Math.sqrt(1400 / 3)
    expect(z.data[0]).toBeCloseTo(-r, 14)
    expect(Array.from(z.data)).toEqual([-1 / Math.sqrt(2 / 3), -20 / b, 0, 0, -10 / b, 0, 1 / Math.sqrt(2 / 3), 30 / b, 0])
  })

  test('a constant that float64 cannot average exactly stays constant', () => {
    const z = standardize(tensor(new Float64Array(10).fill(0.1), { shape: [10, 1] }))
    for (const v of z(tensor([[0.1]], { dtype: 'float64' })).data) expect(Math.abs(v)).toBeLessThan(1e-15)
  })

  test('keeps the spread of values far from 0', () => {
    const z = standardize(tensor([1e8, 1e8 + 1, 1e8 + 2], { dtype: 'float64' }))
    expect(Array.from(z(tensor([1e8 + 2], { dtype: 'float64' })).data)[0]).toBeCloseTo(Math.sqrt(1.5), 7)
  })

  test('is fitted on the training part only and keeps names and targets', () => {
    const [train, rest] = split(
      new Dataset(
        Array.from({ length: 20 }, (_, i) => [i]),
        new Array(20).fill(0),
      ),
      { test: 0.5, seed: 1 },
    )
    const scale = standardize(train)
    const mean = Array.from(scale(train).x.data).reduce((a, b) => a + b, 0)
    expect(Math.abs(mean)).toBeLessThan(1e-5)
    expect(Math.abs(Array.from(scale(rest).x.data).reduce((a, b) => a + b, 0))).toBeGreaterThan(1e-3)
    const scaled = standardize(data)(data)
    expect(scaled.classes).toEqual(['no', 'yes'])
    expect(scaled.features).toEqual(['a', 'b', 'c'])
    expect(Array.from(scaled.y.data)).toEqual([0, 1, 1])
    expect(scaled.x.data.buffer).toBeInstanceOf(SharedArrayBuffer)
  })

  test('takes a batch, one sample, nested and typed arrays, and only chosen columns', () => {
    const scale = standardize(data, { columns: [0] })
    expect(scale([[2, 7, 8]]).toArray()).toEqual([[0, 7, 8]])
    expect(scale([2, 7, 8]).toArray()).toEqual([0, 7, 8])
    expect(scale(new Float64Array([2, 7, 8])).dtype).toBe('float64')
    expect(scale(tensor([[2, 7, 8]], { dtype: 'int32' })).dtype).toBe('float32')
  })

  test('scales targets and goes back', () => {
    const y = tensor([10, 20, 60], { dtype: 'float64' })
    const scale = standardize(y)
    const back = scale.inverse(scale(y))
    Array.from(back.data).forEach((v, i) => {
      expect(v).toBeCloseTo(y.data[i] as number, 12)
    })
  })

  test('scales images by their pixels', () => {
    const images = tensor([1, 2, 3, 4, 5, 6, 7, 9], { shape: [2, 2, 2] })
    expect(standardize(images)(images).toArray()).toEqual([
      [
        [-1, -1],
        [-1, -1],
      ],
      [
        [1, 1],
        [1, 1],
      ],
    ])
  })
})

describe('minMax', () => {
  test('the training range becomes [0, 1], a constant 0, others may leave it', () => {
    const scale = minMax(data)
    expect(scale(data).x.toArray()).toEqual([
      [0, 0, 0],
      [0.5, 0.2, 0],
      [1, 1, 0],
    ])
    expect(scale([5, 10, 5]).toArray()).toEqual([2, 0, 0])
    expect(scale.inverse(scale([5, 10, 5])).toArray()).toEqual([5, 10, 5])
  })

  test('another range, chosen columns', () => {
    const scale = minMax(data, { range: [-1, 3], columns: [1] })
    expect(scale([9, 60, 7]).toArray()).toEqual([9, 3, 7])
    expect(codeOf(() => minMax(data, { range: [1, 1] }))).toBe('ERR_RANGE')
  })
})

describe('oneHotColumns', () => {
  const codes = tensor([
    [7, 1, 0.5],
    [3, 1, 0.25],
    [7, 2, 0],
  ])
  test('one feature for each value seen, in growing order', () => {
    const encode = oneHotColumns(codes, { columns: [0, 1] })
    expect(encode(codes).toArray()).toEqual([
      [0, 1, 1, 0, 0.5],
      [1, 0, 1, 0, 0.25],
      [0, 1, 0, 1, 0],
    ])
    expect(encode.inverse(encode(codes)).toArray()).toEqual(codes.toArray())
  })

  test('refuses other values, or gives zeros', () => {
    expect(codeOf(() => oneHotColumns(codes, { columns: [0] })([4, 1, 0]))).toBe('ERR_LABEL')
    expect(oneHotColumns(codes, { columns: [0], unknown: 'zeros' })([4, 1, 0]).toArray()).toEqual([0, 0, 1, 0])
  })

  test('refuses a feature of too many values', () => {
    expect(codeOf(() => oneHotColumns(Float64Array.from({ length: 1001 }, (_, i) => i)))).toBe('ERR_RANGE')
  })

  test('drops names of features that no longer stand for columns', () => {
    expect(oneHotColumns(data)(data).features).toBeUndefined()
  })
})

describe('JSON', () => {
  test.each<[string, Transform]>([
    ['standardize', standardize(data)],
    ['minMax', minMax(data, { range: [-1, 1] })],
    ['oneHot', oneHotColumns(data, { columns: [0] })],
  ])('%s comes back with the same bits', (_, transform) => {
    const again = transformFromJSON(JSON.parse(JSON.stringify(transform)))
    expect(Array.from(again(data).x.data)).toEqual(Array.from(transform(data).x.data))
    expect(again.toJSON()).toEqual(transform.toJSON())
  })

  const good = standardize(data).toJSON()
  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['an unknown kind', { ...good, kind: 'toString' }],
    ['a missing field', { kind: 'standardize', shape: [3] }],
    ['other lengths', { ...good, shape: [4] }],
    ['a scale of 0', { ...good, scale: [1, 0, 1] }],
    ['no number', { ...good, shift: [1, null, 1] }],
    ['a shape of text', { ...good, shape: ['3'] }],
    ['columns out of range', { kind: 'oneHot', shape: [2], columns: [2], values: [[1]], unknown: 'refuse' }],
    ['lists of no numbers', { kind: 'oneHot', shape: [2], columns: [1], values: ['ab'], unknown: 'refuse' }],
  ])('refuses %s', (_, json) => {
    expect(['ERR_VALUE', 'ERR_SHAPE', 'ERR_INDEX']).toContain(codeOf(() => transformFromJSON(json)))
  })

  test("a user's own kind", () => {
    const plusOne = (json: TransformJSON) => Object.assign(minMax([[0], [1]]), { kind: json.kind })
    registerTransform('mine', plusOne)
    registerTransform('mine', plusOne)
    expect(transformFromJSON({ kind: 'mine' }).kind).toBe('mine')
    expect(codeOf(() => registerTransform('standardize', plusOne))).toBe('ERR_STATE')
  })
})

test('refuses what it cannot fit or transform', () => {
  expect(codeOf(() => standardize([[1], [Number.NaN]]))).toBe('ERR_DATA')
  expect(codeOf(() => standardize([]))).toBe('ERR_DATA')
  expect(codeOf(() => standardize(data, { columns: [3] }))).toBe('ERR_INDEX')
  expect(codeOf(() => standardize(data, { column: [1] } as object))).toBe('ERR_OPTION')
  expect(codeOf(() => standardize(data)([[1, 2]]))).toBe('ERR_SHAPE')
  expect(codeOf(() => standardize(data)([1, Number.POSITIVE_INFINITY, 2]))).toBe('ERR_DATA')
})
