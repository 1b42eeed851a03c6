/**
 * A loss as trainers use it: one value a sample, from a function that may be the user's own. Everything else that such a function
 * could give trains nothing, or something else than was meant, so it is refused here.
 */

import { Variable } from '../autodiff/tape.js'
import { WengertError } from '../errors.js'
import { mul, notEqual } from '../primitives/elementwise.js'
import { reshape } from '../primitives/movement.js'
import { Abstract } from '../primitives/primitive.js'
import { mean, sum } from '../primitives/reduce.js'
import { emptyTensor, type Tensor } from '../tensor/tensor.js'
import { formatShape, sameShape } from '../util/shape.js'
import type { Loss, LossOptions } from './loss-contract.js'

const nameOf = (loss: Loss): string => (loss.name ? `the loss '${loss.name}'` : 'the loss')

/**
 * The losses of m samples, [m]: trailing axes are averaged, and steps that count differently added up.
 *
 * @param prediction [m, …]
 * @param weights factors of the samples [m], or of their steps [m, T]
 * @throws ERR_SHAPE for values that are neither [m] nor shaped like the prediction, or like its steps; ERR_NOT_DIFFERENTIABLE for a loss that does not
 *   depend on the prediction by operations of tensors, or reads its values
 */
export function lossesOf(loss: Loss, prediction: Tensor, target: Tensor, weights?: Tensor): Tensor {
  const m = prediction.shape[0] as number
  const perStep = weights !== undefined && weights.rank > 1
  const losses = called(loss, prediction, target, perStep ? { mask: notEqual(weights, 0) } : {})
  const steps = losses.rank > 1 && sameShape(losses.shape, prediction.shape.slice(0, -1))
  if (!sameShape(losses.shape, [m]) && !sameShape(losses.shape, prediction.shape) && !steps) {
    const crossed = losses.rank === 2 && losses.shape[0] === losses.shape[1]
    const remedy = crossed
      ? ': shapes were broadcast against each other; bring the prediction and the target to one shape before they meet, as p.sub(y.reshape(p.shape))'
      : losses.rank === 0
        ? ": leave the mean over samples to the trainer, which passes reduction: 'none'"
        : ''
    throw new WengertError(
      'ERR_SHAPE',
      `${nameOf(loss)} gives shape ${formatShape(losses.shape)} for predictions ${formatShape(prediction.shape)} and targets ${formatShape(target.shape)}; expected one value a sample, [${m}], or the prediction's shape${remedy}`,
      { expected: [m], actual: losses.shape },
    )
  }
  if (!depends(losses, prediction))
    throw new WengertError(
      'ERR_NOT_DIFFERENTIABLE',
      `${nameOf(loss)} does not depend on the prediction in a way that has a derivative, so it would train nothing; compute it from the prediction by operations of tensors (p.sub(y).square()), not from values that were read`,
    )
  if (perStep) return ofWeightedSteps(loss, losses, weights)
  const each = losses.rank === 1 ? losses : mean(reshape(losses, [m, losses.size / Math.max(1, m)]), 1)
  return weights ? mul(each, weights) : each
}

/** The sums over a sample's steps: means would depend on how many are padding. Errors: ERR_SHAPE for losses that have no steps to count. */
function ofWeightedSteps(loss: Loss, losses: Tensor, weights: Tensor): Tensor {
  const [m, steps] = weights.shape as [number, number]
  if (!sameShape(losses.shape.slice(0, 2), weights.shape))
    throw new WengertError(
      'ERR_SHAPE',
      `${nameOf(loss)} gives one value a sample, ${formatShape(losses.shape)}, and not every step of the targets counts: expected one value a step, ${formatShape(weights.shape)}, or for each element; its option mask says which steps count`,
      { expected: weights.shape, actual: losses.shape },
    )
  const each = losses.rank === 2 ? losses : mean(reshape(losses, [m, steps, losses.size / Math.max(1, m * steps)]), 2)
  return sum(mul(each, weights), 1)
}

function called(loss: Loss, prediction: Tensor, target: Tensor, more: LossOptions): Tensor {
  try {
    return loss(prediction, target, { reduction: 'none', ...more }).resolve()
  } catch (error) {
    if (!(error instanceof WengertError) || error.code !== 'ERR_VALUE_NEEDED' || !readsPrediction(loss, prediction, target)) throw error
    throw new WengertError(
      'ERR_NOT_DIFFERENTIABLE',
      `${nameOf(loss)} reads the values of the prediction (data, item, toArray): what JavaScript computes from them has no derivative. Use operations of tensors; where() makes a choice`,
      { cause: error },
    )
  }
}

/** Whether a loss that reads values reads those of the prediction, not of the target alone. */
function readsPrediction(loss: Loss, prediction: Tensor, target: Tensor): boolean {
  try {
    loss(new Abstract(prediction.shape, prediction.dtype), emptyTensor(target.shape, target.dtype), { reduction: 'none' })
    return false
  } catch (error) {
    return error instanceof WengertError && error.code === 'ERR_VALUE_NEEDED'
  }
}

/** Whether there is a differentiable way on the tape from the prediction to the losses; nothing is said of what is on no tape. */
function depends(losses: Tensor, prediction: Tensor): boolean {
  const from = prediction.resolve()
  if (!(from instanceof Variable)) return true
  const { entries } = from.trace
  if (!entries[from.index]?.active) return true
  if (!(losses instanceof Variable) || losses.trace !== from.trace) return false
  // Entries follow what they are made of: nothing before the prediction leads to it.
  const open = [losses.index]
  const seen = new Set(open)
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (at === from.index) return true
    const entry = entries[at]
    for (const source of entry?.active ? entry.sources : []) {
      if (source < from.index || seen.has(source)) continue
      seen.add(source)
      open.push(source)
    }
  }
  return false
}
