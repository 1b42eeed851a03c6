/** Columns while a source is read: they grow in pieces, and their types follow the cells that come. */

import { WengertError } from '../errors.js'
import type { Bytes } from '../util/bytes.js'
import { obtained } from '../util/dtype.js'
import { describe } from '../util/options.js'
import { dateIn, dateText, numberIn } from './cell.js'
import { ByteMap, dateAt, numberAt } from './cells.js'
import { type Codes, type Column, type ColumnType, DictionaryColumn, NumericColumn, TextColumn } from './column.js'

const pieceLength = 1 << 15

/** Numbers that come one by one, in pieces, so that nothing is copied as they grow. */
class Growing<A extends Float64Array | Uint32Array> {
  readonly #pieces: A[] = []
  #last: A
  #filled = 0

  constructor(readonly make: (length: number) => A) {
    this.#last = make(64)
  }

  get length(): number {
    return this.#pieces.length * pieceLength + this.#filled
  }

  get bytes(): number {
    return (this.#pieces.length * pieceLength + this.#last.length) * this.#last.BYTES_PER_ELEMENT
  }

  push(value: number): void {
    if (this.#filled === this.#last.length) this.#more()
    this.#last[this.#filled++] = value
  }

  /** The first piece doubles up to the length of the others: a column of few values costs little. */
  #more(): void {
    if (this.#filled === pieceLength) {
      this.#pieces.push(this.#last)
      this.#last = this.make(pieceLength)
      this.#filled = 0
    } else {
      const larger = this.make(2 * this.#filled)
      larger.set(this.#last)
      this.#last = larger
    }
  }

  /** All of them; the pieces are given up. */
  finish(): A {
    const out = this.make(this.length)
    this.#pieces.forEach((piece, i) => {
      out.set(piece, i * pieceLength)
    })
    out.set(this.#last.subarray(0, this.#filled) as A, this.#pieces.length * pieceLength)
    this.#pieces.length = 0
    this.#filled = 0
    return out
  }
}

const doubles = () => new Growing((n) => new Float64Array(n))
const words = () => new Growing((n) => new Uint32Array(n))

/** Integers of 32 bits need half the room. */
function compact(values: Float64Array): Float64Array | Int32Array {
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number
    if (value !== (value | 0) || Object.is(value, -0)) return values
  }
  return Int32Array.from(values)
}

function compactCodes(codes: Uint32Array, size: number): Codes {
  return size <= 256 ? Uint8Array.from(codes) : size <= 65536 ? Uint16Array.from(codes) : codes
}

/** A dictionary of more than this, in which most texts came once, is given up for the texts themselves. */
const largestDictionary = 1 << 15

/** Texts while they come: first by dictionary, then, where nearly all differ, as bytes. */
class TextBuilder {
  readonly #places = new Map<string, number>()
  /** The same by their bytes, as they came. */
  #known = new ByteMap()
  readonly #dictionary: string[] = ['']
  #codes = words()
  #text: Bytes | undefined
  #end = 0
  #offsets = words()

  /** What it takes, a dictionary's texts guessed. */
  get bytes(): number {
    return (this.#text?.length ?? 64 * this.#dictionary.length) + this.#codes.bytes + this.#offsets.bytes
  }

  push(text: string): void {
    if (this.#text) {
      this.#append(text)
      return
    }
    if (text === '') {
      this.#codes.push(0)
      return
    }
    let place = this.#places.get(text)
    if (place === undefined) {
      place = this.#dictionary.push(text) - 1
      this.#places.set(text, place)
    }
    this.#codes.push(place)
    if (place > largestDictionary && place * 2 > this.#codes.length) this.#unpack()
  }

  /** As `push`, of a text that lies in a buffer. */
  pushBytes(bytes: Bytes, from: number, to: number): void {
    if (this.#text) {
      this.#appendBytes(bytes, from, to)
      return
    }
    const known = this.#known.get(bytes, from, to)
    if (known > 0) {
      this.#codes.push(known)
      return
    }
    const text = bytes.toString('utf8', from, to)
    this.push(text)
    const place = this.#places.get(text)
    if (place !== undefined) this.#known.put(bytes, from, to, place)
  }

  #unpack(): void {
    const codes = this.#codes.finish()
    this.#text = Buffer.allocUnsafe(1 << 20)
    for (const code of codes) this.#append(this.#dictionary[code] as string)
    this.#places.clear()
    this.#known = new ByteMap()
    this.#dictionary.length = 0
  }

  #append(text: string): void {
    this.#offsets.push(this.#end)
    this.#end += this.#room(text.length * 3).write(text, this.#end)
  }

  #appendBytes(bytes: Bytes, from: number, to: number): void {
    this.#offsets.push(this.#end)
    const text = this.#room(to - from)
    let end = this.#end
    // A call costs more than the bytes of a short text.
    if (to - from < 64) for (let i = from; i < to; i++) text[end++] = bytes[i] as number
    else end += bytes.copy(text, end, from, to)
    this.#end = end
  }

  /** The texts, with room for so many more bytes. Errors: ERR_MEMORY. */
  #room(more: number): Bytes {
    const buffer = this.#text as Bytes
    if (this.#end + more <= buffer.length) return buffer
    const length = Math.floor(Math.min(0xffffffff, Math.max(buffer.length * 1.5, this.#end + more)))
    if (this.#end + more > length) throw new WengertError('ERR_MEMORY', 'readTable: a column holds more than 4 GB of text; leave it out')
    const larger = obtained(length, () => Buffer.allocUnsafe(length))
    buffer.copy(larger, 0, 0, this.#end)
    this.#text = larger
    return larger
  }

  finish(): DictionaryColumn | TextColumn {
    if (!this.#text) return new DictionaryColumn(compactCodes(this.#codes.finish(), this.#dictionary.length), this.#dictionary)
    this.#offsets.push(this.#end)
    return new TextColumn(this.#text.subarray(0, this.#end), this.#offsets.finish())
  }
}

/** Where a column stopped being one of numbers or dates. */
export interface Mixed {
  /** What the cells before were. */
  readonly was: 'number' | 'date'
  readonly cell: string
  readonly row: number
}

/**
 * One column while it is read. Its type is as given, or that of its first cell until another contradicts: then all of it is
 * text, and what was a number before is written as JavaScript writes it (a file is read again, to have it as it stands).
 */
export class ColumnBuilder {
  #type: ColumnType | undefined
  readonly #given: ColumnType | undefined
  /** Missing cells that are not written yet. */
  #missing = 0
  /** How many rows it has. */
  length = 0
  #numbers: ReturnType<typeof doubles> | undefined
  #texts: TextBuilder | undefined
  mixed: Mixed | undefined

  constructor(
    readonly name: string,
    given?: ColumnType,
  ) {
    this.#given = given
    this.#type = given
  }

  /** The cell of the next row: '' where it is missing. Errors: ERR_DATA for one that is not of the type given. */
  pushText(cell: string, row: number): void {
    this.length++
    if (cell === '') this.#missing++
    else if (this.#type === 'text') this.#text().push(cell)
    else this.#pushTyped(cell, row)
  }

  /** As `pushText`, of a cell that lies in a buffer; missing where it is empty. */
  pushBytes(bytes: Bytes, from: number, to: number, row: number): void {
    this.length++
    if (from === to) {
      this.#missing++
      return
    }
    const type = this.#type
    if (type === 'text') {
      this.#text().pushBytes(bytes, from, to)
      return
    }
    const value = type === 'date' ? dateAt(bytes, from, to) : numberAt(bytes, from, to)
    if (type !== undefined && !Number.isNaN(value)) this.#numeric().push(value)
    else this.#pushTyped(bytes.toString('utf8', from, to), row)
  }

  /** The value of the next record. */
  pushValue(value: number | string | Date | undefined, row: number): void {
    if (typeof value === 'string') {
      this.pushText(value, row)
      return
    }
    this.length++
    if (value === undefined) this.#missing++
    else {
      const type = typeof value === 'number' ? 'number' : 'date'
      this.#type ??= type
      if (this.#type === type) this.#numeric().push(Number(value))
      else this.#pushTyped(typeof value === 'number' ? String(value) : dateText(value.getTime()), row)
    }
  }

  #pushTyped(cell: string, row: number): void {
    const type = this.#type ?? (numberIn(cell) !== undefined ? 'number' : dateIn(cell) !== undefined ? 'date' : 'text')
    this.#type = type
    const value = type === 'number' ? numberIn(cell) : type === 'date' ? dateIn(cell) : undefined
    if (value !== undefined) {
      this.#numeric().push(value)
      return
    }
    if (type !== 'text') {
      if (this.#given) throw this.#refused(type, cell, row)
      this.#becomeText({ was: type, cell: cell.slice(0, 40), row })
    }
    this.#text().push(cell)
  }

  #refused(type: 'number' | 'date', cell: string, row: number): WengertError {
    const expected = type === 'number' ? 'a number' : 'a date such as 2026-01-03'
    return new WengertError('ERR_DATA', `readTable: row ${row}, column '${this.name}': expected ${expected}, got ${describe(cell)}`, {
      expected,
      actual: cell.slice(0, 200),
    })
  }

  #becomeText(mixed: Mixed): void {
    const values = this.#numeric().finish()
    this.#numbers = undefined
    this.#type = 'text'
    this.mixed = mixed
    const texts = this.#text()
    for (const value of values) texts.push(Number.isNaN(value) ? '' : mixed.was === 'date' ? dateText(value) : String(value))
  }

  get bytes(): number {
    return (this.#numbers?.bytes ?? 0) + (this.#texts?.bytes ?? 0)
  }

  /** Missing cells up to a length. */
  fill(length: number): void {
    this.#missing += length - this.length
    this.length = length
  }

  #numeric(): ReturnType<typeof doubles> {
    this.#numbers ??= doubles()
    for (; this.#missing > 0; this.#missing--) this.#numbers.push(Number.NaN)
    return this.#numbers
  }

  #text(): TextBuilder {
    this.#texts ??= new TextBuilder()
    for (; this.#missing > 0; this.#missing--) this.#texts.push('')
    return this.#texts
  }

  /** The column; one without any value is of text. */
  finish(): Column {
    if (this.#type === 'number' || this.#type === 'date') {
      const values = this.#numeric().finish()
      return new NumericColumn(this.#type, this.#type === 'number' ? compact(values) : values)
    }
    return this.#text().finish()
  }
}
