/**
 * The three trainers against the mathematics, §6. Several tests use a loss that is the prediction itself: its gradient is
 * the mean of the inputs whatever the weights are, so the weights count what the updates saw.
 */

import { describe, expect, test } from 'vitest'
import { eye, FBGD, loss, MBSGD, nn, ones, Random, SGD, type Tensor, tensor, zeros } from '../../lib/index.js'
import type { Loss } from '../../lib/nn/loss-contract.js'
import { permutation, purposes } from '../../lib/util/random.js'
import { announce, present, using } from '../support/engines.js'
import { costAndGradients, floats, setParameters, snapshot } from '../support/models.js'
import { farthest } from '../support/tolerance.js'

announce('the trainers')

/** Σ of the outputs of each sample: ∂/∂w is the input. */
const itself: Loss = Object.assign((prediction: Tensor) => prediction.sum(1), { targets: 'values' as const })

/** w of shape [1, n], no bias, zero at first, float64. */
const counter = (n: number) => new nn.Linear(n, 1, { bias: false, init: 'zeros', dtype: 'float64' })

const regression = (m: number, inputs = 4, seed = 5) => {
  const rng = new Random(seed)
  return { x: rng.normal([m, inputs], { dtype: 'float64' }), y: rng.normal([m, 1], { dtype: 'float64' }) }
}
const network = (inputs = 4, seed = 2) => {
  const rng = new Random(seed)
  return new nn.Sequential(
    new nn.Linear(inputs, 6, { rng, dtype: 'float64' }),
    new nn.Tanh(),
    new nn.Linear(6, 1, { rng, dtype: 'float64' }),
  )
}

describe.each(present)('on %s', (engine) => {
  describe('one update by hand', () => {
    // ŷ = wx + b with w = 2, b = 1; samples (1, 0) and (3, 4): residuals 3 and 3; losses 4.5 and 4.5.
    // Gradients by w: 3·1 and 3·3, by b: 3 and 3. α = 0.1.
    const line = (dtype: 'float32' | 'float64') => {
      const model = new nn.Linear(1, 1, { dtype })
      setParameters(model, [[[2]], [1]])
      return model
    }
    const data = { x: [[1], [3]], y: [[0], [4]] }
    const expectClose = (values: Record<string, number[]>, w: number, b: number, dtype: 'float32' | 'float64') => {
      const tolerance = dtype === 'float32' ? 1e-6 : 1e-14
      expect(farthest(values.weight ?? [], [w], tolerance)).toBe('')
      expect(farthest(values.bias ?? [], [b], tolerance)).toBe('')
    }

    test.each(floats)('FBGD, %s: the mean gradient of all, Eq. (3.90)', async (dtype) => {
      const model = line(dtype)
      const history = await using(engine, () => new FBGD(model, { loss: loss.squaredError, learningRate: 0.1 }).fit(data, { epochs: 1 }))
      expectClose(snapshot(model), 2 - 0.1 * 6, 1 - 0.1 * 3, dtype)
      expect(history.last?.cost).toBeCloseTo(4.5, 6)
      expect(history.updates).toBe(1)
    })

    test.each(floats)('SGD, %s: one sample after the other, Eq. (3.91)', async (dtype) => {
      const model = line(dtype)
      const seed = 3
      const order = new Int32Array(2)
      permutation(order, { seed, purpose: purposes.order, a: 0, b: 0 })
      let [w, b, total] = [2, 1, 0]
      for (const i of order) {
        const [x, y] = [data.x[i]?.[0] as number, data.y[i]?.[0] as number]
        const r = w * x + b - y
        total += 0.5 * r * r
        w -= 0.1 * r * x
        b -= 0.1 * r
      }
      const history = await using(engine, () =>
        new SGD(model, { loss: loss.squaredError, learningRate: 0.1 }).fit(data, { epochs: 1, seed }),
      )
      expectClose(snapshot(model), w, b, dtype)
      expect(history.updates).toBe(2)
      expect(history.last?.cost).toBeCloseTo(total / 2, 5)
    })

    test.each(floats)('MBSGD, %s: the mean over its own batch, Eq. (3.94)', async (dtype) => {
      const model = line(dtype)
      const history = await using(engine, () =>
        new MBSGD(model, { loss: loss.squaredError, learningRate: 0.1, batchSize: 2 }).fit(data, { epochs: 1, seed: 1 }),
      )
      expectClose(snapshot(model), 2 - 0.1 * 6, 1 - 0.1 * 3, dtype)
      expect(history.updates).toBe(1)
    })

    test.each(floats)('step, %s: one synchronous update, the cost before it', (dtype) => {
      using(engine, () => {
        const model = line(dtype)
        const trainer = new SGD(model, { loss: loss.squaredError, learningRate: 0.1 })
        expect(trainer.step([[1], [3]], [[0], [4]])).toBeCloseTo(4.5, 6)
        expectClose(snapshot(model), 1.4, 0.7, dtype)
        expect(trainer.updates).toBe(1)
      })
    })
  })

  describe('batches', () => {
    test('1280 samples in batches of 128 are exactly 10 updates; a short last batch is one more, unless dropped', async () => {
      const count = async (m: number, batchSize: number, dropLast = false) => {
        const data = { x: ones([m, 1]), y: zeros([m, 1]) }
        const trainer = new MBSGD(new nn.Linear(1, 1), { loss: loss.squaredError, learningRate: 0.01, batchSize, dropLast })
        return (await using(engine, () => trainer.fit(data, { epochs: 2, seed: 1 }))).epochs.map((e) => e.updates)
      }
      expect(await count(1280, 128)).toEqual([10, 20])
      expect(await count(1281, 128)).toEqual([11, 22])
      expect(await count(1281, 128, true)).toEqual([10, 20])
      expect(await count(5, 128)).toEqual([1, 2])
      const sgd = new SGD(new nn.Linear(1, 1), { loss: loss.squaredError, learningRate: 0.01 })
      expect((await using(engine, () => sgd.fit({ x: ones([7, 1]), y: zeros([7, 1]) }, { epochs: 1, seed: 1 }))).updates).toBe(7)
    })

    test.each([
      ['SGD', 1],
      ['MBSGD', 4],
      ['MBSGD', 5],
      ['FBGD', 18],
    ] as const)('%s, batches of %d: each sample exactly once an epoch', async (name, size) => {
      const m = 18
      const model = counter(m)
      const options = { loss: itself, learningRate: 1 }
      const trainer =
        name === 'SGD'
          ? new SGD(model, options)
          : name === 'FBGD'
            ? new FBGD(model, options)
            : new MBSGD(model, { ...options, batchSize: size })
      // Sample i counts −1/|its batch| on weight i.
      const seen = async (epochs: number) => {
        const before = Array.from(model.weight.data)
        await using(engine, () => trainer.fit({ x: eye(m, { dtype: 'float64' }), y: zeros([m, 1]) }, { epochs, seed: 4 }))
        return Array.from(model.weight.data, (w, i) => (before[i] as number) - w)
      }
      const first = await seen(1)
      const short = m % size
      const near = (a: number, b: number) => Math.abs(a - b) < 1e-12
      expect(first.filter((c) => near(c, 1 / size)).length).toBe(m - short)
      expect(first.filter((c) => near(c, 1 / short)).length).toBe(short)
      // Over more epochs nobody is seen more often than others; who is in the short batch changes.
      const later = await seen(3)
      expect(later.every((c) => c > 3 / size - 1e-12)).toBe(true)
      expect(later.reduce((a, b) => a + b, 0)).toBeCloseTo(3 * Math.ceil(m / size), 10)
      if (short > 0) expect(later.filter((c) => near(c, 3 / short)).length).toBeLessThan(short + 1)
    })

    test('a dropped last batch leaves out its samples, others each epoch', async () => {
      const m = 10
      const model = counter(m)
      const trainer = new MBSGD(model, { loss: itself, learningRate: 1, batchSize: 4, dropLast: true })
      const left: string[] = []
      for (let epoch = 0; epoch < 4; epoch++) {
        const before = Array.from(model.weight.data)
        await using(engine, () => trainer.fit({ x: eye(m, { dtype: 'float64' }), y: zeros([m, 1]) }, { epochs: 1, seed: 2 }))
        const missed = before.flatMap((w, i) => (w === model.weight.data[i] ? [i] : []))
        expect(missed.length).toBe(2)
        left.push(missed.join())
      }
      expect(new Set(left).size).toBeGreaterThan(1)
    })

    test('the gradients of an epoch, weighted by batch size, average to the full one, Eq. (3.92)', async () => {
      const { x, y } = regression(23)
      const model = network()
      const full = costAndGradients(model, loss.squaredError, x, y)
      const order = new Int32Array(23)
      permutation(order, { seed: 6, purpose: purposes.order, a: 0, b: 0 })
      const total: Record<string, Tensor> = {}
      let cost = 0
      for (let at = 0; at < 23; at += 5) {
        const rows = Array.from(order.slice(at, at + 5))
        const part = costAndGradients(model, loss.squaredError, x.gather(rows), y.gather(rows))
        cost += (part.cost * rows.length) / 23
        for (const [name, g] of Object.entries(part.gradients)) {
          const weighted = g.mul(rows.length / 23)
          total[name] = total[name]?.add(weighted) ?? weighted
        }
      }
      for (const [name, g] of Object.entries(full.gradients)) expect(farthest(total[name]?.data ?? [], g.data, 1e-13), name).toBe('')
      expect(cost).toBeCloseTo(full.cost, 13)
      // And as the trainer makes them: rates in proportion to the batches give the full update.
      const weights = counter(4)
      const sizes = [5, 5, 5, 5, 3]
      const trainer = new MBSGD(weights, {
        loss: itself,
        learningRate: 1,
        batchSize: 5,
        schedule: ({ update }) => (sizes[update % 5] as number) / 23,
      })
      await using(engine, () => trainer.fit({ x, y }, { epochs: 1, seed: 6 }))
      expect(farthest(weights.weight.data, x.mean(0).neg().data, 1e-13)).toBe('')
    })

    test("an epoch's cost is the mean of the samples' losses as met", async () => {
      const { x, y } = regression(23)
      for (const make of [
        (m: nn.Module) => new MBSGD(m, { loss: loss.squaredError, learningRate: 1, batchSize: 5, schedule: () => 0 }),
        (m: nn.Module) => new SGD(m, { loss: loss.squaredError, learningRate: 1, schedule: () => 0 }),
        (m: nn.Module) => new FBGD(m, { loss: loss.squaredError, learningRate: 1, schedule: () => 0 }),
      ]) {
        const model = network()
        const trainer = make(model)
        const history = await using(engine, () => trainer.fit({ x, y }, { epochs: 2, seed: 1 }))
        const { cost } = await using(engine, () => trainer.evaluate({ x, y }))
        expect(cost).toBeCloseTo(costAndGradients(model, loss.squaredError, x, y).cost, 12)
        for (const e of history.epochs) expect(e.cost).toBeCloseTo(cost, 12)
      }
    })

    test('the variance of a batch mean is (S²/m′)(1 − m′/m)', async () => {
      const m = 64
      const x = new Random(8).normal([m, 1], { dtype: 'float64' })
      const mean = x.mean().item()
      const s2 = x.variance().item()
      for (const size of [4, 16, 48]) {
        const model = counter(1)
        const perEpoch = Math.ceil(m / size)
        // Only the first batch of an epoch moves the weight, by its own mean.
        const trainer = new MBSGD(model, {
          loss: itself,
          learningRate: 1,
          batchSize: size,
          schedule: ({ update }) => (update % perEpoch === 0 ? 1 : 0),
        })
        let last = 0
        let [n, sum, squares] = [0, 0, 0]
        const epochs = 3000
        await using(engine, () =>
          trainer.fit(
            { x, y: zeros([m, 1]) },
            {
              epochs,
              seed: 12,
              onEpoch: () => {
                const w = model.weight.peek()[0] as number
                const batchMean = last - w
                last = w
                n++
                sum += batchMean - mean
                squares += (batchMean - mean) ** 2
              },
            },
          ),
        )
        expect(n).toBe(epochs)
        const law = (s2 / size) * (1 - size / m)
        // Unbiased, and of this variance: within four standard errors of 3,000 draws.
        expect(Math.abs(sum / n)).toBeLessThan(4 * Math.sqrt(law / epochs))
        expect(Math.abs(squares / n / law - 1)).toBeLessThan(4 * Math.sqrt(2 / epochs))
      }
    })
  })

  describe('FBGD over chunks', () => {
    test.each(floats)('3,000 samples, %s: the update is that of the whole batch at once', async (dtype) => {
      const rng = new Random(3)
      const x = rng.normal([3000, 4], { dtype })
      const y = rng.normal([3000, 1], { dtype })
      const model = new nn.Sequential(new nn.Linear(4, 6, { rng, dtype }), new nn.Tanh(), new nn.Linear(6, 1, { rng, dtype }))
      expect(FBGD.chunkRows).toBeLessThan(3000)
      const before = snapshot(model)
      const { cost, gradients } = costAndGradients(model, loss.squaredError, x, y)
      const history = await using(engine, () => new FBGD(model, { loss: loss.squaredError, learningRate: 1 }).fit({ x, y }, { epochs: 1 }))
      const tolerance = dtype === 'float32' ? 1e-5 : 1e-13
      for (const [name, values] of Object.entries(snapshot(model))) {
        const moved = values.map((v, i) => (before[name]?.[i] as number) - v)
        expect(farthest(moved, gradients[name]?.data ?? [], tolerance * 10), name).toBe('')
      }
      expect(Math.abs((history.last?.cost ?? 0) / cost - 1)).toBeLessThan(tolerance)
      expect(history.updates).toBe(1)
    })

    test('a model whose samples depend on each other runs whole', async () => {
      class Centred extends nn.Module {
        inner = network()
        override forward(x: Tensor): Tensor {
          return this.inner.forward(x.sub(x.mean(0)))
        }
      }
      const { x, y } = regression(2500)
      const model = new Centred()
      const before = snapshot(model)
      const { gradients } = costAndGradients(model, loss.squaredError, x.add(3), y)
      await using(engine, () => new FBGD(model, { loss: loss.squaredError, learningRate: 1 }).fit({ x: x.add(3), y }, { epochs: 1 }))
      for (const [name, values] of Object.entries(snapshot(model))) {
        expect(
          farthest(
            values.map((v, i) => (before[name]?.[i] as number) - v),
            gradients[name]?.data ?? [],
            1e-12,
          ),
          name,
        ).toBe('')
      }
    })

    test('the order of samples is irrelevant', async () => {
      const { x, y } = regression(1500)
      const rows = Array.from(new Random(1).permutation(1500).data)
      const [a, b] = [network(), network()]
      await using(engine, () => new FBGD(a, { loss: loss.squaredError, learningRate: 0.1 }).fit({ x, y }, { epochs: 3 }))
      await using(engine, () =>
        new FBGD(b, { loss: loss.squaredError, learningRate: 0.1 }).fit({ x: x.gather(rows), y: y.gather(rows) }, { epochs: 3 }),
      )
      const [one, other] = [snapshot(a), snapshot(b)]
      for (const name of Object.keys(one)) expect(farthest(other[name] ?? [], one[name] ?? [], 1e-12), name).toBe('')
    })
  })

  describe("a user's own loss and schedule", () => {
    test('one value a sample with trailing axes is averaged over them', async () => {
      const own: Loss = (prediction, target) => prediction.sub(target).square()
      const [a, b] = [network(), network()]
      const data = regression(12)
      await using(engine, () => new MBSGD(a, { loss: own, learningRate: 0.1, batchSize: 4 }).fit(data, { epochs: 2, seed: 1 }))
      await using(engine, () => new MBSGD(b, { loss: loss.mse, learningRate: 0.1, batchSize: 4 }).fit(data, { epochs: 2, seed: 1 }))
      const [one, other] = [snapshot(a), snapshot(b)]
      for (const name of Object.keys(one)) expect(farthest(other[name] ?? [], one[name] ?? [], 1e-13), name).toBe('')
    })

    test('a schedule gets epoch and update, counted from 0 over the life of the trainer', async () => {
      const seen = new Set<string>()
      const model = counter(1)
      const trainer = new MBSGD(model, {
        loss: itself,
        learningRate: 0.5,
        batchSize: 3,
        schedule: ({ epoch, update }, rate) => {
          seen.add(`${epoch} ${update} ${rate}`)
          return update + 1
        },
      })
      const data = { x: tensor([[1], [1], [1], [1]], { dtype: 'float64' }), y: zeros([4, 1]) }
      await using(engine, () => trainer.fit(data, { epochs: 2, seed: 1 }))
      await using(engine, () => trainer.fit(data, { epochs: 1, seed: 1 }))
      expect([...seen]).toEqual(['0 0 0.5', '0 1 0.5', '1 2 0.5', '1 3 0.5', '2 4 0.5', '2 5 0.5'])
      expect(model.weight.data[0]).toBe(-(1 + 2 + 3 + 4 + 5 + 6))
    })
  })
})
