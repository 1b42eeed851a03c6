/** Where tables come from: CSV, JSON lines, records in memory or out of a database, one row at a time. */

import { rangeOf } from '../distributed/shard.js'
import { together, world } from '../distributed/world.js'
import { WengertError } from '../errors.js'
import { missingTexts } from '../table/cell.js'
import { type CellBytes, cellText } from '../table/cells.js'
import type { ColumnType } from '../table/column.js'
import { type BuildOptions, type RowSink, type Table, TableBuilder } from '../table/table.js'
import { memoryError, withMemoryErrors } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions, describe } from '../util/options.js'
import { purposes, Stream } from '../util/random.js'
import { isPlainObject } from '../util/tree.js'
import { checkPath, fileError } from './atomic.js'
import { scanned } from './csv-records.js'

/** What a table is read from: a path, the bytes of a file, a stream or list of pieces of one (`process.stdin`), or records. */
export type TableSource = string | AsyncIterable<unknown> | Iterable<unknown>

/** How a table is read. */
export interface ReadTableOptions {
  /** 'csv' or 'jsonl' (one JSON object a line); told by the file's name and its first character otherwise. */
  format?: 'csv' | 'jsonl' | undefined
  /** Between the fields of a CSV; the one of `,` `;` tab and `|` that the first line holds most often otherwise. */
  delimiter?: string | undefined
  /** Whether the first line of a CSV names the columns; true by default. Otherwise they are called 0, 1, … */
  header?: boolean | undefined
  /** By column: 'number', 'date' or 'text'; told by the cells otherwise. */
  types?: Readonly<Record<string, ColumnType>> | undefined
  /** The texts that mean a missing value; by default the empty one, NA, N/A, NaN, null, None, ? and their like. */
  missingValues?: readonly string[] | undefined
  /** Keep at most so many rows, each equally likely, so that memory does not grow with the source; all by default. */
  sample?: number | undefined
  /** About how many bytes the table may take: where the source holds more, rows are kept at random, as by `sample`. */
  memory?: number | undefined
  /** Of the draws of the sample; 0 by default. */
  seed?: number | undefined
  /**
   * 'auto': of several processes each keeps its range of the rows, which together are what one process reads; outside of a launcher all
   * of it. Each reads the whole source, twice: first types and the number of rows, with no row kept. A path, or an array of records.
   */
  shard?: 'auto' | undefined
  signal?: AbortSignal | undefined
}

/** The longest line of JSON, in characters. */
const longestLine = 1 << 24
const delimiters = [',', ';', '\t', '|'] as const

interface Settings {
  format: 'csv' | 'jsonl' | undefined
  delimiter: string | undefined
  header: boolean
  missing: ReadonlySet<string>
  signal: AbortSignal | undefined
  /** Bytes that were read of a file. */
  read: number
}

type Bytes = AsyncGenerator<Uint8Array>

async function* bytesOf(path: string, s: Settings): Bytes {
  try {
    for await (const chunk of process.getBuiltinModule('node:fs').createReadStream(checkPath('readTable', path))) {
      s.read += chunk.length
      yield chunk
    }
  } catch (error) {
    throw fileError('readTable', path, error)
  }
}

/** The first pieces up to the end of a line, and then all of it again. */
async function peeked(source: AsyncIterator<unknown>): Promise<{ start: string; all: Bytes }> {
  const pieces: Uint8Array[] = []
  const piece = (value: unknown) => {
    if (typeof value !== 'string' && !(value instanceof Uint8Array))
      throw new WengertError('ERR_VALUE', `readTable: expected bytes or text from the stream, got ${describe(value)}`, { actual: value })
    return typeof value === 'string' ? Buffer.from(value) : value
  }
  let start = ''
  let ended = false
  while (!ended && start.length < 1 << 16 && !start.trimStart().includes('\n')) {
    const next = await source.next()
    ended = next.done === true
    if (ended) break
    pieces.push(piece(next.value))
    start += Buffer.from(pieces[pieces.length - 1] as Uint8Array).toString('utf8')
  }
  async function* all(): Bytes {
    try {
      yield* pieces.splice(0)
      while (!ended) {
        const next = await source.next()
        ended = next.done === true
        if (!ended) yield piece(next.value)
      }
    } finally {
      await source.return?.()
    }
  }
  return { start: start.replace(/^\ufeff/, '').trimStart(), all: all() }
}

/** The delimiter that stands most often in the first line, outside quotes. */
function delimiterIn(start: string): string {
  const counts = new Map<string, number>(delimiters.map((d) => [d, 0]))
  let quoted = false
  for (const character of start) {
    if (character === '"') quoted = !quoted
    else if (!quoted && character === '\n') break
    else if (!quoted && counts.has(character)) counts.set(character, (counts.get(character) as number) + 1)
  }
  const [best, count] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a))
  return count > 0 ? best : ','
}

/** The lines of a text, one piece of it in memory at a time. Errors: ERR_FILE for bytes that are not UTF-8, and for endless lines. */
async function* linesOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const text = new TextDecoder('utf-8', { fatal: true })
  let rest: string[] = []
  let held = 0
  let line = 0
  const decode = (chunk?: Uint8Array) => {
    try {
      return text.decode(chunk, { stream: chunk !== undefined })
    } catch (error) {
      throw new WengertError('ERR_FILE', `readTable: line ${line + 1} is not text in UTF-8`, { cause: error })
    }
  }
  for await (const chunk of source) {
    const piece = decode(chunk)
    let from = 0
    for (let end = piece.indexOf('\n'); end >= 0; end = piece.indexOf('\n', from)) {
      rest.push(piece.slice(from, end))
      yield rest.join('')
      line++
      rest = []
      held = 0
      from = end + 1
    }
    rest.push(piece.slice(from))
    held += piece.length - from
    if (held > longestLine)
      throw new WengertError(
        'ERR_FILE',
        `readTable: line ${line + 1} is longer than ${longestLine} characters; JSON lines hold one record each`,
      )
  }
  rest.push(decode())
  const last = rest.join('')
  if (last !== '') yield last
}

/** Rows handed to the builder, a batch at a time: after each, the caller may stop. */
async function* fromCsv(source: AsyncIterable<Uint8Array>, delimiter: string, s: Settings, into: RowSink): AsyncGenerator<void> {
  let declared = false
  for await (const scanner of scanned(source, { where: 'readTable', delimiter })) {
    while (scanner.next()) {
      if (!declared) {
        declared = true
        const header = Array.from({ length: scanner.count }, (_, i) => cellText(scanner, i))
        into.declare(header.map((name, i) => (s.header && name !== '' ? name : `${i}`)))
        if (s.header) continue
      }
      into.pushCells(scanner, scanner.last)
    }
    yield
  }
}

async function* fromLines(source: AsyncIterable<Uint8Array>, into: RowSink): AsyncGenerator<void> {
  let line = 0
  for await (const text of linesOf(source)) {
    line++
    if (text.trim() === '') continue
    let record: unknown
    try {
      record = JSON.parse(text)
    } catch (error) {
      const hint = line === 1 && text.trimStart().startsWith('[') ? '; a list of records goes to readTable(JSON.parse(text))' : ''
      throw new WengertError('ERR_FILE', `readTable: line ${line} is not JSON: ${(error as Error).message.slice(0, 120)}${hint}`, {
        cause: error,
      })
    }
    if (!isPlainObject(record)) {
      const hint = Array.isArray(record) ? '; a list of records goes to readTable(JSON.parse(text))' : ''
      throw new WengertError('ERR_FILE', `readTable: line ${line}: expected an object of values by column, got ${describe(record)}${hint}`)
    }
    into.pushRecord(record, line, (column) => `readTable: line ${line}, column '${column}'`)
    if (line % 1024 === 0) yield
  }
}

async function* fromRecords(records: AsyncIterable<unknown> | Iterable<unknown>, into: RowSink): AsyncGenerator<void> {
  let row = 0
  for await (const record of records) {
    if (typeof record !== 'object' || record === null || Array.isArray(record))
      throw new WengertError('ERR_VALUE', `readTable: expected records { column: value }, got ${describe(record)} as record ${row}`, {
        actual: record,
      })
    into.pushRecord(record as Record<string, unknown>, row, (column) => `readTable: record ${row}, column '${column}'`)
    if (++row % 1024 === 0) yield
  }
}

const isText = (piece: unknown): boolean => typeof piece === 'string' || piece instanceof Uint8Array

/** Chooses the reader by what the source is and how it begins. */
async function* readInto(source: TableSource, s: Settings, into: RowSink): AsyncGenerator<void> {
  if (typeof source !== 'string' && Symbol.iterator in source) {
    const pieces = (source instanceof Uint8Array ? [source] : source)[Symbol.iterator]()
    const first = pieces.next()
    const again = function* (): Generator<unknown> {
      try {
        for (let next = first; !next.done; next = pieces.next()) yield next.value
      } finally {
        pieces.return?.()
      }
    }
    if (first.done || !isText(first.value)) yield* fromRecords(again(), into)
    else {
      yield* readInto(
        (async function* () {
          yield* again()
        })(),
        s,
        into,
      )
    }
    return
  }
  const iterator = (typeof source === 'string' ? bytesOf(source, s) : source)[Symbol.asyncIterator]()
  const first = typeof source === 'string' ? undefined : await iterator.next()
  const again = async function* () {
    try {
      if (first && !first.done) yield first.value
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value
    } finally {
      await iterator.return?.()
    }
  }
  if (first && !first.done && !isText(first.value)) {
    yield* fromRecords(again(), into)
    return
  }
  const { start, all } = await peeked(again())
  const named = typeof source === 'string' ? /\.(jsonl|ndjson|json|csv|tsv)$/i.exec(source)?.[1]?.toLowerCase() : undefined
  const lines =
    named === undefined || named === 'json' ? start.startsWith('{') || start.startsWith('[') : named === 'jsonl' || named === 'ndjson'
  const format = s.format ?? (lines ? 'jsonl' : 'csv')
  if (format === 'jsonl') yield* fromLines(all, into)
  else yield* fromCsv(all, s.delimiter ?? delimiterIn(start), s, into)
}

function checkRead(source: unknown, options: ReadTableOptions) {
  checkOptions('readTable', options, [
    'format',
    'delimiter',
    'header',
    'types',
    'missingValues',
    'sample',
    'memory',
    'seed',
    'shard',
    'signal',
  ])
  const { format, delimiter, header = true, types = {}, missingValues, sample, memory, seed = 0, signal } = options ?? {}
  const iterable = typeof source === 'object' && source !== null && (Symbol.asyncIterator in source || Symbol.iterator in source)
  if (typeof source !== 'string' && !iterable)
    throw new WengertError('ERR_VALUE', `readTable: expected a path, a stream or records, got ${describe(source)}`, { actual: source })
  if (format !== undefined) checkChoice('readTable', 'format', format, ['csv', 'jsonl'] as const)
  if (delimiter !== undefined && (typeof delimiter !== 'string' || delimiter.length !== 1 || '"\r\n'.includes(delimiter)))
    throw new WengertError('ERR_OPTION', `readTable: expected delimiter to be one character, got ${describe(delimiter)}`, {
      actual: delimiter,
    })
  if (typeof header !== 'boolean')
    throw new WengertError('ERR_OPTION', `readTable: expected header to be true or false, got ${describe(header)}`, { actual: header })
  if (!isPlainObject(types))
    throw new WengertError('ERR_OPTION', `readTable: expected types by column name, got ${describe(types)}`, { actual: types })
  for (const type of Object.values(types)) checkChoice('readTable', 'each type', type, ['number', 'date', 'text'] as const)
  if (missingValues !== undefined && !(Array.isArray(missingValues) && missingValues.every((value) => typeof value === 'string')))
    throw new WengertError('ERR_OPTION', `readTable: expected missingValues to be a list of texts, got ${describe(missingValues)}`)
  if (sample !== undefined) checkNumber('readTable', 'sample', sample, { integer: true, min: 2 })
  if (memory !== undefined) checkNumber('readTable', 'memory', memory, { min: 1 << 16 })
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new WengertError('ERR_OPTION', `readTable: expected signal to be an AbortSignal, got ${describe(signal)}`, { actual: signal })
  return {
    settings: {
      format,
      delimiter,
      header,
      missing: missingValues ? new Set([...missingValues, '']) : missingTexts,
      signal,
      read: 0,
    } satisfies Settings as Settings,
    types: new Map(Object.entries(types)),
    sample,
    memory,
    seed: checkNumber('readTable', 'seed', seed, { integer: true, min: 0, max: Number.MAX_SAFE_INTEGER }),
  }
}

/** The bytes of a file; 0 where that cannot be told. */
function sizeOf(path: string): number {
  try {
    return process.getBuiltinModule('node:fs').statSync(path).size
  } catch {
    return 0
  }
}

/**
 * Reads a table: typed columns of numbers, dates (ISO 8601) and texts, nothing fitted yet. A column is of numbers or of dates
 * where all of its cells are; integers too large for a double and those with leading zeros stay texts, whole.
 *
 * @param source a path to a CSV or to JSON lines, a stream of either, or an iterable of records
 * @throws (rejects) ERR_FILE naming the line; ERR_DATA naming row and column; ERR_OPTION; the signal's reason
 * @example const rows = await readTable('churn.csv')
 * @example const rows = await readTable(database.query('select * from customers'))
 */
export async function readTable(source: TableSource, options: ReadTableOptions = {}): Promise<Table> {
  return withMemoryErrors('readTable', async () => {
    const { settings, types, sample, memory, seed } = checkRead(source, options)
    const { signal } = settings
    const read = async (given: ReadonlyMap<string, ColumnType>): Promise<TableBuilder> => {
      const stream = new Stream({ seed, purpose: purposes.split, a: 0xffffffff, b: 0 })
      const size = typeof source === 'string' && sample === undefined ? sizeOf(source) : 0
      settings.read = 0
      // A little more than the rows so far promise: room that is not used takes no memory.
      const expected = () =>
        size <= (memory ?? size) && settings.read > 0 ? Math.ceil((builder.seen * size * 1.05) / settings.read) : undefined
      const draw = () => stream.uniform()
      const builder: TableBuilder = new TableBuilder({ types: given, missing: settings.missing, sample, memory, draw, expected })
      for await (const _ of readInto(source, settings, builder)) signal?.throwIfAborted()
      return builder
    }
    if (isParted(source, options)) return ownPart(source, settings, types)
    const builder = await read(types)
    const { mixed } = builder
    if (typeof source !== 'string' || mixed.size === 0) return builder.finish()
    // Read again, so that the texts are those of the file.
    return (await read(new Map([...Array.from(mixed.keys(), (name): [string, ColumnType] => [name, 'text']), ...types]))).finish(mixed)
  })
}

/** Whether processes hold parts. Errors: ERR_OPTION for what cannot be read twice, and for a sample. */
function isParted(source: TableSource, { shard, sample, memory }: ReadTableOptions): boolean {
  if (shard === undefined) return false
  checkChoice('readTable', 'shard', shard, ['auto'] as const)
  if (sample !== undefined || memory !== undefined)
    throw new WengertError('ERR_OPTION', 'readTable: a sample is of the whole source: give shard, or sample and memory, not both')
  if (typeof source !== 'string' && !Array.isArray(source))
    throw new WengertError('ERR_OPTION', 'readTable: with shard the source is read twice: give a path or an array of records, not a stream')
  return together()
}

/** This process's rows of a source: their number and their types are known once all of it has been seen. */
async function ownPart(source: TableSource, settings: Settings, types: ReadonlyMap<string, ColumnType>): Promise<Table> {
  const read = async (options: Pick<BuildOptions, 'types' | 'survey' | 'part'>): Promise<TableBuilder> => {
    const builder = new TableBuilder({ ...options, missing: settings.missing, sample: undefined, draw: () => 0 })
    for await (const _ of readInto(source, settings, builder)) settings.signal?.throwIfAborted()
    return builder
  }
  const whole = await read({ types, survey: true })
  const { seen: total, mixed } = whole
  const names = [...whole.types.keys()]
  const known = [...whole.types].flatMap(([name, type]) => (type ? [[name, type] as const] : []))
  const missing = [...types.keys()].find((name) => !names.includes(name))
  if (missing !== undefined || total === 0) return whole.finish()
  const [start, end] = rangeOf(world(), total)
  return (await read({ types: new Map(known), part: { shard: { start, total }, rows: end - start, names } })).finish(mixed)
}

/** Of `streamTable`. */
export interface StreamTableOptions extends Pick<ReadTableOptions, 'format' | 'delimiter' | 'header' | 'missingValues' | 'signal'> {
  /** Rows of a batch; the last may have fewer; 4096 by default. */
  rows?: number | undefined
}

/**
 * The rows of a source larger than memory, as one table after the other. All columns of a CSV are texts as they stand: a
 * fitted table reads numbers and dates out of them, and asks of no batch what its columns look like.
 *
 * @throws while iterating, as `readTable`
 * @example for await (const rows of streamTable('new.csv')) console.log(model.predictRecords(rows))
 */
export async function* streamTable(source: TableSource, options: StreamTableOptions = {}): AsyncGenerator<Table> {
  const { rows: size = 4096, ...rest } = options ?? {}
  checkNumber('streamTable', 'rows', size, { integer: true, min: 1 })
  const { settings } = checkRead(source, rest)
  const fresh = () => new TableBuilder({ types: new Map(), missing: settings.missing, everyType: 'text', sample: undefined, draw: () => 0 })
  const queue = new Batches(size, fresh)
  try {
    for await (const _ of readInto(source, settings, queue)) {
      settings.signal?.throwIfAborted()
      yield* queue.full()
    }
    yield* queue.rest()
  } catch (error) {
    throw memoryError('streamTable', error)
  }
}

/** A builder that begins anew after every so many rows. */
class Batches implements RowSink {
  #current: TableBuilder
  #ready: Table[] = []
  #names: readonly string[] = []

  constructor(
    readonly size: number,
    readonly fresh: () => TableBuilder,
  ) {
    this.#current = fresh()
  }

  declare(names: readonly string[]): void {
    this.#names = names
    this.#current.declare(names)
  }

  pushCells(cells: CellBytes, row: number): void {
    this.#current.pushCells(cells, row)
    this.#pushed()
  }

  pushRecord(record: Record<string, unknown>, row: number, where: (column: string) => string): void {
    this.#current.pushRecord(record, row, where)
    this.#pushed()
  }

  #pushed(): void {
    if (this.#current.seen < this.size) return
    this.#ready.push(this.#current.finish())
    this.#current = this.fresh()
    this.#current.declare(this.#names)
  }

  full(): Table[] {
    return this.#ready.splice(0)
  }

  rest(): Table[] {
    return this.#current.seen > 0 ? [...this.full(), this.#current.finish()] : this.full()
  }
}
