/** Moving elements about: strided copies (transpose, slice, flip, pad, expand) and concatenation. */

import type { Dtype, TypedArray } from '../../../util/dtype.js'
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
  volume,
} from './kernel.js'

/** A loop level of a strided copy: how often, and the steps in source and destination. */
interface Level {
  count: number
  src: number
  dst: number
}

/** Drops levels of one turn and joins neighbours that step through memory as one; the innermost comes last. */
function simplify(levels: readonly Level[]): Level[] {
  const kept: Level[] = []
  for (const level of levels) {
    if (level.count === 1) continue
    const above = kept[kept.length - 1]
    if (above && above.src === level.src * level.count && above.dst === level.dst * level.count) {
      kept[kept.length - 1] = { count: above.count * level.count, src: level.src, dst: level.dst }
    } else kept.push(level)
  }
  return kept
}

/** Refuses destinations that coincide or lie outside, and sources outside. */
function checkReach(call: Call, levels: readonly Level[], srcOffset: number, dstOffset: number, x: Operand, out: Operand): void {
  let low = srcOffset
  let high = srcOffset
  let top = dstOffset
  for (const { count, src } of levels) {
    if (src < 0) low += (count - 1) * src
    else high += (count - 1) * src
  }
  let extent = 1
  for (const { count, dst } of levels.filter((level) => level.count > 1).sort((a, b) => a.dst - b.dst)) {
    if (dst < extent) throw malformed('copy', `destination strides that nest (at least ${extent})`, dst)
    extent += (count - 1) * dst
    top += (count - 1) * dst
  }
  if (!(low >= 0 && high < x.length)) throw malformed('copy', `sources in 0 … ${x.length - 1}`, `${low} … ${high}`)
  if (!(dstOffset >= 0 && top < out.length)) throw malformed('copy', `destinations in 0 … ${out.length - 1}`, `${dstOffset} … ${top}`)
  if (!Number.isSafeInteger(extent)) throw malformed(call.kernel, 'an exact extent', extent)
}

/** Element (i, j) of a level pair; the two innermost levels of every copy. */
function copyPlane(outer: Level, inner: Level, y: TypedArray, yo: number, x: TypedArray, xo: number): void {
  const { count, src, dst } = inner
  for (let i = 0; i < outer.count; i++, yo += outer.dst, xo += outer.src) {
    if (src === 1 && dst === 1) for (let j = 0; j < count; j++) y[yo + j] = x[xo + j] as number
    else for (let j = 0, a = yo, b = xo; j < count; j++, a += dst, b += src) y[a] = x[b] as number
  }
}

const once: Level = { count: 1, src: 0, dst: 0 }

function fillValue(dtype: Dtype, value: number): number {
  if (dtype === 'bool') return value !== 0 ? 1 : 0
  if (dtype === 'int32') return Math.trunc(Math.max(-2147483648, Math.min(2147483647, value))) || 0
  return value
}

export const copy: Prepare = (call, outputs, inputs) => {
  const ints = integers(call, 4, true)
  const [rank, fill] = ints as unknown as [number, number]
  if (rank < 0) throw malformed('copy', 'a rank of 0 or more', rank)
  integers(call, 4 + 3 * rank)
  if (fill !== 0 && fill !== 1) throw malformed('copy', 'fill of 0 or 1', fill)
  checkCounts(call, outputs, inputs, 1, 1)
  const [filler] = scalarsOf(call, 1) as [number]
  const x = inputs[0] as Operand
  const out = outputs[0] as Operand
  checkOperand(call, 'out', out, x.dtype, out.length)
  const srcOffset = ints[2 + rank] as number
  const dstOffset = ints[3 + 2 * rank] as number
  const levels: Level[] = []
  for (let i = 0; i < rank; i++)
    levels.push({ count: ints[2 + i] as number, src: ints[3 + rank + i] as number, dst: ints[4 + 2 * rank + i] as number })
  for (const { count } of levels) if (count < 0) throw malformed('copy', 'dimensions of 0 or more', count)
  const count = volume(call, ...levels.map((level) => level.count))
  if (count > 0) checkReach(call, levels, srcOffset, dstOffset, x, out)
  const loops = simplify(levels)
  const inner = loops.pop() ?? once
  const middle = loops.pop() ?? once
  const value = fillValue(out.dtype, filler)
  const filled = fill === 1 && count < out.length
  return {
    bind: ([y], [from]) => {
      const to = y as Ref
      const source = from as Ref
      const walk = (depth: number, yo: number, xo: number): void => {
        if (depth === loops.length) {
          copyPlane(middle, inner, to.array, yo, source.array, xo)
          return
        }
        const level = loops[depth] as Level
        for (let i = 0; i < level.count; i++) walk(depth + 1, yo + i * level.dst, xo + i * level.src)
      }
      return () => {
        if (filled) for (let i = 0; i < out.length; i++) to.array[to.offset + i] = value
        if (count > 0) walk(0, to.offset + dstOffset, source.offset + srcOffset)
      }
    },
  }
}

export const concat: Prepare = (call, outputs, inputs) => {
  const k = inputs.length
  if (k === 0) throw malformed('concat', '1 or more inputs', 0)
  const [outer, inner, ...sizes] = dimensions(call, 2 + k) as [number, number, ...number[]]
  scalarsOf(call, 0)
  if (outputs.length !== 1) throw malformed('concat', '1 output', outputs.length)
  const { dtype } = outputs[0] as Operand
  const total = sizes.reduce((a, b) => a + b, 0)
  const size = volume(call, outer, total, inner)
  checkOperand(call, 'out', outputs[0], dtype, size)
  for (const [i, x] of inputs.entries()) checkOperand(call, `input ${i}`, x, dtype, volume(call, outer, sizes[i] as number, inner))
  return {
    bind: ([y], ins) => {
      const to = y as Ref
      return () => {
        if (size === 0) return
        let at = to.offset
        for (let i = 0; i < k; i++) {
          const from = ins[i] as Ref
          const run = (sizes[i] as number) * inner
          const level = { count: run, src: 1, dst: 1 }
          copyPlane({ count: outer, src: run, dst: total * inner }, level, to.array, at, from.array, from.offset)
          at += run
        }
      }
    },
  }
}
