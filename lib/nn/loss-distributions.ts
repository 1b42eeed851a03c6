/** Entropy and its relatives (mathematics §2): of distributions given as probabilities, not as logits. */

import { customGradient } from '../autodiff/custom.js'
import { WengertError } from '../errors.js'
import { add, div, equal, log, maximum, mul, neg, sub, where } from '../primitives/elementwise.js'
import { knownLogarithm } from '../primitives/logarithms.js'
import { cast } from '../primitives/movement.js'
import { sum } from '../primitives/reduce.js'
import type { TensorLike } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { checkNumber, checkOptions } from '../util/options.js'
import { checkProbabilities, define, pair, toTensor, weightedAndReduced } from './loss-contract.js'

/** ln p, stopped at −100 so that 0 ln 0 is 0. */
const clampedLog = (p: Tensor) => maximum(log(p), -100)

// Derivatives in q divide by at least 1e−12, so that they are finite at 0, as binary cross-entropy's.
const foreignValues = customGradient((q, p) => [
  neg(mul(p, clampedLog(q))),
  (g) => [neg(mul(g, div(p, maximum(q, 1e-12)))), neg(mul(g, clampedLog(q)))],
])

/** −p ln q of each element; from the logits where q is known to be their softmax, with its exact slope. */
function crossValues(q: Tensor, p: Tensor): Tensor {
  const logarithm = knownLogarithm(q)
  if (logarithm === undefined) return foreignValues(q, p)
  // A logit of −∞ is a class ruled out, q = 0: its logarithm is taken as −100, so that 0 ln 0 is 0.
  return neg(mul(p, where(equal(logarithm, -Infinity), sub(q, 100), logarithm)))
}

const entropyValues = customGradient((p) => [neg(mul(p, clampedLog(p))), (g) => neg(mul(g, add(clampedLog(p), 1)))])

function distributions(op: string, prediction: unknown, target: unknown): [Tensor, Tensor] {
  const [q, p] = pair(op, prediction, target)
  checkProbabilities(op, 'target', p)
  checkProbabilities(op, 'prediction', q)
  return [q, p]
}

/**
 * Kullback–Leibler divergence of the target p from the prediction q: p (ln p − ln q) of each element, 0 ln 0 = 0;
 * derivative −p/q, its denominator at least 1e−12, and ln q at least −100. Where the prediction is the result of `softmax`, or
 * of `exp` of a `logSoftmax` (cast or reshaped since, maybe), its logarithm is taken from the logits and neither bound is needed: the slope in them is
 * softmax(z) − p however saturated it is. KL(p‖q) = CE(p, q) − H(p) is the sum over a distribution's elements;
 * `mean` is over all elements. The prediction is a probability, not its logarithm.
 *
 * @throws ERR_RANGE for a probability outside [0, 1] on either side; ERR_SHAPE
 */
export const klDivergence = define({
  name: 'klDivergence',
  targets: 'probabilities',
  outputs: 'probabilities',
  value: (prediction, target, options) => {
    const [q, p] = distributions('klDivergence', prediction, target)
    return weightedAndReduced('klDivergence', sub(crossValues(q, p), entropyValues(p)), options)
  },
})

/**
 * Cross-entropy of a predicted distribution q against a target p: −Σ p ln q over the last axis; derivative −p/q, its
 * denominator at least 1e−12, and ln q at least −100. Directly after `softmax` (a model that ends in `Softmax`) the logarithm is
 * taken from the logits, without bounds. `mean` is over samples. For logits use `crossEntropy`.
 *
 * @throws ERR_RANGE for a probability outside [0, 1] on either side; ERR_SHAPE
 * @example loss.crossEntropyOf([0.9, 0.1], [1, 0]).item()  // 0.1053605…
 */
export const crossEntropyOf = define({
  name: 'crossEntropyOf',
  targets: 'probabilities',
  outputs: 'probabilities',
  value: (prediction, target, options) => {
    const [q, p] = distributions('crossEntropyOf', prediction, target)
    return weightedAndReduced('crossEntropyOf', sum(crossValues(q, p), -1), options)
  },
})

/** Of `entropy`. */
export interface EntropyOptions {
  /** Base of the logarithm: e by default (nats), 2 for bits; > 0 and not 1. */
  base?: number | undefined
}

/**
 * Entropy H(p) = −Σ p log p over the last axis, 0 log 0 = 0: one value for each distribution.
 *
 * @param p probabilities [k] or [m, k]
 * @throws ERR_RANGE for a probability outside [0, 1], or a base that is 1 or not positive
 * @example loss.entropy([0.25, 0.75], { base: 2 }).item()  // 0.8112781…
 */
export function entropy(p: TensorLike, options: EntropyOptions = {}): Tensor {
  checkOptions('entropy', options, ['base'])
  const { base = Math.E } = options
  checkNumber('entropy', 'base', base, { min: 0, exclusive: true })
  if (base === 1) throw new WengertError('ERR_RANGE', 'entropy: there is no logarithm to base 1', { actual: base })
  const given = toTensor('entropy', 'distribution', p)
  const probabilities = isFloat(given.dtype) ? given : cast(given, 'float32')
  if (probabilities.rank === 0) {
    throw new WengertError('ERR_SHAPE', 'entropy: expected probabilities [k] or [m, k], got a single number', { actual: given.shape })
  }
  checkProbabilities('entropy', 'distribution', probabilities)
  const nats = sum(entropyValues(probabilities), -1)
  return base === Math.E ? nats : mul(nats, 1 / Math.log(base))
}
