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
import { type Evaluating, FitPlan } from './fit-plan.js'
import type { Scores } from './history.js'
import { contextOf } from './metric-context.js'
import { countsSome, isNamed, type Metrics } from './metrics.js'
import { reportLayout, type StepParts } from './parts.js'
import { lengthsOf, type Prepared, sampleOf } from './prepare.js'
import type { Predictions } from './scores.js'
import { wholeTargets } from './shards.js'

/** Whether metrics need all predictions of a set at once. */
export const needsPredictions = ({ wholes, custom }: Metrics): boolean => wholes.length + custom.length > 0

/** Sums of a report as means over samples. */
export function meansOf(report: Float64Array, at: number, metrics: Metrics, samples: number, counted: boolean): Scores {
  const scores: Scores = { cost: 0 }
  putMeans(scores, report, at, metrics, samples, counted)
  return scores
}

/** Writes the cost and the means into scores that are there already; `counted`: the report says how much metrics count. */
export function putMeans(scores: Scores, report: Float64Array, at: number, metrics: Metrics, samples: number, counted: boolean): void {
  scores.cost = (report[at] as number) / samples
  const counts = counted ? (report[at + 1 + metrics.means.length] as number) : samples
  for (let i = 0; i < metrics.means.length; i++) {
    const { name, finish, perStep } = metrics.means[i] as Metrics['means'][number]
    const mean = (report[at + 1 + i] as number) / (perStep ? counts : samples)
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

/** Which steps of a set count, [m, T]; undefined where all do. */
function maskOf(data: Prepared): Tensor | undefined {
  const { x, samples, masked } = data
  const y = wholeTargets(data)
  const weights = data.shard ? data.shard.weights : data.weights
  const perStep = weights && weights.rank > 1 ? weights : undefined
  if (!masked && !perStep) return undefined
  const steps = y.shape[1] as number
  const lengths = masked ? (data.shard?.lengths ?? lengthsOf(x)) : undefined
  const mask = new Uint8Array(samples * steps)
  for (let i = 0; i < mask.length; i++) {
    const inside = lengths === undefined || i % steps < (lengths.data[Math.floor(i / steps)] as number)
    mask[i] = inside && perStep?.data[i] !== 0 ? 1 : 0
  }
  return new Tensor([samples, steps], 'bool', mask)
}

/** What metrics of all predictions count: a step that has a target as a sample of its own, and none that does not count. Errors: ERR_DATA for none. */
function countedOf(values: TypedArray, data: Prepared, loss: Loss): Predictions {
  const { samples, output } = data
  const y = wholeTargets(data)
  const mask = maskOf(data)
  const labelled = loss.targets === 'classes' && output.length > 1 && y.size === sizeOf([samples, ...output.slice(0, -1)])
  const rows = labelled ? y.size : mask ? mask.size : samples
  const outputs = values.length / rows
  const context = contextOf(loss, outputs)
  const { ignoreIndex } = loss
  const all = { values, samples: rows, outputs, targets: y.data, context }
  const ignoring = ignoreIndex !== undefined && !isFloat(y.dtype) && y.size === rows
  if (!ignoring && !mask) return all
  const counts = (i: number) => !(ignoring && y.data[i] === ignoreIndex) && mask?.data[i] !== 0
  const kept: number[] = []
  for (let i = 0; i < rows; i++) if (counts(i)) kept.push(i)
  if (kept.length === 0)
    throw new WengertError('ERR_DATA', `metrics: no label counts: all are ${ignoreIndex}, the loss's ignoreIndex, or weigh 0`, {
      actual: ignoreIndex,
    })
  const rowsOf = (from: TypedArray): TypedArray => {
    const width = from.length / rows
    const to = from.slice(0, kept.length * width) as TypedArray
    kept.forEach((i, at) => {
      to.set(from.subarray(i * width, (i + 1) * width), at * width)
    })
    return to
  }
  return { values: rowsOf(values), samples: kept.length, outputs, targets: rowsOf(y.data), context }
}

/** Errors: ERR_DATA for a metric of labels none of which counts. */
export function refuseUncounted({ means }: Metrics, { y, shard }: Prepared, { ignoreIndex }: Loss): void {
  const metric = means.find(({ perStep }) => perStep)
  // Of what others hold nothing is known here.
  if (shard || ignoreIndex === undefined || !metric || isFloat(y.dtype) || y.data.some((label) => label !== ignoreIndex)) return
  throw new WengertError('ERR_DATA', `${metric.name}: no label counts: all are ${ignoreIndex}, the loss's ignoreIndex`, {
    actual: ignoreIndex,
  })
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
  const scores = meansOf(report, at, metrics, data.samples, countsSome(loss, sampleOf(data)))
  if (!predictions) return scores
  if (metrics.wholes.length > 0) {
    const whole = countedOf(predictions, data, loss)
    for (const metric of metrics.wholes) put(scores, metric.name, metric.whole(whole))
  }
  const mask = metrics.custom.length > 0 ? maskOf(data) : undefined
  for (const { name, whole: own } of metrics.custom) {
    const value = own(
      new Tensor([data.samples, ...data.output], dtypeOf(predictions) ?? 'float32', predictions.slice() as TypedArray),
      wholeTargets(data),
      mask ? { mask } : {},
    )
    put(scores, name, numberOf(name, value))
  }
  return scores
}

/**
 * Evaluates a set over a copy of the state.
 *
 * @param evaluating how the set is cut; a part after the other by default
 * @param failed what a failed run means
 */
export async function evaluate(
  parts: StepParts,
  data: Prepared,
  metrics: Metrics,
  evaluating: (own: Prepared) => Evaluating | undefined,
  failed: (result: BlockResult, plan: FitPlan) => Error,
  cache: BoundedCache<Held> | undefined,
): Promise<Scores> {
  refuseUncounted(metrics, data, parts.loss)
  const report = reportLayout(parts.metrics.length, false, true, 0, metrics.means.length > 0 && countsSome(parts.loss, sampleOf(data)))
  const plan = new FitPlan({ parts, report, validation: data, evaluating, predictions: needsPredictions(metrics), cache })
  const state = parts.state.copy()
  const { segments } = plan.timetable
  // Of several processes one may have no sample.
  const runner = segments.length > 0 ? plan.runner(state) : undefined
  try {
    const sums = await inAgreement('evaluate', parts.ranks !== undefined, async () => {
      if (!runner) return new Float64Array(report.length)
      const made = await runner.run({ epochs: 1, segments, windows: {} })
      if (made.status === 'failed') throw failed(made, plan)
      return made.report
    })
    await plan.gather(sums)
    return scoresOf(sums, report.validation, metrics, data, parts.loss, plan.predictions)
  } finally {
    runner?.close()
    plan.close()
    state.release()
  }
}
