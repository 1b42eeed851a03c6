/** Losses of one's own: what trains, and what is refused because it would train nothing, or something else than was meant. */

import { describe, expect, test } from 'vitest'
import { FBGD, loss, MBSGD, nn, Random, type Tensor, tensor, where } from '../../lib/index.js'
import { announce, present, using } from '../support/engines.js'

announce('losses of trainers')

const linear = (outputs: number) => new nn.Linear(2, outputs, { rng: new Random(1) })
const dataOf = (outputs: number) => ({
  x: new Random(2).normal([7, 2]),
  y: new Random(3).uniform([7, outputs]),
})
type Own = (p: Tensor, y: Tensor) => Tensor

const refused: [string, number, string, Own][] = [
  [
    'values read and made a tensor',
    1,
    'ERR_NOT_DIFFERENTIABLE',
    (p, y) => tensor(Array.from(p.data, (v, i) => (v - (y.data[i] as number)) ** 2)),
  ],
  [
    'values read beside the tape',
    1,
    'ERR_NOT_DIFFERENTIABLE',
    (p, y) =>
      p
        .sub(y)
        .square()
        .mul(p.data[0] as number),
  ],
  ['toArray', 1, 'ERR_NOT_DIFFERENTIABLE', (p) => tensor(p.toArray<number[][]>().map(([v]) => v as number))],
  ['a constant', 1, 'ERR_NOT_DIFFERENTIABLE', (p) => tensor(Array.from({ length: p.shape[0] as number }, () => 1))],
  ['the target alone', 1, 'ERR_NOT_DIFFERENTIABLE', (_, y) => y.square()],
  ['only what has no derivative', 1, 'ERR_NOT_DIFFERENTIABLE', (p, y) => p.greater(0.5).notEqual(y.greater(0.5)).cast('float32')],
  ['stopGradient', 1, 'ERR_NOT_DIFFERENTIABLE', (p, y) => p.stopGradient().sub(y).square()],
  ['a broadcast to [m, m]', 1, 'ERR_SHAPE', (p, y) => p.squeeze(1).sub(y).square()],
  ['the mean', 1, 'ERR_SHAPE', (p, y) => p.sub(y).square().mean()],
  ['a mean that keeps its axis', 3, 'ERR_SHAPE', (p, y) => p.sub(y).square().mean(1, { keepDims: true })],
  ['one value an output', 3, 'ERR_SHAPE', (p, y) => p.sub(y).square().mean(0)],
]
const taken: [string, number, Own][] = [
  ['one value a sample', 3, (p, y) => p.sub(y).square().mean(1)],
  ['one an element', 3, (p, y) => p.sub(y).square()],
  ['a choice by where', 1, (p, y) => where(p.greater(y), p.sub(y).square(), p.sub(y).abs())],
  ['targets that are read', 1, (p, y) => p.sub(tensor(Array.from(y.data), { shape: [...y.shape] })).square()],
  ['a part that has no derivative', 1, (p, y) => p.sub(y).square().mul(p.sub(y).stopGradient().abs())],
  ['a loss of the library, wrapped', 1, (p, y) => loss.bceWithLogits(p, y, { reduction: 'none' })],
]

describe.each(present)('on the %s engine', (name) => {
  test.each(refused)('%s is refused by fit, step and evaluate', async (_, outputs, code, own) => {
    await using(name, async () => {
      const model = linear(outputs)
      const before = model.stateDict()
      const make = () => new MBSGD(model, { loss: own, learningRate: 0.1, batchSize: 4 })
      const failing = expect.objectContaining({ code })
      await expect(make().fit(dataOf(outputs), { epochs: 1 })).rejects.toEqual(failing)
      await expect(new FBGD(model, { loss: own, learningRate: 0.1 }).fit(dataOf(outputs), { epochs: 1 })).rejects.toEqual(failing)
      expect(() => make().step(dataOf(outputs).x, dataOf(outputs).y)).toThrow(failing)
      await expect(make().evaluate(dataOf(outputs))).rejects.toEqual(failing)
      expect(model.stateDict()).toEqual(before)
    })
  })

  test('what was broadcast is said, with the remedy', async () => {
    await using(name, async () => {
      const trainer = new FBGD(linear(1), { loss: (p, y) => p.squeeze(1).sub(y), learningRate: 0.1 })
      await expect(trainer.fit(dataOf(1), { epochs: 1 })).rejects.toThrow(
        /\[7, 7\] for predictions \[7, 1\] and targets \[7, 1\].*reshape\(p\.shape\)/,
      )
    })
  })

  test.each(taken)('%s trains', async (_, outputs, own) => {
    await using(name, async () => {
      const trainer = new FBGD(linear(outputs), { loss: own, learningRate: 0.05 })
      const { cost } = await trainer.evaluate(dataOf(outputs))
      await trainer.fit(dataOf(outputs), { epochs: 5 })
      expect((await trainer.evaluate(dataOf(outputs))).cost).toBeLessThan(cost)
    })
  })

  test('a model that reads values is held to the same', async () => {
    await using(name, async () => {
      class Reads extends nn.Module {
        inner = linear(1)
        forward(x: Tensor): Tensor {
          return (x.data[0] as number) > 1e6 ? x : this.inner.forward(x)
        }
      }
      const own: Own = (p) => tensor(Array.from(p.data))
      const trainer = new FBGD(new Reads(), { loss: own, learningRate: 0.1 })
      await expect(trainer.fit(dataOf(1), { epochs: 1 })).rejects.toMatchObject({ code: 'ERR_NOT_DIFFERENTIABLE' })
    })
  })

  test('a frozen model is evaluated with any of its losses', async () => {
    await using(name, async () => {
      const model = linear(1).freeze()
      const trainer = new FBGD(model, { loss: loss.mse, learningRate: 0.1 })
      expect((await trainer.fit(dataOf(1), { epochs: 1 })).last?.cost).toBeGreaterThan(0)
    })
  })
})
