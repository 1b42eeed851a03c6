/** Recurrent layers in use: saved and loaded, trained in every way, padded, and misused. */

import { describe, expect, test } from 'vitest'
import {
  checkGradients,
  decodeModel,
  encodeModel,
  FBGD,
  loss,
  MBSGD,
  nn,
  ones,
  Random,
  SGD,
  type Tensor,
  tensor,
  vmap,
  zeros,
} from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'
import { announce, during, present, using } from '../support/engines.js'
import { farthest } from '../support/tolerance.js'

announce('recurrent layers')

const rng = new Random(7)
const x = rng.normal([5, 6, 3])
const y = rng.normal([5, 2])
const network = (options: nn.RecurrentOptions = {}, head: nn.Module = new nn.LastStep()) => {
  const own = new Random(3)
  const layer = new nn.LSTM(3, 4, { rng: own, ...options })
  return new nn.Sequential(layer, head, new nn.Linear(options.bidirectional ? 8 : 4, 2, { rng: own }))
}

describe('saved and loaded', () => {
  const layers: [string, () => nn.Module][] = [
    ['RNN', () => new nn.RNN(3, 4, { nonlinearity: 'relu', bias: false })],
    ['GRU', () => new nn.GRU(3, 4, { numLayers: 2, dropout: 0.3, bidirectional: true })],
    ['LSTM', () => new nn.LSTM(3, 4, { batchFirst: false, dtype: 'float64' })],
  ]
  test.each(layers)('%s', (_name, make) => {
    const layer = make()
    const copy = decodeModel(encodeModel(layer))
    const own = layer.dtype === 'float64' ? x.cast('float64') : x
    expect(copy.config()).toEqual(layer.config())
    expect(copy.predict(own).data).toEqual(layer.predict(own).data)
    expect(copy.describe()).toBe(layer.describe())
  })

  test('a summary counts PyTorch’s parameters', () => {
    const model = network({ numLayers: 2, bidirectional: true }, new nn.MeanOverTime())
    expect(model.summary()).toMatch(/LSTM 3 → 4, 2 layers, bidirectional +736/)
    expect(model.parameters().length).toBe(18)
  })
})

describe.each(present)('trained in every way: %s', (engine) => {
  test.each(['FBGD', 'MBSGD', 'SGD', 'step', 'stream'] as const)('%s lowers the cost', async (way) => {
    await during(engine, async () => {
      const model = network()
      const options = { loss: loss.mse, learningRate: 0.05 }
      const trainer =
        way === 'FBGD'
          ? new FBGD(model, options)
          : way === 'SGD' || way === 'stream'
            ? new SGD(model, options)
            : new MBSGD(model, { ...options, batchSize: 2 })
      const before = (await trainer.evaluate({ x, y })).cost
      if (way === 'step') for (let i = 0; i < 20; i++) trainer.step(x, y)
      else if (way === 'stream') {
        async function* samples() {
          for (let i = 0; i < 60; i++) yield { x: x.gather([i % 5]), y: y.gather([i % 5]) }
        }
        await trainer.fitStream(samples())
      } else await trainer.fit({ x, y }, { epochs: 20, seed: 1 })
      expect((await trainer.evaluate({ x, y })).cost).toBeLessThan(0.9 * before)
    })
  })

  test('dropout between layers: drawn in training alone, anew in each update', async () => {
    await during(engine, async () => {
      const model = network({ numLayers: 2, dropout: 0.5 })
      const trainer = new MBSGD(model, { loss: loss.mse, learningRate: 1e-9, batchSize: 5 })
      const costs = [1, 2, 3].map(() => trainer.step(x, y))
      expect(new Set(costs.map((c) => c.toFixed(5))).size).toBe(3)
      expect(model.predict(x).data).toEqual(model.predict(x).data)
    })
  })
})

test('dropout between layers is the same on both engines', async () => {
  const costs: number[][] = []
  for (const engine of present) {
    await during(engine, async () => {
      const trainer = new MBSGD(network({ numLayers: 2, dropout: 0.5 }), { loss: loss.mse, learningRate: 0.1, batchSize: 2 })
      const history = await trainer.fit({ x, y }, { epochs: 5, seed: 4 })
      costs.push(history.epochs.map(({ cost }) => cost))
    })
  }
  for (const other of costs) expect(farthest(other, costs[0] as number[], 1e-5)).toBe('')
})

describe('lengths', () => {
  const layers = [new nn.RNN(3, 4), new nn.GRU(3, 4, { bidirectional: true }), new nn.LSTM(3, 4, { numLayers: 2, bidirectional: true })]
  test.each(layers.map((layer) => [layer.describe(), layer] as const))('what is padding does not count: %s', (_name, layer) => {
    const lengths = [6, 1, 3, 2, 5]
    const run = (v: Tensor, options = {}) => {
      const { output, state } = layer.forward(v, options) as { output: Tensor; state: unknown }
      return [output, ...([state].flat() as Tensor[])]
    }
    const [whole, ...states] = run(x, { lengths }) as [Tensor, ...Tensor[]]
    lengths.forEach((n, i) => {
      const [own, ...ownStates] = run(x.gather([i]).slice(null, [0, n])) as [Tensor, ...Tensor[]]
      expect(farthest(whole.slice([i, i + 1], [0, n]).data, own.data, 1e-6)).toBe('')
      expect(whole.slice([i, i + 1], [n, null]).data.every((v) => v === 0)).toBe(true)
      ownStates.forEach((s, part) => {
        expect(farthest((states[part] as Tensor).slice(null, [i, i + 1]).data, s.data, 1e-6)).toBe('')
      })
    })
    for (const Head of [nn.LastStep, nn.MeanOverTime]) {
      const head = new Head().forward(whole, { lengths })
      lengths.forEach((n, i) => {
        const own = new Head().forward(whole.gather([i]).slice(null, [0, n]))
        expect(farthest(head.gather(i).data, own.data, 1e-6)).toBe('')
      })
    }
  })

  test('as tensors of integers or of floating numbers', () => {
    const layer = new nn.GRU(3, 4)
    const one = layer.forward(x, { lengths: [6, 1, 3, 2, 5] }).output
    expect(layer.forward(x, { lengths: tensor([6, 1, 3, 2, 5], { dtype: 'int32' }) }).output.data).toEqual(one.data)
    expect(layer.forward(x, { lengths: tensor([6, 1, 3, 2, 5]) }).output.data).toEqual(one.data)
  })
})

test('a state carries a sequence on: two halves are the whole', () => {
  const layer = new nn.LSTM(3, 4, { numLayers: 2 })
  const first = layer.forward(x.slice(null, [0, 2]))
  const second = layer.forward(x.slice(null, [2, 6]), { state: first.state })
  expect(farthest(second.output.data, layer.forward(x).output.slice(null, [2, 6]).data, 1e-6)).toBe('')
})

test('gradients of second order and of each sample', () => {
  const layer = new nn.GRU(2, 3, { dtype: 'float64', rng: new Random(2) })
  const small = new Random(1).normal([2, 3, 2], { dtype: 'float64' })
  expect(
    checkGradients(
      (v: Tensor) =>
        layer
          .forward(v, { lengths: [3, 2] })
          .output.square()
          .sum(),
      [small],
    ).ok,
  ).toBe(true)
  const each = vmap((v: Tensor) => layer.forward(v).output)(small.reshape([2, 3, 2]))
  expect(farthest(each.data, layer.forward(small).output.data, 1e-12)).toBe('')
})

describe('misuse is refused by name', () => {
  const lstm = new nn.LSTM(3, 4)
  const cases: [string, () => unknown, string, RegExp][] = [
    ['other features', () => lstm.forward(zeros([2, 5, 4])), 'ERR_SHAPE', /LSTM: expected x of shape \[m, T, 3\], got \[2, 5, 4\]/],
    ['steps first', () => new nn.GRU(3, 4, { batchFirst: false }).forward(zeros([2, 4])), 'ERR_SHAPE', /\[T, m, 3\]/],
    ['no steps', () => lstm.forward(zeros([2, 0, 3])), 'ERR_SHAPE', /at least one step/],
    ['another type', () => lstm.forward(zeros([2, 5, 3], { dtype: 'float64' })), 'ERR_DTYPE', /float32, got float64/],
    [
      'a length of 0',
      () => lstm.forward(zeros([2, 5, 3]), { lengths: [5, 0] }),
      'ERR_RANGE',
      /1 … 5, the steps of x, got 0 for sequence 1/,
    ],
    ['a length beyond T', () => lstm.forward(zeros([2, 5, 3]), { lengths: [6, 1] }), 'ERR_RANGE', /got 6 for sequence 0/],
    ['a fraction', () => new nn.LastStep().forward(zeros([2, 5, 3]), { lengths: [1.5, 1] }), 'ERR_RANGE', /1\.5/],
    ['lengths of others', () => lstm.forward(zeros([2, 5, 3]), { lengths: [1] }), 'ERR_SHAPE', /each of 2 sequences/],
    ['half a state', () => lstm.forward(zeros([2, 5, 3]), { state: zeros([1, 2, 4]) as never }), 'ERR_VALUE', /a state \[h, c\]/],
    [
      'a state of another layer',
      () => lstm.forward(zeros([2, 5, 3]), { state: [zeros([2, 2, 4]), zeros([1, 2, 4])] }),
      'ERR_SHAPE',
      /\[1, 2, 4\]/,
    ],
    ['dropout without layers to drop between', () => new nn.LSTM(3, 4, { dropout: 0.1 }), 'ERR_OPTION', /between layers/],
    ['PyTorch’s spelling', () => new nn.LSTM(3, 4, { num_layers: 2 } as never), 'ERR_OPTION', /numLayers/],
    ['an unknown nonlinearity', () => new nn.RNN(3, 4, { nonlinearity: 'sigmoid' as never }), 'ERR_OPTION', /'tanh' or 'relu'/],
    ['no units', () => new nn.GRU(3, 0), 'ERR_RANGE', /hiddenSize/],
    ['another input', () => lstm.forward(zeros([2, 5, 3]), { length: [1, 2] } as never), 'ERR_OPTION', /lengths/],
    ['a matrix for a prediction', () => lstm.predict(zeros([5, 4])), 'ERR_SHAPE', /\[m, T, 3\]/],
    ['no steps to take the mean of', () => new nn.MeanOverTime().forward(zeros([2, 0, 3])), 'ERR_SHAPE', /MeanOverTime/],
  ]
  test.each(cases)('%s', (_name, attempt, code, message) => {
    expect(codeOf(attempt)).toBe(code)
    expect(attempt).toThrow(message)
  })

  test('a forward that gives no tensor', () => {
    class Odd extends nn.Module {
      override forward() {
        return { state: ones([1]) }
      }
    }
    expect(() => new nn.Sequential(new Odd()).forward(x)).toThrow(/Odd: its forward gave Object; it must give a tensor/)
  })
})

test('one sequence is predicted as one of a batch', () => {
  for (const engine of present) {
    using(engine, () => {
      const model = network({ bidirectional: true }, new nn.MeanOverTime())
      expect(farthest(model.predict(x.gather(2)).data, model.predict(x).gather(2).data, 1e-6)).toBe('')
    })
  }
})
