/** What the engine gets for one crossing: some whole epochs, or a part of one; and where in its epoch a fit stands. */

import type { Runner } from '../backend/backend.js'
import type { BlockResult } from '../backend/program.js'
import type { Optimizer, Schedule } from '../optim/optimizer.js'
import { allocate } from '../util/dtype.js'
import { type Course, type PartialEpoch, writeScalars } from './course.js'
import type { FitPlan } from './fit-plan.js'
import { inputIndex } from './step-programs.js'

/** Scalars of a block's updates: those of update u begin at u · each. */
export interface Rates {
  readonly table: Float64Array
  readonly each: number
}

export class Blocks {
  /** Updates made of the unfinished epoch, its sums so far, and the seed of its order. */
  #at = 0
  #sums: Float64Array | undefined
  #orderSeed: number
  /** Orders made while the block before ran. */
  #ahead: { epoch: number; epochs: number; orders: Int32Array } | undefined

  /** @param begun an epoch that an earlier fit began */
  constructor(
    readonly host: { readonly course: Course; readonly optimizer: Optimizer; readonly schedule: Schedule | undefined },
    readonly plan: FitPlan,
    readonly runner: Runner,
    readonly seed: number,
    begun: PartialEpoch | undefined,
  ) {
    this.#at = begun?.updates ?? 0
    this.#sums = begun?.sums
    this.#orderSeed = begun?.seed ?? seed
  }

  /** Updates made of the unfinished epoch. */
  get at(): number {
    return this.#at
  }

  get partial(): Omit<PartialEpoch, 'key'> | undefined {
    return this.#sums && this.#at > 0 ? { seed: this.#orderSeed, updates: this.#at, sums: this.#sums } : undefined
  }

  /** The unfinished epoch is given up. */
  forget(): void {
    this.#at = 0
    this.#sums = undefined
    this.#orderSeed = this.seed
  }

  /**
   * Makes the orders and rates of some epochs, or of the updates `from` … `to` − 1 of one, and runs them.
   *
   * @param next how many epochs are likely to follow: their orders are made while these run
   */
  async run(epochs: number, from: number, to: number, { checked = false, next = 0 } = {}): Promise<{ result: BlockResult; rates: Rates }> {
    const { plan } = this
    const { course } = this.host
    const scalars = this.#rates(epochs, from, to)
    const rates = allocate(plan.parts.dtype, scalars.table.length)
    rates.set(scalars.table)
    const seed = from > 0 ? this.#orderSeed : this.seed
    const orders = this.#orders(seed, course.epoch, epochs)
    const counters = plan.counters(seed, course.updates - from, epochs)
    // Of an epoch that is cut, each update sees what it would have seen in the whole.
    const each = (counters?.length ?? 0) / plan.updates
    const cut = from > 0 || to < plan.updates
    const windows = {
      [inputIndex.order]: cut ? orders.subarray(plan.samplesBefore(from), plan.samplesBefore(to)) : orders,
      [inputIndex.rates]: rates,
      ...(counters && { [inputIndex.draws]: cut ? counters.subarray(each * from, each * to) : counters }),
      ...(plan.carries && { [inputIndex.carry]: this.#sums ?? new Float64Array(plan.report.length) }),
    }
    const running = this.runner.run({ epochs, segments: plan.segmentsOf(from, to), windows, checked })
    if (next > 0) {
      const epoch = course.epoch + epochs
      this.#ahead = { epoch, epochs: next, orders: plan.orders(this.seed, epoch, next) }
    }
    return { result: await running, rates: scalars }
  }

  #orders(seed: number, epoch: number, epochs: number): Int32Array {
    const ahead = this.#ahead
    this.#ahead = undefined
    if (ahead && seed === this.seed && ahead.epoch === epoch && ahead.epochs === epochs) return ahead.orders
    return this.plan.orders(seed, epoch, epochs)
  }

  /** The scalars of a block's updates, or of one for all. */
  #rates(epochs: number, from: number, to: number): Rates {
    const { host, plan } = this
    const { course } = host
    const { scalarCount } = host.optimizer
    const updates = plan.parts.steady ? 1 : plan.updates * (epochs - 1) + to - from
    const table = new Float64Array(updates * scalarCount)
    const progress = { epoch: course.epoch, update: course.updates }
    for (let u = 0, within = from; u < updates; u++, within++) {
      if (within === plan.updates) {
        within = 0
        progress.epoch++
      }
      progress.update = course.updates + u
      writeScalars(host, table, u * scalarCount, progress)
    }
    return { table, each: plan.parts.steady ? 0 : scalarCount }
  }

  /** Counts what a block has done; an epoch that is not finished is kept for the next block, or the next fit. */
  advance(result: BlockResult, from: number, to: number): void {
    const { plan } = this
    const { course } = this.host
    const segments = plan.segmentsOf(from, to)
    const perEpoch = segments.reduce((n, s) => n + s.repeat, 0)
    const whole = result.epochs * (to - from)
    const more = plan.updatesOf(result.runs - result.epochs * perEpoch, segments)
    course.updates += whole + more
    const finished = to === plan.updates ? result.epochs : 0
    course.epoch += finished
    // Where the unfinished epoch stands: at the end of this part, or at the update that a cancellation came before.
    const at = finished > 0 ? more : from + whole + more
    this.#sums = at > 0 && plan.cuttable ? this.row(result, to < plan.updates && result.epochs > 0 ? 0 : result.epochs) : undefined
    if (from === 0 || finished > 0) this.#orderSeed = this.seed
    this.#at = this.#sums ? at : 0
  }

  /** A row of a block's report; the sums brought along where the block did not get that far. */
  row(result: BlockResult, epoch: number): Float64Array | undefined {
    const { length } = this.plan.report
    return result.report.length < (epoch + 1) * length ? this.#sums : result.report.slice(epoch * length, (epoch + 1) * length)
  }
}
