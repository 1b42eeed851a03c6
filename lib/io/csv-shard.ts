/** A CSV file of which each rank reads its part of the bytes: the columns are those that one process would have found. */

import { exchangeTexts, world } from '../distributed/world.js'
import { WengertError } from '../errors.js'
import type { SeenColumn } from './csv-columns.js'
import { type Plan, type Rows, rowsOf, type Settings } from './csv-rows.js'
import { asFirstFailed, ownRange } from './text-range.js'

/** This rank's rows, and where they are among all. */
export interface ShardRows {
  readonly plan: Plan
  readonly chunks: readonly Rows[]
  readonly rows: number
  readonly start: number
  readonly total: number
}

interface Attempt {
  chunks: Rows[]
  plan: Plan | undefined
  failed?: { error: unknown }
}

const anyRank = async (own: boolean) => ((await world().sum('control', Float64Array.of(own ? 1 : 0)))[0] as number) > 0

const columnsOf = ({ features, targets }: Plan) => [...features, ...targets]

/** What rows that follow each other have shown together. */
function joined(a: SeenColumn, b: SeenColumn): SeenColumn {
  const first = a.kind === undefined ? b : a
  return {
    kind: first.kind,
    line: first.line,
    categories: [...new Set([...a.categories, ...b.categories])],
    sum: a.sum + b.sum,
    count: a.count + b.count,
    gaps: a.gaps || b.gaps,
  }
}

const nothing = (): SeenColumn => ({ kind: undefined, line: 0, categories: [], sum: 0, count: 0, gaps: false })

/** Sums in the order of the file, so that a mean is that of one process to the last bit. */
async function sumsOf(chunks: readonly Rows[], columns: number): Promise<Float64Array> {
  const { rank, size } = world()
  let sums = new Float64Array(columns)
  for (let r = 0; r < size; r++) {
    if (r === rank)
      for (const { values, count } of chunks)
        for (let row = 0; row < count; row++)
          for (let j = 0; j < columns; j++) {
            const value = values[row * columns + j] as number
            if (!Number.isNaN(value)) sums[j] = (sums[j] as number) + value
          }
    const bytes = await world().broadcast('control', new Uint8Array(sums.buffer), r)
    sums = new Float64Array(bytes.slice().buffer)
  }
  return sums
}

/**
 * Reads this rank's part. All ranks have to call it.
 *
 * @throws (rejects) on all ranks what one process would have found first in the file, with its line and the rank
 */
export async function readShard(path: string, s: Settings): Promise<ShardRows> {
  const { rank } = world()
  const range = await ownRange(s.where, path, { quotes: true, head: true, delimiter: s.delimiter })
  const read = async (before?: readonly SeenColumn[]): Promise<Attempt> => {
    const attempt: Attempt = { chunks: [], plan: undefined }
    try {
      const found = (plan: Plan) => {
        attempt.plan = plan
        for (const [i, column] of columnsOf(plan).entries()) if (before?.[i]) column.follow(before[i])
      }
      for await (const rows of rowsOf(range, s, undefined, found)) attempt.chunks.push(rows)
    } catch (error) {
      attempt.failed = { error }
    }
    return attempt
  }
  let own = await read()
  let followed = ''
  let seen: SeenColumn[][] = []
  const count = () => Math.max(...seen.map(({ length }) => length))
  const through = (ranks: readonly SeenColumn[][]) =>
    Array.from({ length: count() }, (_, i) => ranks.reduce((all, columns) => joined(all, columns[i] ?? nothing()), nothing()))
  // What does not go with the rows before is read as one process would have read it: once for each rank at most.
  for (let again = true; again; ) {
    const texts = await exchangeTexts('control', JSON.stringify(own.plan ? columnsOf(own.plan).map((column) => column.seen) : []))
    seen = texts.map((text) => JSON.parse(text) as SeenColumn[])
    const before = through(seen.slice(0, rank))
    const differs = (seen[rank] as SeenColumn[]).some(({ kind, categories }, i) => {
      const { kind: theirs, categories: known } = before[i] as SeenColumn
      const most = s.rules.maxCategories
      return (kind !== undefined && theirs !== undefined && kind !== theirs) || new Set([...known, ...categories]).size > most
    })
    const follows = JSON.stringify(before.map(({ kind, line, categories }) => [kind, line, categories]))
    const mine = (own.failed !== undefined || differs) && rank > 0 && follows !== followed
    if (mine) own = await read(before)
    if (mine) followed = follows
    again = await anyRank(mine)
  }
  const { plan, chunks } = await asFirstFailed(s.where, async () => {
    if (own.failed) throw own.failed.error
    if (!own.plan) throw new WengertError('ERR_DATA', `${s.where}: there are no rows; at least one row is needed`)
    return own as Attempt & { plan: Plan }
  })
  const all = through(seen)
  const filled = s.rules.missing === 'mean' && all.some(({ gaps }) => gaps)
  const sums = filled ? await sumsOf(chunks, all.length) : undefined
  columnsOf(plan).forEach((column, i) => {
    const known = all[i] as SeenColumn
    column.settle(sums ? { ...known, sum: sums[i] as number } : known)
  })
  const rows = chunks.reduce((n, chunk) => n + chunk.count, 0)
  const counts = (await exchangeTexts('control', `${rows}`)).map(Number)
  const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0)
  return { plan, chunks, rows, start: sum(counts.slice(0, rank)), total: sum(counts) }
}
