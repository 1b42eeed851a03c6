/**
 * Augmentation: layers that change their input at random in training and leave it as it is in use. They stand at the front of
 * a model and run within the training program; their draws are functions of the fit's seed, the update and the layer's
 * place, so that a resumed fit draws what the whole one would have drawn. To add one: a class here.
 */

import { WengertError } from '../errors.js'
import { broadcastTo } from '../primitives/broadcast.js'
import { add, floor, less, minimum, mul, where } from '../primitives/elementwise.js'
import { takeAlong } from '../primitives/indexing.js'
import { cast, reshape } from '../primitives/movement.js'
import { flip, pad, slice } from '../primitives/parts.js'
import { type Spatial, spatialOption } from '../primitives/spatial-axes.js'
import { arange } from '../tensor/creation.js'
import { drawDefault } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import { type FloatDtype, isFloat } from '../util/dtype.js'
import { checkNumber, checkOptions } from '../util/options.js'
import { formatShape, type Shape } from '../util/shape.js'
import { Module } from './module.js'

const dtypeOf = (x: Tensor): FloatDtype => (isFloat(x.dtype) ? x.dtype : 'float32')
const uniform = (shape: Shape, high = 1): Tensor => drawDefault({ kind: 'uniform', shape, dtype: 'float32', low: 0, high })

/** Errors: ERR_SHAPE. */
function checkRank(where: string, x: Tensor, signals: boolean): void {
  if (x.rank === 4 || (signals && x.rank === 3)) return
  const form = `[m, C, H, W]${signals ? ' or [m, C, L]' : ''}`
  throw new WengertError('ERR_SHAPE', `${where}: expected x of shape ${form}, got ${formatShape(x.shape)}`, { actual: x.shape })
}

/** x with each sample mirrored along an axis with probability p. */
function mirrored(x: Tensor, p: number, axis: number): Tensor {
  const m = x.shape[0] as number
  const chosen = reshape(less(uniform([m]), p), [m, ...x.shape.slice(1).map(() => 1)])
  return where(chosen, flip(x, axis), x)
}

/**
 * In training: mirrors each image left to right (a signal from end to beginning) with probability p; in use: nothing.
 *
 * @param p in [0, 1]; 0.5 by default
 * @throws ERR_RANGE; in `forward` ERR_SHAPE for anything but [m, C, H, W] or [m, C, L]
 * @example new nn.Sequential(new nn.RandomHorizontalFlip(), new nn.Conv2d(3, 16, 3))
 */
export class RandomHorizontalFlip extends Module {
  constructor(readonly p = 0.5) {
    super()
    checkNumber('RandomHorizontalFlip', 'p', p, { min: 0, max: 1 })
  }

  override config(): Record<string, unknown> {
    return { p: this.p }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof RandomHorizontalFlip = RandomHorizontalFlip): RandomHorizontalFlip {
    checkOptions('RandomHorizontalFlip', config, ['p'])
    return new Type(config.p as number)
  }

  override forward(x: Tensor): Tensor {
    checkRank('RandomHorizontalFlip', x, true)
    return this.training && this.p > 0 ? mirrored(x, this.p, -1) : x
  }

  override describe(): string {
    return `RandomHorizontalFlip ${this.p}`
  }
}

/**
 * In training: turns each image upside down with probability p, as in a mirror below it; in use: nothing.
 *
 * @param p in [0, 1]; 0.5 by default
 * @throws ERR_RANGE; in `forward` ERR_SHAPE for anything but [m, C, H, W]
 */
export class RandomVerticalFlip extends Module {
  constructor(readonly p = 0.5) {
    super()
    checkNumber('RandomVerticalFlip', 'p', p, { min: 0, max: 1 })
  }

  override config(): Record<string, unknown> {
    return { p: this.p }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof RandomVerticalFlip = RandomVerticalFlip): RandomVerticalFlip {
    checkOptions('RandomVerticalFlip', config, ['p'])
    return new Type(config.p as number)
  }

  override forward(x: Tensor): Tensor {
    checkRank('RandomVerticalFlip', x, false)
    return this.training && this.p > 0 ? mirrored(x, this.p, -2) : x
  }

  override describe(): string {
    return `RandomVerticalFlip ${this.p}`
  }
}

/** A window of x [m, C, H, W] for each sample, anywhere: every place is as likely. */
function randomWindows(x: Tensor, [rows, columns]: readonly [number, number]): Tensor {
  const [m, channels, height, width] = x.shape as [number, number, number, number]
  // A draw just below n may be rounded up to it.
  const upTo = (n: number) => reshape(cast(minimum(floor(uniform([m], n + 1)), n), 'int32'), [m, 1, 1])
  const row = add(upTo(height - rows), reshape(arange(rows), [rows, 1]))
  const column = add(upTo(width - columns), reshape(arange(columns), [1, columns]))
  const cells = reshape(add(mul(row, width), column), [m, 1, rows * columns])
  const flat = reshape(x, [m, channels, height * width])
  return reshape(takeAlong(flat, broadcastTo(cells, [m, channels, rows * columns]), 2), [m, channels, rows, columns])
}

/** x with zeros on both sides of its rows and columns. */
const framed = (x: Tensor, [rows, columns]: readonly [number, number]): Tensor =>
  pad(x, [
    [0, 0],
    [0, 0],
    [rows, rows],
    [columns, columns],
  ])

/**
 * In training: moves each image by up to so many pixels, up or down and left or right, each distance being as likely; zeros
 * follow from the edge. A signal is moved along its axis. In use: nothing.
 *
 * @param by at most; one number, or [rows, columns]
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE for anything but [m, C, H, W] or [m, C, L]
 * @example new nn.Sequential(new nn.RandomShift(2), new nn.Conv2d(1, 8, 3))
 */
export class RandomShift extends Module {
  constructor(readonly by: Spatial) {
    super()
    spatialOption('RandomShift', 'by', by, 2, 0)
  }

  override config(): Record<string, unknown> {
    return { by: this.by }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof RandomShift = RandomShift): RandomShift {
    checkOptions('RandomShift', config, ['by'])
    return new Type(config.by as Spatial)
  }

  override forward(x: Tensor): Tensor {
    checkRank('RandomShift', x, true)
    if (!this.training) return x
    const [rows, columns] = spatialOption('RandomShift', 'by', this.by, 2, 0) as [number, number]
    const image = x.rank === 4 ? x : reshape(x, [x.shape[0] as number, x.shape[1] as number, 1, x.shape[2] as number])
    const [, , height, width] = image.shape as [number, number, number, number]
    const moved = randomWindows(framed(image, [x.rank === 4 ? rows : 0, columns]), [height, width])
    return reshape(moved, x.shape)
  }

  override describe(): string {
    return `RandomShift ${[this.by].flat().join(' × ')}`
  }
}

/**
 * In training: a window of each image, anywhere; in use: the one in the middle.
 *
 * @param size of the window; one number, or [rows, columns]
 * @param options.padding zeros around the image beforehand; 0 by default
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE for anything but [m, C, H, W] that is large enough
 * @example new nn.Sequential(new nn.RandomCrop(32, { padding: 4 }), new nn.Conv2d(3, 16, 3))
 */
export class RandomCrop extends Module {
  readonly padding: Spatial

  constructor(
    readonly size: Spatial,
    options: { padding?: Spatial } = {},
  ) {
    super()
    checkOptions('RandomCrop', options, ['padding'])
    spatialOption('RandomCrop', 'size', size, 2, 1)
    this.padding = options.padding ?? 0
    spatialOption('RandomCrop', 'padding', this.padding, 2, 0)
  }

  override config(): Record<string, unknown> {
    return { size: this.size, padding: this.padding }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof RandomCrop = RandomCrop): RandomCrop {
    const { size, ...options } = config
    return new Type(size as Spatial, options)
  }

  override forward(x: Tensor): Tensor {
    checkRank('RandomCrop', x, false)
    const [rows, columns] = spatialOption('RandomCrop', 'size', this.size, 2, 1) as [number, number]
    const whole = framed(x, spatialOption('RandomCrop', 'padding', this.padding, 2, 0) as [number, number])
    const [, , height, width] = whole.shape as [number, number, number, number]
    if (rows > height || columns > width)
      throw new WengertError(
        'ERR_SHAPE',
        `RandomCrop: a window of ${rows} × ${columns} does not fit on images of ${height} × ${width}; use a smaller one or more padding`,
        { actual: x.shape },
      )
    if (this.training) return randomWindows(whole, [rows, columns])
    const [top, left] = [Math.floor((height - rows) / 2), Math.floor((width - columns) / 2)]
    return slice(whole, [], [], [top, top + rows], [left, left + columns])
  }

  override describe(): string {
    return `RandomCrop ${[this.size].flat().join(' × ')}`
  }
}

/**
 * In training: adds normal noise to every element; in use: nothing.
 *
 * @param deviation its standard deviation, in the units of x; ≥ 0
 * @throws ERR_RANGE
 * @example new nn.Sequential(new nn.GaussianNoise(0.05), new nn.Conv1d(1, 16, 9))
 */
export class GaussianNoise extends Module {
  constructor(readonly deviation: number) {
    super()
    checkNumber('GaussianNoise', 'deviation', deviation, { min: 0 })
  }

  override config(): Record<string, unknown> {
    return { deviation: this.deviation }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof GaussianNoise = GaussianNoise): GaussianNoise {
    checkOptions('GaussianNoise', config, ['deviation'])
    return new Type(config.deviation as number)
  }

  override forward(x: Tensor): Tensor {
    if (!this.training || this.deviation === 0) return x
    const noise = drawDefault({ kind: 'normal', shape: x.shape, dtype: dtypeOf(x), low: 0, high: 1 })
    return add(x, mul(noise, this.deviation))
  }

  override describe(): string {
    return `GaussianNoise ${this.deviation}`
  }
}
