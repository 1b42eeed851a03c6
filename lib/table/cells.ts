/** Cells as the bytes of a file: read as numbers, dates and known texts where they lie, without a string for each. */

import type { Bytes } from '../util/bytes.js'
import { dateIn, numberIn } from './cell.js'

/** The cells of one record: each is `bytes` from `starts[i]` to `ends[i]`, in UTF-8. */
export interface CellBytes {
  bytes: Bytes
  starts: Int32Array
  ends: Int32Array
  count: number
}

export const cellText = ({ bytes, starts, ends }: CellBytes, i: number): string => bytes.toString('utf8', starts[i], ends[i])

const [zero, plus, minus, point, colon] = [48, 43, 45, 46, 58]
const tens = Float64Array.from({ length: 16 }, (_, i) => 10 ** i)

/**
 * As `numberIn`, NaN for what it does not take. Up to 15 digits without exponent are an integer below 2⁵³ divided by a power of
 * ten: both are exact, so that the quotient is rounded once, as it has to be; all else is left to the runtime.
 */
export function numberAt(bytes: Bytes, from: number, to: number): number {
  let at = from
  const sign = bytes[at] as number
  if (sign === minus || sign === plus) at++
  const first = at
  let value = 0
  for (; at < to; at++) {
    const digit = (bytes[at] as number) - zero
    if (digit < 0 || digit > 9) break
    value = value * 10 + digit
  }
  const whole = at - first
  let fraction = 0
  if (at < to && bytes[at] === point) {
    const start = ++at
    for (; at < to; at++) {
      const digit = (bytes[at] as number) - zero
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    fraction = at - start
  } else if (at === to && whole > 1 && bytes[first] === zero) return Number.NaN
  const digits = whole + fraction
  if (at === to && digits > 0 && digits < 16) {
    const size = fraction > 0 ? value / (tens[fraction] as number) : value
    return sign === minus ? -size : size
  }
  // Names, for which nothing more is to be looked at.
  if (digits === 0) return Number.NaN
  return numberIn(bytes.toString('latin1', from, to)) ?? Number.NaN
}

const two = (bytes: Bytes, at: number): number => {
  const [a, b] = [(bytes[at] as number) - zero, (bytes[at + 1] as number) - zero]
  return a >= 0 && a <= 9 && b >= 0 && b <= 9 ? 10 * a + b : Number.NaN
}

const daysBefore = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365]

/** As `dateIn`, NaN for what it does not take: a day, or a day and a time to the second, by arithmetic; all else by the text. */
export function dateAt(bytes: Bytes, from: number, to: number): number {
  const n = to - from
  if (n < 10 || n > 40 || bytes[from + 4] !== minus || bytes[from + 7] !== minus) return Number.NaN
  const year = two(bytes, from) * 100 + two(bytes, from + 2)
  const [month, day] = [two(bytes, from + 5), two(bytes, from + 8)]
  const plain = n === 10 || (n === 19 && bytes[from + 13] === colon && bytes[from + 16] === colon && isBetween(bytes[from + 10]))
  if (!plain || !(year >= 1600 && month >= 1 && month <= 12)) return dateIn(bytes.toString('utf8', from, to)) ?? Number.NaN
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  const before = (daysBefore[month - 1] as number) + (leap && month > 2 ? 1 : 0)
  const length = (daysBefore[month] as number) - (daysBefore[month - 1] as number) + (leap && month === 2 ? 1 : 0)
  if (!(day >= 1 && day <= length)) return Number.NaN
  const past = year - 1
  const days = past * 365 + Math.floor(past / 4) - Math.floor(past / 100) + Math.floor(past / 400) - 719162 + before + day - 1
  if (n === 10) return days * 86_400_000
  const [hour, minute, second] = [two(bytes, from + 11), two(bytes, from + 14), two(bytes, from + 17)]
  if (!(hour < 24 && minute < 60 && second < 60)) return Number.NaN
  return days * 86_400_000 + ((hour * 60 + minute) * 60 + second) * 1000
}

const isBetween = (code: number | undefined): boolean => code === 0x54 || code === 0x74 || code === 0x20

/** A set of texts, asked by their bytes. */
export class ByteSet {
  /** Those that begin with each byte. */
  readonly #lists: (Bytes[] | undefined)[] = new Array(256).fill(undefined)

  constructor(texts: Iterable<string>) {
    for (const text of texts) {
      const bytes = Buffer.from(text)
      const first = bytes[0]
      if (first === undefined) continue
      const list = this.#lists[first]
      if (list) list.push(bytes)
      else this.#lists[first] = [bytes]
    }
  }

  has(bytes: Bytes, from: number, to: number): boolean {
    const list = this.#lists[bytes[from] as number]
    if (list === undefined) return false
    for (let i = 0; i < list.length; i++) if (sameBytes(list[i] as Bytes, 0, bytes, from, to)) return true
    return false
  }
}

/** Whether `a` has from `at` on, and up to its end or as far as asked, the bytes of `b` from `from` to `to`. */
function sameBytes(a: Bytes, at: number, b: Bytes, from: number, to: number, length = a.length - at): boolean {
  if (length !== to - from) return false
  for (let i = from, j = at; i < to; i++, j++) if (a[j] !== b[i]) return false
  return true
}

/** Texts made to share a place in the table must not cost time without end. */
const mostSteps = 64

/** Numbers by texts that come as bytes: a hash table over what was put in, without a string at a look-up. It may forget: what it does not know, somebody else does. */
export class ByteMap {
  /** Entry + 1 at each place, 0 where there is none. */
  #places = new Int32Array(64)
  #hashes = new Int32Array(32)
  #offsets = new Int32Array(33)
  #values = new Int32Array(32)
  #text = Buffer.allocUnsafe(512)
  #count = 0
  /** Of the text last asked for. */
  #hash = 0
  #crowded = false

  /** What is known of a text; −1 for nothing. */
  get(bytes: Bytes, from: number, to: number): number {
    let hash = 0x811c9dc5
    for (let i = from; i < to; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193)
    hash ^= hash >>> 15
    this.#hash = hash
    const places = this.#places
    const mask = places.length - 1
    this.#crowded = false
    for (let place = hash & mask, steps = 0; steps < mostSteps; place = (place + 1) & mask, steps++) {
      const entry = (places[place] as number) - 1
      if (entry < 0) return -1
      if (this.#hashes[entry] !== hash) continue
      const at = this.#offsets[entry] as number
      if (sameBytes(this.#text, at, bytes, from, to, (this.#offsets[entry + 1] as number) - at)) return this.#values[entry] as number
    }
    this.#crowded = true
    return -1
  }

  /** Puts in the text that `get` has just not found; nothing where its place is crowded. */
  put(bytes: Bytes, from: number, to: number, value: number): void {
    if (this.#crowded) return
    const entry = this.#count++
    if (this.#count > this.#hashes.length) this.#more()
    const at = this.#offsets[entry] as number
    const end = at + to - from
    if (end > this.#text.length) {
      const larger = Buffer.allocUnsafe(Math.max(2 * this.#text.length, end))
      this.#text.copy(larger, 0, 0, at)
      this.#text = larger
    }
    bytes.copy(this.#text, at, from, to)
    this.#offsets[entry + 1] = end
    this.#hashes[entry] = this.#hash
    this.#values[entry] = value
    this.#place(entry)
  }

  #place(entry: number): void {
    const mask = this.#places.length - 1
    let place = (this.#hashes[entry] as number) & mask
    while (this.#places[place] !== 0) place = (place + 1) & mask
    this.#places[place] = entry + 1
  }

  #more(): void {
    const grown = (a: Int32Array, n: number) => {
      const larger = new Int32Array(n)
      larger.set(a)
      return larger
    }
    const n = 2 * this.#hashes.length
    this.#hashes = grown(this.#hashes, n)
    this.#values = grown(this.#values, n)
    this.#offsets = grown(this.#offsets, n + 1)
    this.#places = new Int32Array(2 * n)
    for (let entry = 0; entry < this.#count - 1; entry++) this.#place(entry)
  }
}
