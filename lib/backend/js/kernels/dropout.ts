/** Dropout: elements are zeroed by a counter-based stream, so that a call gives the same mask wherever and whenever it runs. */

import { philox, purposes } from '../../../util/random.js'
import { checkCounts, checkOperand, dimensions, malformed, type Prepare, type Quad, type Ref, scalarsOf, volume } from './kernel.js'

const layers = 1 << 24
const rows32 = 2 ** 32

/** out[r, j] = x[r, j] / (1 − rate) where word j of row r's stream is at least rate · 2³², else 0. */
export const dropout: Prepare = (call, outputs, inputs) => {
  const [rows, n, layer, first] = dimensions(call, 4) as Quad
  const [rate] = scalarsOf(call, 1) as [number]
  checkCounts(call, outputs, inputs, 1, 2)
  const size = volume(call, rows, n)
  const dtype = checkOperand(call, 'x', inputs[0], 'float', size)
  checkOperand(call, 'out', outputs[0], dtype, size)
  checkOperand(call, 'counter', inputs[1], 'int32', 4)
  if (layer >= layers) throw malformed(call.kernel, `a layer below ${layers}`, layer)
  if (first >= rows32 || rows >= rows32 || n >= 4 * rows32) throw malformed(call.kernel, 'rows and words within 32 bits', [first, rows, n])
  if (!(rate >= 0 && rate <= 1)) throw malformed(call.kernel, 'a rate in [0, 1]', rate)
  const threshold = rate * rows32
  const scale = rate < 1 ? 1 / (1 - rate) : 0
  const purpose = purposes.dropout + 256 * layer
  const words = new Uint32Array(4)
  return {
    inPlace: [true, false],
    bind: ([y], [x, counter]) => {
      const [to, from, keys] = [y as Ref, x as Ref, counter as Ref]
      return () => {
        const [low, high, update, row] = [0, 1, 2, 3].map((i) => keys.array[keys.offset + i] as number) as Quad
        for (let r = 0, at = 0; r < rows; r++) {
          for (let j = 0; j < n; j++, at++) {
            if ((j & 3) === 0) philox(words, Math.floor(j / 4), (row + first + r) | 0, update, purpose, low, high)
            to.array[to.offset + at] = (words[j & 3] as number) >= threshold ? (from.array[from.offset + at] as number) * scale : 0
          }
        }
      }
    },
  }
}
