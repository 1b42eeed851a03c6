/** What the engine gets for one crossing: the orders, scalars and counters of a stretch of epochs. */

import type { Runner } from '../backend/backend.js'
import type { BlockResult } from '../backend/program.js'
import type { Optimizer, Schedule } from '../optim/optimizer.js'
import { allocate } from '../util/dtype.js'
import type { EagerResult } from './eager.js'
import type { FitPlan } from './fit-plan.js'
import type { Position, Stretch } from './position.js'
import { type TrainingProgress, writeScalars } from './training-progress.js'

/** Scalars of a block's updates: those of update u begin at u · each. */
export interface Hyperparameters {
  readonly table: Float64Array
  readonly each: number
}

export class Blocks {
  /** Orders made while the block before ran. */
  #ahead: { epoch: number; epochs: number; orders: Int32Array } | undefined
  /** Those of the epoch that is under way in parts. */
  #kept: { seed: number; epoch: number; orders: Int32Array } | undefined

  constructor(
    readonly host: { readonly progress: TrainingProgress; readonly optimizer: Optimizer; readonly schedule: Schedule | undefined },
    readonly plan: FitPlan,
    readonly runner: Runner,
    readonly position: Position,
  ) {}

  /**
   * Runs a stretch.
   *
   * @param options.next how many epochs are likely to follow: their orders are made while these run
   * @param options.started called when the engine works
   */
  async run(
    stretch: Stretch,
    { checked = false, next = 0, started }: { checked?: boolean; next?: number; started?: () => void } = {},
  ): Promise<{ result: BlockResult & EagerResult; hyperparameters: Hyperparameters }> {
    const { plan, position } = this
    const { progress } = this.host
    const { epochs, from, to } = stretch
    const { timetable } = plan
    const scalars = this.#hyperparameters(stretch)
    const hyperparameters = allocate(plan.parts.dtype, scalars.table.length)
    hyperparameters.set(scalars.table)
    const seed = position.orderSeed(stretch)
    const orders = this.#orders(seed, progress.epoch, stretch)
    const rows = orders.subarray(timetable.samplesBefore(from), to < timetable.updates ? timetable.samplesBefore(to) : undefined)
    const order = plan.window ? await plan.window.load(rows, timetable, stretch) : rows
    const windows = plan.windows({
      order,
      hyperparameters,
      draws: () => timetable.counters(seed, progress.updates, stretch),
      carry: () => position.sums,
    })
    const running = this.runner.run({ epochs, segments: timetable.segmentsOf(stretch), windows, checked })
    started?.()
    if (next > 0) {
      const epoch = progress.epoch + epochs
      this.#ahead = { epoch, epochs: next, orders: plan.orders(position.seed, epoch, next) }
    }
    return { result: await running, hyperparameters: scalars }
  }

  #orders(seed: number, epoch: number, { epochs, from, to }: Stretch): Int32Array {
    const [ahead, kept] = [this.#ahead, this.#kept]
    this.#ahead = this.#kept = undefined
    const made =
      kept?.seed === seed && kept.epoch === epoch && epochs === 1
        ? kept.orders
        : ahead && seed === this.position.seed && ahead.epoch === epoch && ahead.epochs === epochs
          ? ahead.orders
          : this.plan.orders(seed, epoch, epochs)
    if (from > 0 || to < this.plan.timetable.updates) this.#kept = { seed, epoch, orders: made }
    return made
  }

  /** The scalars of a block's updates, or of one for all. */
  #hyperparameters({ epochs, from, to }: Stretch): Hyperparameters {
    const { host, plan } = this
    const { progress } = host
    const { steady, state } = plan.parts
    const perEpoch = plan.timetable.updates
    const each = host.optimizer.scalarCount * state.groups.length
    const updates = steady ? 1 : perEpoch * (epochs - 1) + to - from
    const table = allocate('float64', updates * each) as Float64Array
    const at = { epoch: progress.epoch, update: progress.updates }
    for (let u = 0, within = from; u < updates; u++, within++) {
      if (within === perEpoch) {
        within = 0
        at.epoch++
      }
      at.update = progress.updates + u
      writeScalars(host, table, u * each, at, state.groups)
    }
    return { table, each: steady ? 0 : each }
  }
}
