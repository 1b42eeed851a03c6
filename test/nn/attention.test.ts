/** Attention in use: saved and loaded, trained in every way, dropped out, padded, in little memory, and misused. */

import { describe, expect, test } from 'vitest'
import {
  checkGradients,
  decodeModel,
  encodeModel,
  FBGD,
  jvp,
  loss,
  MBSGD,
  nn,
  Random,
  SGD,
  scaledDotProductAttention,
  seed,
  type Tensor,
  tensor,
  vjp,
  vmap,
  zeros,
} from '../../lib/index.js'
import { lowerFunction } from '../../lib/plan/plan.js'
import { StateLayout } from '../../lib/plan/state-layout.js'
import { codeOf } from '../backend/engines.js'
import { announce, during, present, using } from '../support/engines.js'
import { farthest } from '../support/tolerance.js'

announce('attention')

const x = new Random(7).normal([5, 6, 8])
const y = new Random(8).normal([5, 2])
const network = (options: nn.TransformerOptions = {}) => {
  const rng = new Random(3)
  const layer = () => new nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 12, dropout: 0, rng, ...options })
  return new nn.Sequential(
    new nn.LearnedPositions(6, 8, { rng }),
    new nn.TransformerEncoder(layer, 2),
    new nn.MeanOverTime(),
    new nn.Linear(8, 2, { rng }),
  )
}

describe('saved and loaded', () => {
  const layers: [string, () => nn.Module][] = [
    ['MultiheadAttention', () => new nn.MultiheadAttention(8, 2, { bias: false, causal: true, rotary: 100 })],
    [
      'TransformerEncoderLayer',
      () => new nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 12, activation: 'gelu', normFirst: true, eps: 0.1 }),
    ],
    [
      'TransformerEncoder',
      () => new nn.TransformerEncoder(new nn.TransformerEncoderLayer(8, 2, { rotary: true }), 2, { norm: new nn.RMSNorm(8) }),
    ],
    ['SinusoidalPositions', () => new nn.SinusoidalPositions(8, { base: 100 })],
    ['LearnedPositions', () => new nn.LearnedPositions(9, 8)],
    ['RMSNorm', () => new nn.RMSNorm([6, 8], { eps: 0.1, affine: false })],
    ['CausalConv1d', () => new nn.CausalConv1d(6, 4, 3, { dilation: 2, groups: 2, bias: false })],
  ]
  test.each(layers)('%s', (_name, make) => {
    const layer = make()
    const copy = decodeModel(encodeModel(layer))
    expect(copy.config()).toEqual(layer.config())
    expect(copy.predict(x).data).toEqual(layer.predict(x).data)
    expect(copy.summary()).toBe(layer.summary())
  })

  test('a decoder layer', () => {
    const layer = new nn.TransformerDecoderLayer(8, 2, { dimFeedforward: 12, dropout: 0 })
    const copy = decodeModel(encodeModel(layer)) as unknown as nn.TransformerDecoderLayer
    expect(copy.forward(x, x).data).toEqual(layer.forward(x, x).data)
  })

  test('copies of one layer start alike and are trained apart', () => {
    const encoder = new nn.TransformerEncoder(new nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 12 }), 2)
    const [a, b] = [...encoder.layers] as unknown as [nn.Module, nn.Module]
    expect(a.parameters()[0]?.data).toEqual(b.parameters()[0]?.data)
    a.parameters()[0]?.assign(zeros([24, 8]))
    expect(b.parameters()[0]?.data.some((v) => v !== 0)).toBe(true)
  })
})

describe.each(present)('trained in every way: %s', (engine) => {
  test.each(['FBGD', 'MBSGD', 'SGD', 'step'] as const)('%s lowers the cost', async (way) => {
    await during(engine, async () => {
      const model = network({ causal: true, rotary: true })
      const options = { loss: loss.mse, learningRate: 0.05 }
      const trainer =
        way === 'FBGD' ? new FBGD(model, options) : way === 'SGD' ? new SGD(model, options) : new MBSGD(model, { ...options, batchSize: 2 })
      const before = (await trainer.evaluate({ x, y })).cost
      if (way === 'step') for (let i = 0; i < 30; i++) trainer.step(x, y)
      else await trainer.fit({ x, y }, { epochs: 30, seed: 1 })
      expect((await trainer.evaluate({ x, y })).cost).toBeLessThan(0.8 * before)
    })
  })

  test('dropout draws in training alone, within blocks of scores too', async () => {
    await during(engine, async () => {
      const rng = new Random(1)
      const model = new nn.Sequential(new nn.MultiheadAttention(4, 2, { dropout: 0.5, rng }), new nn.MeanOverTime())
      const long = rng.normal([2, 200, 4])
      const trainer = new MBSGD(model, { loss: loss.mse, learningRate: 1e-9, batchSize: 2 })
      const costs = [1, 2, 3].map(() => trainer.step(long, zeros([2, 4])))
      expect(new Set(costs).size).toBe(3)
      expect(model.predict(long).data).toEqual(model.predict(long).data)
      const [a, b] = [model.forward(long), model.forward(long)]
      expect(a.data).not.toEqual(b.data)
    })
  })
})

test('dropout of weights keeps their mean, and its gradient has the same mask', () => {
  seed(5)
  const [q, v] = [new Random(2).normal([300, 1, 2]), new Random(3).normal([300, 4, 3]).add(3)]
  const k = zeros([300, 4, 2])
  const f = (values: Tensor) => scaledDotProductAttention(q, k, values, { dropout: 0.5 })
  const [out, pullback] = vjp(f, v)
  const [g] = pullback(zeros(out.shape).add(1)) as [Tensor]
  // y is linear in v: ⟨g, v⟩ is the sum of y where both have one mask.
  expect(g.mul(v).sum().item() / out.sum().item()).toBeCloseTo(1, 4)
  expect(out.mean().item() / v.mean().item()).toBeCloseTo(1, 1)
  expect(new Set(Array.from(g.data, (n) => n.toFixed(3)))).toEqual(new Set(['0.000', '0.500']))
})

describe('what is hidden', () => {
  test('padding changes nothing', () => {
    const layer = network().layers[1] as nn.TransformerEncoder
    const lengths = [6, 1, 3, 2, 5]
    const whole = layer.forward(x, { lengths })
    lengths.forEach((n, i) => {
      const own = layer.forward(x.gather([i]).slice(null, [0, n]))
      expect(farthest(whole.slice([i, i + 1], [0, n]).data, own.data, 1e-5)).toBe('')
    })
  })

  test('a Sequential hands lengths on to those of its layers that take them', () => {
    const model = network()
    const lengths = [6, 1, 3, 2, 5]
    const whole = model.forward(x, { lengths })
    lengths.forEach((n, i) => {
      expect(farthest(whole.gather([i]).data, model.forward(x.gather([i]).slice(null, [0, n])).data, 1e-5)).toBe('')
    })
  })

  test('later steps, from a causal layer', () => {
    const layer = network({ causal: true, rotary: true }).layers[1] as nn.Module
    const other = x.add(0)
    for (let j = 0; j < 8; j++) other.data[3 * 8 + j] = 9
    const [a, b] = [layer.forward(x), layer.forward(other)] as [Tensor, Tensor]
    expect(b.slice([0, 1], [0, 3]).data).toEqual(a.slice([0, 1], [0, 3]).data)
    expect(b.slice([0, 1], [3, 6]).data).not.toEqual(a.slice([0, 1], [3, 6]).data)
  })

  test('a query that may look nowhere gets zeros, and no gradient', () => {
    const mask = tensor(Int32Array.of(0, 0, 1, 1), { shape: [2, 2] }).cast('bool')
    const q = new Random(1).normal([1, 2, 3])
    const [out, pullback] = vjp((v: Tensor) => scaledDotProductAttention(v, v, v, { mask }), q)
    expect(out.data.subarray(0, 3).every((v) => v === 0)).toBe(true)
    expect((pullback(out.add(1))[0] as Tensor).data.every(Number.isFinite)).toBe(true)
  })

  test('rotations leave lengths, and products that depend on distances alone', () => {
    const [q, k] = [new Random(1).normal([1, 6]), new Random(2).normal([1, 6])]
    const at = (a: number, b: number) =>
      nn
        .rotary(q, { positions: a })
        .mul(nn.rotary(k, { positions: b }))
        .sum()
        .item()
    expect(at(7, 4)).toBeCloseTo(at(103, 100), 4)
    expect(nn.rotary(q, { positions: 50 }).square().sum().item()).toBeCloseTo(q.square().sum().item(), 4)
    const rows = new Random(3).normal([3, 6])
    expect(farthest(nn.rotary(rows, { positions: tensor([0, 1, 2]) }).data, nn.rotary(rows).data, 1e-6)).toBe('')
  })
})

test('gradients to differences, and each sample by vmap', () => {
  const f64 = { dtype: 'float64' } as const
  const layer = new nn.TransformerEncoderLayer(4, 2, {
    dimFeedforward: 3,
    dropout: 0,
    activation: 'gelu',
    rotary: true,
    rng: new Random(2),
    ...f64,
  })
  const small = new Random(1).normal([2, 3, 4], f64)
  expect(
    checkGradients(
      (v: Tensor) =>
        layer
          .forward(v, { lengths: [3, 2], causal: true })
          .square()
          .sum(),
      [small],
    ).ok,
  ).toBe(true)
  expect(farthest(vmap((v: Tensor) => layer.forward(v))(small).data, layer.forward(small).data, 1e-12)).toBe('')
})

test('no program holds all scores of a long sequence, forward or backward', () => {
  const [T, d] = [1024, 4]
  const inputs = [
    { name: 'q', shape: [1, T, d], dtype: 'float32' as const },
    { name: 'out', shape: [1, T, d], dtype: 'float32' as const, writable: true },
  ]
  const { program } = lowerFunction(inputs, new StateLayout(), { dtype: 'float32' }, (r) => {
    const q = r.input(0)
    const [, pullback] = vjp((v: Tensor) => scaledDotProductAttention(v, v, v, { causal: true }).square().sum(), q)
    r.output(1, pullback(tensor(1))[0] as Tensor)
  })
  expect(program.arenaBytes).toBeLessThan((T * T * 4) / 2)
})

describe('misuse is refused by name', () => {
  const attention = new nn.MultiheadAttention(8, 2)
  const q = zeros([2, 3, 4])
  const cases: [string, () => unknown, string, RegExp][] = [
    ['heads that do not divide', () => new nn.MultiheadAttention(8, 3), 'ERR_RANGE', /3 heads do not divide embedDim \(8\)/],
    [
      'heads of a layer',
      () => new nn.TransformerEncoderLayer(10, 4),
      'ERR_RANGE',
      /TransformerEncoderLayer: 4 heads do not divide dModel \(10\)/,
    ],
    ['an odd number to turn', () => new nn.MultiheadAttention(6, 2, { rotary: true }), 'ERR_RANGE', /a head has 3/],
    ['other features', () => attention.forward(zeros([2, 3, 4])), 'ERR_SHAPE', /\[m, T, 8\], got \[2, 3, 4\]/],
    ['no tensor for keys', () => attention.forward(x, [[1]] as never, x), 'ERR_VALUE', /forward\(q, k, v, options\)/],
    ['keys of other samples', () => attention.forward(x, zeros([4, 6, 8])), 'ERR_SHAPE', /as many sequences as q/],
    ['a length of 0', () => attention.forward(x, x, x, { lengths: [6, 0, 1, 1, 1] }), 'ERR_RANGE', /got 0 for sequence 1/],
    ['a length beyond T', () => network().forward(x, { lengths: [7, 1, 1, 1, 1] }), 'ERR_RANGE', /1 … 6/],
    [
      'integers for a mask',
      () => scaledDotProductAttention(q, q, q, { mask: zeros([3, 3], { dtype: 'int32' }) }),
      'ERR_DTYPE',
      /bool \(true: look there\)/,
    ],
    [
      'a mask of another size',
      () => scaledDotProductAttention(q, q, q, { mask: zeros([3, 4]) }),
      'ERR_SHAPE',
      /broadcasts to \[2, 3, 3\], got \[3, 4\]/,
    ],
    ['values of other steps', () => scaledDotProductAttention(q, q, zeros([2, 4, 4])), 'ERR_SHAPE', /v \[…, S, e\]/],
    ['vectors', () => scaledDotProductAttention(zeros([3]), q, q), 'ERR_SHAPE', /\[…, steps, features\], got \[3\]/],
    ['types that differ', () => scaledDotProductAttention(q, q, q.cast('float64')), 'ERR_DTYPE', /float32, float32, float64/],
    [
      'an unknown activation',
      () => new nn.TransformerEncoderLayer(8, 2, { activation: 'tanh' as never }),
      'ERR_OPTION',
      /'relu' or 'gelu'/,
    ],
    ['PyTorch’s spelling', () => new nn.TransformerEncoderLayer(8, 2, { dim_feedforward: 4 } as never), 'ERR_OPTION', /dim_feedforward/],
    ['more steps than positions', () => new nn.LearnedPositions(4, 8).forward(x), 'ERR_SHAPE', /at most 4 steps, got 6/],
    ['no memory', () => new nn.TransformerDecoderLayer(8, 2).forward(x), 'ERR_VALUE', /forward\(x, memory\)/],
    [
      'something else for a layer',
      () => new nn.TransformerEncoder(new nn.Linear(8, 8) as never, 2),
      'ERR_VALUE',
      /expected a TransformerEncoderLayer/,
    ],
    ['an odd number of features', () => nn.rotary(zeros([3, 5])), 'ERR_SHAPE', /an even d/],
    ['a causal convolution that is padded', () => new nn.CausalConv1d(2, 2, 3, { padding: 1 } as never), 'ERR_OPTION', /padding/],
  ]
  test.each(cases)('%s', (_name, attempt, code, message) => {
    expect(codeOf(attempt)).toBe(code)
    expect(attempt).toThrow(message)
  })
})

describe.each(present)('what is hidden: %s', (engine) => {
  test('attention by itself within a Sequential takes the lengths', () => {
    using(engine, () => {
      const attention = new nn.MultiheadAttention(8, 2, { rng: new Random(2) })
      const inner = new nn.Sequential(new nn.Residual(attention), new nn.MeanOverTime())
      const whole = inner.forward(x, { lengths: [6, 3, 1, 5, 2] })
      expect(farthest(inner.forward(x.slice([1, 2], [0, 3])).data, whole.gather(1).data, 1e-6)).toBe('')
      const own = attention.forward(x, { lengths: [6, 3, 1, 5, 2] })
      expect(own.data).toEqual(attention.forward(x, x, x, { lengths: [6, 3, 1, 5, 2] }).data)
      expect(farthest(own.slice([1, 2], [0, 3]).data, attention.forward(x.slice([1, 2], [0, 3])).data, 1e-6)).toBe('')
      expect(codeOf(() => attention.forward(x, { length: [6, 3, 1, 5, 2] } as never))).toBe('ERR_OPTION')
    })
  })

  test('a mask of −∞ hides as one of bool does, with lengths, later keys and dropout beside it, in both modes and orders', () => {
    using(engine, () => {
      const [q, k, v] = [1, 2, 3].map((i) => new Random(i).normal([2, 4, 4], { dtype: 'float64' })) as [Tensor, Tensor, Tensor]
      // The first query sees none of the keys, the second one that `causal` hides; the third one that is padding.
      const seen = tensor([
        [0, 0, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [1, 1, 0, 1],
      ]).cast('bool')
      const infinite = zeros([4, 4], { dtype: 'float64' }).where(seen, -Infinity)
      for (const options of [{}, { causal: true }, { causal: true, dropout: 1e-9 }]) {
        const results = [seen, infinite].map((mask) => {
          const f = (a: Tensor, b: Tensor, c: Tensor) => scaledDotProductAttention(a, b, c, { ...options, mask })
          seed(4)
          const along = (a: Tensor, b: Tensor, c: Tensor) =>
            (vjp(f, a, b, c)[1](v) as Tensor[]).reduce((sum, g) => sum.add(g.mul(q).sum()), tensor(0, { dtype: 'float64' }))
          const parts = [f(q, k, v), ...(vjp(f, q, k, v)[1](q) as Tensor[]), jvp(f, [q, k, v], [k, v, q])[1]]
          return 'dropout' in options ? parts : [...parts, ...(vjp(along, q, k, v)[1](tensor(1, { dtype: 'float64' })) as Tensor[])]
        }) as [Tensor[], Tensor[]]
        expect(results[0][0]?.slice(null, [0, 1]).data.every((n) => n === 0)).toBe(true)
        results[1].forEach((t, i) => {
          expect(farthest(t.data, results[0][i]?.data ?? [], 1e-12)).toBe('')
          expect(t.data.every((n: number) => Number.isFinite(n))).toBe(true)
        })
      }
      const attention = new nn.MultiheadAttention(4, 2, { dtype: 'float64', rng: new Random(5) })
      const [bool, float] = [seen, infinite].map((mask) => attention.forward(q, k, v, { mask, lengths: [3, 4] })) as [Tensor, Tensor]
      expect(farthest(float.data, bool.data, 1e-12)).toBe('')
    })
  })
})

test('one sequence is predicted as one of a batch', () => {
  for (const engine of present) {
    using(engine, () => {
      const model = network({ causal: true })
      expect(farthest(model.predict(x.gather(2)).data, model.predict(x).gather(2).data, 1e-5)).toBe('')
    })
  }
})

test('a decoder of several layers, and attention to other sizes, are saved and loaded; what is wrong is refused', () => {
  const rng = new Random(1)
  const layer = new nn.TransformerDecoderLayer(8, 2, { dimFeedforward: 12, dropout: 0, causal: true, rng })
  const decoder = new nn.TransformerDecoder(layer, 2, { norm: new nn.LayerNorm(8) })
  const [x, memory] = [rng.normal([2, 3, 8]), rng.normal([2, 5, 8])]
  const copy = decodeModel(encodeModel(decoder)) as unknown as nn.TransformerDecoder
  expect(copy.forward(x, memory, { memoryLengths: [5, 2] }).data).toEqual(decoder.forward(x, memory, { memoryLengths: [5, 2] }).data)
  expect(codeOf(() => decoder.forward(x))).toBe('ERR_VALUE')
  expect(codeOf(() => new nn.TransformerDecoder(new nn.TransformerEncoderLayer(8, 2) as never, 2))).toBe('ERR_VALUE')
  expect(codeOf(() => new nn.TransformerDecoder(layer, 0))).toBe('ERR_RANGE')

  const attention = new nn.MultiheadAttention(8, 2, { kdim: 3, vdim: 5, rng })
  const [k, v] = [rng.normal([2, 4, 3]), rng.normal([2, 4, 5])]
  const same = decodeModel(encodeModel(attention)) as unknown as nn.MultiheadAttention
  expect(same.forward(x, k, v).data).toEqual(attention.forward(x, k, v).data)
  expect(codeOf(() => attention.forward(x))).toBe('ERR_SHAPE')
  expect(codeOf(() => attention.forward(x, k, k))).toBe('ERR_SHAPE')
  expect(codeOf(() => new nn.MultiheadAttention(8, 2, { kdim: 0 }))).toBe('ERR_RANGE')
})
