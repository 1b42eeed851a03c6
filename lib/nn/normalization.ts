/** Normalisation of each sample by itself: values brought to mean 0 and variance 1 over its features, or over groups of its channels. */

import { WengertError } from '../errors.js'
import { broadcastTo } from '../primitives/broadcast.js'
import { add, mul, rsqrt, square, sub } from '../primitives/elementwise.js'
import { expandDims, reshape } from '../primitives/movement.js'
import { mean } from '../primitives/reduce.js'
import { ones, zeros } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import type { FloatDtype } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape, type Shape, sameShape } from '../util/shape.js'
import { Module } from './module.js'
import { Parameter } from './parameter.js'
import type { StepMemory } from './step-memory.js'

/** Of `LayerNorm` and `GroupNorm`. */
export interface LayerNormOptions {
  /** Added to the variance; > 0; 1e−5 by default. */
  eps?: number | undefined
  /** Whether a weight (1 at first) and a bias (0 at first) are learned; true by default. */
  affine?: boolean | undefined
  dtype?: FloatDtype | undefined
}

/** What all normalisations are told. Errors: ERR_OPTION, ERR_RANGE. */
export function checkNorm(
  where: string,
  options: LayerNormOptions,
  affineByDefault = true,
): { eps: number; affine: boolean; dtype: FloatDtype } {
  const { affine = affineByDefault } = options
  if (typeof affine !== 'boolean')
    throw new WengertError('ERR_OPTION', `${where}: expected affine to be true or false, got ${describe(affine)}`, { actual: affine })
  return {
    eps: checkNumber(where, 'eps', options.eps ?? 1e-5, { min: 0, exclusive: true }),
    affine,
    dtype: checkChoice(where, 'dtype', options.dtype ?? 'float32', ['float32', 'float64'] as const),
  }
}

/** The lengths of the axes that are normalised. Errors: ERR_VALUE, ERR_RANGE. */
function lengthsOf(where: string, shape: number | readonly number[]): Shape {
  const list = typeof shape === 'number' ? [shape] : shape
  if (!Array.isArray(list) || list.length === 0)
    throw new WengertError('ERR_VALUE', `${where}: expected a length or a list of lengths, got ${describe(shape)}`, { actual: shape })
  return list.map((n) => checkNumber(where, 'each length', n, { integer: true, min: 1 }))
}

/** The last axes of x, which have these lengths, as negative numbers. Errors: ERR_SHAPE. */
function lastAxes(where: string, x: Tensor, shape: Shape): number[] {
  const rank = shape.length
  if (!sameShape(x.shape.slice(-rank), shape)) {
    const expected = ['*', ...shape]
    throw new WengertError('ERR_SHAPE', `${where}: expected x of shape [${expected.join(', ')}], got ${formatShape(x.shape)}`, {
      expected,
      actual: x.shape,
    })
  }
  return shape.map((_, i) => i - rank)
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
    this.shape = lengthsOf('LayerNorm', shape)
    const { eps, affine, dtype } = checkNorm('LayerNorm', options)
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

  override stepForward(x: Tensor, memory: StepMemory): Tensor {
    return this.shape.length === 1 ? this.forward(x) : super.stepForward(x, memory)
  }

  override forward(x: Tensor): Tensor {
    const axes = lastAxes('LayerNorm', x, this.shape)
    const centred = sub(x, mean(x, axes, { keepDims: true }))
    const y = mul(centred, rsqrt(add(mean(square(centred), axes, { keepDims: true }), this.eps)))
    return this.weight && this.bias ? add(mul(y, this.weight), this.bias) : y
  }

  override describe(): string {
    return `LayerNorm ${this.shape.join(' × ')}`
  }
}

/** Of `RMSNorm`. */
export interface RMSNormOptions {
  /** Added to the mean square; > 0; the type's distance from 1 to the next number by default (1.19e−7, 2.22e−16). */
  eps?: number | undefined
  /** Whether a weight (1 at first) is learned; true by default. */
  affine?: boolean | undefined
  dtype?: FloatDtype | undefined
}

/**
 * y = γ x/√(mean x² + ε), the mean being that of each sample over its last axes.
 *
 * @param shape the length of the last axis, or the lengths of several
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE
 * @example new nn.RMSNorm(64)
 */
export class RMSNorm extends Module {
  readonly shape: Shape
  readonly eps: number
  readonly #dtype: FloatDtype
  weight: Parameter | undefined

  constructor(shape: number | readonly number[], options: RMSNormOptions = {}) {
    super()
    checkOptions('RMSNorm', options, ['eps', 'affine', 'dtype'])
    this.shape = lengthsOf('RMSNorm', shape)
    const smallest = options.dtype === 'float64' ? 2 ** -52 : 2 ** -23
    const { eps, affine, dtype } = checkNorm('RMSNorm', { ...options, eps: options.eps ?? smallest })
    this.eps = eps
    this.#dtype = dtype
    this.weight = affine ? new Parameter(ones(this.shape, { dtype })) : undefined
  }

  override config(): Record<string, unknown> {
    return { shape: this.shape, eps: this.eps, affine: this.weight !== undefined, dtype: this.#dtype }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof RMSNorm = RMSNorm): RMSNorm {
    checkOptions('RMSNorm', config, ['shape', 'eps', 'affine', 'dtype'])
    const { shape, ...options } = config
    return new Type(shape as number[], options as RMSNormOptions)
  }

  override stepForward(x: Tensor, memory: StepMemory): Tensor {
    return this.shape.length === 1 ? this.forward(x) : super.stepForward(x, memory)
  }

  override forward(x: Tensor): Tensor {
    const axes = lastAxes('RMSNorm', x, this.shape)
    const y = mul(x, rsqrt(add(mean(square(x), axes, { keepDims: true }), this.eps)))
    return this.weight ? mul(y, this.weight) : y
  }

  override describe(): string {
    return `RMSNorm ${this.shape.join(' × ')}`
  }
}

/**
 * y = γ (x − μ)/√(σ² + ε) + β, mean and (biased) variance being those of each sample over one group of its channels; γ and β
 * are one number a channel.
 *
 * @param groups into how many groups of neighbouring channels x is cut: 1 is all together, `channels` each for itself
 * @param channels of x [m, channels, …]
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE
 * @example new nn.GroupNorm(4, 16)
 */
export class GroupNorm extends Module {
  readonly groups: number
  readonly channels: number
  readonly eps: number
  readonly #dtype: FloatDtype
  weight: Parameter | undefined
  bias: Parameter | undefined

  constructor(groups: number, channels: number, options: LayerNormOptions = {}) {
    super()
    checkOptions('GroupNorm', options, ['eps', 'affine', 'dtype'])
    this.groups = checkNumber('GroupNorm', 'groups', groups, { integer: true, min: 1 })
    this.channels = checkNumber('GroupNorm', 'channels', channels, { integer: true, min: 1 })
    if (channels % groups !== 0)
      throw new WengertError('ERR_RANGE', `GroupNorm: ${groups} groups do not divide ${channels} channels`, { actual: groups })
    const { eps, affine, dtype } = checkNorm('GroupNorm', options)
    this.eps = eps
    this.#dtype = dtype
    this.weight = affine ? new Parameter(ones([channels], { dtype })) : undefined
    this.bias = affine ? new Parameter(zeros([channels], { dtype })) : undefined
  }

  override config(): Record<string, unknown> {
    const { groups, channels, eps } = this
    return { groups, channels, eps, affine: this.weight !== undefined, dtype: this.#dtype }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof GroupNorm = GroupNorm): GroupNorm {
    checkOptions('GroupNorm', config, ['groups', 'channels', 'eps', 'affine', 'dtype'])
    const { groups, channels, ...options } = config
    return new Type(groups as number, channels as number, options as LayerNormOptions)
  }

  override forward(x: Tensor): Tensor {
    const { groups, channels } = this
    if (x.rank < 2 || x.shape[1] !== channels) {
      const expected = ['m', channels, '…']
      throw new WengertError('ERR_SHAPE', `GroupNorm: expected x of shape [m, ${channels}, …], got ${formatShape(x.shape)}`, {
        expected,
        actual: x.shape,
      })
    }
    const m = x.shape[0] as number
    const spatial = x.shape.map((_, axis) => axis).slice(2)
    const along = (v: Tensor) => reshape(v, [...v.shape, ...spatial.map(() => 1)])
    // First over each channel's own cells, so that x keeps its axes and a program may hold it channels last.
    const ofGroups = (v: Tensor) => mean(reshape(spatial.length > 0 ? mean(v, spatial) : v, [m, groups, channels / groups]), 2)
    const ofChannels = (v: Tensor) => along(reshape(broadcastTo(expandDims(v, 2), [m, groups, channels / groups]), [m, channels]))
    const centred = sub(x, ofChannels(ofGroups(x)))
    const y = mul(centred, ofChannels(rsqrt(add(ofGroups(square(centred)), this.eps))))
    return this.weight && this.bias ? add(mul(y, along(this.weight)), along(this.bias)) : y
  }

  override describe(): string {
    return `GroupNorm ${this.channels} in ${this.groups}`
  }
}
