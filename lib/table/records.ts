/** Records, such as a request's JSON, as features: the same encodings as the columns of a table, one value at a time. */

import { WengertError } from '../errors.js'
import { Tensor } from '../tensor/tensor.js'
import { type FloatDtype, type TypedArray, viewOf } from '../util/dtype.js'
import { describe, nearest } from '../util/options.js'
import { cellOf } from './cell.js'
import type { Encoding } from './encoding.js'

/** What a record may have besides the columns that are encoded. */
export interface RecordRules {
  /** Columns that are known and not read: the target, identifiers. */
  known: ReadonlySet<string>
  unknown: 'refuse' | 'ignore'
  dtype: FloatDtype
}

const make = (dtype: FloatDtype, n: number): TypedArray => viewOf(dtype, new ArrayBuffer(n * (dtype === 'float32' ? 4 : 8)), 0, n)

export class RecordEncoder {
  /** The number of columns of x that a record becomes. */
  readonly width: number
  /** Every column that is known. */
  readonly names: ReadonlySet<string>

  constructor(
    readonly encodings: readonly Encoding[],
    readonly rules: RecordRules,
  ) {
    this.width = encodings.reduce((sum, { columns }) => sum + columns.length, 0)
    this.names = new Set([...encodings.map(({ name }) => name), ...rules.known])
  }

  /** Writes the features of a record. Errors: ERR_DATA for a column that is missing, unknown, or of another kind; ERR_VALUE. */
  write(record: unknown, row: number, out: TypedArray, from: number): void {
    if (typeof record !== 'object' || record === null || Array.isArray(record))
      throw new WengertError('ERR_VALUE', `record ${row}: expected an object of values by column, got ${describe(record)}`, {
        actual: record,
      })
    const values = record as Record<string, unknown>
    let at = from
    let found = 0
    for (const encoding of this.encodings) {
      const { name } = encoding
      const where = () => `record ${row}, column '${name}'`
      const own = Object.hasOwn(values, name)
      if (own) found++
      else if (!encoding.optional) throw this.#missing(values, name, row)
      encoding.write(encoding.read(own ? cellOf(values[name], where) : undefined, where), out as Float32Array, at)
      for (let i = at + encoding.columns.length; at < i; at++)
        if (!Number.isFinite(out[at]))
          throw new WengertError('ERR_DATA', `${where()}: ${describe(values[name])} is too far from the training values`)
    }
    if (this.rules.unknown === 'refuse' && Object.keys(values).length > found) this.#refuseUnknown(values, row)
  }

  #missing(values: Record<string, unknown>, name: string, row: number): WengertError {
    const near = nearest(
      name,
      Object.keys(values)
        .filter((key) => !this.names.has(key))
        .slice(0, 100),
    )
    const hint = near ? `; is it ${describe(near)}?` : ''
    return new WengertError('ERR_DATA', `record ${row}: the column '${name}' is missing${hint} (null where its value is not known)`, {
      expected: name,
      actual: Object.keys(values).slice(0, 100),
    })
  }

  #refuseUnknown(values: Record<string, unknown>, row: number): void {
    for (const key of Object.keys(values)) {
      if (this.names.has(key)) continue
      const near = key.length < 200 ? nearest(key, [...this.names]) : undefined
      throw new WengertError(
        'ERR_DATA',
        `record ${row}: the column ${describe(key)} is unknown${near ? `; did you mean '${near}'?` : ''} (fitTable's unknown: 'ignore' lets others pass)`,
        { expected: [...this.names], actual: key },
      )
    }
  }

  /** Records as features [m, width]. */
  encode(records: Iterable<unknown>): Tensor {
    if (typeof records !== 'object' || records === null || !(Symbol.iterator in records))
      throw new WengertError('ERR_VALUE', `table: expected a list of records, got ${describe(records)}`, { actual: records })
    const list = Array.isArray(records) ? records : [...records]
    if (list.length === 0) throw new WengertError('ERR_DATA', 'table: there are no records; give at least one record')
    const out = make(this.rules.dtype, list.length * this.width)
    for (let i = 0; i < list.length; i++) this.write(list[i], i, out, i * this.width)
    return new Tensor([list.length, this.width], this.rules.dtype, out)
  }
}
