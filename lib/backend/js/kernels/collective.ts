/** What meets the other processes of a world: this engine knows of one alone, whose sums are its own values. */

import { checkOperand, dimensions, malformed, type Operand, type Prepare, type Ref, scalarsOf } from './kernel.js'

export const allReduce: Prepare = (call, outputs, inputs) => {
  const k = inputs.length
  if (k === 0) throw malformed('allReduce', '1 or more inputs', 0)
  const [vote, ...sizes] = dimensions(call, 1 + k) as [number, ...number[]]
  if (vote > 1) throw malformed('allReduce', 'vote of 0 or 1', vote)
  if (vote === 1 && sizes[k - 1] !== 1) throw malformed('allReduce', 'one element for the vote', sizes[k - 1])
  scalarsOf(call, 0)
  if (outputs.length !== 1) throw malformed('allReduce', '1 output', outputs.length)
  const { dtype } = outputs[0] as Operand
  if (dtype !== 'float32' && dtype !== 'float64') throw malformed('allReduce', 'out of type float32 or float64', dtype)
  const total = sizes.reduce((a, b) => a + b, 0)
  checkOperand(call, 'out', outputs[0], dtype, total)
  for (const [i, x] of inputs.entries()) checkOperand(call, `input ${i}`, x, dtype, sizes[i] as number)
  return {
    within: sizes.map((_, i) => sizes.slice(0, i).reduce((a, b) => a + b, 0)),
    bind: ([y], ins) => {
      return () => {
        const to = (y as Ref).array
        let at = (y as Ref).offset
        for (let i = 0; i < k; i++) {
          const { array, offset: from } = ins[i] as Ref
          const n = sizes[i] as number
          if (array !== to || from !== at) to.set(array.subarray(from, from + n), at)
          at += n
        }
        if (vote === 1) to[at - 1] = 0
      }
    },
  }
}
