/** Convolutional layers, with PyTorch's shapes, defaults and initial values. */

import { WengertError } from '../errors.js'
import { expandDims, reshape } from '../primitives/movement.js'
import { concat, pad, slice } from '../primitives/parts.js'
import { type ConvOptions, type ConvTransposeOptions, conv1d, conv2d, convTranspose1d, convTranspose2d } from '../primitives/spatial.js'
import { type Spatial, spatialOption } from '../primitives/spatial-axes.js'
import { zeros } from '../tensor/creation.js'
import { nextSeed, Random } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import type { FloatDtype } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import { refuseSample } from './batches.js'
import { Module } from './module.js'
import { Parameter } from './parameter.js'
import type { StepMemory } from './step-memory.js'

/** Of every convolutional layer. */
interface LayerOptions {
  /** Whether there is a bias; true by default. */
  bias?: boolean
  /** Where the draws come from; the default generator otherwise. */
  rng?: Random
  dtype?: FloatDtype
}

/** Of `Conv1d` and `Conv2d`. */
export interface ConvLayerOptions extends Omit<ConvOptions, 'bias'>, LayerOptions {}

/** Of `ConvTranspose1d` and `ConvTranspose2d`. */
export interface ConvTransposeLayerOptions extends Omit<ConvTransposeOptions, 'bias'>, LayerOptions {}

type Function = (x: Tensor, weight: Tensor, options: Record<string, unknown>) => Tensor

/** What the four layers share: they differ in the function, its options, and the shape of the weight. */
abstract class Convolution extends Module {
  readonly inChannels: number
  readonly outChannels: number
  readonly kernelSize: readonly number[]
  readonly stride: Spatial
  readonly padding: Spatial | 'same' | 'valid'
  readonly dilation: Spatial
  readonly groups: number
  weight: Parameter
  bias: Parameter | undefined

  constructor(
    readonly kind: string,
    rank: number,
    transposed: boolean,
    inChannels: number,
    outChannels: number,
    kernelSize: Spatial,
    options: ConvLayerOptions & ConvTransposeLayerOptions,
  ) {
    super()
    const own = transposed ? ['outputPadding'] : []
    checkOptions(kind, options, ['stride', 'padding', 'dilation', 'groups', 'bias', 'rng', 'dtype', ...own])
    this.inChannels = checkNumber(kind, 'inChannels', inChannels, { integer: true, min: 1 })
    this.outChannels = checkNumber(kind, 'outChannels', outChannels, { integer: true, min: 1 })
    this.kernelSize = spatialOption(kind, 'kernelSize', kernelSize, rank, 1)
    const { rng = new Random(nextSeed()), bias = true, groups = 1, stride = 1, padding = 0, dilation = 1 } = options
    this.groups = checkNumber(kind, 'groups', groups, { integer: true, min: 1 })
    for (const [name, channels] of [
      ['inChannels', inChannels],
      ['outChannels', outChannels],
    ] as const) {
      if (channels % groups !== 0)
        throw new WengertError('ERR_RANGE', `${kind}: ${groups} groups do not divide ${name} (${channels})`, { actual: groups })
    }
    spatialOption(kind, 'stride', stride, rank, 1)
    spatialOption(kind, 'dilation', dilation, rank, 1)
    if (typeof padding !== 'string' || transposed) spatialOption(kind, 'padding', padding, rank, 0)
    else {
      checkChoice(kind, 'padding', padding, ['same', 'valid'] as const)
      if (padding === 'same' && [stride].flat().some((s) => s !== 1))
        throw new WengertError('ERR_OPTION', `${kind}: padding 'same' needs a stride of 1, not ${[stride].flat().join(' × ')}`, {
          actual: stride,
        })
    }
    this.stride = stride
    this.padding = padding
    this.dilation = dilation
    const dtype = checkChoice(kind, 'dtype', options.dtype ?? 'float32', ['float32', 'float64'] as const)
    if (!(rng instanceof Random)) throw new WengertError('ERR_OPTION', `${kind}: rng is a Random, not ${describe(rng)}`, { actual: rng })
    if (typeof bias !== 'boolean')
      throw new WengertError('ERR_OPTION', `${kind}: bias is true or false, not ${describe(bias)}`, { actual: bias })
    const [rows, columns] = transposed ? [inChannels, outChannels / groups] : [outChannels, inChannels / groups]
    const bound = 1 / Math.sqrt(columns * this.kernelSize.reduce((a, b) => a * b, 1))
    this.weight = new Parameter(rng.uniform([rows, columns, ...this.kernelSize], -bound, bound, { dtype }))
    this.bias = bias ? new Parameter(rng.uniform([outChannels], -bound, bound, { dtype })) : undefined
  }

  protected get options(): Record<string, unknown> {
    const { stride, padding, dilation, groups } = this
    return { stride, padding, dilation, groups }
  }

  protected convolve(f: unknown, x: Tensor): Tensor {
    refuseSample(this.kind, x, this.kernelSize.length)
    return (f as Function)(x, this.weight, { ...this.options, bias: this.bias })
  }

  override config(): Record<string, unknown> {
    const { inChannels, outChannels, kernelSize, bias, weight } = this
    return { inChannels, outChannels, kernelSize, ...this.options, bias: bias !== undefined, dtype: weight.dtype }
  }

  override describe(): string {
    const { kind, inChannels, outChannels, kernelSize, groups, bias } = this
    return `${kind} ${inChannels} → ${outChannels}, ${kernelSize.join(' × ')}${groups > 1 ? `, ${groups} groups` : ''}${bias ? '' : ', no bias'}`
  }
}

/** From what `config` gave; the weights draw nothing from the default generator. */
function rebuilt<T>(config: Record<string, unknown>, Type: new (i: number, o: number, k: Spatial, options: object) => T): T {
  const { inChannels, outChannels, kernelSize, ...options } = config
  return new Type(inChannels as number, outChannels as number, kernelSize as Spatial, { ...options, rng: new Random(0) })
}

/**
 * `conv1d` with a weight [outChannels, inChannels/groups, kernelSize] and a bias, both U(±1/√(inChannels/groups · kernelSize)) at first.
 *
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE
 * @example new nn.Conv1d(4, 32, 9, { padding: 4 })
 */
export class Conv1d extends Convolution {
  constructor(inChannels: number, outChannels: number, kernelSize: Spatial, options: ConvLayerOptions = {}) {
    super('Conv1d', 1, false, inChannels, outChannels, kernelSize, options as never)
  }

  override forward(x: Tensor): Tensor {
    return this.convolve(conv1d, x)
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof Conv1d = Conv1d): Conv1d {
    return rebuilt(config, Type)
  }
}

/**
 * `conv2d` with a weight [outChannels, inChannels/groups, KH, KW] and a bias, both U(±1/√(inChannels/groups · KH · KW)) at first.
 *
 * @param kernelSize rows and columns of a window, or one number for both
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE
 * @example new nn.Conv2d(1, 8, 3, { padding: 'same' })
 */
export class Conv2d extends Convolution {
  constructor(inChannels: number, outChannels: number, kernelSize: Spatial, options: ConvLayerOptions = {}) {
    super('Conv2d', 2, false, inChannels, outChannels, kernelSize, options as never)
  }

  override forward(x: Tensor): Tensor {
    return this.convolve(conv2d, x)
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof Conv2d = Conv2d): Conv2d {
    return rebuilt(config, Type)
  }
}

/** Of `CausalConv1d`. */
export interface CausalConvOptions extends LayerOptions {
  /** Distance between the elements of a window; 1 by default. */
  dilation?: number
  groups?: number
}

/**
 * `conv1d` in which no step sees a later one: (kernelSize − 1) · dilation zeros stand before the first, and the length stays. The
 * weight is `Conv1d`'s.
 *
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE
 * @example new nn.CausalConv1d(4, 32, 3, { dilation: 2 })   // x [m, 4, L] → [m, 32, L]
 */
export class CausalConv1d extends Convolution {
  constructor(inChannels: number, outChannels: number, kernelSize: number, options: CausalConvOptions = {}) {
    checkOptions('CausalConv1d', options, ['dilation', 'groups', 'bias', 'rng', 'dtype'])
    super('CausalConv1d', 1, false, inChannels, outChannels, kernelSize, options as never)
  }

  override forward(x: Tensor): Tensor {
    const [size, dilation] = [this.kernelSize[0] as number, [this.dilation].flat()[0] as number]
    const before = [(size - 1) * dilation, 0] as const
    return this.convolve(conv1d, x.rank === 0 ? x : pad(x, [...x.shape.slice(1).map(() => [0, 0] as const), before]))
  }

  /** x [m, inChannels]: a window of the steps before is kept. */
  override stepForward(x: Tensor, memory: StepMemory): Tensor {
    const { inChannels, outChannels, kernelSize, dilation, weight } = this
    const m = memory.streams
    if (x.rank !== 2 || x.shape[1] !== inChannels)
      throw new WengertError('ERR_SHAPE', `CausalConv1d: expected a step of shape [${inChannels}], got ${formatShape(x.shape.slice(1))}`, {
        expected: [inChannels],
        actual: x.shape.slice(1),
      })
    const before = ((kernelSize[0] as number) - 1) * ([dilation].flat()[0] as number)
    const step = expandDims(x, 2)
    const zero = zeros([m, inChannels, before + 1], { dtype: weight.dtype })
    const [window] = memory.carry([zero], ([rows]) => [concat([slice(rows as Tensor, null, null, [1, null]), step], 2)]) as [Tensor]
    return reshape(this.convolve(conv1d, window), [m, outChannels])
  }

  override config(): Record<string, unknown> {
    const { inChannels, outChannels, kernelSize, dilation, groups, bias, weight } = this
    return { inChannels, outChannels, kernelSize: kernelSize[0], dilation, groups, bias: bias !== undefined, dtype: weight.dtype }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof CausalConv1d = CausalConv1d): CausalConv1d {
    return rebuilt(config, Type as never)
  }
}

/** A transposed convolution: the options that `Conv1d` has, and `outputPadding`. */
abstract class Transposed extends Convolution {
  readonly outputPadding: Spatial

  constructor(
    kind: string,
    rank: number,
    inChannels: number,
    outChannels: number,
    kernelSize: Spatial,
    options: ConvTransposeLayerOptions,
  ) {
    super(kind, rank, true, inChannels, outChannels, kernelSize, options)
    const extra = options.outputPadding ?? 0
    const each = (value: Spatial) => spatialOption(kind, 'outputPadding', value, rank, 0)
    each(extra).forEach((e, i) => {
      const most = Math.max(each(this.stride)[i] as number, each(this.dilation)[i] as number)
      if (e >= most)
        throw new WengertError('ERR_RANGE', `${kind}: outputPadding is less than stride or dilation (${most}), not ${e}`, { actual: e })
    })
    this.outputPadding = extra
  }

  protected override get options(): Record<string, unknown> {
    return { ...super.options, outputPadding: this.outputPadding }
  }
}

/** `convTranspose1d` with a weight [inChannels, outChannels/groups, kernelSize]. Errors: ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE. */
export class ConvTranspose1d extends Transposed {
  constructor(inChannels: number, outChannels: number, kernelSize: Spatial, options: ConvTransposeLayerOptions = {}) {
    super('ConvTranspose1d', 1, inChannels, outChannels, kernelSize, options)
  }

  override forward(x: Tensor): Tensor {
    return this.convolve(convTranspose1d, x)
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof ConvTranspose1d = ConvTranspose1d): ConvTranspose1d {
    return rebuilt(config, Type)
  }
}

/** `convTranspose2d` with a weight [inChannels, outChannels/groups, KH, KW]. Errors: ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE. */
export class ConvTranspose2d extends Transposed {
  constructor(inChannels: number, outChannels: number, kernelSize: Spatial, options: ConvTransposeLayerOptions = {}) {
    super('ConvTranspose2d', 2, inChannels, outChannels, kernelSize, options)
  }

  override forward(x: Tensor): Tensor {
    return this.convolve(convTranspose2d, x)
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof ConvTranspose2d = ConvTranspose2d): ConvTranspose2d {
    return rebuilt(config, Type)
  }
}
