/**
 * Weights: of samples in a data set, of classes in a loss. The mean of a batch is Σ w L / Σ w, in trainers as in the losses
 * called by themselves and in PyTorch, and a full batch's is over all of it, in chunks or whole.
 */

import { describe, expect, test } from 'vitest'
import {
  type DataLike,
  Dataset,
  FBGD,
  loss,
  MBSGD,
  nn,
  Random,
  SGD,
  split,
  standardize,
  type Tensor,
  tensor,
  WengertError,
} from '../../lib/index.js'
import type { Loss } from '../../lib/nn/loss-contract.js'
import type { FloatDtype } from '../../lib/util/dtype.js'
import { announce, present, using } from '../support/engines.js'
import { golden } from '../support/golden.js'
import { floats } from '../support/models.js'
import { farthest, tolerances } from '../support/tolerance.js'

interface Trained {
  parameters: number[][]
  costs: number[]
  after: number
}
interface Run {
  loss: 'crossEntropy' | 'nll' | 'mse'
  classWeights: boolean
  sampleWeights: boolean
  trainer: 'FBGD' | 'SGD' | 'MBSGD'
  batch: number | null
  epochs: number
  float32: Trained
  float64: Trained
}
const file = golden<{ samples: number; widths: [number, number, number]; rate: number; classWeights: number[]; runs: Run[] }>('weights')
announce('weights')

const warnings: Error[] = []
process.on('warning', (warning) => warnings.push(warning))

const pattern = (n: number, factor: number, modulus: number, scale: number): number[] =>
  Array.from({ length: n }, (_, i) => (((i * factor) % modulus) - Math.floor(modulus / 2)) / scale)

const m = file.samples
const start = [pattern(42, 7919, 257, 256), pattern(7, 31, 61, 512), pattern(28, 6151, 251, 256), pattern(4, 7, 11, 256)]

function task(run: Run, dtype: FloatDtype) {
  const [i, h, o] = file.widths
  const layers = [new nn.Linear(i, h, { dtype }), new nn.Tanh(), new nn.Linear(h, o, { dtype })]
  const model = new nn.Sequential(...layers, ...(run.loss === 'nll' ? [new nn.LogSoftmax()] : []))
  model.parameters().forEach((p, k) => {
    p.assign(tensor(start[k] as number[], { shape: p.shape, dtype }))
  })
  const labels = tensor(Int32Array.from({ length: m }, (_, k) => (k * k + 3 * k) % 4))
  const data: DataLike = {
    x: tensor(pattern(m * 6, 10007, 509, 256), { shape: [m, 6], dtype }),
    y: run.loss === 'mse' ? tensor(pattern(m * 4, 2003, 127, 64), { shape: [m, 4], dtype }) : labels,
    ...(run.sampleWeights && { weights: Float64Array.from({ length: m }, (_, k) => (k % 5) * 0.5) }),
  }
  const options = run.classWeights ? { weight: file.classWeights } : {}
  const named = { crossEntropy: loss.crossEntropy, nll: loss.nll, mse: loss.mse }[run.loss]
  return { model, data, loss: named.with(options) as Loss }
}

function trainerOf({ trainer, batch }: Run, model: nn.Module, its: Loss) {
  const common = { loss: its, learningRate: batch === 1 ? file.rate / 16 : file.rate }
  if (trainer === 'FBGD') return new FBGD(model, common)
  return trainer === 'SGD' ? new SGD(model, common) : new MBSGD(model, { ...common, batchSize: batch as number })
}

const cases = file.runs.flatMap((run) =>
  floats.map((dtype) => {
    const weights = [run.classWeights && 'classes', run.sampleWeights && 'samples'].filter(Boolean).join(' and ')
    return { run, dtype, title: `${run.trainer}${run.batch ? ` of ${run.batch}` : ''}, ${run.loss}, weights of ${weights}, ${dtype}` }
  }),
)

const codeOf = (f: () => unknown): string => {
  try {
    f()
  } catch (error) {
    if (error instanceof WengertError) return error.code
    throw error
  }
  return 'nothing'
}

describe.each(present)('on %s', (engine) => {
  test.each(cases)('$title: as PyTorch', async ({ run, dtype }) => {
    const { model, data, loss: its } = task(run, dtype)
    const trainer = trainerOf(run, model, its)
    const history = await using(engine, () => trainer.fit(data, { epochs: run.epochs, seed: file.seed }))
    const expected = run[dtype]
    const tolerance = tolerances[dtype].training
    model.namedParameters().forEach(([name, p], i) => {
      expect(farthest(p.data, expected.parameters[i] as number[], tolerance), name).toBe('')
    })
    const costs = history.epochs.map((e) => e.cost)
    expect(farthest(costs, expected.costs, tolerance)).toBe('')
    const { cost } = await using(engine, () => trainer.evaluate(data))
    expect(farthest([cost], [expected.after], tolerance)).toBe('')
  })

  test('the loss called by itself has the cost of a trainer', async () => {
    for (const run of file.runs.filter((r) => r.trainer === 'FBGD')) {
      const { model, data, loss: its } = task(run, 'float64')
      const { cost } = await using(engine, () => trainerOf(run, model, its).evaluate(data))
      const own = its(model.predict(data.x), data.y as Tensor, { ...(data.weights !== undefined && { sampleWeight: data.weights }) })
      expect(farthest([own.item()], [cost], 1e-12), run.loss).toBe('')
    }
  })

  test('chunks of a full batch come to the same as the whole', async () => {
    for (const run of file.runs.filter((r) => r.trainer === 'FBGD')) {
      const [chunked, whole] = [task(run, 'float64'), task(run, 'float64')]
      await using(engine, () => trainerOf(run, chunked.model, chunked.loss).fit(chunked.data, { epochs: 5 }))
      // One batch of all samples, in an order that changes sums by rounding alone; and in parts, added up.
      const common = { loss: whole.loss, learningRate: file.rate, batchSize: m }
      await using(engine, () => new MBSGD(whole.model, common).fit(whole.data, { epochs: 5, seed: 1 }))
      const parts = task(run, 'float64')
      await using(engine, () =>
        new MBSGD(parts.model, { ...common, batchSize: 100, accumulate: 11 }).fit(parts.data, { epochs: 5, seed: 1 }),
      )
      for (const other of [whole, parts])
        chunked.model.parameters().forEach((p, i) => {
          expect(farthest(other.model.parameters()[i]?.data as Float64Array, p.data, 1e-11), run.loss).toBe('')
        })
    }
  })

  test('only proportions matter, and a sample of weight 2 counts as two', async () => {
    const rng = new Random(3)
    const x = rng.normal([40, 3], { dtype: 'float64' })
    const y = rng.normal([40, 1], { dtype: 'float64' })
    const twice = Array.from({ length: 40 }, (_, i) => i % 3 === 0)
    const positions = twice.flatMap((two, i) => (two ? [i, i] : [i]))
    const trained = async (data: DataLike) => {
      const model = new nn.Linear(3, 1, { rng: new Random(1), dtype: 'float64' })
      const { last } = await using(engine, () => new FBGD(model, { loss: loss.huber, learningRate: 0.1 }).fit(data, { epochs: 20 }))
      return [...model.parameters().flatMap((p) => Array.from(p.data)), last?.cost as number]
    }
    const repeated = await trained(new Dataset(x, y).take(positions))
    const weighted = await trained(new Dataset(x, y, { weights: twice.map((two) => (two ? 2 : 1)) }))
    expect(farthest(weighted, repeated, 1e-12)).toBe('')
    const huge = await trained({ x, y, weights: Float64Array.from(twice, (two) => (two ? 2e300 : 1e300)) })
    expect(farthest(huge, repeated, 1e-12)).toBe('')
  })

  test('validation is weighted by its own weights', async () => {
    const data = { x: [[1], [2], [3]], y: [[2], [4], [9]] }
    const model = new nn.Linear(1, 1, { bias: false })
    model.weight.assign(tensor([[2]]))
    const trained = (train: DataLike, validation: DataLike) =>
      using(engine, () => new FBGD(model, { loss: loss.mse, learningRate: 1e-30 }).fit(train, { epochs: 1, validation }))
    const weights = [1, 0, 2]
    expect((await trained(data, { ...data, weights })).last).toMatchObject({ cost: 3, validation: { cost: 6 } })
    expect((await trained({ ...data, weights }, data)).last).toMatchObject({ cost: 6, validation: { cost: 3 } })
  })

  test('single updates and streams', async () => {
    const make = () => {
      const model = new nn.Linear(1, 1, { bias: false })
      model.weight.assign(tensor([[2]]))
      return new SGD(model, { loss: loss.mse, learningRate: 0.125 })
    }
    const [x, y, weights] = [
      [[1], [1], [1]],
      [[2], [4], [3]],
      [1, 0, 1],
    ]
    const trainer = make()
    expect(using(engine, () => trainer.step(x, y, { weights }))).toBe(0.5)
    const after = trainer.model.parameters()[0]?.item()
    expect(after).toBe(2.125)
    const streamed = make()
    await using(engine, () => streamed.fitStream([{ x, y, weights }]))
    expect(streamed.model.parameters()[0]?.item()).toBe(after)
    // Of one sample, the weight cancels.
    const single = make()
    await using(engine, () => single.fitStream([1, 2, 3].map((weight) => ({ x: [1], y: 3, weights: weight }))))
    const plain = make()
    await using(engine, () => plain.fitStream([1, 2, 3].map(() => ({ x: [1], y: 3 }))))
    expect(single.model.parameters()[0]?.item()).toBe(plain.model.parameters()[0]?.item())
  })

  test('a batch whose classes all count nothing changes nothing', async () => {
    const model = new nn.Linear(2, 2, { rng: new Random(1) })
    const weights = () => JSON.stringify(model.parameters().map((p) => p.toArray()))
    const before = weights()
    const trainer = new MBSGD(model, { loss: loss.crossEntropy.with({ weight: [0, 1] }), learningRate: 1, batchSize: 2 })
    expect(using(engine, () => trainer.step([[1, 2]], [0]))).toBe(0)
    expect(weights()).toBe(before)
    expect(using(engine, () => trainer.step([[1, 2]], [1]))).toBeGreaterThan(0)
    expect(weights()).not.toBe(before)
  })

  test('a model that is trained eagerly', async () => {
    class Reads extends nn.Module {
      inner = new nn.Linear(2, 1, { rng: new Random(1), dtype: 'float64' })
      override forward(x: Tensor): Tensor {
        return x.data.length > 0 ? this.inner.forward(x) : x
      }
    }
    const rng = new Random(2)
    const data = { x: rng.normal([10, 2]), y: rng.normal([10, 1]), weights: Float64Array.from({ length: 10 }, (_, i) => i) }
    const results = []
    for (const model of [new Reads(), new Reads().inner]) {
      const history = await using(engine, () =>
        new MBSGD(model, { loss: loss.mse, learningRate: 0.1, batchSize: 4 }).fit(data, { epochs: 3, seed: 1, validation: data }),
      )
      results.push(history.epochs.flatMap((e) => [e.cost, e.validation?.cost as number]))
    }
    expect(farthest(results[0] as number[], results[1] as number[], 1e-10)).toBe('')
  })
})

describe('weights go with their samples', () => {
  const rng = new Random(1)
  const x = tensor(Array.from({ length: 20 }, (_, i) => [i, -i]))
  const data = new Dataset(
    x,
    Int32Array.from({ length: 20 }, (_, i) => i % 2),
    { weights: Array.from({ length: 20 }, (_, i) => i) },
  )
  const matches = (set: Dataset) => expect(Array.from(set.weights?.data ?? [])).toEqual(Array.from(set.x.slice(null, 0).data))

  test('through take, split, stratify and a plain object', () => {
    matches(data.take([3, 1, 19]))
    for (const part of split(data, { test: 0.3, seed: 2, stratify: true })) matches(part)
    for (const part of split({ x: data.x, y: data.y, weights: data.weights as Tensor }, { test: 0.3, seed: 2 })) matches(part)
    expect(split({ x: data.x, y: data.y }, { test: 0.3, seed: 2 })[0].weights).toBeUndefined()
    // A part may hold only samples that do not count.
    expect(Array.from(data.take([0]).weights?.data ?? [])).toEqual([0])
    expect(Array.from(standardize(data)(data.take([0])).weights?.data ?? [])).toEqual([0])
  })

  test('through transforms', () => {
    const scaled = standardize(data)(data)
    expect(Array.from(scaled.weights?.data ?? [])).toEqual(Array.from(data.weights?.data ?? []))
    expect(scaled.weights?.data.buffer).toBeInstanceOf(SharedArrayBuffer)
  })

  test('orders by class are those without weights', async () => {
    for (const order of [{}, { stratify: true }, { balance: true }, { dropLast: true }]) {
      const costs = []
      for (const weights of [undefined, new Float32Array(20).fill(3)]) {
        const model = new nn.Linear(2, 2, { rng: new Random(1), dtype: 'float64' })
        const set = new Dataset(rng.normal([20, 2]).mul(0).add(x.mul(0.05)), data.y, weights ? { weights } : {})
        const trainer = new MBSGD(model, { loss: loss.crossEntropy, learningRate: 0.1, batchSize: 6, ...order })
        costs.push((await trainer.fit(set, { epochs: 3, seed: 1 })).epochs.map((e) => e.cost))
      }
      expect(farthest(costs[1] as number[], costs[0] as number[], 1e-12)).toBe('')
    }
  })
})

describe('misuse', () => {
  const x = [[1], [2]]
  const y = [[1], [2]]
  test.each([
    [[1], 'ERR_DATA'],
    [[1, 2, 3], 'ERR_DATA'],
    [[1, Number.NaN], 'ERR_DATA'],
    [[1, Infinity], 'ERR_DATA'],
    [[0, 0], 'ERR_DATA'],
    [[2, -1], 'ERR_RANGE'],
    ['12', 'ERR_VALUE'],
    [null, 'ERR_VALUE'],
  ])('weights %j are refused: %s', async (weights, code) => {
    expect(codeOf(() => new Dataset(x, y, { weights: weights as number[] }))).toBe(code)
    const trainer = new FBGD(new nn.Linear(1, 1), { loss: loss.mse, learningRate: 0.1 })
    await expect(trainer.fit({ x, y, weights: weights as number[] }, { epochs: 1 })).rejects.toMatchObject({ code })
    expect(codeOf(() => trainer.step(x, y, { weights: weights as number[] }))).toBe(code)
    await expect(trainer.fitStream([{ x, y, weights: weights as number[] }])).rejects.toMatchObject({ code })
    expect(trainer.updates).toBe(0)
  })

  test('a training part without a sample that counts', async () => {
    const part = new Dataset(x, y, { weights: [0, 1] }).take([0])
    const trainer = new FBGD(new nn.Linear(1, 1), { loss: loss.mse, learningRate: 0.1 })
    await expect(trainer.fit(part, { epochs: 1 })).rejects.toMatchObject({ code: 'ERR_DATA' })
  })

  test('an option of step that there is not', () => {
    const trainer = new FBGD(new nn.Linear(1, 1), { loss: loss.mse, learningRate: 0.1 })
    expect(codeOf(() => trainer.step(x, y, { weight: [1, 1] } as never))).toBe('ERR_OPTION')
  })
})

test('that a weight cancels in batches of one is said, once', () => {
  expect(warnings.filter(({ name }) => name === 'WengertWeights').map(({ message }) => message)).toEqual([
    expect.stringMatching(/^an update on one sample is the weighted mean of one loss, in which its weight cancels/),
  ])
})
