/**
 * Tables as data sets. A column of numbers is a feature; a column of text is as many features as it has categories. A text
 * target gives class indices and their names. Nothing is guessed: a column of both numbers and text, a missing value, a
 * ragged row are refused, with line and column, unless an option says what they mean.
 */

import { Dataset, type Encoder } from '../data/dataset.js'
import { type CategoryField, type Field, featureNames, recordEncoder } from '../data/records.js'
import { WengertError } from '../errors.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, bytesPerElement, type Dtype, dtypeOf, type FloatDtype, type TypedArray, viewOf } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions, describe } from '../util/options.js'
import { isPlainObject } from '../util/tree.js'
import { checkPath } from './atomic.js'
import { Column, type ColumnRules, type ColumnType, type MissingPolicy, positionOf } from './csv-columns.js'
import { type CsvSource, recordsOf } from './csv-records.js'

export interface CsvOptions {
  /** The column to predict, by name or position (from 0); several of numbers give y several columns. */
  target: string | number | readonly (string | number)[]
  /** Whether the first record names the columns; true by default. Otherwise they are called 0, 1, … */
  header?: boolean
  /** ',' by default. */
  delimiter?: string
  /** By column name: 'number', 'category', or 'ignore' to leave it out. Others are told by their cells. */
  types?: Record<string, ColumnType>
  /**
   * What becomes of missing values: 'refuse' (the default), 'drop' the row, or 'mean': the mean of the column (a category:
   * zeros). A row without a target is refused all the same, or dropped.
   */
  missing?: MissingPolicy
  /** What counts as missing; the empty field, NA, N/A, NaN, nan, null, NULL and ? by default. */
  missingValues?: readonly string[]
  /** The most categories of a column; 100 by default. */
  maxCategories?: number
  /** Of x and of targets that are numbers; 'float32' by default. */
  dtype?: FloatDtype
}

export interface StreamCsvOptions extends CsvOptions {
  /** Rows of a batch; the last may have fewer. */
  batchSize: number
}

/** What a table was found to hold: enough to read further files, or the same one again, in the same way. */
interface Plan {
  features: Column[]
  targets: Column[]
}

interface Settings {
  where: string
  header: boolean
  delimiter: string
  types: Record<string, ColumnType>
  targets: readonly (string | number)[]
  rules: ColumnRules
  dtype: FloatDtype
}

const optionNames = ['target', 'header', 'delimiter', 'types', 'missing', 'missingValues', 'maxCategories', 'dtype']
const missingByDefault = ['', 'NA', 'N/A', 'NaN', 'nan', 'null', 'NULL', '?']

function settingsOf(where: string, options: CsvOptions, more: readonly string[] = []): Settings {
  checkOptions(where, options, [...optionNames, ...more])
  const { target, header = true, delimiter = ',', types = {}, missingValues = missingByDefault } = options ?? {}
  const targets = Array.isArray(target) ? (target as readonly unknown[]) : [target]
  if (targets.length === 0 || !targets.every((t) => typeof t === 'string' || typeof t === 'number'))
    throw new WengertError('ERR_OPTION', `${where}: expected target to be the name of a column, got ${describe(target)}`, {
      actual: target,
    })
  if (typeof header !== 'boolean')
    throw new WengertError('ERR_OPTION', `${where}: expected header to be true or false, got ${describe(header)}`, { actual: header })
  if (typeof delimiter !== 'string' || delimiter.length !== 1 || /["\r\n]/.test(delimiter))
    throw new WengertError('ERR_OPTION', `${where}: expected delimiter to be one character, got ${describe(delimiter)}`, {
      actual: delimiter,
    })
  if (!isPlainObject(types))
    throw new WengertError('ERR_OPTION', `${where}: expected types by column name, got ${describe(types)}`, { actual: types })
  for (const type of Object.values(types)) checkChoice(where, 'each type', type, ['number', 'category', 'ignore'] as const)
  if (!Array.isArray(missingValues) || !missingValues.every((value) => typeof value === 'string'))
    throw new WengertError('ERR_OPTION', `${where}: expected missingValues to be a list of texts, got ${describe(missingValues)}`, {
      actual: missingValues,
    })
  return {
    where,
    header,
    delimiter,
    types,
    targets: targets as (string | number)[],
    rules: {
      where,
      missing: checkChoice(where, 'missing', options.missing ?? 'refuse', ['refuse', 'drop', 'mean'] as const),
      missingValues: new Set(missingValues),
      maxCategories: checkNumber(where, 'maxCategories', options.maxCategories ?? 100, { integer: true, min: 1, max: 10_000 }),
    },
    dtype: checkChoice(where, 'dtype', options.dtype ?? 'float32', ['float32', 'float64'] as const),
  }
}

/** The columns that the first record names. Errors: ERR_OPTION for a target or a type without a column; ERR_FILE for a name given twice. */
function columnsOf(s: Settings, first: readonly string[]): Plan {
  const names = first.map((name, i) => (s.header && name !== '' ? name : `${i}`))
  const twice = names.findIndex((name, i) => names.indexOf(name) !== i)
  if (twice >= 0)
    throw new WengertError('ERR_FILE', `${s.where}: expected each column once, got '${names[twice]}' twice`, { actual: names[twice] })
  for (const name of Object.keys(s.types)) positionOf(s.where, 'each column of types', name, names)
  const targets = s.targets.map((target) => positionOf(s.where, 'target', target, names))
  const column = (position: number) => {
    const name = names[position] as string
    const type = Object.hasOwn(s.types, name) ? s.types[name] : undefined
    return new Column(name, position, s.rules, type === 'ignore' ? undefined : type)
  }
  const features = names.flatMap((name, i) =>
    targets.includes(i) || (Object.hasOwn(s.types, name) && s.types[name] === 'ignore') ? [] : [column(i)],
  )
  if (features.length === 0) throw new WengertError('ERR_DATA', `${s.where}: expected columns besides the target, got none`)
  return { features, targets: targets.map(column) }
}

/** A growing list of numbers. */
class Numbers {
  data = new Float64Array(64)
  length = 0

  push(value: number): void {
    if (this.length === this.data.length) {
      const grown = new Float64Array(this.length * 2)
      grown.set(this.data)
      this.data = grown
    }
    this.data[this.length++] = value
  }
}

/** The rows that are kept, chunk by chunk: features, then targets; NaN for a missing feature that is to be filled in. */
async function* rowsOf(source: CsvSource, s: Settings, plan?: Plan): AsyncGenerator<{ plan: Plan; rows: Float64Array[] }> {
  let found = plan
  let fresh = true
  for await (const { cells, lines } of recordsOf(source, s)) {
    const rows: Float64Array[] = []
    for (let i = 0; i < cells.length; i++) {
      const record = cells[i] as string[]
      if (fresh) {
        fresh = false
        found ??= columnsOf(s, record)
        if (s.header) continue
      }
      const row = rowOf(found as Plan, record, lines[i] as number, s.rules.missing)
      if (row) rows.push(row)
    }
    if (found) yield { plan: found, rows }
  }
}

/** The values of a record, or undefined where it is dropped. */
function rowOf({ features, targets }: Plan, record: readonly string[], line: number, missing: MissingPolicy): Float64Array | undefined {
  const row = new Float64Array(features.length + targets.length)
  let dropped = false
  const read = (column: Column, at: number, filled: boolean) => {
    const cell = record[column.position] as string
    const value = column.value(cell, line)
    row[at] = value
    if (!Number.isNaN(value) || filled) return
    if (missing === 'drop') dropped = true
    else column.refuseMissing(line, cell)
  }
  features.forEach((column, i) => {
    read(column, i, missing === 'mean')
  })
  targets.forEach((column, i) => {
    read(column, features.length + i, false)
  })
  return dropped ? undefined : row
}

/** How values in order of appearance become features and targets. */
interface Encoding {
  features: readonly Field[]
  targets: readonly Field[]
  /** By column: the place of each category, by its place in order of appearance. */
  places: readonly (Int32Array | undefined)[]
  width: number
}

function encodingOf({ where }: Settings, plan: Plan): Encoding {
  const columns = [...plan.features, ...plan.targets]
  const fields = columns.map((column) => column.field())
  const targets = fields.slice(plan.features.length)
  const text = targets.find((field) => field.kind === 'category')
  if (text && targets.length > 1)
    throw new WengertError('ERR_OPTION', `${where}: expected several targets to be numbers, got categories in '${text.name}'`, {
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

/** Writes one row's features and targets. */
function encodeRow(e: Encoding, value: (column: number) => number, x: TypedArray, xAt: number, y: TypedArray, yAt: number): void {
  let at = xAt
  e.features.forEach((field, i) => {
    const v = value(i)
    if (field.kind === 'number') x[at++] = Number.isNaN(v) ? (field.mean ?? 0) : v
    else {
      if (!Number.isNaN(v)) x[at + ((e.places[i] as Int32Array)[v] as number)] = 1
      at += field.categories.length
    }
  })
  e.targets.forEach((_, i) => {
    const v = value(e.features.length + i)
    const places = e.places[e.features.length + i]
    y[yAt + i] = places ? (places[v] as number) : v
  })
}

const sharedArray = (dtype: 'int32' | FloatDtype, length: number): TypedArray =>
  viewOf(dtype, new SharedArrayBuffer(Math.max(1, length) * bytesPerElement[dtype]), 0, length)

/** x [m, features]; y [m, targets], or [m] for class indices. */
function tensorsOf(e: Encoding, m: number, x: TypedArray, y: TypedArray): { x: Tensor; y: Tensor } {
  const [xType, yType] = [dtypeOf(x) as FloatDtype, dtypeOf(y) as Dtype]
  return { x: new Tensor([m, e.width], xType, x), y: new Tensor(classesOf(e) ? [m] : [m, e.targets.length], yType, y) }
}

const classesOf = (e: Encoding): readonly string[] | undefined =>
  e.targets[0]?.kind === 'category' ? (e.targets[0] as CategoryField).categories : undefined

/**
 * Reads a CSV file with a header (RFC 4180; UTF-8) as a data set: x holds the columns in order, categories as one-hot
 * features, each named in `.features`; y is [m, 1] for a target of numbers, class indices int32 [m] with `.classes` for one
 * of text. `.encoder` turns later records { name: value } into the same features, and can be saved with a model.
 *
 * @param source a path, or a stream of bytes
 * @throws (rejects) ERR_FILE for a file that cannot be read or parsed, naming the line; ERR_DATA naming line and column for a
 *   missing value or a cell of the wrong kind; ERR_OPTION for a target that is no column
 * @example const iris = await readCsv('iris.csv', { target: 'species' })   // iris.classes: ['setosa', …]
 */
export async function readCsv(source: CsvSource, options: CsvOptions): Promise<Dataset> {
  const s = settingsOf('readCsv', options)
  let plan: Plan | undefined
  let kept: Numbers[] = []
  for await (const read of rowsOf(source, s)) {
    if (!plan) kept = [...read.plan.features, ...read.plan.targets].map(() => new Numbers())
    plan = read.plan
    for (const row of read.rows) for (let i = 0; i < row.length; i++) kept[i]?.push(row[i] as number)
  }
  const m = kept[0]?.length ?? 0
  if (!plan || m === 0) throw new WengertError('ERR_DATA', 'readCsv: expected at least one row, got none')
  const e = encodingOf(s, plan)
  const classes = classesOf(e)
  const x = sharedArray(s.dtype, m * e.width)
  const y = sharedArray(classes ? 'int32' : s.dtype, m * e.targets.length)
  for (let row = 0; row < m; row++)
    encodeRow(e, (i) => (kept[i] as Numbers).data[row] as number, x, row * e.width, y, row * e.targets.length)
  const tensors = tensorsOf(e, m, x, y)
  return new Dataset(tensors.x, tensors.y, {
    features: featureNames(e.features),
    encoder: recordEncoder(e.features),
    ...(classes && { classes }),
  })
}

/** What a table was found to hold. */
export interface CsvInfo {
  /** The number of rows in all batches together. */
  readonly rows: number
  readonly features: readonly string[]
  readonly classes: readonly string[] | undefined
  readonly encoder: Encoder
}

/** A file as batches of tensors: each iteration reads it anew, in its order. */
export interface CsvStream extends AsyncIterable<{ x: Tensor; y: Tensor }> {
  /** Resolves when the file was looked through once. */
  info(): Promise<CsvInfo>
}

/** All that iterating needs to know, found by a first pass. */
async function surveyed(path: string, s: Settings): Promise<{ info: CsvInfo; closed: Plan; encoding: Encoding }> {
  let plan: Plan | undefined
  let rows = 0
  for await (const read of rowsOf(path, s)) {
    plan = read.plan
    rows += read.rows.length
  }
  if (!plan || rows === 0) throw new WengertError('ERR_DATA', 'streamCsv: expected at least one row, got none')
  const e = encodingOf(s, plan)
  const fields = [...e.features, ...e.targets]
  const columns = [...plan.features, ...plan.targets].map((column, i) => Column.of(fields[i] as Field, column.position, s.rules))
  return {
    info: { rows, features: featureNames(e.features), classes: classesOf(e), encoder: recordEncoder(e.features) },
    closed: { features: columns.slice(0, e.features.length), targets: columns.slice(e.features.length) },
    // The closed columns give places in their final order.
    encoding: { ...e, places: e.places.map((places) => places && Int32Array.from(places.keys())) },
  }
}

/**
 * A CSV file larger than memory as batches { x, y }, shaped and encoded as by `readCsv`, one batch in memory at a time. A
 * first pass, before the first batch, finds types, categories, means and the number of rows; the file must not change.
 *
 * @param path a file: it is read once more for each iteration
 * @param options as `readCsv`'s, and `batchSize`, the rows of a batch
 * @throws ERR_OPTION, ERR_RANGE; while iterating, as `readCsv`
 * @example for await (const { x, y } of streamCsv('large.csv', { target: 'y', batchSize: 256 })) trainer.step(x, y)
 */
export function streamCsv(path: string, options: StreamCsvOptions): CsvStream {
  const s = settingsOf('streamCsv', options, ['batchSize'])
  const batchSize = checkNumber('streamCsv', 'batchSize', options.batchSize, { integer: true, min: 1 })
  checkPath('streamCsv', path)
  let survey: ReturnType<typeof surveyed> | undefined
  const known = () => {
    survey ??= surveyed(path, s)
    return survey
  }
  return {
    info: async () => (await known()).info,
    async *[Symbol.asyncIterator]() {
      const { closed, encoding } = await known()
      let pending: Float64Array[] = []
      for await (const { rows } of rowsOf(path, s, closed)) {
        for (const row of rows) {
          if (pending.push(row) < batchSize) continue
          yield batchOf(encoding, pending, s.dtype)
          pending = []
        }
      }
      if (pending.length > 0) yield batchOf(encoding, pending, s.dtype)
    },
  }
}

function batchOf(e: Encoding, rows: readonly Float64Array[], dtype: FloatDtype): { x: Tensor; y: Tensor } {
  const m = rows.length
  const classes = classesOf(e)
  const x = allocate(dtype, m * e.width)
  const y = allocate(classes ? 'int32' : dtype, m * e.targets.length)
  rows.forEach((row, i) => {
    encodeRow(e, (column) => row[column] as number, x, i * e.width, y, i * e.targets.length)
  })
  return tensorsOf(e, m, x, y)
}
