/** A fit's checkpoints: when one is due, and who of several processes writes it. */

import type { Safetensors } from '../io/safetensors.js'
import { fromFirst, writeTogether } from './agreement.js'
import type { CheckpointPolicy } from './checkpoint-policy.js'

/** The training's place, as the counters of its trainer have it. */
interface Place {
  readonly epoch: number
  readonly updates: number
}

export class FitCheckpoints {
  readonly #policy: CheckpointPolicy
  readonly #ranks: boolean
  readonly #encode: () => Safetensors

  /**
   * @param ranks whether several processes fit together: the first one writes, once all have found that they hold the same
   * @param encode the newest moment as a file
   */
  constructor(policy: CheckpointPolicy, ranks: boolean, encode: () => Safetensors) {
    this.#policy = policy
    this.#ranks = ranks
    this.#encode = encode
  }

  /** The lowest cost so far, where the best is kept. */
  get best(): number | undefined {
    return this.#policy.best
  }

  /** Several processes that go by a clock go by the first one's. */
  get #clocked(): boolean {
    return this.#ranks && this.#policy.options.everySeconds !== undefined
  }

  /** Epochs and updates until a checkpoint may be due. */
  async until({ epoch, updates }: Place): Promise<Place> {
    const own = this.#policy.room(updates)
    return { epoch: this.#policy.epochs(epoch), updates: this.#clocked ? await fromFirst(own) : own }
  }

  /**
   * Writes what is due after a block; whether the newest checkpoint is of this moment.
   *
   * @param latest the last finished epoch of the block
   * @param made updates of the block, which took `seconds`
   */
  async finished(
    { epoch, updates }: Place,
    latest: { readonly cost: number; readonly validation?: { readonly cost: number } | undefined } | undefined,
    { made, seconds }: { made: number; seconds: number },
  ): Promise<boolean> {
    const better = latest !== undefined && this.#policy.better(latest.validation?.cost ?? latest.cost)
    if (better) await this.#write((file) => this.#policy.writeBest(file))
    const own = this.#policy.due(updates, epoch, made, seconds)
    const due = this.#clocked ? (await fromFirst(own ? 1 : 0)) === 1 : own
    if (due) await this.write()
    return due
  }

  /** Writes the newest moment. */
  write(): Promise<void> {
    return this.#write((file) => this.#policy.write(file))
  }

  async #write(write: (file: Safetensors) => Promise<void>): Promise<void> {
    await (this.#ranks ? writeTogether('fit: checkpoint', this.#encode(), write) : write(this.#encode()))
  }
}
