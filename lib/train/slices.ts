/** Large states are copied in slices, between which the event loop turns. */

import type { State } from '../backend/backend.js'
import type { Tensor } from '../tensor/tensor.js'
import type { TypedArray } from '../util/dtype.js'

/** What is copied at once on the JavaScript thread: about a millisecond. */
const sliceBytes = 1 << 22

/** Lets the event loop turn. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** A part of a slot and the array that it is copied from or to. */
export interface Piece {
  readonly offset: number
  readonly values: TypedArray
}

/** The pieces of arrays that lie at offsets of a block, in groups of about `sliceBytes`. */
function slices(whole: readonly Piece[]): Piece[][] {
  const groups: Piece[][] = []
  let room = 0
  for (const { offset, values } of whole) {
    const each = values.BYTES_PER_ELEMENT
    for (let from = 0; from < values.length; ) {
      if (room < each) {
        groups.push([])
        room = sliceBytes
      }
      const to = Math.min(values.length, from + Math.floor(room / each))
      groups[groups.length - 1]?.push({ offset: offset + from * each, values: values.subarray(from, to) })
      room -= (to - from) * each
      from = to
    }
  }
  return groups
}

/** Calls `copy` for one group of pieces after the other; a promise where they are several. */
export function inTurn(pieces: readonly Piece[], copy: (group: readonly Piece[]) => void): Promise<void> | undefined {
  const groups = slices(pieces)
  if (groups.length > 1)
    return (async () => {
      for (const group of groups) {
        copy(group)
        await turn()
      }
    })()
  groups.forEach(copy)
  return undefined
}

/** Of one version. */
export function readPieces(state: State, pieces: readonly Piece[]): void {
  state.readAll(
    pieces.map(({ offset }) => offset),
    pieces.map(({ values }) => values),
  )
}

/** The values of a block at one moment, copied while others may want to go on. */
export class Snapshot {
  readonly #groups: Piece[][]

  /** @param tensors by name, over the arrays of `pieces`: whole once it is complete */
  constructor(
    readonly tensors: Record<string, Tensor>,
    readonly state: State,
    pieces: readonly Piece[],
  ) {
    this.#groups = slices(pieces).reverse()
  }

  get complete(): boolean {
    return this.#groups.length === 0
  }

  /** Copies what is left at once: before the block is changed. */
  finish(): void {
    while (!this.complete) this.#one()
  }

  /** Copies slice after slice, while the event loop turns. */
  async inTurn(): Promise<void> {
    while (!this.complete) {
      this.#one()
      if (!this.complete) await turn()
    }
  }

  #one(): void {
    readPieces(this.state, this.#groups.pop() as Piece[])
  }
}
