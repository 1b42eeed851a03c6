/**
 * Dropout, and where its draws come from: in a training step from the trainer's counters (so that a replayed program draws
 * anew at each update, the same on both engines and however a batch is cut), elsewhere from the default generator.
 */

import { WengertError } from '../errors.js'
import { dropout } from '../primitives/dropout.js'
import { counterLength, updateDraws, writeCounter } from '../primitives/random.js'
import { drawsNow, nextSeed, withDrawsFrom } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import { checkNumber, checkOptions } from '../util/options.js'
import { isConcrete } from './loss-contract.js'
import { Module } from './module.js'

export { counterLength, writeCounter } from '../primitives/random.js'

/** Runs `body` (a model's forward function in training) with draws keyed by `counter`. */
export const withDraws = <T>(counter: Tensor | undefined, first: number, body: () => T, site = 0): T =>
  counter ? withDrawsFrom(updateDraws(counter, first, site), body) : body()

/**
 * In training: zeroes elements with probability p and scales the others by 1/(1 − p); in use: nothing. The mask is a
 * function of the fit's seed, the update, the sample's place in its batch and the unit.
 *
 * @param p in [0, 1]; 0.5 by default
 * @throws ERR_RANGE
 * @example new nn.Sequential(new nn.Linear(64, 32), new nn.ReLU(), new nn.Dropout(0.2), new nn.Linear(32, 10))
 */
export class Dropout extends Module {
  constructor(readonly p = 0.5) {
    super()
    checkNumber('Dropout', 'p', p, { min: 0, max: 1 })
  }

  override config(): Record<string, unknown> {
    return { p: this.p }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof Dropout = Dropout): Dropout {
    checkOptions('Dropout', config, ['p'])
    return new Type(config.p as number)
  }

  override forward(x: Tensor): Tensor {
    if (!this.training || this.p === 0) return x
    const draws = drawsNow()
    if (draws) {
      const { counter, layer, first } = draws.mask()
      return dropout(x, counter, this.p, { layer, first })
    }
    if (!isConcrete(x)) {
      throw new WengertError(
        'ERR_VALUE',
        'this Dropout is not part of the model: keep it in a field of it, or in a list, a plain object or a Map in one',
      )
    }
    const counter = new Int32Array(counterLength)
    writeCounter(counter, 0, nextSeed(), 0, 0)
    return dropout(x, new Tensor([counterLength], 'int32', counter), this.p)
  }

  override describe(): string {
    return `Dropout ${this.p}`
  }
}
