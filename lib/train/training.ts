/** What a trainer works with from update to update: the model in its present form, the state of its training, and the programs made so far. */

import { rank, size, together } from '../distributed/world.js'
import { isLibraryLoss, type Loss } from '../nn/loss-contract.js'
import type { Module } from '../nn/module.js'
import { isLibraryModule } from '../nn/registry.js'
import { isLibraryOptimizer, type Optimizer, type Schedule } from '../optim/optimizer.js'
import { BoundedCache, type Held } from '../util/bounded-cache.js'
import type { MeanMetric } from './metrics.js'
import type { Clipping, StepParts } from './parts.js'
import { Preparation, type Prepared } from './prepare.js'
import { type Signature, Signatures } from './signature.js'
import type { TrainingProgress } from './training-progress.js'
import { type Memory, TrainingState } from './training-state.js'

/** The most that a trainer's programs hold together, in bytes. */
const cacheBytes = 2 ** 27

/** What a trainer was made of. */
export interface Recipe {
  readonly model: Module
  readonly loss: Loss
  readonly optimizer: Optimizer
  readonly schedule: Schedule | undefined
  readonly clip: Clipping
}

export class Training {
  readonly progress: TrainingProgress = {
    epoch: 0,
    updates: 0,
    baseline: undefined,
    seed: undefined,
    unfinished: undefined,
    seen: undefined,
  }
  /** The programs of steps and fits. */
  readonly cache = new BoundedCache<Held>(cacheBytes)
  readonly signatures: Signatures
  readonly #preparation: Preparation
  #state: TrainingState | undefined
  /** The form of the model that the state was last found to fit. */
  #fitted: Signature | undefined

  /** @param accumulates whether an update's gradient is added up over several runs */
  constructor(
    readonly recipe: Recipe,
    readonly accumulates: () => boolean,
  ) {
    this.signatures = new Signatures(recipe.model)
    this.#preparation = new Preparation(this.signatures, recipe.loss)
  }

  /** Errors: those of data that does not suit the model and the loss. */
  prepare(where: string, data: unknown): Prepared {
    return this.#preparation.prepare(where, data)
  }

  /** What programs are made of now. Errors: ERR_BUSY where the model has changed during a fit. */
  parts(metrics: readonly MeanMetric[], where = 'fit'): StepParts {
    const { clip, schedule, ...made } = this.recipe
    const signature = this.signatures.now()
    if (signature !== this.#fitted && !this.#state?.fits(made.model)) {
      this.refuseWhileBusy(where)
      this.replace(this.stateOf(this.#state?.memory(this.progress.updates)))
    }
    this.#fitted = signature
    return {
      ...made,
      steady: made.optimizer.steady === true && schedule === undefined,
      state: this.#state as TrainingState,
      signature,
      metrics,
      dtype: signature.dtype,
      ...(together() && { ranks: { rank, size } }),
      clip,
    }
  }

  /** Whether programs of these parts are those for the model as it is. */
  still({ state, signature }: StepParts): boolean {
    return state === this.#state && signature.holds
  }

  /** Errors: ERR_BUSY during a fit. */
  refuseWhileBusy(where = 'fit'): void {
    this.#state?.refuseWhileBusy(where)
  }

  /** A state for the model as it is. */
  stateOf(memory?: Memory): TrainingState {
    return new TrainingState(this.recipe.model, this.recipe.optimizer, this.accumulates(), memory)
  }

  /** Goes over to another layout of the state; programs of the one before are of no use any more. */
  replace(state: TrainingState): void {
    this.cache.clear()
    this.#state?.release()
    this.#state = state
    this.#fitted = undefined
  }

  /**
   * Where programs are kept from fit to fit. Of layers, losses and optimisers of the library all is known by their fields; functions
   * of a user's own may read anything, so a fit looks at them anew.
   */
  get kept(): BoundedCache<Held> | undefined {
    const { model, loss, optimizer } = this.recipe
    const known = isLibraryLoss(loss) && isLibraryOptimizer(optimizer) && model.modules().every(isLibraryModule)
    return known ? this.cache : undefined
  }
}
