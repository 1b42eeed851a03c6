/** RMSProp and Adagrad: steps divided by the size of past gradients. */

import { WengertError } from '../errors.js'
import { add, div, maximum, mul, sqrt, square, sub } from '../primitives/elementwise.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { type AppliedOptimizer, applicable } from './apply.js'
import { type CommonOptions, decayed, settingsOf, slotLike, times } from './groups.js'
import { fromLibrary } from './optimizer.js'

/** Of `rmsProp`. */
export interface RmsPropOptions extends CommonOptions {
  /** α, per update; > 0; 0.01 by default. */
  learningRate?: number | undefined
  /** ρ in [0, 1]: how much of the running mean of squares is kept; 0.99 by default. */
  rho?: number | undefined
  /** Added to the denominator; >= 0; 1e−8 by default. */
  eps?: number | undefined
  /** μ >= 0: the share of the last step that is kept; 0 by default. */
  momentum?: number | undefined
  /** Divide by the standard deviation of the gradient in place of its root mean square; false by default. */
  centered?: boolean | undefined
}

/**
 * RMSProp: s ← ρs + (1 − ρ)g², θ ← θ − α g/(√s + ε). With momentum v ← μv + g/(√s + ε) and θ ← θ − αv. Centred: the running
 * mean m of g is kept too, and √(s − m²) stands in √s's place.
 *
 * @throws ERR_RANGE for a number outside its range; ERR_OPTION
 */
export function rmsProp(options: RmsPropOptions = {}): AppliedOptimizer {
  const where = 'rmsProp'
  checkOptions(where, options, ['learningRate', 'rho', 'eps', 'momentum', 'centered', 'weightDecay', 'groups'])
  const learningRate = checkNumber(where, 'learningRate', options.learningRate ?? 0.01, { min: 0, exclusive: true })
  const rho = checkNumber(where, 'rho', options.rho ?? 0.99, { min: 0, max: 1 })
  const eps = checkNumber(where, 'eps', options.eps ?? 1e-8, { min: 0 })
  const momentum = checkNumber(where, 'momentum', options.momentum ?? 0, { min: 0 })
  const { centered = false } = options
  if (typeof centered !== 'boolean')
    throw new WengertError('ERR_OPTION', `${where}: expected centered to be true or false, got ${describe(centered)}`, { actual: centered })
  const settings = settingsOf(where, learningRate, options)
  const names = ['square', ...(centered ? ['mean'] : []), ...(momentum > 0 ? ['momentum'] : [])]
  return fromLibrary(
    applicable({
      name: where,
      learningRate,
      slots: (parameter) => names.map((name) => slotLike(name, parameter)),
      scalarCount: 1,
      steady: true,
      scalars: (out, offset, _t, rate) => {
        out[offset] = rate
      },
      update: (parameter, gradient, slots, [rate], of) => {
        const { factor, weightDecay } = settings(of)
        const slot = (name: string) => slots[names.indexOf(name)] as Tensor
        const g = decayed(gradient, parameter, weightDecay)
        const s = add(mul(slot('square'), rho), mul(square(g), 1 - rho))
        const m = centered ? add(mul(slot('mean'), rho), mul(g, 1 - rho)) : undefined
        // s − m² is a variance; rounding may take it below 0.
        const spread = m ? maximum(sub(s, square(m)), 0) : s
        const scaled = div(g, add(sqrt(spread), eps))
        const v = momentum > 0 ? add(mul(slot('momentum'), momentum), scaled) : undefined
        return {
          parameter: sub(parameter, times(mul(v ?? scaled, rate as Tensor), factor)),
          slots: [s, ...(m ? [m] : []), ...(v ? [v] : [])],
        }
      },
    }),
  )
}

/** Of `adagrad`. */
export interface AdagradOptions extends CommonOptions {
  /** α, per update; > 0; 0.01 by default. */
  learningRate?: number | undefined
  /** γ >= 0, per update: the rate of update t is α/(1 + (t − 1)γ); 0 by default. */
  decay?: number | undefined
  /** What the sum of squares starts from; >= 0; 0 by default. */
  initialAccumulator?: number | undefined
  /** Added to the denominator; >= 0; 1e−10 by default. */
  eps?: number | undefined
}

/**
 * Adagrad: s ← s + g², θ ← θ − α g/(√s + ε).
 *
 * @throws ERR_RANGE for a number outside its range; ERR_OPTION
 */
export function adagrad(options: AdagradOptions = {}): AppliedOptimizer {
  const where = 'adagrad'
  checkOptions(where, options, ['learningRate', 'decay', 'initialAccumulator', 'eps', 'weightDecay', 'groups'])
  const learningRate = checkNumber(where, 'learningRate', options.learningRate ?? 0.01, { min: 0, exclusive: true })
  const decay = checkNumber(where, 'decay', options.decay ?? 0, { min: 0 })
  const start = checkNumber(where, 'initialAccumulator', options.initialAccumulator ?? 0, { min: 0 })
  const eps = checkNumber(where, 'eps', options.eps ?? 1e-10, { min: 0 })
  const settings = settingsOf(where, learningRate, options)
  return fromLibrary(
    applicable({
      name: where,
      learningRate,
      slots: (parameter) => [slotLike('square', parameter)],
      scalarCount: 1,
      scalars: (out, offset, t, rate) => {
        out[offset] = rate / (1 + (t - 1) * decay)
      },
      update: (parameter, gradient, [squares], [rate], of) => {
        const { factor, weightDecay } = settings(of)
        const g = decayed(gradient, parameter, weightDecay)
        const s = add(squares as Tensor, square(g))
        // Slots are born zero, so what the sum starts from is added as it is read.
        const total = start === 0 ? s : add(s, start)
        return { parameter: sub(parameter, times(mul(div(g, add(sqrt(total), eps)), rate as Tensor), factor)), slots: [s] }
      },
    }),
  )
}
