/**
 * What an optimiser is: a rule on tensors, recorded into the program like anything else. Numbers that change from update
 * to update (the learning rate, bias corrections) come from a table of float64 rows made ahead by `scalars`.
 */

import type { Parameter } from '../nn/parameter.js'
import type { Aval } from '../primitives/primitive.js'
import type { Tensor } from '../tensor/tensor.js'

/** One tensor that an optimiser keeps for each parameter. */
export interface OptimizerSlot {
  readonly name: string
  readonly shape: Aval['shape']
  readonly dtype: Aval['dtype']
}

/** A rule of updating: what it keeps for each parameter, and the update written with tensor operations. */
export interface Optimizer {
  readonly name: string
  /** The base learning rate, per update. */
  readonly learningRate: number
  /** State kept for each parameter, zero at first. */
  slots(parameter: Aval): readonly OptimizerSlot[]
  /** How many numbers one update needs; the first is the learning rate. */
  readonly scalarCount: number
  /** Writes those of update `t` (counted from 1) at the scheduled `rate`. */
  scalars(out: Float64Array, offset: number, t: number, rate: number): void
  /** Whether those depend on the rate alone, and not on t: then a fit without a schedule makes them once. */
  readonly steady?: boolean
  /**
   * The parameter and its slots after an update; `scalars` are one-element tensors. `of` is the parameter whose value
   * `parameter` is, for rules that differ from group to group.
   */
  update(
    parameter: Tensor,
    gradient: Tensor,
    slots: readonly Tensor[],
    scalars: readonly Tensor[],
    of?: Parameter,
  ): { parameter: Tensor; slots: readonly Tensor[] }
}

/** Where training stands, for schedules: both count from 0 over the trainer's life. */
export interface Progress {
  epoch: number
  update: number
}

/** The learning rate of an update, given the optimiser's own. */
export interface Schedule {
  (progress: Progress, learningRate: number): number
  /** Where a schedule follows the cost: called after each epoch with the validation cost, or the cost where there is none. */
  observe?(cost: number): void
  /** What such a schedule remembers, as JSON, for checkpoints. */
  state?(): Record<string, number>
  /** Goes back to what `state` gave. */
  restore?(state: Record<string, number>): void
}
