/** Layers without weights over windows of images and signals: pooling, resizing, padding. */

import { WengertError } from '../errors.js'
import { pad } from '../primitives/parts.js'
import { mean } from '../primitives/reduce.js'
import { adaptiveAvgPool1d, adaptiveAvgPool2d, type UpsampleOptions, upsample } from '../primitives/resample.js'
import { type AvgPoolOptions, avgPool1d, avgPool2d, type MaxPoolOptions, maxPool1d, maxPool2d } from '../primitives/spatial.js'
import { type Spatial, spatialOption } from '../primitives/spatial-axes.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkOptions } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import { refuseSample } from './batches.js'
import { Module } from './module.js'

const maxKnown = ['stride', 'padding', 'dilation', 'ceil']
const avgKnown = ['stride', 'padding', 'ceil', 'countIncludePad']

/** A layer that is a function of windows. */
abstract class Pool<O extends MaxPoolOptions | AvgPoolOptions> extends Module {
  constructor(
    readonly kind: string,
    rank: number,
    known: readonly string[],
    readonly kernelSize: Spatial,
    readonly options: O,
  ) {
    super()
    checkOptions(kind, options, known)
    spatialOption(kind, 'kernelSize', kernelSize, rank, 1)
    const { stride = 1, padding = 0, dilation = 1 } = options as MaxPoolOptions
    spatialOption(kind, 'stride', stride, rank, 1)
    spatialOption(kind, 'padding', padding, rank, 0)
    spatialOption(kind, 'dilation', dilation, rank, 1)
  }

  override config(): Record<string, unknown> {
    return { kernelSize: this.kernelSize, ...this.options }
  }

  override describe(): string {
    return `${this.kind} ${[this.kernelSize].flat().join(' × ')}`
  }
}

/** The largest of each window of x [m, C, L]: `maxPool1d`. Errors: ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE. */
export class MaxPool1d extends Pool<MaxPoolOptions> {
  constructor(kernelSize: Spatial, options: MaxPoolOptions = {}) {
    super('MaxPool1d', 1, maxKnown, kernelSize, options)
  }

  override forward(x: Tensor): Tensor {
    refuseSample('MaxPool1d', x, 1)
    return maxPool1d(x, this.kernelSize, this.options)
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof MaxPool1d = MaxPool1d): MaxPool1d {
    const { kernelSize, ...options } = config
    return new Type(kernelSize as Spatial, options)
  }
}

/** The largest of each window of x [m, C, H, W]: `maxPool2d`. Errors: ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE. */
export class MaxPool2d extends Pool<MaxPoolOptions> {
  constructor(kernelSize: Spatial, options: MaxPoolOptions = {}) {
    super('MaxPool2d', 2, maxKnown, kernelSize, options)
  }

  override forward(x: Tensor): Tensor {
    refuseSample('MaxPool2d', x, 2)
    return maxPool2d(x, this.kernelSize, this.options)
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof MaxPool2d = MaxPool2d): MaxPool2d {
    const { kernelSize, ...options } = config
    return new Type(kernelSize as Spatial, options)
  }
}

/** The mean of each window of x [m, C, L]: `avgPool1d`. Errors: ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE. */
export class AvgPool1d extends Pool<AvgPoolOptions> {
  constructor(kernelSize: Spatial, options: AvgPoolOptions = {}) {
    super('AvgPool1d', 1, avgKnown, kernelSize, options)
  }

  override forward(x: Tensor): Tensor {
    refuseSample('AvgPool1d', x, 1)
    return avgPool1d(x, this.kernelSize, this.options)
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof AvgPool1d = AvgPool1d): AvgPool1d {
    const { kernelSize, ...options } = config
    return new Type(kernelSize as Spatial, options)
  }
}

/** The mean of each window of x [m, C, H, W]: `avgPool2d`. Errors: ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE. */
export class AvgPool2d extends Pool<AvgPoolOptions> {
  constructor(kernelSize: Spatial, options: AvgPoolOptions = {}) {
    super('AvgPool2d', 2, avgKnown, kernelSize, options)
  }

  override forward(x: Tensor): Tensor {
    refuseSample('AvgPool2d', x, 2)
    return avgPool2d(x, this.kernelSize, this.options)
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof AvgPool2d = AvgPool2d): AvgPool2d {
    const { kernelSize, ...options } = config
    return new Type(kernelSize as Spatial, options)
  }
}

/** Means of `size` parts of x [m, C, L], as even as can be. Errors: ERR_RANGE; in `forward` ERR_SHAPE. */
export class AdaptiveAvgPool1d extends Module {
  constructor(readonly size: number) {
    super()
    spatialOption('AdaptiveAvgPool1d', 'size', size, 1, 1)
  }

  override config(): Record<string, unknown> {
    return { size: this.size }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof AdaptiveAvgPool1d = AdaptiveAvgPool1d): AdaptiveAvgPool1d {
    checkOptions('AdaptiveAvgPool1d', config, ['size'])
    return new Type(config.size as number)
  }

  override forward(x: Tensor): Tensor {
    refuseSample('AdaptiveAvgPool1d', x, 1)
    return adaptiveAvgPool1d(x, this.size)
  }

  override describe(): string {
    return `AdaptiveAvgPool1d ${[this.size].flat().join(' × ')}`
  }
}

/** Means of size × size (or [rows, columns]) parts of x [m, C, H, W], as even as can be. Errors: ERR_RANGE; in `forward` ERR_SHAPE. */
export class AdaptiveAvgPool2d extends Module {
  constructor(readonly size: Spatial) {
    super()
    spatialOption('AdaptiveAvgPool2d', 'size', size, 2, 1)
  }

  override config(): Record<string, unknown> {
    return { size: this.size }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof AdaptiveAvgPool2d = AdaptiveAvgPool2d): AdaptiveAvgPool2d {
    checkOptions('AdaptiveAvgPool2d', config, ['size'])
    return new Type(config.size as Spatial)
  }

  override forward(x: Tensor): Tensor {
    refuseSample('AdaptiveAvgPool2d', x, 2)
    return adaptiveAvgPool2d(x, this.size)
  }

  override describe(): string {
    return `AdaptiveAvgPool2d ${[this.size].flat().join(' × ')}`
  }
}

/** The mean of each channel: [m, C, H, W] → [m, C], one sample [C, H, W] → [C]. Errors (forward): ERR_SHAPE. */
export class GlobalAvgPool2d extends Module {
  override forward(x: Tensor): Tensor {
    refuseSample('GlobalAvgPool2d', x, 2)
    if (x.rank !== 3 && x.rank !== 4)
      throw new WengertError('ERR_SHAPE', `GlobalAvgPool2d: expected x of shape [m, C, H, W], got ${formatShape(x.shape)}`, {
        actual: x.shape,
      })
    return mean(x, [-2, -1])
  }
}

/**
 * Images [m, C, H, W] or signals [m, C, L] on a finer or coarser grid: `upsample`. Three axes are a batch of signals: one image is
 * [1, C, H, W] where no other layer, and no training, says that there are images. Errors: ERR_RANGE, ERR_OPTION; in `forward`
 * ERR_SHAPE.
 */
export class Upsample extends Module {
  constructor(readonly options: UpsampleOptions) {
    super()
    checkOptions('Upsample', options, ['size', 'scale', 'mode', 'alignCorners'])
    if ((options?.size === undefined) === (options?.scale === undefined))
      throw new WengertError('ERR_OPTION', `Upsample: give either size or scale, not ${options?.size === undefined ? 'neither' : 'both'}`)
  }

  override config(): Record<string, unknown> {
    return { ...this.options }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof Upsample = Upsample): Upsample {
    return new Type(config as UpsampleOptions)
  }

  override forward(x: Tensor): Tensor {
    return upsample(x, this.options)
  }
}

/** Zeros around images [m, C, H, W]. */
export class ZeroPad2d extends Module {
  /** @param padding on all four sides, or [left, right, top, bottom]. Errors: ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE */
  constructor(readonly padding: number | readonly number[]) {
    super()
    spatialOption('ZeroPad2d', 'padding', padding, 4, 0)
  }

  override config(): Record<string, unknown> {
    return { padding: this.padding }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof ZeroPad2d = ZeroPad2d): ZeroPad2d {
    checkOptions('ZeroPad2d', config, ['padding'])
    return new Type(config.padding as number[])
  }

  override forward(x: Tensor): Tensor {
    refuseSample('ZeroPad2d', x, 2)
    if (x.rank !== 3 && x.rank !== 4)
      throw new WengertError('ERR_SHAPE', `ZeroPad2d: expected x of shape [m, C, H, W], got ${formatShape(x.shape)}`, { actual: x.shape })
    const [left, right, top, bottom] = spatialOption('ZeroPad2d', 'padding', this.padding, 4, 0) as [number, number, number, number]
    const still = x.shape.slice(0, -2).map(() => [0, 0] as const)
    return pad(x, [...still, [top, bottom], [left, right]])
  }
}
