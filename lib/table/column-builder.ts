/** Columns while a source is read: their types follow the cells that come. */

import { WengertError } from '../errors.js'
import type { Bytes } from '../util/bytes.js'
import { obtained } from '../util/dtype.js'
import { describe } from '../util/options.js'
import { dateIn, dateText, numberIn } from './cell.js'
import { ByteMap, dateAt, numberAt } from './cells.js'
import { type Codes, type Column, type ColumnType, DictionaryColumn, NumericColumn, TextColumn } from './column.js'
import { type Expected, GrowingNumbers, GrowingPlaces } from './growing.js'

/** A dictionary of more than this, in which most texts came once, is given up for the texts themselves. */
const largestDictionary = 1 << 15

/** Texts while they come: first by dictionary, then, where nearly all differ, as bytes. */
class TextBuilder {
  readonly #places = new Map<string, number>()
  /** The same by their bytes, as they came. */
  #known = new ByteMap()
  readonly #dictionary: string[] = ['']
  #codes: GrowingPlaces
  #text: Bytes | undefined
  #end = 0
  #offsets: GrowingPlaces

  constructor(readonly expected: Expected) {
    this.#codes = new GrowingPlaces(Uint8Array, expected)
    this.#offsets = new GrowingPlaces(Uint32Array, expected)
  }

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
      if (place === 1 << 8) this.#codes.widen(Uint16Array)
      else if (place === 1 << 16) this.#codes.widen(Uint32Array)
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
    const rows = this.#offsets.length
    const whole = rows > 1000 ? (this.#end / rows) * (this.expected() ?? 0) * 1.02 : 0
    const length = Math.floor(Math.min(0xffffffff, Math.max(whole > buffer.length ? whole : buffer.length * 1.5, this.#end + more)))
    if (this.#end + more > length) throw new WengertError('ERR_MEMORY', 'readTable: a column holds more than 4 GB of text; leave it out')
    const larger = obtained(length, () => Buffer.allocUnsafe(length))
    buffer.copy(larger, 0, 0, this.#end)
    this.#text = larger
    return larger
  }

  finish(): DictionaryColumn | TextColumn {
    if (!this.#text) return new DictionaryColumn(this.#codes.finish() as Codes, this.#dictionary)
    this.#offsets.push(this.#end)
    return new TextColumn(this.#text.subarray(0, this.#end), this.#offsets.finish() as Uint32Array)
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
  #numbers: GrowingNumbers | undefined
  /** Whether all numbers so far are integers of 32 bits: they need half the room. */
  #integers = true
  #texts: TextBuilder | undefined
  mixed: Mixed | undefined

  constructor(
    readonly name: string,
    given?: ColumnType,
    readonly expected: Expected = () => undefined,
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
    if (type !== undefined && !Number.isNaN(value)) this.#pushNumber(value)
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
      if (this.#type === type) this.#pushNumber(Number(value))
      else this.#pushTyped(typeof value === 'number' ? String(value) : dateText(value.getTime()), row)
    }
  }

  #pushTyped(cell: string, row: number): void {
    const type = this.#type ?? (numberIn(cell) !== undefined ? 'number' : dateIn(cell) !== undefined ? 'date' : 'text')
    this.#type = type
    const value = type === 'number' ? numberIn(cell) : type === 'date' ? dateIn(cell) : undefined
    if (value !== undefined) {
      this.#pushNumber(value)
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
    const values = this.#numeric()
    this.#numbers = undefined
    this.#type = 'text'
    this.mixed = mixed
    const texts = this.#text()
    for (const value of values) texts.push(Number.isNaN(value) ? '' : mixed.was === 'date' ? dateText(value) : String(value))
  }

  /** What its cells are so far. */
  get type(): ColumnType | undefined {
    return this.#type
  }

  /** Lets its values go, up to a length, and keeps what is known of their type. */
  forget(length: number): void {
    this.length = length
    this.#missing = 0
    this.#numbers = undefined
    this.#texts = undefined
  }

  get bytes(): number {
    return (this.#numbers?.bytes ?? 0) + (this.#texts?.bytes ?? 0)
  }

  /** Missing cells up to a length. */
  fill(length: number): void {
    this.#missing += length - this.length
    this.length = length
  }

  #pushNumber(value: number): void {
    if (this.#numbers === undefined) {
      this.#integers = this.#type === 'number'
      this.#numbers = new GrowingNumbers(this.#integers ? Int32Array : Float64Array, this.expected)
    }
    for (; this.#missing > 0; this.#missing--) this.#put(this.#numbers, Number.NaN)
    this.#put(this.#numbers, value)
  }

  #put(numbers: GrowingNumbers, value: number): void {
    if (this.#integers && (value !== (value | 0) || Object.is(value, -0))) {
      this.#integers = false
      numbers.widen(Float64Array)
    }
    numbers.push(value)
  }

  /** The numbers up to here. */
  #numeric(): Float64Array | Int32Array {
    const numbers = this.#numbers ?? new GrowingNumbers(Float64Array)
    for (; this.#missing > 0; this.#missing--) this.#put(numbers, Number.NaN)
    return numbers.finish() as Float64Array | Int32Array
  }

  #text(): TextBuilder {
    this.#texts ??= new TextBuilder(this.expected)
    for (; this.#missing > 0; this.#missing--) this.#texts.push('')
    return this.#texts
  }

  /** The column; one without any value is of text. */
  finish(): Column {
    if (this.#type === 'number' || this.#type === 'date') {
      return new NumericColumn(this.#type, this.#numeric())
    }
    return this.#text().finish()
  }
}
