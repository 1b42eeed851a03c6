/**
 * The vectorised functions against float64, in units in the last place of float32: over a comb through all 2³² floats here, over
 * every one of them with WENGERT_SWEEP=1 (`npm run test:accuracy`, minutes).
 */

import { expect, test } from 'vitest'
import { erf } from '../../lib/backend/js/kernels/special.js'
import { type ElementwiseOp, elementwiseCodes } from '../../lib/backend/program.js'
import { call, onEveryEngine } from './engines.js'
import { Draw } from './reference.js'

/** A prime, so that the comb meets all exponents and mantissas. */
const stride = process.env.WENGERT_SWEEP ? 1 : 2003
const chunk = 1 << 20

const softplus = (x: number) => (x > 0 ? x : 0) + Math.log1p(Math.exp(-Math.abs(x)))
const functions: Partial<Record<ElementwiseOp, { exact: (x: number) => number; ulps: number }>> = {
  exp: { exact: Math.exp, ulps: 4 },
  tanh: { exact: Math.tanh, ulps: 4 },
  sigmoid: { exact: (x) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x))), ulps: 4 },
  log: { exact: Math.log, ulps: 4 },
  softplus: { exact: softplus, ulps: 4 },
  expm1: { exact: Math.expm1, ulps: 1 },
  log1p: { exact: Math.log1p, ulps: 1 },
  sin: { exact: Math.sin, ulps: 1 },
  cos: { exact: Math.cos, ulps: 1 },
  // That of libm's far from 0, where these are its numbers, is 1.02.
  tan: { exact: Math.tan, ulps: 2 },
  asin: { exact: Math.asin, ulps: 1 },
  acos: { exact: Math.acos, ulps: 1 },
  atan: { exact: Math.atan, ulps: 1 },
  sinh: { exact: Math.sinh, ulps: 1 },
  cosh: { exact: Math.cosh, ulps: 1 },
  asinh: { exact: Math.asinh, ulps: 1 },
  acosh: { exact: (x) => (x < 1 ? Number.NaN : Math.acosh(x)), ulps: 1 },
  atanh: { exact: Math.atanh, ulps: 1 },
  erf: { exact: erf, ulps: 2 },
}

/** The distance of two neighbouring floats at |x|, subnormals included. */
const ulp = (x: number): number => 2 ** Math.max(Math.floor(Math.log2(Math.abs(x))) - 23, -149)

onEveryEngine('accuracy over all of float32', (backend) => {
  test.each(Object.entries(functions))(
    '%s',
    (name, { exact, ulps }) => {
      const bits = new Uint32Array(chunk)
      const x = new Float32Array(bits.buffer)
      const y = new Float32Array(chunk)
      const what = call('elementwise', [0, 1, chunk, 1, 1, 0, 1, chunk, 1, 1, elementwiseCodes[name as ElementwiseOp], 0, 0, 0])
      let worst = 0
      let at = 0
      for (let from = 0; from < 2 ** 32; from += chunk * stride) {
        for (let i = 0; i < chunk; i++) bits[i] = from + i * stride
        backend.run(what, [y], [x])
        const count = Math.min(chunk, Math.ceil((2 ** 32 - from) / stride))
        for (let i = 0; i < count; i++) {
          const [input, result] = [x[i] as number, y[i] as number]
          const expected = exact(input)
          if (result === expected || result === Math.fround(expected)) continue
          if (Number.isNaN(expected) && Number.isNaN(result)) continue
          const off = Math.abs(result - expected) / ulp(expected)
          if (off <= worst) continue // NaN is not, and fails below
          worst = off
          at = input
        }
      }
      expect(worst, `${worst} units in the last place at ${at}`).toBeLessThanOrEqual(ulps)
    },
    3_600_000,
  )
})

/** C's pow: 1 where x is 1 or y is 0, and of −1 to an infinite power; otherwise JavaScript's. */
const pow = (x: number, y: number) => (x === 1 || y === 0 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y)
const pairs: Partial<Record<ElementwiseOp, (x: number, y: number) => number>> = { pow, atan2: Math.atan2 }

onEveryEngine('accuracy of two operands', (backend) => {
  test.each(Object.entries(pairs))('%s, every pair of special values and many others', (name, exact) => {
    const edges = [0, 0.5, 1, 2, 3, 4, 2.5, 1 / 3, 1e-45, 1.17549435e-38, 3.4e38, 16777215, 16777217, 2 ** 31, 88.7, Infinity, Number.NaN]
    const special = Float32Array.from(edges.flatMap((x) => [x, -x]))
    const draw = new Draw(9)
    const count = 200_000
    const x = new Float32Array(special.length ** 2 + count)
    const y = x.slice()
    for (const [i, a] of special.entries())
      for (const [j, b] of special.entries()) [x[i * special.length + j], y[i * special.length + j]] = [a, b]
    for (let i = special.length ** 2; i < x.length; i++) {
      x[i] = 2 ** draw.int(-30, 30) * (i % 2 ? 1.37 : 0.91) * (1 + draw.int(0, 1000) / 1000) * (name === 'pow' ? 1 : draw.of([1, -1]))
      y[i] = draw.int(-4000, 4000) / 1000
    }
    const out = new Float32Array(x.length)
    const code = elementwiseCodes[name as ElementwiseOp]
    backend.run(call('elementwise', [0, 1, x.length, 2, 1, 0, 1, x.length, 1, x.length, 1, 2, code, 0, 1, 0]), [out], [x, y])
    const wrong: string[] = []
    for (let i = 0; i < x.length; i++) {
      const expected = exact(x[i] as number, y[i] as number)
      if (Object.is(out[i], Math.fround(expected))) continue
      if (!(Math.abs((out[i] as number) - expected) <= ulp(expected))) wrong.push(`${name}(${x[i]}, ${y[i]}): ${out[i]} for ${expected}`)
    }
    expect(wrong.slice(0, 10)).toEqual([])
  })

  test('zeros keep their signs, and far angles are those of libm in any company', () => {
    const odd: ElementwiseOp[] = ['expm1', 'log1p', 'sin', 'tan', 'asin', 'atan', 'sinh', 'tanh', 'asinh', 'atanh', 'erf']
    const one = (name: ElementwiseOp, values: number[]) => {
      const out = new Float32Array(values.length)
      const ints = [0, 1, values.length, 1, 1, 0, 1, values.length, 1, 1, elementwiseCodes[name], 0, 0, 0]
      backend.run(call('elementwise', ints), [out], [Float32Array.from(values)])
      return [...out]
    }
    for (const name of odd) expect(one(name, [0, -0]), name).toEqual([0, -0])
    for (const name of ['sin', 'cos', 'tan'] as const) {
      const near = Array.from({ length: 400 }, (_, i) => i * 1.7 - 300)
      expect(one(name, [...near, 3e7]).slice(0, -1), name).toEqual(one(name, near))
    }
  })
})
