/**
 * Whether layers see whole batches only. `forward` of a layer of windows takes an image without a batch's axis as well; a
 * prediction that reads its input as a batch does not mean that: [8, 8, 8] is one image there, or nothing.
 */

import { WengertError } from '../errors.js'
import type { Tensor } from '../tensor/tensor.js'
import { formatShape } from '../util/shape.js'

let only = false

/** Runs `body`, in which every layer of windows takes batches alone. */
export function withBatchesOnly<T>(body: () => T): T {
  const outer = only
  only = true
  try {
    return body()
  } finally {
    only = outer
  }
}

/** Whether a prediction runs that means batches alone. */
export const batchesOnly = (): boolean => only

/** Refuses x of one axis less than a batch, [m, C, …] with `spatial` axes, within `withBatchesOnly`. Errors: ERR_SHAPE. */
export function refuseSample(where: string, x: Tensor, spatial: number): void {
  if (!only || x.rank !== spatial + 1) return
  const form = spatial === 1 ? '[m, C, L]' : '[m, C, H, W]'
  throw new WengertError('ERR_SHAPE', `${where}: expected x of shape ${form}, got ${formatShape(x.shape)}`, {
    expected: form,
    actual: x.shape,
  })
}
