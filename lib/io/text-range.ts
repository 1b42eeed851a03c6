/**
 * The records of a text file that are one process's: of R processes each has those that begin in its R-th of the bytes. A line end
 * within quotes ends no record, so that whether a place is within quotes has to be known: quotes before it are counted, by each
 * process in its own part of the file.
 */

import { exchangeTexts, nameOf, together, world } from '../distributed/world.js'
import { type ErrorCode, WengertError } from '../errors.js'
import { describe } from '../util/options.js'
import { checkPath, fileError } from './atomic.js'

const [tab, lineFeed, formFeed, carriageReturn, space, quote] = [9, 10, 12, 13, 32, 34]
const pieceBytes = 1 << 20
/** A first record that is longer is an unclosed quote; the scanner says so. */
const longestHead = (1 << 24) + (1 << 16)

/** Of a file, the bytes from `from` on up to `to`, and what comes before all of them. */
export class TextRange {
  constructor(
    readonly path: string,
    /** The first record, with what is before it: it names the columns. */
    readonly head: Uint8Array,
    readonly from: number,
    readonly to: number,
    /** Lines before `from`. */
    readonly lines: number,
    /** Whether the first record is this process's too. */
    readonly first: boolean,
  ) {}

  /** The bytes behind the head. */
  async *bytes(where: string): AsyncGenerator<Uint8Array> {
    if (this.to <= this.from) return
    const range = { start: this.from, end: this.to - 1 }
    try {
      yield* process.getBuiltinModule('node:fs').createReadStream(this.path, range) as AsyncIterable<Uint8Array>
    } catch (error) {
      throw fileError(where, this.path, error)
    }
  }
}

/** How the records of a file are told apart: in quotes of a CSV line ends do not count, and lone carriage returns end lines too. */
export interface RecordRule {
  readonly quotes: boolean
  /** Whether the first record stands for all: it names the columns. */
  readonly head: boolean
  readonly delimiter?: string
}

/** Counts quotes and lines, byte by byte. */
class Counter {
  quoted = false
  lines = 0
  quotes = 0

  constructor(
    readonly rule: RecordRule,
    /** The byte before. */
    public before = -1,
  ) {}

  /** Takes a byte; whether it ends a record, as far as can be told before the next. */
  take(code: number): boolean {
    const { rule, before } = this
    this.before = code
    if (code === quote && rule.quotes) {
      this.quoted = !this.quoted
      this.quotes++
      return false
    }
    const ends = code === lineFeed || (code === carriageReturn && rule.quotes)
    if (!ends) return false
    if (code === carriageReturn || before !== carriageReturn || !rule.quotes) this.lines++
    return !this.quoted
  }
}

type Handle = { read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> }

/** Goes through bytes of a file until `each` says that it is enough; how many bytes were read. */
async function visit(file: Handle, from: number, to: number, each: (code: number, at: number) => boolean | undefined): Promise<void> {
  const piece = new Uint8Array(Math.min(pieceBytes, Math.max(1, to - from)))
  for (let at = from; at < to; ) {
    const { bytesRead } = await file.read(piece, 0, Math.min(piece.length, to - at), at)
    if (bytesRead === 0) return
    for (let i = 0; i < bytesRead; i++) if (each(piece[i] as number, at + i)) return
    at += bytesRead
  }
}

async function byteAt(file: Handle, at: number): Promise<number> {
  const one = new Uint8Array(1)
  const { bytesRead } = await file.read(one, 0, 1, at)
  return bytesRead === 1 ? (one[0] as number) : -1
}

/** Where the first record ends, and the lines up to there. */
async function headOf(file: Handle, size: number, rule: RecordRule): Promise<{ end: number; lines: number }> {
  if (!rule.head) return { end: 0, lines: 0 }
  const counter = new Counter(rule)
  const split = rule.delimiter?.charCodeAt(0)
  const blanks = [tab, lineFeed, formFeed, carriageReturn, space].filter((code) => code !== split)
  let [blank, end] = [true, size]
  let ended = false
  await visit(file, 0, Math.min(size, longestHead), (code, at) => {
    if (ended) {
      // A \n behind the \r that ended it.
      if (code === lineFeed && counter.before === carriageReturn) end = at + 1
      return true
    }
    // The mark of UTF-8 is no letter.
    if (at < 3 && code === [0xef, 0xbb, 0xbf][at]) return undefined
    if (!blanks.includes(code)) blank = false
    if (counter.take(code) && !blank) {
      ended = true
      end = at + 1
    }
    return undefined
  })
  return { end, lines: counter.lines }
}

/** Where the first record begins at or behind a place, and the lines from there to it. */
async function beginning(
  file: Handle,
  at: number,
  size: number,
  quoted: boolean,
  rule: RecordRule,
): Promise<{ start: number; lines: number }> {
  const before = at > 0 ? await byteAt(file, at - 1) : lineFeed
  const counter = new Counter(rule, before)
  counter.quoted = quoted
  let start = size
  // A line that ended right before may have its \n still to come.
  let ended = !quoted && (before === lineFeed || (before === carriageReturn && rule.quotes))
  await visit(file, at, size, (code, place) => {
    if (ended && !(code === lineFeed && counter.before === carriageReturn && rule.quotes)) {
      start = place
      return true
    }
    ended = counter.take(code)
    return undefined
  })
  return { start, lines: counter.lines }
}

/** Whether ranks share a source: 'auto', and there are several. Errors: ERR_OPTION for another option, or what is no file. */
export function sharedByRanks(where: string, source: unknown, option: unknown): boolean {
  if (option === undefined) return false
  if (option !== 'auto')
    throw new WengertError('ERR_OPTION', `${where}: expected shard to be 'auto', got ${describe(option)}`, { actual: option })
  if (!together()) return false
  if (typeof source === 'string') return true
  throw new WengertError('ERR_OPTION', `${where}: ranks part a file by its bytes: with shard give the path of one, not a stream`)
}

/**
 * Runs something on every rank that may fail on some: it then fails on all, as it did on the first rank that failed, which is named.
 * A fault of a file may let later ranks see others that are none.
 */
export async function asFirstFailed<T>(where: string, body: () => Promise<T>): Promise<T> {
  let made: T | undefined
  let failed: { error: unknown } | undefined
  try {
    made = await body()
  } catch (error) {
    failed = { error }
  }
  const text = failed && (failed.error instanceof Error ? failed.error.message : String(failed.error))
  const code = failed && (failed.error instanceof WengertError ? failed.error.code : 'ERR_DISTRIBUTED')
  const said = (await exchangeTexts('control', failed ? JSON.stringify({ code, text }) : '')) as string[]
  const first = said.findIndex((one) => one !== '')
  if (first < 0) return made as T
  const fault = JSON.parse(said[first] as string) as { code: ErrorCode; text: string }
  const own = first === world().rank ? failed?.error : undefined
  const message = fault.text.startsWith(where) ? fault.text : `${where}: ${fault.text}`
  throw new WengertError(fault.code, `${message} (${nameOf(first)})`, { actual: first, ...(own !== undefined && { cause: own }) })
}

/** This rank's part of a file. All ranks have to call it. Errors: ERR_FILE; ERR_DISTRIBUTED for another file on a rank. */
export async function ownRange(where: string, path: string, rule: RecordRule): Promise<TextRange> {
  const { rank, size: ranks } = world()
  const open = () => process.getBuiltinModule('node:fs/promises').open(checkPath(where, path))
  const file = await asFirstFailed(where, async () => {
    try {
      return await open()
    } catch (error) {
      throw fileError(where, path, error)
    }
  })
  try {
    const counted = await asFirstFailed(where, async () => {
      const { size } = await file.stat()
      const head = await headOf(file, size, rule)
      const at = (r: number) => head.end + Math.floor(((size - head.end) * r) / ranks)
      const [from, to] = [at(rank), at(rank + 1)]
      const counter = new Counter(rule, from > 0 ? await byteAt(file, from - 1) : -1)
      await visit(file, from, to, (code) => {
        counter.take(code)
        return undefined
      })
      return { size, head, from, quotes: counter.quotes, lines: counter.lines }
    })
    const { size, head, from } = counted
    const all = (await exchangeTexts('control', JSON.stringify([size, counted.quotes, counted.lines]))).map(
      (text) => JSON.parse(text) as [size: number, quotes: number, lines: number],
    )
    const other = all.findIndex(([theirs]) => theirs !== all[0]?.[0])
    if (other >= 0)
      throw new WengertError(
        'ERR_DISTRIBUTED',
        `${where}: ${path} has ${all[other]?.[0]} bytes on ${nameOf(other)} and ${all[0]?.[0]} on ${nameOf(0)}; all ranks need the same file`,
      )
    const before = all.slice(0, rank)
    const quoted = before.reduce((n, [, quotes]) => n + quotes, 0) % 2 === 1
    const lines = before.reduce((n, [, , more]) => n + more, head.lines)
    const begins = await asFirstFailed(where, async () => {
      const own = from === head.end && rank === 0 ? { start: head.end, lines: 0 } : await beginning(file, from, size, quoted, rule)
      const bytes = new Uint8Array(head.end)
      await file.read(bytes, 0, bytes.length, 0)
      return { ...own, bytes }
    })
    const starts = new Float64Array(ranks)
    starts[rank] = begins.start
    const known = await world().sum('control', starts)
    const to = rank + 1 < ranks ? (known[rank + 1] as number) : size
    return new TextRange(path, begins.bytes, begins.start, to, lines + begins.lines, rank === 0)
  } finally {
    await file.close()
  }
}
