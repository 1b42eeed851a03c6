/** How good a model's answers are on rows that it has not seen: scores of probabilities, of decisions, of numbers. */

import { WengertError } from '../errors.js'
import type { Module } from '../nn/module.js'
import { withMemoryErrors } from '../util/dtype.js'
import { areaUnderRoc, averagePrecision, brierScore, calibrationError, meanLogLoss } from '../util/scores.js'
import { type AnswerOptions, classAt } from './answers.js'
import { type FittedTable, partsOf } from './fit.js'
import { unscaled } from './number.js'
import { TablePredictor } from './predictor.js'
import { refuseShard } from './shard.js'
import type { Table } from './table.js'
import type { Target } from './target.js'

/** Scores of a model on rows; those that suit its task. */
export interface TableScores {
  readonly rows: number
  /** Of classes: the share that is predicted right; of labels, of all labels of all rows. */
  readonly accuracy?: number
  /** The mean of −ln of the probability of what was true. */
  readonly logLoss?: number
  /** The mean squared distance of probabilities from what was true. */
  readonly brier?: number
  /** Area under the ROC curve; the mean over classes or labels where there are more than two, of those for which it is defined. */
  readonly rocAuc?: number
  /** Average precision; the mean over classes or labels where there are more than two. */
  readonly prAuc?: number
  /** Of the second of two classes at the threshold; the mean over classes or labels where there are more. */
  readonly precision?: number
  readonly recall?: number
  readonly f1?: number
  /** The mean distance between how sure the model is and how often it is right. */
  readonly calibrationError?: number
  /** counts[c][k] of class c predicted as k. */
  readonly confusionMatrix?: number[][]
  /** Of numbers, in their own units; the mean over columns where there are several. */
  readonly rmse?: number
  readonly mae?: number
  readonly r2?: number
}

/** Those that are numbers, if any is: of a label that all rows have, or none, an area is not defined. */
const told = (values: readonly number[]): readonly number[] =>
  values.every(Number.isNaN) ? values : values.filter((v) => !Number.isNaN(v))
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length
const column = (values: ArrayLike<number>, k: number, c: number, m: number): Float64Array =>
  Float64Array.from({ length: m }, (_, i) => values[i * k + c] as number)

/** Precision, recall and F1 of positives that were predicted `tp + fp` times and found `tp` times of `tp + fn`. */
function found(tp: number, fp: number, fn: number): [precision: number, recall: number, f1: number] {
  return [tp + fp === 0 ? 0 : tp / (tp + fp), tp + fn === 0 ? 0 : tp / (tp + fn), tp === 0 ? 0 : (2 * tp) / (2 * tp + fp + fn)]
}

function scoresOfClasses(p: Float64Array, y: ArrayLike<number>, k: number, threshold: number | undefined): TableScores {
  const m = y.length
  const counts = Array.from({ length: k }, () => new Array<number>(k).fill(0))
  for (let i = 0; i < m; i++) {
    const row = counts[y[i] as number] as number[]
    const at = classAt(p, i * k, k, threshold)
    row[at] = (row[at] as number) + 1
  }
  const each = counts.map((row, c) => {
    const tp = row[c] as number
    return found(tp, counts.reduce((sum, other) => sum + (other[c] as number), 0) - tp, row.reduce((a, b) => a + b, 0) - tp)
  })
  const present = counts.flatMap((row, c) => (row.some((n) => n > 0) ? [c] : []))
  const wanted = k === 2 ? [1] : present
  const areas = (of: typeof areaUnderRoc) =>
    mean(
      wanted.map((c) =>
        of(
          column(p, k, c, m),
          Array.from({ length: m }, (_, i) => y[i] === c),
        ),
      ),
    )
  const of = (which: 0 | 1 | 2) => mean(wanted.map((c) => (each[c] as readonly number[])[which] as number))
  return {
    rows: m,
    accuracy: counts.reduce((sum, row, c) => sum + (row[c] as number), 0) / m,
    logLoss: meanLogLoss(p, k, y),
    brier: brierScore(p, k, y),
    rocAuc: areas(areaUnderRoc),
    prAuc: areas(averagePrecision),
    precision: of(0),
    recall: of(1),
    f1: of(2),
    calibrationError: calibrationError(p, k, y),
    confusionMatrix: counts,
  }
}

function scoresOfLabels(p: Float64Array, y: ArrayLike<number>, k: number, threshold = 0.5): TableScores {
  const m = y.length / k
  const each = Array.from({ length: k }, (_, c) => {
    const q = column(p, k, c, m)
    const t = column(y, k, c, m)
    const two = Float64Array.from({ length: 2 * m }, (_unused, i) => (i % 2 ? (q[i >> 1] as number) : 1 - (q[i >> 1] as number)))
    return scoresOfClasses(two, t, 2, threshold)
  })
  const names = ['accuracy', 'logLoss', 'brier', 'rocAuc', 'prAuc', 'precision', 'recall', 'f1', 'calibrationError'] as const
  return { rows: m, ...Object.fromEntries(names.map((name) => [name, mean(told(each.map((scores) => scores[name] as number)))])) }
}

function scoresOfNumbers(p: Float64Array, y: Float64Array, k: number): TableScores {
  const m = y.length / k
  const each = Array.from({ length: k }, (_, c) => {
    const [q, t] = [column(p, k, c, m), column(y, k, c, m)]
    const middle = mean(Array.from(t))
    let [squares, distance, spread] = [0, 0, 0]
    for (let i = 0; i < m; i++) {
      const d = (q[i] as number) - (t[i] as number)
      squares += d * d
      distance += Math.abs(d)
      spread += ((t[i] as number) - middle) ** 2
    }
    return [Math.sqrt(squares / m), distance / m, spread > 0 ? 1 - squares / spread : squares > 0 ? 0 : 1] as const
  })
  return { rows: m, rmse: mean(each.map(([a]) => a)), mae: mean(each.map(([, b]) => b)), r2: mean(each.map(([, , c]) => c)) }
}

/** Scores of predicted values [m, k], as `TablePredictor.values` gives them, against targets as the table encodes them. */
function scoresOf(target: Target, values: Float64Array, y: ArrayLike<number>, threshold: number | undefined): TableScores {
  if (target.task === 'classes') return scoresOfClasses(values, y, target.outputs, threshold)
  if (target.task === 'labels') return scoresOfLabels(values, y, target.outputs, threshold)
  const k = target.outputs
  const own = Float64Array.from({ length: y.length }, (_, i) =>
    unscaled((target.scalings ?? [])[i % k] as NonNullable<Target['scalings']>[0], y[i] as number),
  )
  return scoresOfNumbers(values, own, k)
}

/**
 * How good a model is on rows of a table: in one go, or batch by batch of a stream, with memory for the answers alone.
 *
 * @param rows a table that holds the target, or batches of `streamTable`
 * @param options the threshold and temperature that are to be used
 * @throws (rejects) ERR_DATA, ERR_LABEL naming row and column
 * @example const { rocAuc, logLoss } = await scoreTable(model, table, test, { threshold: 0.4 })
 */
export async function scoreTable(
  model: Module,
  table: FittedTable,
  rows: Table | AsyncIterable<Table>,
  options: AnswerOptions = {},
): Promise<TableScores> {
  return withMemoryErrors('scoreTable', async () => {
    const predictor = new TablePredictor(model, table, options)
    const target = partsOf.get(table)?.target as Target
    const values: Float64Array[] = []
    const targets: ArrayLike<number>[] = []
    const add = (batch: Table) => {
      refuseShard('scoreTable', batch)
      // No text of labels is no label; any other target without a value says nothing.
      const known = target.separator === undefined ? batch.complete(...target.columns) : batch
      if (known.length === 0) return
      values.push(predictor.values(known))
      targets.push(target.encode(known, 'float64').data)
    }
    if (Symbol.asyncIterator in rows) for await (const batch of rows) add(batch)
    else add(rows)
    if (values.length === 0)
      throw new WengertError('ERR_DATA', `scoreTable: no row has a value of the target '${target.columns.join("', '")}'`)
    const joined = (parts: readonly ArrayLike<number>[]) => {
      const out = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0))
      let at = 0
      for (const part of parts) {
        out.set(part, at)
        at += part.length
      }
      return out
    }
    return scoresOf(target, joined(values), joined(targets), options.threshold)
  })
}
