/**
 * Columns as typed arrays; column-builder.ts makes them while a source is read. Numbers take eight bytes (four where all are integers
 * of 32 bits), texts one to four bytes beside a dictionary, or their own bytes where nearly all differ.
 */

import type { Bytes } from '../util/bytes.js'

/** What a column stores: numbers, dates (milliseconds since 1970), or texts. */
export type ColumnType = 'number' | 'date' | 'text'

/** Numbers or dates; NaN where one is missing. */
export class NumericColumn {
  constructor(
    readonly type: 'number' | 'date',
    readonly values: Float64Array | Int32Array,
  ) {}

  get length(): number {
    return this.values.length
  }

  /** The value as a record has it. */
  at(i: number): number | Date | undefined {
    const value = this.values[i] as number
    if (Number.isNaN(value)) return undefined
    return this.type === 'date' ? new Date(value) : value
  }

  /** The columns of all these numbers of rows. */
  take(rows: ArrayLike<number>): NumericColumn {
    const { values } = this
    const out = values instanceof Int32Array ? new Int32Array(rows.length) : new Float64Array(rows.length)
    for (let i = 0; i < rows.length; i++) out[i] = values[rows[i] as number] as number
    return new NumericColumn(this.type, out)
  }

  get bytes(): number {
    return this.values.byteLength
  }
}

/** The place of each text in a dictionary. */
export type Codes = Uint8Array | Uint16Array | Uint32Array

/** Texts by their place in a dictionary; place 0 means that one is missing. */
export class DictionaryColumn {
  readonly type = 'text'

  constructor(
    readonly codes: Codes,
    /** `dictionary[0]` stands for none. */
    readonly dictionary: readonly string[],
  ) {}

  get length(): number {
    return this.codes.length
  }

  at(i: number): string | undefined {
    const code = this.codes[i] as number
    return code === 0 ? undefined : this.dictionary[code]
  }

  take(rows: ArrayLike<number>): DictionaryColumn {
    const out = this.codes.slice(0, 0).constructor as new (n: number) => Codes
    const codes = new out(rows.length)
    for (let i = 0; i < rows.length; i++) codes[i] = this.codes[rows[i] as number] as number
    return new DictionaryColumn(codes, this.dictionary)
  }

  get bytes(): number {
    return this.codes.byteLength + this.dictionary.reduce((sum, text) => sum + text.length + 16, 0)
  }
}

/** Texts one after the other in UTF-8; an empty one is missing. */
export class TextColumn {
  readonly type = 'text'
  readonly #text: Bytes

  constructor(
    text: Uint8Array,
    /** Where each begins, and where the last ends. */
    readonly offsets: Uint32Array,
  ) {
    this.#text = Buffer.from(text.buffer, text.byteOffset, text.byteLength)
  }

  get length(): number {
    return this.offsets.length - 1
  }

  at(i: number): string | undefined {
    const [from, to] = [this.offsets[i] as number, this.offsets[i + 1] as number]
    return from === to ? undefined : this.#text.toString('utf8', from, to)
  }

  take(rows: ArrayLike<number>): TextColumn {
    const offsets = new Uint32Array(rows.length + 1)
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i] as number
      offsets[i + 1] = (offsets[i] as number) + (this.offsets[row + 1] as number) - (this.offsets[row] as number)
    }
    const text = Buffer.allocUnsafe(offsets[rows.length] as number)
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i] as number
      this.#text.copy(text, offsets[i], this.offsets[row], this.offsets[row + 1])
    }
    return new TextColumn(text, offsets)
  }

  get bytes(): number {
    return this.#text.byteLength + this.offsets.byteLength
  }
}

/** One column of a table. */
export type Column = NumericColumn | DictionaryColumn | TextColumn
