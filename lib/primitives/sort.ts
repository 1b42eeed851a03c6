/** Sorting along an axis: one row that says where the elements lie; values are taken from there, and gradients go back there. */

import { WengertError } from '../errors.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { around, normalizeAxis } from '../util/shape.js'
import { takeAlong } from './indexing.js'
import { cast, transpose } from './movement.js'
import { slice } from './parts.js'
import { type Aval, apply, type NondifferentiablePrimitive, type Primitive } from './primitive.js'

const argsortRow: NondifferentiablePrimitive<{ descending: boolean }> = {
  name: 'argsort',
  kind: 'nondifferentiable',
  doc: 'the places of the elements along the last axis in growing (or falling) order; equal ones keep their order, NaN is the largest',
  rowwise: (inputs) => (inputs[0] as Aval).shape.length > 1,
  infer: (inputs) => ({ shape: (inputs[0] as Aval).shape, dtype: 'int32' }),
  lower: (inputs, _output, { descending }) => {
    const { shape } = inputs[0] as Aval
    const [outer, n] = around(shape, shape.length - 1, shape.length - 1) as [number, number, number]
    return { kernel: 'argsort', ints: [outer, n, descending ? 1 : 0], scalars: [] }
  },
  batch: ({ row, inputs, params }) => apply(row, inputs, params),
  samples: () => [
    { inputs: [{ shape: [3, 7] }], params: { descending: false } },
    { inputs: [{ shape: [2, 3, 5] }], params: { descending: true } },
    { inputs: [{ shape: [9], dtype: 'int32', below: 4 }], params: { descending: true } },
    { inputs: [{ shape: [2, 0] }], params: { descending: false } },
  ],
}

/** Of `sort`, `argsort` and `topk`. */
export interface SortOptions {
  /** From the largest to the smallest; false by default (`topk`: see `largest`). */
  descending?: boolean | undefined
}

/** The places in order along any axis: the row sorts the last one. */
function places(op: string, x: Tensor, axis: number, descending: unknown): { index: Tensor; along: number } {
  if (typeof descending !== 'boolean')
    throw new WengertError('ERR_OPTION', `${op}: expected descending to be true or false, got ${describe(descending)}`, {
      actual: descending,
    })
  if (x.rank === 0) throw new WengertError('ERR_SHAPE', `${op}: a scalar has no axis to sort along`)
  const along = normalizeAxis(op, axis, x.rank)
  const last = x.rank - 1
  const swapped = x.shape.map((_, i) => (i === along ? last : i === last ? along : i))
  const numbers = x.dtype === 'bool' ? cast(x, 'int32') : x
  if (along === last) return { index: apply(argsortRow, [numbers], { descending }), along }
  return { index: transpose(apply(argsortRow, [transpose(numbers, swapped)], { descending }), swapped), along }
}

/**
 * The places of the elements in order along `axis` (the last by default), int32. Equal elements keep their order; NaN counts
 * as the largest (PyTorch's `argsort(stable=True)`). Not differentiable.
 *
 * @example argsort(tensor([3, 1, 2])).toArray()  // [1, 2, 0]
 */
export function argsort(x: Tensor, axis = -1, options: SortOptions = {}): Tensor {
  checkOptions('argsort', options, ['descending'])
  return places('argsort', x, axis, options.descending ?? false).index
}

/**
 * The elements in order along `axis` (the last by default). A gradient goes to where each element came from.
 *
 * @example sort(tensor([3, 1, 2])).toArray()  // [1, 2, 3]
 */
export function sort(x: Tensor, axis = -1, options: SortOptions = {}): Tensor {
  checkOptions('sort', options, ['descending'])
  const { index, along } = places('sort', x, axis, options.descending ?? false)
  return takeAlong(x, index, along)
}

/** Of `topk`. */
export interface TopkOptions {
  /** The last by default. */
  axis?: number | undefined
  /** The largest elements, from the largest on (the default); else the smallest, from the smallest on. */
  largest?: boolean | undefined
}

/**
 * The `k` largest elements along an axis and their places: [values, indices]. Of equal elements the first come first. A
 * gradient of the values goes to where they came from.
 *
 * @throws ERR_RANGE for a k beyond the axis
 * @example const [values, indices] = topk(scores, 3)
 */
export function topk(x: Tensor, k: number, options: TopkOptions = {}): [values: Tensor, indices: Tensor] {
  checkOptions('topk', options, ['axis', 'largest'])
  const { axis = -1, largest = true } = options
  const { index, along } = places('topk', x, axis, largest)
  checkNumber('topk', 'k', k, { integer: true, min: 0, max: x.shape[along] as number })
  const first = slice(index, ...x.shape.slice(0, along).map(() => null), [0, k])
  return [takeAlong(x, first, along), first]
}

export const sortRows = [argsortRow] as unknown as readonly Primitive[]
