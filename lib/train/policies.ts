/** Decisions after each epoch: whether the cost has settled, and whether it runs away. */

/** What the policies of a fit remember, as JSON. */
export interface PolicyState {
  /** The cost of the epoch before; absent before the first. */
  previous?: number
  calm: number
  /** Epochs in a row whose cost ran away. */
  high: number
  /** The first cost of the fit. */
  first?: number
}

/** When a cost counts as run away. */
export interface Divergence {
  /** An epoch's cost above so many times the first counts as run away. */
  factor: number
  /** So many such epochs in a row end the fit. */
  epochs: number
}

export class Policies {
  #state: PolicyState

  constructor(
    readonly tolerance: number | undefined,
    readonly divergence: Divergence | undefined,
    state: PolicyState = { calm: 0, high: 0 },
  ) {
    this.#state = { ...state }
  }

  get state(): PolicyState {
    return { ...this.#state }
  }

  /** Goes back to what `state` gave. */
  restore(state: PolicyState): void {
    this.#state = { ...state }
  }

  /** The relative change of the cost has stayed below the tolerance for two epochs running. */
  get settled(): boolean {
    return this.tolerance !== undefined && this.#state.calm >= 2
  }

  /** Epochs in a row, up to now, whose cost was too high. */
  get high(): number {
    return this.#state.high
  }

  get diverged(): boolean {
    return this.divergence !== undefined && this.#state.high >= this.divergence.epochs
  }

  /** @param baseline the first cost of the trainer's life: a later fit that starts lower is not held to its own start alone */
  after(cost: number, baseline: number): void {
    const state = this.#state
    const { previous = NaN } = state
    const still = this.tolerance !== undefined && Math.abs(cost - previous) <= this.tolerance * Math.abs(previous)
    state.first ??= cost
    const start = Math.max(state.first, baseline)
    // A multiple says nothing of a cost that is 0 or below.
    const above = this.divergence !== undefined && start > 0 && cost > this.divergence.factor * start
    state.previous = cost
    state.calm = still ? state.calm + 1 : 0
    state.high = above ? state.high + 1 : 0
  }
}
