/**
 * Softmax and its kin over the middle axis of x[outer, n, inner]. The largest element is subtracted before exponentials are
 * taken: without it, exp overflows from 710 on and the quotient is NaN. Sums are in double precision.
 */

import type { TypedArray } from '../../../util/dtype.js'
import type { Call } from '../../program.js'
import {
  BadIndex,
  checkCounts,
  checkOperand,
  dimensions,
  malformed,
  type Operand,
  type Pair,
  type Prepare,
  type Ref,
  scalarsOf,
  type Triple,
  volume,
} from './kernel.js'

function largest(n: number, x: TypedArray, xo: number, stride: number): number {
  let top = -Infinity
  for (let i = 0, at = xo; i < n; i++, at += stride) top = Math.max(top, x[at] as number)
  return top
}

function exponentials(n: number, x: TypedArray, xo: number, stride: number, top: number): number {
  let total = 0
  for (let i = 0, at = xo; i < n; i++, at += stride) total += Math.exp((x[at] as number) - top)
  return total
}

/** ln Σ exp x. An infinite largest element is the answer itself (∞ − ∞ would be NaN). */
function logSumExpOf(n: number, x: TypedArray, xo: number, stride: number): number {
  const top = largest(n, x, xo, stride)
  if (top === Infinity || top === -Infinity) return top
  return top + Math.log(exponentials(n, x, xo, stride, top))
}

/** One line of the kernel: y and x have the same place and stride. */
type Line = (n: number, y: TypedArray, yo: number, x: TypedArray, xo: number, stride: number) => void

const softmaxLine: Line = (n, y, yo, x, xo, stride) => {
  const top = largest(n, x, xo, stride)
  let total = 0
  for (let i = 0, at = 0; i < n; i++, at += stride) {
    const e = Math.exp((x[xo + at] as number) - top)
    y[yo + at] = e
    total += e
  }
  const scale = 1 / total
  for (let i = 0, at = yo; i < n; i++, at += stride) y[at] = (y[at] as number) * scale
}

const logSoftmaxLine: Line = (n, y, yo, x, xo, stride) => {
  const top = largest(n, x, xo, stride)
  const log = Math.log(exponentials(n, x, xo, stride, top))
  for (let i = 0, at = 0; i < n; i++, at += stride) y[yo + at] = (x[xo + at] as number) - top - log
}

function lines(line: Line): Prepare {
  return (call, outputs, inputs) => {
    const [outer, n, inner] = checkAxis(call)
    checkCounts(call, outputs, inputs, 1, 1)
    const size = volume(call, outer, n, inner)
    const dtype = checkOperand(call, 'x', inputs[0], 'float', size)
    checkOperand(call, 'out', outputs[0], dtype, size)
    return {
      bind: ([y], [x]) => {
        const to = y as Ref
        const from = x as Ref
        return () => {
          if (size === 0) return
          for (let o = 0; o < outer; o++) {
            const at = o * n * inner
            for (let i = 0; i < inner; i++) line(n, to.array, to.offset + at + i, from.array, from.offset + at + i, inner)
          }
        }
      },
    }
  }
}

function checkAxis(call: Call): Triple {
  scalarsOf(call, 0)
  return dimensions(call, 3) as Triple
}

export const softmax = lines(softmaxLine)
export const logSoftmax = lines(logSoftmaxLine)

export const logSumExp: Prepare = (call, outputs, inputs) => {
  const [outer, n, inner] = checkAxis(call)
  checkCounts(call, outputs, inputs, 1, 1)
  const dtype = checkOperand(call, 'x', inputs[0], 'float', volume(call, outer, n, inner))
  const size = volume(call, outer, inner)
  checkOperand(call, 'out', outputs[0], dtype, size)
  return {
    bind: ([y], [x]) => {
      const to = y as Ref
      const from = x as Ref
      return () => {
        if (size === 0) return
        for (let o = 0; o < outer; o++) {
          for (let i = 0; i < inner; i++) {
            to.array[to.offset + o * inner + i] = logSumExpOf(n, from.array, from.offset + o * n * inner + i, inner)
          }
        }
      }
    },
  }
}

function checkLabels(call: Call, outputs: readonly Operand[], inputs: readonly Operand[], count: number, results = 1): Pair {
  const [m, n] = dimensions(call, 2) as Pair
  scalarsOf(call, 0)
  checkCounts(call, outputs, inputs, results, count)
  checkOperand(call, 'z', inputs[0], 'float', volume(call, m, n))
  checkOperand(call, 'label', inputs[1], 'int32', m)
  return [m, n]
}

/** loss[i] = logSumExp(z[i]) − z[i, label[i]]. */
export const softmaxCrossEntropy: Prepare = (call, outputs, inputs) => {
  const [m, n] = checkLabels(call, outputs, inputs, 2)
  checkOperand(call, 'loss', outputs[0], (inputs[0] as Operand).dtype, m)
  return {
    bind: ([y], [x, l]) => {
      const loss = y as Ref
      const z = x as Ref
      const label = l as Ref
      return () => {
        for (let i = 0; i < m; i++) {
          const k = label.array[label.offset + i] as number
          if (k < 0 || k >= n) throw new BadIndex(i, k, n)
          const row = z.offset + i * n
          loss.array[loss.offset + i] = logSumExpOf(n, z.array, row, 1) - (z.array[row + k] as number)
        }
      }
    },
  }
}

/** dz[i] = g · (softmax(z[i]) − oneHot(label[i])); g is one number or one for each row. The loss is a second output, where wanted. */
export const softmaxCrossEntropyGrad: Prepare = (call, outputs, inputs) => {
  const both = outputs.length === 2
  const [m, n] = checkLabels(call, outputs, inputs, 3, both ? 2 : 1)
  const dtype = (inputs[0] as Operand).dtype
  checkOperand(call, 'dz', outputs[0], dtype, m * n)
  if (both) checkOperand(call, 'loss', outputs[1], dtype, m)
  const each = (inputs[2] as Operand).length === m
  if (!each && (inputs[2] as Operand).length !== 1) throw malformed(call.kernel, `g of 1 or ${m} elements`, (inputs[2] as Operand).length)
  checkOperand(call, 'g', inputs[2], dtype, each ? m : 1)
  return {
    bind: ([y, second], [x, l, w]) => {
      const dz = y as Ref
      const loss = second as Ref
      const z = x as Ref
      const label = l as Ref
      const g = w as Ref
      return () => {
        for (let i = 0; i < m; i++) {
          const k = label.array[label.offset + i] as number
          if (k < 0 || k >= n) throw new BadIndex(i, k, n)
          const row = z.offset + i * n
          const weight = g.array[g.offset + (each ? i : 0)] as number
          const lse = gradientLine(n, dz.array, dz.offset + i * n, z.array, row, k, weight)
          if (both) loss.array[loss.offset + i] = lse - (z.array[row + k] as number)
        }
      }
    },
  }
}

/** One row of the gradient; returns logSumExp of the row. */
function gradientLine(n: number, y: TypedArray, yo: number, x: TypedArray, xo: number, k: number, g: number): number {
  const top = largest(n, x, xo, 1)
  let total = 0
  let own = 0
  for (let i = 0; i < n; i++) {
    const e = Math.exp((x[xo + i] as number) - top)
    if (i === k) own = e
    y[yo + i] = e
    total += e
  }
  const scale = g / total
  for (let i = 0; i < n; i++) y[yo + i] = (y[yo + i] as number) * scale
  y[yo + k] = g * (own / total - 1)
  return top === Infinity || top === -Infinity ? top : top + Math.log(total)
}
