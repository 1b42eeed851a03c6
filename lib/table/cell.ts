/** What one cell of a table may hold, and how text is read as a number, a truth or a date: each in one pass over the text. */

import { WengertError } from '../errors.js'
import { describe } from '../util/options.js'

/** A cell of a record: what JSON, CSV readers and database drivers hand over. */
export type Cell = number | bigint | string | boolean | Date | null | undefined

/** A record: cells by the names of their columns. */
export type TableRecord = Readonly<Record<string, unknown>>

/** The texts that mean that a value is missing. */
export const missingTexts: ReadonlySet<string> = new Set(['', 'NA', 'N/A', 'n/a', '#N/A', 'NaN', 'nan', 'null', 'NULL', 'None', '?'])

const [zero, nine, plus, minus, point, lowerE, upperE] = [48, 57, 43, 45, 46, 101, 69]
const isDigit = (code: number): boolean => code >= zero && code <= nine

/**
 * The number that a text writes in decimal, as `-1.5e3`; undefined for anything else. Integers that float64 does not hold
 * exactly, and those with leading zeros (`00123`), are names rather than numbers: undefined as well.
 */
export function numberIn(text: string): number | undefined {
  const n = text.length
  let i = 0
  const sign = text.charCodeAt(0)
  if (sign === plus || sign === minus) i++
  const first = i
  while (i < n && isDigit(text.charCodeAt(i))) i++
  const whole = i - first
  let fraction = 0
  const integer = i === n
  if (text.charCodeAt(i) === point) {
    const start = ++i
    while (i < n && isDigit(text.charCodeAt(i))) i++
    fraction = i - start
  }
  if (whole + fraction === 0) return undefined
  const e = text.charCodeAt(i)
  if (e === lowerE || e === upperE) {
    const after = text.charCodeAt(++i)
    if (after === plus || after === minus) i++
    const start = i
    while (i < n && isDigit(text.charCodeAt(i))) i++
    if (i === start) return undefined
  }
  if (i !== n || (integer && whole > 1 && text.charCodeAt(first) === zero)) return undefined
  const value = Number(text)
  if (!Number.isFinite(value) || (integer && !Number.isSafeInteger(value))) return undefined
  return value
}

/** As `numberIn`, of a column that is known to hold numbers: integers of any size, rounded. */
export function anyNumberIn(text: string): number | undefined {
  const value = numberIn(text)
  if (value !== undefined || text.length > 310 || !/^[+-]?[1-9]\d{15,}$/.test(text)) return value
  return Number.isFinite(Number(text)) ? Number(text) : undefined
}

const withCommas = /^[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?$/

/** As `numberIn`, of a text with a decimal comma, and points between thousands if any: `1.234,5`. */
export function commaNumberIn(text: string): number | undefined {
  return text.length < 400 && withCommas.test(text) ? numberIn(text.replaceAll('.', '').replace(',', '.')) : undefined
}

const truths = new Map<string, number>([
  ...['true', 'yes', 'y', 't', 'on', '1'].map((word): [string, number] => [word, 1]),
  ...['false', 'no', 'n', 'f', 'off', '0'].map((word): [string, number] => [word, 0]),
])

/** 1 or 0 for a word of truth in any case (true, yes, y, t, on, 1 and their opposites); undefined for any other. */
export function truthIn(text: string): number | undefined {
  return text.length > 5 ? undefined : truths.get(text.toLowerCase())
}

function digitsAt(text: string, at: number, count: number): number {
  let value = 0
  for (let i = at; i < at + count; i++) {
    const code = text.charCodeAt(i)
    if (!isDigit(code)) return Number.NaN
    value = value * 10 + (code - zero)
  }
  return value
}

/** The milliseconds of a fraction of a second that begins at `at`, and where it ends. */
function fractionAt(text: string, at: number): [milliseconds: number, end: number] {
  let end = at
  let value = 0
  let unit = 100
  while (end < text.length && isDigit(text.charCodeAt(end))) {
    value += (text.charCodeAt(end++) - zero) * unit
    unit /= 10
  }
  return [end === at ? Number.NaN : value, end]
}

/**
 * Milliseconds since 1970 of a date in ISO 8601: `2026-01-03`, `2026-01-03T14:05`, with seconds, fractions, `Z` or an offset
 * (`+02:00`), a space for the T; undefined for anything else. Without an offset it is taken as UTC.
 */
export function dateIn(text: string): number | undefined {
  const n = text.length
  if (n < 10 || n > 40 || text.charCodeAt(4) !== minus || text.charCodeAt(7) !== minus) return undefined
  const [year, month, day] = [digitsAt(text, 0, 4), digitsAt(text, 5, 2), digitsAt(text, 8, 2)]
  const start = Date.UTC(year, month - 1, day)
  // A day that the month does not have runs over into the next.
  if (!(month >= 1 && month <= 12 && day >= 1) || new Date(start).getUTCDate() !== day || year < 100) return undefined
  if (n === 10) return start
  const separator = text[10]
  if ((separator !== 'T' && separator !== ' ' && separator !== 't') || n < 16 || text[13] !== ':') return undefined
  const [hour, minute] = [digitsAt(text, 11, 2), digitsAt(text, 14, 2)]
  let seconds = 0
  let milliseconds = 0
  let at = 16
  if (text[at] === ':') {
    seconds = digitsAt(text, at + 1, 2)
    at += 3
    if (text[at] === '.' || text[at] === ',') [milliseconds, at] = fractionAt(text, at + 1)
  }
  if (!(hour < 24 && minute < 60 && seconds < 60 && milliseconds >= 0)) return undefined
  const time = start + ((hour * 60 + minute) * 60 + seconds) * 1000 + milliseconds
  if (at === n || (at === n - 1 && (text[at] === 'Z' || text[at] === 'z'))) return time
  const sign = text[at] === '+' ? 1 : text[at] === '-' ? -1 : 0
  const colon = text[at + 3] === ':' ? 1 : 0
  if (sign === 0 || n !== at + 5 + colon) return undefined
  const offset = digitsAt(text, at + 1, 2) * 60 + digitsAt(text, at + 3 + colon, 2)
  return Number.isNaN(offset) ? undefined : time - sign * offset * 60_000
}

/** A date as text: the day alone where the time is midnight. */
export function dateText(time: number): string {
  const iso = new Date(time).toISOString()
  return iso.endsWith('T00:00:00.000Z') ? iso.slice(0, 10) : iso
}

/**
 * A record's value as one of the kinds that columns store: a finite number, a date, a text, or undefined where it is missing.
 *
 * @throws ERR_DATA for Infinity, an invalid date, a list, an object
 */
export function cellOf(value: unknown, where: () => string): number | string | Date | undefined {
  if (value === undefined || value === null) return undefined
  switch (typeof value) {
    case 'string': {
      const text = value.trim()
      return text === '' ? undefined : text
    }
    case 'number':
      if (Number.isFinite(value)) return value
      if (Number.isNaN(value)) return undefined
      break
    case 'boolean':
      return value ? 'true' : 'false'
    case 'bigint':
      return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  }
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value
  throw new WengertError(
    'ERR_DATA',
    `${where()}: expected a finite number, a text, a truth value, a date or null, got ${value instanceof Date ? 'an invalid date' : describe(value)}`,
    { actual: value },
  )
}
