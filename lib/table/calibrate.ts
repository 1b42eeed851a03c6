/** After training: how sure probabilities should be, and from which on a class is predicted, chosen on a validation set. */

import { WengertError } from '../errors.js'
import type { Module } from '../nn/module.js'
import { withMemoryErrors } from '../util/dtype.js'
import { checkChoice, checkOptions, describe } from '../util/options.js'
import { meanLogLoss, softmaxInto } from '../util/scores.js'
import { type FittedTable, partsOf } from './fit.js'
import { TablePredictor } from './predictor.js'
import { refuseShard } from './shard.js'
import type { Table } from './table.js'

/**
 * The temperature T that makes a model's probabilities softmax(z / T) most likely on a validation set: above 1 where it is
 * surer than it is right (Guo, Pleiss, Sun, Weinberger, 2017). Ranks and classes stay as they are. A weak prior, 2 (ln T)² of
 * the sum of the log losses, keeps a few rows from asking for certainty.
 *
 * @param model a trained model
 * @param rows the validation part: not rows that it was trained on
 * @throws ERR_OPTION for a target of numbers
 * @example const temperature = calibrate(model, table, validation)
 */
export function calibrate(model: Module, table: FittedTable, rows: Table): number {
  return withMemoryErrors('calibrate', () => {
    refuseShard('calibrate', rows)
    if (table.task === 'numbers')
      throw new WengertError('ERR_OPTION', 'calibrate: the target is a number; probabilities are of classes and labels')
    const target = partsOf.get(table)?.target as NonNullable<ReturnType<typeof partsOf.get>>['target']
    const p = new TablePredictor(model, table).values(rows)
    // Logarithms of probabilities are logits as good as the model's own.
    const z =
      table.task === 'labels'
        ? p.map((q) => Math.log(Math.max(q, 1e-300)) - Math.log(Math.max(1 - q, 1e-300)))
        : p.map((q) => Math.log(Math.max(q, 1e-300)))
    const y = target.encode(rows, 'float64').data
    const cost = table.task === 'labels' ? labelCost(z, y) : classCost(z, y, table.outputs)
    // A few rows that are told apart by chance would ask for certainty: ln T is drawn to 0, as by one more row or two.
    const pull = (logT: number) => (2 * logT * logT) / rows.length
    return Math.exp(minimum((logT) => cost(Math.exp(logT)) + pull(logT), Math.log(0.05), Math.log(20)))
  })
}

function classCost(z: ArrayLike<number>, y: ArrayLike<number>, k: number): (temperature: number) => number {
  const p = new Float64Array(y.length * k)
  return (temperature) => {
    for (let i = 0; i < y.length; i++) softmaxInto(z, i * k, k, temperature, p, i * k)
    return meanLogLoss(p, k, y)
  }
}

function labelCost(z: ArrayLike<number>, y: ArrayLike<number>): (temperature: number) => number {
  return (temperature) => {
    let sum = 0
    for (let i = 0; i < y.length; i++) {
      const s = (z[i] as number) / temperature
      sum += Math.max(s, 0) - s * (y[i] as number) + Math.log1p(Math.exp(-Math.abs(s)))
    }
    return sum / y.length
  }
}

/** The smallest value's place of a function with one valley, by the golden section. */
function minimum(f: (x: number) => number, low: number, high: number): number {
  const ratio = (Math.sqrt(5) - 1) / 2
  let [a, b] = [high - ratio * (high - low), low + ratio * (high - low)]
  let [fa, fb] = [f(a), f(b)]
  for (let i = 0; i < 40 && high - low > 1e-6; i++) {
    if (fa < fb) {
      ;[high, b, fb] = [b, a, fa]
      a = high - ratio * (high - low)
      fa = f(a)
    } else {
      ;[low, a, fa] = [a, b, fb]
      b = low + ratio * (high - low)
      fb = f(b)
    }
  }
  return (low + high) / 2
}

/** What a threshold is chosen for. */
export interface ThresholdOptions {
  /**
   * 'f1' of the second class (the default); 'accuracy'; 'balanced': the mean of both classes' recalls; or what mistakes
   * cost: `{ falsePositive: 1, falseNegative: 10 }`.
   */
  for?: 'f1' | 'accuracy' | 'balanced' | { falsePositive: number; falseNegative: number }
}

type Counts = { tp: number; fp: number; fn: number; tn: number }

function goodness(aim: NonNullable<ThresholdOptions['for']>): (c: Counts) => number {
  if (typeof aim === 'object') return ({ fp, fn }) => -(fp * aim.falsePositive + fn * aim.falseNegative)
  return {
    f1: ({ tp, fp, fn }: Counts) => (tp === 0 ? 0 : (2 * tp) / (2 * tp + fp + fn)),
    accuracy: ({ tp, tn }: Counts) => tp + tn,
    balanced: ({ tp, fp, fn, tn }: Counts) => tp / Math.max(1, tp + fn) + tn / Math.max(1, tn + fp),
  }[aim]
}

/**
 * The probability of the second class from which it is best predicted, on a validation set: between the two values that it
 * separates best.
 *
 * @param probabilities of the second class, one a row
 * @param positive whether the row is of that class
 * @throws ERR_DATA where a class does not occur; ERR_OPTION
 * @example
 * const threshold = chooseThreshold(probabilities, labels, { for: { falsePositive: 1, falseNegative: 10 } })
 */
export function chooseThreshold(
  probabilities: ArrayLike<number>,
  positive: ArrayLike<number | boolean>,
  options: ThresholdOptions = {},
): number {
  return withMemoryErrors('chooseThreshold', () => {
    checkOptions('chooseThreshold', options, ['for'])
    const aim = options.for ?? 'f1'
    if (typeof aim !== 'object') checkChoice('chooseThreshold', 'for', aim, ['f1', 'accuracy', 'balanced'] as const)
    else if (!(aim?.falsePositive >= 0 && aim?.falseNegative >= 0))
      throw new WengertError('ERR_OPTION', `chooseThreshold: expected for to name two costs, got ${describe(aim)}`)
    const n = probabilities.length
    if (positive.length !== n)
      throw new WengertError('ERR_DATA', `chooseThreshold: expected one truth for each of ${n} probabilities, got ${positive.length}`)
    const order = Uint32Array.from({ length: n }, (_, i) => i).sort((a, b) => (probabilities[b] as number) - (probabilities[a] as number))
    const good = goodness(aim)
    const positives = Array.from(positive).filter(Boolean).length
    if (positives === 0 || positives === n)
      throw new WengertError('ERR_DATA', `chooseThreshold: expected rows of both classes, got ${positives} of ${n} of the second`)
    const counts: Counts = { tp: 0, fp: 0, fn: positives, tn: n - positives }
    // None of them, at first.
    let best = good(counts)
    let threshold = n > 0 ? (1 + (probabilities[order[0] as number] as number)) / 2 : 0.5
    for (let i = 0; i < n; ) {
      const p = probabilities[order[i] as number] as number
      for (; i < n && probabilities[order[i] as number] === p; i++) {
        if (positive[order[i] as number]) {
          counts.tp++
          counts.fn--
        } else {
          counts.fp++
          counts.tn--
        }
      }
      const value = good(counts)
      if (value <= best) continue
      best = value
      const next = i < n ? (probabilities[order[i] as number] as number) : 0
      threshold = (p + next) / 2
    }
    return Math.min(Math.max(threshold, 1e-9), 1 - 1e-9)
  })
}
