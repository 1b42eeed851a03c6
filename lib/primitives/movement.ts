/**
 * Rows that move elements without arithmetic: casts, views and rearrangements (parts.ts has those of parts). All are linear,
 * and each row's transpose is another. Except for cast and reshape they are one strided copy.
 */

import type { Call } from '../backend/program.js'
import { WengertError } from '../errors.js'
import type { Tensor } from '../tensor/tensor.js'
import { type Dtype, isFloat } from '../util/dtype.js'
import { checkShape, formatShape, normalizeAxis, type Shape, sameShape, sizeOf, stridesOf } from '../util/shape.js'
import { followLogarithm } from './logarithms.js'
import { lowerMicro, microOps } from './micro-ops.js'
import { call, transposeNotation } from './notation.js'
import { type Aval, apply, type LinearPrimitive, type NondifferentiablePrimitive, type Primitive } from './primitive.js'

const first = (inputs: readonly Aval[]): Aval => inputs[0] as Aval

export interface CopyPlan {
  dims: Shape
  source?: { offset: number; strides: Shape }
  target?: { offset: number; strides: Shape }
  fill?: number
}

/** The call of a strided copy; a side that is not given is dense. */
export function copyCall({ dims, source, target, fill }: CopyPlan): Call {
  const dense = stridesOf(dims)
  const [from, to] = [source ?? { offset: 0, strides: dense }, target ?? { offset: 0, strides: dense }]
  return {
    kernel: 'copy',
    ints: [dims.length, fill === undefined ? 0 : 1, ...dims, from.offset, ...from.strides, to.offset, ...to.strides],
    scalars: [fill ?? 0],
  }
}

export const castRow: Primitive<{ dtype: Dtype }> = {
  name: 'cast',
  notation: call('cast', { quiet: true }),
  kind: 'general',
  doc: 'the same values in another element type; to int32 truncated, to bool whether nonzero',
  infer: (inputs, { dtype }) => ({ shape: first(inputs).shape, dtype }),
  lower: (inputs, output) => lowerMicro(castRow, inputs, output),
  rowwise: () => true,
  jvp: ([t], { params }) => (isFloat(params.dtype) && t ? cast(t, params.dtype) : undefined),
  vjp: (g, { inputs, params }) => [
    isFloat(params.dtype) && isFloat((inputs[0] as Tensor).dtype) ? cast(g, (inputs[0] as Tensor).dtype) : undefined,
  ],
  samples: () => [
    { inputs: [{ shape: [3, 4] }], params: { dtype: 'float64' } },
    { inputs: [{ shape: [0] }], params: { dtype: 'float32' } },
    { inputs: [{ shape: [] }], params: { dtype: 'float64' } },
  ],
}

microOps.set(castRow, 'copy')

/** The same values in another element type. */
export function cast(x: Tensor, dtype: Dtype): Tensor {
  if (x.dtype === dtype) return x
  const y = apply(castRow, [x], { dtype })
  return isFloat(dtype) ? followLogarithm(y, x, (log) => cast(log, dtype)) : y
}

export const stopGradientRow: NondifferentiablePrimitive = {
  name: 'stopGradient',
  kind: 'nondifferentiable',
  doc: 'y = x, taken as a constant by every derivative',
  rowwise: () => true,
  infer: first,
  lower: (inputs) => copyCall({ dims: [sizeOf(first(inputs).shape)] }),
  batch: ({ inputs: [x] }) => stopGradient(x as Tensor),
  samples: () => [{ inputs: [{ shape: [3] }] }, { inputs: [{ shape: [0] }] }, { inputs: [{ shape: [] }] }],
}

/** The same values, constant to every derivative. */
export function stopGradient(x: Tensor): Tensor {
  return apply(stopGradientRow, [x], {})
}

export const reshapeRow: LinearPrimitive<{ shape: Shape }> = {
  name: 'reshape',
  notation: call('reshape', { quiet: true }),
  kind: 'linear',
  doc: 'the same elements in row-major order under another shape',
  rowwise: (inputs, output) => output.shape.length > 0 && output.shape[0] === first(inputs).shape[0],
  infer: (inputs, { shape }) => ({ shape, dtype: first(inputs).dtype }),
  lower: (inputs) => copyCall({ dims: [sizeOf(first(inputs).shape)] }),
  transpose: (g, _i, inputs) => reshape(g, first(inputs).shape),
  batch: ({ inputs: [x], params: { shape }, size }) => reshape(x as Tensor, [size, ...shape]),
  samples: () => [
    { inputs: [{ shape: [3, 4] }], params: { shape: [2, 6] } },
    { inputs: [{ shape: [0, 2] }], params: { shape: [0] } },
    { inputs: [{ shape: [] }], params: { shape: [1, 1] } },
  ],
}

/**
 * The same elements under another shape; one dimension may be −1 and is then worked out.
 *
 * @throws ERR_SHAPE where the sizes differ
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const open = Array.isArray(shape) ? shape.indexOf(-1) : -1
  let full = shape
  if (open >= 0) {
    const rest = sizeOf(shape.filter((_, i) => i !== open))
    full = shape.map((n, i) => (i === open ? (rest === 0 ? 0 : x.size / rest) : n))
  }
  if (open >= 0 && !full.every((n) => Number.isInteger(n) && n >= 0)) fail()
  checkShape('reshape', full)
  if (sizeOf(full) !== x.size) fail()
  if (sameShape(full, x.shape)) return x
  return followLogarithm(apply(reshapeRow, [x], { shape: [...full] }), x, (log) => reshape(log, full))

  function fail(): never {
    throw new WengertError(
      'ERR_SHAPE',
      `reshape: expected a shape of ${x.size} elements for ${formatShape(x.shape)}, got ${formatShape(shape)}`,
      { expected: x.size, actual: shape },
    )
  }
}

export const transposeRow: LinearPrimitive<{ permutation: Shape }> = {
  name: 'transpose',
  notation: transposeNotation,
  kind: 'linear',
  doc: 'axes in another order: axis i of y is axis permutation[i] of x',
  rowwise: (_inputs, _output, { permutation }) => permutation[0] === 0,
  infer: (inputs, { permutation }) => ({
    shape: permutation.map((axis) => first(inputs).shape[axis] as number),
    dtype: first(inputs).dtype,
  }),
  lower: (inputs, output, { permutation }) => {
    const strides = stridesOf(first(inputs).shape)
    return copyCall({ dims: output.shape, source: { offset: 0, strides: permutation.map((axis) => strides[axis] as number) } })
  },
  transpose: (g, _i, _inputs, { permutation }) => {
    const inverse = new Array<number>(permutation.length)
    permutation.forEach((axis, i) => {
      inverse[axis] = i
    })
    return apply(transposeRow, [g], { permutation: inverse })
  },
  batch: ({ inputs: [x], params: { permutation } }) => transpose(x as Tensor, [0, ...permutation.map((axis) => axis + 1)]),
  samples: () => [
    { inputs: [{ shape: [3, 4] }], params: { permutation: [1, 0] } },
    { inputs: [{ shape: [2, 3, 4] }], params: { permutation: [2, 0, 1] } },
    { inputs: [{ shape: [0, 3] }], params: { permutation: [1, 0] } },
  ],
}

/**
 * Axes in another order: all reversed by default, or as `permutation` lists them.
 *
 * @example transpose(x, [0, 2, 1])
 */
export function transpose(x: Tensor, permutation?: readonly number[]): Tensor {
  const order =
    permutation?.map((axis) => normalizeAxis('transpose', axis, x.rank)) ?? Array.from({ length: x.rank }, (_, i) => x.rank - 1 - i)
  if (order.length !== x.rank || new Set(order).size !== x.rank) {
    throw new WengertError('ERR_AXIS', `transpose: expected each of ${x.rank} axes once, got ${JSON.stringify(permutation)}`, {
      actual: permutation,
    })
  }
  return order.every((axis, i) => axis === i) ? x : apply(transposeRow, [x], { permutation: order })
}

/** Inserts an axis of length 1. */
export function expandDims(x: Tensor, axis: number): Tensor {
  const at = normalizeAxis('expandDims', axis, x.rank + 1)
  return reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)])
}

/** Drops axes of length 1 (all of them by default). Errors: ERR_SHAPE for an axis of another length. */
export function squeeze(x: Tensor, axis?: number): Tensor {
  if (axis === undefined)
    return reshape(
      x,
      x.shape.filter((n) => n !== 1),
    )
  const at = normalizeAxis('squeeze', axis, x.rank)
  if (x.shape[at] !== 1)
    throw new WengertError('ERR_SHAPE', `squeeze: expected length 1 at axis ${at}, got shape ${formatShape(x.shape)}`, {
      expected: 1,
      actual: x.shape,
    })
  return reshape(
    x,
    x.shape.filter((_, i) => i !== at),
  )
}

/** All axes in one. */
export function flatten(x: Tensor): Tensor {
  return reshape(x, [x.size])
}

export const movementRows = [castRow, stopGradientRow, reshapeRow, transposeRow] as unknown as readonly Primitive[]
