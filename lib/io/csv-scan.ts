/**
 * The records of a CSV as places of bytes: one pass over a buffer, which holds what is read of the source and not yet handed
 * out. Fields between delimiters, whitespace around them taken away, quotes around whole ones, doubled within; lines end with
 * \n, \r\n or \r, also mixed. Blank lines are no records.
 */

import { WengertError } from '../errors.js'
import type { CellBytes } from '../table/cells.js'
import type { Bytes } from '../util/bytes.js'

/** A record longer than this is an unclosed quote rather than a record. */
const longestRecord = 1 << 24

const [tab, lineFeed, formFeed, carriageReturn, space, quote] = [9, 10, 12, 13, 32, 34]

const isBlank = (code: number): boolean =>
  code === space || code === tab || code === carriageReturn || code === lineFeed || code === formFeed

/**
 * What scanning of a field is at: before its first byte, where blanks are passed over; in a plain one; within quotes; behind a
 * quote within them, doubled or the closing one; behind the closing one.
 */
const At = { Start: 0, Plain: 1, Quoted: 2, Quote: 3, Closed: 4 } as const

export class CsvScanner implements CellBytes {
  bytes: Bytes = Buffer.allocUnsafe(1 << 17)
  starts = new Int32Array(64)
  ends = new Int32Array(64)
  count = 0
  /** Lines that have ended so far. */
  lines = 0
  /** The line on which the last record ended. */
  last = 0
  readonly #where: string
  readonly #delimiter: Bytes
  /** 1 for bytes that may end a plain field or are out of place in it. */
  readonly #special = new Uint8Array(256)
  #filled = 0
  /** Where the record begins, and where scanning goes on. */
  #begin = 0
  #at = 0
  #state: (typeof At)[keyof typeof At] = At.Start
  #start = 0
  /** Behind the last byte of a quoted field. */
  #end = 0
  /** Where doubled quotes have been made one, the byte that is written next. */
  #write = -1
  #wasQuoted = false
  #ended = false
  /** Whether a \n that comes next belongs to a \r before it. */
  #afterReturn = false
  #first = true
  /** Fields of the first record; all others have as many. */
  #width = 0

  constructor(where: string, delimiter: string) {
    this.#where = where
    this.#delimiter = Buffer.from(delimiter)
    for (const code of [this.#delimiter[0] as number, lineFeed, carriageReturn, quote]) this.#special[code] = 1
  }

  /**
   * Takes the next bytes of the source; records before are given up.
   *
   * @param whole the source's first record, whose lines are not those before what comes next
   */
  feed(chunk: Uint8Array, whole = false): void {
    const held = this.#filled - this.#begin
    if (this.#begin > 0) this.#move()
    if (held + chunk.length > this.bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(2 * this.bytes.length, held + chunk.length))
      this.bytes.copy(larger, 0, 0, held)
      this.bytes = larger
    }
    this.bytes.set(chunk, held)
    this.#filled = held + chunk.length
    if (this.#first && (whole || this.#filled >= 3)) {
      this.#first = false
      if (this.#filled >= 3 && this.bytes[0] === 0xef && this.bytes[1] === 0xbb && this.bytes[2] === 0xbf)
        this.#begin = this.#at = this.#start = 3
    }
  }

  /** Brings what is held of the record to the front. */
  #move(): void {
    const by = this.#begin
    this.bytes.copyWithin(0, by, this.#filled)
    this.#filled -= by
    this.#begin = 0
    this.#at -= by
    this.#start -= by
    this.#end -= by
    if (this.#write >= 0) this.#write -= by
    for (let i = 0; i < this.count; i++) {
      this.starts[i] = (this.starts[i] as number) - by
      this.ends[i] = (this.ends[i] as number) - by
    }
  }

  /** No more comes. */
  end(): void {
    this.#first = false
    this.#ended = true
  }

  /** Scans the next record; false where more bytes are needed, or none are left. Errors: ERR_FILE naming the line. */
  next(): boolean {
    if (this.#first && !this.#ended) return false
    if (this.#begin === this.#at && this.#state === At.Start) this.count = 0
    for (;;) {
      const complete = this.#record()
      if ((complete ? this.#at : this.#filled) - this.#begin > longestRecord)
        throw this.#refused(`records of at most ${longestRecord} bytes, got a longer one after line ${this.last}; is a quote not closed?`)
      if (!complete) return false
      // A line of nothing is no record, though one of nothing in quotes is.
      const blank = this.count === 1 && this.starts[0] === this.ends[0] && !this.#wasQuoted
      this.#begin = this.#at
      this.#wasQuoted = false
      if (blank) {
        this.count = 0
        continue
      }
      this.last = this.lines
      if (this.#width === 0) this.#width = this.count
      else if (this.count !== this.#width)
        throw this.#refused(
          `as many fields as in the first line, got another number in the record that ends on line ${this.lines}`,
          this.lines,
        )
      return true
    }
  }

  #record(): boolean {
    const bytes = this.bytes
    const filled = this.#filled
    const special = this.#special
    const split = this.#delimiter[0] as number
    while (this.#at < filled) {
      let at = this.#at
      let code = bytes[at] as number
      if (this.#afterReturn) {
        this.#afterReturn = false
        if (code === lineFeed) {
          this.#at = this.#begin = at + 1
          this.#start = at + 1
          continue
        }
      }
      if (this.#state === At.Start) {
        // A delimiter may itself be a blank, as tabs are.
        while (code !== split && code !== lineFeed && code !== carriageReturn && isBlank(code) && ++at < filled) code = bytes[at] as number
        this.#at = this.#start = at
        if (at === filled) return this.#rest()
        if (code === quote) {
          this.#state = At.Quoted
          this.#start = this.#at = at + 1
          this.#write = -1
          this.#wasQuoted = true
          continue
        }
        this.#state = At.Plain
      }
      if (this.#state === At.Plain) {
        while (at < filled && special[bytes[at] as number] === 0) at++
        this.#at = at
        if (at === filled) return this.#rest()
        code = bytes[at] as number
        if (code === quote) throw this.#misplaced()
        const step = this.#separator(at, code)
        if (step < 0) return false
        if (step === 0) {
          this.#at = at + 1
          continue
        }
        let end = at
        while (end > this.#start && isBlank(bytes[end - 1] as number)) end--
        this.#put(this.#start, end)
        if (this.#done(at, step, code)) return true
      } else if (this.#state === At.Quoted) this.#quoted(at)
      else if (this.#state === At.Quote && code === quote) {
        // One of the two stays.
        if (this.#write < 0) this.#write = at
        else bytes[this.#write++] = quote
        this.#state = At.Quoted
        this.#at = at + 1
      } else {
        this.#state = At.Closed
        const step = this.#separator(at, code)
        if (step < 0) return false
        if (step > 0) {
          this.#put(this.#start, this.#end)
          if (this.#done(at, step, code)) return true
        } else if (isBlank(code)) this.#at = at + 1
        else throw this.#misplaced()
      }
    }
    return this.#rest()
  }

  /** Up to the next quote, or to the end of what is here. */
  #quoted(from: number): void {
    const { bytes } = this
    const filled = this.#filled
    let at = from
    for (; at < filled; at++) {
      const code = bytes[at] as number
      if (code === quote) break
      if (code === carriageReturn || (code === lineFeed && bytes[at - 1] !== carriageReturn)) this.lines++
      if (this.#write >= 0) bytes[this.#write++] = code
    }
    this.#at = at
    if (at === filled) return
    this.#end = this.#write >= 0 ? this.#write : at
    this.#state = At.Quote
    this.#at = at + 1
  }

  /** How many bytes part fields here: 0 for none; −1 where that cannot be told yet. */
  #separator(at: number, code: number): number {
    if (code === lineFeed || code === carriageReturn) return 1
    const delimiter = this.#delimiter
    if (code !== delimiter[0]) return 0
    for (let i = 1; i < delimiter.length; i++) {
      if (at + i >= this.#filled) return this.#ended ? 0 : -1
      if (this.bytes[at + i] !== delimiter[i]) return 0
    }
    return delimiter.length
  }

  /** Goes on behind a separator; whether it ended the record. */
  #done(at: number, step: number, code: number): boolean {
    this.#at = this.#start = at + step
    this.#state = At.Start
    this.#write = -1
    if (code !== lineFeed && code !== carriageReturn) return false
    this.lines++
    if (code === lineFeed) return true
    if (this.#at < this.#filled) {
      if (this.bytes[this.#at] === lineFeed) this.#at++
    } else this.#afterReturn = true
    return true
  }

  /** All bytes are scanned: what stands at the end of the source is a record too. */
  #rest(): boolean {
    if (!this.#ended) return false
    const state = this.#state
    if (state === At.Quoted)
      throw this.#refused(`a closing quote, got the end of the file; the quote opens in the record after line ${this.last}`, this.last + 1)
    if (this.#begin === this.#filled && this.count === 0) return false
    let end = this.#filled
    if (state === At.Start) this.#put(end, end)
    else if (state === At.Plain) {
      while (end > this.#start && isBlank(this.bytes[end - 1] as number)) end--
      this.#put(this.#start, end)
    } else this.#put(this.#start, this.#end)
    this.#state = At.Start
    this.#at = this.#filled
    this.lines++
    return true
  }

  #put(start: number, end: number): void {
    const i = this.count++
    if (i === this.starts.length) {
      const [starts, ends] = [new Int32Array(2 * i), new Int32Array(2 * i)]
      starts.set(this.starts)
      ends.set(this.ends)
      this.starts = starts
      this.ends = ends
    }
    this.starts[i] = start
    this.ends[i] = end
  }

  #misplaced(): WengertError {
    const line = this.lines + 1
    return this.#refused(`quotes around whole fields, doubled within, got one elsewhere on line ${line}`, line)
  }

  #refused(text: string, line = this.last + 1): WengertError {
    return new WengertError('ERR_FILE', `${this.#where}: expected ${text}`, { actual: line })
  }
}
