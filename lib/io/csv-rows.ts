/**
 * The rows of a CSV text as numbers: which columns there are, each cell's value, and how values become features and targets.
 */

import { type CategoryField, type Field, featureNames } from '../data/records.js'
import { WengertError } from '../errors.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, type Dtype, dtypeOf, type FloatDtype, type TypedArray } from '../util/dtype.js'
import { describe, short } from '../util/options.js'
import { Column, type ColumnRules, type ColumnType, positionOf } from './csv-columns.js'
import { recordsOf, type ScanSource } from './csv-records.js'
import { TextRange } from './text-range.js'

/** What a table was found to hold: enough to read further files, or the same one again, in the same way. */
export interface Plan {
  features: Column[]
  targets: Column[]
}

/** The options of a table, checked. */
export interface Settings {
  where: string
  header: boolean
  delimiter: string
  types: Record<string, ColumnType>
  targets: readonly (string | number)[]
  rules: ColumnRules
  dtype: FloatDtype
}

/** The columns that the first record names. Errors: ERR_OPTION for a target or a type without a column; ERR_FILE for a name given twice. */
function columnsOf(s: Settings, first: readonly string[]): Plan {
  const names = first.map((name, i) => (s.header && name !== '' ? name : `${i}`))
  const places = new Map<string, number>()
  names.forEach((name, i) => {
    if (places.has(name))
      throw new WengertError('ERR_FILE', `${s.where}: two columns have the name ${describe(name)}; rename one`, { actual: name })
    places.set(name, i)
  })
  for (const name of Object.keys(s.types)) positionOf(s.where, 'each column of types', name, names, places)
  const targets = s.targets.map((target) => positionOf(s.where, 'target', target, names, places))
  const aimed = new Set(targets)
  const column = (position: number) => {
    const name = names[position] as string
    const type = Object.hasOwn(s.types, name) ? s.types[name] : undefined
    return new Column(name, position, s.rules, type === 'ignore' ? undefined : type)
  }
  const features = names.flatMap((name, i) =>
    aimed.has(i) || (Object.hasOwn(s.types, name) && s.types[name] === 'ignore') ? [] : [column(i)],
  )
  if (features.length === 0) throw new WengertError('ERR_DATA', `${s.where}: there are no columns besides the target`)
  return { features, targets: targets.map(column) }
}

/** Kept rows of one chunk, each one value a column: features, then targets; NaN for a missing feature that is filled in. */
export interface Rows {
  plan: Plan
  count: number
  /** [count, columns] */
  values: Float64Array
}

/** The rows that are kept, chunk by chunk. With a plan, the columns are known already; without one, `found` is told of them first. */
export async function* rowsOf(source: ScanSource, s: Settings, known?: Plan, found?: (plan: Plan) => void): AsyncGenerator<Rows> {
  let plan = known
  let fresh = true
  for await (const { cells, lines } of recordsOf(source, s)) {
    let first = 0
    if (fresh) {
      fresh = false
      if (!plan) {
        plan = columnsOf(s, cells[0] as string[])
        found?.(plan)
      }
      // Without a header the first record is a row, of the process that has it.
      if (s.header || (source instanceof TextRange && !source.first)) first = 1
    }
    const { features, targets } = plan as Plan
    const columns = features.length + targets.length
    const values = allocate('float64', (cells.length - first) * columns) as Float64Array
    let count = 0
    for (let i = first; i < cells.length; i++) {
      if (readRow(plan as Plan, cells[i] as string[], lines[i] as number, s, values, count * columns)) count++
    }
    yield { plan: plan as Plan, count, values: values.subarray(0, count * columns) }
  }
}

/** Writes the values of a record; false where the row is dropped. Errors: ERR_DATA, ERR_LABEL. */
function readRow(plan: Plan, record: readonly string[], line: number, s: Settings, out: Float64Array, at: number): boolean {
  const { missing } = s.rules
  let kept = true
  let next = at
  const read = (columns: readonly Column[], filled: boolean) => {
    for (const column of columns) {
      const cell = record[column.position] as string
      const value = column.value(cell, line)
      out[next++] = value
      if (!Number.isNaN(value) || filled) continue
      if (missing === 'drop') kept = false
      else column.refuseMissing(line, cell)
    }
  }
  read(plan.features, missing === 'mean')
  read(plan.targets, false)
  return kept
}

/** How values in order of appearance become features and targets. */
export interface Encoding {
  features: readonly Field[]
  targets: readonly Field[]
  /** By column: the place of each category, by its place in order of appearance. */
  places: readonly (Int32Array | undefined)[]
  width: number
}

export function encodingOf({ where }: Settings, plan: Plan): Encoding {
  const columns = [...plan.features, ...plan.targets]
  const empty = columns.find((column) => column.empty)
  if (empty) {
    throw new WengertError('ERR_DATA', `${where}: column '${short(empty.name)}' has no values; types: 'ignore' leaves it out`, {
      actual: empty.name,
    })
  }
  const fields = columns.map((column) => column.field())
  const targets = fields.slice(plan.features.length)
  const text = targets.find((field) => field.kind === 'category')
  if (text && targets.length > 1)
    throw new WengertError('ERR_OPTION', `${where}: several targets must be numbers, and '${short(text.name)}' holds categories`, {
      actual: text.name,
    })
  const features = fields.slice(0, plan.features.length)
  return {
    features,
    targets,
    places: fields.map((field, i) => {
      if (field.kind === 'number') return undefined
      const order = new Map(field.categories.map((name, place) => [name, place]))
      return Int32Array.from((columns[i] as Column).categories.keys(), (name) => order.get(name) as number)
    }),
    width: featureNames(features).length,
  }
}

/** Writes the features and targets of `count` rows, which begin at value `from`, behind the first `done` of x and y. */
export function encodeRows(
  e: Encoding,
  values: Float64Array,
  from: number,
  count: number,
  x: TypedArray,
  y: TypedArray,
  done: number,
): void {
  let at = from
  let xAt = done * e.width
  let yAt = done * e.targets.length
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < e.features.length; i++) {
      const field = e.features[i] as Field
      const value = values[at++] as number
      const missing = Number.isNaN(value)
      if (field.kind === 'number') x[xAt++] = missing ? (field.mean ?? 0) : value
      else {
        if (!missing) x[xAt + ((e.places[i] as Int32Array)[value] as number)] = 1
        xAt += field.categories.length
      }
    }
    for (let i = 0; i < e.targets.length; i++) {
      const value = values[at++] as number
      const places = e.places[e.features.length + i]
      y[yAt++] = places ? (places[value] as number) : value
    }
  }
}

/** The names of the classes, where the target is text. */
export const classesOf = (e: Encoding): readonly string[] | undefined =>
  e.targets[0]?.kind === 'category' ? (e.targets[0] as CategoryField).categories : undefined

/** The element type of targets. */
export const targetDtype = (e: Encoding, s: Settings): 'int32' | FloatDtype => (classesOf(e) ? 'int32' : s.dtype)

/** x [m, features]; y [m, targets], or [m] for class indices. */
export function tensorsOf(e: Encoding, m: number, x: TypedArray, y: TypedArray): { x: Tensor; y: Tensor } {
  const [xType, yType] = [dtypeOf(x) as FloatDtype, dtypeOf(y) as Dtype]
  return { x: new Tensor([m, e.width], xType, x), y: new Tensor(classesOf(e) ? [m] : [m, e.targets.length], yType, y) }
}
