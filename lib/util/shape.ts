/** Shapes: lists of dimensions, row-major. Pure arithmetic, no tensors. */

import { WengertError } from '../errors.js'
import { describe, listed } from './options.js'

/** The lengths of a tensor's axes; `[]` is a scalar. */
export type Shape = readonly number[]

export function sizeOf(shape: Shape): number {
  let size = 1
  for (const n of shape) size *= n
  return size
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i])
}

/** The most axes that messages print. */
const mostPrinted = 16

/** `[2, 3]`, as messages print it; the first few of absurdly many axes. */
export function formatShape(shape: Shape): string {
  if (shape.length > mostPrinted) return `[${shape.slice(0, mostPrinted).join(', ')}, … (${shape.length} axes)]`
  return `[${shape.join(', ')}]`
}

/** Element strides of a dense row-major array. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length)
  let stride = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride
    stride *= shape[i] as number
  }
  return strides
}

/** Refuses anything that is not a list of non-negative integers. */
export function checkShape(op: string, shape: unknown): asserts shape is Shape {
  if (!Array.isArray(shape) || !shape.every((n) => Number.isInteger(n) && n >= 0)) {
    throw new WengertError(
      'ERR_SHAPE',
      `${op}: expected a shape (a list of non-negative integers), got ${Array.isArray(shape) ? `[${listed(shape, mostPrinted)}]` : describe(shape)}`,
      {
        expected: 'a list of non-negative integers',
        actual: shape,
      },
    )
  }
}

/** The common shape under NumPy's broadcasting rule. Errors: ERR_SHAPE naming `op` and all shapes. */
export function broadcastShapes(op: string, shapes: readonly Shape[]): number[] {
  const rank = Math.max(0, ...shapes.map((s) => s.length))
  const out = new Array<number>(rank).fill(1)
  for (const shape of shapes) {
    const lead = rank - shape.length
    for (let i = 0; i < shape.length; i++) {
      const n = shape[i] as number
      const axis = lead + i
      if (n === 1 || n === out[axis]) continue
      if (out[axis] !== 1) {
        throw new WengertError(
          'ERR_SHAPE',
          `${op}: expected shapes that broadcast together, got ${shapes.map(formatShape).join(' and ')}`,
          {
            expected: 'shapes equal or 1 in every axis, aligned at the last',
            actual: shapes,
          },
        )
      }
      out[axis] = n
    }
  }
  return out
}

/** Turns −rank … rank − 1 into 0 … rank − 1. Errors: ERR_AXIS. */
export function normalizeAxis(op: string, axis: number, rank: number): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
    const range = rank === 0 ? 'no axis (the tensor is a scalar)' : `an axis in ${-rank} … ${rank - 1}`
    throw new WengertError('ERR_AXIS', `${op}: expected ${range}, got ${String(axis)}`, { expected: range, actual: axis })
  }
  return axis < 0 ? axis + rank : axis
}

/** Sorted, distinct, non-negative axes; `undefined` means all of them. Errors: ERR_AXIS. */
export function normalizeAxes(op: string, axes: number | readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined || axes === null) return Array.from({ length: rank }, (_, i) => i)
  if (typeof axes !== 'number' && !Array.isArray(axes))
    throw new WengertError(
      'ERR_AXIS',
      `${op}: expected the axis to be a number or a list of them, got ${describe(axes)}; it stands before the options, as in ${op}(0, { keepDims: true })`,
      { actual: axes },
    )
  const list = (typeof axes === 'number' ? [axes] : [...axes]).map((axis) => normalizeAxis(op, axis, rank)).sort((a, b) => a - b)
  for (let i = 1; i < list.length; i++) {
    if (list[i] === list[i - 1])
      throw new WengertError('ERR_AXIS', `${op}: expected distinct axes, got ${JSON.stringify(axes)}`, { actual: axes })
  }
  return list
}

/** The product of the dimensions before, at and after an axis range [first, last]. */
export function around(shape: Shape, first: number, last: number): [outer: number, n: number, inner: number] {
  return [sizeOf(shape.slice(0, first)), sizeOf(shape.slice(first, last + 1)), sizeOf(shape.slice(last + 1))]
}

/** A broadcast grid: every operand seen as [rows, cols] with strides in {0, cols} × {0, 1}. */
export interface Grid {
  rows: number
  cols: number
  strides: readonly (readonly [row: number, col: number])[]
}

/**
 * Folds a broadcast of `shapes` to `out` into two dimensions, by merging neighbouring axes along which the same operands
 * are repeated. Returns undefined where it takes more than two: some operand has to be expanded first.
 */
export function foldGrid(out: Shape, shapes: readonly Shape[]): Grid | undefined {
  const merged: { n: number; repeated: number }[] = []
  for (let axis = 0; axis < out.length; axis++) {
    const n = out[axis] as number
    if (n === 1) continue
    let repeated = 0
    for (let i = 0; i < shapes.length; i++) {
      const shape = shapes[i] as Shape
      const own = axis - (out.length - shape.length)
      if (own < 0 || shape[own] === 1) repeated |= 1 << i
    }
    const last = merged[merged.length - 1]
    if (last && last.repeated === repeated) last.n *= n
    else merged.push({ n, repeated })
  }
  if (merged.length > 2) return undefined
  const colAxis = merged.length > 0 ? merged[merged.length - 1] : undefined
  const rowAxis = merged.length > 1 ? merged[0] : undefined
  const cols = colAxis?.n ?? 1
  const rows = rowAxis?.n ?? 1
  const strides = shapes.map((_, i): [number, number] => {
    const col = colAxis && (colAxis.repeated >> i) & 1 ? 0 : 1
    if (rowAxis && (rowAxis.repeated >> i) & 1) return [0, col]
    return [col === 1 ? cols : rowAxis ? 1 : 0, col]
  })
  return { rows, cols, strides }
}
