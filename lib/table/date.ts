/** Columns of dates and times: the moment itself, and where it lies in the year, the week and the day. */

import { WengertError } from '../errors.js'
import { checkOptions, describe } from '../util/options.js'
import { dateIn, missingTexts } from './cell.js'
import { NumericColumn } from './column.js'
import { dayjsOfFormats } from './dayjs.js'
import { type ColumnSpec, type Encoding, encodingVersion, type Fields, type Raw, refused } from './encoding.js'
import { momentsOf } from './statistics.js'
import type { ColumnView, Room } from './table.js'

/** Of `date`. */
export interface DateOptions {
  /**
   * How texts write it, in the letters of Day.js, such as 'DD.MM.YYYY HH:mm'; D and M are one digit or two. Where left out, ISO 8601,
   * or the one way that all rows tell.
   */
  format?: string
  /** Whether a record may lack the column. */
  optional?: boolean
}

/**
 * A column of dates. Its features: the time in days (standardised), and as points on circles, so that the ends of a cycle
 * are neighbours, the day of the year, the day of the week and the time of day, each where it varies in training. Times
 * without an offset are UTC.
 */
export function date(options: DateOptions = {}): ColumnSpec<'date'> {
  checkOptions('date', options, ['format', 'optional'])
  checkFormat('date', options.format)
  return { kind: 'date', ...options }
}

/** Errors: ERR_OPTION. */
export function checkFormat(where: string, format: string | undefined): void {
  if (format !== undefined && (typeof format !== 'string' || format === '' || format.length > longestFormat))
    throw new WengertError('ERR_OPTION', `${where}: expected format to be a text such as 'DD.MM.YYYY', got ${describe(format)}`)
}

const day = 86_400_000
const longestFormat = 60
const year = 365.2425 * day

/** A reader of texts in a format, to milliseconds since 1970. Day.js is loaded when the first is made. */
export type Parser = (text: string) => number | undefined

export function parserOf(format: string | undefined): Parser {
  if (format === undefined) return dateIn
  const dayjs = dayjsOfFormats()
  // As it stands first; where it has D or M, the digit may have a zero before it.
  const formats = [...new Set([format, padded(format, 'D'), padded(format, 'M'), padded(format, 'DM')])]
  return (text) => {
    if (text.length > 100) return undefined
    for (const one of formats) {
      const moment = dayjs.utc(text, one, true)
      if (moment.isValid()) return moment.valueOf()
    }
    return undefined
  }
}

/** A format with two digits for the letters that stand alone in it: DD for D. */
export const padded = (format: string, letters: string): string =>
  format.replace(/\[[^\]]*\]|Do|D+|M+/g, (token) => (token.length === 1 && letters.includes(token) ? token + token : token))

interface Fitted {
  name: string
  optional: boolean
  format?: string
  /** In days since 1970. */
  mean: number
  deviation: number
  /** Which cycles vary in training. */
  yearly: boolean
  weekly: boolean
  daily: boolean
  missing: boolean
}

function encoding(fitted: Fitted): Encoding {
  const { name, optional, format, mean, deviation, yearly, weekly, daily, missing } = fitted
  const parse = parserOf(format)
  const expected = format === undefined ? 'a date such as 2026-01-03 (others by date({ format }))' : `a date written as ${format}`
  // The first Thursday of 1970 was its first day: 4 days after a Sunday.
  const cycles = [
    ...(yearly ? [{ called: 'year', length: year, from: 0 }] : []),
    ...(weekly ? [{ called: 'week', length: 7 * day, from: -4 * day }] : []),
    ...(daily ? [{ called: 'day', length: day, from: 0 }] : []),
  ]
  const features = [
    name,
    ...cycles.flatMap(({ called }) => [`${name} sin ${called}`, `${name} cos ${called}`]),
    ...(missing ? [`${name} missing`] : []),
  ]
  return {
    name,
    kind: 'date',
    optional,
    columns: features,
    features,
    says: `date, the time${cycles.map(({ called }) => `, place in the ${called}`).join('')}${missing ? '; missing values marked' : ''}`,
    read(value, where): Raw {
      if (value === undefined || typeof value === 'number') return value
      const time = typeof value === 'string' ? parse(value) : value.getTime()
      if (time === undefined && missingTexts.has(value as string)) return undefined
      if (time === undefined) throw refused(where, expected, value)
      return time
    },
    write(raw, out, at) {
      const absent = raw === undefined || Number.isNaN(raw)
      const time = absent ? mean * day : (raw as number)
      out[at++] = (time / day - mean) / deviation
      for (const { length, from } of cycles) {
        // The day of the week and of the year turn with the days, not with the seconds.
        const moment = length === day ? time : Math.floor(time / day) * day
        const angle = (2 * Math.PI * (moment - from)) / length
        out[at++] = absent ? 0 : Math.sin(angle)
        out[at++] = absent ? 0 : Math.cos(angle)
      }
      if (missing) out[at] = absent ? 1 : 0
    },
    toJSON: () => ({ version: encodingVersion, kind: 'date', ...fitted }),
  }
}

const varies = (values: Float64Array, of: (time: number) => number): boolean => {
  const first = of(values[0] as number)
  return values.some((value) => of(value) !== first)
}

/** The moments that are not missing, in the room's list. Errors: ERR_DATA. */
function presentTimes(view: ColumnView, spec: DateOptions, room: Room): Float64Array {
  if (view.column instanceof NumericColumn) return view.present(room)
  const parse = parserOf(spec.format)
  const times = room.of(view.length)
  let count = 0
  for (let i = 0; i < times.length; i++) {
    const value = view.at(i) as string | undefined
    const time = value === undefined || missingTexts.has(value) ? Number.NaN : parse(value)
    if (time === undefined)
      throw refused(
        () => `fitTable: row ${i}, column '${view.name}'`,
        spec.format ? `a date written as ${spec.format}` : 'a date such as 2026-01-03 (others by date({ format }))',
        value,
      )
    if (!Number.isNaN(time)) times[count++] = time
  }
  return times.subarray(0, count)
}

export function fitDate(view: ColumnView, spec: DateOptions, room: Room): Encoding {
  const values = presentTimes(view, spec, room)
  const span = values.reduce((a, b) => Math.max(a, b), -Infinity) - values.reduce((a, b) => Math.min(a, b), Infinity)
  const [weekly, daily] = [
    span > 0 && varies(values, (time) => ((Math.floor(time / day) % 7) + 7) % 7),
    span > 0 && varies(values, (time) => ((time % day) + day) % day),
  ]
  for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) / day
  const { mean, deviation } = momentsOf(values)
  return encoding({
    name: view.name,
    optional: spec.optional ?? false,
    ...(spec.format !== undefined && { format: spec.format }),
    mean,
    deviation: deviation > 0 ? deviation : 1,
    // A part of a year says little of where in the year one is that the time itself does not.
    yearly: span > 0.75 * year,
    weekly,
    daily,
    missing: values.length < view.length,
  })
}

export function dateFromJSON(f: Fields): Encoding {
  if (f.json.format !== undefined && (f.text('format') === '' || f.text('format').length > longestFormat))
    throw f.fail('format', 'a short text')
  return encoding({
    name: f.text('name'),
    optional: f.flag('optional'),
    ...(f.json.format !== undefined && { format: f.text('format') }),
    mean: f.number('mean'),
    deviation: f.number('deviation', Number.MIN_VALUE),
    yearly: f.flag('yearly'),
    weekly: f.flag('weekly'),
    daily: f.flag('daily'),
    missing: f.flag('missing'),
  })
}
