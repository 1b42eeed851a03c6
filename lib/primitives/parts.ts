/**
 * Rows of parts of a tensor: a region with steps, a tensor placed in a region of zeros, and tensors joined along an axis. A slice and
 * its placement are each other's transpose, and one strided copy.
 */

import { WengertError } from '../errors.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkNumber } from '../util/options.js'
import { around, formatShape, normalizeAxis, type Shape, sizeOf, stridesOf } from '../util/shape.js'
import { copyCall, expandDims, reshape } from './movement.js'
import { type Aval, apply, type LinearPrimitive, type Primitive } from './primitive.js'

const first = (inputs: readonly Aval[]): Aval => inputs[0] as Aval

/** A rectangular region with steps: element j along axis i is at starts[i] + j·steps[i]. */
interface Region {
  starts: Shape
  sizes: Shape
  steps: Shape
}

function regionStrides(shape: Shape, { starts, steps }: Region): { offset: number; strides: number[] } {
  const own = stridesOf(shape)
  return {
    offset: starts.reduce((sum, start, i) => sum + start * (own[i] as number), 0),
    strides: own.map((stride, i) => stride * (steps[i] as number)),
  }
}

/** The region in each of so many samples. */
const ofEach = (size: number, { starts, sizes, steps }: Region): Region & { [key: string]: unknown } => ({
  starts: [0, ...starts],
  sizes: [size, ...sizes],
  steps: [1, ...steps],
})

export const sliceRow: LinearPrimitive<Region & { [key: string]: unknown }> = {
  name: 'slice',
  kind: 'linear',
  doc: 'a region of x: from starts, so many sizes, by steps (which may be negative)',
  rowwise: (inputs, _output, { sizes, steps }) => sizes[0] === first(inputs).shape[0] && steps[0] === 1,
  infer: (inputs, { sizes }) => ({ shape: sizes, dtype: first(inputs).dtype }),
  lower: (inputs, output, region) => {
    const empty = sizeOf(output.shape) === 0
    const source = regionStrides(first(inputs).shape, region)
    return copyCall({ dims: output.shape, source: empty ? { ...source, offset: 0 } : source })
  },
  transpose: (g, _i, inputs, region) => place(g, first(inputs).shape, region),
  batch: ({ inputs, params, size }) => apply(sliceRow, inputs, ofEach(size, params)),
  samples: () => [
    { inputs: [{ shape: [5, 4] }], params: { starts: [1, 0], sizes: [2, 2], steps: [2, 3] } },
    { inputs: [{ shape: [5] }], params: { starts: [4], sizes: [5], steps: [-1] } },
    { inputs: [{ shape: [3] }], params: { starts: [0], sizes: [0], steps: [1] } },
  ],
}

export const placeRow: LinearPrimitive<Region & { shape: Shape; [key: string]: unknown }> = {
  name: 'place',
  kind: 'linear',
  doc: 'x in a region of zeros: the transpose of slice',
  infer: (inputs, { shape }) => ({ shape, dtype: first(inputs).dtype }),
  lower: (inputs, output, region) => {
    const dims = first(inputs).shape
    // A reversed axis is read backwards instead, so that the destination's strides are positive.
    const own = stridesOf(dims)
    const reversed = region.steps.map((step) => step < 0)
    const starts = region.starts.map((start, i) => (reversed[i] ? start + ((dims[i] as number) - 1) * (region.steps[i] as number) : start))
    const empty = sizeOf(dims) === 0
    const target = regionStrides(output.shape, { starts, sizes: region.sizes, steps: region.steps.map(Math.abs) })
    const source = {
      offset: empty ? 0 : dims.reduce((sum, n, i) => sum + (reversed[i] ? (n - 1) * (own[i] as number) : 0), 0),
      strides: own.map((stride, i) => (reversed[i] ? -stride : stride)),
    }
    return copyCall({ dims, source, target: empty ? { ...target, offset: 0 } : target, fill: 0 })
  },
  transpose: (g, _i, _inputs, { starts, sizes, steps }) => apply(sliceRow, [g], { starts, sizes, steps }),
  batch: ({ inputs: [x], params, size }) => place(x as Tensor, [size, ...params.shape], ofEach(size, params)),
  samples: () => [
    { inputs: [{ shape: [2, 2] }], params: { shape: [5, 4], starts: [1, 0], sizes: [2, 2], steps: [2, 3] } },
    { inputs: [{ shape: [3] }], params: { shape: [6], starts: [5], sizes: [3], steps: [-2] } },
    { inputs: [{ shape: [0] }], params: { shape: [3], starts: [0], sizes: [0], steps: [1] } },
  ],
}

function place(x: Tensor, shape: Shape, { starts, sizes, steps }: Region): Tensor {
  return apply(placeRow, [x], { shape, starts, sizes, steps })
}

/** A range along one axis: an index (the axis goes), or [start, stop, step?] with negative positions counted from the end. */
export type SliceRange = number | readonly [start?: number | null, stop?: number | null, step?: number] | null

/**
 * A region of `x`, one range an axis; missing ranges take the whole axis.
 *
 * @example slice(x, [0, 10])          // the first ten rows
 * @example slice(x, null, -1)         // the last column
 * @example slice(x, [null, null, 2])  // every second row
 * @throws ERR_AXIS for too many ranges; ERR_INDEX for an index outside its axis
 */
export function slice(x: Tensor, ...ranges: SliceRange[]): Tensor {
  if (ranges.length > x.rank)
    throw new WengertError('ERR_AXIS', `slice: expected at most ${x.rank} ranges, got ${ranges.length}`, {
      expected: x.rank,
      actual: ranges.length,
    })
  const [starts, sizes, steps, kept]: number[][] = [[], [], [], []]
  x.shape.forEach((n, axis) => {
    const range = ranges[axis] ?? [null, null, 1]
    if (typeof range === 'number') {
      if (!Number.isInteger(range) || range < -n || range >= n) {
        throw new WengertError('ERR_INDEX', `slice: expected an index in ${-n} … ${n - 1} for axis ${axis}, got ${range}`, {
          expected: n,
          actual: range,
        })
      }
      starts?.push(range < 0 ? range + n : range)
      sizes?.push(1)
      steps?.push(1)
      return
    }
    const step = checkNumber('slice', 'step', range[2] ?? 1, { integer: true })
    if (step === 0) throw new WengertError('ERR_RANGE', 'slice: a step of 0 goes nowhere; use 1 or more, or a negative one', { actual: 0 })
    const [low, high] = step > 0 ? [0, n] : [-1, n - 1]
    const bound = (value: number | null | undefined, missing: number, label: string): number => {
      if (value === null || value === undefined) return missing
      checkNumber('slice', label, value, { integer: true })
      return Math.min(high, Math.max(low, value < 0 ? value + n : value))
    }
    const start = bound(range[0], step > 0 ? 0 : n - 1, 'start')
    const stop = bound(range[1], step > 0 ? n : -1, 'stop')
    const size = Math.max(0, Math.ceil((stop - start) / step))
    starts?.push(size === 0 ? 0 : start)
    sizes?.push(size)
    steps?.push(step)
    kept?.push(size)
  })
  const region = { starts: starts as number[], sizes: sizes as number[], steps: steps as number[] }
  const whole = region.steps.every((step, i) => step === 1 && region.sizes[i] === x.shape[i])
  return reshape(whole ? x : apply(sliceRow, [x], region), kept as number[])
}

/** Reverses the order along `axes` (all by default). */
export function flip(x: Tensor, axes?: number | readonly number[]): Tensor {
  const list = (axes === undefined ? x.shape.map((_, i) => i) : typeof axes === 'number' ? [axes] : axes).map((axis) =>
    normalizeAxis('flip', axis, x.rank),
  )
  return slice(x, ...x.shape.map((_, i): SliceRange => (list.includes(i) ? [null, null, -1] : null)))
}

/**
 * Adds `before` and `after` zeros along each axis.
 *
 * @param widths one [before, after] an axis
 */
export function pad(x: Tensor, widths: readonly (readonly [number, number])[]): Tensor {
  if (!Array.isArray(widths) || widths.length !== x.rank) {
    throw new WengertError('ERR_AXIS', `pad: expected one [before, after] for each of ${x.rank} axes, got ${JSON.stringify(widths)}`, {
      expected: x.rank,
      actual: widths,
    })
  }
  for (const pair of widths) for (const n of pair) checkNumber('pad', 'width', n, { integer: true, min: 0 })
  return place(
    x,
    x.shape.map((n, i) => n + (widths[i]?.[0] as number) + (widths[i]?.[1] as number)),
    {
      starts: widths.map(([before]) => before),
      sizes: x.shape,
      steps: x.shape.map(() => 1),
    },
  )
}

export const concatRow: LinearPrimitive<{ axis: number }> = {
  name: 'concat',
  kind: 'linear',
  doc: 'the inputs one after the other along an axis',
  rowwise: (_inputs, _output, { axis }, rows) => axis !== 0 && rows.every(Boolean),
  infer: (inputs, { axis }) => {
    const { shape, dtype } = first(inputs)
    return { shape: shape.map((n, i) => (i === axis ? inputs.reduce((total, x) => total + (x.shape[axis] as number), 0) : n)), dtype }
  },
  lower: (inputs, output, { axis }) => {
    const [outer, , inner] = around(output.shape, axis, axis)
    return { kernel: 'concat', ints: [outer, inner, ...inputs.map((x) => x.shape[axis] as number)], scalars: [] }
  },
  transpose: (g, i, inputs, { axis }) => {
    const start = inputs.slice(0, i).reduce((total, x) => total + (x.shape[axis] as number), 0)
    const size = (inputs[i] as Aval).shape[axis] as number
    return slice(g, ...g.shape.map((_, k): SliceRange => (k === axis ? [start, start + size] : null)))
  },
  batch: ({ row, inputs, full, params: { axis } }) =>
    apply(
      row,
      inputs.map((_, i) => full(i)),
      { axis: axis + 1 },
    ),
  samples: () => [
    { inputs: [{ shape: [2, 3] }, { shape: [2, 1] }, { shape: [2, 2] }], params: { axis: 1 } },
    { inputs: [{ shape: [2, 3] }, { shape: [0, 3] }], params: { axis: 0 } },
    { inputs: [{ shape: [4] }], params: { axis: 0 } },
  ],
}

/** Joins tensors along an existing axis. Errors: ERR_SHAPE where another axis differs; ERR_DTYPE. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  const head = tensors[0]
  if (head === undefined) throw new WengertError('ERR_VALUE', 'concat: there is nothing to join; give at least one tensor')
  const along = normalizeAxis('concat', axis, head.rank)
  for (const x of tensors) {
    if (x.rank !== head.rank || x.shape.some((n, i) => i !== along && n !== head.shape[i])) {
      throw new WengertError(
        'ERR_SHAPE',
        `concat: expected shapes equal but for axis ${along}, got ${formatShape(head.shape)} and ${formatShape(x.shape)}`,
        { expected: head.shape, actual: x.shape },
      )
    }
    if (x.dtype !== head.dtype)
      throw new WengertError('ERR_DTYPE', `concat: expected one dtype, got ${head.dtype} and ${x.dtype}`, {
        expected: head.dtype,
        actual: x.dtype,
      })
  }
  return tensors.length === 1 ? head : apply(concatRow, tensors, { axis: along })
}

/** Joins tensors of one shape along a new axis. */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  const rank = (tensors[0]?.rank ?? 0) + 1
  const at = normalizeAxis('stack', axis, rank)
  return concat(
    tensors.map((x) => expandDims(x, at)),
    at,
  )
}

/** Cuts into parts along an axis: a number of equal parts, or the list of their lengths. */
export function split(x: Tensor, parts: number | readonly number[], axis = 0): Tensor[] {
  const at = normalizeAxis('split', axis, x.rank)
  const n = x.shape[at] as number
  const lengths = typeof parts === 'number' ? new Array<number>(parts).fill(n / parts) : parts
  if (!lengths.every((l) => Number.isInteger(l) && l >= 0) || lengths.reduce((a, b) => a + b, 0) !== n) {
    throw new WengertError('ERR_SHAPE', `split: expected parts that add up to ${n}, got ${JSON.stringify(parts)}`, {
      expected: n,
      actual: parts,
    })
  }
  let start = 0
  return lengths.map((length) => {
    const part = slice(x, ...x.shape.map((_, i): SliceRange => (i === at ? [start, start + length] : null)))
    start += length
    return part
  })
}

/** Every row of this file. */
export const partRows = [sliceRow, placeRow, concatRow] as unknown as readonly Primitive[]
