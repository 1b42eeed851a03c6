/**
 * Convolution and pooling as PyTorch names and orders them: channels first, x [N, C, L] or [N, C, H, W] (or one sample,
 * without N), weights [D, C/groups, …]. Everything here is made of rows: convolutions, extremes of windows, products, gathers.
 */

import { WengertError } from '../errors.js'
import { full } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, isFloat, promote } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape, type Shape } from '../util/shape.js'
import { convInputRow, convRow, type Windows } from './convolution.js'
import { mul } from './elementwise.js'
import { cast, reshape, transpose } from './movement.js'
import { pad, slice, stack } from './parts.js'
import { maxPoolRow } from './pooling.js'
import { apply } from './primitive.js'
import { channelsLast, type Spatial, spatialOption, widened } from './spatial-axes.js'

/** How the windows of a convolution lie. */
export interface ConvOptions {
  /** [D], added to each channel of the result. */
  bias?: Tensor | undefined
  /** Steps from window to window; 1 by default. */
  stride?: Spatial
  /** Zeros on both sides of each axis; 0 by default. `'same'` keeps the size (stride 1), `'valid'` is 0. */
  padding?: Spatial | 'same' | 'valid'
  /** Steps from cell to cell of a window; 1 by default. */
  dilation?: Spatial
  /** Channels are cut into so many groups that see only each other; C groups are a depthwise convolution. */
  groups?: number
}

/** How the windows of a transposed convolution lie. */
export interface ConvTransposeOptions extends Omit<ConvOptions, 'padding'> {
  padding?: Spatial
  /** Added to the size of the result on one side, less than stride or dilation; 0 by default. */
  outputPadding?: Spatial
}

/** How the windows of pooling lie. */
export interface PoolOptions {
  /** Steps from window to window; the window's own size by default. */
  stride?: Spatial
  /** Cells on both sides of each axis that count as absent (max) or as 0 (average); at most half a window; 0 by default. */
  padding?: Spatial
  /** Keep a last window that is not whole. */
  ceil?: boolean
}

/** Of `maxPool1d` and `maxPool2d`. */
export interface MaxPoolOptions extends PoolOptions {
  dilation?: Spatial
}

/** Of `avgPool1d` and `avgPool2d`. */
export interface AvgPoolOptions extends PoolOptions {
  /** Whether padding counts in what the mean divides by; true by default. */
  countIncludePad?: boolean
}

/** [D, C, …] as [KH, KW, C, D], of the type of x. */
function kernelLast(where: string, weight: Tensor, rank: number, dtype: Tensor['dtype'], form: string): Tensor {
  if (!(weight instanceof Tensor) || weight.rank !== rank + 2) {
    const got = weight instanceof Tensor ? formatShape(weight.shape) : describe(weight)
    throw new WengertError('ERR_SHAPE', `${where}: expected weight of shape ${form}, got ${got}`, { expected: form, actual: weight })
  }
  const [d, c, ...size] = weight.shape as [number, number, ...number[]]
  return transpose(reshape(cast(weight, dtype), [d, c, ...widened(size, 1)]), [2, 3, 1, 0])
}

/** How many windows fit on an axis. */
const count = (n: number, cells: number, stride: number, pad: number, step: number): number =>
  Math.floor((n + pad - (cells - 1) * step - 1) / stride) + 1

function refuseLarge(where: string, image: Tensor, window: readonly number[], size: readonly number[]): void {
  if (size.every((n) => n >= 1)) return
  throw new WengertError(
    'ERR_SHAPE',
    `${where}: a window of ${window.join(' × ')} does not fit on x of ${image.shape.slice(1, 3).join(' × ')}; use a smaller one or more padding`,
    { actual: image.shape },
  )
}

function convolution(where: string, rank: 1 | 2, x: Tensor, weight: Tensor, options: ConvOptions): Tensor {
  checkOptions(where, options, ['bias', 'stride', 'padding', 'dilation', 'groups'])
  const { image: own, back } = channelsLast(where, x, rank)
  const form = rank === 1 ? '[D, C/groups, K]' : '[D, C/groups, KH, KW]'
  const dtype = weight instanceof Tensor && isFloat(weight.dtype) ? promote(own.dtype, weight.dtype) : own.dtype
  const image = cast(own, dtype)
  const w = kernelLast(where, weight, rank, dtype, form)
  const groups = checkNumber(where, 'groups', options.groups ?? 1, { integer: true, min: 1 })
  const [kh, kw, each, d] = w.shape as [number, number, number, number]
  const [, height, width, c] = image.shape as [number, number, number, number]
  if (each * groups !== c || d % groups !== 0) {
    throw new WengertError(
      'ERR_SHAPE',
      `${where}: expected x of ${each * groups} channels for weight ${formatShape(weight.shape)}${groups > 1 ? ` in ${groups} groups that divide ${d}` : ''}, got ${formatShape(x.shape)}`,
      { expected: each * groups, actual: x.shape },
    )
  }
  const stride = widened(spatialOption(where, 'stride', options.stride ?? 1, rank, 1), 1)
  const dilation = widened(spatialOption(where, 'dilation', options.dilation ?? 1, rank, 1), 1)
  const reach = [(kh - 1) * (dilation[0] as number), (kw - 1) * (dilation[1] as number)]
  const given = options.padding ?? 0
  const asked = typeof given === 'string' ? checkChoice(where, 'padding', given, ['same', 'valid'] as const) : given
  if (asked === 'same' && stride.some((s) => s !== 1))
    throw new WengertError('ERR_OPTION', `${where}: padding 'same' needs a stride of 1, not ${stride.slice(2 - rank).join(' × ')}`, {
      actual: options.stride,
    })
  const total =
    asked === 'same' ? reach : asked === 'valid' ? [0, 0] : widened(spatialOption(where, 'padding', asked, rank, 0), 0).map((p) => 2 * p)
  const padding = total.map((p) => Math.floor(p / 2))
  const size = [height, width].map((n, i) => count(n, w.shape[i] as number, stride[i] as number, total[i] as number, dilation[i] as number))
  refuseLarge(where, image, [kh, kw].slice(2 - rank), size)
  return back(apply(convRow, [image, w], { stride, padding, dilation, groups, size }), options.bias)
}

function transposed(where: string, rank: 1 | 2, x: Tensor, weight: Tensor, options: ConvTransposeOptions): Tensor {
  checkOptions(where, options, ['bias', 'stride', 'padding', 'outputPadding', 'dilation', 'groups'])
  const { image: own, back } = channelsLast(where, x, rank)
  const form = rank === 1 ? '[C, D/groups, K]' : '[C, D/groups, KH, KW]'
  const dtype = weight instanceof Tensor && isFloat(weight.dtype) ? promote(own.dtype, weight.dtype) : own.dtype
  const image = cast(own, dtype)
  const w = kernelLast(where, weight, rank, dtype, form)
  const groups = checkNumber(where, 'groups', options.groups ?? 1, { integer: true, min: 1 })
  const [, height, width, c] = image.shape as [number, number, number, number]
  if (w.shape[3] !== c || c % groups !== 0) {
    throw new WengertError(
      'ERR_SHAPE',
      `${where}: expected x of ${w.shape[3]} channels${groups > 1 ? ` in ${groups} groups` : ''} for weight ${formatShape(weight.shape)}, got ${formatShape(x.shape)}`,
      { expected: w.shape[3], actual: x.shape },
    )
  }
  const stride = widened(spatialOption(where, 'stride', options.stride ?? 1, rank, 1), 1)
  const dilation = widened(spatialOption(where, 'dilation', options.dilation ?? 1, rank, 1), 1)
  const padding = widened(spatialOption(where, 'padding', options.padding ?? 0, rank, 0), 0)
  const extra = widened(spatialOption(where, 'outputPadding', options.outputPadding ?? 0, rank, 0), 0)
  extra.forEach((e, i) => {
    const most = Math.max(stride[i] as number, dilation[i] as number)
    if (e >= most)
      throw new WengertError('ERR_RANGE', `${where}: outputPadding is less than stride or dilation (${most}), not ${e}`, { actual: e })
  })
  const size = [height, width].map((n, i) => {
    const [s, p, step, e] = [stride[i], padding[i], dilation[i], extra[i]] as [number, number, number, number]
    return (n - 1) * s - 2 * p + step * ((w.shape[i] as number) - 1) + e + 1
  })
  refuseLarge(where, image, w.shape.slice(2 - rank, 2), size)
  return back(apply(convInputRow, [image, w], { stride, padding, dilation, groups, size }), options.bias)
}

/** The windows of pooling over an image, and their number. */
function pooling(
  where: string,
  rank: 1 | 2,
  image: Tensor,
  size: Spatial,
  options: MaxPoolOptions,
): Windows & { window: number[]; size: number[] } {
  const window = widened(spatialOption(where, 'size', size, rank, 1), 1)
  const stride = options.stride === undefined ? window : widened(spatialOption(where, 'stride', options.stride, rank, 1), 1)
  const padding = widened(spatialOption(where, 'padding', options.padding ?? 0, rank, 0), 0)
  const dilation = widened(spatialOption(where, 'dilation', options.dilation ?? 1, rank, 1), 1)
  const { ceil = false } = options
  if (typeof ceil !== 'boolean')
    throw new WengertError('ERR_OPTION', `${where}: ceil is true or false, not ${describe(ceil)}`, { actual: ceil })
  padding.forEach((p, i) => {
    if (2 * p > (window[i] as number))
      throw new WengertError('ERR_RANGE', `${where}: padding is at most half of the window (${window[i]}), not ${p}`, { actual: p })
  })
  const windows = [0, 1].map((i) => {
    const [n, k, s, p, step] = [image.shape[i + 1], window[i], stride[i], padding[i], dilation[i]] as [
      number,
      number,
      number,
      number,
      number,
    ]
    const whole = count(n, k, s, 2 * p, step)
    // A last window that is not whole begins on the image or in the padding before it.
    return ceil && (n + 2 * p - (k - 1) * step - 1) % s !== 0 && whole * s < n + p ? whole + 1 : whole
  })
  refuseLarge(where, image, window.slice(2 - rank), windows)
  return { window, stride, padding, dilation, size: windows }
}

function largest(where: string, rank: 1 | 2, x: Tensor, size: Spatial, options: MaxPoolOptions): Tensor {
  checkOptions(where, options, ['stride', 'padding', 'dilation', 'ceil'])
  const { image, back } = channelsLast(where, x, rank)
  return back(apply(maxPoolRow, [image], pooling(where, rank, image, size, options)))
}

/** Means of windows: each channel convolved with equal weights, where need be divided by the cells that count. */
function average(where: string, rank: 1 | 2, x: Tensor, size: Spatial, options: AvgPoolOptions): Tensor {
  checkOptions(where, options, ['stride', 'padding', 'ceil', 'countIncludePad'])
  const { countIncludePad = true, ...windows } = options
  if (typeof countIncludePad !== 'boolean')
    throw new WengertError('ERR_OPTION', `${where}: countIncludePad is true or false, not ${describe(countIncludePad)}`, {
      actual: countIncludePad,
    })
  const { image, back } = channelsLast(where, x, rank)
  const { window, ...lie } = pooling(where, rank, image, size, windows)
  const groups = image.shape[3] as number
  const [kh, kw] = window as [number, number]
  const { dtype } = image as { dtype: 'float32' | 'float64' }
  const means = apply(convRow, [image, full([kh, kw, 1, groups], 1 / (kh * kw), { dtype })], { ...lie, groups })
  const shares = countIncludePad && !windows.ceil ? undefined : corrections(image.shape, { window, ...lie }, countIncludePad)
  if (shares === undefined || shares.every((share) => share === 1)) return back(means)
  const factors = allocate(dtype, shares.length)
  factors.set(shares)
  return back(mul(means, new Tensor([...lie.size, 1], dtype, factors)))
}

/** For each window its cells by those that count. */
function corrections(image: Shape, { window, stride, padding, size }: Windows & { window: Shape; size: Shape }, padded: boolean): number[] {
  const along = (i: 0 | 1) => {
    const [n, k, s, p, windows] = [image[i + 1], window[i], stride[i], padding[i], size[i]] as [number, number, number, number, number]
    return Array.from({ length: windows }, (_, j) => {
      const begin = j * s - p
      const end = Math.min(begin + k, padded ? n + p : n)
      return k / (end - (padded ? begin : Math.max(0, begin)))
    })
  }
  const columns = along(1)
  return along(0).flatMap((row) => columns.map((column) => row * column))
}

/** y[n, d, j] = b[d] + Σ x[n, c, j·stride + k·dilation − padding] w[d, c, k], x [N, C, L]. Errors: ERR_SHAPE, ERR_RANGE, ERR_OPTION. */
export function conv1d(x: Tensor, weight: Tensor, options: ConvOptions = {}): Tensor {
  return convolution('conv1d', 1, x, weight, options)
}

/**
 * y[n, d, i, j] = b[d] + Σ x[n, c, i·s + a·δ − p, j·s + b·δ − p] w[d, c, a, b], the cross-correlation of x [N, C, H, W] with
 * weight [D, C/groups, KH, KW]; x may be one sample [C, H, W].
 *
 * @throws ERR_SHAPE where channels do not agree or no window fits; ERR_RANGE, ERR_OPTION
 * @example conv2d(images, weight, { bias, padding: 'same' })
 */
export function conv2d(x: Tensor, weight: Tensor, options: ConvOptions = {}): Tensor {
  return convolution('conv2d', 2, x, weight, options)
}

/** The transpose of `conv1d` by its input: x [N, C, L], weight [C, D/groups, K], result [N, D, (L − 1)·stride − 2·padding + dilation·(K − 1) + outputPadding + 1]. */
export function convTranspose1d(x: Tensor, weight: Tensor, options: ConvTransposeOptions = {}): Tensor {
  return transposed('convTranspose1d', 1, x, weight, options)
}

/** The transpose of `conv2d` by its input: x [N, C, H, W], weight [C, D/groups, KH, KW]. */
export function convTranspose2d(x: Tensor, weight: Tensor, options: ConvTransposeOptions = {}): Tensor {
  return transposed('convTranspose2d', 2, x, weight, options)
}

/** The largest of each window of x [N, C, L]; the derivative goes to the first of equals. Errors: ERR_SHAPE, ERR_RANGE, ERR_OPTION. */
export function maxPool1d(x: Tensor, size: Spatial, options: MaxPoolOptions = {}): Tensor {
  return largest('maxPool1d', 1, x, size, options)
}

/** The largest of each window of x [N, C, H, W]; the derivative goes to the first of equals. Errors: ERR_SHAPE, ERR_RANGE, ERR_OPTION. */
export function maxPool2d(x: Tensor, size: Spatial, options: MaxPoolOptions = {}): Tensor {
  return largest('maxPool2d', 2, x, size, options)
}

/** The mean of each window of x [N, C, L]. Errors: ERR_SHAPE, ERR_RANGE, ERR_OPTION. */
export function avgPool1d(x: Tensor, size: Spatial, options: AvgPoolOptions = {}): Tensor {
  return average('avgPool1d', 1, x, size, options)
}

/** The mean of each window of x [N, C, H, W]. Errors: ERR_SHAPE, ERR_RANGE, ERR_OPTION. */
export function avgPool2d(x: Tensor, size: Spatial, options: AvgPoolOptions = {}): Tensor {
  return average('avgPool2d', 2, x, size, options)
}

/**
 * The cells of every window of x [N, C, H, W] as columns: [N, C·KH·KW, windows], channels slowest (PyTorch's order).
 *
 * @throws ERR_SHAPE, ERR_RANGE, ERR_OPTION
 */
export function unfold(x: Tensor, size: Spatial, options: Omit<MaxPoolOptions, 'ceil'> = {}): Tensor {
  const where = 'unfold'
  checkOptions(where, options, ['stride', 'padding', 'dilation'])
  if (x.rank !== 4)
    throw new WengertError('ERR_SHAPE', `${where}: expected x of shape [N, C, H, W], got ${formatShape(x.shape)}`, { actual: x.shape })
  const [kh, kw] = spatialOption(where, 'size', size, 2, 1) as [number, number]
  const [sh, sw] = spatialOption(where, 'stride', options.stride ?? 1, 2, 1) as [number, number]
  const [ph, pw] = spatialOption(where, 'padding', options.padding ?? 0, 2, 0) as [number, number]
  const [dh, dw] = spatialOption(where, 'dilation', options.dilation ?? 1, 2, 1) as [number, number]
  const [n, c, h, w] = x.shape as [number, number, number, number]
  const [rows, columns] = [count(h, kh, sh, 2 * ph, dh), count(w, kw, sw, 2 * pw, dw)]
  if (rows < 1 || columns < 1)
    throw new WengertError('ERR_SHAPE', `${where}: a window of ${kh} × ${kw} does not fit on x ${formatShape(x.shape)}`, {
      actual: x.shape,
    })
  const own =
    ph + pw > 0
      ? pad(x, [
          [0, 0],
          [0, 0],
          [ph, ph],
          [pw, pw],
        ])
      : x
  const cells = Array.from({ length: kh * kw }, (_, k) => {
    const [a, b] = [Math.floor(k / kw) * dh, (k % kw) * dw]
    return slice(own, null, null, [a, a + (rows - 1) * sh + 1, sh], [b, b + (columns - 1) * sw + 1, sw])
  })
  return reshape(stack(cells, 2), [n, c * kh * kw, rows * columns])
}
