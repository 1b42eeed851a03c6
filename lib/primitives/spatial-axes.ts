/**
 * The axes of images and signals: options with a number for each, and x with its channels last, as kernels take it, whatever its
 * rank.
 */

import { WengertError } from '../errors.js'
import { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { checkNumber, describe } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import { add } from './elementwise.js'
import { cast, reshape, transpose } from './movement.js'

/** One number for every spatial axis, or one for each. */
export type Spatial = number | readonly number[]

/** One whole number for each of `rank` axes. Errors: ERR_RANGE, ERR_OPTION. */
export function spatialOption(where: string, name: string, value: unknown, rank: number, min: number): number[] {
  if (typeof value === 'number') return new Array(rank).fill(checkNumber(where, name, value, { integer: true, min }))
  if (!Array.isArray(value) || value.length !== rank) {
    throw new WengertError(
      'ERR_OPTION',
      `${where}: ${name} is a whole number${rank > 1 ? ` or a list of ${rank}` : ''}, not ${describe(value)}`,
      {
        actual: value,
      },
    )
  }
  return value.map((v) => checkNumber(where, name, v, { integer: true, min }))
}

/** Puts an axis of length 1 before the last of what has one spatial axis. */
export const widened = (values: readonly number[], one: number): number[] => (values.length === 1 ? [one, ...values] : [...values])

/** x as [N, H, W, C], what undoes it for a result, and the number of spatial axes. */
export function channelsLast(where: string, x: Tensor, rank: number): { image: Tensor; back: (y: Tensor, bias?: Tensor) => Tensor } {
  const form = rank === 1 ? '[N, C, L] or [C, L]' : '[N, C, H, W] or [C, H, W]'
  if (!(x instanceof Tensor)) throw new WengertError('ERR_VALUE', `${where}: x is a tensor ${form}, not ${describe(x)}`, { actual: x })
  if (x.rank !== rank + 1 && x.rank !== rank + 2) {
    throw new WengertError('ERR_SHAPE', `${where}: expected x of shape ${form}, got ${formatShape(x.shape)}`, {
      expected: form,
      actual: x.shape,
    })
  }
  const batched = x.rank === rank + 2
  const own = isFloat(x.dtype) ? x : cast(x, 'float32')
  const shape = batched ? own.shape : [1, ...own.shape]
  const last = transpose(reshape(own, shape), rank === 1 ? [0, 2, 1] : [0, 2, 3, 1])
  const [n, ...rest] = last.shape as [number, ...number[]]
  const image = rank === 1 ? reshape(last, [n, 1, ...rest]) : last
  const back = (y: Tensor, bias?: Tensor): Tensor => {
    const [m, , w, d] = y.shape as [number, number, number, number]
    const narrow = rank === 1 ? reshape(y, [m, w, d]) : y
    const first = transpose(withBias(where, narrow, bias), rank === 1 ? [0, 2, 1] : [0, 3, 1, 2])
    return batched ? first : reshape(first, first.shape.slice(1))
  }
  return { image, back }
}

function withBias(where: string, y: Tensor, bias: Tensor | undefined): Tensor {
  if (bias === undefined) return y
  const d = y.shape[y.rank - 1] as number
  if (!(bias instanceof Tensor) || bias.rank !== 1 || bias.size !== d) {
    const got = bias instanceof Tensor ? formatShape(bias.shape) : describe(bias)
    throw new WengertError('ERR_SHAPE', `${where}: expected bias of shape [${d}], got ${got}`, { expected: [d], actual: bias })
  }
  return add(y, bias)
}
