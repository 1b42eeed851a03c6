/** Activations as modules: one line of the op table each, beside those of `layers.ts`. */

import { elu, gelu, hardtanh, leakyRelu, mish, selu, silu } from '../primitives/composites.js'
import { logSigmoid, softplus } from '../primitives/elementwise.js'
import { logSoftmax } from '../primitives/softmax.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkChoice, checkNumber, checkOptions } from '../util/options.js'
import { Module } from './module.js'
import type { StepMemory } from './step-memory.js'
import { Stepwise } from './stepwise.js'

/** z for z > 0, else slope·z; slope 0.01 by default. */
export class LeakyReLU extends Stepwise {
  constructor(readonly slope = 0.01) {
    super()
    checkNumber('LeakyReLU', 'slope', slope)
  }

  override config(): Record<string, unknown> {
    return { slope: this.slope }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof LeakyReLU = LeakyReLU): LeakyReLU {
    checkOptions('LeakyReLU', config, ['slope'])
    return new Type(config.slope as number)
  }

  override forward(x: Tensor): Tensor {
    return leakyRelu(x, this.slope)
  }
}

/** z for z > 0, else α(e^z − 1); α = 1 by default. */
export class ELU extends Stepwise {
  constructor(readonly alpha = 1) {
    super()
    checkNumber('ELU', 'alpha', alpha)
  }

  override config(): Record<string, unknown> {
    return { alpha: this.alpha }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof ELU = ELU): ELU {
    checkOptions('ELU', config, ['alpha'])
    return new Type(config.alpha as number)
  }

  override forward(x: Tensor): Tensor {
    return elu(x, this.alpha)
  }
}

/** λ·elu(z, α) with α = 1.6733 and λ = 1.0507, which keep mean 0 and variance 1 (with `lecunNormal` weights). */
export class SELU extends Stepwise {
  override forward(x: Tensor): Tensor {
    return selu(x)
  }
}

/** Of `GELU`. */
export interface GELUOptions {
  /** 'none', the default, is exact: zΦ(z); 'tanh' is the approximation. */
  approximate?: 'none' | 'tanh' | undefined
}

/** z Φ(z), Φ the normal distribution function. */
export class GELU extends Stepwise {
  readonly approximate: 'none' | 'tanh'

  constructor(options: GELUOptions = {}) {
    super()
    checkOptions('GELU', options, ['approximate'])
    this.approximate = checkChoice('GELU', 'approximate', options.approximate ?? 'none', ['none', 'tanh'] as const)
  }

  override config(): Record<string, unknown> {
    return { approximate: this.approximate }
  }

  override forward(x: Tensor): Tensor {
    return gelu(x, { approximate: this.approximate })
  }
}

/** z σ(z), also called swish. */
export class SiLU extends Stepwise {
  override forward(x: Tensor): Tensor {
    return silu(x)
  }
}

/** z tanh(softplus z). */
export class Mish extends Stepwise {
  override forward(x: Tensor): Tensor {
    return mish(x)
  }
}

/** ln(1 + e^z). */
export class Softplus extends Stepwise {
  override forward(x: Tensor): Tensor {
    return softplus(x)
  }
}

/** ln σ(z). */
export class LogSigmoid extends Stepwise {
  override forward(x: Tensor): Tensor {
    return logSigmoid(x)
  }
}

/** z clipped to [low, high], [−1, 1] by default; derivative 0 at the ends. */
export class Hardtanh extends Stepwise {
  constructor(
    readonly low = -1,
    readonly high = 1,
  ) {
    super()
    checkNumber('Hardtanh', 'low', low)
    checkNumber('Hardtanh', 'high', high, { min: low })
  }

  override config(): Record<string, unknown> {
    return { low: this.low, high: this.high }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof Hardtanh = Hardtanh): Hardtanh {
    checkOptions('Hardtanh', config, ['low', 'high'])
    return new Type(config.low as number, config.high as number)
  }

  override forward(x: Tensor): Tensor {
    return hardtanh(x, this.low, this.high)
  }
}

/** The logarithm of softmax along an axis, the last by default. */
export class LogSoftmax extends Module {
  constructor(readonly axis = -1) {
    super()
    checkNumber('LogSoftmax', 'axis', axis, { integer: true })
  }

  override config(): Record<string, unknown> {
    return { axis: this.axis }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof LogSoftmax = LogSoftmax): LogSoftmax {
    checkOptions('LogSoftmax', config, ['axis'])
    return new Type(config.axis as number)
  }

  override stepForward(x: Tensor, memory: StepMemory): Tensor {
    return this.axis === -1 ? this.forward(x) : super.stepForward(x, memory)
  }

  override forward(x: Tensor): Tensor {
    return logSoftmax(x, this.axis)
  }
}
