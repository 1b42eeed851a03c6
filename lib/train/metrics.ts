/**
 * Metrics. *Means*: one number a sample, made by the programs themselves; an epoch's metric is their mean. *Wholes* need all
 * predictions at once (a confusion matrix, a curve): they are made from a prediction pass over a validation or evaluation
 * set, never from the training batches, whose predictions are of different parameters.
 * To add one: a row in `means` (a function on tensors) or in `wholes` (a function on arrays, lib/train/scores.ts).
 */

import { WengertError } from '../errors.js'
import type { Loss } from '../nn/loss.js'
import { abs, equal, greater, less, logicalAnd, notEqual, square, sub, where } from '../primitives/elementwise.js'
import { takeAlong } from '../primitives/indexing.js'
import { cast, reshape } from '../primitives/movement.js'
import { argmax, mean, sum } from '../primitives/reduce.js'
import { full } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import { type FloatDtype, isFloat } from '../util/dtype.js'
import { checkNumber, describe, nearest } from '../util/options.js'
import { formatShape, sameShape, sizeOf } from '../util/shape.js'
import { type Counting, countsSteps, stepsAsSamples } from './counting.js'
import { contextOf, limitsOf, type MetricContext, refuseValues } from './metric-context.js'
import { brier, confusionMatrix, logLoss, macro, type Predictions, prAuc, rocAuc, rSquared } from './scores.js'

/** (prediction [m, …], target [m, …]) → [m]; `finish` turns the mean over samples into the metric. */
export interface MeanMetric {
  readonly name: string
  /** One value a sample; the metric is their mean. */
  perSample(prediction: Tensor, target: Tensor, context: MetricContext): Tensor
  /** From the mean over samples to the metric. */
  finish?(mean: number): number
  /** Whether steps of a sample are samples of their own, where each has a target: the library's. */
  readonly perStep?: boolean
}

/** Whether metrics may leave out some of a set like this. */
export const countsSome = (loss: Loss, sample: Counting): boolean => loss.ignoreIndex !== undefined || countsSteps(sample)

/**
 * What a batch adds to the report: of each metric its terms and, where not all counts, how much of it does. The library's metrics take
 * each step that has a target as a sample, and leave out the labels of `ignoreIndex` and the steps that weigh 0; one of a
 * user's own is given whole samples, and the mask.
 *
 * @param weights of samples [m], of no account here, or of steps [m, T]
 */
export function metricsOfBatch(
  metrics: readonly MeanMetric[],
  loss: Loss,
  prediction: Tensor,
  target: Tensor,
  weights: Tensor | undefined,
): Tensor[] {
  if (metrics.length === 0) return []
  const mask = weights && weights.rank > 1 ? notEqual(weights, 0) : undefined
  const steps = mask !== undefined || ofSteps(prediction, target)
  const [p, raw] = steps ? [stepsAsSamples(prediction), stepsAsSamples(target)] : [prediction, target]
  const rows = p.shape[0] as number
  const { ignoreIndex } = loss
  const labels = !isFloat(raw.dtype) && raw.size === rows
  const within = mask && reshape(mask, [rows])
  const kept = ignoreIndex !== undefined && labels ? notEqual(reshape(raw, [rows]), ignoreIndex) : undefined
  const counted = within && kept ? logicalAnd(within, kept) : (within ?? kept)
  // What does not count stands for any class.
  const y = counted && labels ? where(reshape(counted, raw.shape), raw, 0) : raw
  const context = contextOf(loss, sizeOf(p.shape.slice(1)))
  const terms = metrics.map((metric) => {
    if (!metric.perStep) return metric.perSample(prediction, target, { ...context, ...(mask && { mask }) })
    const values = metric.perSample(p, y, context)
    if (counted) return where(counted, cast(values, prediction.dtype), 0)
    return steps ? mean(reshape(cast(values, prediction.dtype), [prediction.shape[0] as number, -1]), 1) : values
  })
  if (counted) return [...terms, counted]
  return ignoreIndex === undefined ? terms : [...terms, full([rows], 1, { dtype: p.dtype as FloatDtype })]
}

/** From all predictions of a set. */
export interface WholeMetric {
  readonly name: string
  whole(predictions: Predictions): number | number[][]
}

/**
 * A user's own: all predictions [m, …] and targets [m, …] as tensors → a number; its result stands in `custom` under its name. Where not
 * every step of a sample counts, `mask` [m, T] says which do.
 */
export type CustomMetric = (prediction: Tensor, target: Tensor, context: { mask?: Tensor }) => number | Tensor

const outputsOf = (prediction: Tensor): number => sizeOf(prediction.shape.slice(1))

/** The class of each sample. Errors: ERR_OPTION for a loss whose targets are numbers; ERR_SHAPE. */
function targetClasses(name: string, prediction: Tensor, target: Tensor, context: MetricContext): Tensor {
  const m = prediction.shape[0] as number
  const outputs = outputsOf(prediction)
  const perTarget = sizeOf(target.shape.slice(1))
  refuseValues(name, context)
  if (outputs === 1) return greater(reshape(target, [m]), limitsOf(name, context).target)
  if (perTarget === outputs && isFloat(target.dtype)) return argmax(reshape(target, [m, outputs]), 1)
  if (perTarget !== 1) {
    throw new WengertError(
      'ERR_SHAPE',
      `${name}: expected class indices or a distribution over ${outputs} classes, got targets ${formatShape(target.shape)}`,
      { actual: target.shape },
    )
  }
  return reshape(target, [m])
}

/** Whether targets [m, T] are labels of the steps of outputs [m, T, classes]. */
const ofSteps = (prediction: Tensor, target: Tensor): boolean =>
  prediction.rank > 2 && sameShape(target.shape, prediction.shape.slice(0, -1))

/**
 * The share of samples whose class is predicted: the largest output where there are several; one output counts as class 1
 * above ½ where the loss takes probabilities, above 0 where it takes logits or scores. With a label a step: the share of all steps that
 * count.
 */
const accuracy: MeanMetric = {
  name: 'accuracy',
  perStep: true,
  perSample: (prediction, target, context) => {
    const m = prediction.shape[0] as number
    const outputs = outputsOf(prediction)
    const classes = targetClasses('accuracy', prediction, target, context)
    if (outputs === 1) return equal(greater(reshape(prediction, [m]), limitsOf('accuracy', context).output), classes)
    return equal(argmax(reshape(prediction, [m, outputs]), 1), cast(classes, 'int32'))
  },
}

/**
 * The share of samples whose class is among the k largest outputs; ties count for the class. With a label a step as accuracy.
 *
 * @param k 1 … the number of classes
 * @throws ERR_RANGE
 * @example await trainer.evaluate(data, { metrics: [top(2)] })   // { cost, custom: { top2: 0.98 } }; 'top3' and 'top5' have names
 */
export function top(k: number): MeanMetric {
  checkNumber('top', 'k', k, { integer: true, min: 1 })
  const name = `top${k}`
  return {
    name,
    perStep: true,
    perSample: (prediction, target, context) => {
      const m = prediction.shape[0] as number
      const outputs = outputsOf(prediction)
      if (outputs < k) throw new WengertError('ERR_OPTION', `${name}: expected at least ${k} classes, got ${outputs}`, { actual: outputs })
      const scores = reshape(prediction, [m, outputs])
      const classes = cast(reshape(targetClasses(name, prediction, target, context), [m, 1]), 'int32')
      return less(sum(cast(greater(scores, takeAlong(scores, classes, 1)), prediction.dtype), 1), k)
    },
  }
}

/** The mean over a sample's outputs of a function of the errors. Errors: ERR_SHAPE for class targets. */
function ofErrors(name: string, f: (errors: Tensor) => Tensor, finish?: (x: number) => number): MeanMetric {
  return {
    name,
    perStep: true,
    perSample: (prediction, target) => {
      const m = prediction.shape[0] as number
      if (prediction.size !== target.size)
        throw new WengertError(
          'ERR_SHAPE',
          `${name}: expected targets like the predictions, ${formatShape(prediction.shape)}, got ${formatShape(target.shape)}`,
          { expected: prediction.shape, actual: target.shape },
        )
      const width = outputsOf(prediction)
      return mean(f(sub(reshape(prediction, [m, width]), cast(reshape(target, [m, width]), prediction.dtype))), 1)
    },
    ...(finish && { finish }),
  }
}

const means = {
  accuracy,
  top3: top(3),
  top5: top(5),
  mae: ofErrors('mae', abs),
  mse: ofErrors('mse', square),
  rmse: ofErrors('rmse', square, Math.sqrt),
}

const wholes = {
  precision: { name: 'precision', whole: (p) => macro(confusionMatrix(p), 'precision') },
  recall: { name: 'recall', whole: (p) => macro(confusionMatrix(p), 'recall') },
  f1: { name: 'f1', whole: (p) => macro(confusionMatrix(p), 'f1') },
  confusionMatrix: { name: 'confusionMatrix', whole: confusionMatrix },
  rocAuc: { name: 'rocAuc', whole: rocAuc },
  prAuc: { name: 'prAuc', whole: prAuc },
  logLoss: { name: 'logLoss', whole: logLoss },
  brier: { name: 'brier', whole: brier },
  r2: { name: 'r2', whole: rSquared },
} satisfies Record<string, WholeMetric>

/** The metrics that are means over samples. */
export type MeanName = keyof typeof means
/** The metrics known by name. */
export type MetricName = MeanName | keyof typeof wholes
/** What a metric gives. */
export type MetricValue<Name extends MetricName> = Name extends 'confusionMatrix' ? number[][] : number
/** A name, `top(k)`, or a function of one's own. */
export type MetricSpec = MetricName | MeanMetric | CustomMetric

/** The metrics asked for, sorted by how they are made. `named` are those whose results stand beside the cost. */
export interface Metrics {
  readonly means: readonly MeanMetric[]
  readonly wholes: readonly WholeMetric[]
  readonly custom: readonly { name: string; whole: CustomMetric }[]
}

export const noMetrics: Metrics = { means: [], wholes: [], custom: [] }

export const isNamed = (name: string): name is MetricName => Object.hasOwn(means, name) || Object.hasOwn(wholes, name)

/** Sorts what a user asked for. Errors: ERR_OPTION for an unknown name, a function without one, a name given twice. */
export function checkMetrics(where: string, specs: unknown): Metrics {
  if (specs === undefined) return noMetrics
  if (!Array.isArray(specs))
    throw new WengertError('ERR_OPTION', `${where}: expected metrics to be a list, got ${describe(specs)}`, { actual: specs })
  const found = { means: [] as MeanMetric[], wholes: [] as WholeMetric[], custom: [] as { name: string; whole: CustomMetric }[] }
  const seen = new Set<string>()
  for (const spec of specs as unknown[]) {
    const name = typeof spec === 'string' ? spec : ((spec as { name?: unknown } | null)?.name ?? '')
    const known = [...Object.keys(means), ...Object.keys(wholes)]
    if (typeof spec === 'string' && !isNamed(spec)) {
      const near = nearest(spec, known)
      throw new WengertError(
        'ERR_OPTION',
        `${where}: expected each metric to be one of ${known.join(', ')}, top(k) or a function, got '${spec}'${near ? `; did you mean '${near}'?` : ''}`,
        {
          expected: known,
          actual: spec,
        },
      )
    }
    const own = typeof spec === 'function' || (typeof spec === 'object' && spec !== null && 'perSample' in spec)
    if (typeof spec !== 'string' && !own)
      throw new WengertError('ERR_OPTION', `${where}: expected each metric to be a name, top(k) or a function, got ${describe(spec)}`, {
        actual: spec,
      })
    if (typeof name !== 'string' || name === '' || seen.has(name) || (typeof spec === 'function' && isNamed(name)))
      throw new WengertError(
        'ERR_OPTION',
        `${where}: expected metrics with names of their own, got ${name === '' ? 'a function without a name' : `'${String(name)}' twice`}`,
        {
          actual: spec,
        },
      )
    seen.add(name)
    if (typeof spec === 'function') found.custom.push({ name, whole: spec as CustomMetric })
    else if (typeof spec === 'object') found.means.push(spec as MeanMetric)
    else if (Object.hasOwn(means, spec)) found.means.push(means[spec as keyof typeof means])
    else found.wholes.push(wholes[spec as keyof typeof wholes])
  }
  return found
}
