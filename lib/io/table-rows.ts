/** Where the rows of tables come from: CSV, JSON lines, records in memory or out of a database, one row at a time. */

import { WengertError } from '../errors.js'
import { cellText } from '../table/cells.js'
import type { RowSink } from '../table/table-builder.js'
import { describe } from '../util/options.js'
import { isPlainObject } from '../util/tree.js'
import { checkPath, fileError } from './atomic.js'
import { scanned } from './csv-records.js'

/** What a table is read from: a path, the bytes of a file, a stream or list of pieces of one (`process.stdin`), or records. */
export type TableSource = string | AsyncIterable<unknown> | Iterable<unknown>

/** The longest line of JSON, in characters. */
const longestLine = 1 << 24
const delimiters = [',', ';', '\t', '|'] as const

/** How the rows of a source are read. */
export interface Settings {
  format: 'csv' | 'jsonl' | undefined
  delimiter: string | undefined
  header: boolean
  missing: ReadonlySet<string>
  signal: AbortSignal | undefined
  /** Bytes that were read of a file. */
  read: number
}

type Bytes = AsyncGenerator<Uint8Array>

async function* bytesOf(path: string, s: Settings): Bytes {
  try {
    for await (const chunk of process.getBuiltinModule('node:fs').createReadStream(checkPath('readTable', path))) {
      s.read += chunk.length
      yield chunk
    }
  } catch (error) {
    throw fileError('readTable', path, error)
  }
}

/** The first pieces up to the end of a line, and then all of it again. */
async function peeked(source: AsyncIterator<unknown>): Promise<{ start: string; all: Bytes }> {
  const pieces: Uint8Array[] = []
  const piece = (value: unknown) => {
    if (typeof value !== 'string' && !(value instanceof Uint8Array))
      throw new WengertError('ERR_VALUE', `readTable: expected bytes or text from the stream, got ${describe(value)}`, { actual: value })
    return typeof value === 'string' ? Buffer.from(value) : value
  }
  let start = ''
  let ended = false
  while (!ended && start.length < 1 << 16 && !start.trimStart().includes('\n')) {
    const next = await source.next()
    ended = next.done === true
    if (ended) break
    pieces.push(piece(next.value))
    start += Buffer.from(pieces[pieces.length - 1] as Uint8Array).toString('utf8')
  }
  async function* all(): Bytes {
    try {
      yield* pieces.splice(0)
      while (!ended) {
        const next = await source.next()
        ended = next.done === true
        if (!ended) yield piece(next.value)
      }
    } finally {
      await source.return?.()
    }
  }
  return { start: start.replace(/^\ufeff/, '').trimStart(), all: all() }
}

/** The delimiter that stands most often in the first line, outside quotes. */
function delimiterIn(start: string): string {
  const counts = new Map<string, number>(delimiters.map((d) => [d, 0]))
  let quoted = false
  for (const character of start) {
    if (character === '"') quoted = !quoted
    else if (!quoted && character === '\n') break
    else if (!quoted && counts.has(character)) counts.set(character, (counts.get(character) as number) + 1)
  }
  const [best, count] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a))
  return count > 0 ? best : ','
}

/** The lines of a text, one piece of it in memory at a time. Errors: ERR_FILE for bytes that are not UTF-8, and for endless lines. */
async function* linesOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const text = new TextDecoder('utf-8', { fatal: true })
  let rest: string[] = []
  let held = 0
  let line = 0
  const decode = (chunk?: Uint8Array) => {
    try {
      return text.decode(chunk, { stream: chunk !== undefined })
    } catch (error) {
      throw new WengertError('ERR_FILE', `readTable: line ${line + 1} is not text in UTF-8`, { cause: error })
    }
  }
  for await (const chunk of source) {
    const piece = decode(chunk)
    let from = 0
    for (let end = piece.indexOf('\n'); end >= 0; end = piece.indexOf('\n', from)) {
      rest.push(piece.slice(from, end))
      yield rest.join('')
      line++
      rest = []
      held = 0
      from = end + 1
    }
    rest.push(piece.slice(from))
    held += piece.length - from
    if (held > longestLine)
      throw new WengertError(
        'ERR_FILE',
        `readTable: line ${line + 1} is longer than ${longestLine} characters; JSON lines hold one record each`,
      )
  }
  rest.push(decode())
  const last = rest.join('')
  if (last !== '') yield last
}

/** Rows handed to the builder, a batch at a time: after each, the caller may stop. */
async function* fromCsv(source: AsyncIterable<Uint8Array>, delimiter: string, s: Settings, into: RowSink): AsyncGenerator<void> {
  let declared = false
  for await (const scanner of scanned(source, { where: 'readTable', delimiter })) {
    while (scanner.next()) {
      if (!declared) {
        declared = true
        const header = Array.from({ length: scanner.count }, (_, i) => cellText(scanner, i))
        into.declare(header.map((name, i) => (s.header && name !== '' ? name : `${i}`)))
        if (s.header) continue
      }
      into.pushCells(scanner, scanner.last)
    }
    yield
  }
}

const stringsAndNumbers = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/** A line of JSON in which integers that a double would round are texts: no digit is lost. */
const keepingDigits = (line: string): string =>
  line.replace(stringsAndNumbers, (token) => (/^-?\d{16,}$/.test(token) && String(Number(token)) !== token ? `"${token}"` : token))

async function* fromLines(source: AsyncIterable<Uint8Array>, into: RowSink): AsyncGenerator<void> {
  let line = 0
  for await (const text of linesOf(source)) {
    line++
    if (text.trim() === '') continue
    let record: unknown
    try {
      record = JSON.parse(/\d{16}/.test(text) ? keepingDigits(text) : text)
    } catch (error) {
      const hint = line === 1 && text.trimStart().startsWith('[') ? '; a list of records goes to readTable(JSON.parse(text))' : ''
      throw new WengertError('ERR_FILE', `readTable: line ${line} is not JSON: ${(error as Error).message.slice(0, 120)}${hint}`, {
        cause: error,
      })
    }
    if (!isPlainObject(record)) {
      const hint = Array.isArray(record) ? '; a list of records goes to readTable(JSON.parse(text))' : ''
      throw new WengertError('ERR_FILE', `readTable: line ${line}: expected an object of values by column, got ${describe(record)}${hint}`)
    }
    into.pushRecord(record, line, (column) => `readTable: line ${line}, column '${column}'`)
    if (line % 1024 === 0) yield
  }
}

async function* fromRecords(records: AsyncIterable<unknown> | Iterable<unknown>, into: RowSink): AsyncGenerator<void> {
  let row = 0
  for await (const record of records) {
    if (typeof record !== 'object' || record === null || Array.isArray(record))
      throw new WengertError('ERR_VALUE', `readTable: expected records { column: value }, got ${describe(record)} as record ${row}`, {
        actual: record,
      })
    into.pushRecord(record as Record<string, unknown>, row, (column) => `readTable: record ${row}, column '${column}'`)
    if (++row % 1024 === 0) yield
  }
}

const isText = (piece: unknown): boolean => typeof piece === 'string' || piece instanceof Uint8Array

/** Chooses the reader by what the source is and how it begins. */
export async function* readInto(source: TableSource, s: Settings, into: RowSink): AsyncGenerator<void> {
  if (typeof source !== 'string' && Symbol.iterator in source) {
    const pieces = (source instanceof Uint8Array ? [source] : source)[Symbol.iterator]()
    const first = pieces.next()
    const again = function* (): Generator<unknown> {
      try {
        for (let next = first; !next.done; next = pieces.next()) yield next.value
      } finally {
        pieces.return?.()
      }
    }
    if (first.done || !isText(first.value)) yield* fromRecords(again(), into)
    else {
      yield* readInto(
        (async function* () {
          yield* again()
        })(),
        s,
        into,
      )
    }
    return
  }
  const iterator = (typeof source === 'string' ? bytesOf(source, s) : source)[Symbol.asyncIterator]()
  const first = typeof source === 'string' ? undefined : await iterator.next()
  const again = async function* () {
    try {
      if (first && !first.done) yield first.value
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value
    } finally {
      await iterator.return?.()
    }
  }
  if (first && !first.done && !isText(first.value)) {
    yield* fromRecords(again(), into)
    return
  }
  const { start, all } = await peeked(again())
  const named = typeof source === 'string' ? /\.(jsonl|ndjson|json|csv|tsv)$/i.exec(source)?.[1]?.toLowerCase() : undefined
  const lines =
    named === undefined || named === 'json' ? start.startsWith('{') || start.startsWith('[') : named === 'jsonl' || named === 'ndjson'
  const format = s.format ?? (lines ? 'jsonl' : 'csv')
  if (format === 'jsonl') yield* fromLines(all, into)
  else yield* fromCsv(all, s.delimiter ?? delimiterIn(start), s, into)
}
