/**
 * What an optimiser is: a rule on tensors, recorded into the program like anything else. Numbers that change from update
 * to update (the learning rate, bias corrections) come from a table of float64 rows made ahead by `scalars`.
 */

import { WengertError } from '../errors.js'
import type { Parameter } from '../nn/parameter.js'
import type { Aval } from '../primitives/primitive.js'
import type { Tensor } from '../tensor/tensor.js'
import { describe, nearest } from '../util/options.js'

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

/** An optimiser, if it is one. Errors: ERR_OPTION, which says how one is made. */
export function checkOptimizer(where: string, given: unknown): Optimizer {
  const optimizer = (typeof given === 'object' && given !== null ? given : {}) as Partial<Optimizer>
  const functions = [optimizer.slots, optimizer.scalars, optimizer.update]
  if (functions.every((f) => typeof f === 'function') && typeof optimizer.learningRate === 'number') return given as Optimizer
  const got =
    typeof given === 'function'
      ? `${given.name ? `the function ${given.name}` : 'a function'} itself, not what it returns`
      : describe(given)
  const name = typeof given === 'function' || typeof given === 'string' ? (typeof given === 'string' ? given : given.name) : ''
  const maker = makers.find((known) => known === name) ?? nearest(name, makers) ?? 'adam'
  throw new WengertError(
    'ERR_OPTION',
    `${where}: expected optimizer to be an optimiser, got ${got}; make one by optim.${maker}({ learningRate: 0.001 })`,
    { actual: given },
  )
}

const makers = ['adam', 'adamW', 'rmsProp', 'adagrad', 'gradientDescent']

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

const library = new WeakSet<Optimizer>()

/** Marks an optimiser of the library: its rule depends on nothing that may change. */
export function fromLibrary<T extends Optimizer>(optimizer: T): T {
  library.add(optimizer)
  return optimizer
}

/** Whether an optimiser was made by a function of the library. */
export const isLibraryOptimizer = (optimizer: Optimizer): boolean => library.has(optimizer)
