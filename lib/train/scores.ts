/** Metrics of a whole set of predictions, as plain functions on arrays: counts, ranks and sums in float64. */

import { WengertError } from '../errors.js'
import { isRelative } from '../nn/loss-outputs.js'
import type { TypedArray } from '../util/dtype.js'
import { averagePrecision, brierScore, meanLogLoss, softmaxInto } from '../util/scores.js'
import { limitsOf, type MetricContext, refuseValues } from './metric-context.js'

/** All predictions of a set beside its targets. */
export interface Predictions {
  /** [samples, outputs], row-major. */
  readonly values: TypedArray
  readonly samples: number
  readonly outputs: number
  /** [samples, outputs], or one class index a sample. */
  readonly targets: TypedArray
  readonly context: MetricContext
}

/** The index of the largest of `n` values from `from`, the first of equals. */
function largest(values: ArrayLike<number>, from: number, n: number): number {
  let best = 0
  for (let i = 1; i < n; i++) if ((values[from + i] as number) > (values[from + best] as number)) best = i
  return best
}

/** The class of each sample, as the targets have it. */
function trueClass({ targets, samples, outputs, context }: Predictions, i: number): number {
  if (outputs === 1) return (targets[i] as number) > (context.targets === 'signs' ? 0 : 0.5) ? 1 : 0
  return targets.length === samples ? (targets[i] as number) : largest(targets, i * outputs, outputs)
}

/** counts[c][k]: samples of class c that were predicted as k. One output makes two classes. */
export function confusionMatrix(p: Predictions): number[][] {
  refuseValues('confusionMatrix', p.context)
  const limit = p.outputs === 1 ? limitsOf('confusionMatrix', p.context).output : NaN
  const classes = p.outputs === 1 ? 2 : p.outputs
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0))
  for (let i = 0; i < p.samples; i++) {
    const predicted = p.outputs === 1 ? ((p.values[i] as number) > limit ? 1 : 0) : largest(p.values, i * p.outputs, p.outputs)
    const row = counts[trueClass(p, i)] as number[]
    row[predicted] = (row[predicted] as number) + 1
  }
  return counts
}

/**
 * Precision Σ tp/(tp + fp), recall tp/(tp + fn), or F1 2tp/(2tp + fp + fn): with two classes those of class 1, with more the
 * mean over the classes that occur among targets or predictions; 0/0 counts as 0.
 */
export function macro(counts: readonly (readonly number[])[], kind: 'precision' | 'recall' | 'f1'): number {
  const of = (c: number): number | undefined => {
    const tp = counts[c]?.[c] as number
    const fn = (counts[c] as readonly number[]).reduce((a, b) => a + b, 0) - tp
    const fp = counts.reduce((sum, row) => sum + (row[c] as number), 0) - tp
    if (tp + fn + fp === 0) return undefined
    const [above, below] = { precision: [tp, tp + fp], recall: [tp, tp + fn], f1: [2 * tp, 2 * tp + fp + fn] }[kind] as [number, number]
    return below === 0 ? 0 : above / below
  }
  if (counts.length === 2) return of(1) ?? 0
  const values = counts.map((_, c) => of(c)).filter((v) => v !== undefined)
  return values.reduce((a, b) => a + b, 0) / values.length
}

/** Area under the curve of a score of each sample: the chance that a positive scores above a negative, ties half. */
function area(scores: ArrayLike<number>, positive: (i: number) => boolean): number {
  const n = scores.length
  const order = Array.from({ length: n }, (_, i) => i).sort((a, b) => (scores[a] as number) - (scores[b] as number))
  let ranks = 0
  let positives = 0
  for (let i = 0; i < n; ) {
    let j = i
    while (j < n && scores[order[j] as number] === scores[order[i] as number]) j++
    for (let k = i; k < j; k++) {
      if (!positive(order[k] as number)) continue
      ranks += (i + j + 1) / 2
      positives++
    }
    i = j
  }
  return (ranks - (positives * (positives + 1)) / 2) / (positives * (n - positives))
}

/**
 * How much each sample speaks for class c. Of outputs that count only together, how far that of the class stands above the
 * others: ln pᵢ − ln(1 − pᵢ) = zᵢ − ln Σₖ≠ᵢ e^zₖ of logits, which has the order of the probabilities and not their rounding near 0
 * and 1, and zᵢ − maxₖ≠ᵢ zₖ of scores. Any other output says it by itself.
 */
function scoresOfClass({ values, samples, outputs, context }: Predictions, c: number): Float64Array {
  return Float64Array.from({ length: samples }, (_, i) => {
    const at = i * outputs
    const own = values[at + c] as number
    if (outputs === 1 || !isRelative(context.outputs)) return own
    let rival = -Infinity
    for (let k = 0; k < outputs; k++) if (k !== c) rival = Math.max(rival, values[at + k] as number)
    if (context.outputs === 'classScores') return own - rival
    let sum = 0
    for (let k = 0; k < outputs; k++) if (k !== c) sum += Math.exp((values[at + k] as number) - rival)
    return own - rival - Math.log(sum)
  })
}

/**
 * Area under the ROC curve. With one output, of that output; with several, the mean over classes of each against the rest, by
 * the probabilities of the class (the softmax of a loss on logits) or its scores.
 *
 * @throws ERR_DATA where a class does not occur, or nothing else does; ERR_OPTION where the loss does not tell what several
 *   outputs mean
 */
export function rocAuc(p: Predictions): number {
  const { context, outputs, samples } = p
  refuseValues('rocAuc', context)
  if (outputs > 1 && context.outputs === undefined)
    throw new WengertError(
      'ERR_OPTION',
      `rocAuc: ${context.loss} does not tell what its outputs mean; give it a property 'outputs', such as 'classLogits' or 'probabilities'`,
    )
  const classes = Array.from({ length: samples }, (_, i) => trueClass(p, i))
  const wanted = outputs === 1 ? [1] : Array.from({ length: outputs }, (_, c) => c)
  const areas = wanted.map((c) => {
    const value = area(scoresOfClass(p, outputs === 1 ? 0 : c), (i) => classes[i] === c)
    if (Number.isFinite(value)) return value
    throw new WengertError(
      'ERR_DATA',
      `rocAuc: expected samples of class ${c} and of others, got ${classes.includes(c) ? 'no others' : 'none of it'}`,
    )
  })
  return areas.reduce((a, b) => a + b, 0) / areas.length
}

/** Probabilities of classes, and the class of each sample; several outputs that stand for themselves are cases of their own. */
function chances(name: string, p: Predictions): { probabilities: Float64Array; k: number; classes: Int32Array }[] {
  const { values, samples, outputs, targets, context } = p
  refuseValues(name, context)
  const kind = context.outputs
  if (kind !== 'probabilities' && kind !== 'logits' && kind !== 'classLogits' && kind !== 'logProbabilities')
    throw new WengertError(
      'ERR_OPTION',
      `${name}: expected a loss whose outputs are probabilities or logits of them, got ${context.loss}`,
      {
        actual: kind,
      },
    )
  const chance = (z: number) => (kind === 'logits' ? 1 / (1 + Math.exp(-z)) : kind === 'logProbabilities' ? Math.exp(z) : z)
  if (outputs === 1 || (kind !== 'classLogits' && targets.length === values.length && !areDistributions(targets, samples, outputs))) {
    return Array.from({ length: outputs }, (_, c) => ({
      probabilities: Float64Array.from({ length: 2 * samples }, (_unused, i) => {
        const q = chance(values[(i >> 1) * outputs + c] as number)
        return i % 2 === 1 ? q : 1 - q
      }),
      k: 2,
      classes: Int32Array.from({ length: samples }, (_unused, i) => ((targets[i * outputs + c] as number) > 0.5 ? 1 : 0)),
    }))
  }
  const probabilities = new Float64Array(values.length)
  if (kind === 'classLogits') for (let i = 0; i < samples; i++) softmaxInto(values, i * outputs, outputs, 1, probabilities, i * outputs)
  else for (let i = 0; i < values.length; i++) probabilities[i] = chance(values[i] as number)
  return [{ probabilities, k: outputs, classes: Int32Array.from({ length: samples }, (_, i) => trueClass(p, i)) }]
}

/** Whether each row of targets is a distribution over classes. */
function areDistributions(targets: ArrayLike<number>, samples: number, outputs: number): boolean {
  for (let i = 0; i < samples; i++) {
    let sum = 0
    for (let c = 0; c < outputs; c++) sum += targets[i * outputs + c] as number
    if (Math.abs(sum - 1) > 1e-3) return false
  }
  return true
}

const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length

/** The mean of −ln p of the true class; the mean over outputs that stand for themselves. */
export const logLoss = (p: Predictions): number =>
  meanOf(chances('logLoss', p).map(({ probabilities, k, classes }) => meanLogLoss(probabilities, k, classes)))

/** The Brier score, Σ (p − y)² over the classes (of two classes the second's); the mean over outputs that stand for themselves. */
export const brier = (p: Predictions): number =>
  meanOf(chances('brier', p).map(({ probabilities, k, classes }) => brierScore(probabilities, k, classes)))

/**
 * Average precision of the second of two classes; the mean over the classes, each against the rest, where there are more.
 *
 * @throws ERR_DATA where a class does not occur
 */
export function prAuc(p: Predictions): number {
  return meanOf(
    chances('prAuc', p).flatMap(({ probabilities, k, classes }) =>
      (k === 2 ? [1] : Array.from({ length: k }, (_, c) => c)).map((c) => {
        const value = averagePrecision(
          Float64Array.from(classes, (_, i) => probabilities[i * k + c] as number),
          Array.from(classes, (label) => label === c),
        )
        if (Number.isFinite(value)) return value
        throw new WengertError('ERR_DATA', `prAuc: there are no samples of class ${c}, so it has no area`)
      }),
    ),
  )
}

/**
 * R² = 1 − Σ(y − ŷ)²/Σ(y − ȳ)², the mean over outputs; for an output whose targets are all equal 1 where they are met, else 0.
 *
 * @throws ERR_OPTION for class targets
 */
export function rSquared(p: Predictions): number {
  if (p.targets.length !== p.values.length)
    throw new WengertError('ERR_OPTION', `r2: targets are class labels (${p.context.loss}); it compares numbers, so use accuracy here`)
  let total = 0
  for (let k = 0; k < p.outputs; k++) {
    let mean = 0
    for (let i = 0; i < p.samples; i++) mean += (p.targets[i * p.outputs + k] as number) / p.samples
    let [residual, spread] = [0, 0]
    for (let i = 0; i < p.samples; i++) {
      const y = p.targets[i * p.outputs + k] as number
      residual += (y - (p.values[i * p.outputs + k] as number)) ** 2
      spread += (y - mean) ** 2
    }
    total += spread > 0 ? 1 - residual / spread : residual > 0 ? 0 : 1
  }
  return total / p.outputs
}
