/**
 * Dropout, and where its draws come from: in a training step from the trainer's counters (so that a replayed program draws
 * anew at each update, the same on both engines and however a batch is cut), elsewhere from the default generator.
 */

import { WengertError } from '../errors.js'
import { dropout } from '../primitives/dropout.js'
import { mul } from '../primitives/elementwise.js'
import { knownValues } from '../primitives/known-values.js'
import { reshape } from '../primitives/movement.js'
import { counterLength, updateDraws, writeCounter } from '../primitives/random.js'
import { ones } from '../tensor/creation.js'
import { drawsNow, nextSeed, withDrawsFrom } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { checkNumber, checkOptions } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import { Stepwise } from './stepwise.js'

export { counterLength, writeCounter } from '../primitives/random.js'

/** Runs `body` (a model's forward function in training) with draws keyed by `counter`. */
export const withDraws = <T>(counter: Tensor | undefined, first: number, body: () => T, site = 0): T =>
  counter ? withDrawsFrom(updateDraws(counter, first, site), body) : body()

/** x [m, …] with elements zeroed, each with probability p, and the others scaled by 1/(1 − p), by the next mask of those in use. */
export function droppedOut(x: Tensor, p: number, kind: string): Tensor {
  const draws = drawsNow()
  if (draws) {
    const { counter, layer, first } = draws.mask()
    return dropout(x, counter, p, { layer, first })
  }
  if (knownValues(x) === undefined) {
    throw new WengertError(
      'ERR_VALUE',
      `this ${kind} is not part of the model: keep it in a field of it, or in a list, a plain object or a Map in one`,
    )
  }
  const counter = new Int32Array(counterLength)
  writeCounter(counter, 0, nextSeed(), 0, 0)
  return dropout(x, new Tensor([counterLength], 'int32', counter), p)
}

/** What is zeroed at random: each layer says of which mask. */
abstract class RandomMask extends Stepwise {
  constructor(
    readonly kind: string,
    readonly p: number,
  ) {
    super()
    checkNumber(kind, 'p', p, { min: 0, max: 1 })
  }

  override config(): Record<string, unknown> {
    return { p: this.p }
  }

  /** x [m, …] with elements zeroed, each with probability p, and the others scaled by 1/(1 − p). */
  protected masked(x: Tensor): Tensor {
    return droppedOut(x, this.p, this.kind)
  }

  override describe(): string {
    return `${this.kind} ${this.p}`
  }
}

/**
 * In training: zeroes elements with probability p and scales the others by 1/(1 − p); in use: nothing. The mask is a
 * function of the fit's seed, the update, the sample's place in its batch and the unit.
 *
 * @param p in [0, 1]; 0.5 by default
 * @throws ERR_RANGE
 * @example new nn.Sequential(new nn.Linear(64, 32), new nn.ReLU(), new nn.Dropout(0.2), new nn.Linear(32, 10))
 */
export class Dropout extends RandomMask {
  constructor(p = 0.5) {
    super('Dropout', p)
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof Dropout = Dropout): Dropout {
    checkOptions('Dropout', config, ['p'])
    return new Type(config.p as number)
  }

  override forward(x: Tensor): Tensor {
    return this.training && this.p > 0 ? this.masked(x) : x
  }
}

/**
 * In training: zeroes whole channels of each image with probability p and scales the others by 1/(1 − p); in use: nothing.
 * Neighbouring pixels tell much the same, so that zeroing them one by one would hide little.
 *
 * @param p in [0, 1]; 0.5 by default
 * @throws ERR_RANGE; in `forward` ERR_SHAPE for anything but images [m, C, H, W]
 * @example new nn.Sequential(new nn.Conv2d(1, 8, 3), new nn.ReLU(), new nn.Dropout2d(0.2))
 */
export class Dropout2d extends RandomMask {
  constructor(p = 0.5) {
    super('Dropout2d', p)
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof Dropout2d = Dropout2d): Dropout2d {
    checkOptions('Dropout2d', config, ['p'])
    return new Type(config.p as number)
  }

  override forward(x: Tensor): Tensor {
    if (x.rank !== 4)
      throw new WengertError('ERR_SHAPE', `Dropout2d: expected x of shape [m, C, H, W], got ${formatShape(x.shape)}`, { actual: x.shape })
    if (!this.training || this.p === 0) return x
    const [m, channels] = x.shape as [number, number]
    const dtype = isFloat(x.dtype) ? x.dtype : 'float32'
    const mask = this.masked(ones([m, channels], { dtype }))
    return mul(x, reshape(mask, [m, channels, 1, 1]))
  }
}
