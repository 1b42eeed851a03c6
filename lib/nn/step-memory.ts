/** What a layer keeps from one step of a sequence to the next. */

import type { Tensor } from '../tensor/tensor.js'

/** Given to `stepForward`: a layer asks it in the same order at every step. */
export interface StepMemory {
  /** How many sequences are stepped side by side: the first axis of an element. */
  readonly streams: number
  /** The number of steps that a sequence may have, where a layer must know. */
  readonly maxSteps: number
  /** How many steps came before: int32 []. Asking for it bounds the steps by `maxSteps`. */
  position(): Tensor
  /**
   * Tensors that are carried on: the values of this step, `next` of those of the step before.
   *
   * @param first what the first step starts from, known values of the shapes and types that stay
   */
  carry(first: readonly Tensor[], next: (before: readonly Tensor[]) => readonly Tensor[]): readonly Tensor[]
  /** The rows [streams, …] of all steps up to this one: [streams, maxSteps, …], those still to come 0. Bounds the steps. */
  append(row: Tensor): Tensor
}
