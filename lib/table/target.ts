/** What is predicted: classes, several labels, or numbers; how rows become targets and outputs become answers. */

import { WengertError } from '../errors.js'
import { bceWithLogits, crossEntropy, mse } from '../nn/loss.js'
import type { Loss } from '../nn/loss-contract.js'
import { Tensor } from '../tensor/tensor.js'
import { type FloatDtype, type TypedArray, viewOf } from '../util/dtype.js'
import { checkOptions, describe } from '../util/options.js'
import { isPlainObject } from '../util/tree.js'
import { countsOf, inOrder, placeOf, textOf } from './category.js'
import { anyNumberIn, truthIn } from './cell.js'
import { NumericColumn } from './column.js'
import { type ColumnSpec, Fields, refused } from './encoding.js'
import { fitScaling, type NumberOptions, type Scaling, scaled, scalingFromJSON } from './number.js'
import { type ColumnView, type Table, unknownColumn } from './table.js'

/** What the outputs of a model over a table are for. */
export type Task = 'classes' | 'labels' | 'numbers'

/** A target fitted. */
export interface Target {
  readonly task: Task
  /** The columns it is read from. */
  readonly columns: readonly string[]
  /** How many outputs a model has for it. */
  readonly outputs: number
  /** The names of the classes or labels. */
  readonly classes?: readonly string[]
  /** How each number is scaled. */
  readonly scalings?: readonly Scaling[]
  /** The text between labels, where one column holds them. */
  readonly separator?: string
  readonly says: string
  /** The targets of the rows: int32 [m] of class indices, or [m, outputs]. Errors: ERR_DATA, ERR_LABEL naming row and column. */
  encode(rows: Table, dtype: FloatDtype): Tensor
  /** A loss for a model without a last activation. */
  readonly loss: Loss
  toJSON(): Record<string, unknown>
}

/**
 * A target of several labels in one text column: `'sport;music'`. Several columns of truth values need no such word: name
 * them all as `target`.
 */
export function labels(options: { separator?: string } = {}): ColumnSpec<'labels'> {
  checkOptions('labels', options, ['separator'])
  if (options.separator !== undefined && (typeof options.separator !== 'string' || options.separator === ''))
    throw new WengertError('ERR_OPTION', `labels: expected separator to be a text, got ${describe(options.separator)}`)
  return { kind: 'labels', ...options }
}

const where = (row: number, column: string) => () => `table: row ${row}, column '${column}'`
const sharedFloats = (dtype: FloatDtype, n: number): TypedArray =>
  viewOf(dtype, new SharedArrayBuffer(Math.max(1, n) * (dtype === 'float32' ? 4 : 8)), 0, n)

function missing(row: number, column: string): WengertError {
  return new WengertError(
    'ERR_DATA',
    `table: row ${row} has no value of the target '${column}'; rows.complete('${column}') are those that have one`,
    { actual: row },
  )
}

/** Classes by name, from one column. */
export function classTarget(column: string, classes: readonly string[]): Target {
  const places = new Map(classes.map((name, i) => [name, i]))
  return {
    task: 'classes',
    columns: [column],
    outputs: classes.length,
    classes,
    says: `${classes.length} classes: ${classes.slice(0, 10).join(', ')}${classes.length > 10 ? ', …' : ''}`,
    loss: crossEntropy,
    encode(rows) {
      const view = rows.column(column, 'target')
      const y = new Int32Array(new SharedArrayBuffer(Math.max(4, 4 * view.length)), 0, view.length)
      for (let i = 0; i < view.length; i++) {
        const value = view.at(i)
        if (value === undefined) throw missing(i, column)
        const place = placeOf(places, textOf(value))
        if (place === undefined)
          throw new WengertError(
            'ERR_LABEL',
            `${where(i, column)()}: expected one of the classes of the training part (${classes.slice(0, 10).join(', ')}), got ${describe(value)}`,
            { expected: classes, actual: value },
          )
        y[i] = place
      }
      return new Tensor([view.length], 'int32', y)
    },
    toJSON: () => ({ task: 'classes', columns: [column], classes: [...classes] }),
  }
}

/** Numbers, each scaled by the training part; predictions come back in their own units. */
export function numberTarget(columns: readonly string[], scalings: readonly Scaling[]): Target {
  return {
    task: 'numbers',
    columns,
    outputs: columns.length,
    scalings,
    says: columns.map((name, i) => `${name}: a number, ${scalings[i]?.log ? 'logarithm, ' : ''}standardised`).join('; '),
    loss: mse,
    encode(rows, dtype) {
      const k = columns.length
      const y = sharedFloats(dtype, rows.length * k)
      columns.forEach((name, j) => {
        const view = rows.column(name, 'target')
        for (let i = 0; i < view.length; i++) y[i * k + j] = scaled(scalings[j] as Scaling, numberAt(view, i))
      })
      return new Tensor([rows.length, k], dtype, y)
    },
    toJSON: () => ({ task: 'numbers', columns: [...columns], scalings: scalings.map((scaling) => ({ ...scaling })) }),
  }
}

function numberAt(view: ColumnView, i: number): number {
  const value = view.at(i)
  if (value === undefined) throw missing(i, view.name)
  const number = typeof value === 'number' ? value : typeof value === 'string' ? anyNumberIn(value) : undefined
  if (number === undefined) throw refused(where(i, view.name), 'a number', value)
  return number
}

/** Several labels, each there or not: columns of truth values, or the parts of one text. */
export function labelTarget(columns: readonly string[], names: readonly string[], separator?: string): Target {
  const places = new Map(names.map((name, i) => [name, i]))
  const k = names.length
  const fromColumns = (rows: Table, y: TypedArray) => {
    columns.forEach((name, j) => {
      const view = rows.column(name, 'target')
      for (let i = 0; i < view.length; i++) {
        const value = view.at(i)
        if (value === undefined) throw missing(i, name)
        const truth = value === 0 || value === 1 ? value : typeof value === 'string' ? truthIn(value) : undefined
        if (truth === undefined) throw refused(where(i, name), 'a truth value', value)
        y[i * k + j] = truth
      }
    })
  }
  const fromText = (rows: Table, y: TypedArray) => {
    const view = rows.column(columns[0] as string, 'target')
    for (let i = 0; i < view.length; i++) {
      for (const label of labelsIn(view.at(i), separator as string)) {
        const place = places.get(label)
        if (place === undefined)
          throw new WengertError('ERR_LABEL', `${where(i, view.name)()}: expected labels of the training part, got ${describe(label)}`, {
            expected: names,
            actual: label,
          })
        y[i * k + place] = 1
      }
    }
  }
  return {
    task: 'labels',
    columns,
    outputs: k,
    classes: names,
    ...(separator !== undefined && { separator }),
    says: `${k} labels, each there or not: ${names.slice(0, 10).join(', ')}${k > 10 ? ', …' : ''}`,
    loss: bceWithLogits,
    encode(rows, dtype) {
      const y = sharedFloats(dtype, rows.length * k)
      ;(separator === undefined ? fromColumns : fromText)(rows, y)
      return new Tensor([rows.length, k], dtype, y)
    },
    toJSON: () => ({ task: 'labels', columns: [...columns], classes: [...names], ...(separator !== undefined && { separator }) }),
  }
}

const labelsIn = (value: number | string | Date | undefined, separator: string): string[] =>
  value === undefined
    ? []
    : textOf(value)
        .split(separator)
        .map((label) => label.trim())
        .filter((label) => label !== '')

function fitClasses(view: ColumnView): Target {
  const { counts } = countsOf(view)
  const classes = inOrder([...counts.keys()])
  if (classes.length < 2)
    throw new WengertError(
      'ERR_DATA',
      `fitTable: the target '${view.name}' has ${classes.length === 0 ? 'no value' : `only the class ${describe(classes[0])}`}; there is nothing to tell apart`,
      { actual: classes },
    )
  if (classes.length > 10_000)
    throw new WengertError('ERR_DATA', `fitTable: the target '${view.name}' has ${classes.length} classes; is it the right column?`)
  // No before yes, whatever the alphabet says.
  const [a, b] = classes as [string, string]
  const [ta, tb] = [truthIn(a), truthIn(b)]
  return classTarget(view.name, classes.length === 2 && ta === 1 && tb === 0 ? [b, a] : classes)
}

function fitLabelColumn(view: ColumnView, separator: string): Target {
  const seen = new Set<string>()
  for (let i = 0; i < view.length; i++) for (const label of labelsIn(view.at(i), separator)) seen.add(label)
  if (seen.size === 0) throw new WengertError('ERR_DATA', `fitTable: the target '${view.name}' has no labels`)
  return labelTarget([view.name], inOrder([...seen]), separator)
}

const isTruth = (view: ColumnView): boolean => {
  for (let i = 0; i < view.length; i++) {
    const value = view.at(i)
    if (value === undefined || value === 0 || value === 1) continue
    if (typeof value !== 'string' || truthIn(value) === undefined) return false
  }
  return true
}

/** Refuses a target whose values are no numbers, where it would have to be one. */
function refuseNumbers(view: ColumnView, several: boolean): void {
  if (view.type === 'number') return
  if (view.type === 'date')
    throw new WengertError(
      'ERR_DATA',
      `fitTable: the target '${view.name}' holds dates: make a number of them, such as the days from another date`,
    )
  for (let i = 0; several && i < view.length; i++) {
    const value = view.at(i)
    if (typeof value === 'string' && anyNumberIn(value) === undefined)
      throw new WengertError(
        'ERR_DATA',
        `fitTable: several targets are numbers, or truth values that are a label each; '${view.name}' holds ${describe(value)} in row ${i}`,
        { actual: value },
      )
  }
}

/** Fits the target as its spec says, or as its values do. Errors: ERR_OPTION, ERR_DATA. */
export function fitTarget(rows: Table, names: readonly string[], specs: ReadonlyMap<string, ColumnSpec>): Target {
  const views = names.map((name) => {
    if (rows.has(name)) return rows.column(name)
    throw unknownColumn('fitTable', 'target', name, rows.names)
  })
  const [first] = views as [ColumnView]
  const spec = specs.get(first.name)
  if (names.length === 1) {
    const kind = spec?.kind ?? guessTask(first)
    if (kind === 'labels') return fitLabelColumn(first, (spec?.separator as string | undefined) ?? ';')
    if (kind === 'category' || kind === 'boolean') return fitClasses(first)
    if (kind !== 'number')
      throw new WengertError('ERR_OPTION', `fitTable: the target can be a category(), boolean(), number() or labels(), got ${kind}()`)
  } else if (views.every(isTruth) && spec?.kind !== 'number') return labelTarget(names, names)
  for (const view of views) refuseNumbers(view, names.length > 1)
  const scalings = views.map((view) => {
    const { log = false, scale = 'standard' } = (specs.get(view.name) ?? {}) as NumberOptions
    if (scale === 'quantiles')
      throw new WengertError('ERR_OPTION', `fitTable: a target is scaled by 'standard' or 'none', got 'quantiles' for '${view.name}'`)
    return fitScaling(
      Float64Array.from({ length: view.length }, (_, i) => numberAt(view, i)),
      scale,
      log,
    )
  })
  return numberTarget(names, scalings)
}

/** Text and pairs of numbers are classes; other numbers are numbers. */
function guessTask(view: ColumnView): 'category' | 'number' {
  if (!(view.column instanceof NumericColumn)) return 'category'
  const seen = new Set<number>()
  for (let i = 0; i < view.length && seen.size < 3; i++) {
    const value = view.column.values[view.place(i)] as number
    if (!Number.isNaN(value)) seen.add(value)
  }
  return seen.size < 3 ? 'category' : 'number'
}

/** Reads a target back. Errors: ERR_VALUE. */
export function targetFromJSON(json: unknown, at: string): Target {
  const f = new Fields(isPlainObject(json) ? json : {}, at)
  const task = f.text('task')
  const columns = f.texts('columns')
  if (columns.length === 0 || new Set(columns).size !== columns.length) throw f.fail('columns', 'names, each once')
  if (task === 'numbers') {
    const { scalings } = f.json
    if (!Array.isArray(scalings) || scalings.length !== columns.length) throw f.fail('scalings', 'one for each column')
    return numberTarget(
      columns,
      scalings.map((scaling) => scalingFromJSON(scaling, at)),
    )
  }
  const classes = f.texts('classes')
  if (new Set(classes).size !== classes.length || classes.length === 0) throw f.fail('classes', 'names, each once')
  if (task === 'classes' && columns.length === 1) return classTarget(columns[0] as string, classes)
  if (task !== 'labels') throw f.fail('task', `'classes' or 'labels' or 'numbers'`)
  if (f.json.separator !== undefined) return labelTarget(columns, classes, f.text('separator'))
  if (classes.length !== columns.length) throw f.fail('classes', 'one for each column')
  return labelTarget(columns, classes)
}
