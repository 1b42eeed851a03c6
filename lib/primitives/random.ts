/** Draws as a row: uniform and normal variates and permutations, a pure function of a counter and of static places. */

import { type Draws, type NextDraw, ofDefault, withDrawsFrom } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import type { FloatDtype } from '../util/dtype.js'
import { type DrawKind, drawKinds, purposes } from '../util/random.js'
import { type Shape, sizeOf } from '../util/shape.js'
import { eachSample } from './batching.js'
import { Abstract, apply, type NondifferentiablePrimitive, type Primitive } from './primitive.js'

/** Which draw of which stream. */
export interface DrawPlace {
  readonly kind: DrawKind
  readonly shape: Shape
  readonly dtype: FloatDtype | 'int32'
  readonly low: number
  readonly high: number
  /** What the stream is for; see `purposes`. */
  readonly purpose: number
  /** Whether the counter's last number belongs to the stream too. */
  readonly byRow: boolean
  /** Words that the key is mixed with. */
  readonly mix: readonly [number, number]
  readonly [key: string]: unknown
}

const randomRow: NondifferentiablePrimitive<DrawPlace> = {
  name: 'random',
  kind: 'nondifferentiable',
  doc: 'uniform or normal variates, or a permutation, from a counter: int32 [4], the seed’s two words and two coordinates',
  infer: (_inputs, { shape, dtype }) => ({ shape, dtype }),
  lower: (_inputs, output, { kind, purpose, byRow, mix, low, high }) => ({
    kernel: 'random',
    ints: [sizeOf(output.shape), drawKinds.indexOf(kind), purpose, byRow ? 1 : 0, ...mix],
    scalars: [low, high],
  }),
  batch: eachSample,
  samples: () =>
    drawKinds.map((kind) => ({
      inputs: [{ shape: [4], dtype: 'int32', below: 1000 }],
      params: {
        kind,
        shape: kind === 'permutation' ? [7] : [2, 3],
        dtype: kind === 'permutation' ? 'int32' : 'float64',
        low: -1,
        high: 2,
        purpose: 6,
        byRow: true,
        mix: [3, 4],
      },
    })),
}

/** The numbers of one draw; `counter` is int32 [4]. */
export function random(counter: Tensor, place: DrawPlace): Tensor {
  return apply(randomRow, [counter], place)
}

export const randomRows = [randomRow] as unknown as readonly Primitive[]

/** The numbers of a counter. */
export const counterLength = 4

/** Writes a counter: a seed and two coordinates of its streams. */
export function writeCounter(out: Int32Array, offset: number, seed: number, a: number, b: number): void {
  out[offset] = seed | 0
  out[offset + 1] = Math.floor(seed / 4294967296)
  out[offset + 2] = a
  out[offset + 3] = b
}

/** The place of a draw of a generator in its own stream, which its counter names. */
const own = { purpose: purposes.user, byRow: false, mix: [0, 0] } as const

/**
 * Draws of a function that is called: at each run every generator moves on as if the function itself had been called.
 *
 * @param counter gives the counter of a draw, which is to be filled by `refill` before each run
 */
export function calledDraws(counter: (next: NextDraw) => Tensor): Draws {
  return {
    random: (next, _words, request) => random(counter(next), { ...request, ...own }),
    mask: () => ({ counter: counter(ofDefault), layer: 0, first: 0 }),
  }
}

/** Brings a called function's counter to the next draw. */
export function refill(counter: Int32Array, next: NextDraw): void {
  const { seed, draw } = next()
  writeCounter(counter, 0, seed, draw, 0)
}

/** Draws that are made at once, as outside of all recordings. */
export const drawnNow: Draws = calledDraws((next) => {
  const counter = new Int32Array(counterLength)
  refill(counter, next)
  return new Tensor([counterLength], 'int32', counter)
})

const shapeless = new Abstract([counterLength], 'int32')

/** Runs `body` over tensors without values, for the shapes of its results: nothing is drawn. */
export const shapesOnly = <T>(body: () => T): T =>
  withDrawsFrom(
    calledDraws(() => shapeless),
    body,
  )

/**
 * Draws of an update: functions of the trainer's counter, int32 [4] (the fit's seed, the update, the first row's number), of the
 * generator's seed and of the place in the function. Masks are by row.
 *
 * @param first rows of the update that precede the recorded ones
 * @param site the first place's number: functions with the same counter draw apart by it
 */
export function updateDraws(counter: Tensor, first: number, site = 0): Draws {
  let made = site
  return {
    random: (_next, words, request) =>
      random(counter, { ...request, purpose: purposes.draw + 256 * made++, byRow: site > 0, mix: words() }),
    mask: () => ({ counter, layer: made++, first }),
  }
}
