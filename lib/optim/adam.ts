/** Adam and AdamW: steps scaled by running means of the gradient and of its square. */

import { WengertError } from '../errors.js'
import { add, div, maximum, mul, sqrt, square, sub } from '../primitives/elementwise.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { type AppliedOptimizer, applicable } from './apply.js'
import { type CommonOptions, decayed, settingsOf, slotLike, times } from './groups.js'
import { fromLibrary } from './optimizer.js'

/** Of `adam` and `adamW`. */
export interface AdamOptions extends CommonOptions {
  /** α, per update; > 0; 0.001 by default. */
  learningRate?: number | undefined
  /** [β₁, β₂], each in [0, 1): how much of the running means is kept; [0.9, 0.999] by default. */
  betas?: readonly [number, number] | undefined
  /** Added to the denominator; >= 0; 1e−8 by default. */
  eps?: number | undefined
  /** Divide by the largest running mean of squares so far; false by default. */
  amsgrad?: boolean | undefined
}

/**
 * Adam: m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², θ ← θ − α m̂ / (√v̂ + ε) with m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ).
 * Weight decay (0 by default) is added to the gradient.
 *
 * @throws ERR_RANGE for a number outside its range; ERR_OPTION
 */
export function adam(options: AdamOptions = {}): AppliedOptimizer {
  return rule('adam', options, false)
}

/** Adam with decoupled weight decay: θ ← (1 − αλ)θ before Adam's step, λ = 0.01 by default. */
export function adamW(options: AdamOptions = {}): AppliedOptimizer {
  return rule('adamW', options, true)
}

function rule(where: string, options: AdamOptions, decoupled: boolean): AppliedOptimizer {
  checkOptions(where, options, ['learningRate', 'betas', 'eps', 'amsgrad', 'weightDecay', 'groups'])
  const learningRate = checkNumber(where, 'learningRate', options.learningRate ?? 1e-3, { min: 0, exclusive: true })
  const eps = checkNumber(where, 'eps', options.eps ?? 1e-8, { min: 0 })
  const { betas = [0.9, 0.999], amsgrad = false } = options
  if (!Array.isArray(betas) || betas.length !== 2 || !betas.every((b) => typeof b === 'number' && b >= 0 && b < 1)) {
    const got = Array.isArray(betas) ? `[${betas.map(describe).join(', ')}]` : describe(betas)
    throw new WengertError('ERR_RANGE', `${where}: expected betas to be two numbers in [0, 1), got ${got}`, { actual: betas })
  }
  if (typeof amsgrad !== 'boolean')
    throw new WengertError('ERR_OPTION', `${where}: expected amsgrad to be true or false, got ${describe(amsgrad)}`, { actual: amsgrad })
  const [beta1, beta2] = betas as [number, number]
  const settings = settingsOf(where, learningRate, options, decoupled ? 0.01 : 0)
  return fromLibrary(
    applicable({
      name: where,
      learningRate,
      slots: (parameter) => ['mean', 'square', ...(amsgrad ? ['largest'] : [])].map((name) => slotLike(name, parameter)),
      scalarCount: 3,
      scalars: (out, offset, t, rate) => {
        out[offset] = rate
        out[offset + 1] = rate / (1 - beta1 ** t)
        out[offset + 2] = 1 / Math.sqrt(1 - beta2 ** t)
      },
      update: (parameter, gradient, [mean, squares, before], scalars, of) => {
        const [rate, step, correction] = scalars as [Tensor, Tensor, Tensor]
        const { factor, weightDecay } = settings(of)
        const g = decoupled ? gradient : decayed(gradient, parameter, weightDecay)
        const m = add(mul(mean as Tensor, beta1), mul(g, 1 - beta1))
        const v = add(mul(squares as Tensor, beta2), mul(square(g), 1 - beta2))
        const largest = before && maximum(before, v)
        const denominator = add(mul(sqrt(largest ?? v), correction), eps)
        const shrunk = decoupled && weightDecay > 0 ? sub(parameter, mul(parameter, mul(rate, factor * weightDecay))) : parameter
        return {
          parameter: sub(shrunk, times(mul(div(m, denominator), step), factor)),
          slots: largest ? [m, v, largest] : [m, v],
        }
      },
    }),
  )
}
