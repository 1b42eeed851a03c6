/** Gradient descent, plain and with momentum. */

import { WengertError } from '../errors.js'
import { add, mul, sub } from '../primitives/elementwise.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { type AppliedOptimizer, applicable } from './apply.js'
import { type CommonOptions, decayed, settingsOf, slotLike, times } from './groups.js'
import { fromLibrary } from './optimizer.js'

/** Of `gradientDescent`. */
export interface GradientDescentOptions extends CommonOptions {
  /** α, per update; > 0. */
  learningRate: number
  /** μ in [0, 1): the share of the last step's direction that is kept; 0 by default. */
  momentum?: number | undefined
  /** Look ahead along the momentum (Nesterov); false by default. */
  nesterov?: boolean | undefined
}

/**
 * θ ← θ − α g (mathematics §6), g being the gradient plus λθ. With momentum v ← μv + g and θ ← θ − αv, or
 * θ ← θ − α(g + μv) with `nesterov` (PyTorch's SGD).
 *
 * @throws ERR_RANGE for a number outside its range; ERR_OPTION, also for nesterov without momentum
 * @example optim.gradientDescent({ learningRate: 0.1, momentum: 0.9, nesterov: true, weightDecay: 1e-4 })
 */
export function gradientDescent(options: GradientDescentOptions): AppliedOptimizer {
  const where = 'gradientDescent'
  checkOptions(where, options, ['learningRate', 'momentum', 'nesterov', 'weightDecay', 'groups'])
  const learningRate = checkNumber(where, 'learningRate', options?.learningRate, { min: 0, exclusive: true })
  const momentum = checkNumber(where, 'momentum', options.momentum ?? 0, { min: 0 })
  const { nesterov = false } = options
  if (momentum >= 1) throw new WengertError('ERR_RANGE', `${where}: expected momentum below 1, got ${momentum}`, { actual: momentum })
  if (typeof nesterov !== 'boolean' || (nesterov && momentum === 0)) {
    const got = nesterov === true ? 'nesterov without momentum' : describe(nesterov)
    throw new WengertError('ERR_OPTION', `${where}: expected nesterov to be true (with momentum) or false, got ${got}`, {
      actual: nesterov,
    })
  }
  const settings = settingsOf(where, learningRate, options)
  return fromLibrary(
    applicable({
      name: where,
      learningRate,
      slots: (parameter) => (momentum === 0 ? [] : [slotLike('momentum', parameter)]),
      scalarCount: 1,
      steady: true,
      scalars: (out, offset, _t, rate) => {
        out[offset] = rate
      },
      update: (parameter, gradient, [velocity], [rate], of) => {
        const { factor, weightDecay } = settings(of)
        const g = decayed(gradient, parameter, weightDecay)
        const step = (direction: Tensor) => sub(parameter, times(mul(direction, rate as Tensor), factor))
        if (velocity === undefined) return { parameter: step(g), slots: [] }
        const v = add(mul(velocity, momentum), g)
        return { parameter: step(nesterov ? add(g, mul(v, momentum)) : v), slots: [v] }
      },
    }),
  )
}
