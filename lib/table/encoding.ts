/**
 * How one column becomes features. Fitted on a training part, an encoding reads a value (from a typed column or a request)
 * and writes the same features wherever it comes from: training and serving share every line.
 * To add a kind: a file with its spec, fit, and reader of JSON; entries in `kinds.ts`.
 */

import { WengertError } from '../errors.js'
import type { Places } from '../nn/table-input.js'
import { describe } from '../util/options.js'

/** The kinds of columns. */
export type KindName = 'number' | 'category' | 'boolean' | 'date' | 'text' | 'ignore' | 'labels'

/** A column's kind and its options, as `number()`, `category()` and their like give it. */
export interface ColumnSpec<Kind extends KindName = KindName> {
  readonly kind: Kind
  /** Whether a record may lack the column; it then counts as missing. */
  readonly optional?: boolean
  readonly [option: string]: unknown
}

/** A value as encodings write it: a number, a text, or undefined where it is missing. */
export type Raw = number | string | undefined

/** Codes of categories: each a learned vector, or a feature for each place. */
export type Code = { readonly as: 'embedding'; readonly count: number; readonly width: number } | ({ readonly as: 'oneHot' } & Places)

/** A column fitted: what it reads and the features that it writes. */
export interface Encoding {
  readonly name: string
  readonly kind: KindName
  readonly optional: boolean
  /** The names of the columns of x that it writes. */
  readonly columns: readonly string[]
  /** The names of the features that the first layer makes of them: more than columns where one of them holds codes. */
  readonly features: readonly string[]
  /** What the codes of its one column become in the first layer, where it writes codes. */
  readonly code?: Code
  /** A line for people: what it makes of the column. */
  readonly says: string
  /** The value brought to what `write` takes. Errors: ERR_DATA. */
  read(value: number | string | Date | undefined, where: () => string): Raw
  /** Writes the features at `at`, all of them: what was there before does not matter. */
  write(raw: Raw, out: Float32Array, at: number): void
  toJSON(): Record<string, unknown>
}

/** The version of the JSON of encodings; of categories as codes it is the next. */
export const encodingVersion = 1

/** A value that a column does not take. */
export function refused(where: () => string, expected: string, value: unknown): WengertError {
  return new WengertError('ERR_DATA', `${where()}: expected ${expected}, got ${describe(value)}`, { expected, actual: value })
}

/** Fields of saved JSON, checked as they are read. Errors: ERR_VALUE naming the field. */
export class Fields {
  constructor(
    readonly json: Readonly<Record<string, unknown>>,
    readonly where: string,
  ) {}

  fail(field: string, expected: string): WengertError {
    return new WengertError('ERR_VALUE', `${this.where}: expected ${field} to be ${expected}, got ${describe(this.json[field])}`, {
      actual: this.json[field],
    })
  }

  text(field: string): string {
    const value = this.json[field]
    if (typeof value !== 'string') throw this.fail(field, 'a text')
    return value
  }

  flag(field: string): boolean {
    const value = this.json[field] ?? false
    if (typeof value !== 'boolean') throw this.fail(field, 'true or false')
    return value
  }

  number(field: string, low = -Infinity, high = Infinity): number {
    const value = this.json[field]
    if (typeof value !== 'number' || !(value >= low && value <= high) || !Number.isFinite(value))
      throw this.fail(field, 'a number in its range')
    return value
  }

  integer(field: string, low: number, high: number): number {
    const value = this.number(field, low, high)
    if (!Number.isInteger(value)) throw this.fail(field, 'an integer')
    return value
  }

  texts(field: string): readonly string[] {
    const value = this.json[field]
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) throw this.fail(field, 'a list of texts')
    return value
  }

  numbers(field: string): readonly number[] {
    const value = this.json[field]
    if (!Array.isArray(value) || !value.every((item) => Number.isFinite(item))) throw this.fail(field, 'a list of finite numbers')
    return value
  }
}
