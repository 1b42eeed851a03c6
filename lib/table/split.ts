/** Cutting a table into parts: at random, by classes, by groups, by time; and into folds. */

import type { AnyData, DataLike, Dataset } from '../data/dataset.js'
import { type SplitOptions, split as splitData } from '../data/split.js'
import { WengertError } from '../errors.js'
import type { InputsLike } from '../tensor/inputs.js'
import { withMemoryErrors } from '../util/dtype.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { permutation, purposes } from '../util/random.js'
import { textOf } from './category.js'
import { NumericColumn } from './column.js'
import { checkFormat, type DateOptions, date, parserOf } from './date.js'
import { formIn } from './forms.js'
import { wholeTable } from './shard.js'
import { type ColumnView, type Origin, Table } from './table.js'

/** How a table is parted. */
export interface TableSplitOptions<Parts extends readonly number[] = readonly number[]> {
  /** The shares of the parts, such as [0.7, 0.15, 0.15]; together 1. */
  parts: Parts
  /** The same seed gives the same split; 0 by default. */
  seed?: number
  /** A column whose values occur in the same proportions in every part. */
  stratify?: string
  /** A column of dates or numbers: the parts follow each other in its order. Rows of one moment stay together. */
  by?: string
  /** How the texts of `by` write dates, in the letters of Day.js, such as 'DD/MM/YYYY'; told by all of them where left out. */
  format?: string
  /** A column whose rows of one value stay together in a part, such as all visits of a patient. */
  groups?: string
}

/** How a table is cut into folds. */
export interface FoldOptions extends Omit<TableSplitOptions, 'parts'> {
  /** How many folds; 5 by default. With `by`, each is tested by a model of all that came before it. */
  folds?: number
}

/** The parts as tables: as many as there are shares. */
export type PartsOf<Parts extends readonly number[]> = { -readonly [K in keyof Parts]: Table }

/** Shuffles positions with a stream of their own. */
function shuffled(positions: Uint32Array, seed: number, group: number): Uint32Array {
  const order = new Int32Array(positions.length)
  permutation(order, { seed, purpose: purposes.split, a: group, b: 1 })
  return Uint32Array.from(order, (i) => positions[i] as number)
}

/** Positions by the text of a column's values, in order of appearance; missing ones are a group of their own. */
function groupsOf(rows: Table, name: string): Uint32Array[] {
  const view = rows.column(name)
  const found = new Map<string | undefined, number[]>()
  for (let i = 0; i < view.length; i++) {
    const value = view.at(i)
    const key = value === undefined ? undefined : textOf(value)
    const list = found.get(key)
    if (list) list.push(i)
    else found.set(key, [i])
  }
  return Array.from(found.values(), (list) => Uint32Array.from(list))
}

const all = (rows: Table): Uint32Array => Uint32Array.from({ length: rows.length }, (_, i) => i)

/** Random positions in the given shares; what rounding leaves of one group, the next ones make up for. */
function byShares(groups: readonly Uint32Array[], shares: readonly number[], seed: number): number[][] {
  const parts = shares.map((): number[] => [])
  const owed = shares.map(() => 0)
  groups.forEach((group, g) => {
    const order = shuffled(group, seed, g)
    const wanted = shares.map((share, i) => share * order.length + (owed[i] as number))
    const counts = wanted.map((w) => Math.max(0, Math.floor(w)))
    const byRest = wanted.map((w, i) => [w - (counts[i] as number), i] as const).sort((a, b) => b[0] - a[0] || a[1] - b[1])
    let left = order.length - counts.reduce((a, b) => a + b, 0)
    for (let r = 0; left > 0; r = (r + 1) % byRest.length, left--)
      counts[(byRest[r] as readonly [number, number])[1]] = (counts[(byRest[r] as readonly [number, number])[1]] as number) + 1
    for (let r = byRest.length - 1; left < 0; r--) {
      const i = (byRest[r] as readonly [number, number])[1]
      const less = Math.min(-left, counts[i] as number)
      counts[i] = (counts[i] as number) - less
      left += less
    }
    let at = 0
    counts.forEach((count, i) => {
      owed[i] = (wanted[i] as number) - count
      for (const position of order.subarray(at, at + count)) parts[i]?.push(position)
      at += count
    })
  })
  return parts
}

/** Whole groups, in random order, each to the part that lacks most of its share. */
function byGroups(groups: readonly Uint32Array[], shares: readonly number[], seed: number): number[][] {
  const order = shuffled(Uint32Array.from(groups.keys()), seed, 0)
  const total = groups.reduce((sum, { length }) => sum + length, 0)
  const parts = shares.map((): number[] => [])
  for (const g of order) {
    let most = 0
    const lack = shares.map((share, i) => share * total - (parts[i] as number[]).length)
    for (let i = 1; i < lack.length; i++) if ((lack[i] as number) > (lack[most] as number)) most = i
    for (const position of groups[g] as Uint32Array) parts[most]?.push(position)
  }
  return parts
}

/** The values of a column as numbers that have an order, NaN where there is none. Errors: ERR_OPTION, ERR_DATA. */
function timesOf(where: string, rows: Table, view: ColumnView, format: string | undefined): Float64Array {
  if (view.column instanceof NumericColumn) return view.numbers()
  const form = format === undefined ? formIn(rows, view.name) : { spec: date({ format }), reason: '' }
  if (form?.spec?.kind !== 'date')
    throw new WengertError(
      'ERR_OPTION',
      `${where}: expected by to be a column of dates or numbers, got '${view.name}', which holds text${form ? ` (${form.reason})` : ''}; format: 'DD/MM/YYYY' says how dates are written`,
    )
  const told = (form.spec as DateOptions).format
  const parse = parserOf(told)
  return Float64Array.from({ length: view.length }, (_, i) => {
    const value = view.at(i) as string | undefined
    if (value === undefined) return Number.NaN
    const time = parse(value)
    if (time === undefined)
      throw new WengertError(
        'ERR_DATA',
        `${where}: row ${i}, column '${view.name}': expected a date written as ${told}, got ${describe(value)}`,
        {
          actual: value,
        },
      )
    return time
  })
}

/** Parts in the order of a column; a cut never goes through rows of one value. */
function byTime(where: string, rows: Table, { by, format }: FoldOptions, shares: readonly number[]): number[][] {
  const name = by as string
  const whole = wholeTable(where, rows)
  const times = timesOf(where, rows, whole.column(name), format)
  const missing = times.findIndex(Number.isNaN)
  if (missing >= 0)
    throw new WengertError(
      'ERR_DATA',
      `${where}: row ${missing} has no value of '${name}'; rows.complete('${name}') are those that have one`,
    )
  const order = all(whole).sort((a, b) => (times[a] as number) - (times[b] as number) || a - b)
  let [from, sum] = [0, 0]
  return shares.map((share, i) => {
    sum += share
    let to = i === shares.length - 1 ? order.length : Math.max(from, Math.round(sum * order.length))
    const together = (at: number) => at > 0 && at < order.length && times[order[at] as number] === times[order[at - 1] as number]
    const wanted = to
    while (together(to)) to++
    // Nothing would be left for the next part: before the moment rather than after it.
    if (to === order.length && to > wanted) for (to = wanted; to > from && together(to); ) to--
    const part = Array.from(order.subarray(from, to))
    from = to
    return part
  })
}

function checkChosen(where: string, rows: Table, { stratify, by, groups, format, seed = 0 }: FoldOptions): number {
  checkFormat(where, format)
  if (format !== undefined && by === undefined)
    throw new WengertError('ERR_OPTION', `${where}: format says how the column of by writes dates; give by, too`)
  const chosen = Object.entries({ stratify, by, groups }).filter(([, name]) => name !== undefined)
  if (chosen.length > 1)
    throw new WengertError(
      'ERR_OPTION',
      `${where}: expected one of stratify, by and groups, got ${chosen.map(([option]) => option).join(' and ')}`,
    )
  for (const [option, name] of chosen) {
    if (typeof name !== 'string')
      throw new WengertError('ERR_OPTION', `${where}: expected ${option} to be the name of a column, got ${describe(name)}`)
    rows.column(name)
  }
  return checkNumber(where, 'seed', seed, { integer: true, min: 0, max: Number.MAX_SAFE_INTEGER })
}

function positionsOf(where: string, rows: Table, options: FoldOptions, shares: readonly number[]): number[][] {
  const seed = checkChosen(where, rows, options)
  const { stratify, by, groups } = options
  if (by !== undefined) return byTime(where, rows, options, shares)
  const whole = wholeTable(where, rows)
  const parts =
    groups !== undefined
      ? byGroups(groupsOf(whole, groups), shares, seed)
      : byShares(stratify === undefined ? [all(whole)] : groupsOf(whole, stratify), shares, seed)
  return parts.map((part) => part.sort((a, b) => a - b))
}

function tables(where: string, rows: Table, positions: readonly (readonly number[])[]): Table[] {
  const empty = positions.findIndex((part) => part.length === 0)
  if (empty >= 0)
    throw new WengertError('ERR_RANGE', `${where}: part ${empty} of ${positions.length} would have none of the ${rows.length} rows`, {
      actual: rows.length,
    })
  return positions.map((part) => rows.take(part))
}

/** What parts of a table are read by: what it is a part of itself, and what is said now. */
function originOf(rows: Table, { by, format }: FoldOptions): Origin {
  const { rows: from, formats } = rows.origin ?? { rows, formats: new Map() }
  return { rows: from, formats: by !== undefined && format !== undefined ? new Map([...formats, [by, format]]) : formats }
}

/**
 * Parts of a table, disjoint, together the whole; or a training and a test part of a data set.
 *
 * @throws ERR_RANGE for shares that are not 1 together, or a part without rows; ERR_OPTION
 * @example const [train, validation, test] = split(rows, { parts: [0.7, 0.15, 0.15], stratify: 'churned', seed: 1 })
 * @example const [past, future] = split(rows, { parts: [0.8, 0.2], by: 'date' })
 */
export function split<const Parts extends readonly number[]>(rows: Table, options: TableSplitOptions<Parts>): PartsOf<Parts>
export function split<X extends InputsLike>(data: DataLike<X>, options: SplitOptions): [train: Dataset<X>, test: Dataset<X>]
export function split(data: AnyData | Table, options: SplitOptions | TableSplitOptions): unknown {
  if (!(data instanceof Table)) return withMemoryErrors('split', () => splitData(data, options as SplitOptions))
  checkOptions('split', options, ['parts', 'seed', 'stratify', 'by', 'format', 'groups'])
  const { parts } = (options ?? {}) as TableSplitOptions
  const valid = Array.isArray(parts) && parts.length > 1 && parts.every((share) => typeof share === 'number' && share > 0 && share < 1)
  if (!valid || Math.abs(parts.reduce((a, b) => a + b, 0) - 1) > 1e-9)
    throw new WengertError(
      'ERR_RANGE',
      `split: expected parts to be shares that are 1 together, such as [0.7, 0.15, 0.15], got ${JSON.stringify(parts)}`,
      {
        actual: parts,
      },
    )
  return withMemoryErrors('split', () => {
    const origin = originOf(data, options as TableSplitOptions)
    return tables('split', data, positionsOf('split', data, options as TableSplitOptions, parts)).map((part) => part.partOf(origin))
  })
}

/**
 * k-fold cross-validation: each row is tested once, by a training part without it. With `by`, fold i is tested after all
 * rows before it, and the first rows are never tested.
 *
 * @throws ERR_RANGE, ERR_OPTION as `split`
 * @example for (const { train, test } of folds(rows, { folds: 5, stratify: 'churned', seed: 1 })) { … }
 */
export function folds(rows: Table, options: FoldOptions = {}): { train: Table; test: Table }[] {
  if (!(rows instanceof Table))
    throw new WengertError('ERR_VALUE', `folds: expected rows of readTable, got ${describe(rows)}`, { actual: rows })
  checkOptions('folds', options, ['folds', 'seed', 'stratify', 'by', 'format', 'groups'])
  const k = checkNumber('folds', 'folds', options.folds ?? 5, { integer: true, min: 2, max: 1000 })
  const n = options.by === undefined ? k : k + 1
  const joined = (parts: readonly (readonly number[])[]) => Uint32Array.from(parts.flat()).sort()
  return withMemoryErrors('folds', () => {
    const positions = positionsOf('folds', rows, options, new Array(n).fill(1 / n))
    tables('folds', rows, positions)
    const origin = originOf(rows, options)
    return Array.from({ length: k }, (_, i) => {
      const test = options.by === undefined ? i : i + 1
      const train = positions.filter((_, j) => (options.by === undefined ? j !== test : j < test))
      return { train: rows.take(joined(train)).partOf(origin), test: rows.take(positions[test] as number[]).partOf(origin) }
    })
  })
}
