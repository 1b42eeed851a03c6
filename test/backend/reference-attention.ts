/** Attention as its definition reads, number by number: random calls with what they should give. */

import { allocate, type Dtype, type TypedArray } from '../../lib/util/dtype.js'
import { call } from './engines.js'
import type { Case, Draw } from './reference.js'

const at = (x: ArrayLike<number>, i: number) => x[i] as number
const range = (n: number) => Array.from({ length: n }, (_, i) => i)

/** q, k and v in rows of all heads, and where the row of a head begins. */
interface Sizes {
  m: number
  heads: number
  T: number
  S: number
  d: number
  e: number
}

export interface Drawn extends Sizes {
  causal: number
  scale: number
  /** q, k, v. */
  apart: readonly TypedArray[]
  g: TypedArray
  mask: TypedArray | undefined
  /** The mask's dimensions, or zeros. */
  dims: number[]
}

/** @param alike whether there are as many queries as keys, and features of keys as of values */
export function drawn(draw: Draw, dtype: Dtype, alike: boolean, features?: number): Drawn {
  const [m, heads, T, d] = [draw.int(1, 2), draw.int(1, 3), draw.of([1, 2, 5, 17, 66]), features ?? draw.of([1, 3, 4, 8, 16, 24, 40])]
  const [S, e] = alike ? [T, d] : [draw.of([1, 3, 16, 33, 70]), draw.of([1, 2, 5, 16, d])]
  const kind = draw.of(['none', 'bool', dtype] as const)
  const dims = kind === 'none' ? [0, 0, 0, 0] : [draw.of([1, m]), draw.of([1, heads]), draw.of([1, T]), draw.of([1, S])]
  const mask =
    kind === 'none'
      ? undefined
      : draw.array(
          kind,
          dims.reduce((a, b) => a * b, 1),
        )
  const apart = [m * T * heads * d, m * S * heads * d, m * S * heads * e].map((n) => draw.array(dtype, n))
  return {
    m,
    heads,
    T,
    S,
    d,
    e,
    causal: draw.int(0, 1),
    // Scores of many features are kept from saturating.
    scale: draw.of([0.5, -0.25]) / (features ? 4 : 1),
    apart,
    g: draw.array(dtype, m * T * heads * e),
    mask,
    dims,
  }
}

/** The rows of parts beside each other: so many steps, each of all parts' widths. */
export function beside(parts: readonly ArrayLike<number>[], steps: number): number[] {
  return range(steps).flatMap((t) => parts.flatMap((x) => Array.from(x).slice((t * x.length) / steps, ((t + 1) * x.length) / steps)))
}

/** y, and the gradients by q, k and v. */
export function expectedOf({ m, heads, T, S, d, e, causal, scale, apart, g, mask, dims }: Drawn): number[][] {
  const [q, k, v] = apart as [TypedArray, TypedArray, TypedArray]
  const y = new Array<number>(m * T * heads * e).fill(0)
  const [dq, dk, dv] = [q, k, v].map((x) => new Array<number>(x.length).fill(0)) as [number[], number[], number[]]
  for (const n of range(m))
    for (const h of range(heads))
      for (const t of range(T)) {
        const rowQ = ((n * T + t) * heads + h) * d
        const rowK = (s: number) => ((n * S + s) * heads + h) * d
        const rowV = (s: number) => ((n * S + s) * heads + h) * e
        const rowY = ((n * T + t) * heads + h) * e
        const given = (s: number) =>
          mask
            ? at(
                mask,
                [n, h, t, s].reduce((place, i, axis) => place * at(dims, axis) + (at(dims, axis) > 1 ? i : 0), 0),
              )
            : 0
        const seen = range(S).filter((s) => (causal === 0 || s <= t) && !(mask instanceof Uint8Array && given(s) === 0))
        const scores = seen.map(
          (s) =>
            scale * range(d).reduce((sum, j) => sum + at(q, rowQ + j) * at(k, rowK(s) + j), 0) +
            (mask instanceof Uint8Array ? 0 : given(s)),
        )
        const top = Math.max(...scores)
        const total = scores.reduce((sum, z) => sum + Math.exp(z - top), 0)
        const weights = scores.map((z) => Math.exp(z - top) / total)
        const slopes = seen.map((s) => range(e).reduce((sum, j) => sum + at(g, rowY + j) * at(v, rowV(s) + j), 0))
        const mean = slopes.reduce((sum, u, i) => sum + u * at(weights, i), 0)
        seen.forEach((s, i) => {
          const weight = at(weights, i)
          const slope = scale * weight * (at(slopes, i) - mean)
          for (const j of range(e)) {
            y[rowY + j] = at(y, rowY + j) + weight * at(v, rowV(s) + j)
            dv[rowV(s) + j] = at(dv, rowV(s) + j) + weight * at(g, rowY + j)
          }
          for (const j of range(d)) {
            dq[rowQ + j] = at(dq, rowQ + j) + slope * at(k, rowK(s) + j)
            dk[rowK(s) + j] = at(dk, rowK(s) + j) + slope * at(q, rowQ + j)
          }
        })
      }
  return [y, dq, dk, dv]
}

/** The integers of a call with so many operands. */
export const intsOf = ({ m, heads, T, S, d, e, causal, dims }: Drawn, operands: number): number[] => [
  m,
  heads,
  T,
  S,
  d,
  e,
  operands,
  causal,
  ...dims,
]

/** Of one operand, which has one gradient; attention itself of three, too. */
export function attentionCase(draw: Draw, kernel: 'attention' | 'attentionGrad', dtype: Dtype): Case {
  const together = kernel === 'attentionGrad' || draw.int(0, 1) === 1
  const it = drawn(draw, dtype, together)
  const { m, T, apart, g, mask, scale } = it
  const [y, ...gradients] = expectedOf(it) as [number[], ...number[][]]
  const one = allocate(
    dtype,
    apart.reduce((sum, x) => sum + x.length, 0),
  )
  if (together) one.set(beside(apart, m * T))
  const operands = together ? [one] : apart
  const ints = intsOf(it, operands.length)
  const inputs = [...operands, ...(mask ? [mask] : []), ...(kernel === 'attentionGrad' ? [g] : [])]
  const expected = kernel === 'attention' ? y : beside(gradients, m * T)
  return {
    name: `${dtype} [${ints}]`,
    call: call(kernel, ints, [scale]),
    inputs,
    before: allocate(dtype, expected.length).fill(Number.NaN),
    expected,
  }
}
