/** Losses against PyTorch and the mathematics' own numbers; their options, checks and bounds. */

import { describe, expect, test } from 'vitest'

import { checkGradients, grad, loss, nn, type Tensor, tensor } from '../../lib/index.js'
import type { NamedLoss } from '../../lib/nn/loss.js'
import { codeOf } from '../backend/engines.js'
import { announce, present, using } from '../support/engines.js'
import { golden, type Numbers, numbers } from '../support/golden.js'
import { farthest } from '../support/tolerance.js'

interface Case {
  loss: string
  options: Record<string, unknown>
  shape: number[]
  labels: boolean
  prediction: Numbers
  target: Numbers
  none: { value: Numbers; gradient: Numbers }
  sum: { value: Numbers; gradient: Numbers }
  mean: { value: Numbers; gradient: Numbers }
}

announce('losses')
const { cases } = golden<{ cases: Case[] }>('losses')
const losses = loss as unknown as Record<string, NamedLoss<Record<string, unknown>>>
const f64 = (values: number[], shape?: number[]) => tensor(values, { dtype: 'float64', ...(shape ? { shape } : {}) })

describe.each(present)('%s', (engine) => {
  test.each(cases.map((c) => [`${c.loss} ${JSON.stringify(c.options)}${c.labels ? ' of labels' : ''}`, c] as const))('%s', (_name, c) => {
    const found: string[] = []
    using(engine, () => {
      for (const dtype of ['float32', 'float64'] as const) {
        const q = tensor(numbers(c.prediction), { shape: c.shape, dtype })
        const y = c.labels ? tensor(Int32Array.from(numbers(c.target))) : tensor(numbers(c.target), { shape: c.shape, dtype })
        const f = losses[c.loss] as NamedLoss<Record<string, unknown>>
        // PyTorch takes the logarithm of the prediction first, which rounds once more.
        const slack = dtype === 'float32' ? 2e-6 : 1e-13
        for (const reduction of ['none', 'sum', 'mean'] as const) {
          const bound = f.with({ ...c.options, reduction })
          const value = bound(q, y)
          const gradient = grad((x: Tensor) => bound(x, y).sum())(q) as Tensor
          const where = `${dtype} ${reduction}`
          expect(value.dtype).toBe(dtype)
          found.push(...[farthest(value.data, numbers(c[reduction].value), slack)].filter(Boolean).map((d) => `${where} value ${d}`))
          found.push(
            ...[farthest(gradient.data, numbers(c[reduction].gradient), slack)].filter(Boolean).map((d) => `${where} gradient ${d}`),
          )
        }
      }
    })
    expect(found).toEqual([])
  })
})

test('every loss has golden values, a name and a kind of targets', () => {
  const named = Object.entries(losses).filter(([name]) => name !== 'entropy')
  expect(named.map(([name]) => name).sort()).toEqual([...new Set(cases.map((c) => c.loss))].sort())
  for (const [name, f] of named) {
    expect(f.name).toBe(name)
    expect(['classes', 'probabilities', 'signs', 'values']).toContain(f.targets)
    expect([f.with({}).name, f.with({}).targets]).toEqual([name, f.targets])
  }
})

test('derivatives agree with differences, also of second order', () => {
  const q = f64([0.4, -1.3, 2.2, 0.9, -0.2, 1.7], [2, 3])
  const y = f64([0.1, 0.3, -0.6, 1.4, 0.5, 0.2], [2, 3])
  const a = f64([0.2, 0.3, 0.5, 0.6, 0.1, 0.3], [2, 3])
  const p = f64([0.5, 0.25, 0.25, 0.1, 0.8, 0.1], [2, 3])
  const labels = tensor(Int32Array.of(2, 0))
  const weight = [0.5, 2, 1]
  const functions: [string, (x: Tensor) => Tensor, Tensor][] = [
    ['huber', (x) => loss.huber(x, y, { delta: 0.8 }), q],
    ['tukey', (x) => loss.tukeyBisquare(x, y, { c: 2 }), q],
    ['bceWithLogits', (x) => loss.bceWithLogits(x, p), q],
    ['bce', (x) => loss.bce(x, p), a],
    ['kl', (x) => loss.klDivergence(x, p), a],
    ['kl in the target', (x) => loss.klDivergence(a, x), p],
    ['crossEntropyOf', (x) => loss.crossEntropyOf(x, p), a],
    ['entropy', (x) => loss.entropy(x, { base: 2 }).sum(), p],
    ['crossEntropy', (x) => loss.crossEntropy(x, labels, { weight, labelSmoothing: 0.2, sampleWeight: [1, 3] }), q],
    ['multiClassHinge', (x) => loss.multiClassHinge(x, labels), q],
    ['nll', (x) => loss.nll(x.logSoftmax(1), labels, { weight }), q],
  ]
  for (const [name, f, x] of functions) {
    expect([name, checkGradients(f, [x]).ok]).toEqual([name, true])
    const slope = (t: Tensor) => (grad(f)(t) as Tensor).square().sum()
    expect([name, 'second order', checkGradients(slope, [x]).ok]).toEqual([name, 'second order', true])
  }
})

describe('the numbers of the mathematics', () => {
  test('entropy', () => {
    expect(loss.entropy(f64([0.5, 0.5])).item()).toBeCloseTo(Math.LN2, 15)
    expect(loss.entropy(f64([0.5, 0.5]), { base: 2 }).item()).toBeCloseTo(1, 15)
    expect(loss.entropy(f64([1, 0])).item()).toBe(0)
    expect(loss.entropy(f64([0.25, 0.75])).item()).toBeCloseTo(0.5623351446188083, 15)
    expect(loss.entropy(f64([0.25, 0.75]), { base: 2 }).item()).toBeCloseTo(0.8112781244591328, 15)
    expect(
      loss.entropy([
        [0.5, 0.5],
        [1, 0],
      ]).shape,
    ).toEqual([2])
    expect(loss.entropy([1, 0]).item()).toBe(0)
  })

  test('cross-entropy of distributions, and its divergence', () => {
    const [p, q] = [f64([1, 0]), f64([0.9, 0.1])]
    expect(loss.crossEntropyOf(q, p).item()).toBeCloseTo(0.10536051565782628, 15)
    const r = f64([0.25, 0.75])
    expect(loss.crossEntropyOf(r, r).item()).toBeCloseTo(loss.entropy(r).item(), 15)
    const kl = loss.klDivergence(q, r, { reduction: 'sum' }).item()
    expect(kl).toBeCloseTo(loss.crossEntropyOf(q, r).item() - loss.entropy(r).item(), 15)
    expect(kl).toBeGreaterThan(0)
    expect(loss.klDivergence(q, p, { reduction: 'sum' }).item()).toBeCloseTo(-Math.log(0.9), 15)
  })
})

describe('nothing becomes infinite', () => {
  const worst = (f: (x: Tensor) => Tensor, x: Tensor) => {
    const g = grad((t: Tensor) => f(t).sum())(x) as Tensor
    return [...f(x).data, ...g.data].every(Number.isFinite)
  }
  for (const dtype of ['float32', 'float64'] as const) {
    const t = (...values: number[]) => tensor(values, { dtype })
    test(`${dtype}: probabilities of 0 and 1, logits of 10,000, large residuals`, () => {
      expect(worst((a) => loss.bce(a, t(1, 0, 0, 1)), t(0, 1, 0, 1))).toBe(true)
      expect(worst((a) => loss.klDivergence(a, t(1, 0, 0.5)), t(0, 1, 0))).toBe(true)
      expect(worst((a) => loss.crossEntropyOf(a, t(1, 0, 0.5)), t(0, 1, 0))).toBe(true)
      expect(worst((a) => loss.entropy(a), t(0, 1, 0))).toBe(true)
      expect(worst((z) => loss.bceWithLogits(z, t(1, 0, 0, 1)), t(-1e4, 1e4, -1e4, 1e4))).toBe(true)
      expect(worst((z) => loss.crossEntropy(z, 1 as never, { labelSmoothing: 0.1 }), t(1e4, -1e4, 0))).toBe(true)
      expect(worst((q) => loss.huber(q, t(0, 0)), t(1e30, -1e30))).toBe(true)
      expect(worst((q) => loss.tukeyBisquare(q, t(0, 0)), t(1e30, -1e30))).toBe(true)
    })
  }
  test('a logit far on the right side keeps its small loss', () => {
    expect(loss.bceWithLogits([20], [1]).item()).toBeCloseTo(Math.log1p(Math.exp(-20)), 14)
    expect(loss.bceWithLogits([20], [1]).item()).toBeGreaterThan(0)
  })
})

describe('weights', () => {
  test('of samples, of elements, of both', () => {
    const [q, y] = [
      [
        [1, 2],
        [3, 5],
      ],
      [
        [0, 0],
        [0, 0],
      ],
    ]
    expect(loss.mse(q, y, { reduction: 'none', weight: [2, 1] }).toArray()).toEqual([
      [2, 8],
      [9, 25],
    ])
    expect(
      loss
        .mse(q, y, {
          reduction: 'none',
          weight: [
            [1, 0],
            [0, 1],
          ],
        })
        .toArray(),
    ).toEqual([
      [1, 0],
      [0, 25],
    ])
    expect(
      loss
        .mse(q, y, {
          reduction: 'none',
          sampleWeight: [0, 2],
          weight: [
            [1, 0],
            [0, 1],
          ],
        })
        .toArray(),
    ).toEqual([
      [0, 0],
      [0, 50],
    ])
    expect(loss.squaredError(q, y, { sampleWeight: [2, 0] }).item()).toBe(2.5)
    expect(
      loss
        .crossEntropy(
          [
            [0, 0],
            [0, 0],
          ],
          [0, 1],
          { sampleWeight: [3, 1], reduction: 'sum' },
        )
        .item(),
    ).toBeCloseTo(4 * Math.LN2, 6)
    expect(codeOf(() => loss.mse(q, y, { sampleWeight: [1, 2, 3] }))).toBe('ERR_SHAPE')
    expect(
      codeOf(() =>
        loss.crossEntropy(q, [0, 1], {
          sampleWeight: [
            [1, 2],
            [1, 2],
          ],
        }),
      ),
    ).toBe('ERR_SHAPE')
    expect(codeOf(() => loss.nll([[-1, -2]], [0], { weight: [1, 2, 3] }))).toBe('ERR_SHAPE')
  })

  test('options bound ahead are overruled by those of the call', () => {
    const bound = loss.huber.with({ delta: 2, reduction: 'sum' })
    expect(bound([4], [0]).item()).toBe(6)
    expect(bound([4], [0], { delta: 1 }).item()).toBe(3.5)
    expect(bound.with({ delta: 3 })([4, 4], [0, 0]).item()).toBe(15)
  })
})

describe('misuse is refused by name', () => {
  const cases: [string, () => unknown, string, RegExp][] = [
    [
      'labels first',
      () =>
        loss.crossEntropy(Int32Array.of(1, 0), [
          [0.2, 0.8],
          [0.5, 0.5],
        ]),
      'ERR_DTYPE',
      /swapped/,
    ],
    ['integers first', () => loss.mse(Int32Array.of(1), [1]), 'ERR_DTYPE', /swapped/],
    ['logits as target', () => loss.bceWithLogits([0.5], [3]), 'ERR_RANGE', /prediction is the first/],
    ['a logit as probability', () => loss.bce([3], [1]), 'ERR_RANGE', /prediction within \[0, 1\]/],
    ['a distribution beyond 1', () => loss.crossEntropy([[1, 2]], [[0.5, 1.5]]), 'ERR_RANGE', /prediction is the first/],
    ['a logit in a divergence', () => loss.klDivergence([-1, 2], [0.5, 0.5]), 'ERR_RANGE', /klDivergence/],
    ['a probability as sign', () => loss.hinge([0.5], [0]), 'ERR_RANGE', /−1 or 1/],
    ['NaN as a sign', () => loss.hinge([0.5], [Number.NaN]), 'ERR_RANGE', /NaN/],
    ['logits as logarithms', () => loss.nll([[1, 2]], [0]), 'ERR_RANGE', /use crossEntropy/],
    ['a label too large', () => loss.nll([[-1, -2]], [2]), 'ERR_LABEL', /0 … 1, got 2 for sample 0/],
    ['a label with a fraction', () => loss.multiClassHinge([[1, 2]], [0.5]), 'ERR_LABEL', /0.5/],
    ['another shape', () => loss.mae([1, 2], [1]), 'ERR_SHAPE', /\[2\] and \[1\]/],
    ['text', () => loss.mae('1' as never, [1]), 'ERR_VALUE', /'1'/],
    ['null', () => loss.mae([1], null as never), 'ERR_VALUE', /target .* null/],
    ['a misspelled option', () => loss.huber([1], [1], { dleta: 1 } as never), 'ERR_OPTION', /did you mean 'delta'/],
    ['a misspelled option, bound', () => loss.huber.with({ dleta: 1 } as never), 'ERR_OPTION', /did you mean 'delta'/],
    ['a bad delta, bound', () => loss.huber.with({ delta: 0 }), 'ERR_RANGE', /delta/],
    ['a bad c', () => loss.tukeyBisquare([1], [1], { c: -1 }), 'ERR_RANGE', /c to be/],
    ['smoothing above 1', () => loss.crossEntropy([[1, 2]], [0], { labelSmoothing: 1.5 }), 'ERR_RANGE', /labelSmoothing/],
    ['a bad reduction', () => loss.mse([1], [1], { reduction: 'avg' as never }), 'ERR_OPTION', /reduction/],
    ['base 1', () => loss.entropy([1], { base: 1 }), 'ERR_RANGE', /base/],
    ['entropy of a logit', () => loss.entropy([2]), 'ERR_RANGE', /within \[0, 1\]/],
    ['entropy of a number', () => loss.entropy(tensor(0.5)), 'ERR_SHAPE', /single number/],
  ]
  test.each(cases)('%s', (_name, attempt, code, message) => {
    expect(codeOf(attempt)).toBe(code)
    expect(attempt).toThrow(message)
  })

  test('a trainer refuses targets that are no signs', async () => {
    const { FBGD } = await import('../../lib/index.js')
    const trainer = new FBGD(new nn.Linear(2, 1), { loss: loss.hinge, learningRate: 0.1 })
    await expect(trainer.fit({ x: [[1, 2]], y: [[0]] }, { epochs: 1 })).rejects.toThrow(/−1 or 1/)
    await expect(trainer.fit({ x: [[1, 2]], y: [[-1]] }, { epochs: 1 })).resolves.toMatchObject({ updates: 1 })
  })
})
