/** Batching rules that several rows share, and what rules are made of. See `Batch` in `primitive.ts`. */

import type { Tensor } from '../tensor/tensor.js'
import type { Shape } from '../util/shape.js'
import { reshape, transpose } from './movement.js'
import { slice, stack } from './parts.js'
import { apply, type Batch, type Params } from './primitive.js'

/** Of rows along one axis: it is the next one in the stack. */
export const alongNext = <P extends Params & { axis: number }>({ row, inputs, params }: Batch<P>): Tensor =>
  apply(row, inputs, { ...params, axis: params.axis + 1 })

/** The samples' axis and the one after it, in one. */
export const folded = (x: Tensor): Tensor => reshape(x, [(x.shape[0] as number) * (x.shape[1] as number), ...x.shape.slice(2)])

/** Undoes `folded`. */
export const unfolded = (x: Tensor, size: number, rows: number): Tensor => reshape(x, [size, rows, ...x.shape.slice(1)])

/** Of rows all whose operands and results hold one row of their first axis each: the rows of all samples, one after the other. */
export const overRows = <P extends Params>({ row, inputs, params, size, full }: Batch<P>): Tensor => {
  const stacks = inputs.map((_, i) => full(i))
  return unfolded(apply(row, stacks.map(folded), params), size, (stacks[0] as Tensor).shape[1] as number)
}

/** The axes in another order: one of them elsewhere, the others as they were. */
export function moveAxis(x: Tensor, from: number, to: number): Tensor {
  const order = x.shape.map((_, axis) => axis).filter((axis) => axis !== from)
  order.splice(to, 0, from)
  return transpose(x, order)
}

/** Ones, as many as there are axes. */
export const single = (axes: number): Shape => new Array<number>(axes).fill(1)

/** One sample after the other: for rows whose kernel knows one sample only. */
export function eachSample<P extends Params>({ row, inputs, mapped, params, size }: Batch<P>): Tensor {
  const one = (i: number) =>
    apply(
      row,
      inputs.map((x, k) => (mapped[k] ? slice(x, i) : x)),
      params,
    )
  return stack(Array.from({ length: size }, (_, i) => one(i)))
}
