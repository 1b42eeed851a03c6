/** Losses of numbers against numbers (mathematics §2), the residual being r = ŷ − y. */

import { abs, minimum, mul, relu, square, sub } from '../primitives/elementwise.js'
import { sum } from '../primitives/reduce.js'
import { Tensor } from '../tensor/tensor.js'
import { checkSigns, define, type LossOptions, pair, weightedAndReduced } from './loss-contract.js'

/**
 * Half squared error, Eq. (3.52.2) with c = ½: ½ Σ (ŷ − y)² of each sample; derivative ŷ − y, Eq. (3.53).
 * `mean` is over samples. With a `mask` of [m, T] each step is a sample of its own.
 */
export const squaredError = define({
  name: 'squaredError',
  targets: 'values',
  value: (prediction, target, options) => {
    const [q, y] = pair('squaredError', prediction, target)
    const squares = mul(square(sub(q, y)), 0.5)
    // The axes of a sample: those behind its own, or the mask's.
    const first = Math.max(1, options.mask instanceof Tensor ? options.mask.rank : 1)
    const trailing = q.shape.slice(first).map((_, i) => first + i)
    return weightedAndReduced('squaredError', trailing.length > 0 ? sum(squares, trailing) : squares, options)
  },
})

/** Mean squared error: (ŷ − y)² of each element; derivative 2(ŷ − y)/n in a mean over n. */
export const mse = define({
  name: 'mse',
  targets: 'values',
  value: (prediction, target, options) => {
    const [q, y] = pair('mse', prediction, target)
    return weightedAndReduced('mse', square(sub(q, y)), options)
  },
})

/** Mean absolute error: |r| of each element; derivative sign r, 0 at 0. */
export const mae = define({
  name: 'mae',
  targets: 'values',
  value: (prediction, target, options) => {
    const [q, y] = pair('mae', prediction, target)
    return weightedAndReduced('mae', abs(sub(q, y)), options)
  },
})

/** Of `huber`. */
export interface HuberOptions extends LossOptions {
  /** δ > 0, in units of the target, where the square turns into a line; 1 by default. */
  delta?: number | undefined
}

/**
 * Huber's loss: ½r² of each element where |r| ≤ δ, else δ(|r| − ½δ); derivative clip(r, −δ, δ).
 *
 * @example loss.huber(prediction, target, { delta: 2 })
 */
export const huber = define<HuberOptions>({
  name: 'huber',
  targets: 'values',
  numbers: { delta: { min: 0, exclusive: true } },
  value: (prediction, target, options) => {
    const [q, y] = pair('huber', prediction, target)
    const size = abs(sub(q, y))
    // Both branches at once: m(|r| − ½m) with m = min(|r|, δ), which never squares a large residual.
    const within = minimum(size, options.delta ?? 1)
    return weightedAndReduced('huber', mul(within, sub(size, mul(within, 0.5))), options)
  },
})

/** Of `tukeyBisquare`. */
export interface TukeyOptions extends LossOptions {
  /** c > 0, in units of the target, beyond which a residual has no influence; 4.685 by default (95 % efficiency at unit variance). */
  c?: number | undefined
}

/**
 * Tukey's bisquare: c²/6 · (1 − (1 − (r/c)²)³) of each element where |r| ≤ c, else c²/6; derivative r(1 − (r/c)²)², else 0.
 * Outliers beyond c teach nothing.
 */
export const tukeyBisquare = define<TukeyOptions>({
  name: 'tukeyBisquare',
  targets: 'values',
  numbers: { c: { min: 0, exclusive: true } },
  value: (prediction, target, options) => {
    const [q, y] = pair('tukeyBisquare', prediction, target)
    const { c = 4.685 } = options
    // The residual is bounded before it is squared, so that a huge one gives c²/6 and derivative 0, not Infinity · 0.
    const left = sub(1, square(mul(minimum(abs(sub(q, y)), c), 1 / c)))
    return weightedAndReduced('tukeyBisquare', mul(sub(1, mul(left, square(left))), (c * c) / 6), options)
  },
})

/**
 * Hinge of each element: max(0, 1 − yŷ) with targets y = ±1; derivative −y where yŷ < 1, 0 at the kink.
 *
 * For class indices see `multiClassHinge`.
 *
 * @throws ERR_RANGE for a target other than −1 and 1
 */
export const hinge = define({
  name: 'hinge',
  targets: 'signs',
  outputs: 'scores',
  value: (prediction, target, options) => {
    const [q, y] = pair('hinge', prediction, target)
    checkSigns('hinge', y)
    return weightedAndReduced('hinge', relu(sub(1, mul(y, q))), options)
  },
})
