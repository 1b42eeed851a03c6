/** Normalisation: values brought to mean 0 and variance 1, over a sample's features or over a batch. */

import { WengertError } from '../errors.js'
import { add, mul, rsqrt, square, sub } from '../primitives/elementwise.js'
import { reshape, stopGradient } from '../primitives/movement.js'
import { mean } from '../primitives/reduce.js'
import { ones, zeros } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import type { FloatDtype } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape, type Shape, sameShape } from '../util/shape.js'
import { Buffer } from './buffer.js'
import { Module } from './module.js'
import { Parameter } from './parameter.js'

/** Of `LayerNorm`. */
export interface LayerNormOptions {
  /** Added to the variance; > 0; 1e−5 by default. */
  eps?: number | undefined
  /** Whether a weight (1 at first) and a bias (0 at first) are learned; true by default. */
  affine?: boolean | undefined
  dtype?: FloatDtype | undefined
}

function checkCommon(where: string, options: LayerNormOptions): { eps: number; affine: boolean; dtype: FloatDtype } {
  const { affine = true } = options
  if (typeof affine !== 'boolean')
    throw new WengertError('ERR_OPTION', `${where}: expected affine to be true or false, got ${describe(affine)}`, { actual: affine })
  return {
    eps: checkNumber(where, 'eps', options.eps ?? 1e-5, { min: 0, exclusive: true }),
    affine,
    dtype: checkChoice(where, 'dtype', options.dtype ?? 'float32', ['float32', 'float64'] as const),
  }
}

/**
 * y = γ (x − μ)/√(σ² + ε) + β, mean and (biased) variance being those of each sample over its last axes.
 *
 * @param shape the length of the last axis, or the lengths of several
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE
 * @example new nn.LayerNorm(64)
 */
export class LayerNorm extends Module {
  readonly shape: Shape
  readonly eps: number
  readonly #dtype: FloatDtype
  weight: Parameter | undefined
  bias: Parameter | undefined

  constructor(shape: number | readonly number[], options: LayerNormOptions = {}) {
    super()
    checkOptions('LayerNorm', options, ['eps', 'affine', 'dtype'])
    const list = typeof shape === 'number' ? [shape] : shape
    if (!Array.isArray(list) || list.length === 0)
      throw new WengertError('ERR_VALUE', `LayerNorm: expected a length or a list of lengths, got ${describe(shape)}`, { actual: shape })
    this.shape = list.map((n) => checkNumber('LayerNorm', 'each length', n, { integer: true, min: 1 }))
    const { eps, affine, dtype } = checkCommon('LayerNorm', options)
    this.eps = eps
    this.#dtype = dtype
    this.weight = affine ? new Parameter(ones(this.shape, { dtype })) : undefined
    this.bias = affine ? new Parameter(zeros(this.shape, { dtype })) : undefined
  }

  override config(): Record<string, unknown> {
    return { shape: this.shape, eps: this.eps, affine: this.weight !== undefined, dtype: this.#dtype }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof LayerNorm = LayerNorm): LayerNorm {
    checkOptions('LayerNorm', config, ['shape', 'eps', 'affine', 'dtype'])
    const { shape, ...options } = config
    return new Type(shape as number[], options as LayerNormOptions)
  }

  override forward(x: Tensor): Tensor {
    const rank = this.shape.length
    if (!sameShape(x.shape.slice(-rank), this.shape)) {
      const expected = ['*', ...this.shape]
      throw new WengertError('ERR_SHAPE', `LayerNorm: expected x of shape [${expected.join(', ')}], got ${formatShape(x.shape)}`, {
        expected,
        actual: x.shape,
      })
    }
    const axes = this.shape.map((_, i) => i - rank)
    const centred = sub(x, mean(x, axes, { keepDims: true }))
    const y = mul(centred, rsqrt(add(mean(square(centred), axes, { keepDims: true }), this.eps)))
    return this.weight && this.bias ? add(mul(y, this.weight), this.bias) : y
  }

  override describe(): string {
    return `LayerNorm ${this.shape.join(' × ')}`
  }
}

/** Of `BatchNorm1d`. */
export interface BatchNormOptions extends LayerNormOptions {
  /** The share of a batch's statistics in the running ones, per update; in (0, 1]; 0.1 by default. */
  momentum?: number | undefined
}

/**
 * y = γ (x − μ)/√(σ² + ε) + β for each feature. In training μ and σ² (biased) are the batch's, and the buffers
 * `runningMean` and `runningVariance` move towards them (the variance unbiased) by `momentum`; in use the buffers stand in their place.
 *
 * @param features columns of x [m, features], or channels of x [m, features, length]
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE, in training also for a batch with one value a feature
 * @example new nn.BatchNorm1d(64)
 */
export class BatchNorm1d extends Module {
  readonly features: number
  readonly eps: number
  readonly momentum: number
  weight: Parameter | undefined
  bias: Parameter | undefined
  runningMean: Buffer
  runningVariance: Buffer

  constructor(features: number, options: BatchNormOptions = {}) {
    super()
    checkOptions('BatchNorm1d', options, ['eps', 'momentum', 'affine', 'dtype'])
    this.features = checkNumber('BatchNorm1d', 'features', features, { integer: true, min: 1 })
    const { eps, affine, dtype } = checkCommon('BatchNorm1d', options)
    this.eps = eps
    this.momentum = checkNumber('BatchNorm1d', 'momentum', options.momentum ?? 0.1, { min: 0, max: 1 })
    this.weight = affine ? new Parameter(ones([features], { dtype })) : undefined
    this.bias = affine ? new Parameter(zeros([features], { dtype })) : undefined
    this.runningMean = new Buffer(zeros([features], { dtype }))
    this.runningVariance = new Buffer(ones([features], { dtype }))
  }

  override config(): Record<string, unknown> {
    const { features, eps, momentum } = this
    return { features, eps, momentum, affine: this.weight !== undefined, dtype: this.runningMean.dtype }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof BatchNorm1d = BatchNorm1d): BatchNorm1d {
    checkOptions('BatchNorm1d', config, ['features', 'eps', 'momentum', 'affine', 'dtype'])
    const { features, ...options } = config
    return new Type(features as number, options as BatchNormOptions)
  }

  override forward(x: Tensor): Tensor {
    const { features, momentum } = this
    if ((x.rank !== 2 && x.rank !== 3) || x.shape[1] !== features) {
      throw new WengertError(
        'ERR_SHAPE',
        `BatchNorm1d: expected x of shape [m, ${features}] or [m, ${features}, n], got ${formatShape(x.shape)}`,
        {
          expected: ['m', features],
          actual: x.shape,
        },
      )
    }
    // One number a feature, along x's second axis.
    const along = (v: Tensor) => (x.rank === 2 ? v : reshape(v, [features, 1]))
    const scaled = (centred: Tensor, variance: Tensor) => {
      const y = mul(centred, along(rsqrt(add(variance, this.eps))))
      return this.weight && this.bias ? add(mul(y, along(this.weight)), along(this.bias)) : y
    }
    if (!this.training) return scaled(sub(x, along(this.runningMean)), this.runningVariance)
    // Met before anything is checked: running statistics that no model lists are the greater fault.
    this.runningMean.resolve()
    const n = x.size / features
    if (n < 2) {
      throw new WengertError(
        'ERR_SHAPE',
        `BatchNorm1d: expected more than one value a feature in training, got x of shape ${formatShape(x.shape)}; use larger batches, or dropLast`,
        { actual: x.shape },
      )
    }
    const axes = x.rank === 2 ? [0] : [0, 2]
    const average = mean(x, axes)
    const centred = sub(x, along(average))
    const variance = mean(square(centred), axes)
    const moved = (running: Tensor, batch: Tensor, correction: number) =>
      add(mul(running, 1 - momentum), mul(stopGradient(batch), momentum * correction))
    this.runningMean.assign(moved(this.runningMean, average, 1))
    this.runningVariance.assign(moved(this.runningVariance, variance, n / (n - 1)))
    return scaled(centred, variance)
  }

  override describe(): string {
    return `BatchNorm1d ${this.features}`
  }
}
