/** The records of a CSV text, a chunk of the source at a time: memory does not grow with the file. Parsing is csv-parse's. */

import type { CsvError } from 'csv-parse'
import { WengertError } from '../errors.js'
import { describe } from '../util/options.js'
import { checkPath, fileError } from './atomic.js'

/** A file by its path, or bytes from anywhere. */
export type CsvSource = string | AsyncIterable<Uint8Array | string>

/** Records of one chunk and the line on which each ends. */
export interface Records {
  cells: string[][]
  lines: number[]
}

/** A record longer than this is an unclosed quote rather than a record. */
const longestRecord = 1 << 24

export interface RecordOptions {
  where: string
  delimiter: string
}

async function* chunksOf(where: string, source: CsvSource): AsyncGenerator<Uint8Array> {
  if (typeof source !== 'string') {
    if (typeof source !== 'object' || source === null || !(Symbol.asyncIterator in source))
      throw new WengertError('ERR_VALUE', `${where}: expected a path or a stream of bytes, got ${describe(source)}`, { actual: source })
    for await (const chunk of source) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk
    return
  }
  try {
    yield* process.getBuiltinModule('node:fs').createReadStream(checkPath(where, source)) as AsyncIterable<Uint8Array>
  } catch (error) {
    throw fileError(where, source, error)
  }
}

/** What csv-parse refused, in our words. */
function refused(where: string, error: unknown, last: number): WengertError {
  const { code, lines, message } = error as CsvError & { lines?: number }
  const line = lines ?? last + 1
  const text =
    code === 'CSV_QUOTE_NOT_CLOSED'
      ? `a closing quote, got the end of the file; the quote opens in the record after line ${last}`
      : code === 'CSV_RECORD_INCONSISTENT_FIELDS_LENGTH'
        ? `as many fields as in the first line, got another number in the record that ends on line ${line}`
        : code === 'CSV_MAX_RECORD_SIZE'
          ? `records of at most ${longestRecord} bytes, got a longer one after line ${last}; is a quote not closed?`
          : code === 'INVALID_OPENING_QUOTE' || code === 'CSV_INVALID_CLOSING_QUOTE' || code === 'CSV_NON_TRIMABLE_CHAR_AFTER_CLOSING_QUOTE'
            ? `quotes around whole fields, doubled within, got one elsewhere on line ${line}`
            : `a well-formed record, got line ${line}: ${message}`
  return new WengertError('ERR_FILE', `${where}: expected ${text}`, { actual: line, cause: error })
}

/**
 * The records, blank lines left out; spaces around fields are taken away.
 *
 * @throws ERR_FILE for bytes that are not UTF-8, ragged rows, quotes out of place or not closed, naming the line
 */
export async function* recordsOf(source: CsvSource, { where, delimiter }: RecordOptions): AsyncGenerator<Records> {
  const { parse } = await import('csv-parse')
  const text = new TextDecoder('utf-8', { fatal: true })
  let batch: Records = { cells: [], lines: [] }
  let last = 0
  const parser = parse({
    bom: true,
    delimiter,
    // All that there are: a file may mix them.
    record_delimiter: ['\r\n', '\n', '\r'],
    trim: true,
    skip_empty_lines: true,
    max_record_size: longestRecord,
    on_record: (cells: string[]) => {
      last = parser.info.lines
      batch.cells.push(cells)
      batch.lines.push(last)
      return null
    },
  })
  // Failures come through the callbacks below.
  parser.on('error', () => undefined).resume()
  const settled = (start: (done: (error?: Error | null) => void) => void) =>
    new Promise<void>((resolve, reject) => {
      start((error) => (error ? reject(refused(where, error, last)) : resolve()))
    })
  const checked = (chunk?: Uint8Array) => {
    try {
      text.decode(chunk, { stream: chunk !== undefined })
    } catch (error) {
      throw new WengertError('ERR_FILE', `${where}: expected text in UTF-8, got other bytes after line ${last}`, {
        actual: last,
        cause: error,
      })
    }
  }
  const taken = () => {
    const full = batch
    batch = { cells: [], lines: [] }
    return full
  }
  try {
    for await (const chunk of chunksOf(where, source)) {
      checked(chunk)
      await settled((done) => parser.write(chunk, done))
      if (batch.cells.length > 0) yield taken()
    }
    checked()
    await settled((done) => {
      parser.once('error', done).once('end', done)
      parser.end()
    })
    if (batch.cells.length > 0) yield taken()
  } finally {
    parser.destroy()
  }
}
