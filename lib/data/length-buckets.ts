/**
 * Batches of sequences of like lengths: which lengths an epoch's batches are cut to, and its orders of samples. Pure functions of
 * (lengths, seed, epoch).
 */

import { permutation, purposes } from '../util/random.js'

/** Batches of so many steps. */
export interface LengthBucket {
  readonly steps: number
  /** Its full batches. */
  readonly batches: number
}

/** At how many lengths at most buckets may end: of more, some in even distances are looked at. */
const mostEnds = 256

/** Samples in the order of their lengths are parted at ranks. */
interface End {
  /** Samples up to here. */
  readonly rank: number
  /** Of the longest of them. */
  readonly steps: number
}

/**
 * The buckets with which an epoch computes the fewest steps. Samples in the order of their lengths are parted into whole batches; those
 * left over, where the last batch is a shorter one, are among the shortest.
 */
export class LengthBuckets {
  /** From short to long. */
  readonly buckets: readonly LengthBucket[]
  /** The bucket of each full batch: every bucket's are spread evenly over the epoch. */
  readonly turns: readonly number[]
  /** Samples of the shorter batch after them: of the first bucket. */
  readonly rest: number
  /** The rank after each bucket's last sample. */
  readonly #ends: readonly number[]
  /** How many samples are shorter than so many steps. */
  readonly #shorter: Int32Array

  /**
   * @param lengths one a sample, integers >= 1
   * @param batchSize at most the number of samples
   * @param most buckets
   * @param options.restCounts whether the shorter batch is one like the others; where it is left out, it must not always be the same samples
   */
  constructor(
    readonly lengths: ArrayLike<number>,
    readonly batchSize: number,
    most: number,
    { restCounts = true } = {},
  ) {
    const m = lengths.length
    this.rest = m % batchSize
    const sorted = Int32Array.from(lengths).sort()
    this.#shorter = new Int32Array((sorted[m - 1] as number) + 2)
    for (const n of sorted) this.#shorter[n + 1] = (this.#shorter[n + 1] as number) + 1
    for (let n = 1; n < this.#shorter.length; n++) this.#shorter[n] = (this.#shorter[n] as number) + (this.#shorter[n - 1] as number)
    const ends: End[] = []
    const first = this.rest + (restCounts && this.rest > 0 ? 0 : batchSize)
    for (let rank = first; rank <= m; rank += batchSize) {
      // A bucket that ends at a length has all whole batches of that length.
      if (rank === m || sorted[rank - 1] !== sorted[rank + batchSize - 1]) ends.push({ rank, steps: sorted[rank - 1] as number })
    }
    const chosen = fewestSteps(thinned(ends), most)
    this.#ends = chosen.map(({ rank }) => rank)
    this.buckets = chosen.map(({ rank, steps }, i) => ({
      steps,
      batches: (rank - (i > 0 ? (chosen[i - 1] as End).rank : this.rest)) / batchSize,
    }))
    this.turns = this.buckets
      .flatMap(({ batches }, bucket) => Array.from({ length: batches }, (_, j) => ({ bucket, at: (j + 0.5) / batches })))
      .sort((a, b) => a.at - b.at || a.bucket - b.bucket)
      .map(({ bucket }) => bucket)
  }

  /**
   * An epoch's order: the trainers' plain random one, in which every sample keeps its place among those of its bucket. Of samples as long
   * as a bucket's longest, chance says which are in it.
   *
   * @param out room for all samples: batch by batch in turn, then those left over
   */
  order(out: Int32Array, seed: number, epoch: number): void {
    const { lengths, batchSize, rest } = this
    const plain = new Int32Array(lengths.length)
    permutation(plain, { seed, purpose: purposes.order, a: epoch, b: 0 })
    const ranks = this.#shorter.slice()
    const batches = this.buckets.map(() => [] as number[])
    this.turns.forEach((bucket, turn) => {
      ;(batches[bucket] as number[]).push(turn * batchSize)
    })
    if (rest > 0) (batches[0] as number[]).push(this.turns.length * batchSize)
    const filled = new Int32Array(batches.length)
    for (const sample of plain) {
      const n = lengths[sample] as number
      const rank = ranks[n] as number
      ranks[n] = rank + 1
      let bucket = 0
      while (rank >= (this.#ends[bucket] as number)) bucket++
      const before = filled[bucket] as number
      filled[bucket] = before + 1
      out[((batches[bucket] as number[])[Math.floor(before / batchSize)] as number) + (before % batchSize)] = sample
    }
  }
}

/** Some of the ends in even distances, the last among them. */
function thinned(ends: readonly End[]): readonly End[] {
  if (ends.length <= mostEnds) return ends
  return Array.from({ length: mostEnds }, (_, i) => ends[Math.ceil(((i + 1) * ends.length) / mostEnds) - 1] as End)
}

/** At most so many of the ends, the last among them, so that Σ samples · steps is least: by the best choices that end at each. */
function fewestSteps(ends: readonly End[], most: number): End[] {
  let best: { cost: number; chosen: End[] }[] = ends.map((end) => ({ cost: end.rank * end.steps, chosen: [end] }))
  for (let k = 1; k < most; k++) {
    best = ends.map((end, i) => {
      let at = -1
      let { cost } = best[i] as { cost: number }
      for (let before = 0; before < i; before++) {
        const whole = (best[before] as { cost: number }).cost + (end.rank - (ends[before] as End).rank) * end.steps
        if (whole < cost) [at, cost] = [before, whole]
      }
      return at < 0 ? (best[i] as { cost: number; chosen: End[] }) : { cost, chosen: [...(best[at] as { chosen: End[] }).chosen, end] }
    })
  }
  return (best[best.length - 1] as { chosen: End[] }).chosen
}
