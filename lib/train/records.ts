/** The records of a fit's epochs, made when somebody looks at them: most of tens of thousands of short epochs never are. */

import type { EpochRecord, History } from './history.js'

/** The finished epochs of one block. */
export class BlockRecords {
  readonly #made: (EpochRecord | undefined)[] = []

  /**
   * @param cost of the i-th epoch
   * @param make its record; what it reads must not change afterwards
   */
  constructor(
    readonly length: number,
    readonly cost: (i: number) => number,
    readonly make: (i: number) => EpochRecord,
  ) {}

  /** The i-th record, always the same object. */
  record(i: number): EpochRecord {
    this.#made[i] ??= this.make(i)
    return this.#made[i] as EpochRecord
  }

  get last(): EpochRecord | undefined {
    return this.length > 0 ? this.record(this.length - 1) : undefined
  }

  get all(): EpochRecord[] {
    return Array.from({ length: this.length }, (_, i) => this.record(i))
  }
}

/** The history of blocks that are all there; the list of epochs is made at its first reading. */
export function historyOf(outcome: Omit<History, 'epochs' | 'last'>, blocks: readonly BlockRecords[]): History {
  let epochs: EpochRecord[] | undefined
  return {
    ...outcome,
    get epochs() {
      epochs ??= blocks.flatMap(({ all }) => all)
      return epochs
    },
    last: blocks[blocks.length - 1]?.last,
  }
}
