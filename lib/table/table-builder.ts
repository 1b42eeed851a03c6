/** A table while it grows, row by row of its source. */

import type { Shard } from '../distributed/shard.js'
import { WengertError } from '../errors.js'
import { describe } from '../util/options.js'
import { cellOf, type TableRecord } from './cell.js'
import { ByteSet, type CellBytes } from './cells.js'
import type { ColumnType } from './column.js'
import { ColumnBuilder, type Mixed } from './column-builder.js'
import type { Expected } from './growing.js'
import { Table, unknownColumn } from './table.js'

/** More columns than this are a mistake of the source, such as keys that are values. */
const mostColumns = 10_000

/** Cells of a table for each value in it: beyond, the source is no table, and would take memory for nothing. */
const mostEmpty = 64

/** Rows that a survey holds at a time. */
const surveyed = 4096

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
