/**
 * Reductions of the middle axis of x[outer, n, inner], the running sum along it, and the sum into a report. Where inner = 1
 * the axis lies along memory; else a row of `inner` running results is kept, so that memory is still read in order.
 */

import type { TypedArray } from '../../../util/dtype.js'
import type { Call } from '../../program.js'
import {
  checkCounts,
  checkOperand,
  dimensions,
  integers,
  malformed,
  type Operand,
  type Prepare,
  type Ref,
  scalarsOf,
  type Triple,
  volume,
} from './kernel.js'

/** Reduces n elements of x from xo, `stride` apart. */
type Fold = (n: number, x: TypedArray, xo: number, stride: number) => number

function checkReduction(call: Call, outputs: readonly Operand[], inputs: readonly Operand[], kind: 'number' | 'bool'): Triple {
  const [outer, n, inner] = dimensions(call, 3) as Triple
  scalarsOf(call, 0)
  checkCounts(call, outputs, inputs, 1, 1)
  const dtype = checkOperand(call, 'x', inputs[0], kind, volume(call, outer, n, inner))
  checkOperand(call, 'out', outputs[0], dtype, volume(call, outer, inner))
  return [outer, n, inner]
}

/** A reduction whose axis is folded one output at a time. */
function reduction(folds: { float: Fold; int32: Fold }, options: { kind?: 'bool'; empty?: 'refused' } = {}): Prepare {
  return (call, outputs, inputs) => {
    const [outer, n, inner] = checkReduction(call, outputs, inputs, options.kind ?? 'number')
    const out = (outputs[0] as Operand).length
    if (options.empty === 'refused' && n === 0 && out > 0) throw malformed(call.kernel, 'an axis that is not empty', 0)
    const fold = (inputs[0] as Operand).dtype === 'int32' ? folds.int32 : folds.float
    return {
      bind: ([y], [x]) => {
        const to = y as Ref
        const from = x as Ref
        return () => {
          if (out > 0) foldAll(fold, outer, n, inner, to.array, to.offset, from.array, from.offset)
        }
      },
    }
  }
}

function foldAll(fold: Fold, outer: number, n: number, inner: number, y: TypedArray, yo: number, x: TypedArray, xo: number): void {
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) y[yo + o * inner + i] = fold(n, x, xo + o * n * inner + i, inner)
  }
}

export const sumFloat: Fold = (n, x, xo, stride) => {
  let s = 0
  for (let i = 0, at = xo; i < n; i++, at += stride) s += x[at] as number
  return s
}

/** Wraps modulo 2³². */
const sumInt32: Fold = (n, x, xo, stride) => {
  let s = 0
  for (let i = 0, at = xo; i < n; i++, at += stride) s = (s + (x[at] as number)) | 0
  return s
}

const prodFloat: Fold = (n, x, xo, stride) => {
  let s = 1
  for (let i = 0, at = xo; i < n; i++, at += stride) s *= x[at] as number
  return s
}

const prodInt32: Fold = (n, x, xo, stride) => {
  let s = 1
  for (let i = 0, at = xo; i < n; i++, at += stride) s = Math.imul(s, x[at] as number)
  return s
}

/** `Math.max` propagates NaN. */
const maxOf: Fold = (n, x, xo, stride) => {
  let s = x[xo] as number
  for (let i = 1, at = xo + stride; i < n; i++, at += stride) s = Math.max(s, x[at] as number)
  return s
}

const minOf: Fold = (n, x, xo, stride) => {
  let s = x[xo] as number
  for (let i = 1, at = xo + stride; i < n; i++, at += stride) s = Math.min(s, x[at] as number)
  return s
}

const anyOf: Fold = (n, x, xo, stride) => {
  for (let i = 0, at = xo; i < n; i++, at += stride) if (x[at] !== 0) return 1
  return 0
}

const allOf: Fold = (n, x, xo, stride) => {
  for (let i = 0, at = xo; i < n; i++, at += stride) if (x[at] === 0) return 0
  return 1
}

export const prod = reduction({ float: prodFloat, int32: prodInt32 })
export const max = reduction({ float: maxOf, int32: maxOf }, { empty: 'refused' })
export const min = reduction({ float: minOf, int32: minOf }, { empty: 'refused' })
export const any = reduction({ float: anyOf, int32: anyOf }, { kind: 'bool' })
export const all = reduction({ float: allOf, int32: allOf }, { kind: 'bool' })

const plainSum = reduction({ float: sumFloat, int32: sumInt32 })

/** Column sums of a floating x keep `inner` running sums in double precision, four rows read at a time. */
export const sum: Prepare = (call, outputs, inputs) => {
  const plain = plainSum(call, outputs, inputs)
  const [outer, n, inner] = call.ints as unknown as Triple
  if ((inputs[0] as Operand).dtype === 'int32' || inner < 4 || n < 2 || outer === 0) return plain
  return {
    bind: ([y], [x]) => {
      const to = y as Ref
      const from = x as Ref
      const running = new Float64Array(inner)
      return () => {
        for (let o = 0; o < outer; o++)
          columnSums(n, inner, running, to.array, to.offset + o * inner, from.array, from.offset + o * n * inner)
      }
    },
  }
}

function columnSums(n: number, inner: number, running: Float64Array, y: TypedArray, yo: number, x: TypedArray, xo: number): void {
  running.fill(0)
  let r = 0
  for (; r + 3 < n; r += 4) {
    const x0 = xo + r * inner
    const x1 = x0 + inner
    const x2 = x1 + inner
    const x3 = x2 + inner
    for (let i = 0; i < inner; i++) {
      running[i] = (running[i] as number) + (x[x0 + i] as number) + (x[x1 + i] as number) + (x[x2 + i] as number) + (x[x3 + i] as number)
    }
  }
  for (; r < n; r++) for (let i = 0; i < inner; i++) running[i] = (running[i] as number) + (x[xo + r * inner + i] as number)
  for (let i = 0; i < inner; i++) y[yo + i] = running[i] as number
}

/** The first place of the extreme; NaN counts as the extreme. `sign` is 1 for the largest, −1 for the smallest. */
function argument(sign: 1 | -1): Prepare {
  return (call, outputs, inputs) => {
    const [outer, n, inner] = dimensions(call, 3) as Triple
    scalarsOf(call, 0)
    checkCounts(call, outputs, inputs, 1, 1)
    checkOperand(call, 'x', inputs[0], 'number', volume(call, outer, n, inner))
    checkOperand(call, 'out', outputs[0], 'int32', volume(call, outer, inner))
    const out = (outputs[0] as Operand).length
    if (n === 0 && out > 0) throw malformed(call.kernel, 'an axis that is not empty', 0)
    return {
      bind: ([y], [x]) => {
        const to = y as Ref
        const from = x as Ref
        return () => {
          if (out > 0) foldAll(extreme, outer, n, inner, to.array, to.offset, from.array, from.offset)
        }
      },
    }
  }

  function extreme(n: number, x: TypedArray, xo: number, stride: number): number {
    let place = 0
    let best = sign * (x[xo] as number)
    for (let i = 1, at = xo + stride; i < n && !Number.isNaN(best); i++, at += stride) {
      const value = sign * (x[at] as number)
      if (value > best || Number.isNaN(value)) {
        best = value
        place = i
      }
    }
    return place
  }
}

export const argmax = argument(1)
export const argmin = argument(-1)

/** Running sums in double precision (int32: modulo 2³²), each rounded as it is stored; from the end where `reverse`. */
export const cumsum: Prepare = (call, outputs, inputs) => {
  const [outer, n, inner, reverse] = dimensions(call, 4) as [number, number, number, number]
  scalarsOf(call, 0)
  if (reverse > 1) throw malformed('cumsum', 'reverse of 0 or 1', reverse)
  checkCounts(call, outputs, inputs, 1, 1)
  const size = volume(call, outer, n, inner)
  const dtype = checkOperand(call, 'x', inputs[0], 'number', size)
  checkOperand(call, 'out', outputs[0], dtype, size)
  return {
    bind: ([y], [x]) => {
      const to = y as Ref
      const from = x as Ref
      return () => {
        if (size === 0) return
        for (let o = 0; o < outer; o++) {
          for (let i = 0; i < inner; i++) {
            let s = 0
            for (let r = 0; r < n; r++) {
              const at = (o * n + (reverse ? n - 1 - r : r)) * inner + i
              const value = from.array[from.offset + at] as number
              s = dtype === 'int32' ? (s + value) | 0 : s + value
              to.array[to.offset + at] = s
            }
          }
        }
      }
    },
  }
}

/** r += Σ x, in float64. */
export const accumulate: Prepare = (call, outputs, inputs) => {
  const [n] = integers(call, 1) as [number]
  if (n < 0) throw malformed('accumulate', 'a length of 0 or more', n)
  scalarsOf(call, 0)
  checkCounts(call, outputs, inputs, 1, 1)
  checkOperand(call, 'x', inputs[0], 'any', n)
  checkOperand(call, 'r', outputs[0], 'float64', 1)
  return {
    bind: ([y], [x]) => {
      const to = y as Ref
      const from = x as Ref
      return () => {
        to.array[to.offset] = (to.array[to.offset] as number) + sumFloat(n, from.array, from.offset, 1)
      }
    },
  }
}
