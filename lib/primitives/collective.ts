/** The sum over the processes of a world. Of one process, which most programs are, it is the values themselves. */

import { WengertError } from '../errors.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { sizeOf } from '../util/shape.js'
import { reshape } from './movement.js'
import { concat, slice } from './parts.js'
import { type Aval, apply, type LinearPrimitive, type Primitive } from './primitive.js'

/** Where the i-th input begins in the result. */
const startOf = (i: number, inputs: readonly Aval[]): number => inputs.slice(0, i).reduce((sum, { shape }) => sum + sizeOf(shape), 0)

const allReduceRow: LinearPrimitive<{ vote: boolean }> = {
  name: 'allReduce',
  kind: 'linear',
  doc: 'the inputs one after the other, each added up over all processes',
  joins: true,
  infer: (inputs) => ({ shape: [startOf(inputs.length, inputs)], dtype: (inputs[0] as Aval).dtype }),
  lower: (inputs, _output, { vote }) => ({
    kernel: 'allReduce',
    ints: [vote ? 1 : 0, ...inputs.map(({ shape }) => sizeOf(shape))],
    scalars: [],
  }),
  // Each process's value counts in the results of all: its cotangent is the sum of theirs.
  transpose: (g, i, inputs) => {
    const { shape } = inputs[i] as Aval
    const start = startOf(i, inputs)
    return reshape(slice(apply(allReduceRow, [g], { vote: false }), [start, start + sizeOf(shape)]), shape)
  },
  batch: ({ inputs, full, size }) => {
    const rows = concat(
      inputs.map((_, i) => reshape(full(i), [size, full(i).size / size])),
      1,
    )
    return reshape(apply(allReduceRow, [rows], { vote: false }), rows.shape)
  },
  samples: () => [
    { inputs: [{ shape: [2, 3] }], params: { vote: false } },
    { inputs: [{ shape: [4] }, { shape: [] }, { shape: [0, 2] }], params: { vote: false } },
  ],
}

/**
 * Σ over processes of x: all of them have to call it, in the same order and with the same shape, and all get the same bits.
 *
 * @param x of a floating type
 * @throws ERR_DTYPE
 */
export function allReduce(x: Tensor): Tensor {
  if (!isFloat(x.dtype)) throw new WengertError('ERR_DTYPE', `allReduce: expected float32 or float64, got ${x.dtype}`, { actual: x.dtype })
  return reshape(apply(allReduceRow, [x], { vote: false }), x.shape)
}

/**
 * The sums over processes of several tensors of one type in one collective. In a training's program it also carries the vote of
 * each process whether to end.
 */
export function allReduceAll(tensors: readonly Tensor[], vote?: Tensor): Tensor[] {
  const sums = apply(allReduceRow, vote ? [...tensors, vote] : tensors, { vote: vote !== undefined })
  return tensors.map((x, i) => {
    const start = startOf(i, tensors)
    return reshape(slice(sums, [start, start + x.size]), x.shape)
  })
}

export const collectiveRows = [allReduceRow] as unknown as readonly Primitive[]
