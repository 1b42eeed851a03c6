/**
 * What inputs have looked like so far: mean and variance of each feature, by Welford's sums, and a refusal of what lies far
 * outside. One absurd value in a stream, 1e38, ruins a model that has learnt for weeks.
 */

import { WengertError } from '../errors.js'
import { allocate, type TypedArray } from '../util/dtype.js'

/** Samples before which nothing is known well enough to refuse by. */
const fewest = 30

/** The sums, as a checkpoint keeps them. */
export interface SeenSums {
  count: number
  /** One number a feature: the mean, and the sum of squared deviations from it. */
  mean: Float64Array
  squares: Float64Array
}

export class Seen implements SeenSums {
  count: number
  readonly mean: Float64Array
  readonly squares: Float64Array

  constructor(
    readonly width: number,
    sums?: SeenSums,
  ) {
    this.count = sums?.count ?? 0
    this.mean = sums?.mean.slice() ?? (allocate('float64', width) as Float64Array)
    this.squares = sums?.squares.slice() ?? (allocate('float64', width) as Float64Array)
  }

  /**
   * Refuses samples of which a feature deviates from its mean by more than `most` · max(σ, s): σ is the feature's standard
   * deviation, s the root mean square of all features, so that a rare category is no outlier. From the 30th sample on.
   *
   * @param x rows of `width` numbers
   * @throws ERR_DATA naming the sample and the feature
   */
  check(where: string, x: TypedArray, most: number, nameOf: (feature: number) => string = (j) => `feature ${j}`): void {
    const { count, mean, squares, width } = this
    if (count < fewest) return
    let power = 0
    for (let j = 0; j < width; j++) power += (squares[j] as number) / count + (mean[j] as number) ** 2
    const typical = Math.sqrt(power / width)
    for (let j = 0; j < width; j++) {
      const centre = mean[j] as number
      const spread = Math.max(Math.sqrt((squares[j] as number) / count), typical)
      for (let at = j; at < x.length; at += width) {
        const value = x[at] as number
        if (Math.abs(value - centre) <= most * spread) continue
        throw new WengertError(
          'ERR_DATA',
          `${where}: ${nameOf(j)} of sample ${Math.floor(at / width)} is ${value}, far outside what was seen: ${centre.toPrecision(3)} ± ${spread.toPrecision(3)} over ${count} samples, and maxDeviation is ${most}`,
          { expected: most, actual: value },
        )
      }
    }
  }

  /** Takes samples that were learnt from. */
  take(x: TypedArray): void {
    const { mean, squares, width } = this
    for (let from = 0; from < x.length; from += width) {
      const n = ++this.count
      for (let j = 0; j < width; j++) {
        const value = x[from + j] as number
        const off = value - (mean[j] as number)
        mean[j] = (mean[j] as number) + off / n
        squares[j] = (squares[j] as number) + off * (value - (mean[j] as number))
      }
    }
  }
}
