/**
 * One fit: blocks of epochs (or parts of one, between checkpoints) handed to the engine, and what happens between them:
 * records, policies, checkpoints. Everything here runs on the JavaScript thread while no block does.
 */

import type { Runner } from '../backend/backend.js'
import type { BlockResult } from '../backend/program.js'
import type { DataLike } from '../data/dataset.js'
import { WengertError } from '../errors.js'
import type { Safetensors } from '../io/safetensors.js'
import type { Loss } from '../nn/loss.js'
import type { Optimizer, Schedule } from '../optim/optimizer.js'
import type { Tensor } from '../tensor/tensor.js'
import type { BoundedCache, Held } from '../util/bounded-cache.js'
import { formatShape, sameShape } from '../util/shape.js'
import type { Watched } from './callbacks.js'
import { encodeCheckpoint, fingerprint } from './checkpoint.js'
import { CheckpointPolicy } from './checkpoint-policy.js'
import type { Course, Unfinished } from './course.js'
import { meansOf, needsPredictions, putMeans, scoresOf } from './evaluation.js'
import { badIndex, notFinite, ranAway } from './failures.js'
import { Blocks, type Rates } from './fit-blocks.js'
import type { FitOptions, FitSettings } from './fit-options.js'
import { type Batching, FitPlan } from './fit-plan.js'
import { HealthWatch, healthOf } from './health.js'
import type { EpochRecord, History, StopReason } from './history.js'
import type { MeanMetric } from './metrics.js'
import { type ReportLayout, reportLayout, type StepParts } from './parts.js'
import { Policies, type PolicyState } from './policies.js'
import { type PartialEpoch, Position, type Stretch } from './position.js'
import { alikeWeighted, type Prepared, sampleOf } from './prepare.js'
import { BlockRecords } from './records.js'

/** The trainer as its fits see it. */
export interface FitHost extends Watched {
  readonly loss: Loss
  readonly optimizer: Optimizer
  readonly schedule: Schedule | undefined
  readonly course: Course
  prepare(where: string, data: DataLike): Prepared
  parts(metrics: readonly MeanMetric[]): StepParts
  batching(set: Prepared, parts: StepParts): Batching
  /** Where a fit's programs are kept for the next one; none where they cannot be. */
  readonly cache: BoundedCache<Held> | undefined
}

export type Outcome = Omit<History, 'epochs' | 'last'>

/** An unobserved block holds at most so many updates and indices: the orders of the next are made while it runs. */
const blockUpdates = 1 << 17
const blockIndices = 1 << 18

/** A state to go back to. */
interface Kept {
  epoch: number
  updates: number
  slots: Record<string, Tensor>
}

export class FitLoop {
  readonly #started = performance.now()
  readonly #set: Prepared
  readonly #validation: Prepared | undefined
  readonly #parts: StepParts
  readonly #layout: ReportLayout
  readonly #plan: FitPlan
  readonly #runner: Runner
  readonly #blocks: Blocks
  readonly #position: Position
  readonly #policies: Policies
  readonly #checkpoints: CheckpointPolicy | undefined
  readonly #watch: HealthWatch | undefined
  readonly #keyOnce: () => string
  /** The state of the last epoch whose cost had not run away. */
  #good: Kept | undefined

  /** Everything that can be refused is refused here. */
  constructor(
    readonly host: FitHost,
    data: DataLike,
    options: FitOptions,
    readonly settings: FitSettings,
  ) {
    const { metrics, health, signal, checkpoint } = settings
    signal?.throwIfAborted()
    this.#set = host.prepare('fit', data)
    this.#validation = options.validation === undefined ? undefined : host.prepare('fit: validation', options.validation)
    if (this.#validation) {
      checkAlike(this.#set, this.#validation)
      ;[this.#set, this.#validation] = alikeWeighted(this.#set, this.#validation)
    } else if (needsPredictions(metrics)) {
      const names = [...metrics.wholes, ...metrics.custom].map(({ name }) => name).join(', ')
      throw new WengertError('ERR_OPTION', `fit: expected validation for ${names}, which need all predictions at once, got none`)
    }
    const parts = host.parts(metrics.means)
    const trained = parts.state.parameters.filter((p) => p.trained)
    this.#layout = reportLayout(metrics.means.length, true, this.#validation !== undefined, health ? trained.length : 0)
    this.#parts = health ? { ...parts, health: this.#layout.health } : parts
    const batching = host.batching(this.#set, this.#parts)
    const unfinished = host.course.unfinished
    this.#plan = new FitPlan({
      parts: this.#parts,
      report: this.#layout,
      set: { data: this.#set, batching },
      validation: this.#validation,
      carry: unfinished?.partial !== undefined || checkpoint?.everyUpdates !== undefined || checkpoint?.everySeconds !== undefined,
      predictions: needsPredictions(metrics),
      cache: host.cache,
    })
    this.#policies = new Policies(settings.tolerance, settings.divergence, unfinished?.policies)
    this.#checkpoints = checkpoint && new CheckpointPolicy(checkpoint, host.course.epoch, unfinished?.best)
    this.#watch = health ? new HealthWatch(host.model, trained) : undefined
    let key: string | undefined
    this.#keyOnce = () => {
      const { updates, seen } = this.#plan.timetable
      const entries = [
        metrics.means.map(({ name }) => name),
        this.#validation ? fingerprint(this.#validation) : '',
        health ? trained.length : 0,
      ]
      key ??= JSON.stringify([host.name, fingerprint(this.#set), updates, seen, batching.ordered ?? '', entries])
      return key
    }
    this.#position = new Position(this.#plan.timetable, settings.seed, this.#begun(unfinished))
    this.#runner = this.#plan.runner(parts.state.claim())
    this.#blocks = new Blocks(host, this.#plan, this.#runner, this.#position)
    parts.state.busy = true
    host.course.unfinished = undefined
    host.course.seed = settings.seed
  }

  /** The unfinished epoch to go on with, where it is of the same data. */
  #begun(unfinished: Unfinished | undefined): PartialEpoch | undefined {
    const partial = unfinished?.partial
    if (!partial) return undefined
    const { cuttable, updates } = this.#plan.timetable
    const same = cuttable && partial.key === this.#keyOnce() && partial.updates < updates
    if (same && partial.sums.length === this.#layout.length) return partial
    if (unfinished?.file !== undefined) {
      process.emitWarning(
        `fit: the checkpoint ${unfinished.file} was written within an epoch of other data, batches or metrics; that epoch is begun anew`,
        { type: 'WengertResume' },
      )
    }
    return undefined
  }

  get #observed(): boolean {
    const { settings, host } = this
    return (
      settings.callbacks.some(({ onEpoch }) => onEpoch) ||
      host.schedule?.observe !== undefined ||
      settings.tolerance !== undefined ||
      settings.maxSeconds < Infinity ||
      needsPredictions(settings.metrics)
    )
  }

  /** Yields the records of each block of epochs; what is sent back ends the fit. */
  async *run(observed: boolean): AsyncGenerator<BlockRecords, Outcome, StopReason | undefined> {
    const { host, settings } = this
    const { course } = host
    const { timetable } = this.#plan
    const position = this.#position
    const { signal } = settings
    const cancel = () => this.#runner.cancel()
    signal?.addEventListener('abort', cancel, { once: true })
    const [made, last] = [course.updates, course.epoch + settings.epochs]
    const most = Math.max(
      1,
      Math.min(Math.floor(blockUpdates / Math.max(1, timetable.updates)), Math.floor(blockIndices / this.#set.samples)),
    )
    const perBlock = observed || this.#observed ? 1 : most
    let stopped: StopReason = 'epochs'
    try {
      this.#keepGood()
      // Callbacks may have taken their time before the first block.
      signal?.throwIfAborted()
      while (course.epoch < last && stopped === 'epochs') {
        const before = performance.now()
        const { updates } = course
        const room = this.#checkpoints?.room(updates) ?? Infinity
        const stretch = position.next(Math.min(perBlock, last - course.epoch, this.#checkpoints?.epochs(course.epoch) ?? Infinity), room)
        const cut = stretch.from > 0 || stretch.to < timetable.updates
        const { result, rates } = await this.#blocks.run(stretch, {
          next: cut ? 0 : Math.min(stretch.epochs, last - course.epoch - stretch.epochs),
        })
        if (result.status === 'failed') throw await this.#failed(result, stretch)
        const records = this.#records(result, rates, stretch)
        this.#advance(result, stretch)
        if ('error' in result) throw result.error
        if (result.status === 'cancelled') {
          if (this.#checkpoints) await this.#checkpoints.write(this.#encode())
          signal?.throwIfAborted()
          throw new WengertError('ERR_CANCELLED', 'fit: expected to run on, got cancelled by the end of its environment')
        }
        for (let i = 0; i < records.length; i++) {
          const cost = records.cost(i)
          course.baseline ??= cost
          this.#policies.after(cost, course.baseline)
          if (host.schedule?.observe) host.schedule.observe(records.record(i).validation?.cost ?? cost)
          if (this.#watch) this.#watch.look(records.record(i).health ?? {})
          if (this.#policies.diverged) throw await this.#ranAway(records.record(i).epoch, cost)
        }
        if (records.length > 0) {
          if (this.#policies.high === 0 && course.epoch < last) this.#keepGood()
          const wish = yield records
          if (wish) stopped = wish
          else if (this.#policies.settled) stopped = 'tolerance'
          else if (this.#seconds >= settings.maxSeconds) stopped = 'time'
        }
        const written = await this.#checkpoint(records, course.updates - updates, (performance.now() - before) / 1000)
        if (signal?.aborted && stopped === 'epochs' && course.epoch < last) {
          if (this.#checkpoints && !written) await this.#checkpoints.write(this.#encode())
          signal.throwIfAborted()
        }
      }
    } finally {
      signal?.removeEventListener('abort', cancel)
      this.#parts.state.busy = false
      this.#runner.close()
      this.#plan.close()
      // Stopped between two epochs or within one: the next fit goes on with the same orders.
      const cutOff = signal?.aborted && course.epoch < last && course.updates > made
      if (position.at > 0 || cutOff) course.unfinished = this.#unfinished
    }
    return { trainer: host.name, updates: course.updates, seconds: this.#seconds, seed: settings.seed, stopped }
  }

  /** Gives back what the constructor took, for a fit that never ran. */
  close(): void {
    this.#parts.state.busy = false
    this.#runner.close()
    this.#plan.close()
  }

  /** Counts what a block has done. */
  #advance(result: BlockResult, stretch: Stretch): void {
    const { course } = this.host
    const done = this.#position.advance(result, stretch)
    course.updates += done.updates
    course.epoch += done.epochs
  }

  get #seconds(): number {
    return (performance.now() - this.#started) / 1000
  }

  /** Of the epochs that a block has just brought to their end. */
  #records(result: BlockResult, rates: Rates, stretch: Stretch): BlockRecords {
    const { host, settings } = this
    const plan = this.#plan
    const { timetable } = plan
    const trained = plan.parts.state.parameters.filter((p) => p.trained)
    const [seconds, validation] = [this.#seconds, this.#validation]
    const { epoch: epochsBefore, updates: updatesBefore } = host.course
    const { length } = this.#layout
    const make = (i: number): EpochRecord => {
      const updates = (i + 1) * timetable.updates - stretch.from
      const record: EpochRecord = {
        epoch: epochsBefore + i + 1,
        updates: updatesBefore + updates,
        cost: 0,
        learningRate: rates.table[(updates - 1) * rates.each] as number,
        seconds,
      }
      putMeans(record, result.report, i * length, settings.metrics, timetable.seen)
      if (validation || settings.health) {
        const row = this.#position.row(result, i) as Float64Array
        if (validation)
          record.validation = scoresOf(row, this.#layout.validation, settings.metrics, validation, host.loss, plan.predictions)
        if (settings.health) record.health = healthOf(row, this.#layout.health, trained, timetable.updates)
      }
      return record
    }
    const epochs = this.#position.finished(result, stretch)
    const records = new BlockRecords(epochs, (i) => (result.report[i * length] as number) / timetable.seen, make)
    // The predictions of this block make room for those of the next.
    if (plan.predictions) records.all
    return records
  }

  get #unfinished(): Unfinished {
    const { partial } = this.#position
    return { seed: this.settings.seed, ...(partial && { partial: { ...partial, key: this.#keyOnce() } }) }
  }

  /** The whole training state, as a resumed fit goes on from it. */
  #encode(): Safetensors {
    const { host, settings } = this
    const policies: PolicyState = this.#policies.state
    const callbacks = settings.callbacks.map(({ name, state }, i) => ({ name: name ?? `${i}`, ...(state?.() ?? { values: {} }) }))
    const best = this.#checkpoints?.best
    return encodeCheckpoint({
      trainer: host.name,
      optimizer: host.optimizer.name,
      course: { ...host.course, unfinished: { ...this.#unfinished, policies, callbacks, ...(best !== undefined && { best }) } },
      ...(host.schedule?.state && { schedule: host.schedule.state() }),
      slots: this.#parts.state.slots(),
      lagging: this.#parts.state.lagging(host.course.updates),
    })
  }

  /** Writes what is due; whether the newest checkpoint is of this moment. */
  async #checkpoint({ last: latest }: BlockRecords, made: number, seconds: number): Promise<boolean> {
    const policy = this.#checkpoints
    if (!policy) return false
    const { course } = this.host
    const better = latest !== undefined && policy.better(latest.validation?.cost ?? latest.cost)
    if (better) await policy.writeBest(this.#encode())
    const due = policy.due(course.updates, course.epoch, made, seconds)
    if (due) await policy.write(this.#encode())
    return due
  }

  /** Remembers the state as one to go back to. */
  #keepGood(): void {
    if (!this.settings.divergence) return
    const { epoch, updates } = this.host.course
    this.#good = { epoch, updates, slots: this.#parts.state.slots(this.#good?.slots) }
  }

  /** Goes back to a finished epoch: to the state last remembered, from which epochs of the same block are made again. */
  async #return(epoch: number): Promise<void> {
    const { course } = this.host
    const good = this.#good as Kept
    this.#parts.state.restore(good.slots)
    course.epoch = good.epoch
    course.updates = good.updates
    this.#position.forget()
    if (epoch <= good.epoch) return
    const stretch = this.#plan.timetable.whole(epoch - good.epoch)
    const { result } = await this.#blocks.run(stretch)
    this.#advance(result, stretch)
  }

  /** The cost of some epochs has run away: the parameters before the first of them stand. */
  async #ranAway(epoch: number, cost: number): Promise<WengertError> {
    const { course, optimizer } = this.host
    const { factor, epochs } = this.settings.divergence as { factor: number; epochs: number }
    await this.#return(epoch - this.#policies.high)
    const limit = factor * Math.max(this.#policies.state.first ?? 0, course.baseline ?? 0)
    return ranAway(epoch, cost, limit, epochs, this.#kept(), optimizer.learningRate)
  }

  #kept(): string {
    const { epoch } = this.host.course
    if (this.#position.at > 0) return `parameters are those of update ${this.host.course.updates}`
    return epoch > 0 ? `parameters are those of epoch ${epoch}` : 'parameters are those of the start'
  }

  /**
   * After a failed block the parameters are those before it, or better before the epochs in which the cost ran away; the
   * epochs from there run once more with every step checked, which finds the first bad operation.
   */
  async #failed(result: BlockResult, stretch: Stretch): Promise<WengertError> {
    const { failure, kept } = result
    const { course, optimizer } = this.host
    const plan = this.#plan
    const { timetable } = plan
    const { from, to } = stretch
    if (failure?.kind === 'index') return badIndex(failure)
    const at = failure?.epoch ?? result.epochs
    const made = failure ? timetable.updatesBefore(failure, stretch) + 1 : 0
    const where = `update ${course.updates + at * timetable.updates + made} (epoch ${course.epoch + at + 1})`
    const failing = course.epoch + at
    if (this.#good && from === 0 && to === timetable.updates) {
      for (let i = 0; i < at; i++) {
        const { cost } = meansOf(this.#position.row(result, i) as Float64Array, 0, this.settings.metrics, timetable.seen)
        course.baseline ??= cost
        this.#policies.after(cost, course.baseline)
        if (this.#policies.diverged) return this.#ranAway(course.epoch + i + 1, cost)
      }
      await this.#return(failing - this.#policies.high)
    } else {
      course.epoch += kept
      course.updates += kept * (to - from)
    }
    const slots = this.#parts.state.slots()
    const again = plan.eager
      ? undefined
      : (await this.#blocks.run({ epochs: failing - course.epoch + 1, from, to }, { checked: true })).result
    this.#parts.state.restore(slots)
    const found = again?.status === 'failed' ? again.failure : failure
    return notFinite(where, found && plan.labelOf(found), this.#kept(), optimizer.learningRate)
  }
}

function checkAlike(set: Prepared, validation: Prepared): void {
  const [a, b] = [sampleOf(set), sampleOf(validation)]
  if (sameShape(a.x, b.x) && sameShape(a.y, b.y) && a.yDtype === b.yDtype) return
  throw new WengertError(
    'ERR_SHAPE',
    `fit: expected validation samples like the training ones, ${formatShape(a.x)} and ${a.yDtype} ${formatShape(a.y)}, got ${formatShape(b.x)} and ${b.yDtype} ${formatShape(b.y)}`,
    {
      expected: a,
      actual: b,
    },
  )
}
