/** How far a trainer has come: all of it that changes and is no parameter or optimiser state. */

import type { SeenSums } from '../data/seen.js'
import type { Optimizer, Schedule } from '../optim/optimizer.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkNumber } from '../util/options.js'
import type { PolicyState } from './policies.js'
import type { PartialEpoch } from './position.js'

/** What a callback remembers, by its name. */
export interface CallbackMemory {
  readonly name: string
  readonly values: Record<string, unknown>
  readonly tensors?: Record<string, Tensor>
}

/** What a fit that was stopped hands to the next one. */
export interface Unfinished {
  /** The default of the next fit's seed. */
  seed: number
  partial?: PartialEpoch
  /** From a checkpoint that a fit wrote: the memory of its policies and callbacks. */
  policies?: PolicyState
  best?: number
  callbacks?: readonly CallbackMemory[]
  /** The file that it was read from, for messages. */
  file?: string
}

export interface TrainingProgress {
  /** Epochs finished, and updates made, over the trainer's life. */
  epoch: number
  updates: number
  /** The first epoch's cost of the trainer's life. */
  baseline: number | undefined
  /** Of random draws in single steps: the last fit's seed. */
  seed: number | undefined
  unfinished: Unfinished | undefined
  /** What inputs looked like, where `maxDeviation` asks. */
  seen: SeenSums | undefined
}

/**
 * Writes one update's scalars: the scheduled learning rate and what else the optimiser needs, for each group of parameters
 * that lag behind alike. Errors: ERR_RANGE.
 */
export function writeScalars(
  { optimizer, schedule }: { optimizer: Optimizer; schedule: Schedule | undefined },
  out: Float64Array,
  offset: number,
  progress: { epoch: number; update: number },
  groups: readonly number[],
): void {
  const base = optimizer.learningRate
  const rate = schedule ? checkNumber('schedule', 'the learning rate', schedule(progress, base), { min: 0 }) : base
  for (let g = 0; g < groups.length; g++)
    optimizer.scalars(out, offset + g * optimizer.scalarCount, progress.update + 1 - (groups[g] as number), rate)
}
