/**
 * The rows of the next updates. Of a data set that the processes of a world hold together, each process needs other rows for its part of
 * an epoch's batches than those that it holds: they are exchanged, some updates' at a time, so that memory is that of its own part and
 * of a window. All processes know the order, so nobody has to ask.
 */

import { world } from '../distributed/world.js'
import type { Ranks } from '../nn/ranks.js'
import { type Inputs, tensorsOf, treeOf } from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { allocateShared, bytesPerElement } from '../util/dtype.js'
import { sizeOf } from '../util/shape.js'
import type { Cut } from './cut.js'
import { partOf } from './meeting.js'
import type { Stretch, Timetable } from './position.js'
import type { Prepared } from './prepare.js'

/** What a window takes at most, unless one update needs more; and what is on its way at a time. */
const limits = { window: 1 << 26, slice: 1 << 23 }

/** An array of rows, byte by byte. */
interface Plane {
  readonly bytes: Uint8Array
  /** Of a row. */
  readonly width: number
}

const planeOf = (t: Tensor): Plane => ({
  bytes: new Uint8Array(t.data.buffer as ArrayBuffer, t.data.byteOffset, t.data.byteLength),
  width: bytesPerElement[t.dtype] * sizeOf(t.shape.slice(1)),
})

const tensorsIn = ({ x, y, weights }: Prepared): readonly (readonly [string, Tensor])[] => [
  ...tensorsOf(x).map(([name, t]) => [name === '' ? 'x' : `x.${name}`, t] as const),
  ['y', y],
  ...(weights ? [['weights', weights] as const] : []),
]

/** A call costs more than a few bytes. */
function copyRow(from: Plane, row: number, to: Uint8Array, at: number): void {
  const { bytes, width } = from
  const begin = row * width
  if (width > 48) to.set(bytes.subarray(begin, begin + width), at)
  else for (let i = 0; i < width; i++) to[at + i] = bytes[begin + i] as number
}

/** A process's rows of a batch, as ranges of positions: one for each part that is computed at once. */
function rangesOf({ rows, atOnce = rows }: Cut, ranks: Ranks): (readonly [number, number])[] {
  const ranges: (readonly [number, number])[] = []
  for (let first = 0; first < rows; first += atOnce) ranges.push(partOf(ranks, first, Math.min(rows, first + atOnce)).range)
  return ranges
}

const countOf = (ranges: readonly (readonly [number, number])[]) => ranges.reduce((n, [from, to]) => n + to - from, 0)

export class ShardWindow {
  /** Changed for tests. */
  static readonly limits = limits
  /** The rows of the updates that were loaded last; the same arrays always. */
  readonly data: Prepared
  /** How many rows they hold. */
  readonly rows: number
  /** Updates whose rows there is room for. */
  readonly updates: number
  readonly #from: readonly Plane[]
  readonly #to: readonly Plane[]
  readonly #width: number

  /** @param set this process's part, met with the others' */
  constructor(
    readonly set: Prepared,
    readonly ranks: Ranks,
    cuts: readonly Cut[],
  ) {
    this.#from = tensorsIn(set).map(([, t]) => planeOf(t))
    this.#width = this.#from.reduce((n, { width }) => n + width, 0)
    const { size } = ranks
    const most = Math.max(...cuts.flatMap((cut) => Array.from({ length: size }, (_, rank) => countOf(rangesOf(cut, { rank, size })))))
    const updates = cuts.reduce((n, { repeat }) => n + repeat, 0)
    this.updates = Math.max(1, Math.min(updates, Math.floor(limits.window / Math.max(1, most * this.#width))))
    this.rows = most * this.updates
    const made = tensorsIn(set).map(([name, t]) => {
      const shape = [this.rows, ...t.shape.slice(1)]
      return [name, new Tensor(shape, t.dtype, allocateShared(t.dtype, sizeOf(shape)))] as const
    })
    const named = (wanted: string) => made.find(([name]) => name === wanted)?.[1]
    const x = tensorsOf(set.x).map(([name]) => [name, named(name === '' ? 'x' : `x.${name}`) as Tensor] as const)
    const weights = named('weights')
    this.data = { ...set, x: treeOf(x) as Inputs, y: named('y') as Tensor, ...(weights && { weights }) }
    this.#to = tensorsIn(this.data).map(([, t]) => planeOf(t))
  }

  /**
   * Brings the rows of a stretch of one epoch.
   *
   * @param order of the stretch's samples, as rows of the whole
   * @returns the order as rows of the window; of what other processes compute, any
   */
  async load(order: Int32Array, timetable: Timetable, stretch: Stretch): Promise<Int32Array> {
    const { rank, size } = this.ranks
    const needs = this.#needs(order, timetable, stretch)
    const own = needs[rank] as Int32Array
    const local = new Int32Array(order.length)
    for (let k = 0; k < own.length; k++) local[own[k] as number] = k
    const each = Math.max(1, Math.floor(limits.slice / (this.#width * size)))
    const longest = Math.max(...needs.map(({ length }) => length))
    for (let from = 0; from < longest; from += each) await this.#slice(order, needs, from, from + each)
    return local
  }

  /** By rank the positions of the order whose rows it needs. */
  #needs(order: Int32Array, timetable: Timetable, stretch: Stretch): Int32Array[] {
    const { size } = this.ranks
    const cuts = [...timetable.cutsOf(stretch)]
    return Array.from({ length: size }, (_, rank) => {
      const ranges = new Map<Cut, (readonly [number, number])[]>()
      for (const cut of cuts) if (!ranges.has(cut)) ranges.set(cut, rangesOf(cut, { rank, size }))
      const found = new Int32Array(cuts.reduce((n, cut) => n + countOf(ranges.get(cut) ?? []), 0))
      let [at, base] = [0, 0]
      for (const cut of cuts) {
        for (const [from, to] of ranges.get(cut) ?? []) for (let i = from; i < to; i++) found[at++] = base + i
        base += cut.rows
      }
      if (base !== order.length) throw new Error('the order is of another stretch')
      return found
    })
  }

  /** The rows between two places of every rank's needs. */
  async #slice(order: Int32Array, needs: readonly Int32Array[], from: number, to: number): Promise<void> {
    const { rank, size } = this.ranks
    const { start, rows } = this.set.shard as NonNullable<Prepared['shard']>
    const width = this.#width
    const here = (row: number) => row >= start && row < start + rows
    const going = needs.map((list, r) => {
      if (r === rank) return 0
      let n = 0
      for (let k = from; k < Math.min(to, list.length); k++) if (here(order[list[k] as number] as number)) n++
      return n * width
    })
    const out = new Uint8Array(going.reduce((a, b) => a + b, 0))
    let at = 0
    for (const [r, list] of needs.entries()) {
      if (r === rank) continue
      for (let k = from; k < Math.min(to, list.length); k++) {
        const row = order[list[k] as number] as number
        if (!here(row)) continue
        for (const plane of this.#from) {
          copyRow(plane, row - start, out, at)
          at += plane.width
        }
      }
    }
    // Which slot each row that comes goes to, by the rank that it comes from.
    const slots: number[][] = Array.from({ length: size }, () => [])
    const own = needs[rank] as Int32Array
    for (let slot = from; slot < Math.min(to, own.length); slot++) {
      const row = order[own[slot] as number] as number
      if (here(row))
        for (const [i, plane] of this.#from.entries()) copyRow(plane, row - start, (this.#to[i] as Plane).bytes, slot * plane.width)
      else slots[this.#holderOf(row)]?.push(slot)
    }
    const coming = slots.map((list) => list.length * width)
    const come = await world().allToAll('control', out, going, coming)
    at = 0
    for (const slot of slots.flat()) {
      for (const { bytes, width: each } of this.#to) {
        bytes.set(come.subarray(at, at + each), slot * each)
        at += each
      }
    }
  }

  /** The rank that holds a row of the whole. */
  #holderOf(row: number): number {
    const { starts } = this.set.shard as NonNullable<Prepared['shard']>
    let [low, high] = [0, this.ranks.size - 1]
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if ((starts[middle] as number) <= row) low = middle
      else high = middle - 1
    }
    return low
  }
}

/** How chunks of a set of which each process computes its own rows are cut: as many of them on every process, each of nearly the same rows. */
export function ownChunks(data: Prepared, rows: number): { first: number; more: readonly { rows: number; repeat: number }[] } | undefined {
  const { starts, rows: here } = data.shard as NonNullable<Prepared['shard']>
  const largest = Math.max(...starts.slice(1).map((next, r) => next - (starts[r] as number)))
  const count = Math.ceil(largest / rows)
  if (count < 2) return undefined
  const [low, larger] = [Math.floor(here / count), here % count]
  // Those without rows come first: they read the first row, which counts nothing.
  const more = [
    { rows: low, repeat: count - larger - 1 },
    { rows: low + 1, repeat: larger },
  ]
  return { first: low, more: more.filter(({ repeat }) => repeat > 0) }
}
