/** Normalisation by statistics that a batch or an image has, and by running ones in use: batch and instance normalisation. */

import { WengertError } from '../errors.js'
import { allReduce, allReduceAll } from '../primitives/collective.js'
import { add, div, mul, rsqrt, square, sub } from '../primitives/elementwise.js'
import { reshape, stopGradient, transpose } from '../primitives/movement.js'
import { mean, sum } from '../primitives/reduce.js'
import { full, ones, zeros } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import type { FloatDtype } from '../util/dtype.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import { Buffer } from './buffer.js'
import { Module } from './module.js'
import { checkNorm, type LayerNormOptions } from './normalization.js'
import { Parameter } from './parameter.js'
import { batchPart } from './ranks.js'

/** Of `BatchNorm1d`, `BatchNorm2d` and `InstanceNorm2d`. */
export interface BatchNormOptions extends LayerNormOptions {
  /** The share of an update's statistics in the running ones; in [0, 1]; 0.1 by default. */
  momentum?: number | undefined
  /** Whether running statistics are kept and stand in for the input's own in use; true by default, false for `InstanceNorm2d`. */
  trackRunningStats?: boolean | undefined
  /**
   * Where several processes train together: whether the statistics are those of the whole batch, at the cost of two small
   * collectives a layer forward and back, or each process's part has its own, and the running ones are their average; false by default.
   */
  sync?: boolean | undefined
}

const known = ['eps', 'momentum', 'affine', 'trackRunningStats', 'sync', 'dtype']

/** What the layers share: they differ in the ranks that they take, and in which axes statistics are taken over. */
abstract class RunningNorm extends Module {
  readonly features: number
  readonly eps: number
  readonly momentum: number
  readonly sync: boolean
  weight: Parameter | undefined
  bias: Parameter | undefined
  runningMean: Buffer | undefined
  runningVariance: Buffer | undefined
  readonly #dtype: 'float32' | 'float64'

  constructor(
    readonly kind: string,
    features: number,
    options: BatchNormOptions,
    /** Of `affine` and `trackRunningStats`. */
    byDefault: boolean,
  ) {
    super()
    checkOptions(kind, options, known)
    this.features = checkNumber(kind, 'features', features, { integer: true, min: 1 })
    const { eps, affine, dtype } = checkNorm(kind, options, byDefault)
    const { trackRunningStats = byDefault, sync = false } = options
    for (const [name, flag] of Object.entries({ trackRunningStats, sync })) {
      if (typeof flag === 'boolean') continue
      throw new WengertError('ERR_OPTION', `${kind}: ${name} is true or false, not ${describe(flag)}`, { actual: flag })
    }
    this.sync = sync
    this.eps = eps
    this.momentum = checkNumber(kind, 'momentum', options.momentum ?? 0.1, { min: 0, max: 1 })
    this.#dtype = dtype
    this.weight = affine ? new Parameter(ones([features], { dtype })) : undefined
    this.bias = affine ? new Parameter(zeros([features], { dtype })) : undefined
    this.runningMean = trackRunningStats ? new Buffer(zeros([features], { dtype })) : undefined
    this.runningVariance = trackRunningStats ? new Buffer(ones([features], { dtype })) : undefined
  }

  override config(): Record<string, unknown> {
    const { features, eps, momentum } = this
    return {
      features,
      eps,
      momentum,
      affine: this.weight !== undefined,
      trackRunningStats: this.runningMean !== undefined,
      ...(this.sync && { sync: true }),
      dtype: this.#dtype,
    }
  }

  override describe(): string {
    return `${this.kind} ${this.features}`
  }

  /**
   * x [m, C, …] normalised, one number of weight and bias for each of its channels (axis 1).
   *
   * @param given x; @param together whether all samples of a batch share their statistics, or each has its own
   */
  protected normalized(given: Tensor, together: boolean): Tensor {
    const { features, momentum, runningMean, runningVariance } = this
    const spatial = given.shape.map((_, axis) => axis).slice(2)
    // Channels last, as convolutions work in a program: these transposes and theirs cancel, and sums are over neighbouring axes.
    const x = transpose(given, [0, ...spatial, 1])
    const back = (y: Tensor) => transpose(y, [0, x.rank - 1, ...spatial.map((axis) => axis - 1)])
    // One number a channel, [C] or [m, C], along x.
    const along = (v: Tensor) => (v.rank === 1 ? v : reshape(v, [v.shape[0] as number, ...spatial.map(() => 1), features]))
    const scaled = (centred: Tensor, variance: Tensor) => {
      const y = mul(centred, along(rsqrt(add(variance, this.eps))))
      return back(this.weight && this.bias ? add(mul(y, this.weight), this.bias) : y)
    }
    if (!this.training && runningMean && runningVariance) return scaled(sub(x, runningMean), runningVariance)
    // Met before anything is checked: running statistics that no model lists are the greater fault.
    if (this.training) runningMean?.resolve()
    const n = x.size / features / (together ? 1 : (x.shape[0] as number))
    const part = together && this.sync && this.training ? batchPart() : undefined
    if (part ? n * part.ranks.size < 2 : n < 2) {
      const remedy = together ? 'use larger batches, or dropLast' : 'images need more than one pixel'
      throw new WengertError(
        'ERR_SHAPE',
        `${this.kind}: expected more than one value a feature${this.training ? ' in training' : ''}, got x of shape ${formatShape(given.shape)}; ${remedy}`,
        { actual: given.shape },
      )
    }
    const axes = [...(together ? [0] : []), ...spatial.map((axis) => axis - 1)]
    // The sums of all processes' parts, and how many values they are of.
    const summed = (values: Tensor): Tensor => {
      const own = sum(values, axes)
      return part?.live === false ? mul(own, 0) : own
    }
    const count = part && full([], part.live ? n : 0, { dtype: given.dtype as FloatDtype })
    const [total, all] = (count ? allReduceAll([summed(x), count]) : []) as [Tensor, Tensor] | []
    const average = total && all ? div(total, all) : mean(x, axes)
    const centred = sub(x, along(average))
    const variance = all ? div(allReduce(summed(square(centred))), all) : mean(square(centred), axes)
    if (this.training && runningMean && runningVariance) {
      const moved = (running: Tensor, own: Tensor, correction: Tensor | number) => {
        const batch = together ? own : mean(own, 0)
        return add(
          mul(running, 1 - momentum),
          mul(stopGradient(batch), typeof correction === 'number' ? momentum * correction : mul(correction, momentum)),
        )
      }
      runningMean.assign(moved(runningMean, average, 1))
      runningVariance.assign(moved(runningVariance, variance, all ? div(all, sub(all, 1)) : n / (n - 1)))
    }
    return scaled(centred, variance)
  }

  /** Errors: ERR_SHAPE. */
  protected check(x: Tensor, forms: Record<number, string>): void {
    if (forms[x.rank] !== undefined && x.shape[1] === this.features) return
    throw new WengertError(
      'ERR_SHAPE',
      `${this.kind}: expected x of shape ${Object.values(forms).join(' or ')}, got ${formatShape(x.shape)}`,
      { expected: ['m', this.features], actual: x.shape },
    )
  }
}

function rebuilt<T>(kind: string, config: Record<string, unknown>, Type: new (features: number, options: BatchNormOptions) => T): T {
  checkOptions(kind, config, ['features', ...known])
  const { features, ...options } = config
  return new Type(features as number, options as BatchNormOptions)
}

/**
 * y = γ (x − μ)/√(σ² + ε) + β for each feature. In training μ and σ² (biased) are the batch's, and the buffers
 * `runningMean` and `runningVariance` move towards them (the variance unbiased) by `momentum`; in use the buffers stand in their place.
 *
 * @param features columns of x [m, features], or channels of x [m, features, length]
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE, in training also for a batch with one value a feature
 * @example new nn.BatchNorm1d(64)
 */
export class BatchNorm1d extends RunningNorm {
  constructor(features: number, options: BatchNormOptions = {}) {
    super('BatchNorm1d', features, options, true)
  }

  override forward(x: Tensor): Tensor {
    this.check(x, { 2: `[m, ${this.features}]`, 3: `[m, ${this.features}, n]` })
    return this.normalized(x, true)
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof BatchNorm1d = BatchNorm1d): BatchNorm1d {
    return rebuilt('BatchNorm1d', config, Type)
  }
}

/**
 * `BatchNorm1d` for images: μ and σ² of each channel over the samples, rows and columns of x [m, features, H, W].
 *
 * @param features channels of x
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE, in training also for a batch with one value a channel
 * @example new nn.Sequential(new nn.Conv2d(3, 16, 3, { bias: false }), new nn.BatchNorm2d(16), new nn.ReLU())
 */
export class BatchNorm2d extends RunningNorm {
  constructor(features: number, options: BatchNormOptions = {}) {
    super('BatchNorm2d', features, options, true)
  }

  override forward(x: Tensor): Tensor {
    this.check(x, { 4: `[m, ${this.features}, H, W]` })
    return this.normalized(x, true)
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof BatchNorm2d = BatchNorm2d): BatchNorm2d {
    return rebuilt('BatchNorm2d', config, Type)
  }
}

/**
 * y = (x − μ)/√(σ² + ε) for each channel of each image of x [m, features, H, W], the statistics being its own, in training and
 * in use. With `affine` a weight and a bias for each channel follow; with `trackRunningStats` the means over a batch of the
 * statistics are kept, and stand in their place in use.
 *
 * @param features channels of x
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE
 * @example new nn.InstanceNorm2d(16)
 */
export class InstanceNorm2d extends RunningNorm {
  constructor(features: number, options: BatchNormOptions = {}) {
    super('InstanceNorm2d', features, options, false)
  }

  override forward(x: Tensor): Tensor {
    this.check(x, { 4: `[m, ${this.features}, H, W]` })
    return this.normalized(x, false)
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof InstanceNorm2d = InstanceNorm2d): InstanceNorm2d {
    return rebuilt('InstanceNorm2d', config, Type)
  }
}
