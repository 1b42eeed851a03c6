/** What a call may share between its operands: the rule that keeps every kernel free of aliasing. */

import { bytesPerElement } from '../../../util/dtype.js'
import { malformed, type Operand, type Prepared } from './kernel.js'

/** An operand's memory: bytes from `start` in whatever `base` stands for (a buffer, or a space of a program). */
export interface Span extends Operand {
  readonly base: unknown
  readonly start: number
  /** Of an operand that moves on in a loop: the bytes that it comes over in all, and what moves in this way. */
  readonly reach?: { readonly start: number; readonly end: number; readonly slot: number }
}

const startOf = ({ start, reach }: Span) => reach?.start ?? start
const endOf = ({ start, length, dtype, reach }: Span) => reach?.end ?? start + length * bytesPerElement[dtype]

function overlap(a: Span, b: Span): boolean {
  if (a.base !== b.base || a.length === 0 || b.length === 0) return false
  return startOf(a) < endOf(b) && startOf(b) < endOf(a)
}

/** Outputs are disjoint from each other and from all inputs, save where the kernel takes exactly the same memory, or a part of it. */
export function checkOverlap(kernel: string, prepared: Prepared, outputs: readonly Span[], inputs: readonly Span[]): void {
  for (const [o, out] of outputs.entries()) {
    for (let i = 0; i < o; i++)
      if (overlap(out, outputs[i] as Span)) throw malformed(kernel, 'outputs apart', `outputs ${i} and ${o} over each other`)
    for (const [i, x] of inputs.entries()) {
      if (!overlap(out, x)) continue
      const alike = out.dtype === x.dtype && out.reach?.slot === x.reach?.slot
      const same = alike && out.start === x.start && out.length === x.length
      const within = alike ? (prepared.within?.[i] ?? -1) : -1
      const inside = within >= 0 && within <= out.length - x.length && x.start - out.start === within * bytesPerElement[out.dtype]
      if (!(same && prepared.inPlace?.[i]) && !inside) throw malformed(kernel, 'outputs apart from inputs', `output ${o} over input ${i}`)
    }
  }
}
