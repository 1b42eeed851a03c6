/** Numbers and dates that are written as people of many countries do: told by all values of a column, or said where it is not clear. */

import { commaNumberIn } from './cell.js'
import { date } from './date.js'
import { dayjsOfFormats } from './dayjs.js'
import type { ColumnSpec } from './encoding.js'
import { number } from './number.js'
import type { ColumnView } from './table.js'

/** What a column of texts was found to hold; or why it is not taken for what it looks like. */
export interface Form {
  spec?: ColumnSpec
  reason: string
}

const clocks = ['', ' HH:mm', ' HH:mm:ss']
const days = [
  'DD.MM.YYYY',
  'D.M.YYYY',
  'DD/MM/YYYY',
  'D/M/YYYY',
  'MM/DD/YYYY',
  'M/D/YYYY',
  'DD-MM-YYYY',
  'MM-DD-YYYY',
  'YYYY/MM/DD',
  'YYYY/M/D',
  'YYYY.MM.DD',
]

const looksLikeDate = /^\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?:$| )/
const looksLikeNumber = /^[-+]?\p{Sc}?\s?[-+]?\d[\d.,'\s]{0,40}\s?[%\p{Sc}]?$/u

/** All values of a column, each once where it has a dictionary. */
function* valuesOf(view: ColumnView, names: readonly string[], sampled: boolean): Generator<string> {
  if (!sampled) yield* names
  else
    for (let i = 0; i < view.length; i++) {
      const value = view.at(i)
      if (value !== undefined) yield String(value)
    }
}

const every = (values: Iterable<string>, holds: (text: string) => boolean): boolean => {
  for (const value of values) if (!holds(value)) return false
  return true
}

/** Dates in one format, or in one that two formats read. */
function dateForm(all: () => Iterable<string>, first: string): Form {
  const dayjs = dayjsOfFormats()
  const reads = (format: string) => (text: string) => text.length <= 40 && dayjs.utc(text, format, true).isValid()
  const formats = days.flatMap((day) => clocks.map((clock) => day + clock)).filter((format) => reads(format)(first))
  const found = formats.filter((format) => every(all(), reads(format)))
  const [only, other] = found
  if (only !== undefined && other === undefined) return { spec: date({ format: only }), reason: `dates as ${only}` }
  return {
    reason:
      only === undefined
        ? `looks like dates, such as '${first}', but no one format reads all`
        : `dates, and ${found.join(' and ')} read all of them: say which`,
  }
}

/**
 * What texts hold that are neither ISO dates nor plain numbers.
 *
 * @param names the texts that occur, or some of them where `sampled`
 */
export function formOf(view: ColumnView, names: readonly string[], sampled: boolean): Form | undefined {
  const [first] = names
  if (first === undefined) return undefined
  const all = () => valuesOf(view, names, sampled)
  if (names.every((name) => looksLikeDate.test(name))) return dateForm(all, first)
  if (!names.every((name) => name.length < 60 && looksLikeNumber.test(name))) return undefined
  // Codes such as 007 and numbers of many digits are names.
  if (names.every((name) => /^\d+$/.test(name))) return undefined
  const commas = names.filter((name) => name.includes(','))
  if (commas.length > 0 && every(all(), (text) => commaNumberIn(text) !== undefined)) {
    // One comma with three digits behind it may divide thousands.
    const clear = commas.some((name) => name.includes('.') || (name.split(',')[1] as string).length !== 3)
    return clear
      ? { spec: number({ decimal: ',' }), reason: 'decimal commas' }
      : { reason: `numbers with commas, such as '${commas[0]}': decimals by number({ decimal: ',' }), or write thousands without them` }
  }
  return { reason: `looks like numbers, such as '${first}', in a form that is not read: write them plain` }
}
