/** Metrics against scikit-learn, through evaluate and fit, on every engine. */

import { describe, expect, test } from 'vitest'
import { loss, MBSGD, nn, type Tensor, tensor, top } from '../../lib/index.js'
import type { MetricSpec } from '../../lib/train/metrics.js'
import { announce, present, using } from '../support/engines.js'
import { golden } from '../support/golden.js'

announce('metrics')

type Case = { prediction: number[][]; target: number[] | number[][] } & Record<string, unknown>
const cases = golden<Record<'several' | 'topK' | 'binary' | 'one' | 'three', Case>>('metrics')

/** A model whose predictions are its inputs. */
class Given extends nn.Module {
  scale = new nn.Parameter(tensor([1]))
  forward(x: Tensor): Tensor {
    return x.mul(this.scale)
  }
}

const trainerOf = (own: ConstructorParameters<typeof MBSGD>[1]['loss']) =>
  new MBSGD(new Given(), { loss: own, learningRate: 1e-30, batchSize: 16 })
const dataOf = ({ prediction, target }: Case) => ({
  x: tensor(prediction),
  y: Array.isArray(target[0]) ? tensor(target as number[][]) : Int32Array.from(target as number[]),
})
const rows = [
  ['several', loss.crossEntropy, ['accuracy', 'precision', 'recall', 'f1', 'confusionMatrix', 'rocAuc']],
  ['topK', loss.crossEntropy, [top(2), 'top3', 'top5']],
  ['binary', loss.bceWithLogits, ['accuracy', 'precision', 'recall', 'f1', 'confusionMatrix', 'rocAuc']],
  ['one', loss.mse, ['mae', 'mse', 'rmse', 'r2']],
  ['three', loss.mse, ['mae', 'mse', 'rmse', 'r2']],
] as const

const flat = (value: unknown): number[] => [value].flat(3) as number[]

describe.each(present)('on %s', (engine) => {
  test.each(rows)('%s: as scikit-learn', async (name, own, metrics) => {
    const data = dataOf(cases[name])
    const options = { metrics: metrics as readonly MetricSpec[] }
    const scores: Record<string, unknown> = await using(engine, () => trainerOf(own).evaluate(data, options))
    const { last } = await using(engine, () => trainerOf(own).fit(data, { epochs: 2, validation: data, ...options }))
    for (const metric of metrics) {
      const key = typeof metric === 'string' ? metric : metric.name
      const expected = flat(cases[name][key])
      for (const found of [scores, last?.validation as unknown as Record<string, unknown>]) {
        const got = flat(found[key] ?? (found.custom as Record<string, number> | undefined)?.[key])
        expect(got.length).toBe(expected.length)
        for (const [i, value] of got.entries())
          expect(Math.abs(value - (expected[i] as number)), key).toBeLessThanOrEqual(1e-6 * Math.max(1, Math.abs(value)))
      }
      // Means over samples are made of the training batches too; what needs all predictions is not.
      const mean = ['accuracy', 'mae', 'mse', 'rmse', 'top2', 'top3', 'top5'].includes(key)
      const trained = (last as unknown as Record<string, unknown>)[key] ?? last?.custom?.[key]
      if (mean) expect(Math.abs((trained as number) - (expected[0] as number))).toBeLessThan(1e-6)
      else expect(trained).toBeUndefined()
    }
  })

  test('sets larger than a chunk are predicted whole, in order', async () => {
    const m = 2500
    const x = tensor(
      Float32Array.from({ length: 2 * m }, (_, i) => (i * 7919) % 1013),
      { shape: [m, 2] },
    )
    const y = x.mul(2)
    const seen: number[][] = []
    const keep = (prediction: Tensor, target: Tensor) => {
      seen.push(Array.from(prediction.data))
      return target.sub(prediction).mean()
    }
    const { custom } = await using(engine, () => trainerOf(loss.mse).evaluate({ x, y }, { metrics: [keep] }))
    expect(seen).toEqual([Array.from(x.data)])
    expect(custom?.keep).toBeCloseTo(x.mean().item(), 3)
  })
})

describe('misuse', () => {
  const labels = {
    x: tensor([
      [1, 2],
      [3, 4],
    ]),
    y: [0, 1],
  }
  const numbers = {
    x: tensor([
      [1, 2],
      [3, 4],
    ]),
    y: tensor([
      [1, 2],
      [3, 4],
    ]),
  }
  const evaluating = (own: typeof loss.mse, data: { x: Tensor; y: never }, metrics: readonly unknown[]) =>
    expect(trainerOf(own as never).evaluate(data, { metrics: metrics as never })).rejects

  test('metrics that do not suit the loss, names that are none', async () => {
    await evaluating(loss.mse, numbers as never, ['accuracy']).toMatchObject({ code: 'ERR_OPTION' })
    await evaluating(loss.mse, numbers as never, ['f1']).toMatchObject({ code: 'ERR_OPTION' })
    await evaluating(loss.crossEntropy as never, labels as never, ['r2']).toMatchObject({ code: 'ERR_OPTION' })
    await evaluating(loss.crossEntropy as never, labels as never, ['mae']).toMatchObject({ code: 'ERR_SHAPE' })
    await evaluating(loss.crossEntropy as never, labels as never, ['top3']).toMatchObject({ code: 'ERR_OPTION' })
    await evaluating(loss.crossEntropy as never, labels as never, ['acuracy']).toThrow(/did you mean 'accuracy'/)
    await evaluating(loss.mse, numbers as never, [() => 1]).toMatchObject({ code: 'ERR_OPTION' })
    await evaluating(loss.mse, numbers as never, ['mae', 'mae']).toMatchObject({ code: 'ERR_OPTION' })
    await evaluating(loss.mse, numbers as never, 'mae' as never).toMatchObject({ code: 'ERR_OPTION' })
    await evaluating(loss.crossEntropy as never, { x: labels.x, y: [0, 0] } as never, ['rocAuc']).toMatchObject({ code: 'ERR_DATA' })
    expect(() => top(0)).toThrow(/k/)
  })

  test('what needs all predictions asks fit for a validation set', async () => {
    await expect(trainerOf(loss.crossEntropy).fit(labels, { epochs: 1, metrics: ['f1'] })).rejects.toThrow(/expected validation for f1/)
  })
})
