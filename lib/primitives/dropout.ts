/**
 * Dropout as a row: linear in x, its mask a pure function of a counter (seed, update, row) and of static places. The
 * mask is never stored: the transpose draws it again.
 */

import { WengertError } from '../errors.js'
import { ones } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import type { FloatDtype } from '../util/dtype.js'
import { checkNumber } from '../util/options.js'
import { eachSample } from './batching.js'
import { equal, mul, where } from './elementwise.js'
import { reshape } from './movement.js'
import { type Aval, apply, type LinearPrimitive, type Primitive } from './primitive.js'

interface Place {
  rate: number
  /** Which of a program's draws this is. */
  layer: number
  /** Rows that precede these in their batch. */
  first: number
  [key: string]: unknown
}

const dropoutRow: LinearPrimitive<Place> = {
  name: 'dropout',
  kind: 'linear',
  doc: 'y = x/(1 − rate), or 0 with probability rate: element (r, j) by word j of the stream of row r, layer, seed and update',
  rowwise: (_inputs, _output, _params, rows) => rows[1] !== true,
  infer: (inputs) => inputs[0] as Aval,
  lower: (inputs, _output, { rate, layer, first }) => {
    const { shape } = inputs[0] as Aval
    const [rows, ...rest] = shape.length > 1 ? shape : [1, ...shape]
    return { kernel: 'dropout', ints: [rows as number, rest.reduce((a, b) => a * b, 1), layer, first], scalars: [rate] }
  },
  transpose: (g, i, inputs, params) => {
    if (i !== 0)
      throw new WengertError(
        'ERR_NOT_DIFFERENTIABLE',
        'dropout: there is no derivative with respect to the counter; differentiate with respect to x',
      )
    return apply(dropoutRow, [g, inputs[1] as Tensor], params)
  },
  batch: (batch) => {
    const { inputs, mapped, full, common, size, params } = batch
    const [x, counter] = [full(0), mapped[1] ? common[1] : (inputs[1] as Tensor)]
    if (counter === undefined) return eachSample(batch)
    const [, first, ...rest] = x.shape
    if (!mapped[1]) {
      const mask = apply(dropoutRow, [ones(x.shape.slice(1), { dtype: x.dtype as FloatDtype }), counter], params)
      return where(equal(mask, 0), 0, mul(x, mask))
    }
    // Samples that share a counter draw apart, as so many more rows.
    const rows = rest.length > 0 ? [size * (first as number), ...rest] : [size, first ?? 1]
    return reshape(apply(dropoutRow, [reshape(x, rows), counter], params), x.shape)
  },
  samples: () => [
    { inputs: [{ shape: [5, 7] }, { shape: [4], dtype: 'int32', below: 1000 }], params: { rate: 0.5, layer: 0, first: 0 } },
    { inputs: [{ shape: [2, 3, 3] }, { shape: [4], dtype: 'int32', below: 1000 }], params: { rate: 0.2, layer: 3, first: 2 } },
    { inputs: [{ shape: [6] }, { shape: [4], dtype: 'int32', below: 1000 }], params: { rate: 1, layer: 0, first: 0 } },
    { inputs: [{ shape: [0, 3] }, { shape: [4], dtype: 'int32', below: 1000 }], params: { rate: 0.5, layer: 0, first: 0 } },
  ],
}

/**
 * Zeroes elements with probability `rate` and scales the others by 1/(1 − rate).
 *
 * @param x [m, …], floating: one row a sample; a tensor of one axis is one row
 * @param counter int32 [4]: the seed's low and high 32 bits, the update, the first row's number
 */
export function dropout(x: Tensor, counter: Tensor, rate: number, { layer = 0, first = 0 } = {}): Tensor {
  checkNumber('dropout', 'rate', rate, { min: 0, max: 1 })
  return apply(dropoutRow, [x, counter], { rate, layer, first })
}

export const dropoutRows = [dropoutRow] as unknown as readonly Primitive[]
