/** Reading tables: whole, a sample or a part of them, or as one table after the other. */

import { rangeOf } from '../distributed/shard.js'
import { together, world } from '../distributed/world.js'
import { WengertError } from '../errors.js'
import { missingTexts } from '../table/cell.js'
import type { CellBytes } from '../table/cells.js'
import type { ColumnType } from '../table/column.js'
import type { Table } from '../table/table.js'
import { type BuildOptions, type RowSink, TableBuilder } from '../table/table-builder.js'
import { memoryError, withMemoryErrors } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions, describe } from '../util/options.js'
import { purposes, Stream } from '../util/random.js'
import { isPlainObject } from '../util/tree.js'
import { readInto, type Settings, type TableSource } from './table-rows.js'

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
