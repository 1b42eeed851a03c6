/** The rows of a table as features: column by column, each dictionary's texts encoded once. */

import { WengertError } from '../errors.js'
import { describe, nearest } from '../util/options.js'
import { DictionaryColumn, NumericColumn } from './column.js'
import type { Encoding, Raw } from './encoding.js'
import type { ColumnView, Table } from './table.js'

/** Beyond this many numbers, features of a dictionary's texts are not made ahead. */
const mostAhead = 1 << 22

/** Writes the features of one column into `out` [rows, stride], from place `at` of each row. */
function encodeColumn(encoding: Encoding, view: ColumnView, out: Float32Array, stride: number, at: number): void {
  const { column, length } = view
  const width = encoding.columns.length
  const where = (row: number) => () => `table: row ${row}, column '${view.name}'`
  if (column instanceof NumericColumn && column.type === 'number' && (encoding.kind === 'number' || encoding.kind === 'date')) {
    for (let i = 0; i < length; i++) encoding.write(column.values[view.place(i)] as number, out, i * stride + at)
    return
  }
  if (column instanceof NumericColumn && column.type === 'date' && encoding.kind === 'date') {
    for (let i = 0; i < length; i++) encoding.write(column.values[view.place(i)] as number, out, i * stride + at)
    return
  }
  if (column instanceof DictionaryColumn && column.dictionary.length * width <= mostAhead && column.dictionary.length <= length) {
    encodeByCode(encoding, view, column, out, stride, at)
    return
  }
  for (let i = 0; i < length; i++) encoding.write(encoding.read(view.at(i), where(i)), out, i * stride + at)
}

/** Every text of the dictionary that occurs is encoded once. */
function encodeByCode(encoding: Encoding, view: ColumnView, column: DictionaryColumn, out: Float32Array, stride: number, at: number): void {
  const { codes, dictionary } = column
  const width = encoding.columns.length
  const ahead = new (out.constructor as typeof Float32Array)(dictionary.length * width)
  const done = new Uint8Array(dictionary.length)
  for (let i = 0; i < view.length; i++) {
    const code = codes[view.place(i)] as number
    if (done[code] === 0) {
      const raw: Raw = encoding.read(code === 0 ? undefined : dictionary[code], () => `table: row ${i}, column '${view.name}'`)
      encoding.write(raw, ahead, code * width)
      done[code] = 1
    }
    for (let k = 0; k < width; k++) out[i * stride + at + k] = ahead[code * width + k] as number
  }
}

/** The columns of x of all rows, [rows, columns], into `out`. Errors: ERR_DATA naming row and column. */
export function encodeRows(
  encodings: readonly Encoding[],
  rows: Table,
  out: Float32Array,
  { known, unknown }: { known: ReadonlySet<string>; unknown: 'refuse' | 'ignore' },
): void {
  const extra = unknown === 'refuse' ? rows.names.find((name) => !known.has(name)) : undefined
  if (extra !== undefined) {
    const near = nearest(extra, [...known])
    throw new WengertError(
      'ERR_DATA',
      `table: the column ${describe(extra)} is unknown${near ? `; did you mean '${near}'?` : ''} (rows.without leaves it out)`,
      {
        expected: [...known],
        actual: extra,
      },
    )
  }
  const stride = encodings.reduce((sum, { columns }) => sum + columns.length, 0)
  let at = 0
  for (const encoding of encodings) {
    if (rows.has(encoding.name)) encodeColumn(encoding, rows.column(encoding.name), out, stride, at)
    else if (encoding.optional) {
      const raw = encoding.read(undefined, () => encoding.name)
      for (let i = 0; i < rows.length; i++) encoding.write(raw, out, i * stride + at)
    } else {
      throw new WengertError('ERR_DATA', `table: the column '${encoding.name}' is missing`, { expected: encoding.name, actual: rows.names })
    }
    at += encoding.columns.length
  }
}

/** Refuses values so far from those of the training that they have no features. Errors: ERR_DATA naming row and column. */
export function checkReach(encodings: readonly Encoding[], rows: Table, out: ArrayLike<number>): void {
  const stride = encodings.reduce((sum, { columns }) => sum + columns.length, 0)
  for (let at = 0; at < out.length; at++) {
    if (Number.isFinite(out[at])) continue
    const row = Math.floor(at / stride)
    let last = -1
    const { name } = encodings.find(({ columns }) => {
      last += columns.length
      return at % stride <= last
    }) as Encoding
    const value = rows.column(name).at(row)
    throw new WengertError('ERR_DATA', `table: row ${row}, column '${name}': ${describe(value)} is too far from the training values`, {
      actual: value,
    })
  }
}
