/**
 * Moments of a training: parameters, optimiser state, counters, the place within the epoch, policies, schedule and callbacks,
 * taken together after each block. A failure goes back to one, so that nothing is ever of two moments; a checkpoint is one.
 */

import type { Schedule } from '../optim/optimizer.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Callback } from './callbacks.js'
import type { Policies, PolicyState } from './policies.js'
import type { Mark, Position } from './position.js'
import type { CallbackMemory, TrainingProgress } from './training-progress.js'
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
  readonly progress: TrainingProgress
  readonly state: TrainingState
  readonly position: Position
  readonly policies: Policies
  readonly schedule: Schedule | undefined
  readonly callbacks: readonly Callback[]
}

export class Moments {
  #last: Moment
  #good: Moment

  private constructor(
    readonly of: Whole,
    now: Moment,
  ) {
    this.#last = this.#good = now
  }

  /** The first: what there is now. Large states are copied in slices. */
  static async begin(of: Whole): Promise<Moments> {
    return new Moments(of, momentOf(of, await of.state.slotsInTurn()))
  }

  /** The newest. */
  get last(): Moment {
    return this.#last
  }

  /** The end of the last epoch whose cost had not run away. */
  get good(): Moment {
    return this.#good
  }

  /** What there is now becomes the newest moment; large states are copied in slices, and until then there is no newest. */
  commit(): Promise<void> | undefined {
    const { policies, position } = this.of
    const good = policies.high === 0 && position.at === 0
    // The memory of the one before is used again, unless somebody may still go back to it.
    const slots = this.of.state.slotsInTurn(good || this.#last !== this.#good ? this.#last.slots : undefined)
    const keep = (now: Record<string, Tensor>) => {
      this.#last = momentOf(this.of, now)
      if (good) this.#good = this.#last
    }
    return slots instanceof Promise ? slots.then(keep) : void keep(slots)
  }

  /** Goes back: the training is as it was. */
  back(moment: Moment): void {
    const { progress, state, position, policies, schedule } = this.of
    state.restore(moment.slots)
    progress.epoch = moment.epoch
    progress.updates = moment.updates
    progress.baseline = moment.baseline
    position.reset(moment.position)
    policies.restore(moment.policies)
    if (moment.schedule) schedule?.restore?.(moment.schedule)
    this.#last = moment
  }
}

function momentOf({ progress, position, policies, schedule, callbacks }: Whole, slots: Record<string, Tensor>): Moment {
  return {
    epoch: progress.epoch,
    updates: progress.updates,
    baseline: progress.baseline,
    slots,
    position: position.mark,
    policies: policies.state,
    schedule: schedule?.state?.(),
    callbacks: memoriesOf(callbacks, (callback) => callback.onEpoch !== undefined),
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
