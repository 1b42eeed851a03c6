/**
 * Moments of a training: parameters, optimiser state, counters, the place within the epoch, policies, schedule and callbacks,
 * taken together after each block. A failure goes back to one, so that nothing is ever of two moments; a checkpoint is one.
 */

import type { Schedule } from '../optim/optimizer.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Callback } from './callbacks.js'
import type { CallbackMemory, Course } from './course.js'
import type { Policies, PolicyState } from './policies.js'
import type { Mark, Position } from './position.js'
import type { TrainingState } from './training-state.js'

export interface Moment {
  readonly epoch: number
  readonly updates: number
  readonly baseline: number | undefined
  readonly slots: Record<string, Tensor>
  readonly position: Mark
  readonly policies: PolicyState
  readonly schedule: Record<string, number> | undefined
  /** The memory of callbacks that follow the epochs; that of others is asked for when it is wanted. */
  readonly callbacks: readonly (CallbackMemory | undefined)[]
}

/** What moments are of. */
export interface Whole {
  readonly course: Course
  readonly state: TrainingState
  readonly position: Position
  readonly policies: Policies
  readonly schedule: Schedule | undefined
  readonly callbacks: readonly Callback[]
}

export class Moments {
  #last: Moment
  #good: Moment

  constructor(readonly of: Whole) {
    this.#last = this.#good = this.#now()
  }

  /** The newest. */
  get last(): Moment {
    return this.#last
  }

  /** The end of the last epoch whose cost had not run away. */
  get good(): Moment {
    return this.#good
  }

  /** What there is now becomes the newest moment. */
  commit(): void {
    const { policies, position } = this.of
    const good = policies.high === 0 && position.at === 0
    // The memory of the one before is used again, unless somebody may still go back to it.
    this.#last = this.#now(good || this.#last !== this.#good ? this.#last.slots : undefined)
    if (good) this.#good = this.#last
  }

  /** Goes back: the training is as it was. */
  back(moment: Moment): void {
    const { course, state, position, policies, schedule } = this.of
    state.restore(moment.slots)
    course.epoch = moment.epoch
    course.updates = moment.updates
    course.baseline = moment.baseline
    position.reset(moment.position)
    policies.restore(moment.policies)
    if (moment.schedule) schedule?.restore?.(moment.schedule)
    this.#last = moment
  }

  #now(into?: Record<string, Tensor>): Moment {
    const { course, state, position, policies, schedule, callbacks } = this.of
    return {
      epoch: course.epoch,
      updates: course.updates,
      baseline: course.baseline,
      slots: state.slots(into),
      position: position.mark,
      policies: policies.state,
      schedule: schedule?.state?.(),
      callbacks: memoriesOf(callbacks, (callback) => callback.onEpoch !== undefined),
    }
  }
}

/** What callbacks remember, as a checkpoint holds it: what they do with their own afterwards changes nothing there. */
export function memoriesOf(callbacks: readonly Callback[], of: (callback: Callback) => boolean): (CallbackMemory | undefined)[] {
  return callbacks.map((callback, i) => {
    if (!of(callback)) return undefined
    const { values, tensors } = callback.state?.() ?? { values: {} }
    return { name: callback.name ?? `${i}`, values: JSON.parse(JSON.stringify(values)), ...(tensors && { tensors: { ...tensors } }) }
  })
}
