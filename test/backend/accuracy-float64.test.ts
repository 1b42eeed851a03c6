/**
 * Functions of float64 in units in the last place: against exact values where they are hard, and against JavaScript's, which are within
 * one unit, over many numbers of all sizes; remainders bit by bit.
 */

import { expect, test } from 'vitest'
import { erf, mod, pow } from '../../lib/backend/js/kernels/special.js'
import { type ElementwiseOp, elementwiseCodes } from '../../lib/backend/program.js'
import { golden } from '../support/golden.js'
import { call, onEveryEngine } from './engines.js'
import { Draw } from './reference.js'

const most = 4
const count = process.env.WENGERT_SWEEP ? 1 << 24 : 1 << 16
const chunk = 1 << 14

/** From 2^low to 2^high, or evenly between two numbers. */
type Range = readonly ['powers', low: number, high: number] | readonly ['evenly', low: number, high: number]
interface Swept {
  exact: (x: number) => number
  ranges: readonly Range[]
}
const everywhere: Range = ['powers', -1070, 1023]
const functions: Partial<Record<ElementwiseOp, Swept>> = {
  exp: { exact: Math.exp, ranges: [['evenly', -745, 709.7], everywhere] },
  log: { exact: Math.log, ranges: [['evenly', 0.5, 2], everywhere] },
  tanh: { exact: Math.tanh, ranges: [['evenly', -2, 2], everywhere] },
  expm1: { exact: Math.expm1, ranges: [['evenly', -2, 2], ['evenly', -40, 709.7], everywhere] },
  log1p: { exact: Math.log1p, ranges: [['evenly', -0.999, 2], everywhere] },
  sin: { exact: Math.sin, ranges: [['evenly', -7, 7], ['evenly', -1e6, 1e6], everywhere] },
  cos: { exact: Math.cos, ranges: [['evenly', -7, 7], ['evenly', -1e6, 1e6], everywhere] },
  tan: { exact: Math.tan, ranges: [['evenly', -7, 7], ['evenly', -1e6, 1e6], everywhere] },
  asin: { exact: Math.asin, ranges: [['evenly', -1.01, 1.01], everywhere] },
  acos: { exact: Math.acos, ranges: [['evenly', -1.01, 1.01], everywhere] },
  atan: { exact: Math.atan, ranges: [['evenly', -3, 3], everywhere] },
  sinh: { exact: Math.sinh, ranges: [['evenly', -2, 2], ['evenly', -711, 711], everywhere] },
  cosh: { exact: Math.cosh, ranges: [['evenly', -2, 2], ['evenly', -711, 711], everywhere] },
  asinh: { exact: Math.asinh, ranges: [['evenly', -3, 3], everywhere] },
  acosh: { exact: (x) => (x < 1 ? Number.NaN : Math.acosh(x)), ranges: [['evenly', 0.99, 3], everywhere] },
  atanh: { exact: Math.atanh, ranges: [['evenly', -1.01, 1.01], everywhere] },
  erf: { exact: erf, ranges: [['evenly', -1.2, 1.2], ['evenly', -6.1, 6.1], everywhere] },
}
const pairs: Partial<Record<ElementwiseOp, (x: number, y: number) => number>> = { pow, atan2: Math.atan2 }
/** Bun multiplies for whole powers up to 1,000, and is hundreds of units off: nothing to compare with. */
const products = 'bun' in process.versions
/** Each with each: zeros, ends of the range, where a whole number is even, odd or none. */
const edges = [0, 0.5, 1, 1.5, 2, 3, 5e-324, 2.2250738585072014e-308, 1e-17, 709.79, 1e6, 1e300, Number.MAX_VALUE, Infinity, Number.NaN]
  .concat([2 ** 53, 2 ** 53 - 1, 2 ** 52 + 1, 2 ** 51 + 0.5, 1e22])
  .flatMap((x) => [x, -x])

/** The distance of two neighbouring numbers at |x|. */
const ulp = (x: number): number => 2 ** Math.max(Math.floor(Math.log2(Math.abs(x))) - 52, -1074)
/** How many of them a result is off: 0 for what is the same, Infinity where one is no finite number. */
function off(result: number, expected: number): number {
  if (Object.is(result, expected)) return 0
  if (result === 0 && expected === 0) return Infinity
  const distance = Math.abs(result - expected) / ulp(expected)
  return Number.isNaN(distance) ? Infinity : distance
}

const floats = (text: string): Float64Array => {
  const bytes = Buffer.from(text, 'base64')
  return new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
}
const hard = golden<Record<string, { x: string; y?: string; value: string }>>('functions')

onEveryEngine('accuracy of float64', (backend) => {
  const run = (name: ElementwiseOp, x: Float64Array, y?: Float64Array): Float64Array => {
    const out = new Float64Array(x.length)
    const n = x.length
    const ints = y
      ? [1, 1, n, 2, 1, 0, 1, n, 1, n, 1, 2, elementwiseCodes[name], 0, 1, 0]
      : [1, 1, n, 1, 1, 0, 1, n, 1, 1, elementwiseCodes[name], 0, 0, 0]
    backend.run(call('elementwise', ints), [out], y ? [x, y] : [x])
    return out
  }
  const worst = (name: string, x: Float64Array, got: Float64Array, exact: (i: number) => number, y?: Float64Array) => {
    let [most, at] = [0, '']
    for (let i = 0; i < x.length; i++) {
      const distance = off(got[i] as number, exact(i))
      if (distance > most) [most, at] = [distance, `${name}(${x[i]}${y ? `, ${y[i]}` : ''}): ${got[i]} for ${exact(i)}`]
    }
    return { most, at }
  }

  test.each(Object.keys({ ...functions, ...pairs }).filter((name) => name in hard))('%s where it is hard', (name) => {
    const given = hard[name] as { x: string; y?: string; value: string }
    const [x, y, value] = [floats(given.x), given.y === undefined ? undefined : floats(given.y), floats(given.value)]
    const found = worst(name, x, run(name as ElementwiseOp, x, y), (i) => value[i] as number, y)
    expect(found.most, found.at).toBeLessThanOrEqual(most)
  })

  test.each(Object.entries(functions))('%s of numbers of all sizes', { timeout: 3_600_000 }, (name, { exact, ranges }) => {
    const draw = new Draw(5)
    const uniform = () => (draw.int(0, 2 ** 26 - 1) * 2 ** 26 + draw.int(0, 2 ** 26 - 1)) / 2 ** 52
    for (const [kind, low, high] of ranges)
      for (let from = 0; from < count / ranges.length; from += chunk) {
        const x = Float64Array.from({ length: chunk }, () => {
          const at = low + (high - low) * uniform()
          return kind === 'evenly' ? at : 2 ** at * (uniform() < 0.5 ? 1 : -1)
        })
        x.set(from === 0 ? edges : [])
        const found = worst(name, x, run(name as ElementwiseOp, x), (i) => exact(x[i] as number))
        expect(found.most, found.at).toBeLessThanOrEqual(most)
      }
  })

  test.each(Object.entries(pairs))('%s of every pair of special values and many others', (name, exact) => {
    const draw = new Draw(9)
    const uniform = () => (draw.int(0, 2 ** 26 - 1) * 2 ** 26 + draw.int(0, 2 ** 26 - 1)) / 2 ** 52
    const whole = () => {
      const drawn = draw.int(-3000, 3000)
      return products && drawn > 0 && drawn <= 1000 ? drawn + 1000 : drawn
    }
    const others = Array.from({ length: count }, (_, i) =>
      i % 2
        ? [2 ** (200 * uniform() - 100), 10 * uniform() - 5]
        : [(1 + 0.01 * uniform()) * (i % 4 ? 1 : -1), name === 'pow' ? whole() : uniform() - 0.5],
    )
    const all = [...edges.flatMap((a) => edges.map((b) => [a, b])), ...others] as [number, number][]
    const [x, y] = [Float64Array.from(all, ([a]) => a), Float64Array.from(all, ([, b]) => b)]
    const found = worst(name, x, run(name as ElementwiseOp, x, y), (i) => exact(x[i] as number, y[i] as number), y)
    expect(found.most, found.at).toBeLessThanOrEqual(most)
  })

  test('a whole power of a whole number is exact', () => {
    const all = Array.from({ length: 41 * 12 }, (_, i) => [(i % 41) - 20, Math.floor(i / 41)] as const)
    const got = run(
      'pow',
      Float64Array.from(all, ([a]) => a),
      Float64Array.from(all, ([, b]) => b),
    )
    all.forEach(([a, b], i) => {
      expect(`${a}^${b} ${got[i]}`).toBe(`${a}^${b} ${Number(BigInt(a) ** BigInt(b))}`)
    })
  })

  test.each(['float32', 'float64'] as const)('remainders are exact: %s', (dtype) => {
    const draw = new Draw(4)
    const Type = dtype === 'float32' ? Float32Array : Float64Array
    const uniform = () => draw.int(0, 2 ** 30) / 2 ** 30
    const round = (x: number) => (dtype === 'float32' ? Math.fround(x) : x)
    const power = () => round(2 ** (60 * uniform() - 30) * (1 + uniform()) * (uniform() < 0.5 ? 1 : -1))
    const others = Array.from({ length: 20_000 }, (_, i) => {
      const b = power()
      // Anything; whole quotients, and what is next to them; large quotients.
      return [
        [power(), b * draw.int(0, 1000), b * draw.int(0, 1e6) * (1 + 2 ** -23), b * 2 ** (60 * uniform())][i % 4] as number,
        b,
      ] as const
    })
    // In pieces, so that one with far quotients stands beside others without.
    const all = [...edges.flatMap((a) => edges.map((b) => [a, b] as const)), ...others]
    const wrong: string[] = []
    for (let from = 0; from < all.length; from += 50) {
      const [a, b] = [0, 1].map((k) => new Type(all.slice(from, from + 50).map((pair) => pair[k] as number))) as [
        Float64Array,
        Float64Array,
      ]
      const out = new Type(a.length)
      const ints = [dtype === 'float32' ? 0 : 1, 1, a.length, 2, 1, 0, 1, a.length, 1, a.length, 1, 2, elementwiseCodes.mod, 0, 1, 0]
      backend.run(call('elementwise', ints), [out], [a, b])
      for (let i = 0; i < a.length; i++) {
        const expected = round(mod(a[i] as number, b[i] as number))
        if (!Object.is(out[i], expected)) wrong.push(`mod(${a[i]}, ${b[i]}): ${out[i]} for ${expected}`)
      }
    }
    expect(wrong.slice(0, 10)).toEqual([])
  })
})
