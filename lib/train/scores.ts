/** Metrics of a whole set of predictions, as plain functions on arrays: counts, ranks and sums in float64. */

import { WengertError } from '../errors.js'
import type { TypedArray } from '../util/dtype.js'

/** All predictions of a set beside its targets. */
export interface Predictions {
  /** [samples, outputs], row-major. */
  readonly values: TypedArray
  readonly samples: number
  readonly outputs: number
  /** [samples, outputs], or one class index a sample. */
  readonly targets: TypedArray
  /** Above which one output, and one target, mean class 1; undefined where the loss teaches numbers and not classes. */
  readonly threshold: { output: number; target: number } | undefined
  readonly loss: string
}

function refuseValues(name: string, { threshold, loss }: Predictions): { output: number; target: number } {
  if (threshold === undefined)
    throw new WengertError('ERR_OPTION', `${name}: expected a loss for classes, got ${loss}, whose targets are numbers`, { actual: loss })
  return threshold
}

/** The index of the largest of `n` values from `from`, the first of equals. */
function largest(values: ArrayLike<number>, from: number, n: number): number {
  let best = 0
  for (let i = 1; i < n; i++) if ((values[from + i] as number) > (values[from + best] as number)) best = i
  return best
}

/** The class of each sample, as the targets have it. */
function trueClass({ targets, samples, outputs, threshold }: Predictions, i: number): number {
  if (outputs === 1) return (targets[i] as number) > (threshold?.target ?? 0.5) ? 1 : 0
  return targets.length === samples ? (targets[i] as number) : largest(targets, i * outputs, outputs)
}

/** counts[c][k]: samples of class c that were predicted as k. One output makes two classes. */
export function confusionMatrix(p: Predictions): number[][] {
  const limit = refuseValues('confusionMatrix', p)
  const classes = p.outputs === 1 ? 2 : p.outputs
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0))
  for (let i = 0; i < p.samples; i++) {
    const predicted = p.outputs === 1 ? ((p.values[i] as number) > limit.output ? 1 : 0) : largest(p.values, i * p.outputs, p.outputs)
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

/** Area under the curve of one score against a class: the chance that a positive scores above a negative, ties half. */
function area(scores: ArrayLike<number>, positive: (i: number) => boolean, n: number, at: (i: number) => number): number {
  const order = Array.from({ length: n }, (_, i) => i).sort((a, b) => (scores[at(a)] as number) - (scores[at(b)] as number))
  let ranks = 0
  let positives = 0
  for (let i = 0; i < n; ) {
    let j = i
    while (j < n && scores[at(order[j] as number)] === scores[at(order[i] as number)]) j++
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
 * Area under the ROC curve. With one output, of that output; with several, the mean over classes of each against the rest
 * (by the outputs as they are: ranks do not care for a monotone last layer, but a softmax is not one; give probabilities
 * where figures of other programs are to be met).
 *
 * @throws ERR_DATA where a class does not occur, or nothing else does
 */
export function rocAuc(p: Predictions): number {
  refuseValues('rocAuc', p)
  const classes = Array.from({ length: p.samples }, (_, i) => trueClass(p, i))
  const wanted = p.outputs === 1 ? [1] : Array.from({ length: p.outputs }, (_, c) => c)
  const areas = wanted.map((c) => {
    const value = area(
      p.values,
      (i) => classes[i] === c,
      p.samples,
      (i) => (p.outputs === 1 ? i : i * p.outputs + c),
    )
    if (Number.isFinite(value)) return value
    throw new WengertError(
      'ERR_DATA',
      `rocAuc: expected samples of class ${c} and of others, got ${classes.includes(c) ? 'no others' : 'none of it'}`,
    )
  })
  return areas.reduce((a, b) => a + b, 0) / areas.length
}

/**
 * R² = 1 − Σ(y − ŷ)²/Σ(y − ȳ)², the mean over outputs; for an output whose targets are all equal 1 where they are met, else 0.
 *
 * @throws ERR_OPTION for class targets
 */
export function rSquared(p: Predictions): number {
  if (p.targets.length !== p.values.length)
    throw new WengertError('ERR_OPTION', `r2: expected targets that are numbers, as the predictions, got class labels (${p.loss})`)
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
