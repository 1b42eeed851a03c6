/**
 * Losses (mathematics §2), as `loss.*`: functions of (prediction, target, options), the prediction first. `none` gives one
 * value a sample for squaredError and the losses over classes, and an elementwise value for the others; `mean` of the
 * former is over samples (the cost), of the others over all elements. `.with(options)` binds options for a trainer.
 */

export {
  type BceWithLogitsOptions,
  bce,
  bceWithLogits,
  type ClassLossOptions,
  type CrossEntropyOptions,
  crossEntropy,
  multiClassHinge,
  nll,
} from './loss-classes.js'
export type { Loss, LossOptions, NamedLoss, OutputKind, Reduction, TargetKind } from './loss-contract.js'
export { crossEntropyOf, type EntropyOptions, entropy, klDivergence } from './loss-distributions.js'
export { type HuberOptions, hinge, huber, mae, mse, squaredError, type TukeyOptions, tukeyBisquare } from './loss-values.js'
