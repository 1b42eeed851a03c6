/** Which rows of a whole a process holds, and what all processes have to hold together. */

import { WengertError } from '../errors.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { nameOf, together, world } from './world.js'

/** A range of the rows of a whole. */
export interface Shard {
  /** The whole's row that comes first here. */
  readonly start: number
  /** How many rows the whole has. */
  readonly total: number
}

/** One of so many parts of a whole. */
export interface ShardPart {
  readonly rank: number
  readonly size: number
}

/** 'auto': this rank's part of as many as there are ranks; all of it outside of a launcher. Or a part by its number. */
export type ShardOption = 'auto' | ShardPart

/** The part that an option asks for; all of it where there is none. Errors: ERR_OPTION, ERR_RANGE. */
export function partOfOption(where: string, option: ShardOption | undefined): ShardPart {
  if (option === undefined) return { rank: 0, size: 1 }
  if (option === 'auto') return together() ? { rank: world().rank, size: world().size } : { rank: 0, size: 1 }
  if (typeof option !== 'object' || option === null)
    throw new WengertError('ERR_OPTION', `${where}: expected shard to be 'auto' or { rank, size }, got ${describe(option)}`, {
      actual: option,
    })
  checkOptions(`${where}: shard`, option, ['rank', 'size'])
  const size = checkNumber(where, 'shard.size', option.size, { integer: true, min: 1 })
  return { rank: checkNumber(where, 'shard.rank', option.rank, { integer: true, min: 0, max: size - 1 }), size }
}

/** The rows of a part: ⌊n r/R⌋ … ⌊n (r + 1)/R⌋ − 1. */
export const rangeOf = ({ rank, size }: ShardPart, rows: number): readonly [from: number, to: number] => [
  Math.floor((rows * rank) / size),
  Math.floor((rows * (rank + 1)) / size),
]

/** What a rank holds: rows `start` … `start + rows − 1` of `total`; of what is not parted, nothing is said. */
export interface Held extends Shard {
  readonly rows: number
}

const said = ({ start, rows, total }: Held) => (rows === 0 ? `none of ${total} rows` : `rows ${start} … ${start + rows - 1} of ${total}`)

const refuse = (where: string, which: number, text: string) =>
  new WengertError('ERR_DISTRIBUTED', `${where}: ${nameOf(which)} ${text}`, { actual: which })

/**
 * Where each rank's rows begin, and the total at the end. The shards follow each other in the order of the ranks.
 *
 * @param held by rank; undefined where a rank has all rows
 * @throws ERR_DISTRIBUTED naming the rank
 */
export function startsOf(where: string, held: readonly (Held | undefined)[]): number[] {
  const [first] = held as [Held]
  const starts: number[] = []
  let next = 0
  for (const [rank, one] of held.entries()) {
    if (!one) throw refuse(where, rank, 'has the whole data set and others have a shard of it; give all of them one of the two')
    if (one.total !== first.total) throw refuse(where, rank, `has a shard of ${one.total} rows, and ${nameOf(0)} one of ${first.total}`)
    if (one.start !== next)
      throw refuse(
        where,
        rank,
        `has ${said(one)}, ${rank === 0 ? 'which do not begin at row 0' : `and ${nameOf(rank - 1)} ends before row ${next}`}: the shards have to follow each other in the order of the ranks, without a gap and without overlapping`,
      )
    starts.push(next)
    next += one.rows
  }
  if (next !== first.total)
    throw refuse(where, held.length - 1, `has ${said(held[held.length - 1] as Held)}, and nobody has those from row ${next} on`)
  return [...starts, next]
}

/** Refuses a shard where the others are of nobody. Errors: ERR_DISTRIBUTED. */
export function refuseAlone(where: string, shard: Shard | undefined, rows: number): void {
  if (!shard || together()) return
  throw new WengertError(
    'ERR_DISTRIBUTED',
    `${where}: the data set is a shard, ${said({ ...shard, rows })}, and no other process works with this one; start as many as there are shards (npx wengert launch), or give the whole data set`,
    { actual: shard },
  )
}
