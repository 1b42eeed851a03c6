/** Columns of categories: one feature each where they are few, a learned vector each where they are many. */

import { checkChoice, checkNumber, checkOptions } from '../util/options.js'
import { dateIn, dateText, missingTexts, numberIn } from './cell.js'
import { DictionaryColumn, TextColumn } from './column.js'
import { type ColumnSpec, type Encoding, encodingVersion, type Fields, type Raw } from './encoding.js'
import { ColumnView } from './table.js'

/** Of `category`. */
export interface CategoryOptions {
  /** 'oneHot': one feature a category; 'embedding': a learned vector. By their number where left out: above 16, an embedding. */
  as?: 'oneHot' | 'embedding'
  /** A category of fewer training rows than this is rare and shares the place of the unknown; 10 by default, 1 for small sets. */
  rare?: number
  /** The most categories with a place of their own, the most frequent first; 1000 by default. */
  most?: number
  /** Whether a record may lack the column. */
  optional?: boolean
}

/**
 * A column of categories: texts, or numbers that are names. Rare ones share one place, which unknown ones take later; a
 * missing one has its own where any was missing in training. Where nothing was rare, an unknown one counts as the average
 * of all: no place that was never trained is used.
 */
export function category(options: CategoryOptions = {}): ColumnSpec<'category'> {
  checkOptions('category', options, ['as', 'rare', 'most', 'optional'])
  if (options.as !== undefined) checkChoice('category', 'as', options.as, ['oneHot', 'embedding'] as const)
  if (options.rare !== undefined) checkNumber('category', 'rare', options.rare, { integer: true, min: 1 })
  if (options.most !== undefined) checkNumber('category', 'most', options.most, { integer: true, min: 1, max: 100_000 })
  return { kind: 'category', ...options }
}

/** How often each text occurs, numbers and dates as their texts, and how many are missing. */
export function countsOf(view: ColumnView): { counts: Map<string, number>; missing: number } {
  const counts = new Map<string, number>()
  let missing = 0
  const { column, length } = view
  if (column instanceof DictionaryColumn) {
    const byCode = new Uint32Array(column.dictionary.length)
    for (let i = 0; i < length; i++) {
      const code = column.codes[view.place(i)] as number
      byCode[code] = (byCode[code] as number) + 1
    }
    for (let code = 1; code < byCode.length; code++) if (byCode[code]) counts.set(column.dictionary[code] as string, byCode[code] as number)
    return { counts, missing: byCode[0] as number }
  }
  for (let i = 0; i < length; i++) {
    const value = view.at(i)
    if (value === undefined) missing++
    else {
      const text = textOf(value)
      counts.set(text, (counts.get(text) ?? 0) + 1)
    }
  }
  return { counts, missing }
}

const manyRows = 20_000

/** As the counts of `countsOf`; of a column in which nearly all texts differ, those of some thousand rows. */
export function someCounts(view: ColumnView): Map<string, number> {
  const step = Math.floor(view.length / manyRows)
  if (!(view.column instanceof TextColumn) || step < 2) return countsOf(view).counts
  const rows = Uint32Array.from({ length: manyRows }, (_, i) => view.place(i * step))
  return countsOf(new ColumnView(view.name, view.column, rows)).counts
}

export const textOf = (value: number | string | Date): string =>
  typeof value === 'string' ? value : typeof value === 'number' ? String(value) : dateText(value.getTime())

/** By number where all are numbers, else by text. */
export function inOrder(names: readonly string[]): string[] {
  const numbers = names.map(numberIn)
  if (numbers.every((n) => n !== undefined)) {
    const value = new Map(names.map((name, i) => [name, numbers[i] as number]))
    return [...names].sort((a, b) => (value.get(a) as number) - (value.get(b) as number) || (a < b ? -1 : 1))
  }
  return [...names].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
}

/** The place of a name: as it stands, or as the number or the date that it writes. */
export function placeOf(places: ReadonlyMap<string, number>, text: string): number | undefined {
  const place = places.get(text)
  if (place !== undefined) return place
  const value = numberIn(text)
  if (value !== undefined) return places.get(String(value))
  const time = dateIn(text)
  return time === undefined ? undefined : places.get(dateText(time))
}

interface Fitted {
  name: string
  optional: boolean
  as: 'oneHot' | 'embedding'
  /** In order of their places. */
  categories: readonly string[]
  /** The share of training rows that each has; what an unknown one counts as where nothing was rare. */
  shares: readonly number[]
  /** Whether missing and rare ones occurred in training. */
  missing: boolean
  other: boolean
  /** Whether one feature each are codes until the first layer, as since the second version; written out in x before. */
  codes: boolean
}

/** The version of the JSON of categories whose places are codes. */
export const codesVersion = 2

/** The length of the vector for a number of categories. */
const vectorLength = (count: number): number => Math.min(50, Math.max(2, Math.round(1.5 * count ** 0.4)))

function encoding(fitted: Fitted): Encoding {
  const { codes, ...saved } = fitted
  const { name, optional, as, categories, shares, missing, other } = saved
  const places = new Map(categories.map((text, i) => [text, i]))
  const common = {
    name,
    kind: 'category' as const,
    optional,
    // NA is a missing value, unless it is a category: the code of Namibia.
    read: (value: number | string | Date | undefined) => {
      const text = value === undefined ? undefined : textOf(value)
      return text !== undefined && missingTexts.has(text) && !places.has(text) ? undefined : text
    },
    toJSON: () => ({
      version: codes ? codesVersion : encodingVersion,
      kind: 'category',
      ...saved,
      categories: [...categories],
      shares: [...shares],
    }),
  }
  const extra = `${missing ? ', missing' : ''}${other ? ', rare or unknown' : ''}`
  if (as === 'embedding') {
    const count = categories.length + 2
    const length = vectorLength(count)
    return {
      ...common,
      columns: [name],
      features: Array.from({ length }, (_, i) => `${name} #${i}`),
      code: { as, count, width: length },
      says: `category, a learned vector of ${length} for each of ${categories.length}${extra}`,
      write(raw, out, at) {
        out[at] = raw === undefined ? 1 : 2 + (placeOf(places, raw as string) ?? -2)
      },
    }
  }
  const width = categories.length + Number(missing) + Number(other)
  const features = [
    ...categories.map((text) => `${name}=${text}`),
    ...(missing ? [`${name} missing`] : []),
    ...(other ? [`${name} other`] : []),
  ]
  const says = `category, one feature for each of ${categories.length}${extra}`
  const knownPlace = (raw: Raw): number | undefined => {
    const place = raw === undefined ? (missing ? categories.length : undefined) : placeOf(places, raw as string)
    return place ?? (other ? width - 1 : undefined)
  }
  if (codes) {
    // The place behind the last stands for the average of all.
    const average = other ? undefined : Array.from({ length: width }, (_, i) => shares[i] ?? 0)
    return {
      ...common,
      columns: [name],
      features,
      code: { as, count: width, ...(average && { average }) },
      says,
      write(raw, out, at) {
        out[at] = knownPlace(raw) ?? width
      },
    }
  }
  return {
    ...common,
    columns: features,
    features,
    says,
    write(raw, out, at) {
      const known = knownPlace(raw)
      for (let i = 0; i < width; i++) out[at + i] = known === undefined ? ((shares[i] as number | undefined) ?? 0) : 0
      if (known !== undefined) out[at + known] = 1
    },
  }
}

export function fitCategory(view: ColumnView, spec: CategoryOptions): Encoding {
  const { counts, missing } = countsOf(view)
  const rare = spec.rare ?? (view.length >= 1000 ? 10 : 1)
  const byCount = [...counts].filter(([, n]) => n >= rare).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
  const kept = byCount.slice(0, spec.most ?? 1000)
  const categories = inOrder(kept.map(([text]) => text))
  const share = new Map(kept.map(([text, n]) => [text, n / Math.max(1, view.length)]))
  return encoding({
    name: view.name,
    optional: spec.optional ?? false,
    as: spec.as ?? (categories.length > 16 ? 'embedding' : 'oneHot'),
    categories,
    shares: categories.map((text) => share.get(text) as number),
    missing: missing > 0,
    other: kept.length < counts.size,
    codes: true,
  })
}

export function categoryFromJSON(f: Fields): Encoding {
  const categories = f.texts('categories')
  const shares = f.numbers('shares')
  if (shares.length !== categories.length || new Set(categories).size !== categories.length)
    throw f.fail('shares', 'one number for each category')
  return encoding({
    name: f.text('name'),
    optional: f.flag('optional'),
    as: f.text('as') === 'embedding' ? 'embedding' : 'oneHot',
    categories,
    shares,
    missing: f.flag('missing'),
    other: f.flag('other'),
    codes: f.json.version === codesVersion,
  })
}
