/** Tables of which each process holds a range of rows. What is fitted on one is fitted on all rows, a column at a time. */

import { gatherJsonNow, gatherNow } from '../distributed/now.js'
import { refuseAlone, startsOf } from '../distributed/shard.js'
import { WengertError } from '../errors.js'
import { type Codes, type Column, DictionaryColumn, NumericColumn, TextColumn } from './column.js'
import { ColumnBuilder } from './column-builder.js'
import { ColumnView, Table } from './table.js'

const codec = () => process.getBuiltinModule('node:v8')

/** A column's memory, as it goes to others. */
type Sent =
  | { type: 'number' | 'date'; values: Float64Array | Int32Array }
  | { type: 'text'; codes: Codes; dictionary: readonly string[] }
  | { type: 'text'; texts: readonly string[] }

function sent(column: Column): Sent {
  if (column instanceof NumericColumn) return { type: column.type, values: column.values }
  if (column instanceof DictionaryColumn) return { type: 'text', codes: column.codes, dictionary: column.dictionary }
  return { type: 'text', texts: Array.from({ length: column.length }, (_, i) => column.at(i) ?? '') }
}

function received(bytes: Uint8Array): Column {
  const got = codec().deserialize(bytes) as Sent
  if ('values' in got) return new NumericColumn(got.type, got.values)
  if ('codes' in got) return new DictionaryColumn(got.codes, got.dictionary)
  const offsets = new Uint32Array(got.texts.length + 1)
  got.texts.forEach((text, i) => {
    offsets[i + 1] = (offsets[i] as number) + Buffer.byteLength(text)
  })
  return new TextColumn(Buffer.from(got.texts.join('')), offsets)
}

/** The column that one process would have read. */
function joined(name: string, parts: readonly Column[]): Column {
  const [first] = parts as [Column]
  const builder = new ColumnBuilder(name, first.type)
  for (const part of parts) for (let i = 0; i < part.length; i++) builder.pushValue(part.at(i), 0)
  // Missing cells at the end.
  builder.fill(parts.reduce((n, part) => n + part.length, 0))
  return builder.finish()
}

/** All rows, of which each process holds a part: a column is there while it is looked at. All processes have to look at the same ones. */
class WholeTable extends Table {
  constructor(
    private readonly part: Table,
    total: number,
  ) {
    super(new Map(), total, undefined, { mixed: part.mixed })
  }

  override get names(): readonly string[] {
    return this.part.names
  }

  override has(name: string): boolean {
    return this.part.has(name)
  }

  override column(name: string, what?: string): ColumnView {
    const view = this.part.column(name, what)
    const column = view.rows ? view.column.take(view.rows) : view.column
    const parts = gatherNow(new Uint8Array(codec().serialize(sent(column))))
    return new ColumnView(name, joined(name, parts.map(received)), undefined)
  }
}

/** All rows of a table, of which each process may hold a part. Errors: ERR_DISTRIBUTED for parts that are no whole. */
export function wholeTable(where: string, rows: Table): Table {
  const { shard } = rows
  if (!shard) return rows
  refuseAlone(where, shard, rows.length)
  const names = JSON.stringify(rows.names)
  const all = gatherJsonNow({ ...shard, rows: rows.length, names })
  startsOf(where, all)
  if (all.some((one) => one.names !== names)) throw new WengertError('ERR_DISTRIBUTED', `${where}: the ranks have tables of other columns`)
  return new WholeTable(rows, shard.total)
}

/** Refuses a part of a table where all rows are needed. Errors: ERR_DISTRIBUTED. */
export function refuseShard(where: string, rows: Table): void {
  if (rows.shard)
    throw new WengertError(
      'ERR_DISTRIBUTED',
      `${where}: the table is a shard, of ${rows.length} of ${rows.shard.total} rows, and ${where} needs all of them: read the table without shard`,
    )
}
