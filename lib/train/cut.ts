/** What an epoch of training is made of. */

import type { InputName } from './inputs.js'

/** How an epoch is cut: one kind of update, or a part of one, and how often it is made. */
export interface Cut {
  /**
   * `gathered`: an update on the samples that the order names next; `whole`: one on the rows that come next; `chunk`: rows whose
   * part of the gradient is added to the accumulators, or starts them where it is the `first`; `accumulated`: the update that
   * ends chunks.
   */
  readonly kind: 'gathered' | 'whole' | 'chunk' | 'accumulated'
  readonly rows: number
  readonly repeat: number
  /** Rows computed at a time, so that memory is theirs alone; all by default. */
  readonly atOnce?: number
  readonly first?: boolean
  /** The rows are this process's own: the others of its world bring theirs. */
  readonly own?: boolean
  /** This process has no rows: those that it computes count nothing. */
  readonly idle?: boolean
  /** The rows are this process's own part of so many that are known, from `start` on: there may be none, or fewer than others have. */
  readonly shard?: { readonly start: number; readonly total: number }
  /** Sequences enter cut to so many steps, axis 1 of these inputs. */
  readonly trim?: { readonly steps: number; readonly of: readonly InputName[] }
}

/** How a set is evaluated: so many samples at a time, sequences maybe cut as in a `Cut`. */
export interface Chunk {
  readonly rows: number
  readonly repeat: number
  readonly trim?: Cut['trim']
}

/** The updates that one run of a cut makes. */
export const updatesOf = ({ kind }: Cut): number => (kind === 'chunk' ? 0 : 1)
