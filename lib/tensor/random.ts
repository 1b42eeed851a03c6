/** Random tensors for users: a `Random` is a seeded sequence of independent draws, the same on every machine and engine. */

import { aboutToDraw, type DrawSource } from '../util/draws.js'
import { allocate, type FloatDtype } from '../util/dtype.js'
import { checkNumber, checkOptions } from '../util/options.js'
import { permutation, purposes, Stream } from '../util/random.js'
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

const byDefault: DrawSource<readonly [number | undefined, number]> = {
  tell: () => [defaultSeed, drawn],
  seek: (there) => {
    ;[defaultSeed, drawn] = there
  },
}

/** A seed derived from the default generator; a new one each time. */
export function nextSeed(): number {
  defaultSeed ??= Math.floor(Math.random() * 4294967296)
  aboutToDraw(byDefault)
  const stream = new Stream({ seed: defaultSeed, purpose: purposes.user, a: 0xffffffff, b: drawn++ })
  return stream.word()
}

/**
 * A seeded generator. Each call is a draw of its own: the n-th call gives the same values whatever the earlier shapes were.
 *
 * @example
 * new Random(1).normal([2, 3])
 */
export class Random {
  readonly seed: number
  #draw = 0
  readonly #place: DrawSource<number> = {
    tell: () => this.#draw,
    seek: (draw) => {
      this.#draw = draw
    },
  }

  constructor(seed: number) {
    this.seed = checkNumber('Random', 'seed', seed, { integer: true, min: 0, max: Number.MAX_SAFE_INTEGER })
  }

  #stream(): Stream {
    aboutToDraw(this.#place)
    return new Stream({ seed: this.seed, purpose: purposes.user, a: this.#draw++, b: 0 })
  }

  #fill(where: string, shape: Shape, options: { dtype?: FloatDtype | undefined }, next: (stream: Stream) => number): Tensor {
    checkShape(where, shape)
    checkOptions(where, options, ['dtype'])
    const stream = this.#stream()
    const dtype = options.dtype ?? 'float32'
    const data = allocate(dtype, sizeOf(shape))
    for (let i = 0; i < data.length; i++) data[i] = next(stream)
    return new Tensor([...shape], dtype, data)
  }

  /** Standard normal variates (mean 0, variance 1). */
  normal(shape: Shape, options: { dtype?: FloatDtype | undefined } = {}): Tensor {
    return this.#fill('Random.normal', shape, options, (stream) => stream.normal())
  }

  /** Uniform variates in [low, high). */
  uniform(shape: Shape, low = 0, high = 1, options: { dtype?: FloatDtype | undefined } = {}): Tensor {
    checkNumber('Random.uniform', 'low', low)
    checkNumber('Random.uniform', 'high', high, { min: low })
    return this.#fill('Random.uniform', shape, options, (stream) => low + (high - low) * stream.uniform())
  }

  /** A random order of 0 … n − 1, int32. */
  permutation(n: number): Tensor {
    checkNumber('Random.permutation', 'n', n, { integer: true, min: 0, max: 2 ** 31 - 1 })
    const order = new Int32Array(n)
    permutation(order, this.#stream().key)
    return new Tensor([n], 'int32', order)
  }
}
