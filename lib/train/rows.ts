/**
 * Single samples of a stream without tensors: a row's numbers go straight into arrays kept for them and are checked in the same
 * loop. Whatever this does not know (batches, tensors, wrong values) is left to the preparation of data, which checks everything
 * and says what is wrong.
 */

import type { Loss } from '../nn/loss.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, type TypedArray } from '../util/dtype.js'
import type { Prepared } from './prepare.js'
import type { Batch, Step } from './steps.js'

const isRow = (value: unknown): value is ArrayLike<number> =>
  value instanceof Float32Array || value instanceof Float64Array || (Array.isArray(value) && typeof value[0] === 'number')

/** The copy of one row after another, for items like one that was learnt from. */
export class RowCopy implements Batch {
  readonly x: readonly [TypedArray]
  readonly y: TypedArray

  /** @param accepts whether the loss takes the targets, as they stand in `y` */
  private constructor(
    readonly step: Step,
    x: Tensor,
    y: Tensor,
    readonly accepts: (y: TypedArray) => boolean,
  ) {
    this.x = [allocate(x.dtype, x.size)]
    this.y = allocate(y.dtype, y.size)
  }

  /** For further items like this one, where they are of a kind that can be copied. */
  static of(item: unknown, data: Prepared, step: Step, loss: Loss): RowCopy | undefined {
    const { x, y } = item as { x: unknown; y: unknown }
    const { targets } = loss
    const accepts = targets === 'classes' ? labels(data) : checks[targets ?? 'values']
    if (!accepts || data.samples !== 1 || data.weights || !isRow(x) || !(data.x instanceof Tensor)) return undefined
    if (typeof y !== 'number' && !(isRow(y) && targets !== 'classes')) return undefined
    return new RowCopy(step, data.x, data.y, accepts)
  }

  /** Takes an item's numbers; false where it is not for this way. */
  take(item: unknown): boolean {
    if (typeof item !== 'object' || item === null) return false
    const { x, y } = this
    const given = item as { x: unknown; y: unknown; weights?: unknown }
    if (given.weights !== undefined || !isRow(given.x) || !fill(x[0], given.x)) return false
    if (typeof given.y === 'number') {
      if (y.length !== 1) return false
      y[0] = given.y
      // An integer array takes any number and makes another of it.
      if (y instanceof Int32Array ? y[0] !== given.y : !Number.isFinite(y[0])) return false
    } else if (y instanceof Int32Array || !isRow(given.y) || !fill(y, given.y)) return false
    return this.accepts(y)
  }
}

const every = (holds: (value: number) => boolean) => (y: TypedArray) => {
  for (let i = 0; i < y.length; i++) if (!holds(y[i] as number)) return false
  return true
}

/** What the preparation of data refuses, by the kind of targets. */
const checks = {
  values: () => true,
  probabilities: every((p) => p >= 0 && p <= 1),
  signs: every((s) => s === 1 || s === -1),
}

/** Labels 0 … classes − 1; undefined where targets are distributions. */
function labels({ y, output }: Prepared): ((y: TypedArray) => boolean) | undefined {
  const classes = output[0] ?? 1
  return y.dtype === 'int32' ? every((label) => label >= 0 && label < classes) : undefined
}

/** Copies the numbers; false where they are not as many, or not finite in the type that holds them. */
function fill(out: TypedArray, values: ArrayLike<number>): boolean {
  const n = out.length
  if (values.length !== n) return false
  let sum = 0
  for (let i = 0; i < n; i++) {
    const value = values[i]
    if (typeof value !== 'number') return false
    out[i] = value
    // 0 for every finite number, NaN for all else.
    sum += (out[i] as number) - (out[i] as number)
  }
  return sum === 0
}
