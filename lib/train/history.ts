/** What a fit leaves to look at. */

/** One finished epoch. `cost` is the mean of the samples' losses as met during the epoch; metrics likewise. */
export interface EpochRecord {
  /** Counted from 1 over the trainer's life. */
  epoch: number
  /** Updates made in all. */
  updates: number
  cost: number
  accuracy?: number
  validation?: { cost: number; accuracy?: number }
  /** Since the fit began. */
  seconds: number
}

/** Why a fit ended. */
export type StopReason = 'epochs' | 'tolerance' | 'time'

export interface History {
  trainer: string
  epochs: EpochRecord[]
  /** The last epoch. */
  last: EpochRecord | undefined
  updates: number
  seconds: number
  seed: number
  stopped: StopReason
}
