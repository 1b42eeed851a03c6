/**
 * Dropout, and where its draws come from: in a training step from the trainer's counters (so that a replayed program draws
 * anew at each update, the same on both engines and however a batch is cut), elsewhere from the default generator.
 */

import { WengertError } from '../errors.js'
import { dropout } from '../primitives/dropout.js'
import { nextSeed } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import { aboutToDraw, type DrawSource } from '../util/draws.js'
import { checkNumber, checkOptions } from '../util/options.js'
import { isConcrete } from './loss-contract.js'
import { Module } from './module.js'

interface Draws {
  /** int32 [4]: the seed's low and high 32 bits, the update, the first row's number. */
  readonly counter: Tensor
  /** Rows that precede the traced ones. */
  readonly first: number
  /** Draws made so far: each place in a model has a stream of its own. */
  made: number
}

let current: Draws | undefined

/** Where the draws of a training step stand: a copy, so that a replay counts on its own. */
const place: DrawSource<Draws | undefined> = {
  tell: () => current && { ...current },
  seek: (there) => {
    current = there && { ...there }
  },
}

/** The numbers of a counter. */
export const counterLength = 4

/** Runs `body` (a model's forward function in training) with draws keyed by `counter`. */
export function withDraws<T>(counter: Tensor | undefined, first: number, body: () => T): T {
  const outer = current
  current = counter && { counter, first, made: 0 }
  try {
    return body()
  } finally {
    current = outer
  }
}

/** Writes a counter's numbers. */
export function writeCounter(out: Int32Array, offset: number, seed: number, update: number, row: number): void {
  out[offset] = seed | 0
  out[offset + 1] = Math.floor(seed / 4294967296)
  out[offset + 2] = update
  out[offset + 3] = row
}

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
    aboutToDraw(place)
    if (current) return dropout(x, current.counter, this.p, { layer: current.made++, first: current.first })
    if (!isConcrete(x)) {
      throw new WengertError(
        'ERR_VALUE',
        'Dropout: expected to be a field of the module that a trainer trains, got a Dropout that it cannot find; set it as a field, or in an array of modules',
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

/** Whether a model draws in training. */
export const draws = (model: Module): boolean => model.modules().some((module) => module instanceof Dropout)
