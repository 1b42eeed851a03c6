/** Plain gradient descent. */

import { mul, sub } from '../primitives/elementwise.js'
import { checkNumber, checkOptions } from '../util/options.js'
import type { Optimizer } from './optimizer.js'

export interface GradientDescentOptions {
  /** α, per update; > 0. */
  learningRate: number
}

/**
 * θ ← θ − α · gradient (mathematics §6).
 *
 * @throws ERR_RANGE for a learning rate that is not a positive number; ERR_OPTION
 */
export function gradientDescent(options: GradientDescentOptions): Optimizer {
  checkOptions('gradientDescent', options, ['learningRate'])
  const learningRate = checkNumber('gradientDescent', 'learningRate', options?.learningRate, { min: 0, exclusive: true })
  return {
    name: 'gradientDescent',
    learningRate,
    slots: () => [],
    scalarCount: 1,
    scalars: (out, offset, _t, rate) => {
      out[offset] = rate
    },
    update: (parameter, gradient, _slots, [rate]) => ({ parameter: sub(parameter, mul(gradient, rate as typeof gradient)), slots: [] }),
  }
}
