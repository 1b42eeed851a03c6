/** Sorting along the last axis: where each element of the order lies. Equal elements keep their order; NaN counts as the largest. */

import { checkCounts, checkOperand, dimensions, malformed, type Prepare, type Quad, type Ref, scalarsOf, volume } from './kernel.js'

/** index[o, j] is the place in x[o, :] of the j-th element, from the smallest on, or from the largest where `descending`. */
export const argsort: Prepare = (call, outputs, inputs) => {
  const [outer, n, descending] = dimensions(call, 3) as unknown as Quad
  scalarsOf(call, 0)
  checkCounts(call, outputs, inputs, 1, 1)
  const size = volume(call, outer, n)
  checkOperand(call, 'x', inputs[0], 'number', size)
  checkOperand(call, 'out', outputs[0], 'int32', size)
  if (descending > 1) throw malformed(call.kernel, 'descending as 0 or 1', descending)
  const sign = descending === 1 ? -1 : 1
  return {
    bind: ([y], [x]) => {
      const to = y as Ref
      const from = x as Ref
      return () => {
        const index = to.array as Int32Array
        const values = from.array
        for (let o = 0; o < outer; o++) {
          const start = from.offset + o * n
          const places = index.subarray(to.offset + o * n, to.offset + (o + 1) * n)
          for (let j = 0; j < n; j++) places[j] = j
          places.sort((a, b) => {
            const [p, q] = [values[start + a] as number, values[start + b] as number]
            if (p < q) return -sign
            if (p > q) return sign
            // Equal, or NaN among them.
            const nan = (Number.isNaN(p) ? 1 : 0) - (Number.isNaN(q) ? 1 : 0)
            return nan === 0 ? a - b : sign * nan
          })
        }
      }
    },
  }
}
