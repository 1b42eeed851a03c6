/** Layers against PyTorch: outputs, gradients, running statistics; compositions, and what layers refuse. */

import { describe, expect, test } from 'vitest'
import { nn, ones, Random, Tensor, tensor, vjp, zeros } from '../../lib/index.js'
import { withBindings } from '../../lib/nn/parameter.js'
import { modulesFromJSON, modulesToJSON } from '../../lib/nn/registry.js'
import { codeOf } from '../backend/engines.js'
import { announce, present, using } from '../support/engines.js'
import { golden, type Numbers, numbers } from '../support/golden.js'
import { farthest } from '../support/tolerance.js'

interface Case {
  layer: string
  args: unknown[]
  shape: number[]
  x: Numbers
  parameters: Numbers[]
  value: Numbers
  g: Numbers
  gradients: Numbers[]
  buffers?: [Numbers, Numbers]
  inUse?: Numbers
}

announce('layers')
const { cases } = golden<{ cases: Case[] }>('layers')
const dtype = 'float64' as const
const withType = ['LayerNorm', 'BatchNorm1d', 'Embedding']
const make = ({ layer, args }: Case): nn.Module => {
  const Layer = (nn as unknown as Record<string, new (...args: unknown[]) => nn.Module>)[layer] as new (...args: unknown[]) => nn.Module
  if (!withType.includes(layer)) return new Layer(...args)
  const options = typeof args[args.length - 1] === 'object' && !Array.isArray(args[args.length - 1]) ? args[args.length - 1] : undefined
  return new Layer(...(options ? args.slice(0, -1) : args), { ...(options as object), dtype })
}

describe.each(present)('%s', (engine) => {
  test.each(cases.map((c) => [`${c.layer} ${JSON.stringify(c.args).slice(1, -1)} of [${c.shape}]`, c] as const))('%s', (_title, c) => {
    using(engine, () => {
      const layer = make(c)
      const parameters = layer.parameters()
      expect(parameters.length).toBe(c.parameters.length)
      parameters.forEach((p, i) => {
        p.assign(tensor(numbers(c.parameters[i] as Numbers), { shape: p.shape, dtype }))
      })
      const x = tensor(numbers(c.x), { shape: c.shape, dtype })
      const y = layer.forward(x)
      const found = [farthest(y.data, numbers(c.value), 1e-13)]
      if (c.buffers) {
        layer.forward(x.mul(2).add(1))
        layer.buffers().forEach((b, i) => {
          found.push(farthest(b.data, numbers((c.buffers as Numbers[])[i] as Numbers), 1e-14))
        })
        found.push(farthest(layer.predict(x).data, numbers(c.inUse as Numbers), 1e-13))
      } else {
        found.push(farthest(layer.predict(x).data, numbers(c.value), layer.dtype === dtype ? 1e-13 : 1e-6))
      }
      // Gradients by x (of all but indices) and by every parameter.
      const names = layer.namedParameters().map(([name]) => name)
      const run = (values: Record<string, Tensor>) => {
        const bound = names.map((name) => values[name] as Tensor)
        return withBindings(parameters, bound, () => layer.forward(c.layer === 'Embedding' ? x : (values.x as Tensor)))
      }
      const [, pullback] = vjp(run, {
        x,
        ...Object.fromEntries(parameters.map((p, i) => [names[i], new Tensor(p.shape, p.dtype, p.data)])),
      })
      const [adjoints] = pullback(tensor(numbers(c.g), { shape: y.shape, dtype }))
      const order = c.layer === 'Embedding' ? names : ['x', ...names]
      expect(c.gradients.length).toBe(order.length)
      order.forEach((name, i) => {
        found.push(farthest((adjoints[name] as Tensor).data, numbers(c.gradients[i] as Numbers), 1e-12))
      })
      expect(found.filter(Boolean)).toEqual([])
    })
  })

  test('residual and parallel compositions', () => {
    using(engine, () => {
      const x = new Random(1).normal([3, 4], { dtype })
      const inner = new nn.Linear(4, 4, { dtype })
      const other = new nn.Linear(4, 2, { dtype })
      const both = new nn.Sequential(new nn.Residual(inner), new nn.Parallel(other, new nn.Identity()))
      const mid = x.add(inner.forward(x))
      expect(farthest(both.predict(x).data, other.forward(mid).concat([mid], 1).data, 1e-14)).toBe('')
      expect(both.namedParameters().map(([name]) => name)).toEqual([
        '0.inner.weight',
        '0.inner.bias',
        '1.branches.0.weight',
        '1.branches.0.bias',
      ])
    })
  })

  test('dropout: the share kept, the scale, the gradient, nothing in use', () => {
    using(engine, () => {
      const layer = new nn.Dropout(0.25)
      const x = ones([200, 50], { dtype })
      const [y, pullback] = vjp((t: Tensor) => layer.forward(t), x)
      const kept = Array.from((y as Tensor).data).filter((v) => v !== 0)
      expect(new Set(kept)).toEqual(new Set([1 / 0.75]))
      expect(Math.abs(kept.length / 10000 - 0.75)).toBeLessThan(0.02)
      expect((pullback(ones([200, 50], { dtype }))[0] as Tensor).data).toEqual((y as Tensor).data)
      expect(layer.forward(x).data).not.toEqual((y as Tensor).data)
      expect(Array.from(layer.predict(x).data)).toEqual(Array.from(x.data))
      expect(layer.eval().forward(x)).toBe(x)
      const all = new nn.Dropout(1).forward(x)
      expect(all.data.every((v: number) => v === 0)).toBe(true)
      expect(new nn.Dropout(0).forward(x)).toBe(x)
    })
  })
})

describe('buffers', () => {
  test('are state, not parameters', () => {
    const model = new nn.Sequential(new nn.Linear(3, 2), new nn.BatchNorm1d(2), new nn.Linear(2, 1))
    expect(Object.keys(model.stateDict())).toEqual([
      '0.weight',
      '0.bias',
      '1.weight',
      '1.bias',
      '1.runningMean',
      '1.runningVariance',
      '2.weight',
      '2.bias',
    ])
    expect(model.namedBuffers().map(([name]) => name)).toEqual(['1.runningMean', '1.runningVariance'])
    expect(model.parameters().length).toBe(6)
    expect(
      model
        .unfreeze()
        .buffers()
        .every((b) => b.frozen),
    ).toBe(true)
    expect(model.summary()).toMatch(/15 parameters \(15 trained\)/)
    const copy = new nn.Sequential(new nn.Linear(3, 2), new nn.BatchNorm1d(2), new nn.Linear(2, 1))
    model.forward(new Random(1).normal([8, 3]))
    copy.loadStateDict(model.stateDict())
    expect(copy.stateDict()).toEqual(model.stateDict())
    expect(copy.buffers()[0]?.data).not.toEqual(zeros([2]).data)
  })

  test('a shape that is another is refused, as a value and while traced', () => {
    const buffer = new nn.Buffer(zeros([2]))
    expect(codeOf(() => buffer.assign(zeros([3])))).toBe('ERR_SHAPE')
    buffer.binding = zeros([2])
    expect(codeOf(() => buffer.assign(zeros([3])))).toBe('ERR_SHAPE')
    expect(codeOf(() => buffer.assign(zeros([2], { dtype })))).toBe('ERR_DTYPE')
    buffer.binding = undefined
  })
})

test('layers are rebuilt from their config', () => {
  const layers = [
    new nn.LeakyReLU(0.2),
    new nn.ELU(2),
    new nn.SELU(),
    new nn.GELU({ approximate: 'tanh' }),
    new nn.SiLU(),
    new nn.Mish(),
    new nn.Softplus(),
    new nn.LogSigmoid(),
    new nn.Hardtanh(-2, 3),
    new nn.LogSoftmax(0),
    new nn.Flatten(),
    new nn.LayerNorm([2, 3], { eps: 0.1 }),
    new nn.BatchNorm1d(4, { momentum: 0.3, affine: false, dtype }),
    new nn.Dropout(0.3),
    new nn.Embedding(5, 2),
    new nn.Residual(new nn.Tanh()),
    new nn.Parallel(new nn.Identity(), new nn.Linear(2, 2)),
  ]
  const model = new nn.Sequential(...layers)
  const copy = modulesFromJSON(JSON.parse(JSON.stringify(modulesToJSON(model)))) as nn.Sequential
  expect(copy.layers.map((l) => l.constructor.name)).toEqual(layers.map((l) => l.constructor.name))
  expect(modulesToJSON(copy)).toEqual(modulesToJSON(model))
  copy.loadStateDict(model.stateDict())
})

describe('misuse is refused by name', () => {
  const x = zeros([2, 3])
  const cases: [string, () => unknown, string, RegExp][] = [
    [
      'features of another number',
      () => new nn.LayerNorm(4).forward(x),
      'ERR_SHAPE',
      /LayerNorm: expected x of shape \[\*, 4\], got \[2, 3\]/,
    ],
    ['too few axes', () => new nn.LayerNorm([2, 2, 3]).forward(x), 'ERR_SHAPE', /LayerNorm/],
    ['no length', () => new nn.LayerNorm([]), 'ERR_VALUE', /LayerNorm/],
    ['columns of another number', () => new nn.BatchNorm1d(4).forward(x), 'ERR_SHAPE', /\[m, 4\]/],
    ['a batch of one', () => new nn.BatchNorm1d(3).forward(zeros([1, 3])), 'ERR_SHAPE', /more than one value a feature.*dropLast/],
    ['momentum of 2', () => new nn.BatchNorm1d(3, { momentum: 2 }), 'ERR_RANGE', /momentum/],
    ['eps of 0', () => new nn.BatchNorm1d(3, { eps: 0 }), 'ERR_RANGE', /eps/],
    ['a misspelling', () => new nn.BatchNorm1d(3, { momentun: 0.5 } as never), 'ERR_OPTION', /did you mean 'momentum'/],
    ['affine as text', () => new nn.LayerNorm(3, { affine: 'yes' as never }), 'ERR_OPTION', /affine/],
    ['an index too large', () => new nn.Embedding(3, 2).forward(tensor([0, 3])), 'ERR_INDEX', /3/],
    ['a fraction as index', () => new nn.Embedding(3, 2).forward(tensor([0.5])), 'ERR_RANGE', /Embedding: expected integers/],
    ['no things', () => new nn.Embedding(0, 2), 'ERR_RANGE', /count/],
    ['another start', () => new nn.Embedding(2, 2, { init: 'ones' as never }), 'ERR_OPTION', /init/],
    ['a share of 2', () => new nn.Dropout(2), 'ERR_RANGE', /p to be/],
    ['no branch', () => new nn.Parallel(), 'ERR_VALUE', /at least one branch/],
    ['a function as branch', () => new nn.Parallel((() => x) as never), 'ERR_VALUE', /a module at position 0, got a function/],
    ['no inner module', () => new nn.Residual(undefined as never), 'ERR_VALUE', /Residual/],
    ['an inner that broadcasts', () => new nn.Residual(new nn.Linear(3, 1)).forward(x), 'ERR_SHAPE', /\[2, 3\], got \[2, 1\]/],
    ['bounds the wrong way round', () => new nn.Hardtanh(1, -1), 'ERR_RANGE', /high/],
    ['another approximation', () => new nn.GELU({ approximate: 'erf' as never }), 'ERR_OPTION', /approximate/],
  ]
  test.each(cases)('%s', (_name, attempt, code, message) => {
    expect(codeOf(attempt)).toBe(code)
    expect(attempt).toThrow(message)
  })
})
