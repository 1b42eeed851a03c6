/** Metrics against scikit-learn, through evaluate and fit, on every engine. */

import { describe, expect, test } from 'vitest'
import { loss, MBSGD, nn, type Tensor, tensor, top } from '../../lib/index.js'
import type { Loss } from '../../lib/nn/loss.js'
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

describe('what outputs mean is told by the loss', () => {
  /** A model whose outputs are these. */
  const scored = async (own: Loss, outputs: readonly number[][], y: unknown, metrics: readonly MetricSpec[]) =>
    (await trainerOf(own).evaluate({ x: tensor(outputs), y: y as never }, { metrics })) as unknown as Record<string, number>

  test('rocAuc of logits ranks their softmax: the level of a sample says nothing', async () => {
    const outputs = [
      [11, 10],
      [6, 5],
      [0, 1],
      [2, 3],
    ]
    const y = [0, 0, 1, 1]
    expect((await scored(loss.crossEntropy, outputs, y, ['rocAuc'])).rocAuc).toBe(1)
    expect((await scored(loss.crossEntropy.with({ labelSmoothing: 0.1 }), outputs, y, ['rocAuc'])).rocAuc).toBe(1)
    expect((await scored(loss.multiClassHinge, outputs, y, ['rocAuc'])).rocAuc).toBe(1)
    const wrapped: Loss = Object.assign((p: Tensor, t: Tensor, o?: object) => loss.crossEntropy(p, t, o), { targets: 'classes' as const })
    expect((await scored(wrapped, outputs, y, ['rocAuc'])).rocAuc).toBe(1)
    // Far apart, where the softmax rounds to 0 and 1, the order is still seen.
    const far = outputs.map(([a = 0, b = 0], i) => [200 * a, 200 * b + i])
    expect((await scored(loss.crossEntropy, far, y, ['rocAuc'])).rocAuc).toBe(1)
    // Probabilities, and logarithms of them, are ranked as they are.
    const p = [
      [0.3, 0.2, 0.5],
      [0.2, 0.1, 0.7],
      [0.1, 0.8, 0.1],
      [0.6, 0.3, 0.1],
    ]
    const labels = [0, 2, 1, 0]
    const expected = await scored(
      loss.crossEntropy,
      p.map((row) => row.map(Math.log)),
      labels,
      ['rocAuc'],
    )
    const ranked = await scored(
      loss.nll,
      p.map((row) => row.map(Math.log)),
      labels,
      ['rocAuc'],
    )
    expect(ranked.rocAuc).toBe(expected.rocAuc)
  })

  /** 0.3 is class 1 as a logit, class 0 as a probability; −0.2 would be neither as a probability. */
  const single = [[0.3], [0.2], [0.9], [0.1]]
  const ones = [[1], [1], [1], [0]]
  const metrics = ['accuracy', 'f1'] as const
  const asLogits = { accuracy: 3 / 4, f1: 6 / 7 }
  const asProbabilities = { accuracy: 2 / 4, f1: 2 / 4 }
  const wrap = (own: typeof loss.bce, more: Partial<Loss>): Loss => Object.assign((p: Tensor, t: Tensor, o?: object) => own(p, t, o), more)

  test.each<[string, Loss, object]>([
    ['bceWithLogits', loss.bceWithLogits, asLogits],
    ['bce', loss.bce, asProbabilities],
    ['a wrapped bceWithLogits that says so', wrap(loss.bceWithLogits, { targets: 'probabilities', outputs: 'logits' }), asLogits],
    ['a wrapped bceWithLogits', wrap(loss.bceWithLogits, { targets: 'probabilities' }), asLogits],
    ['a wrapped bce', wrap(loss.bce, { targets: 'probabilities' }), asProbabilities],
    [
      "a name with 'logits' in it",
      Object.defineProperty(wrap(loss.bce, { targets: 'probabilities' }), 'name', { value: 'noLogits' }),
      asProbabilities,
    ],
  ])('%s: the threshold is that of its outputs', async (_name, own, expected) => {
    expect(await scored(own, single, ones, metrics)).toMatchObject(expected)
    const history = await trainerOf(own).fit({ x: tensor(single), y: tensor(ones) }, { epochs: 1, metrics: ['accuracy'] })
    expect(history.last?.accuracy).toBe((expected as typeof asLogits).accuracy)
  })

  test('a loss that does not tell is refused', async () => {
    const lopsided = Object.assign((p: Tensor, t: Tensor) => p.sub(t.mul(4).sub(1)).square(), { targets: 'probabilities' as const })
    for (const metric of metrics) {
      const refused = expect(scored(lopsided, single, ones, [metric])).rejects
      await refused.toMatchObject({ code: 'ERR_OPTION', message: expect.stringContaining('outputs') })
    }
    await expect(scored((p, t) => loss.bceWithLogits(p, t, { reduction: 'none' }), single, ones, ['accuracy'])).rejects.toThrow(/targets/)
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
    await expect(trainerOf(loss.crossEntropy).fit(labels, { epochs: 1, metrics: ['f1'] })).rejects.toThrow(
      /f1 need all predictions at once/,
    )
  })
})

test('prAuc, logLoss and brier: as scikit-learn, of logits, probabilities and labels', async () => {
  const metrics = ['prAuc', 'logLoss', 'brier'] as const
  const z = [
    [2, 1, 0],
    [0, 1, 3],
    [1, 1, 1.5],
    [0, 2, 0],
  ]
  const y = Int32Array.of(0, 2, 1, 1)
  const three = await trainerOf(loss.crossEntropy).evaluate({ x: tensor(z), y }, { metrics })
  expect(three.logLoss).toBeCloseTo(0.52784338, 5)
  expect(three.prAuc).toBeCloseTo(1, 6)
  expect(three.brier).toBeCloseTo(0.27339974, 5)
  const p = [0.1, 0.4, 0.35, 0.8, 0.4, 0.4]
  const t = [0, 0, 1, 1, 0, 1].map((label) => [label])
  const expected = { prAuc: 0.7, logLoss: 0.55271136, brier: 0.19208333 }
  const given = await trainerOf(loss.bce).evaluate({ x: p.map((q) => [q]), y: t }, { metrics })
  const logits = await trainerOf(loss.bceWithLogits).evaluate({ x: p.map((q) => [Math.log(q / (1 - q))]), y: t }, { metrics })
  // Two labels, each for itself: the mean of both.
  const twice = await trainerOf(loss.bceWithLogits).evaluate(
    { x: p.map((q) => [Math.log(q / (1 - q)), Math.log(q / (1 - q))]), y: t.map(([label]) => [label as number, label as number]) },
    { metrics },
  )
  for (const scores of [given, logits, twice]) for (const name of metrics) expect(scores[name], name).toBeCloseTo(expected[name], 5)
  await expect(trainerOf(loss.mse).evaluate({ x: [[1]], y: [[1]] }, { metrics: ['brier'] })).rejects.toThrow('classes')
})
