/** What a caller hands over arrives in the model's precision, by every way into a model and a trainer. */

import { describe, expect, test } from 'vitest'
import { Dataset, FBGD, loss, nn, SGD, setBackend, split, Tensor, type TensorLike, tensor } from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'
import { announce, present, using } from '../support/engines.js'

announce('precision')

/** Neither is a float32: both would arrive as 16777216. */
const exact = 16777217
const identity = () => new nn.Linear(1, 1, { dtype: 'float64', bias: false, init: () => tensor([[1]], { dtype: 'float64' }) })

describe.each(present)('a float64 model on the %s engine', (name) => {
  const rows: [string, TensorLike][] = [
    ['numbers', [[exact]]],
    ['rows that are Float64Arrays', [new Float64Array([exact])]],
    ['BigInt64Array', [new BigInt64Array([BigInt(exact)])]],
    ['Uint32Array', [new Uint32Array([exact])]],
    ['a float64 tensor', tensor([[exact]], { dtype: 'float64' })],
  ]
  test.each(rows)('takes %s exactly: fit, evaluate, step, streams, predict', async (_, x) => {
    await using(name, async () => {
      const zero = [[0]]
      // The cost of half squared errors is ½ (x − 0)²; of targets ½ (0 − y)².
      const cost = 0.5 * exact ** 2
      const still = () => new FBGD(identity(), { loss: loss.squaredError, learningRate: 1e-300 })
      expect((await still().fit({ x, y: zero }, { epochs: 1 })).last?.cost).toBe(cost)
      expect((await still().fit({ x: zero, y: x }, { epochs: 1 })).last?.cost).toBe(cost)
      expect((await still().fit({ x: zero, y: zero }, { epochs: 1, validation: { x, y: zero } })).last?.validation?.cost).toBe(cost)
      expect((await still().evaluate({ x, y: zero })).cost).toBe(cost)
      expect((await still().evaluate({ x: zero, y: x })).cost).toBe(cost)
      expect(still().step(x, zero)).toBe(cost)
      expect(still().step(zero, x)).toBe(cost)
      const costs: number[] = []
      const stream = new SGD(identity(), { loss: loss.squaredError, learningRate: 1e-300 })
      const item = { x: zero as TensorLike, y: x }
      await stream.fitStream([item, item, { x, y: zero }], { onUpdate: (p) => costs.push(p.cost) })
      expect(costs).toEqual([cost, cost, cost])
      expect(identity().predict(x).item()).toBe(exact)
      expect((await identity().predictAsync(x)).item()).toBe(exact)
    })
  })

  test('the first sample of a stream is as exact as the second', async () => {
    await using(name, async () => {
      const costs: number[] = []
      const stream = new SGD(identity(), { loss: loss.squaredError, learningRate: 1e-300 })
      await stream.fitStream(
        [1, 2, 3].map(() => ({ x: [exact], y: [0] })),
        { onUpdate: (p) => costs.push(p.cost) },
      )
      expect(new Set(costs)).toEqual(new Set([0.5 * exact ** 2]))
    })
  })

  test('a stream goes on when the engine is exchanged under it', async () => {
    const costs: number[] = []
    const stream = new SGD(identity(), { loss: loss.squaredError, learningRate: 1e-300 })
    const items = Array.from({ length: 6 }, () => ({ x: [exact], y: [0] }))
    await stream.fitStream(items, {
      onUpdate: (p) => {
        costs.push(p.cost)
        setBackend(p.updates % 4 < 2 ? name : 'js')
      },
    })
    using(name, () => {})
    expect(costs).toEqual(items.map(() => 0.5 * exact ** 2))
  })

  test('weights of samples arrive exactly', async () => {
    await using(name, async () => {
      const data = { x: [[1], [2]], y: [[0], [0]], weights: [exact, 1] }
      const { cost } = await new FBGD(identity(), { loss: loss.squaredError, learningRate: 1 }).evaluate(data)
      expect(cost).toBeCloseTo((exact * 0.5 + 2) / (exact + 1), 15)
    })
  })
})

test('data sets keep numbers exactly where asked to, and typed arrays always', () => {
  const numbers = [[exact], [2], [3], [4]]
  expect(new Dataset(numbers, numbers, { dtype: 'float64' }).x.data[0]).toBe(exact)
  expect(
    new Dataset(
      numbers.map((row) => Float64Array.from(row)),
      numbers,
    ).x.data[0],
  ).toBe(exact)
  const [train, rest] = split({ x: numbers, y: numbers }, { test: 0.5, seed: 1, dtype: 'float64' })
  expect([...train.x.data, ...rest.x.data]).toContain(exact)
  expect(train.y.dtype).toBe('float64')
  expect(codeOf(() => new Dataset(numbers, numbers, { dtype: 'int32' as 'float32' }))).toBe('ERR_OPTION')
})

describe('typed arrays of every kind', () => {
  const kinds: [string, TensorLike, string][] = [
    ['Int8Array', new Int8Array([-1, 2]), 'int32'],
    ['Int16Array', new Int16Array([-1, 2]), 'int32'],
    ['Uint16Array', new Uint16Array([1, 2]), 'int32'],
    ['Uint32Array', new Uint32Array([1, 2]), 'int32'],
    ['Int32Array', new Int32Array([-1, 2]), 'int32'],
    ['BigInt64Array', new BigInt64Array([-1n, 2n]), 'int32'],
    ['BigUint64Array', new BigUint64Array([1n, 2n]), 'int32'],
    ['Uint8Array', new Uint8Array([1, 2]), 'float32'],
    ['Uint8ClampedArray', new Uint8ClampedArray([1, 2]), 'float32'],
    ['Float64Array', new Float64Array([-1, 2]), 'float64'],
    ['rows of Int16Arrays', [new Int16Array([-1]), new Int16Array([2])], 'int32'],
    ['rows of Float64Arrays', [new Float64Array([-1]), new Float64Array([2])], 'float64'],
    ['rows of both', [new Float64Array([-1]), new Int16Array([2])], 'float64'],
    ['rows of tensors', [tensor([1, 2], { dtype: 'int32' }), tensor([1, 2], { dtype: 'int32' })], 'int32'],
  ]
  test.each(kinds)('%s', (_, values, dtype) => {
    const t = tensor(values)
    expect(t.dtype).toBe(dtype)
    expect(Array.from(t.data, Math.abs).slice(0, 2)).toEqual([1, 2])
    expect(tensor(values, { dtype: 'float32' }).dtype).toBe('float32')
  })

  test('what does not fit is refused, by name', () => {
    expect(codeOf(() => tensor(new Uint32Array([2 ** 31])))).toBe('ERR_DTYPE')
    expect(tensor(new Uint32Array([2 ** 31]), { dtype: 'float64' }).item()).toBe(2 ** 31)
    expect(codeOf(() => tensor(new BigInt64Array([2n ** 60n]), { dtype: 'float64' }))).toBe('ERR_RANGE')
    expect(codeOf(() => tensor(new BigInt64Array([BigInt(exact)]), { dtype: 'float32' }))).toBe('ERR_RANGE')
    expect(codeOf(() => tensor(new BigInt64Array([2n ** 40n])))).toBe('ERR_DTYPE')
    const view = new DataView(new ArrayBuffer(8))
    expect(() => tensor(view as unknown as TensorLike)).toThrow(/DataView/)
    const gone = new Int16Array(2)
    structuredClone(gone, { transfer: [gone.buffer] })
    expect(codeOf(() => tensor(gone))).toBe('ERR_DETACHED')
  })
})

test('a parameter has memory of its own', async () => {
  const w = tensor([[1, 2]])
  const model = new nn.Sequential(new nn.Linear(2, 1, { init: () => w }), new nn.Linear(1, 1))
  const twin = new nn.Linear(2, 1, { init: () => w })
  const both = new nn.Sequential(new nn.Parallel(model, twin))
  const data = {
    x: [
      [1, 2],
      [3, -1],
    ],
    y: [
      [1, 0],
      [0, 1],
    ],
  }
  await new FBGD(both, { loss: loss.squaredError, learningRate: 0.05 }).fit(data, { epochs: 3 })
  expect(w.toArray()).toEqual([[1, 2]])
  const [first] = model.parameters()
  expect(first?.toArray()).not.toEqual(twin.weight.toArray())
  const predicted = both.predict(data.x)
  const forward = both.eval().forward(tensor(data.x))
  expect(predicted.toArray()).toEqual(forward.toArray())
  expect(codeOf(() => new nn.Parameter([1] as never))).toBe('ERR_VALUE')
  const p = new nn.Parameter(twin.weight)
  p.assign(tensor([[9, 9]]))
  expect(twin.weight.toArray()).not.toEqual([[9, 9]])
  expect(Tensor.from(p)).not.toBe(p)
})

test('a float64 model says once that a data set has lost digits, and nothing of one that has not', async () => {
  const told: string[] = []
  const hear = (warning: Error) => {
    if (warning.name === 'WengertPrecision') told.push(warning.message)
  }
  process.on('warning', hear)
  try {
    const [x, y] = [
      [[16777217], [3]],
      [[16777217], [1]],
    ]
    const trainer = new FBGD(new nn.Linear(1, 1, { dtype: 'float64', init: 'zeros' }), { loss: loss.mse, learningRate: 1e-30 })
    const costOf = async (data: Parameters<typeof trainer.evaluate>[0]) => (await trainer.evaluate(data)).cost
    expect(await costOf({ x, y })).toBe((16777217 ** 2 + 1) / 2)
    expect(await costOf(new Dataset(x, y, { dtype: 'float64' }))).toBe((16777217 ** 2 + 1) / 2)
    await new Promise((resolve) => setImmediate(resolve))
    expect(told).toEqual([])
    for (let i = 0; i < 2; i++) expect(await costOf(new Dataset(x, y))).toBe((16777216 ** 2 + 1) / 2)
    await new Promise((resolve) => setImmediate(resolve))
    expect(told).toEqual([expect.stringMatching(/float64.*float32.*dtype: 'float64'/)])
  } finally {
    process.off('warning', hear)
  }
})
