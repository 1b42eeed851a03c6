/** Columns that give the target away: each alone, looked at on rows that it was not fitted on. */

import { WengertError } from '../errors.js'
import { withMemoryErrors } from '../util/dtype.js'
import { describe } from '../util/options.js'
import { textOf } from './category.js'
import { NumericColumn } from './column.js'
import { refuseShard } from './shard.js'
import { quantilesOf } from './statistics.js'
import { type ColumnView, Table } from './table.js'

/** A column that says nearly all of the target by itself. */
export interface Leak {
  readonly column: string
  /** Of the mistakes, or the variance, that is left without it, the share that it takes away; 1 for all. */
  readonly explains: number
}

const most = 50_000
const mostCounts = 1 << 24

/** Codes of a column's values: places among quantiles of numbers, texts as they are; missing ones are 0. */
function codesOf(view: ColumnView, positions: readonly number[]): { codes: Int32Array; count: number } {
  if (view.column instanceof NumericColumn) {
    const values = Float64Array.from(positions, (i) => (view.column as NumericColumn).values[view.place(i)] as number)
    const known = values.filter((value) => !Number.isNaN(value))
    const quantiles = known.length > 0 ? quantilesOf(known, Math.min(256, Math.max(16, known.length >> 4))) : []
    const edges = [...new Set(quantiles)]
    const frequent = new Set(quantiles.filter((value, i) => value === quantiles[i + 1]))
    // A frequent value is a bin of its own: 0 of a column that is mostly 0.
    const place = (value: number) => {
      let [low, high] = [0, edges.length]
      while (low < high) {
        const middle = (low + high) >> 1
        if ((edges[middle] as number) < value) low = middle + 1
        else high = middle
      }
      return 1 + 2 * low + (edges[low] === value && frequent.has(value) ? 1 : 0)
    }
    return { codes: Int32Array.from(values, (value) => (Number.isNaN(value) ? 0 : place(value))), count: 2 * edges.length + 3 }
  }
  const places = new Map<string, number>()
  const codes = Int32Array.from(positions, (i) => {
    const value = view.at(i)
    if (value === undefined) return 0
    const text = textOf(value)
    let place = places.get(text)
    if (place === undefined) {
      place = places.size + 1
      places.set(text, place)
    }
    return place
  })
  return { codes, count: places.size + 1 }
}

/** What a column explains on rows other than those it was fitted on, and what it surely does. */
interface Explained {
  share: number
  atLeast: number
}

const none: Explained = { share: 0, atLeast: 0 }

/** The share of the mistakes of the most frequent class that go when the class is told by the code; fitted on even, judged on odd rows. */
function explainedClasses(codes: Int32Array, count: number, y: Int32Array, k: number): Explained {
  const counts = new Uint32Array(count * k)
  const totals = new Uint32Array(k)
  for (let i = 0; i < codes.length; i += 2) {
    const at = (codes[i] as number) * k + (y[i] as number)
    counts[at] = (counts[at] as number) + 1
    totals[y[i] as number] = (totals[y[i] as number] as number) + 1
  }
  const bestOf = (list: Uint32Array) => list.reduce((best, n, c) => (n > (list[best] as number) ? c : best), 0)
  const usual = bestOf(totals)
  const guess = Array.from({ length: count }, (_, code) => {
    const own = counts.subarray(code * k, (code + 1) * k)
    return own.some((n) => n > 0) ? bestOf(own) : usual
  })
  let [wrong, without] = [0, 0]
  for (let i = 1; i < codes.length; i += 2) {
    if (guess[codes[i] as number] !== y[i]) wrong++
    if (usual !== y[i]) without++
  }
  // A few rows are told apart by chance: one or two mistakes more must not change the verdict.
  return without === 0 ? none : { share: 1 - wrong / without, atLeast: 1 - (wrong + 1.5) / without }
}

function explainedNumbers(codes: Int32Array, count: number, y: Float64Array): Explained {
  const sums = new Float64Array(count)
  const counts = new Uint32Array(count)
  let [sum, n] = [0, 0]
  for (let i = 0; i < codes.length; i += 2) {
    sums[codes[i] as number] = (sums[codes[i] as number] as number) + (y[i] as number)
    counts[codes[i] as number] = (counts[codes[i] as number] as number) + 1
    sum += y[i] as number
    n++
  }
  const mean = sum / n
  let [rest, spread] = [0, 0]
  for (let i = 1; i < codes.length; i += 2) {
    const c = codes[i] as number
    const guess = counts[c] ? (sums[c] as number) / (counts[c] as number) : mean
    rest += ((y[i] as number) - guess) ** 2
    spread += ((y[i] as number) - mean) ** 2
  }
  return spread > 0 ? { share: 1 - rest / spread, atLeast: 1 - (rest / spread) * (1 + 10 / n) } : none
}

/**
 * Columns each of which alone says at least 97 % of what there is to say of the target: they often hold what is known only
 * afterwards (a refund paid, the date of leaving). Each is judged on rows other than those it is fitted on.
 *
 * @param target the column to be predicted
 * @throws ERR_OPTION for a column that is not there
 * @example for (const { column } of findLeaks(train, 'churned')) console.warn(`${column} gives the target away`)
 */
export function findLeaks(rows: Table, target: string): Leak[] {
  return withMemoryErrors('findLeaks', () => {
    if (!(rows instanceof Table)) throw new WengertError('ERR_VALUE', `findLeaks: expected rows of readTable, got ${describe(rows)}`)
    refuseShard('findLeaks', rows)
    const goal = rows.column(target, 'target')
    const step = Math.max(1, rows.length / most)
    const positions: number[] = []
    for (let i = 0; i < rows.length; i += step) if (goal.at(Math.floor(i)) !== undefined) positions.push(Math.floor(i))
    if (positions.length < 20) return []
    const { codes: classes, count } = codesOf(goal, positions)
    const numbers = goal.type === 'number' && new Set(positions.map((i) => goal.at(i))).size > 20
    const y = numbers ? Float64Array.from(positions, (i) => goal.at(i) as number) : undefined
    return rows.names
      .flatMap((name): Leak[] => {
        if (name === target) return []
        const column = codesOf(rows.column(name), positions)
        // Nearly every row with a value of its own: it says nothing of other rows.
        if (column.count > positions.length / 2 && rows.column(name).type === 'text') return []
        if (!y && column.count * count > mostCounts) return []
        const { share, atLeast } = y
          ? explainedNumbers(column.codes, column.count, y)
          : explainedClasses(column.codes, column.count, classes, count)
        return atLeast >= 0.97 ? [{ column: name, explains: share }] : []
      })
      .sort((a, b) => b.explains - a.explains)
  })
}
