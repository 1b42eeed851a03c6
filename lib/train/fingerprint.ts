/**
 * A short name for a data set's shapes and contents. It is made of sums over rows, so that processes which hold a part of the rows
 * each find the name of the whole.
 */

import { tensorsOf } from '../tensor/inputs.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Prepared } from './prepare.js'

/** Of larger tensors some rows in even distances are looked at. */
const mostBytes = 1 << 24
/** Sums are kept below it, so that those of thousands of processes add up exactly. */
const modulus = 2 ** 40
/** Sums for each tensor. */
const each = 2

const tensors = ({ x, y, weights }: Prepared): (readonly [name: string, t: Tensor])[] => [
  ...tensorsOf(x),
  ['', y],
  ...(weights ? [['', weights] as const] : []),
]

/** The words of a row, with its place in the whole, mixed as xxHash and MurmurHash do. */
function addRows(out: Float64Array, at: number, t: Tensor, rows: number, first: number, total: number): void {
  const { data } = t
  const words = data.BYTES_PER_ELEMENT >= 4 ? new Uint32Array(data.buffer, data.byteOffset, data.byteLength / 4) : (data as Uint8Array)
  const width = rows === 0 ? 0 : words.length / (t.shape[0] as number)
  const step = Math.max(1, Math.ceil((total * width * words.BYTES_PER_ELEMENT) / mostBytes))
  let [a, b] = [0, 0]
  for (let row = Math.ceil(first / step) * step; row < first + rows; row += step) {
    let h = Math.imul(row + 1, 0x9e3779b1)
    let k = Math.imul(row ^ 0x5bd1e995, 0x85ebca6b)
    for (let i = (row - first) * width; i < (row - first + 1) * width; i++) {
      const word = words[i] as number
      h = Math.imul(h ^ word, 0x85ebca77)
      h ^= h >>> 15
      k = Math.imul(k + word, 0xc2b2ae3d)
      k ^= k >>> 13
    }
    a = (a + (Math.imul(h ^ (h >>> 16), 0x27d4eb2f) >>> 0) * 255) % modulus
    b = (b + (Math.imul(k ^ (k >>> 16), 0x165667b1) >>> 0) * 253) % modulus
  }
  out[at] = a
  out[at + 1] = b
}

/** What the rows that are here add to the name of the whole. */
export function rowSums(data: Prepared): Float64Array {
  const all = tensors(data)
  const { start = 0, rows = data.samples } = data.shard ?? {}
  const out = new Float64Array(each * all.length)
  all.forEach(([, t], i) => {
    addRows(out, each * i, t, rows, start, data.samples)
  })
  return out
}

/** The name, from the sums over all rows. */
export function nameOfSums(data: Prepared, sums: Float64Array): string {
  const parts = tensors(data).map(([name, t], i) => {
    const [a, b] = [sums[each * i] as number, sums[each * i + 1] as number]
    const hash = `${(a % modulus).toString(16)}.${(b % modulus).toString(16)}`
    return `${name && `${name} `}${t.dtype} ${[data.samples, ...t.shape.slice(1)]} ${hash}`
  })
  return parts.join('; ')
}

/** The name of a data set: of all rows, where a tensor takes up to 16 MiB. */
export const fingerprint = (data: Prepared): string => data.shard?.fingerprint ?? nameOfSums(data, rowSums(data))
