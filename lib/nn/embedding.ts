/** Embedding: a learned row of numbers for each of a set of things. */

import { WengertError } from '../errors.js'
import { gather, toIndex } from '../primitives/indexing.js'
import { knownValues } from '../primitives/known-values.js'
import { cast } from '../primitives/movement.js'
import { nextSeed, Random } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import { type FloatDtype, isFloat } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions, describe } from '../util/options.js'
import { type Initializer, initialWeights } from './init.js'
import { Parameter } from './parameter.js'
import { Stepwise } from './stepwise.js'

/** Of `Embedding`. */
export interface EmbeddingOptions {
  /** How the rows start: 'normal' (mean 0, variance 1) by default, 'zeros', or a function. */
  init?: 'normal' | 'zeros' | Initializer | undefined
  /** Where the draws come from; the default generator otherwise. */
  rng?: Random | undefined
  dtype?: FloatDtype | undefined
}

/**
 * Row x[i] of a learned table W [count, features] for every index in x: x […] → […, features]. x holds integers, also as
 * floating numbers (data sets hold those). The gradient reaches only the rows that were looked up.
 *
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_INDEX for an index outside 0 … count − 1, ERR_RANGE for a fraction
 * @example new nn.Sequential(new nn.Embedding(1000, 16), new nn.Flatten(), new nn.Linear(3 * 16, 4))  // x [m, 3]
 */
export class Embedding extends Stepwise {
  readonly count: number
  readonly features: number
  weight: Parameter

  constructor(count: number, features: number, options: EmbeddingOptions = {}) {
    super()
    checkOptions('Embedding', options, ['init', 'rng', 'dtype'])
    this.count = checkNumber('Embedding', 'count', count, { integer: true, min: 1 })
    this.features = checkNumber('Embedding', 'features', features, { integer: true, min: 1 })
    const dtype = checkChoice('Embedding', 'dtype', options.dtype ?? 'float32', ['float32', 'float64'] as const)
    const { rng = new Random(nextSeed()), init = 'normal' } = options
    if (!(rng instanceof Random))
      throw new WengertError('ERR_OPTION', `Embedding: expected rng to be a Random, got ${describe(rng)}`, { actual: rng })
    if (typeof init !== 'function') checkChoice('Embedding', 'init', init, ['normal', 'zeros'] as const)
    this.weight = new Parameter(
      init === 'normal' ? rng.normal([count, features], { dtype }) : initialWeights('Embedding', init, [count, features], rng, dtype),
    )
  }

  override config(): Record<string, unknown> {
    return { count: this.count, features: this.features, dtype: this.weight.dtype }
  }

  /** From what `config` gave; the table starts at 0 and draws nothing from the default generator. */
  static fromConfig(config: Record<string, unknown>, Type: typeof Embedding = Embedding): Embedding {
    checkOptions('Embedding', config, ['count', 'features', 'dtype'])
    const { count, features, ...options } = config
    return new Type(count as number, features as number, { ...(options as EmbeddingOptions), init: 'zeros', rng: new Random(0) })
  }

  override forward(x: Tensor): Tensor {
    const values = isFloat(x.dtype) ? knownValues(x) : undefined
    if (values) {
      const bad = values.findIndex((index) => !Number.isInteger(index))
      if (bad >= 0)
        throw new WengertError(
          'ERR_RANGE',
          `Embedding: expected integers in 0 … ${this.count - 1}, got ${values[bad]} at position ${bad}`,
          {
            expected: this.count,
            actual: values[bad],
          },
        )
    }
    return gather(this.weight, isFloat(x.dtype) ? toIndex(x, this.count) : cast(x, 'int32'))
  }

  override describe(): string {
    return `Embedding ${this.count} × ${this.features}`
  }
}
