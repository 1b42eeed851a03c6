/** What layers know of the other processes while an update is recorded: those that take statistics of a whole batch need them. */

/** The processes of a world, as one of them sees an update. */
export interface Ranks {
  readonly rank: number
  readonly size: number
}

/** Where a batch is a part of one that several processes have. */
export interface BatchPart {
  readonly ranks: Ranks
  /** Whether the rows are of the batch; a process for which there are none computes on one that counts nothing. */
  readonly live: boolean
}

let current: BatchPart | undefined

/** Runs a forward function on a part of a batch. */
export function withBatchPart<T>(part: BatchPart | undefined, body: () => T): T {
  const before = current
  current = part
  try {
    return body()
  } finally {
    current = before
  }
}

export const batchPart = (): BatchPart | undefined => current
