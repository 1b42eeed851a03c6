/** A table: named columns of one length, of which a part may be looked at without being copied. */

import { ownPositions } from '../data/shards.js'
import type { Shard } from '../distributed/shard.js'
import { WengertError } from '../errors.js'
import { withMemoryErrors } from '../util/dtype.js'
import { describe, nearest } from '../util/options.js'
import type { TableRecord } from './cell.js'
import { type Column, type ColumnType, NumericColumn } from './column.js'
import type { Mixed } from './column-builder.js'

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
