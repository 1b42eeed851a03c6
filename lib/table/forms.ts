/** Numbers and dates that are written as people of many countries do: told by all values of a column, or said where it is not clear. */

import { WengertError } from '../errors.js'
import { someCounts } from './category.js'
import { commaNumberIn } from './cell.js'
import { TextColumn } from './column.js'
import { date, padded, parserOf } from './date.js'
import { dayjsOfFormats } from './dayjs.js'
import type { ColumnSpec } from './encoding.js'
import { number } from './number.js'
import { wholeTable } from './shard.js'
import type { ColumnView, Table } from './table.js'

/** What a column of texts was found to hold; or why it is not taken for what it looks like. */
export interface Form {
  spec?: ColumnSpec
  reason: string
  /** The first of several formats that read all dates. */
  between?: string
}

const clocks = ['', ' HH:mm', ' HH:mm:ss']
const days = ['.', '/', '-'].flatMap((mark) =>
  ['D.M.YYYY', 'DD.MM.YYYY', 'M.D.YYYY', 'MM.DD.YYYY', 'YYYY.M.D', 'YYYY.MM.DD'].map((day) => day.replaceAll('.', mark)),
)
const looksLikeDate = /^\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?:$| )/
const looksLikeNumber = /^[-+]?\p{Sc}?\s?[-+]?\d[\d.,'\s]{0,40}\s?[%\p{Sc}]?$/u

/** All values of a column, each once where it has a dictionary. */
function* valuesOf(view: ColumnView, names: readonly string[]): Generator<string> {
  if (!(view.column instanceof TextColumn)) yield* names
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

/** Dates in one format; formats that differ in leading zeros alone are one, and the one without them reads both. */
function dateForm(all: () => Iterable<string>, first: string): Form {
  const formats = days.flatMap((day) => clocks.map((clock) => day + clock))
  const dayjs = dayjsOfFormats()
  const asWritten = (format: string) => (text: string) => text.length <= 40 && dayjs.utc(text, format, true).isValid()
  const anyZeros = (format: string) => {
    const parse = parserOf(format)
    return (text: string) => text.length <= 40 && parse(text) !== undefined
  }
  const reading = (reads: typeof asWritten) => {
    const found = formats.filter((format) => reads(format)(first)).filter((format) => every(all(), reads(format)))
    return found.filter((format) => !found.some((other) => other !== format && padded(other, 'DM') === format))
  }
  let found = reading(asWritten)
  if (found.length === 0) found = reading(anyZeros)
  const [only, other] = found
  if (only !== undefined && other === undefined) return { spec: date({ format: only }), reason: `dates as ${only}` }
  return {
    reason:
      only === undefined
        ? `looks like dates, such as '${first}', but no one format reads all`
        : `dates, and ${found.join(' and ')} read all of them: say which`,
    ...(only !== undefined && { between: only }),
  }
}

const known = new WeakMap<Table, Map<string, Form | undefined>>()

/**
 * What the texts of a column hold that are neither ISO dates nor plain numbers: as was said when the rows were split, or as all rows tell
 * that were split, so that every part is read alike. Of a shard every rank has to ask.
 */
export function formIn(rows: Table, name: string): Form | undefined {
  const said = rows.origin?.formats.get(name)
  if (said !== undefined) return { spec: date({ format: said }), reason: `dates as ${said}` }
  const whole = rows.origin?.rows ?? rows
  const forms = known.get(whole) ?? new Map<string, Form | undefined>()
  known.set(whole, forms)
  if (!forms.has(name)) forms.set(name, formOf(wholeTable('table', whole).column(name)))
  return forms.get(name)
}

/** What was said of a column, with how its texts are written where that was not said. Errors: ERR_DATA where several ways read them. */
export function toldSpec(rows: Table, { name, type }: ColumnView, spec: ColumnSpec): { spec: ColumnSpec; reason?: string } {
  const open = (spec.kind === 'date' && spec.format === undefined) || (spec.kind === 'number' && spec.decimal === undefined)
  const form = open && type === 'text' ? formIn(rows, name) : undefined
  if (form?.spec?.kind === spec.kind) return { spec: { ...form.spec, ...spec }, reason: form.reason }
  if (form?.between && spec.kind === 'date')
    throw new WengertError('ERR_DATA', `fitTable: column '${name}': ${form.reason} by date({ format: '${form.between}' })`)
  return { spec }
}

function formOf(view: ColumnView): Form | undefined {
  if (view.type !== 'text') return undefined
  const names = [...someCounts(view).keys()]
  const [first] = names
  if (first === undefined) return undefined
  const all = () => valuesOf(view, names)
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
