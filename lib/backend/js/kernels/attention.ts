/**
 * Attention and its gradient, a query at a time: its scores over all keys, their softmax, and the sum of the values by it. Sums are in
 * double precision, and rounded once. How operands lie, says program.ts.
 */

import type { Dtype } from '../../../util/dtype.js'
import type { Call } from '../../program.js'
import { checkCounts, checkOperand, dimensions, malformed, type Operand, type Prepare, type Ref, scalarsOf, volume } from './kernel.js'

interface Sizes {
  m: number
  heads: number
  T: number
  S: number
  d: number
  e: number
  /** Into how many operands q, k and v are parted. */
  operands: number
  causal: boolean
  /** The mask's dimensions; all 0 where there is none. */
  mask: readonly number[]
  scale: number
}

/** Where the rows of heads lie: in which operand, from where, and how far apart. */
interface Place {
  operand: number
  offset: number
  row: number
}

function placesOf({ heads, d, e, operands }: Sizes): { q: Place; k: Place; v: Place; widths: number[] } {
  const [keys, values] = [heads * d, heads * e]
  const widths = operands === 3 ? [keys, keys, values] : operands === 2 ? [keys, keys + values] : [2 * keys + values]
  const place = (operand: number, offset: number): Place => ({ operand, offset, row: widths[operand] as number })
  if (operands === 3) return { q: place(0, 0), k: place(1, 0), v: place(2, 0), widths }
  if (operands === 2) return { q: place(0, 0), k: place(1, 0), v: place(1, keys), widths }
  return { q: place(0, 0), k: place(0, keys), v: place(0, 2 * keys), widths }
}

function sizesOf(call: Call): Sizes {
  const [m, heads, T, S, d, e, operands, causal, ...mask] = dimensions(call, 12) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    ...number[],
  ]
  const [scale] = scalarsOf(call, 1) as [number]
  if (operands < 1 || operands > 3) throw malformed(call.kernel, '1, 2 or 3 operands', operands)
  if (causal > 1) throw malformed(call.kernel, 'causal to be 0 or 1', causal)
  if (S < 1) throw malformed(call.kernel, 'a key or more', S)
  if (operands === 1 && T !== S) throw malformed(call.kernel, 'as many queries as keys that lie beside them', T)
  const whole = [m, heads, T, S]
  mask.forEach((n, axis) => {
    const fits = (mask[0] as number) > 0 ? n === 1 || n === whole[axis] : n === 0
    if (!fits) throw malformed(call.kernel, `a mask's dimension of 1 or ${whole[axis]}`, n)
  })
  volume(call, S, d + e, 1024)
  return { m, heads, T, S, d, e, operands, causal: causal === 1, mask, scale }
}

/** Checks the operands, gradient or not. */
function checked(call: Call, outputs: readonly Operand[], inputs: readonly Operand[], gradient: boolean): Sizes {
  const sizes = sizesOf(call)
  const { m, heads, T, S, e, operands, mask } = sizes
  const masked = (mask[0] as number) > 0
  checkCounts(call, outputs, inputs, gradient ? operands : 1, operands + (masked ? 1 : 0) + (gradient ? 1 : 0))
  const { widths } = placesOf(sizes)
  let dtype: Dtype | 'float' = 'float'
  const parts = (list: readonly Operand[]) => {
    widths.forEach((width, i) => {
      dtype = checkOperand(call, 'qkv'.charAt(i), list[i], dtype, volume(call, m, i === 0 ? T : S, width))
    })
  }
  parts(inputs)
  if (masked) {
    const own = inputs[operands] as Operand
    checkOperand(call, 'mask', own, own.dtype === 'bool' ? 'bool' : dtype, volume(call, ...mask))
  }
  const results = volume(call, m, T, heads, e)
  if (gradient) {
    parts(outputs)
    checkOperand(call, 'g', inputs.at(-1), dtype, results)
  } else checkOperand(call, 'y', outputs[0], dtype, results)
  return sizes
}

const at = (x: Ref, i: number): number => x.array[x.offset + i] as number

function dot(n: number, a: Ref, i: number, b: Ref, j: number): number {
  const [x, y, from, to] = [a.array, b.array, a.offset + i, b.offset + j]
  let sum = 0
  for (let p = 0; p < n; p++) sum += (x[from + p] as number) * (y[to + p] as number)
  return sum
}

/** Calls `visit(q, k, v, y, weights, seen)` for each query: where its row, the head's first rows and its result lie, and its softmax. */
function eachQuery(
  sizes: Sizes,
  inputs: readonly Ref[],
  visit: (q: number, k: number, v: number, y: number, weights: Float64Array, seen: number, query: number) => void,
): void {
  const { m, heads, T, S, d, e, operands, causal, mask, scale } = sizes
  const places = placesOf(sizes)
  const [x, z] = [inputs[places.q.operand] as Ref, inputs[places.k.operand] as Ref]
  const own = (mask[0] as number) > 0 ? (inputs[operands] as Ref) : undefined
  const hides = own?.array instanceof Uint8Array
  const [mm, mh, mt, ms] = mask as [number, number, number, number]
  const weights = new Float64Array(S)
  for (let n = 0; n < m; n++) {
    for (let h = 0; h < heads; h++) {
      const k = places.k.offset + n * S * places.k.row + h * d
      const v = places.v.offset + n * S * places.v.row + h * e
      for (let t = 0; t < T; t++) {
        const q = places.q.offset + (n * T + t) * places.q.row + h * d
        const row = (((mm > 1 ? n : 0) * mh + (mh > 1 ? h : 0)) * mt + (mt > 1 ? t : 0)) * ms
        const seen = causal ? Math.min(S, t + 1) : S
        let top = -Infinity
        let looks = !own
        for (let s = 0; s < seen; s++) {
          const given = own && at(own, row + (ms > 1 ? s : 0))
          const hidden = given === (hides ? 0 : -Infinity)
          if (!hidden) looks = true
          const score = hidden ? -Infinity : scale * dot(d, x, q, z, k + s * places.k.row) + (hides ? 0 : (given ?? 0))
          weights[s] = score
          top = Math.max(top, score)
        }
        let total = 0
        for (let s = 0; s < seen; s++) total += weights[s] = Math.exp((weights[s] as number) - top)
        for (let s = 0; s < seen; s++) weights[s] = looks ? (weights[s] as number) / total : 0
        visit(q, k, v, ((n * T + t) * heads + h) * e, weights, seen, t)
      }
    }
  }
}

export const attention: Prepare = (call, outputs, inputs) => {
  const sizes = checked(call, outputs, inputs, false)
  const { v: values } = placesOf(sizes)
  const { e } = sizes
  return {
    bind: ([out], operands) => {
      const y = out as Ref
      const from = operands[values.operand] as Ref
      return () => {
        const sums = new Float64Array(e)
        eachQuery(sizes, operands, (_q, _k, v, to, weights, seen) => {
          sums.fill(0)
          for (let s = 0; s < seen; s++) addScaled(sums, 0, weights[s] as number, from, v + s * values.row, e)
          for (let j = 0; j < e; j++) y.array[y.offset + to + j] = sums[j] as number
        })
      }
    },
  }
}

/** to[i …] += factor · x[j …] */
function addScaled(to: Float64Array, i: number, factor: number, x: Ref, j: number, n: number): void {
  const { array } = x
  for (let p = 0, from = x.offset + j; p < n; p++) to[i + p] = (to[i + p] as number) + factor * (array[from + p] as number)
}

export const attentionGrad: Prepare = (call, outputs, inputs) => {
  const sizes = checked(call, outputs, inputs, true)
  const { T, S, d, e, scale } = sizes
  const places = placesOf(sizes)
  return {
    bind: (results, operands) => {
      const [x, z, w] = [places.q, places.k, places.v].map(({ operand }) => operands[operand] as Ref) as [Ref, Ref, Ref]
      const g = operands.at(-1) as Ref
      return () => {
        if (T === 0) for (const [i, { array, offset }] of results.entries()) array.fill(0, offset, offset + (outputs[i] as Operand).length)
        const [slopes, dq] = [new Float64Array(S), new Float64Array(d)]
        const [dk, dv] = [new Float64Array(S * d), new Float64Array(S * e)]
        eachQuery(sizes, operands, (q, k, v, y, weights, seen, query) => {
          if (query === 0) {
            dk.fill(0)
            dv.fill(0)
          }
          dq.fill(0)
          let mean = 0
          for (let s = 0; s < seen; s++) {
            const slope = dot(e, g, y, w, v + s * places.v.row)
            slopes[s] = slope
            mean += (weights[s] as number) * slope
          }
          for (let s = 0; s < seen; s++) {
            const weight = weights[s] as number
            const slope = scale * weight * ((slopes[s] as number) - mean)
            addScaled(dq, 0, slope, z, k + s * places.k.row, d)
            addScaled(dk, s * d, slope, x, q, d)
            addScaled(dv, s * e, weight, g, y, e)
          }
          put(results[places.q.operand] as Ref, q, dq, 0, d)
          if (query < T - 1) return
          for (let s = 0; s < S; s++) {
            put(results[places.k.operand] as Ref, k + s * places.k.row, dk, s * d, d)
            put(results[places.v.operand] as Ref, v + s * places.v.row, dv, s * e, e)
          }
        })
      }
    },
  }
}

function put(to: Ref, i: number, x: Float64Array, j: number, n: number): void {
  for (let p = 0; p < n; p++) to.array[to.offset + i + p] = x[j + p] as number
}
