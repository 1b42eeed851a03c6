/** Losses and activations against the numbers and equations of the mathematics, §2 and §3. */

import { describe, expect, test } from 'vitest'
import { grad, logSoftmax, logSumExp, loss, nn, relu, sigmoid, softmax, softplus, type Tensor, tanh, tensor, vjp } from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'
import { announce, present, using } from '../support/engines.js'
import { floats } from '../support/models.js'
import { farthest, tolerances } from '../support/tolerance.js'

announce('the mathematics')

const f64 = (x: unknown) => tensor(x as number[], { dtype: 'float64' })
const same = (actual: Tensor | undefined, expected: Tensor | number[], tolerance = 1e-12) =>
  expect(farthest(actual?.data ?? [], Array.isArray(expected) ? expected : expected.data, tolerance)).toBe('')
const near = (actual: Tensor, expected: number) =>
  expect(Math.abs(actual.item() - expected)).toBeLessThanOrEqual(1e-14 * Math.max(1, Math.abs(expected)))

type Formula = (q: number, y: number) => number
/** Per element or sample: the loss, its value and its derivative by the prediction, as §2's table has them. */
const elementwise: [
  name: string,
  of: (q: Tensor, y: Tensor, options: object) => Tensor,
  value: Formula,
  derivative: Formula,
  points: [number, number][],
][] = [
  [
    'squaredError',
    loss.squaredError,
    (q, y) => 0.5 * (q - y) ** 2,
    (q, y) => q - y,
    [
      [0.3, 1],
      [-2, 0.5],
      [1, 1],
    ],
  ],
  [
    'mse',
    loss.mse,
    (q, y) => (q - y) ** 2,
    (q, y) => 2 * (q - y),
    [
      [0.3, 1],
      [-2, 0.5],
      [1, 1],
    ],
  ],
  [
    'mae',
    loss.mae,
    (q, y) => Math.abs(q - y),
    (q, y) => Math.sign(q - y),
    [
      [0.3, 1],
      [2, 0.5],
      [1, 1],
    ],
  ],
  [
    'huber',
    loss.huber,
    (q, y) => (Math.abs(q - y) <= 1 ? 0.5 * (q - y) ** 2 : Math.abs(q - y) - 0.5),
    (q, y) => Math.max(-1, Math.min(1, q - y)),
    [
      [0.3, 1],
      [4, 0.5],
      [-4, 0.5],
      [1, 1],
      [2, 1],
    ],
  ],
  [
    'huber, δ = 2',
    (q, y, o) => loss.huber(q, y, { ...o, delta: 2 }),
    (q, y) => (Math.abs(q - y) <= 2 ? 0.5 * (q - y) ** 2 : 2 * (Math.abs(q - y) - 1)),
    (q, y) => Math.max(-2, Math.min(2, q - y)),
    [
      [0.3, 1],
      [4, 0.5],
      [-4, 0.5],
    ],
  ],
  [
    'tukeyBisquare',
    loss.tukeyBisquare,
    (q, y) => {
      const r = q - y
      const c = 4.685
      return Math.abs(r) <= c ? ((c * c) / 6) * (1 - (1 - (r / c) ** 2) ** 3) : (c * c) / 6
    },
    (q, y) => {
      const r = q - y
      const c = 4.685
      return Math.abs(r) <= c ? r * (1 - (r / c) ** 2) ** 2 : 0
    },
    [
      [0.3, 1],
      [4, 0.5],
      [-9, 0.5],
      [1, 1],
      [1e4, 0],
    ],
  ],
  [
    'bce',
    loss.bce,
    (a, y) => -(y * Math.log(a) + (1 - y) * Math.log(1 - a)),
    (a, y) => (a - y) / (a * (1 - a)),
    [
      [0.3, 1],
      [0.9, 0],
      [0.5, 0.25],
    ],
  ],
  [
    'bceWithLogits',
    loss.bceWithLogits,
    (z, y) => Math.max(z, 0) - z * y + Math.log1p(Math.exp(-Math.abs(z))),
    (z, y) => 1 / (1 + Math.exp(-z)) - y,
    [
      [0.3, 1],
      [-2, 0],
      [3, 0.25],
      [0, 1],
    ],
  ],
  [
    'hinge',
    loss.hinge,
    (q, y) => Math.max(0, 1 - y * q),
    (q, y) => (1 - y * q > 0 ? -y : 0),
    [
      [0.3, 1],
      [0.3, -1],
      [2, 1],
      [1, 1],
    ],
  ],
  [
    'klDivergence',
    loss.klDivergence,
    (q, p) => (p === 0 ? 0 : p * (Math.log(p) - Math.log(q))),
    (q, p) => -p / q,
    [
      [0.3, 0.5],
      [0.9, 1],
      [0.5, 0],
    ],
  ],
]

describe.each(present)('on %s', (engine) => {
  const on = (name: string, body: () => void) => test(name, () => using(engine, body))

  describe('losses, §2', () => {
    for (const [name, f, value, derivative, points] of elementwise) {
      on(`${name}: values, derivatives and reductions`, () => {
        const q = f64(points.map(([a]) => a))
        const y = f64(points.map(([, b]) => b))
        const values = points.map(([a, b]) => value(a, b))
        same(f(q, y, { reduction: 'none' }), values)
        const total = values.reduce((a, b) => a + b, 0)
        same(f(q, y, { reduction: 'sum' }), [total])
        same(f(q, y, {}), [total / points.length])
        const slopes = points.map(([a, b]) => derivative(a, b))
        same(grad((t: Tensor) => f(t, y, { reduction: 'sum' }))(q), slopes)
        same(
          grad((t: Tensor) => f(t, y, {}))(q),
          slopes.map((d) => d / points.length),
        )
      })
    }

    on('the half squared error sums over outputs and averages over samples; mse averages over all', () => {
      const [q, y] = [
        f64([
          [1, 2],
          [3, 5],
        ]),
        f64([
          [0, 0],
          [1, 1],
        ]),
      ]
      same(loss.squaredError(q, y, { reduction: 'none' }), [2.5, 10])
      same(loss.squaredError(q, y), [6.25])
      same(loss.mse(q, y), [25 / 4])
      same(grad((t: Tensor) => loss.squaredError(t, y))(q), [0.5, 1, 1, 2])
    })

    on('cross-entropy and entropy: every number of §2', () => {
      near(loss.entropy(f64([0.5, 0.5])), Math.LN2)
      near(loss.entropy(f64([0.5, 0.5]), { base: 2 }), 1)
      near(loss.entropy(f64([1, 0])), 0)
      near(loss.entropy(f64([0.25, 0.75])), 0.5623351446188083)
      near(loss.entropy(f64([0.25, 0.75]), { base: 2 }), 0.8112781244591328)
      near(loss.crossEntropyOf(f64([0.9, 0.1]), f64([1, 0])), 0.10536051565782628)
      const [p, q] = [f64([0.25, 0.75]), f64([0.6, 0.4])]
      near(loss.crossEntropyOf(p, p), loss.entropy(p).item())
      const kl = loss.klDivergence(q, p, { reduction: 'sum' }).item()
      expect(kl).toBeCloseTo(loss.crossEntropyOf(q, p).item() - loss.entropy(p).item(), 14)
      expect(kl).toBeGreaterThan(0)
      near(loss.klDivergence(p, p, { reduction: 'sum' }), 0)
      same(grad((t: Tensor) => loss.crossEntropyOf(t, p))(q), [-0.25 / 0.6, -0.75 / 0.4])
      // The maximum for two outcomes is at one half.
      for (const a of [0.1, 0.3, 0.49]) expect(loss.entropy([a, 1 - a]).item()).toBeLessThan(Math.LN2)
    })

    on('softmax cross-entropy: labels, distributions, and a target that does not add up to 1', () => {
      const z = f64([
        [1, 2, 0.5],
        [-1, 0, 3],
      ])
      const logs = logSoftmax(z, 1)
      const labels = tensor(Int32Array.of(2, 0))
      same(loss.crossEntropy(z, labels, { reduction: 'none' }), [-(logs.data[2] as number), -(logs.data[3] as number)])
      const p = f64([
        [0.2, 0.3, 0.5],
        [0.5, 0.5, 0.5],
      ])
      same(loss.crossEntropy(z, p, { reduction: 'none' }), logs.mul(p).sum(1).neg())
      same(
        grad((t: Tensor) => loss.crossEntropy(t, p, { reduction: 'sum' }))(z),
        softmax(z, 1)
          .mul(f64([[1], [1.5]]))
          .sub(p),
      )
      same(
        grad((t: Tensor) => loss.crossEntropy(t, labels, { reduction: 'sum' }))(z),
        softmax(z, 1).sub(
          f64([
            [0, 0, 1],
            [1, 0, 0],
          ]),
        ),
      )
      // Class weights: the mean divides by those used.
      const weight = [1, 2, 4]
      const each = loss.crossEntropy(z, labels, { reduction: 'none' }).data
      same(loss.crossEntropy(z, labels, { weight }), [(4 * (each[0] as number) + (each[1] as number)) / 5])
    })

    on('multi-class hinge and nll', () => {
      const z = f64([
        [1, 2, 0.5],
        [-1, 0, 3],
      ])
      same(loss.multiClassHinge(z, tensor(Int32Array.of(0, 2)), { reduction: 'none' }), [2 + 0.5, 0])
      same(loss.nll(logSoftmax(z, 1), tensor(Int32Array.of(0, 2))), loss.crossEntropy(z, tensor(Int32Array.of(0, 2))))
    })

    on('ln 0 gives neither Infinity nor NaN, in values or derivatives', () => {
      for (const dtype of floats) {
        const a = tensor([0, 1, 0, 1], { dtype })
        const y = tensor([1, 0, 0, 1], { dtype })
        const value = loss.bce(a, y, { reduction: 'none' })
        same(value, [100, 100, 0, 0])
        const slope = grad((t: Tensor) => loss.bce(t, y, { reduction: 'sum' }))(a)
        expect(slope.toArray()).toEqual(Array.from(tensor([-1e12, 1e12, 0, 0], { dtype }).data))
        for (const f of [loss.crossEntropyOf, loss.klDivergence]) {
          for (const t of [f(a, y, { reduction: 'sum' }), grad((q: Tensor) => f(q, y, { reduction: 'sum' }))(a)])
            expect(Array.from(t.data).every(Number.isFinite)).toBe(true)
        }
        expect(
          Array.from(loss.bceWithLogits(tensor([1e4, -1e4], { dtype }), tensor([0, 1], { dtype }), { reduction: 'none' }).data),
        ).toEqual([1e4, 1e4])
      }
    })
  })

  describe('activations, §3', () => {
    on('sigmoid, tanh, ReLU, softplus, softmax: no overflow at ±1e4, values and derivatives', () => {
      for (const dtype of floats) {
        const z = tensor([1e4, -1e4, 0], { dtype })
        const check = (f: (x: Tensor) => Tensor, values: number[], slopes: number[]) => {
          const [y, pullback] = vjp(f, z)
          same(y, values, tolerances[dtype].peer)
          same(pullback(tensor([1, 1, 1], { dtype }))[0], slopes, tolerances[dtype].peer)
        }
        check(sigmoid, [1, 0, 0.5], [0, 0, 0.25])
        check(tanh, [1, -1, 0], [0, 0, 1])
        check(relu, [1e4, 0, 0], [1, 0, 0])
        check(softplus, [1e4, 0, Math.LN2], [1, 0, 0.5])
        check((x) => softmax(x), [1, 0, 0], [0, 0, 0])
        check((x) => logSoftmax(x), [0, -2e4, -1e4], [-2, 1, 1])
        near(logSumExp(z), 1e4)
        expect(Array.from(loss.crossEntropy(z.reshape([1, 3]), [1], { reduction: 'none' }).data)).toEqual([2e4])
      }
    })

    on("σ' = σ(1 − σ) and tanh' = 1 − tanh², Identity scales by c", () => {
      const z = f64([-3, -0.5, 0.2, 4])
      const slope = (f: (x: Tensor) => Tensor) => vjp(f, z)[1](f64([1, 1, 1, 1]))[0] as Tensor
      same(slope(sigmoid), sigmoid(z).mul(sigmoid(z).neg().add(1)))
      same(slope(tanh), tanh(z).square().neg().add(1))
      same(new nn.Identity(2.5).forward(z), z.mul(2.5))
      same(
        slope((x) => new nn.Identity(2.5).forward(x)),
        [2.5, 2.5, 2.5, 2.5],
      )
    })
  })
})

describe('arguments in the wrong order', () => {
  const messageOf = (f: () => unknown): string => {
    try {
      f()
    } catch (error) {
      return (error as Error).message
    }
    return ''
  }
  test('integer predictions, probabilities outside [0, 1], labels as predictions', () => {
    const labels = tensor(Int32Array.of(0, 1))
    const z = tensor([
      [1, 2],
      [3, 4],
    ])
    expect(codeOf(() => loss.crossEntropy(labels, z))).toBe('ERR_DTYPE')
    expect(messageOf(() => loss.crossEntropy(labels, z))).toContain('swapped')
    expect(codeOf(() => loss.squaredError(labels, tensor([1, 2])))).toBe('ERR_DTYPE')
    expect(codeOf(() => loss.bceWithLogits([0.5, 1], [3, -2]))).toBe('ERR_RANGE')
    expect(messageOf(() => loss.bceWithLogits([0.5, 1], [3, -2]))).toContain('first argument')
    expect(codeOf(() => loss.bce([1.5], [1]))).toBe('ERR_RANGE')
    expect(codeOf(() => loss.hinge([0.5], [0]))).toBe('ERR_RANGE')
    expect(codeOf(() => loss.crossEntropy(z, [0, 2]))).toBe('ERR_LABEL')
    expect(codeOf(() => loss.crossEntropy(z, [0.5, 1]))).toBe('ERR_LABEL')
    expect(codeOf(() => loss.mse([1, 2], [[1, 2]]))).toBe('ERR_SHAPE')
    expect(codeOf(() => loss.mse('text' as never, [1]))).toBe('ERR_VALUE')
    expect(codeOf(() => loss.mse([1], [1], { reduction: 'average' as never }))).toBe('ERR_OPTION')
    expect(messageOf(() => loss.mse([1], [1], { reductoin: 'sum' } as never))).toContain("did you mean 'reduction'?")
  })
  test('arrays, typed arrays and tensors are taken alike', () => {
    const values = [loss.mse([1, 2], [0, 0]), loss.mse(Float32Array.of(1, 2), [0, 0]), loss.mse(tensor([1, 2]), Float64Array.of(0, 0))]
    expect(values.map((v) => v.item())).toEqual([2.5, 2.5, 2.5])
  })
})
