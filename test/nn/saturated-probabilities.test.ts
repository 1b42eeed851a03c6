/** Losses of probabilities where those are all but 0 or 1: from logits the slopes stay right, from elsewhere they stay finite. */

import { describe, expect, test } from 'vitest'
import { FBGD, grad, jvp, loss, nn, softmax, type Tensor, tensor } from '../../lib/index.js'
import { announce, during, present, using } from '../support/engines.js'

announce('saturated probabilities')

const row = (dtype: 'float32' | 'float64', ...values: number[]) => tensor(Float64Array.from(values), { shape: [1, values.length], dtype })

describe.each(present)('on %s', (engine) => {
  for (const dtype of ['float32', 'float64'] as const) {
    test(`crossEntropyOf and klDivergence after a softmax, ${dtype}`, () => {
      using(engine, () => {
        for (const depth of [1, 40, 200, 1000]) {
          const [z, p] = [row(dtype, -depth, 0), row(dtype, 1, 0)]
          for (const of of [loss.crossEntropyOf, loss.klDivergence]) {
            for (const q of [
              (x: Tensor) => softmax(x),
              (x: Tensor) => x.logSoftmax().exp(),
              (x: Tensor) => new nn.Softmax().forward(x),
              (x: Tensor) => softmax(x).cast(dtype === 'float32' ? 'float64' : 'float32'),
              (x: Tensor) => softmax(x.cast('float64')).cast('float32').cast(dtype),
              (x: Tensor) => x.expandDims(0).logSoftmax().cast('float64').squeeze(0).exp(),
              (x: Tensor) => softmax(x.reshape([2]), 0).expandDims(0),
            ]) {
              const cost = (x: Tensor) => of(q(x), p, { reduction: 'sum' })
              const slope = -1 / (1 + Math.exp(-depth))
              expect(cost(z).item()).toBeCloseTo(depth + Math.log1p(Math.exp(-depth)), 4)
              const [left, right] = Array.from((grad(cost)(z) as Tensor).data)
              expect(left).toBeCloseTo(slope, 6)
              expect(right).toBeCloseTo(-slope, 6)
              expect((jvp(cost, [z], [row(dtype, 1, 0)])[1] as Tensor).item()).toBeCloseTo(slope, 6)
            }
          }
        }
      })
    })

    test(`a class that is ruled out, ${dtype}`, () => {
      using(engine, () => {
        const cost = (x: Tensor) => loss.crossEntropyOf(softmax(x), row(dtype, 0, 0.5, 0.5), { reduction: 'sum' })
        const z = row(dtype, -Infinity, 0, 0)
        expect(cost(z).item()).toBeCloseTo(Math.LN2, 6)
        expect(Array.from((grad(cost)(z) as Tensor).data).every(Number.isFinite)).toBe(true)
      })
    })

    test(`probabilities from elsewhere keep their bounds, ${dtype}`, () => {
      using(engine, () => {
        const cost = (q: Tensor) => loss.crossEntropyOf(q, row(dtype, 1, 0), { reduction: 'sum' })
        expect(cost(row(dtype, 0, 1)).item()).toBe(100)
        expect((grad(cost)(row(dtype, 0, 1)) as Tensor).data[0]).toBe(Array.from(row(dtype, -1e12).data)[0])
      })
    })
  }

  test('binary cross-entropy in float64 after a sigmoid', () => {
    using(engine, () => {
      for (const depth of [20, 40, 300, 700]) {
        const cost = (z: Tensor) => loss.bce(z.sigmoid(), row('float64', 1), { reduction: 'sum' })
        expect((grad(cost)(row('float64', -depth)) as Tensor).item()).toBeCloseTo(-1, 6)
      }
    })
  })

  test('a model that ends in Softmax learns out of saturation', async () => {
    await during(engine, async () => {
      const model = new nn.Sequential(new nn.Linear(1, 2, { bias: false, init: () => tensor([[-40], [0]]) }), new nn.Softmax())
      const before = Array.from(model.parameters()[0]?.data ?? [])
      await new FBGD(model, { loss: loss.crossEntropyOf, learningRate: 1 }).fit({ x: [[1]], y: [[1, 0]] }, { epochs: 1 })
      const after = Array.from(model.parameters()[0]?.data ?? [])
      expect(after.map((x, i) => x - (before[i] as number))).toEqual([1, -1])
    })
  })
})
