/** Layers: the affine map, activations, and sequences of them. */

import { WengertError } from '../errors.js'
import { mul, relu, sigmoid, tanh } from '../primitives/elementwise.js'
import { linear } from '../primitives/linalg.js'
import { withScope } from '../primitives/scope.js'
import { softmax } from '../primitives/softmax.js'
import { zeros } from '../tensor/creation.js'
import { nextSeed, Random } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import type { FloatDtype } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions, describe } from '../util/options.js'
import { type Initializer, type InitName, initialWeights } from './init.js'
import { Module } from './module.js'
import { type HandedOn, outputOf } from './output.js'
import { Parameter } from './parameter.js'
import type { StepMemory } from './step-memory.js'
import { Stepwise } from './stepwise.js'

/** Of `Linear`. */
export interface LinearOptions {
  /** Whether there is a bias; true by default. */
  bias?: boolean | undefined
  /** How weights start: a name or a function; `'fanIn'` by default (U(±1/√fanIn) for weights and bias). Others start with bias 0. */
  init?: InitName | Initializer | undefined
  /** Where the draws come from; the default generator otherwise. */
  rng?: Random | undefined
  dtype?: FloatDtype | undefined
}

/**
 * Z = X Wᵀ + b: W is [outFeatures, inFeatures], b [outFeatures], X [m, inFeatures] or one sample.
 *
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE
 * @example new nn.Linear(64, 32, { init: 'he', rng: new Random(1) })
 */
export class Linear extends Stepwise {
  readonly inFeatures: number
  readonly outFeatures: number
  weight: Parameter
  bias: Parameter | undefined

  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super()
    checkOptions('Linear', options, ['bias', 'init', 'rng', 'dtype'])
    this.inFeatures = checkNumber('Linear', 'inFeatures', inFeatures, { integer: true, min: 1 })
    this.outFeatures = checkNumber('Linear', 'outFeatures', outFeatures, { integer: true, min: 1 })
    const dtype = checkChoice('Linear', 'dtype', options.dtype ?? 'float32', ['float32', 'float64'] as const)
    const { rng = new Random(nextSeed()), init = 'fanIn', bias = true } = options
    if (!(rng instanceof Random))
      throw new WengertError('ERR_OPTION', `Linear: expected rng to be a Random, got ${describe(rng)}`, { actual: rng })
    if (typeof bias !== 'boolean')
      throw new WengertError('ERR_OPTION', `Linear: expected bias to be true or false, got ${describe(bias)}`, { actual: bias })
    this.weight = new Parameter(initialWeights('Linear', init, [outFeatures, inFeatures], rng, dtype))
    const bound = 1 / Math.sqrt(inFeatures)
    this.bias = bias
      ? new Parameter(init === 'fanIn' ? rng.uniform([outFeatures], -bound, bound, { dtype }) : zeros([outFeatures], { dtype }))
      : undefined
  }

  override forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias)
  }

  override connections(): { weight: Parameter; bias: Parameter | undefined } | undefined {
    // A subclass may compute something else.
    return this.forward === Linear.prototype.forward ? { weight: this.weight, bias: this.bias } : undefined
  }

  override config(): Record<string, unknown> {
    return { inFeatures: this.inFeatures, outFeatures: this.outFeatures, bias: this.bias !== undefined, dtype: this.weight.dtype }
  }

  /** From what `config` gave; the weights start at 0 and draw nothing from the default generator. */
  static fromConfig(config: Record<string, unknown>, Type: typeof Linear = Linear): Linear {
    checkOptions('Linear', config, ['inFeatures', 'outFeatures', 'bias', 'dtype'])
    const { inFeatures, outFeatures, ...options } = config
    return new Type(inFeatures as number, outFeatures as number, { ...(options as LinearOptions), init: 'zeros', rng: new Random(0) })
  }

  override describe(): string {
    return `Linear ${this.inFeatures} → ${this.outFeatures}${this.bias ? '' : ', no bias'}`
  }
}

/** Layers one after the other. Errors in a layer name its position. */
export class Sequential extends Module {
  readonly layers: readonly Module[]

  constructor(...layers: Module[]) {
    super()
    layers.forEach((layer, i) => {
      if (!(layer instanceof Module))
        throw new WengertError('ERR_VALUE', `Sequential: expected modules, got ${describe(layer)} at position ${i}`, { actual: layer })
    })
    this.layers = layers
  }

  override children(): [string, Module][] {
    const more = super.children().filter(([name]) => !name.startsWith('layers.'))
    return [...this.layers.map((layer, i): [string, Module] => [String(i), layer]), ...more]
  }

  override get takesLengths(): boolean {
    return true
  }

  /** @param inputs handed on to those layers that take them: the lengths of the sequences of x */
  override forward(x: Tensor, inputs: HandedOn = {}): Tensor {
    checkOptions('Sequential.forward', inputs, ['lengths'])
    let y = x
    this.layers.forEach((layer, i) => {
      try {
        y = withScope(`layer ${i} (${layer.describe()})`, () => outputOf(layer, y, inputs))
      } catch (error) {
        if (error instanceof WengertError && !error.message.includes('of Sequential'))
          error.message += ` (layer ${i} of Sequential, ${layer.describe()})`
        throw error
      }
    })
    return y
  }

  override stepForward(x: Tensor, memory: StepMemory): Tensor {
    return this.layers.reduce((y, layer) => layer.stepForward(y, memory), x)
  }

  override layersInOrder(): Module[] {
    return this.forward === Sequential.prototype.forward ? this.layers.flatMap((layer) => layer.layersInOrder()) : [this]
  }

  override config(): Record<string, unknown> {
    return { layers: this.layers }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof Sequential = Sequential): Sequential {
    checkOptions('Sequential', config, ['layers'])
    if (!Array.isArray(config.layers))
      throw new WengertError('ERR_VALUE', `Sequential: expected a list of layers, got ${describe(config.layers)}`, {
        actual: config.layers,
      })
    return new Type(...config.layers)
  }

  override describe(): string {
    return `Sequential of ${this.layers.length}`
  }
}

/** y = cx, c = 1 by default. */
export class Identity extends Stepwise {
  readonly slope: number

  constructor(slope = 1) {
    super()
    this.slope = checkNumber('Identity', 'slope', slope)
  }

  override config(): Record<string, unknown> {
    return { slope: this.slope }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof Identity = Identity): Identity {
    checkOptions('Identity', config, ['slope'])
    return new Type(config.slope as number)
  }

  override forward(x: Tensor): Tensor {
    return this.slope === 1 ? x : mul(x, this.slope)
  }
}

/** σ(z) = 1/(1 + e^(−z)); σ′ = σ(1 − σ). */
export class Sigmoid extends Stepwise {
  override forward(x: Tensor): Tensor {
    return sigmoid(x)
  }
}

/** tanh z; tanh′ = 1 − tanh². */
export class Tanh extends Stepwise {
  override forward(x: Tensor): Tensor {
    return tanh(x)
  }
}

/** max(z, 0); derivative 0 at 0. */
export class ReLU extends Stepwise {
  override forward(x: Tensor): Tensor {
    return relu(x)
  }
}

/** Softmax along an axis, the last by default. */
export class Softmax extends Module {
  constructor(readonly axis = -1) {
    super()
    checkNumber('Softmax', 'axis', axis, { integer: true })
  }

  override config(): Record<string, unknown> {
    return { axis: this.axis }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof Softmax = Softmax): Softmax {
    checkOptions('Softmax', config, ['axis'])
    return new Type(config.axis as number)
  }

  override stepForward(x: Tensor, memory: StepMemory): Tensor {
    return this.axis === -1 ? this.forward(x) : super.stepForward(x, memory)
  }

  override forward(x: Tensor): Tensor {
    return softmax(x, this.axis)
  }
}
