/** Images and signals on another grid: parts of given number, and finer or coarser ones. */

import { WengertError } from '../errors.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import { gather } from './indexing.js'
import { matmul } from './linalg.js'
import { reshape } from './movement.js'
import { channelsLast, type Spatial, spatialOption, widened } from './spatial-axes.js'

/** y = m·x along one spatial axis of [N, H, W, C], m being [new, old]. */
function along(image: Tensor, axis: 1 | 2, rows: readonly (readonly number[])[]): Tensor {
  const [n, h, w, c] = image.shape as [number, number, number, number]
  const old = axis === 1 ? h : w
  const values = allocate(image.dtype, rows.length * old)
  rows.forEach((row, i) => {
    values.set(row, i * old)
  })
  const m = new Tensor([rows.length, old], image.dtype, values)
  if (axis === 1) return reshape(matmul(m, reshape(image, [n, h, w * c])), [n, rows.length, w, c])
  return reshape(matmul(m, reshape(image, [n * h, w, c])), [n, h, rows.length, c])
}

function adaptive(where: string, rank: 1 | 2, x: Tensor, size: Spatial): Tensor {
  const { image, back } = channelsLast(where, x, rank)
  const wanted = widened(spatialOption(where, 'size', size, rank, 1), 1)
  return back(
    ([1, 2] as const).reduce((y, axis) => {
      const [n, k] = [y.shape[axis] as number, wanted[axis - 1] as number]
      if (n === k) return y
      const rows = Array.from({ length: k }, (_, i) => {
        const [begin, end] = [Math.floor((i * n) / k), Math.ceil(((i + 1) * n) / k)]
        return Array.from({ length: n }, (_, j) => (j >= begin && j < end ? 1 / (end - begin) : 0))
      })
      return along(y, axis, rows)
    }, image),
  )
}

/** Means of `size` parts of x [N, C, L], as even as can be: part i is ⌊i·L/size⌋ … ⌈(i + 1)·L/size⌉ − 1. */
export function adaptiveAvgPool1d(x: Tensor, size: number): Tensor {
  return adaptive('adaptiveAvgPool1d', 1, x, size)
}

/** Means of size × size (or [rows, columns]) parts of x [N, C, H, W], as even as can be. */
export function adaptiveAvgPool2d(x: Tensor, size: Spatial): Tensor {
  return adaptive('adaptiveAvgPool2d', 2, x, size)
}

/** Of `upsample`. */
export interface UpsampleOptions {
  /** The new spatial sizes; or give `scale`. */
  size?: Spatial
  /** What the sizes are multiplied by; the products are rounded down. */
  scale?: number | readonly number[]
  /** `'nearest'` repeats, `'bilinear'` (for one spatial axis: `'linear'`) interpolates; nearest by default. */
  mode?: 'nearest' | 'linear' | 'bilinear'
  /** Whether the first and last cells of both grids lie on each other; else their outer borders do. False by default. */
  alignCorners?: boolean
}

/**
 * x [N, C, L] or [N, C, H, W] on a finer (or coarser) grid, as PyTorch's `interpolate`.
 *
 * @throws ERR_OPTION, ERR_RANGE, ERR_SHAPE
 * @example upsample(images, { scale: 2, mode: 'bilinear' })
 */
export function upsample(x: Tensor, options: UpsampleOptions): Tensor {
  const where = 'upsample'
  checkOptions(where, options, ['size', 'scale', 'mode', 'alignCorners'])
  const rank = x.rank - 2
  if (rank !== 1 && rank !== 2)
    throw new WengertError(
      'ERR_SHAPE',
      `${where}: expected x of shape [N, C, L] or [N, C, H, W], got ${formatShape(x.shape)}; one image is [1, C, H, W]`,
      {
        actual: x.shape,
      },
    )
  const { size, scale, alignCorners = false } = options
  const mode = checkChoice(where, 'mode', options.mode ?? 'nearest', ['nearest', 'linear', 'bilinear'] as const)
  if ((size === undefined) === (scale === undefined))
    throw new WengertError('ERR_OPTION', `${where}: give either size or scale, not ${size === undefined ? 'neither' : 'both'}`)
  const { image, back } = channelsLast(where, x, rank)
  const old = x.shape.slice(2)
  const factors = scale === undefined ? undefined : typeof scale === 'number' ? old.map(() => scale) : scale
  for (const f of factors ?? []) checkNumber(where, 'scale', f, { min: 0, exclusive: true })
  const wanted = factors ? old.map((n, i) => Math.floor(n * (factors[i] as number))) : spatialOption(where, 'size', size, rank, 1)
  if (wanted.some((n) => n < 1))
    throw new WengertError('ERR_RANGE', `${where}: each size is 1 or more, not ${wanted.join(' × ')}`, { actual: wanted })
  return back(
    wanted.reduce((y, k, i) => {
      const axis = (3 - rank + i) as 1 | 2
      const n = y.shape[axis] as number
      const ratio = factors ? 1 / (factors[i] as number) : n / k
      if (mode === 'nearest') {
        const index = Int32Array.from({ length: k }, (_, j) => Math.min(n - 1, Math.floor(j * ratio)))
        return gather(y, new Tensor([k], 'int32', index), axis)
      }
      if (n === k) return y
      const rows = Array.from({ length: k }, (_, j) => {
        const at = alignCorners ? (k > 1 ? (j * (n - 1)) / (k - 1) : 0) : Math.max(0, (j + 0.5) * ratio - 0.5)
        const low = Math.min(n - 1, Math.floor(at))
        const share = Math.min(1, Math.max(0, at - low))
        const row = new Array<number>(n).fill(0)
        row[low] = 1 - share
        const high = Math.min(n - 1, low + 1)
        row[high] = (row[high] as number) + share
        return row
      })
      return along(y, axis, rows)
    }, image),
  )
}
