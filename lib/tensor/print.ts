/** How a tensor looks in a terminal: a line of type and shape, then values, aligned, the middle left out when large. */

import { WengertError } from '../errors.js'
import type { TypedArray } from '../util/dtype.js'
import { formatShape, type Shape, sizeOf, stridesOf } from '../util/shape.js'

/** What is printed; `data` may be missing (a tensor without values). */
interface Printable {
  readonly shape: Shape
  readonly dtype: string
  readonly data: TypedArray
}

const threshold = 200
const edge = 3

/** Formats a number with four decimals, in exponent form where the range asks for it. */
function numberFormatter(values: readonly number[]): (x: number) => string {
  const finite = values.filter((x) => Number.isFinite(x))
  if (finite.every((x) => Number.isInteger(x) && Math.abs(x) < 1e7)) return (x) => (Number.isFinite(x) ? `${x}` : name(x))
  const largest = finite.reduce((m, x) => Math.max(m, Math.abs(x)), 0)
  const smallest = finite.reduce((m, x) => (x === 0 ? m : Math.min(m, Math.abs(x))), Infinity)
  const scientific = largest >= 1e6 || smallest < 1e-4
  return (x) => (Number.isFinite(x) ? (scientific ? x.toExponential(4) : x.toFixed(4)) : name(x))
}

function name(x: number): string {
  return Number.isNaN(x) ? 'NaN' : x > 0 ? 'Infinity' : '-Infinity'
}

export function printTensor(t: Printable): string {
  const head = `Tensor ${t.dtype} ${formatShape(t.shape)}`
  let data: TypedArray
  try {
    data = t.data
  } catch (error) {
    const donated = error instanceof WengertError && error.code === 'ERR_DONATED'
    return `${head} (no values: ${donated ? 'donated to a compiled function, whose result has its memory' : 'recorded, not computed'})`
  }
  if (sizeOf(t.shape) === 0) return `${head} (empty)`
  const cut = sizeOf(t.shape) > threshold
  const strides = stridesOf(t.shape)
  const picks = t.shape.map((n) => (cut && n > 2 * edge ? [0, 1, 2, -1, n - 3, n - 2, n - 1] : Array.from({ length: n }, (_, i) => i)))
  const shown: number[] = []
  const collect = (axis: number, offset: number): void => {
    if (axis === t.shape.length) shown.push(data[offset] as number)
    else for (const i of picks[axis] as number[]) if (i >= 0) collect(axis + 1, offset + i * (strides[axis] as number))
  }
  collect(0, 0)
  const format = t.dtype === 'bool' ? (x: number) => (x ? 'true' : 'false') : numberFormatter(shown)
  const width = shown.reduce((w, x) => Math.max(w, format(x).length), 0)
  const draw = (axis: number, offset: number): string => {
    if (axis === t.shape.length) return format(data[offset] as number).padStart(width)
    const parts = (picks[axis] as number[]).map((i) => (i < 0 ? '…' : draw(axis + 1, offset + i * (strides[axis] as number))))
    if (axis === t.shape.length - 1) return `[${parts.join(', ')}]`
    const gap = `${t.shape.length - axis > 2 ? ',\n\n' : ',\n'}${' '.repeat(axis + 1)}`
    return `[${parts.join(gap)}]`
  }
  return t.shape.length === 0 ? `${head} ${draw(0, 0)}` : `${head}\n${draw(0, 0)}`
}
