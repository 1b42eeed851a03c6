/** Rows that select by integer tensors. Every index is checked as it is used, in both engines: ERR_INDEX. */

import { WengertError } from '../errors.js'
import { asTensor, tensor } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import type { FloatDtype } from '../util/dtype.js'
import { checkNumber, checkOptions } from '../util/options.js'
import { around, formatShape, normalizeAxis, type Shape, sameShape, sizeOf } from '../util/shape.js'
import { moveAxis, single } from './batching.js'
import { broadcastTo } from './broadcast.js'
import { reshape } from './movement.js'
import { type Aval, apply, type LinearPrimitive, type NondifferentiablePrimitive, type Primitive } from './primitive.js'

/** Index tensors, or arrays of integers. */
export type Indices = Tensor | Int32Array | readonly number[] | number

interface Along {
  axis: number
  /** The length of the axis that indices point into. */
  size: number
  [key: string]: unknown
}

const at = (inputs: readonly Aval[], i: number): Aval => inputs[i] as Aval
const resized = (x: Aval, axis: number, n: number): Aval => ({
  shape: x.shape.map((length, i) => (i === axis ? n : length)),
  dtype: x.dtype,
})

/** A list of indices for each sample, repeated beside the axis that it points into. */
const spread = (index: Tensor, shape: Shape, axis: number): Tensor =>
  broadcastTo(
    reshape(index, [index.shape[0] as number, ...single(axis - 1), index.shape[1] as number, ...single(shape.length - axis - 1)]),
    shape,
  )

const gatherRow: LinearPrimitive<Along> = {
  name: 'gather',
  kind: 'linear',
  doc: 'y[…, j, …] = x[…, index[j], …] along an axis',
  rowwise: (_inputs, _output, { axis }, [rowsX, rowsIndex]) => (rowsX ? axis !== 0 && !rowsIndex : axis === 0),
  infer: (inputs, { axis }) => resized(at(inputs, 0), axis, at(inputs, 1).shape[0] as number),
  lower: (inputs, _output, { axis }) => ({
    kernel: 'gather',
    ints: [...around(at(inputs, 0).shape, axis, axis), at(inputs, 1).shape[0] as number],
    scalars: [],
  }),
  transpose: (g, i, inputs, { axis, size }) => {
    refuseIndex('gather', i)
    return apply(scatterAddRow, [g, inputs[1] as Tensor], { axis, size })
  },
  batch: ({ inputs, mapped, params: { axis, size: n }, size }) => {
    const [x, index] = inputs as [Tensor, Tensor]
    if (!mapped[1]) return apply(gatherRow, [x, index], { axis: axis + 1, size: n })
    if (mapped[0]) return takeAlong(x, spread(index, resized(x, axis + 1, index.shape[1] as number).shape, axis + 1), axis + 1)
    const count = index.shape[1] as number
    const taken = apply(gatherRow, [x, reshape(index, [size * count])], { axis, size: n })
    return moveAxis(reshape(taken, [...x.shape.slice(0, axis), size, count, ...x.shape.slice(axis + 1)]), axis, 0)
  },
  samples: () => [
    { inputs: [{ shape: [5, 3] }, { shape: [4], dtype: 'int32', below: 5 }], params: { axis: 0, size: 5 } },
    { inputs: [{ shape: [2, 6, 2] }, { shape: [3], dtype: 'int32', below: 6 }], params: { axis: 1, size: 6 } },
    { inputs: [{ shape: [3] }, { shape: [0], dtype: 'int32', below: 3 }], params: { axis: 0, size: 3 } },
  ],
}

const scatterAddRow: LinearPrimitive<Along> = {
  name: 'scatterAdd',
  kind: 'linear',
  doc: 'y[…, index[j], …] += x[…, j, …] into zeros of length size along an axis: the transpose of gather',
  infer: (inputs, { axis, size }) => resized(at(inputs, 0), axis, size),
  lower: (inputs, output, { axis }) => ({
    kernel: 'scatterAdd',
    ints: [...around(output.shape, axis, axis), at(inputs, 1).shape[0] as number],
    scalars: [1, 0],
  }),
  accumulate: (inputs, output, params, alpha) => ({ ...scatterAddRow.lower(inputs, output, params), scalars: [alpha, 1] }),
  transpose: (g, i, inputs, { axis, size }) => {
    refuseIndex('scatterAdd', i)
    return apply(gatherRow, [g, inputs[1] as Tensor], { axis, size })
  },
  batch: ({ inputs, mapped, params: { axis, size: n }, full }) => {
    const [x, index] = [full(0), inputs[1] as Tensor]
    if (!mapped[1]) return apply(scatterAddRow, [x, index], { axis: axis + 1, size: n })
    return putAlong(x, spread(index, x.shape, axis + 1), axis + 1, n)
  },
  samples: () => [
    { inputs: [{ shape: [4, 3] }, { shape: [4], dtype: 'int32', below: 5 }], params: { axis: 0, size: 5 } },
    { inputs: [{ shape: [2, 3, 2] }, { shape: [3], dtype: 'int32', below: 6 }], params: { axis: 1, size: 6 } },
    { inputs: [{ shape: [0] }, { shape: [0], dtype: 'int32', below: 3 }], params: { axis: 0, size: 3 } },
  ],
}

const takeAlongRow: LinearPrimitive<Along> = {
  name: 'takeAlong',
  kind: 'linear',
  doc: 'y[i, j, k] = x[i, index[i, j, k], k] along an axis',
  rowwise: (_inputs, _output, { axis }, rows) => axis !== 0 && rows.every(Boolean),
  infer: (inputs) => ({ shape: at(inputs, 1).shape, dtype: at(inputs, 0).dtype }),
  lower: (inputs, _output, { axis }) => ({
    kernel: 'takeAlong',
    ints: [...around(at(inputs, 0).shape, axis, axis), at(inputs, 1).shape[axis] as number],
    scalars: [],
  }),
  transpose: (g, i, inputs, { axis, size }) => {
    refuseIndex('takeAlong', i)
    return apply(putAlongRow, [g, inputs[1] as Tensor], { axis, size })
  },
  batch: ({ inputs, mapped, params: { axis, size: n }, size, full }) => {
    const [x, index] = [inputs[0] as Tensor, full(1)]
    if (mapped[0]) return apply(takeAlongRow, [x, index], { axis: axis + 1, size: n })
    // The values are common: all samples' indices, one after the other along the axis.
    const side = moveAxis(index, 0, axis)
    const count = index.shape[axis + 1] as number
    const taken = apply(takeAlongRow, [x, reshape(side, resized(x, axis, size * count).shape)], { axis, size: n })
    return moveAxis(reshape(taken, side.shape), axis, 0)
  },
  samples: () => [
    { inputs: [{ shape: [3, 5] }, { shape: [3, 2], dtype: 'int32', below: 5 }], params: { axis: 1, size: 5 } },
    { inputs: [{ shape: [4, 2] }, { shape: [1, 2], dtype: 'int32', below: 4 }], params: { axis: 0, size: 4 } },
    { inputs: [{ shape: [3, 2] }, { shape: [3, 0], dtype: 'int32', below: 2 }], params: { axis: 1, size: 2 } },
  ],
}

const putAlongRow: LinearPrimitive<Along> = {
  name: 'putAlong',
  kind: 'linear',
  doc: 'y[i, index[i, j, k], k] += x[i, j, k] into zeros: the transpose of takeAlong',
  infer: (inputs, { axis, size }) => resized(at(inputs, 0), axis, size),
  lower: (inputs, output, { axis }) => ({
    kernel: 'putAlong',
    ints: [...around(output.shape, axis, axis), at(inputs, 1).shape[axis] as number],
    scalars: [],
  }),
  transpose: (g, i, inputs, { axis, size }) => {
    refuseIndex('putAlong', i)
    return apply(takeAlongRow, [g, inputs[1] as Tensor], { axis, size })
  },
  batch: ({ full, params: { axis, size: n } }) => apply(putAlongRow, [full(0), full(1)], { axis: axis + 1, size: n }),
  samples: () => [
    { inputs: [{ shape: [3, 2] }, { shape: [3, 2], dtype: 'int32', below: 5 }], params: { axis: 1, size: 5 } },
    { inputs: [{ shape: [1, 2] }, { shape: [1, 2], dtype: 'int32', below: 4 }], params: { axis: 0, size: 4 } },
    { inputs: [{ shape: [3, 0] }, { shape: [3, 0], dtype: 'int32', below: 2 }], params: { axis: 1, size: 2 } },
  ],
}

const oneHotRow: NondifferentiablePrimitive<{ size: number; dtype: FloatDtype }> = {
  name: 'oneHot',
  kind: 'nondifferentiable',
  doc: 'y[…, j] = 1 where index[…] = j, else 0',
  rowwise: () => true,
  infer: (inputs, { size, dtype }) => ({ shape: [...at(inputs, 0).shape, size], dtype }),
  lower: (inputs, _output, { size }) => ({ kernel: 'oneHot', ints: [at(inputs, 0).shape.reduce((a, b) => a * b, 1), size], scalars: [] }),
  batch: ({ row, inputs, params }) => apply(row, inputs, params),
  samples: () => [
    { inputs: [{ shape: [4], dtype: 'int32', below: 3 }], params: { size: 3, dtype: 'float32' } },
    { inputs: [{ shape: [2, 2], dtype: 'int32', below: 5 }], params: { size: 5, dtype: 'float64' } },
    { inputs: [{ shape: [0], dtype: 'int32', below: 2 }], params: { size: 2, dtype: 'float32' } },
  ],
}

const toIndexRow: NondifferentiablePrimitive<{ size: number }> = {
  name: 'toIndex',
  kind: 'nondifferentiable',
  doc: 'y = x as an index, an integer in 0 … size − 1: another number is refused',
  rowwise: () => true,
  infer: (inputs) => ({ shape: at(inputs, 0).shape, dtype: 'int32' }),
  lower: (inputs, _output, { size }) => ({ kernel: 'toIndex', ints: [sizeOf(at(inputs, 0).shape), size], scalars: [] }),
  batch: ({ row, inputs, params }) => apply(row, inputs, params),
  samples: () => [
    { inputs: [tensor([2, 0, 1])], params: { size: 3 } },
    { inputs: [tensor(Float64Array.of(0, 6, 3, 3), { shape: [2, 2] })], params: { size: 7 } },
    { inputs: [{ shape: [0] }], params: { size: 1 } },
  ],
}

function refuseIndex(op: string, i: number): void {
  if (i !== 0)
    throw new WengertError(
      'ERR_NOT_DIFFERENTIABLE',
      `${op}: there is no derivative with respect to the indices; differentiate with respect to the values`,
    )
}

/** Integers as an index tensor; floats are refused. */
export function asIndices(op: string, indices: Indices): Tensor {
  const index = indices instanceof Tensor ? indices : asTensor(op, indices, { dtype: 'int32' })
  if (index.dtype !== 'int32')
    throw new WengertError('ERR_DTYPE', `${op}: expected int32 indices, got ${index.dtype}`, { expected: 'int32', actual: index.dtype })
  return index
}

/** Floating numbers as indices below `size`, checked as they are converted. Errors: ERR_INDEX outside, ERR_RANGE for a fraction. */
export function toIndex(x: Tensor, size: number): Tensor {
  return apply(toIndexRow, [x], { size })
}

/**
 * Selects whole slices along `axis` by a list of indices; the axis is replaced by the indices' shape.
 *
 * @example gather(x, [2, 0])  // rows 2 and 0
 * @throws ERR_INDEX for an index outside 0 … n − 1
 */
export function gather(x: Tensor, indices: Indices, axis = 0): Tensor {
  const along = normalizeAxis('gather', axis, x.rank)
  const index = asIndices('gather', indices)
  const y = apply(gatherRow, [x, reshape(index, [index.size])], { axis: along, size: x.shape[along] as number })
  return reshape(y, [...x.shape.slice(0, along), ...index.shape, ...x.shape.slice(along + 1)])
}

/** Adds the slices of `x` along `axis` into zeros of length `size`, at the given indices. Errors: ERR_INDEX. */
export function scatterAdd(x: Tensor, indices: Indices, size: number, axis = 0): Tensor {
  const along = normalizeAxis('scatterAdd', axis, x.rank)
  checkNumber('scatterAdd', 'size', size, { integer: true, min: 0 })
  const index = asIndices('scatterAdd', indices)
  if (index.rank !== 1 || index.size !== x.shape[along]) {
    throw new WengertError(
      'ERR_SHAPE',
      `scatterAdd: expected ${x.shape[along]} indices for axis ${along} of ${formatShape(x.shape)}, got ${formatShape(index.shape)}`,
      { expected: x.shape[along], actual: index.shape },
    )
  }
  return apply(scatterAddRow, [x, index], { axis: along, size })
}

function alongAxis(op: string, x: Tensor, index: Tensor, axis: number): number {
  const along = normalizeAxis(op, axis, x.rank)
  if (index.rank !== x.rank || index.shape.some((n, i) => i !== along && n !== x.shape[i])) {
    throw new WengertError(
      'ERR_SHAPE',
      `${op}: expected indices shaped like ${formatShape(x.shape)} but for axis ${along}, got ${formatShape(index.shape)}`,
      { expected: x.shape, actual: index.shape },
    )
  }
  return along
}

/** y[i, j, k] = x[i, index[i, j, k], k] for `axis` 1 of three, and likewise elsewhere (PyTorch's gather). Errors: ERR_INDEX. */
export function takeAlong(x: Tensor, indices: Indices, axis: number): Tensor {
  const index = asIndices('takeAlong', indices)
  const along = alongAxis('takeAlong', x, index, axis)
  return apply(takeAlongRow, [x, index], { axis: along, size: x.shape[along] as number })
}

/** Adds `x` into zeros of length `size` along `axis`, each element at its own index: the transpose of `takeAlong`. */
export function putAlong(x: Tensor, indices: Indices, axis: number, size: number): Tensor {
  const index = asIndices('putAlong', indices)
  const along = alongAxis('putAlong', x, index, axis)
  if (!sameShape(index.shape, x.shape)) {
    throw new WengertError('ERR_SHAPE', `putAlong: expected indices of shape ${formatShape(x.shape)}, got ${formatShape(index.shape)}`, {
      expected: x.shape,
      actual: index.shape,
    })
  }
  return apply(putAlongRow, [x, index], { axis: along, size })
}

/** 1 at each index along a new last axis of length `size`, else 0. Errors: ERR_INDEX. */
export function oneHot(indices: Indices, size: number, options: { dtype?: FloatDtype | undefined } = {}): Tensor {
  checkOptions('oneHot', options, ['dtype'])
  checkNumber('oneHot', 'size', size, { integer: true, min: 0 })
  return apply(oneHotRow, [asIndices('oneHot', indices)], { size, dtype: options.dtype ?? 'float32' })
}

export const indexingRows = [gatherRow, scatterAddRow, takeAlongRow, putAlongRow, oneHotRow, toIndexRow] as unknown as readonly Primitive[]
