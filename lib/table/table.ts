/** A table: named columns of one length, of which a part may be looked at without being copied. */

import { ownPositions } from '../data/shards.js'
import type { Shard } from '../distributed/shard.js'
import { WengertError } from '../errors.js'
import { withMemoryErrors } from '../util/dtype.js'
import { describe, nearest } from '../util/options.js'
import { cellOf, type TableRecord } from './cell.js'
import { ByteSet, type CellBytes } from './cells.js'
import { type Column, type ColumnType, NumericColumn } from './column.js'
import { ColumnBuilder, type Mixed } from './column-builder.js'
import type { Expected } from './growing.js'

/** More columns than this are a mistake of the source, such as keys that are values. */
const mostColumns = 10_000

/** Cells of a table for each value in it: beyond, the source is no table, and would take memory for nothing. */
const mostEmpty = 64

/** Rows that a survey holds at a time. */
const surveyed = 4096

/** Room for the numbers of one column after the other. */
export class Room {
  #list = new Float64Array(0)

  /** So many numbers, whatever they are: what was handed out before is the same memory. */
  of(length: number): Float64Array {
    if (this.#list.length < length) this.#list = new Float64Array(length)
    return this.#list.subarray(0, length)
  }
}

/** A column as a table sees it: its values in the order of the table's rows. */
export class ColumnView {
  constructor(
    readonly name: string,
    readonly column: Column,
    /** Which rows of the column, in this order; all where undefined. */
    readonly rows: Uint32Array | undefined,
  ) {}

  get type(): ColumnType {
    return this.column.type
  }

  get length(): number {
    return this.rows?.length ?? this.column.length
  }

  /** The place in the column of the i-th row. */
  place(i: number): number {
    return this.rows ? (this.rows[i] as number) : i
  }

  /** The value of the i-th row; undefined where it is missing. */
  at(i: number): number | string | Date | undefined {
    return this.column.at(this.place(i))
  }

  /** The numbers, or milliseconds of dates, in a list of their own; NaN where one is missing. */
  numbers(): Float64Array {
    return withMemoryErrors('table', () => {
      const values = this.#values()
      const out = new Float64Array(this.length)
      for (let i = 0; i < out.length; i++) out[i] = values[this.place(i)] as number
      return out
    })
  }

  /** The numbers, or milliseconds of dates, that are not missing. The list is the room's, until the next asks it for one. */
  present(room: Room): Float64Array {
    const values = this.#values()
    const out = room.of(this.length)
    let count = 0
    for (let i = 0; i < out.length; i++) {
      const value = values[this.place(i)] as number
      if (!Number.isNaN(value)) out[count++] = value
    }
    return out.subarray(0, count)
  }

  #values(): Float64Array | Int32Array {
    if (this.column instanceof NumericColumn) return this.column.values
    throw new WengertError('ERR_DATA', `column '${this.name}': expected numbers, got text`)
  }
}

/** What tells how the texts of a table's parts write dates and numbers, so that all parts are read alike. */
export interface Origin {
  /** The rows that were split. */
  readonly rows: Table
  /** Formats of dates that were said, by column. */
  readonly formats: ReadonlyMap<string, string>
}

/** What is known of a table's rows besides their values. */
interface About {
  /** Columns in which text came after numbers or dates: where it began. */
  readonly mixed: ReadonlyMap<string, Mixed>
  /** How many rows the source had, where only a part of them was kept. */
  readonly seen: number | undefined
  /** Of a table of which each process holds a part: which of the rows are here. */
  readonly shard: Shard | undefined
  /** Of a part that `split` or `folds` made: what it is a part of. */
  readonly origin: Origin | undefined
  /** Of a batch of records: as they came. */
  readonly given: readonly TableRecord[] | undefined
}

/**
 * Rows and named, typed columns: numbers, dates and texts, as `readTable` found them. Nothing is fitted: what a column means
 * to a model is `fitTable`'s business. Parts of a table share its columns.
 *
 * @example for (const record of rows.head(3)) console.log(record)
 */
export class Table {
  /** Columns in which text came after numbers or dates: where it began. */
  readonly mixed: ReadonlyMap<string, Mixed>
  /** How many rows the source had, where only a part of them was kept. */
  readonly seen: number
  /** Of a table of which each process holds a part: which of the rows are here. */
  readonly shard?: Shard
  /** @internal Of a part that `split` or `folds` made: what it is a part of. */
  readonly origin?: Origin
  readonly #given: readonly TableRecord[] | undefined

  /** @internal */
  constructor(
    private readonly columns: ReadonlyMap<string, Column>,
    /** The number of rows. */
    readonly length: number,
    private readonly rows?: Uint32Array,
    { mixed = new Map(), seen = length, shard, origin, given }: Partial<About> = {},
  ) {
    this.mixed = mixed
    this.seen = seen
    if (shard) this.shard = shard
    if (origin) this.origin = origin
    this.#given = given
  }

  /** Other columns, or other rows of them. */
  #with(columns: ReadonlyMap<string, Column>, length: number, rows: Uint32Array | undefined, about: Partial<About>): Table {
    const { mixed, shard, origin } = this
    return new Table(columns, length, rows, { mixed, shard, origin, given: this.#given, ...about })
  }

  /** @internal The same rows as a part. */
  partOf(origin: Origin): Table {
    return this.#with(this.columns, this.length, this.rows, { seen: this.seen, origin })
  }

  /** The names of the columns, in order. */
  get names(): readonly string[] {
    return [...this.columns.keys()]
  }

  has(name: string): boolean {
    return this.columns.has(name)
  }

  /** A column by its name. Errors: ERR_OPTION with the nearest name. */
  column(name: string, what = 'column'): ColumnView {
    const column = this.columns.get(name)
    if (!column) throw unknownColumn('table', what, name, this.names)
    return new ColumnView(name, column, this.rows)
  }

  /** The i-th row as an object of its values; null where one is missing. Errors: ERR_INDEX. */
  record(i: number): Record<string, number | string | Date | null> {
    if (!Number.isInteger(i) || i < 0 || i >= this.length)
      throw new WengertError('ERR_INDEX', `table: expected a row in 0 … ${this.length - 1}, got ${describe(i)}`, { actual: i })
    const place = this.rows ? (this.rows[i] as number) : i
    // Own properties, whatever their names.
    return Object.fromEntries(Array.from(this.columns, ([name, column]) => [name, column.at(place) ?? null]))
  }

  /** @internal Of a batch of records, the i-th as it came. */
  asGiven(i: number): TableRecord | undefined {
    return this.#given?.[this.rows ? (this.rows[i] as number) : i]
  }

  /** Every row as an object. */
  *[Symbol.iterator](): IterableIterator<Record<string, number | string | Date | null>> {
    for (let i = 0; i < this.length; i++) yield this.record(i)
  }

  /**
   * The rows at the given positions, in that order; of a shard, positions of the whole, which have to grow: of them those are kept that
   * are here. Errors: ERR_INDEX; ERR_DISTRIBUTED for another order of a shard's.
   */
  take(positions: ArrayLike<number>): Table {
    if (this.shard) {
      const { own, shard } = ownPositions('table.take', this.shard, this.length, positions)
      const rows = own.map((at) => (this.rows ? (this.rows[at] as number) : at))
      return this.#with(this.columns, rows.length, rows, { shard })
    }
    return withMemoryErrors('table.take', () => {
      const rows = new Uint32Array(positions.length)
      for (let i = 0; i < positions.length; i++) {
        const at = positions[i] as number
        if (!Number.isInteger(at) || at < 0 || at >= this.length)
          throw new WengertError('ERR_INDEX', `table.take: expected positions in 0 … ${this.length - 1}, got ${describe(at)}`, {
            actual: at,
          })
        rows[i] = this.rows ? (this.rows[at] as number) : at
      }
      return this.#with(this.columns, rows.length, rows, {})
    })
  }

  /** The first `n` rows, or fewer where there are fewer. */
  head(n = 5): Table {
    return this.take(Uint32Array.from({ length: Math.min(n, this.shard?.total ?? this.length) }, (_, i) => i))
  }

  /** The rows in which none of the named columns is missing. Errors: ERR_OPTION; ERR_DISTRIBUTED for a shard, whose rows are counted. */
  complete(...names: string[]): Table {
    if (this.shard)
      throw new WengertError(
        'ERR_DISTRIBUTED',
        'table.complete: the table is a shard, and how many rows the others would keep is not known here; read the table without shard',
      )
    const views = names.map((name) => this.column(name))
    const kept: number[] = []
    for (let i = 0; i < this.length; i++) if (views.every((view) => view.at(i) !== undefined)) kept.push(i)
    return kept.length === this.length ? this : this.take(kept)
  }

  /** Without the named columns. Errors: ERR_OPTION for one that is not there. */
  without(...names: string[]): Table {
    for (const name of names) this.column(name)
    const kept = new Map([...this.columns].filter(([name]) => !names.includes(name)))
    return this.#with(kept, this.length, this.rows, {})
  }

  /** The bytes that the columns take, shared ones counted whole. */
  get bytes(): number {
    return [...this.columns.values()].reduce((sum, column) => sum + column.bytes, this.rows?.byteLength ?? 0)
  }

  /** What `console.log` shows: not the columns' memory. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString()
  }

  /** The columns and their types, as a few lines. */
  toString(): string {
    const types = [...this.columns].map(([name, column]) => `${name} (${column.type})`)
    return `Table of ${this.length} rows: ${types.slice(0, 40).join(', ')}${types.length > 40 ? `, and ${types.length - 40} more` : ''}`
  }
}

/** A column that is not there, with the nearest name. */
export function unknownColumn(where: string, what: string, name: unknown, names: readonly string[]): WengertError {
  const near = typeof name === 'string' ? nearest(name, names) : undefined
  const hint = near ? `; did you mean '${near}'?` : `; the columns are ${names.slice(0, 20).join(', ')}${names.length > 20 ? ', …' : ''}`
  return new WengertError('ERR_OPTION', `${where}: there is no ${what} ${describe(name)}${hint}`, {
    expected: names.slice(0, 100),
    actual: name,
  })
}

/** How a source becomes a table, and how much of it is kept. */
export interface BuildOptions {
  types: ReadonlyMap<string, ColumnType>
  /** Texts of records that mean a missing value. */
  missing?: ReadonlySet<string>
  /** The type of all others, where they are not to be told by their cells. */
  everyType?: ColumnType
  /** The most rows that are kept, chosen at random; all where undefined. */
  sample: number | undefined
  /** About how many bytes the kept rows may take; where they would take more, they are chosen at random. */
  memory?: number | undefined
  /** Draws of the sample. */
  draw: () => number
  /** Keep none: only names and types are wanted, and the number of rows. */
  survey?: boolean | undefined
  /** What a survey has found: the rows that are kept of so many, and the columns. */
  part?: { readonly shard: Shard; readonly rows: number; readonly names: readonly string[] } | undefined
  /** About how many rows the source has, where that can be told from what has been read of it. */
  expected?: Expected
}

/** What takes the rows of a source. */
export interface RowSink {
  declare(names: readonly string[]): void
  /** The cells of a record as they lie in a file. */
  pushCells(cells: CellBytes, row: number): void
  pushRecord(record: TableRecord, row: number, where: (column: string) => string): void
}

/** A table while it grows. With `sample`, every row is equally likely to be kept, and memory does not grow with the source. */
export class TableBuilder implements RowSink {
  #builders: ColumnBuilder[] = []
  #places = new Map<string, number>()
  #kept = 0
  #values = 0
  #share = 1
  /** Of a batch whose columns are all of one type: the records as they came. */
  readonly #records: TableRecord[] = []
  /** The draw of each kept row, where rows are sampled. */
  #draws: number[] = []
  /** How many rows came by. */
  seen = 0

  readonly #missing: ByteSet | undefined

  constructor(readonly options: BuildOptions) {
    this.#missing = options.missing && new ByteSet(options.missing)
    for (const name of options.part?.names ?? []) this.#add(name)
  }

  /** Declares the columns in order. Errors: ERR_FILE for a name given twice. */
  declare(names: readonly string[]): void {
    if (this.options.part) return
    for (const name of names) {
      if (this.#places.has(name))
        throw new WengertError('ERR_FILE', `readTable: the column ${describe(name)} is there twice`, { actual: name })
      this.#add(name)
    }
  }

  #add(name: string): ColumnBuilder {
    if (this.#builders.length >= mostColumns)
      throw new WengertError('ERR_DATA', `readTable: the source has more than ${mostColumns} columns; are its keys values?`)
    const builder = new ColumnBuilder(name, this.#typeOf(name), this.options.expected)
    this.#places.set(name, this.#builders.push(builder) - 1)
    return builder
  }

  #typeOf(name: string): ColumnType | undefined {
    return this.options.types.get(name) ?? this.options.everyType
  }

  #chosen(): boolean {
    const { sample, memory, draw, part } = this.options
    const row = this.seen++
    if (part) return row >= part.shard.start && row < part.shard.start + part.rows
    if (sample === undefined && memory === undefined) return true
    const u = draw()
    if (u >= this.#share) return false
    this.#draws.push(u)
    return true
  }

  /** A row of cells in the order of the columns. */
  pushCells({ bytes, starts, ends }: CellBytes, row: number): void {
    if (!this.#chosen()) return
    const builders = this.#builders
    const missing = this.#missing
    for (let i = 0; i < builders.length; i++) {
      const [from, to] = [starts[i] as number, ends[i] as number]
      const builder = builders[i] as ColumnBuilder
      if (missing?.has(bytes, from, to)) builder.pushBytes(bytes, from, from, row)
      else builder.pushBytes(bytes, from, to, row)
    }
    this.#grown()
  }

  /** A record; columns that it brings first are added. */
  pushRecord(record: TableRecord, row: number, where: (column: string) => string): void {
    if (!this.#chosen()) return
    for (const name of Object.keys(record)) {
      const place = this.#places.get(name)
      const cell = cellOf(record[name], () => where(name))
      const value = typeof cell === 'string' && this.options.missing?.has(cell) ? undefined : cell
      const builder = place === undefined ? this.#add(name) : (this.#builders[place] as ColumnBuilder)
      if (value === undefined) continue
      builder.fill(this.#kept)
      builder.pushValue(value, row)
      this.#values++
    }
    if (this.options.everyType) this.#records.push(record)
    this.#grown()
    if (this.#kept * this.#builders.length > 10_000_000 + mostEmpty * this.#values)
      throw new WengertError('ERR_DATA', `readTable: ${this.#builders.length} columns, and hardly any value in most; are its keys values?`)
  }

  /** Halves the share of rows that are kept, where there are too many. */
  #grown(): void {
    const { sample = Number.POSITIVE_INFINITY, memory, survey } = this.options
    this.#kept++
    if (survey && this.#kept % surveyed === 0) for (const builder of this.#builders) builder.forget(this.#kept)
    const full = memory !== undefined && this.#kept % 1024 === 0 && this.#builders.reduce((sum, { bytes }) => sum + bytes, 0) > memory
    if (this.#kept <= sample && !full) return
    this.#share /= 2
    const positions: number[] = []
    this.#draws.forEach((u, i) => {
      if (u < this.#share) positions.push(i)
    })
    this.#draws = positions.map((i) => this.#draws[i] as number)
    this.#builders = this.#builders.map((builder) => {
      builder.fill(this.#kept)
      const column = builder.finish().take(positions)
      const next = new ColumnBuilder(builder.name, this.#typeOf(builder.name))
      next.mixed = builder.mixed
      for (let i = 0; i < column.length; i++) next.pushValue(column.at(i), 0)
      return next
    })
    this.#kept = positions.length
  }

  /** The columns and the types that they have so far; of none for one without any value. */
  get types(): Map<string, ColumnType | undefined> {
    return new Map(this.#builders.map(({ name, type }) => [name, type]))
  }

  /** Columns in which text came after numbers or dates. */
  get mixed(): Map<string, Mixed> {
    return new Map(this.#builders.flatMap((builder) => (builder.mixed ? [[builder.name, builder.mixed] as const] : [])))
  }

  /** The table. Errors: ERR_DATA where there are no rows. @param mixed what an earlier reading found */
  finish(mixed: ReadonlyMap<string, Mixed> = this.mixed): Table {
    for (const name of this.options.types.keys())
      if (!this.#places.has(name)) throw unknownColumn('readTable', 'column (of types)', name, [...this.#places.keys()])
    const { part } = this.options
    if (this.#kept === 0 && !part) throw new WengertError('ERR_DATA', 'readTable: the source has no rows')
    for (const builder of this.#builders) builder.fill(this.#kept)
    const columns = new Map(this.#builders.map((builder) => [builder.name, builder.finish()]))
    const given = this.#records.length > 0 ? this.#records : undefined
    return new Table(columns, this.#kept, undefined, { mixed, seen: part ? this.#kept : this.seen, shard: part?.shard, given })
  }
}
