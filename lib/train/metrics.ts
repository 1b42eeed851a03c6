/** Metrics computed inside programs: each gives one number a sample; an epoch's metric is their mean. */

import { WengertError } from '../errors.js'
import type { TargetKind } from '../nn/loss.js'
import { equal, greater } from '../primitives/elementwise.js'
import { reshape } from '../primitives/movement.js'
import { argmax } from '../primitives/reduce.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { formatShape, sizeOf } from '../util/shape.js'

/** (prediction [m, …], target [m, …]) → [m]. */
export type Metric = (prediction: Tensor, target: Tensor, context: { targets: TargetKind; loss: string }) => Tensor

/**
 * The share of samples whose class is predicted: the largest output where there are several; one output counts as class 1
 * above ½, or above 0 where the loss takes logits.
 */
const accuracy: Metric = (prediction, target, { targets, loss }) => {
  const m = prediction.shape[0] as number
  const outputs = sizeOf(prediction.shape.slice(1))
  const perTarget = sizeOf(target.shape.slice(1))
  if (targets === 'values') {
    throw new WengertError('ERR_OPTION', `accuracy: expected a loss for classes, got ${loss}, whose targets are numbers`, { actual: loss })
  }
  if (outputs === 1) {
    const threshold = /logits/i.test(loss) ? 0 : 0.5
    return equal(greater(reshape(prediction, [m]), threshold), greater(reshape(target, [m]), 0.5))
  }
  const predicted = argmax(reshape(prediction, [m, outputs]), 1)
  if (perTarget === outputs && isFloat(target.dtype)) return equal(predicted, argmax(reshape(target, [m, outputs]), 1))
  if (perTarget !== 1) {
    throw new WengertError(
      'ERR_SHAPE',
      `accuracy: expected class indices or a distribution over ${outputs} classes, got targets ${formatShape(target.shape)}`,
      { actual: target.shape },
    )
  }
  return equal(predicted, reshape(target, [m]))
}

export const metrics = { accuracy } satisfies Record<string, Metric>
export type MetricName = keyof typeof metrics
