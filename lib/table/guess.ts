/** What a column is when nobody says: told by its type, its values in the training part, and its name. */

import { category, someCounts } from './category.js'
import { truthIn } from './cell.js'
import { NumericColumn } from './column.js'
import { date } from './date.js'
import type { ColumnSpec } from './encoding.js'
import type { Form } from './forms.js'
import { ignore } from './kinds.js'
import { boolean, number } from './number.js'
import { momentsOf, quantilesOf } from './statistics.js'
import type { ColumnView, Room } from './table.js'
import { text, wordsOf } from './text.js'

/** A guess and, where a reader may wonder, its reason. */
export interface Guess {
  spec: ColumnSpec
  reason?: string
}

/** Names that identify rather than describe: id, customer_id, userId, uuid, key, index. */
export function namesIdentifier(name: string): boolean {
  return /^(?:id|uuid|guid|key|index|rowid|nr|no)$/i.test(name) || /(?:[_\s.-](?:id|uuid|guid|key)|[a-z](?:Id|ID|Uuid|UUID))$/.test(name)
}

const most = 20_000

function guessNumber(view: ColumnView, room: Room): Guess {
  const values = view.present(room)
  if (values.length === 0) return { spec: ignore(), reason: 'without any value' }
  const first = values[0] as number
  if (values.every((value) => value === first)) return { spec: ignore(), reason: `always ${first}` }
  if (values.length > 20 && values.every(Number.isInteger)) {
    const low = values.reduce((a, b) => Math.min(a, b))
    const high = values.reduce((a, b) => Math.max(a, b))
    // The numbers of the rows themselves, in any order; a part of them leaves gaps.
    const dense = high - low < values.length * 3
    if ((dense && isGrowing(values)) || (namesIdentifier(view.name) && new Set(values).size === values.length))
      return { spec: ignore(), reason: 'an identifier: every row has its own' }
  }
  const [q0, q1, q2, q3, q4] = quantilesOf(sampleOf(values), 5) as [number, number, number, number, number]
  const box = q3 - q1
  if (q0 >= 0 && q4 > 0 && momentsOf(values).deviation > 2 * q2 && q2 > 0 && q4 / Math.max(q2, 1e-300) > 20)
    return { spec: number({ log: true }), reason: 'spread over magnitudes' }
  if (box > 0 && (q4 - q2 > 50 * box || q2 - q0 > 50 * box)) return { spec: number({ scale: 'quantiles' }), reason: 'far outliers' }
  return { spec: number() }
}

/** At most some thousand of the values, evenly spread, for looks that need not see all. */
function sampleOf(values: Float64Array): Float64Array {
  const step = Math.max(1, Math.floor(values.length / most))
  return Float64Array.from({ length: Math.floor((values.length - 1) / step) + 1 }, (_, i) => values[i * step] as number)
}

const isGrowing = (values: Float64Array): boolean => values.every((value, i) => i === 0 || value > (values[i - 1] as number))

function guessText(view: ColumnView, told: () => Form | undefined): Guess {
  const counts = someCounts(view)
  if (counts.size === 0) return { spec: ignore(), reason: 'without any value' }
  if (counts.size === 1) return { spec: ignore(), reason: `always '${[...counts.keys()][0]?.slice(0, 40)}'` }
  const names = [...counts.keys()]
  if (counts.size === 2 && new Set(names.map(truthIn)).size === 2 && names.every((name) => truthIn(name) !== undefined))
    return { spec: boolean() }
  const form = told()
  if (form?.spec) return { spec: form.spec, reason: form.reason }
  const guess = guessWords(counts, names)
  return form ? { spec: guess.spec, reason: guess.reason ? `${guess.reason}; ${form.reason}` : form.reason } : guess
}

function guessWords(counts: ReadonlyMap<string, number>, names: readonly string[]): Guess {
  const total = [...counts.values()].reduce((a, b) => a + b, 0)
  const share = counts.size / total
  const looked = names.slice(0, most)
  const words = looked.reduce((sum, name) => sum + wordsOf(name).length, 0) / looked.length
  const spaced = looked.filter((name) => name.includes(' ')).length / looked.length
  if (words >= 3 && spaced > 0.8 && share > 0.2) return { spec: text() }
  if (total > 20 && share > 0.95) return { spec: ignore(), reason: 'an identifier: nearly every row has its own' }
  if (total > 200 && share > 0.5) return { spec: ignore(), reason: `${counts.size} different texts in ${total} rows say little` }
  return { spec: category() }
}

/**
 * What a column is, told by the training part.
 *
 * @param form how its texts write dates or numbers; asked only where they might
 */
export function guessColumn(view: ColumnView, room: Room, form: () => Form | undefined): Guess {
  if (view.column instanceof NumericColumn && view.type === 'number') return guessNumber(view, room)
  if (view.type === 'date') {
    const values = view.present(room)
    if (values.length === 0) return { spec: ignore(), reason: 'without any value' }
    return values.every((value) => value === values[0]) ? { spec: ignore(), reason: 'always the same date' } : { spec: date() }
  }
  return guessText(view, form)
}
