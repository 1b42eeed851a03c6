/** Random tensors for users: a `Random` is a seeded sequence of independent draws, the same on every machine and engine. */

import { allocate, type FloatDtype } from '../util/dtype.js'
import { checkNumber, checkOptions } from '../util/options.js'
import { type DrawKind, fillDraws, philox, purposes, Stream } from '../util/random.js'
import { checkShape, type Shape, sizeOf } from '../util/shape.js'
import { Tensor } from './tensor.js'

let defaultSeed: number | undefined
let drawn = 0

/**
 * Sets the seed of the default generator: of initialisations without `rng`, and of fits without `seed`.
 *
 * @param n an integer in 0 … 2⁵³ − 1
 */
export function seed(n: number): void {
  defaultSeed = checkNumber('seed', 'seed', n, { integer: true, min: 0, max: Number.MAX_SAFE_INTEGER })
  drawn = 0
}

/** A seed derived from the default generator; a new one each time. */
export function nextSeed(): number {
  defaultSeed ??= Math.floor(Math.random() * 4294967296)
  const stream = new Stream({ seed: defaultSeed, purpose: purposes.user, a: 0xffffffff, b: drawn++ })
  return stream.word()
}

/** What one draw is to be. */
export interface DrawRequest {
  readonly kind: DrawKind
  readonly shape: Shape
  readonly dtype: FloatDtype | 'int32'
  readonly low: number
  readonly high: number
}

/** The next draw of a generator: its seed, and which of its draws it is. Asking moves the generator on. */
export type NextDraw = () => { readonly seed: number; readonly draw: number }

/** Writes the counters of the next run's draws to `out`, from `offset`. */
export type FillCounters = (out: Int32Array, offset: number) => void

/** A draw of a generator. */
export interface Drawing {
  readonly request: DrawRequest
  readonly next: NextDraw
  /** The generator's seed, mixed. */
  readonly words: () => readonly [number, number]
  /** What draws came from where the generator was made. */
  readonly home: Draws | undefined
}

/** Where draws come from while a function is recorded: not from here and now, but from each run of what is recorded. */
export interface Draws {
  /** Numbers of a generator, by a counter of its own or by the one given. */
  random(drawing: Drawing, counter?: Tensor): Tensor
  /** What a mask is made from: a counter, int32 [4], and a place of its own. */
  mask(counter?: Tensor): { readonly counter: Tensor; readonly layer: number; readonly first: number }
  /** Counters of a loop's draws, int32 [count, 4]; `fill` writes those of draws that move on as if the loop ran now. */
  counters(count: number, fill: FillCounters): Tensor
}

let current: Draws | undefined

/** Where draws come from now; undefined where they are made at once. */
export const drawsNow = (): Draws | undefined => current

/** Runs `body` with its draws taken from `draws`. */
export function withDrawsFrom<T>(draws: Draws, body: () => T): T {
  const outer = current
  current = draws
  try {
    return body()
  } finally {
    current = outer
  }
}

/** The numbers of a generator's next draw: now, or at each run of what is being recorded. */
function make(drawing: Drawing): Tensor {
  if (current) return current.random(drawing)
  const { request, next } = drawing
  const { kind, shape, dtype, low, high } = request
  const { seed, draw } = next()
  const data = allocate(dtype, sizeOf(shape))
  fillDraws(data, kind, { seed, purpose: purposes.user, a: draw, b: 0 }, low, high)
  return new Tensor(shape, dtype, data)
}

/** The next draw of the default generator: what a layer draws that was given none. */
export const ofDefault: NextDraw = () => ({ seed: nextSeed(), draw: 0 })

/** A draw of the default generator; in an update of a fit a function of the fit's seed, the update and the place alone. */
export const drawDefault = (request: DrawRequest): Tensor => make({ request, next: ofDefault, words: () => [0, 0], home: undefined })

/**
 * A seeded generator. Each call is a draw of its own: the n-th call gives the same values whatever the earlier shapes were.
 *
 * In the `forward` of a module it draws anew at each run: a compiled prediction as if `forward` had been called again; an update of
 * a fit from the fit's seed and the update's number, so that a resumed fit draws what the whole one would have drawn. (What is
 * no draw of a `Random`, such as `Math.random()` or `Date.now()` put into a tensor, is a constant of the recording.)
 *
 * @example
 * new Random(1).normal([2, 3])
 */
export class Random {
  readonly seed: number
  #draw = 0
  readonly #home = current
  readonly #next: NextDraw = () => ({ seed: this.seed, draw: this.#draw++ })

  constructor(seed: number) {
    this.seed = checkNumber('Random', 'seed', seed, { integer: true, min: 0, max: Number.MAX_SAFE_INTEGER })
  }

  #make(request: DrawRequest): Tensor {
    return make({ request, next: this.#next, words: () => mixed(this.seed), home: this.#home })
  }

  #fill(where: string, kind: DrawKind, shape: Shape, options: { dtype?: FloatDtype | undefined }, low: number, high: number): Tensor {
    checkShape(where, shape)
    checkOptions(where, options, ['dtype'])
    return this.#make({ kind, shape: [...shape], dtype: options.dtype ?? 'float32', low, high })
  }

  /** Standard normal variates (mean 0, variance 1). */
  normal(shape: Shape, options: { dtype?: FloatDtype | undefined } = {}): Tensor {
    return this.#fill('Random.normal', 'normal', shape, options, 0, 1)
  }

  /** Uniform variates in [low, high). */
  uniform(shape: Shape, low = 0, high = 1, options: { dtype?: FloatDtype | undefined } = {}): Tensor {
    checkNumber('Random.uniform', 'low', low)
    checkNumber('Random.uniform', 'high', high, { min: low })
    return this.#fill('Random.uniform', 'uniform', shape, options, low, high)
  }

  /** A random order of 0 … n − 1, int32. */
  permutation(n: number): Tensor {
    checkNumber('Random.permutation', 'n', n, { integer: true, min: 0, max: 2 ** 31 - 1 })
    return this.#make({ kind: 'permutation', shape: [n], dtype: 'int32', low: 0, high: 1 })
  }
}

/** A seed as two words that another seed's may be mixed with: of two seeds, no simple function of each other. */
function mixed(seed: number): readonly [number, number] {
  const words = new Uint32Array(4)
  philox(words, seed >>> 0, Math.floor(seed / 4294967296), 0, purposes.draw, 0x243f6a88, 0x85a308d3)
  return [words[0] as number, words[1] as number]
}
