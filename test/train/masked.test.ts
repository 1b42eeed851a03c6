/** Targets of one a step of sequences of different lengths: what is padding counts in no cost, no gradient and no metric. */

import { describe, expect, test } from 'vitest'
import {
  FBGD,
  grad,
  loss,
  MBSGD,
  nn,
  padSequences,
  Random,
  SGD,
  type Tensor,
  type Trainer,
  tensor,
  top,
  valueAndGrad,
} from '../../lib/index.js'
import type { Loss } from '../../lib/nn/loss.js'
import { announce, during, present } from '../support/engines.js'
import { farthest } from '../support/tolerance.js'

announce('masked training')

type Dtype = 'float32' | 'float64'
const rng = new Random(7)
const [m, T, k] = [26, 6, 3]
const lengths = Int32Array.from({ length: m }, (_, i) => 1 + ((i * 5) % T))
const inside = (i: number) => i % T < (lengths[Math.floor(i / T)] as number)
const steps = Array.from({ length: m * T }, (_, i) => i)
const mask = tensor(
  Uint8Array.from(steps, (i) => (inside(i) ? 1 : 0)),
  { shape: [m, T], dtype: 'bool' },
)

/** A model that reads values trains eagerly. */
class Reads extends nn.Module {
  readonly inner: nn.Module
  constructor(inner: nn.Module) {
    super()
    this.inner = inner
  }
  override get takesLengths(): boolean {
    return true
  }
  override forward(x: Tensor, more: { lengths?: Tensor } = {}): Tensor {
    if ((x.sum().item() as number) > 1e9) throw new Error('never')
    return (this.inner as nn.Sequential).forward(x, more) as Tensor
  }
}

const make = (dtype: Dtype, outputs = k) => {
  const own = new Random(3)
  return new nn.Sequential(new nn.GRU(2, 4, { rng: own, dtype }), new nn.Linear(4, outputs, { rng: own, dtype }))
}

const x = (dtype: Dtype) =>
  padSequences(
    Array.from(lengths, (n) => rng.normal([n, 2]).cast(dtype)),
    { value: 4 },
  )
const numbers = (dtype: Dtype) => {
  const y = rng.normal([m, T, k]).cast(dtype)
  for (const i of steps) if (!inside(i)) for (let j = 0; j < k; j++) y.data[i * k + j] = 1e6
  return y
}
const classes = tensor(
  Int32Array.from(steps, (i) => (inside(i) ? (i * 7) % k : 40 + i)),
  { shape: [m, T] },
)

const losses: [string, Loss, (dtype: Dtype) => Tensor][] = [
  ['squaredError', loss.squaredError, numbers],
  ['huber', loss.huber, numbers],
  ['crossEntropy', loss.crossEntropy.with({ weight: [1, 3, 0.5] }), () => classes],
  ['a function', (p, y) => p.sub(y).abs().sum(-1), numbers],
]

/** The cost as a user of PyTorch writes it. */
const costOf = (of: Loss, prediction: Tensor, y: Tensor, weights?: Tensor): Tensor => {
  const values = of(prediction, y.dtype === 'int32' ? y.mul(mask.cast('int32')) : y.mul(mask.expandDims(2).cast(y.dtype)), {
    reduction: 'none',
    mask,
  })
  const w = weights ? mask.cast(prediction.dtype).mul(weights) : mask.cast(prediction.dtype)
  const each = values.rank === 3 ? values.mean(2) : values
  const own =
    y.dtype === 'int32'
      ? tensor([1, 3, 0.5], { dtype: prediction.dtype as Dtype })
          .gather(y.mul(mask.cast('int32')))
          .mul(w)
      : w
  return each.mul(w).sum().div(own.sum())
}

describe.each(present)('on %s', (engine) => {
  describe.each(['float32', 'float64'] as const)('%s', (dtype) => {
    const slack = dtype === 'float32' ? 2e-5 : 1e-11
    test.each(losses)('one update of the whole is that of the mean over real steps: %s', async (_name, of, target) => {
      await during(engine, async () => {
        const y = target(dtype)
        const data = { x: x(dtype), y }
        for (const weights of [
          undefined,
          Float32Array.from({ length: m }, (_, i) => 1 + (i % 3)),
          tensor(
            steps.map((i) => i % 4),
            { shape: [m, T], dtype },
          ),
        ]) {
          const w = weights instanceof Float32Array ? tensor(Array.from(weights), { shape: [m, 1], dtype }) : weights
          const expected = make(dtype)
          const [cost, gradients] = valueAndGrad(expected, () =>
            costOf(of, expected.forward(data.x.x, { lengths: data.x.lengths }) as Tensor, y, w),
          )()
          const given = { ...data, ...(weights && { weights }) }
          const options = { loss: of, learningRate: 0.5 }
          const trainers: [string, (model: nn.Module) => Trainer][] = [
            ['FBGD', (model) => new FBGD(model, options)],
            ['MBSGD', (model) => new MBSGD(model, { ...options, batchSize: m })],
            ['accumulated', (model) => new MBSGD(model, { ...options, batchSize: 4, accumulate: 8 })],
          ]
          for (const [name, trainerOf] of trainers) {
            const trainer = trainerOf(make(dtype))
            const { last } = await trainer.fit(given, { epochs: 1, seed: 1 })
            expect(Math.abs((last?.cost as number) / (cost.item() as number) - 1), name).toBeLessThan(slack)
            const before = make(dtype).parameters()
            trainer.model.parameters().forEach((p, i) => {
              const g = Object.values(gradients as Record<string, Tensor>)[i] as Tensor
              const moved = Array.from(p.data, (v, j) => ((before[i]?.data[j] as number) - v) / 0.5)
              expect(farthest(moved, g.data, slack * 20), name).toBe('')
            })
            const fresh = trainerOf(make(dtype))
            expect(Math.abs((await fresh.evaluate(given)).cost / (cost.item() as number) - 1), name).toBeLessThan(slack)
          }
          const stepped = new SGD(make(dtype), options)
          expect(Math.abs(stepped.step(data.x, y, weights ? { weights } : {}) / (cost.item() as number) - 1)).toBeLessThan(slack)
        }
      })
    })

    test('a full batch in chunks divides by the count of the whole', async () => {
      await during(engine, async () => {
        const copies = 100
        const one = { x: x(dtype), y: numbers(dtype) }
        const many = (t: Tensor) => t.gather(tensor(Int32Array.from({ length: copies * m }, (_, i) => Math.floor(i / copies))))
        const all = { x: { x: many(one.x.x), lengths: many(one.x.lengths) }, y: many(one.y) }
        const trained = async (data: typeof one | typeof all) => {
          const trainer = new FBGD(make(dtype), { loss: loss.mse, learningRate: 0.5 })
          const { last } = await trainer.fit(data, { epochs: 2, metrics: ['mae'] })
          return { trainer, last }
        }
        const [few, chunks] = [await trained(one), await trained(all)]
        expect(Math.abs((chunks.last?.cost as number) / (few.last?.cost as number) - 1)).toBeLessThan(slack)
        expect(Math.abs((chunks.last?.mae as number) / (few.last?.mae as number) - 1)).toBeLessThan(slack)
        chunks.trainer.model.parameters().forEach((p, i) => {
          expect(farthest(p.data, few.trainer.model.parameters()[i]?.data as Float32Array, slack * 5)).toBe('')
        })
      })
    })

    test('single updates, streams, and models that train eagerly', async () => {
      await during(engine, async () => {
        const y = numbers(dtype)
        const data = { x: x(dtype), y }
        const run = async (model: nn.Module) => {
          const trainer = new MBSGD(model, { loss: loss.mse, learningRate: 0.1, batchSize: 5 })
          const { last } = await trainer.fit(data, { epochs: 2, seed: 3, metrics: ['mae'] })
          return [last?.cost as number, last?.mae as number, trainer.step(data.x, y)] as const
        }
        const [compiled, eager] = [await run(make(dtype)), await run(new Reads(make(dtype)))]
        expect(farthest(eager, compiled, slack)).toBe('')
        const streamed = new SGD(make(dtype), { loss: loss.mse, learningRate: 0.1 })
        const stepped = new SGD(make(dtype), { loss: loss.mse, learningRate: 0.1 })
        const one = (i: number) => ({
          x: { x: data.x.x.slice([i, i + 1]), lengths: data.x.lengths.slice([i, i + 1]) },
          y: y.slice([i, i + 1]),
        })
        const items = [0, 1, 2, 3].map(one)
        await streamed.fitStream(items)
        for (const item of items) stepped.step(item.x, item.y)
        streamed.model.parameters().forEach((p, i) => {
          expect(farthest(p.data, stepped.model.parameters()[i]?.data as Float32Array, slack)).toBe('')
        })
      })
    })
  })

  test('metrics count the real steps, each as a sample', async () => {
    await during(engine, async () => {
      const data = { x: x('float32'), y: numbers('float32') }
      const labelled = { x: data.x, y: classes }
      const kept = tensor(Int32Array.from(steps.filter(inside)))
      const flat = (t: Tensor) => t.reshape([m * T, ...t.shape.slice(2)]).gather(kept)
      /** A model that gives what it is given: the flat set needs no network. */
      const same = new nn.Sequential()
      for (const bucketByLength of [false, true, 2]) {
        const options = { learningRate: 0.1, batchSize: 4 }
        const regression = new MBSGD(make('float32'), { ...options, loss: loss.mse, bucketByLength })
        const p = regression.model.predict(data.x)
        const peer = new MBSGD(same, { ...options, loss: loss.mse })
        const asked = ['mae', 'mse', 'rmse', 'r2'] as const
        const counts: number[] = []
        const own = (q: Tensor, y: Tensor, { mask: given }: { mask?: Tensor }) => {
          counts.push(given?.cast('int32').sum().item() as number)
          return q
            .sub(y)
            .square()
            .mean(2)
            .mul(given?.cast('float32') as Tensor)
            .sum()
        }
        const got = await regression.evaluate(data, { metrics: [...asked, own] })
        const expected = await peer.evaluate({ x: flat(p), y: flat(data.y) }, { metrics: asked })
        for (const name of asked) expect(got[name] / expected[name] - 1, name).toBeCloseTo(0, 4)
        expect(got.cost / expected.cost - 1).toBeCloseTo(0, 4)
        expect(counts).toEqual([kept.size])
        expect(((got as unknown as { custom: Record<string, number> }).custom.own as number) / kept.size / expected.mse - 1).toBeCloseTo(
          0,
          4,
        )

        const classifier = new MBSGD(make('float32'), { ...options, loss: loss.crossEntropy, bucketByLength })
        const z = classifier.model.predict(data.x)
        const labels = ['accuracy', top(2), 'precision', 'recall', 'f1', 'confusionMatrix', 'rocAuc', 'prAuc', 'logLoss', 'brier'] as const
        const beside = await classifier.evaluate(labelled, { metrics: labels })
        const alone = await new MBSGD(same, { ...options, loss: loss.crossEntropy }).evaluate(
          { x: flat(z), y: flat(classes) },
          { metrics: labels },
        )
        for (const name of ['accuracy', 'precision', 'recall', 'f1', 'rocAuc', 'prAuc', 'logLoss', 'brier', 'cost'] as const)
          expect(beside[name], name).toBeCloseTo(alone[name], 5)
        expect((beside as unknown as { custom: unknown }).custom).toEqual((alone as unknown as { custom: unknown }).custom)
        expect(beside.confusionMatrix).toEqual(alone.confusionMatrix)
        const { last } = await classifier.fit(labelled, { epochs: 1, seed: 1, validation: labelled, metrics: ['accuracy', 'f1'] })
        const after = await classifier.evaluate(labelled, { metrics: ['accuracy', 'f1'] })
        expect(last?.validation?.accuracy).toBeCloseTo(after.accuracy, 6)
        expect(last?.validation?.f1).toBeCloseTo(after.f1, 6)
        expect(last?.validation?.cost).toBeCloseTo(after.cost, 5)
        expect(last?.accuracy).toBeGreaterThan(0)
      }
    })
  })

  test('an axis that is as long by chance is no axis of steps', async () => {
    await during(engine, async () => {
      const rows = new nn.Sequential(
        new nn.GRU(2, 4, { rng: new Random(1) }),
        new nn.LastStep(),
        new nn.Linear(4, T, { rng: new Random(2) }),
      )
      const data = { x: x('float32'), y: rng.normal([m, T]) }
      const trainer = new MBSGD(rows, { loss: loss.mse, learningRate: 0.1, batchSize: 8 })
      const { cost, mse } = await trainer.evaluate(data, { metrics: ['mse'] })
      const expected = loss.mse(rows.predict(data.x), data.y).item() as number
      expect(cost).toBeCloseTo(expected, 5)
      expect(mse).toBeCloseTo(expected, 5)
    })
  })

  test('refused: a loss of whole samples, and a model of one length alone', async () => {
    await during(engine, async () => {
      const data = { x: x('float32'), y: numbers('float32') }
      const whole: Loss = (p, y) => p.sub(y).square().mean([1, 2])
      await expect(new MBSGD(make('float32'), { loss: whole, learningRate: 0.1, batchSize: 4 }).fit(data, { epochs: 1 })).rejects.toThrow(
        /gives one value a sample.*not every step/,
      )
      class Fixed extends nn.Module {
        readonly inner = new nn.Linear(2 * T, T * k, { rng: new Random(1) })
        override forward({ x }: { x: Tensor; lengths: Tensor }): Tensor {
          return this.inner.forward(x.reshape([-1, 2 * T])).reshape([-1, T, k])
        }
      }
      const fixed = () => new MBSGD(new Fixed(), { loss: loss.mse, learningRate: 0.1, batchSize: 4 })
      await expect(fixed().fit(data, { epochs: 1 })).rejects.toThrow(
        /cannot tell whether targets.*give weights 26×6|give weights \[26, 6\]/,
      )
      const weights = mask.cast('float32')
      const { cost } = await fixed().evaluate({ ...data, weights })
      expect(cost).toBeLessThan(100)
    })
  })
})

test('gradients of what does not count are 0', () => {
  const q = rng.normal([2, 3, 4]).cast('float64')
  const g = grad((z: Tensor) =>
    loss.mse(z, q.mul(2), {
      mask: tensor([
        [true, false, true],
        [false, false, false],
      ]),
    }),
  )(q) as Tensor
  const rows = Array.from({ length: 6 }, (_, i) => g.data.slice(i * 4, i * 4 + 4).some((v) => v !== 0))
  expect(rows).toEqual([true, false, true, false, false, false])
})
