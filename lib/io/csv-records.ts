/** The records of a CSV text, a chunk of the source at a time: memory does not grow with the file. */

import { WengertError } from '../errors.js'
import { cellText } from '../table/cells.js'
import { describe } from '../util/options.js'
import { checkPath, fileError } from './atomic.js'
import { CsvScanner } from './csv-scan.js'
import { TextRange } from './text-range.js'

/** A file by its path, or bytes from anywhere. */
export type CsvSource = string | AsyncIterable<Uint8Array | string>

/** A source, or of a file the part that is this process's. */
export type ScanSource = CsvSource | TextRange

/** Records of one chunk and the line on which each ends. */
export interface Records {
  cells: string[][]
  lines: number[]
}

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

/** Refuses bytes that are not UTF-8, piece by piece: a letter may be cut in two. */
class Utf8Check {
  #rest: Uint8Array = new Uint8Array(0)
  readonly #isUtf8 = process.getBuiltinModule('node:buffer').isUtf8

  /** Errors: ERR_FILE. */
  take(where: string, chunk: Uint8Array, last: number): void {
    const all = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    const end = all.length - cutLetter(all)
    this.#rest = all.slice(end)
    this.#check(where, all.subarray(0, end), last)
  }

  end(where: string, last: number): void {
    this.#check(where, this.#rest, last)
  }

  #check(where: string, bytes: Uint8Array, last: number): void {
    if (!this.#isUtf8(bytes))
      throw new WengertError('ERR_FILE', `${where}: the text is not UTF-8 after line ${last}; save it as UTF-8`, { actual: last })
  }
}

/** How many bytes at the end are the beginning of a letter that is not all there. */
function cutLetter(bytes: Uint8Array): number {
  for (let n = 1; n <= 3 && n <= bytes.length; n++) {
    const code = bytes[bytes.length - n] as number
    if (code < 0x80) return 0
    if (code >= 0xc0) return n < (code >= 0xf0 ? 4 : code >= 0xe0 ? 3 : 2) ? n : 0
  }
  return 0
}

/**
 * A scanner over the source, handed out after each piece of it: whoever takes it scans the records that are whole (`next`).
 *
 * @throws ERR_FILE for bytes that are not UTF-8, ragged rows, quotes out of place or not closed, naming the line
 */
export async function* scanned(
  source: ScanSource | AsyncIterable<Uint8Array>,
  { where, delimiter }: RecordOptions,
): AsyncGenerator<CsvScanner> {
  const scanner = new CsvScanner(where, delimiter)
  const text = new Utf8Check()
  const range = source instanceof TextRange ? source : undefined
  if (range && range.head.length > 0) {
    text.take(where, range.head, 0)
    scanner.feed(range.head, true)
    yield scanner
    // A head that is no whole record goes on in what comes next.
    if (scanner.last > 0) scanner.lines = scanner.last = range.lines
  }
  for await (const chunk of source instanceof TextRange ? source.bytes(where) : chunksOf(where, source)) {
    text.take(where, chunk, scanner.last)
    scanner.feed(chunk)
    yield scanner
  }
  text.end(where, scanner.last)
  scanner.end()
  yield scanner
}

/** The records as texts. Errors: those of `scanned`. */
export async function* recordsOf(source: ScanSource, options: RecordOptions): AsyncGenerator<Records> {
  for await (const scanner of scanned(source, options)) {
    const batch: Records = { cells: [], lines: [] }
    while (scanner.next()) {
      batch.cells.push(Array.from({ length: scanner.count }, (_, i) => cellText(scanner, i)))
      batch.lines.push(scanner.last)
    }
    if (batch.cells.length > 0) yield batch
  }
}
