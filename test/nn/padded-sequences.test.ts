/** Sequences of different lengths through data sets, trainers, predictions, losses and metrics; per-step labels against PyTorch. */

import { describe, expect, test } from 'vitest'
import {
  Dataset,
  decodeModel,
  encodeModel,
  loss,
  MBSGD,
  nn,
  padSequences,
  Random,
  type Tensor,
  tensor,
  valueAndGrad,
} from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'
import { announce, during, present, using } from '../support/engines.js'
import { golden, type Numbers, numbers } from '../support/golden.js'
import { pattern } from '../support/pattern.js'
import { farthest } from '../support/tolerance.js'

announce('padded sequences')

const { labels, tokens } = golden<{
  labels: number[][]
  tokens: {
    options: { reduction: 'mean' | 'sum' | 'none'; labelSmoothing: number; weight?: number[] }
    value: Numbers
    gradient: Numbers
  }[]
}>('recurrent')

describe.each(present)('%s engine', (engine) => {
  test.each(tokens.map((c) => [JSON.stringify(c.options), c] as const))('crossEntropy with a label a step: %s', (_title, c) => {
    using(engine, () => {
      for (const [dtype, tolerance] of [
        ['float32', 1e-5],
        ['float64', 1e-10],
      ] as const) {
        const z = pattern([3, 4, 4], 11, 8, dtype)
        const y = tensor(Int32Array.from(labels.flat()), { shape: [3, 4] })
        const value = loss.crossEntropy(z, y, { ...c.options, ignoreIndex: -7 })
        expect(value.shape).toEqual(c.options.reduction === 'none' ? [3, 4] : [])
        expect(farthest(value.data, numbers(c.value), tolerance)).toBe('')
        const [, g] = valueAndGrad((v: Tensor) => loss.crossEntropy(v, y, { ...c.options, ignoreIndex: -7 }).sum())(z)
        expect(farthest((g as Tensor).data, numbers(c.gradient), tolerance)).toBe('')
      }
    })
  })

  test('a trainer’s cost is the mean over the labels that count; its gradient too', async () => {
    await during(engine, async () => {
      const model = new nn.Sequential(new nn.GRU(2, 5, { rng: new Random(1) }), new nn.Linear(5, 4, { rng: new Random(2) }))
      const x = pattern([3, 4, 2], 11, 8, 'float32')
      const y = tensor(Int32Array.from(labels.flat()), { shape: [3, 4] })
      const own = loss.crossEntropy.with({ ignoreIndex: -7 })
      const expected = own(model.forward(x), y).item()
      const trainer = new MBSGD(model, { loss: own, learningRate: 0.1, batchSize: 3 })
      const scores = await trainer.evaluate({ x, y }, { metrics: ['accuracy'] })
      expect(scores.cost).toBeCloseTo(expected, 5)
      const right = model.predict(x).argmax(-1).data
      const counted = labels.flat().flatMap((label, i) => (label === -7 ? [] : [label === right[i] ? 1 : 0]))
      expect(scores.accuracy).toBeCloseTo(counted.reduce((a: number, b) => a + b, 0) / counted.length, 5)
      const [, g] = valueAndGrad(model, () => own(model.forward(x), y))()
      const before = model.parameters()[0]?.data.slice() as Float32Array
      trainer.step(x, y)
      const moved = Array.from(model.parameters()[0]?.data as Float32Array, (v, i) => ((before[i] as number) - v) / 0.1)
      expect(farthest(moved, (Object.values(g as Record<string, Tensor>)[0] as Tensor).data, 1e-4)).toBe('')
    })
  })

  test('lengths are a field of a data set: fit, evaluate, predict, save', async () => {
    await during(engine, async () => {
      const rng = new Random(5)
      // The sign of the last value of each sequence; what stands behind it is noise.
      const rows = Array.from({ length: 60 }, (_, i) => rng.normal([1 + (i % 7), 1]))
      const y = Int32Array.from(rows, (row) => ((row.data[row.size - 1] as number) > 0 ? 1 : 0))
      const x = padSequences(rows, { value: 9 })
      const model = new nn.Sequential(new nn.GRU(1, 6, { rng }), new nn.LastStep(), new nn.Linear(6, 2, { rng }))
      const trainer = new MBSGD(model, { loss: loss.crossEntropy, learningRate: 0.5, batchSize: 12 })
      const data = new Dataset(x, y)
      await trainer.fit(data, { epochs: 60, seed: 1 })
      expect((await trainer.evaluate(data, { metrics: ['accuracy'] })).accuracy).toBeGreaterThan(0.95)
      const together = model.predict(x)
      rows.slice(0, 8).forEach((row, i) => {
        const alone = model.predict({ x: row, lengths: row.shape[0] as number })
        expect(farthest(together.gather(i).data, alone.data, 1e-5)).toBe('')
        expect(farthest(model.forward(row.reshape([1, ...row.shape])).data, alone.data, 1e-5)).toBe('')
      })
      const copy = decodeModel(encodeModel(model))
      expect(copy.predict(x).data).toEqual(together.data)
      const bad = { x: x.x, lengths: tensor(Int32Array.from(x.lengths.data, (n) => n - 1)) }
      expect(codeOf(() => model.predict(bad))).toBe('ERR_INDEX')
    })
  })
})

describe('padSequences', () => {
  test('values, lengths, types', () => {
    const { x, lengths } = padSequences(
      [
        [
          [1, 2],
          [3, 4],
          [5, 6],
        ],
        [[7, 8]],
      ],
      { value: -1, steps: 4 },
    )
    expect(x.toArray()).toEqual([
      [
        [1, 2],
        [3, 4],
        [5, 6],
        [-1, -1],
      ],
      [
        [7, 8],
        [-1, -1],
        [-1, -1],
        [-1, -1],
      ],
    ])
    expect([lengths.dtype, ...lengths.data]).toEqual(['int32', 3, 1])
    expect(padSequences([Int32Array.of(1, 2), Int32Array.of(3)]).x.dtype).toBe('int32')
  })

  test.each([
    ['none', () => padSequences([]), 'ERR_DATA', /at least one sequence/],
    ['an empty one', () => padSequences([[1, 2], new Float32Array(0)]), 'ERR_DATA', /sequence 1 has no steps/],
    ['other elements', () => padSequences([[[1, 2]], [[1]]]), 'ERR_SHAPE', /in sequence 1/],
    ['a longer one', () => padSequences([[1, 2, 3]], { steps: 2 }), 'ERR_SHAPE', /3 steps, more than 2/],
    ['no list', () => padSequences(3 as never), 'ERR_VALUE', /list of sequences/],
    ['an unknown option', () => padSequences([[1]], { length: 3 } as never), 'ERR_OPTION', /steps/],
  ] as const)('misuse: %s', (_name, attempt, code, message) => {
    expect(codeOf(attempt)).toBe(code)
    expect(attempt).toThrow(message)
  })

  test('labels of steps that do not fit, or are none', () => {
    const model = new nn.GRU(2, 4)
    const trainer = new MBSGD(model, { loss: loss.crossEntropy, learningRate: 0.1, batchSize: 2 })
    const x = pattern([2, 3, 2], 11, 8, 'float32')
    expect(codeOf(() => trainer.step(x, [0, 1]))).toBe('ERR_SHAPE')
    expect(
      codeOf(() =>
        trainer.step(x, [
          [0, 1, -1],
          [0, 1, 2],
        ]),
      ),
    ).toBe('ERR_LABEL')
  })
})
