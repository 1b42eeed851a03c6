/** Cost and metrics of a set of samples, from the sums and predictions that programs leave. */

import type { BlockResult } from '../backend/program.js'
import { WengertError } from '../errors.js'
import type { Loss } from '../nn/loss.js'
import { Tensor } from '../tensor/tensor.js'
import type { BoundedCache, Held } from '../util/bounded-cache.js'
import { dtypeOf, isFloat, type TypedArray } from '../util/dtype.js'
import { describe, short } from '../util/options.js'
import { sizeOf } from '../util/shape.js'
import { inAgreement } from './agreement.js'
import { FitPlan } from './fit-plan.js'
import type { Scores } from './history.js'
import { contextOf } from './metric-context.js'
import { isNamed, type Metrics, refuseUncounted } from './metrics.js'
import { reportLayout, type StepParts } from './parts.js'
import type { Prepared } from './prepare.js'
import type { Predictions } from './scores.js'

/** Whether metrics need all predictions of a set at once. */
export const needsPredictions = ({ wholes, custom }: Metrics): boolean => wholes.length + custom.length > 0

/** Sums of a report as means over samples. */
export function meansOf(report: Float64Array, at: number, metrics: Metrics, samples: number): Scores {
  const scores: Scores = { cost: 0 }
  putMeans(scores, report, at, metrics, samples)
  return scores
}

/** Writes the cost and the means into scores that are there already. */
export function putMeans(scores: Scores, report: Float64Array, at: number, metrics: Metrics, samples: number): void {
  scores.cost = (report[at] as number) / samples
  for (let i = 0; i < metrics.means.length; i++) {
    const { name, finish } = metrics.means[i] as Metrics['means'][number]
    const mean = (report[at + 1 + i] as number) / samples
    put(scores, name, finish ? finish(mean) : mean)
  }
}

function put(scores: Scores, name: string, value: number | number[][]): void {
  if (isNamed(name)) (scores as Record<string, unknown>)[name] = value
  else scores.custom = { ...scores.custom, [name]: value as number }
}

/** What a metric of a user's own gave. Errors: ERR_VALUE. */
function numberOf(name: string, value: unknown): number {
  const number = value instanceof Tensor && value.size === 1 ? value.item() : value
  if (typeof number === 'number') return number
  const hint = value instanceof Promise ? '; a metric is no async function' : ''
  throw new WengertError(
    'ERR_VALUE',
    `metrics: expected ${short(name)} to return a number or a tensor of one, got ${describe(value)}${hint}`,
    { actual: value },
  )
}

/** What metrics of all predictions count: a label a step as a sample of its own, and none of the loss's `ignoreIndex`. Errors: ERR_DATA for no labels. */
function countedOf(values: TypedArray, { y, samples, output }: Prepared, loss: Loss): Predictions {
  const steps = loss.targets === 'classes' && output.length > 1 && y.size === sizeOf([samples, ...output.slice(0, -1)])
  const outputs = steps ? (output[output.length - 1] as number) : sizeOf(output)
  const context = contextOf(loss, outputs)
  const { ignoreIndex } = loss
  const all = { values, samples: steps ? y.size : samples, outputs, targets: y.data, context }
  if (ignoreIndex === undefined || isFloat(y.dtype) || !y.data.includes(ignoreIndex as never)) return all
  const targets = y.data.filter((label) => label !== ignoreIndex) as TypedArray
  if (targets.length === 0)
    throw new WengertError('ERR_DATA', `metrics: no label counts: all are ${ignoreIndex}, the loss's ignoreIndex`, { actual: ignoreIndex })
  const kept = values.slice(0, targets.length * outputs) as TypedArray
  let at = 0
  for (let i = 0; i < y.size; i++) {
    if (y.data[i] === ignoreIndex) continue
    kept.set(values.subarray(i * outputs, (i + 1) * outputs), at)
    at += outputs
  }
  return { values: kept, samples: targets.length, outputs, targets, context }
}

/** Means, and the metrics of all predictions. */
export function scoresOf(
  report: Float64Array,
  at: number,
  metrics: Metrics,
  data: Prepared,
  loss: Loss,
  predictions: TypedArray | undefined,
): Scores {
  const scores = meansOf(report, at, metrics, data.samples)
  if (!predictions) return scores
  if (metrics.wholes.length > 0) {
    const whole = countedOf(predictions, data, loss)
    for (const metric of metrics.wholes) put(scores, metric.name, metric.whole(whole))
  }
  for (const { name, whole: own } of metrics.custom) {
    const value = own(
      new Tensor([data.samples, ...data.output], dtypeOf(predictions) ?? 'float32', predictions.slice() as TypedArray),
      data.y,
    )
    put(scores, name, numberOf(name, value))
  }
  return scores
}

/**
 * Evaluates a set over a copy of the state.
 *
 * @param failed what a failed run means
 */
export async function evaluate(
  parts: StepParts,
  data: Prepared,
  metrics: Metrics,
  failed: (result: BlockResult, plan: FitPlan) => Error,
  cache: BoundedCache<Held> | undefined,
): Promise<Scores> {
  refuseUncounted(metrics, data.y, parts.loss)
  const report = reportLayout(parts.metrics.length, false, true, 0)
  const plan = new FitPlan({ parts, report, validation: data, predictions: needsPredictions(metrics), cache })
  const state = parts.state.copy()
  const runner = plan.runner(state)
  try {
    const result = await inAgreement('evaluate', parts.ranks !== undefined, async () => {
      const made = await runner.run({ epochs: 1, segments: plan.timetable.segments, windows: {} })
      if (made.status === 'failed') throw failed(made, plan)
      return made
    })
    await plan.gather(result.report)
    return scoresOf(result.report, report.validation, metrics, data, parts.loss, plan.predictions)
  } finally {
    runner.close()
    plan.close()
    state.release()
  }
}
