/** What a model over a table goes by: how much worse it is without a column, and how its answer moves with one. */

import type { Module } from '../nn/module.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, type FloatDtype, withMemoryErrors } from '../util/dtype.js'
import { checkNumber, checkOptions } from '../util/options.js'
import { permutation, purposes } from '../util/random.js'
import { meanLogLoss } from '../util/scores.js'
import type { AnswerOptions } from './answers.js'
import { countsOf } from './category.js'
import { dateText } from './cell.js'
import type { Encoding, Raw } from './encoding.js'
import { type FittedTable, partsOf } from './fit.js'
import { TablePredictor } from './predictor.js'
import { encodeRows } from './rows.js'
import { refuseShard } from './shard.js'
import { quantilesOf } from './statistics.js'
import { type Table, unknownColumn } from './table.js'
import type { Target } from './target.js'

/** Of `permutationImportance`. */
export interface ImportanceOptions extends AnswerOptions {
  /** How often each column is shuffled; 3 by default. */
  repeats?: number
  /** At most so many rows, evenly spread; 2000 by default. */
  rows?: number
  seed?: number
}

/** How much a column matters to a model. */
export interface Importance {
  readonly column: string
  /** By how much the loss grows when the column is shuffled: log loss of classes and labels, mean squared error of numbers. */
  readonly importance: number
  /** The standard deviation over the repeats. */
  readonly spread: number
}

/** The features of some rows, and where each column's lie. */
class Features {
  readonly x: Tensor
  readonly width: number
  readonly #encodings: readonly Encoding[]
  readonly target: Target
  readonly predictor: TablePredictor

  constructor(model: Module, table: FittedTable, rows: Table, options: AnswerOptions) {
    const parts = partsOf.get(table) as NonNullable<ReturnType<typeof partsOf.get>>
    this.#encodings = parts.encodings
    this.target = parts.target
    this.width = parts.records.width
    this.predictor = new TablePredictor(model, table, options)
    const data = allocate(parts.dtype, rows.length * this.width)
    encodeRows(parts.encodings, rows, data as Float32Array, { known: parts.records.names, unknown: 'ignore' })
    this.x = new Tensor([rows.length, this.width], parts.dtype, data)
  }

  /** Every column with its encoding, and the place of its first feature. */
  *columns(): Generator<{ encoding: Encoding; at: number }> {
    let at = 0
    for (const encoding of this.#encodings) {
      yield { encoding, at }
      at += encoding.columns.length
    }
  }

  /** The features with those of one column changed, row by row. */
  changed(at: number, width: number, from: (row: number, k: number) => number): Tensor {
    const data = this.x.data.slice()
    for (let i = 0; i < (this.x.shape[0] as number); i++) for (let k = 0; k < width; k++) data[i * this.width + at + k] = from(i, k)
    return new Tensor(this.x.shape, this.x.dtype, data)
  }
}

function spaced(rows: Table, most: number): Table {
  if (rows.length <= most) return rows
  return rows.take(Uint32Array.from({ length: most }, (_, i) => Math.floor((i * rows.length) / most)))
}

function lossOf(target: Target, values: Float64Array, y: ArrayLike<number>, own: Float64Array): number {
  if (target.task === 'classes') return meanLogLoss(values, target.outputs, y)
  let sum = 0
  if (target.task === 'labels') {
    for (let i = 0; i < values.length; i++) sum -= Math.log(Math.max(y[i] ? (values[i] as number) : 1 - (values[i] as number), 1e-15))
  } else for (let i = 0; i < values.length; i++) sum += ((values[i] as number) - (own[i] as number)) ** 2
  return sum / values.length
}

/**
 * How much each column matters: the loss on these rows with the column's values shuffled among them, less the loss as they
 * are. Columns that say the same share what they say. The most important first.
 *
 * @param rows rows that the model was not trained on
 * @throws ERR_DATA naming row and column
 * @example for (const { column, importance } of permutationImportance(model, table, test)) console.log(column, importance)
 */
export function permutationImportance(model: Module, table: FittedTable, rows: Table, options: ImportanceOptions = {}): Importance[] {
  return withMemoryErrors('permutationImportance', () => {
    checkOptions('permutationImportance', options, ['repeats', 'rows', 'seed', 'outputs', 'threshold', 'temperature'])
    refuseShard('permutationImportance', rows)
    const { repeats = 3, rows: most = 2000, seed = 0, ...answer } = options
    checkNumber('permutationImportance', 'repeats', repeats, { integer: true, min: 1, max: 100 })
    checkNumber('permutationImportance', 'rows', most, { integer: true, min: 2 })
    const part = spaced(rows, most)
    const features = new Features(model, table, part, answer)
    const { target, predictor } = features
    const y = target.encode(part, 'float64').data
    const own = target.task === 'numbers' ? predictor.inUnits(y) : new Float64Array(0)
    const base = lossOf(target, predictor.valuesOf(features.x), y, own)
    const order = new Int32Array(part.length)
    const found: Importance[] = []
    let column = 0
    for (const { encoding, at } of features.columns()) {
      const width = encoding.columns.length
      const losses = Array.from({ length: repeats }, (_, r) => {
        permutation(order, { seed, purpose: purposes.split, a: column * repeats + r, b: 2 })
        const x = features.changed(at, width, (i, k) => features.x.data[(order[i] as number) * features.width + at + k] as number)
        return lossOf(target, predictor.valuesOf(x), y, own) - base
      })
      const importance = losses.reduce((a, b) => a + b, 0) / repeats
      const spread = Math.sqrt(losses.reduce((a, b) => a + (b - importance) ** 2, 0) / repeats)
      found.push({ column: encoding.name, importance, spread })
      column++
    }
    return found.sort((a, b) => b.importance - a.importance)
  })
}

/** How a model's answer moves with a column, all else as it is. */
export interface Dependence {
  readonly column: string
  /** Whether `at` are places on a line: numbers, or days. */
  readonly kind: 'number' | 'date' | 'category'
  /** The values that the column was given. */
  readonly at: readonly (number | string)[]
  /** The mean answer at each: of each class or label its probability, of numbers their value. */
  readonly answers: readonly { readonly name: string; readonly values: readonly number[] }[]
}

/** The values of a column at which to look, as the encoding takes them. */
function gridOf(encoding: Encoding, rows: Table): { at: (number | string)[]; raw: Raw[] } | undefined {
  const view = rows.column(encoding.name)
  if (encoding.kind === 'text') return undefined
  if (encoding.kind === 'category' || encoding.kind === 'boolean') {
    const { counts } = countsOf(view)
    const names = [...counts]
      .sort((a, b) => b[1] - a[1])
      .slice(0, 12)
      .map(([name]) => name)
    return { at: names, raw: names.map((name) => encoding.read(name, () => encoding.name)) }
  }
  const values = Float64Array.from(
    { length: view.length },
    (_, i) => (encoding.read(view.at(i), () => encoding.name) as number | undefined) ?? Number.NaN,
  ).filter((value) => !Number.isNaN(value))
  if (values.length === 0) return undefined
  const grid = [...new Set(quantilesOf(values, 21))]
  return { at: encoding.kind === 'date' ? grid.map((time) => dateText(Math.floor(time / 86_400_000) * 86_400_000)) : grid, raw: grid }
}

/**
 * Partial dependence: the mean of the model's answers over the rows when a column has the same value in all of them, at
 * quantiles of a number, or the most frequent categories. Not for texts (undefined).
 *
 * @throws ERR_OPTION for a column that the model does not use, with the nearest name
 */
export function partialDependence(
  model: Module,
  table: FittedTable,
  rows: Table,
  column: string,
  options: AnswerOptions & { rows?: number } = {},
): Dependence | undefined {
  return withMemoryErrors('partialDependence', () => {
    checkOptions('partialDependence', options, ['rows', 'outputs', 'threshold', 'temperature'])
    const { rows: most = 500, ...answer } = options
    refuseShard('partialDependence', rows)
    const part = spaced(rows, most)
    const features = new Features(model, table, part, answer)
    const all = [...features.columns()]
    const found = all.find(({ encoding }) => encoding.name === column)
    if (!found)
      throw unknownColumn(
        'partialDependence',
        'column',
        column,
        all.map(({ encoding }) => encoding.name),
      )
    const { encoding, at } = found
    const grid = gridOf(encoding, part)
    if (!grid || grid.at.length < 2) return undefined
    const { target } = features
    const names = target.classes ?? target.columns
    const width = encoding.columns.length
    const block = allocate(features.x.dtype as FloatDtype, width) as Float32Array
    const means = grid.raw.map((raw) => {
      encoding.write(raw, block, 0)
      const values = features.predictor.valuesOf(features.changed(at, width, (_, k) => block[k] as number))
      return names.map((_, j) => {
        let sum = 0
        for (let i = j; i < values.length; i += names.length) sum += values[i] as number
        return sum / part.length
      })
    })
    return {
      column,
      kind: encoding.kind === 'number' ? 'number' : encoding.kind === 'date' ? 'date' : 'category',
      at: grid.at,
      answers: names.map((name, j) => ({ name, values: means.map((row) => row[j] as number) })),
    }
  })
}
