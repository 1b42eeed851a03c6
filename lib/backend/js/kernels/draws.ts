/** Random draws from a counter: uniform and normal variates and permutations, the streams of `util/random.ts`. */

import { drawKinds, fillDraws } from '../../../util/random.js'
import { checkCounts, checkOperand, dimensions, malformed, type Prepare, type Ref, scalarsOf } from './kernel.js'

const words = 2 ** 32

/** out[n] from the stream whose key is the counter's first two words, mixed, and whose coordinates are the other two. */
export const random: Prepare = (call, outputs, inputs) => {
  const [n, kind, purpose, byRow, low, high] = dimensions(call, 6) as [number, number, number, number, number, number]
  const [from, to] = scalarsOf(call, 2) as [number, number]
  checkCounts(call, outputs, inputs, 1, 1)
  const name = drawKinds[kind]
  if (name === undefined) throw malformed(call.kernel, 'a kind of draw below 3', kind)
  if (n >= words / 2) throw malformed(call.kernel, 'fewer than 2^31 numbers', n)
  for (const word of [purpose, byRow, low, high]) if (word >= words) throw malformed(call.kernel, 'words of 32 bits', word)
  checkOperand(call, 'out', outputs[0], name === 'permutation' ? 'int32' : 'float', n)
  checkOperand(call, 'counter', inputs[0], 'int32', 4)
  return {
    inPlace: [false],
    bind: ([y], [counter]) => {
      const [out, given] = [y as Ref, counter as Ref]
      return () => {
        const at = (i: number) => given.array[given.offset + i] as number
        const seed = ((at(0) ^ low) >>> 0) + words * ((at(1) ^ high) & 0x1fffff)
        const key = { seed, purpose, a: at(2) >>> 0, b: byRow ? at(3) >>> 0 : 0 }
        fillDraws(out.array.subarray(out.offset, out.offset + n), name, key, from, to)
      }
    },
  }
}
