/**
 * Tables as data sets. A column of numbers is a feature; a column of text is as many features as it has categories. A text
 * target gives class indices and their names. Nothing is guessed: a column of both numbers and text, a missing value, a
 * ragged row are refused, with line and column, unless an option says what they mean.
 */

import { Dataset, type Encoder } from '../data/dataset.js'
import { type Decimal, type Field, featureNames, recordEncoder } from '../data/records.js'
import { WengertError } from '../errors.js'
import type { Tensor } from '../tensor/tensor.js'
import { allocate, allocateShared, type FloatDtype, type TypedArray, withMemoryErrors } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions, describe } from '../util/options.js'
import { isPlainObject } from '../util/tree.js'
import { checkPath } from './atomic.js'
import { Column, type ColumnType, type MissingPolicy } from './csv-columns.js'
import type { CsvSource } from './csv-records.js'
import {
  classesOf,
  type Encoding,
  encodeRows,
  encodingOf,
  type Plan,
  type Rows,
  rowsOf,
  type Settings,
  targetDtype,
  tensorsOf,
} from './csv-rows.js'
import { readShard } from './csv-shard.js'
import { ownRange, sharedByRanks } from './text-range.js'

/** How a CSV file is read. */
export interface CsvOptions {
  /** The column to predict, by name or position (from 0); several of numbers give y several columns. */
  target: string | number | readonly (string | number)[]
  /** Whether the first record names the columns; true by default. Otherwise they are called 0, 1, … */
  header?: boolean | undefined
  /** ',' by default. */
  delimiter?: string | undefined
  /** What divides a number's fraction, '.' or ','; '.' by default. */
  decimal?: Decimal | undefined
  /** By column name: 'number', 'category', or 'ignore' to leave it out. Others are told by their cells. */
  types?: Record<string, ColumnType> | undefined
  /**
   * What becomes of missing values: 'refuse' (the default), 'drop' the row, or 'mean': the mean of the column (a category:
   * zeros); a record to be encoded may then lack a value where the table lacks one. A row without a target is refused all the
   * same, or dropped.
   */
  missing?: MissingPolicy | undefined
  /** What counts as missing; the empty field, NA, N/A, NaN, nan, null, NULL and ? by default. */
  missingValues?: readonly string[] | undefined
  /** The most categories of a column; 100 by default. */
  maxCategories?: number | undefined
  /** Of x and of targets that are numbers; 'float32' by default. */
  dtype?: FloatDtype | undefined
}

/** How `readCsv` reads a file. */
export interface ReadCsvOptions extends CsvOptions {
  /**
   * 'auto': of several processes each reads its part of the file's bytes and holds its rows, which together are what one process
   * reads; outside of a launcher all of it. All ranks have to read the same file.
   */
  shard?: 'auto' | undefined
}

/** How a CSV file is streamed: `CsvOptions`, and the size of a batch. */
export interface StreamCsvOptions extends CsvOptions {
  /** Rows of a batch; the last may have fewer. */
  batchSize: number
  /** 'auto': of several processes each streams its part of the file's bytes; types and means are of the whole file. */
  shard?: 'auto' | undefined
}

const optionNames = ['target', 'header', 'delimiter', 'decimal', 'types', 'missing', 'missingValues', 'maxCategories', 'dtype']
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
      decimal: checkChoice(where, 'decimal', options.decimal ?? '.', ['.', ','] as const),
      maxCategories: checkNumber(where, 'maxCategories', options.maxCategories ?? 100, { integer: true, min: 1, max: 10_000 }),
    },
    dtype: checkChoice(where, 'dtype', options.dtype ?? 'float32', ['float32', 'float64'] as const),
  }
}

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
export async function readCsv(source: CsvSource, options: ReadCsvOptions): Promise<Dataset> {
  return withMemoryErrors('readCsv', async () => {
    const s = settingsOf('readCsv', options, ['shard'])
    const shard = sharedByRanks('readCsv', source, options.shard)
    const path = source as string
    const { plan, chunks, rows: m, start, total } = shard ? await readShard(path, s) : await readAll(source, s)
    if (!plan || total === 0) throw new WengertError('ERR_DATA', 'readCsv: there are no rows; at least one row is needed')
    const e = encodingOf(s, plan)
    const classes = classesOf(e)
    const x = allocateShared(s.dtype, m * e.width)
    const y = allocateShared(targetDtype(e, s), m * e.targets.length)
    let done = 0
    for (const { values, count } of chunks) {
      encodeRows(e, values, 0, count, x, y, done)
      done += count
    }
    const tensors = tensorsOf(e, m, x, y)
    return new Dataset(tensors.x, tensors.y, {
      features: featureNames(e.features),
      encoder: recordEncoder(e.features),
      ...(classes && { classes }),
      ...(shard && { shard: { start, total } }),
    })
  })
}

/** All rows of a source. */
async function readAll(source: CsvSource, s: Settings) {
  const chunks: Rows[] = []
  let rows = 0
  for await (const chunk of rowsOf(source, s)) {
    chunks.push(chunk)
    rows += chunk.count
  }
  return { plan: chunks[0]?.plan, chunks, rows, start: 0, total: rows }
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
    rows += read.count
  }
  if (!plan || rows === 0) throw new WengertError('ERR_DATA', 'streamCsv: there are no rows; at least one row is needed')
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
  const s = settingsOf('streamCsv', options, ['batchSize', 'shard'])
  const batchSize = checkNumber('streamCsv', 'batchSize', options.batchSize, { integer: true, min: 1 })
  checkPath('streamCsv', path)
  const parted = sharedByRanks('streamCsv', path, options.shard)
  let survey: ReturnType<typeof surveyed> | undefined
  const known = () => {
    survey ??= surveyed(path, s)
    return survey
  }
  return {
    info: async () => (await known()).info,
    async *[Symbol.asyncIterator]() {
      const { closed, encoding, info } = await known()
      // A batch never takes more room than the whole file.
      const size = Math.min(batchSize, info.rows)
      const columns = encoding.features.length + encoding.targets.length
      const begin = () => ({
        x: allocate(s.dtype, size * encoding.width),
        y: allocate(targetDtype(encoding, s), size * encoding.targets.length),
      })
      let batch = begin()
      let filled = 0
      const source = parted ? await ownRange(s.where, path, { quotes: true, head: true, delimiter: s.delimiter }) : path
      for await (const { values, count } of rowsOf(source, s, closed)) {
        for (let row = 0; row < count; ) {
          const n = Math.min(count - row, size - filled)
          encodeRows(encoding, values, row * columns, n, batch.x, batch.y, filled)
          row += n
          filled += n
          if (filled < size) continue
          yield tensorsOf(encoding, size, batch.x, batch.y)
          batch = begin()
          filled = 0
        }
      }
      const rest = (array: TypedArray) => array.slice(0, (array.length / size) * filled)
      if (filled > 0) yield tensorsOf(encoding, filled, rest(batch.x), rest(batch.y))
    },
  }
}
