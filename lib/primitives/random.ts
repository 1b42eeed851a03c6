/** Draws as a row: uniform and normal variates and permutations, a pure function of a counter and of static places. */

import { WengertError } from '../errors.js'
import { type Drawing, type Draws, type FillCounters, type NextDraw, ofDefault, withDrawsFrom } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import type { FloatDtype } from '../util/dtype.js'
import { type DrawKind, drawKinds, philox, purposes } from '../util/random.js'
import { type Shape, sizeOf } from '../util/shape.js'
import { eachSample } from './batching.js'
import { add } from './elementwise.js'
import { reshape } from './movement.js'
import { slice } from './parts.js'
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

/** Writes the counter of a generator's next draw. */
const writes =
  (next: NextDraw): FillCounters =>
  (out, offset) => {
    const { seed, draw } = next()
    writeCounter(out, offset, seed, draw, 0)
  }

/**
 * Draws of a function that is called: at each run every generator moves on as if the function itself had been called.
 *
 * @param counters gives int32 counters of that shape, to be filled before each run
 */
export function calledDraws(counters: (shape: Shape, fill: FillCounters) => Tensor): Draws {
  return {
    random: ({ next, request }, counter = counters([counterLength], writes(next))) => random(counter, { ...request, ...own }),
    mask: (counter = counters([counterLength], writes(ofDefault))) => ({ counter, layer: 0, first: 0 }),
    counters: (count, fill) => counters([count, counterLength], fill),
  }
}

/** Draws that are made at once, as outside of all recordings. */
export const drawnNow: Draws = calledDraws((shape, fill) => {
  const counters = new Int32Array(sizeOf(shape))
  fill(counters, 0)
  return new Tensor(shape, 'int32', counters)
})

/** Runs `body` over tensors without values, for the shapes of its results: nothing is drawn. */
export const shapesOnly = <T>(body: () => T): T =>
  withDrawsFrom(
    calledDraws((shape) => new Abstract(shape, 'int32')),
    body,
  )

/** The draws of loops' bodies. */
const loops = new WeakSet<Draws>()

/** The draws of a loop's body, which is recorded once and run many times. */
export interface BodyDraws {
  readonly draws: Draws
  /** The counters that the body reads, and of each what it is when the loop has run `length` times: a stack along a new first axis. */
  stacks(length: number, reverse: boolean): { counter: Tensor; stack: () => Tensor }[]
}

/**
 * @param outer what draws come from around the loop
 * @param counter gives a counter that the recorded body reads
 */
export function bodyDraws(outer: Draws = drawnNow, counter: (shape: Shape) => Tensor): BodyDraws {
  const sites: { counter: Tensor; count: number; fill: FillCounters }[] = []
  const site = (shape: Shape, fill: FillCounters): Tensor => {
    const read = counter(shape)
    sites.push({ counter: read, count: sizeOf(shape) / counterLength, fill })
    return read
  }
  const draws: Draws = {
    random: (drawing, given) => {
      if (given) return outer.random(drawing, given)
      return outer.random(drawing, site([counterLength], writes(startingAgain(drawing))))
    },
    mask: (given) => outer.mask(given ?? site([counterLength], writes(ofDefault))),
    counters: (count, fill) => site([count, counterLength], fill),
  }
  loops.add(draws)
  /** A generator that the body makes draws the same at each run of it. */
  const startingAgain = ({ next, home }: Drawing): NextDraw => {
    if (home === undefined || !loops.has(home)) return next
    if (home !== draws)
      throw new WengertError(
        'ERR_VALUE',
        'scan: a Random that is made inside of one loop is drawn from in a loop within it; make it outside of both',
      )
    const first = next()
    return () => first
  }
  return {
    draws,
    stacks: (length, reverse) => {
      const each = sites.reduce((sum, { count }) => sum + count, 0)
      let all: Tensor | undefined
      const stacked = (): Tensor =>
        outer.counters(length * each, (out, offset) => {
          for (let run = 0; run < length; run++) {
            let at = offset + (reverse ? length - 1 - run : run) * each * counterLength
            for (const { count, fill } of sites) {
              fill(out, at)
              at += count * counterLength
            }
          }
        })
      let start = 0
      return sites.map(({ counter, count }) => {
        const from = start
        start += count
        return {
          counter,
          stack: () => {
            all ??= reshape(stacked(), [length, each, counterLength])
            return reshape(slice(all, null, [from, from + count]), [length, ...counter.shape])
          },
        }
      })
    },
  }
}

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
    random: ({ words, request }, given = counter) =>
      random(given, { ...request, purpose: purposes.draw + 256 * made++, byRow: site > 0, mix: words() }),
    mask: (given = counter) => ({ counter: given, layer: made++, first }),
    counters: (count) => add(counter, streams(count, made++)),
  }
}

/** What takes one counter to `count` others, of streams apart: random words for the two of the seed. */
function streams(count: number, place: number): Tensor {
  const data = new Int32Array(count * counterLength)
  const words = new Uint32Array(4)
  for (let i = 0; i < count; i++) {
    philox(words, i, place, 0, purposes.draw, 0x13198a2e, 0x03707344)
    data[i * counterLength] = words[0] as number
    data[i * counterLength + 1] = words[1] as number
  }
  return new Tensor([count, counterLength], 'int32', data)
}
