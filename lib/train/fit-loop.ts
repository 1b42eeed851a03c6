/**
 * One fit: blocks of epochs (or parts of one, between checkpoints) handed to the engine, and what happens between them:
 * records, policies, checkpoints. Everything here runs on the JavaScript thread while no block does.
 */

import type { Runner } from '../backend/backend.js'
import type { AnyData } from '../data/dataset.js'
import { WengertError } from '../errors.js'
import type { Safetensors } from '../io/safetensors.js'
import type { Loss } from '../nn/loss.js'
import type { Optimizer, Schedule } from '../optim/optimizer.js'
import type { BoundedCache, Held } from '../util/bounded-cache.js'
import { anyRank, settle, takeFromFirst } from './agreement.js'
import { type Told, type Watched, warnOf } from './callbacks.js'
import { encodeCheckpoint } from './checkpoint.js'
import { CheckpointPolicy } from './checkpoint-policy.js'
import { needsPredictions, refuseUncounted } from './evaluation.js'
import { fingerprint } from './fingerprint.js'
import { Blocks } from './fit-blocks.js'
import { FitCheckpoints } from './fit-checkpoints.js'
import type { FitSettings } from './fit-options.js'
import { type Batching, type Evaluating, FitPlan } from './fit-plan.js'
import { recordsOf } from './fit-records.js'
import { Recovery } from './fit-recovery.js'
import type { FitSets } from './fit-sets.js'
import { HealthWatch } from './health.js'
import type { History, StopReason } from './history.js'
import { countsSome, type MeanMetric } from './metrics.js'
import { Moments, memoriesOf } from './moments.js'
import { type ReportLayout, reportLayout, type StepParts } from './parts.js'
import { Policies } from './policies.js'
import { type PartialEpoch, Position } from './position.js'
import { alikeWeighted, type Prepared, sampleOf } from './prepare.js'
import type { BlockRecords } from './records.js'
import type { TrainingProgress, Unfinished } from './training-progress.js'

/** The trainer as its fits see it. */
export interface FitHost extends Watched {
  readonly loss: Loss
  readonly optimizer: Optimizer
  readonly schedule: Schedule | undefined
  readonly progress: TrainingProgress
  prepare(where: string, data: AnyData): Prepared
  parts(metrics: readonly MeanMetric[]): StepParts
  batching(set: Prepared, parts: StepParts): Batching
  /** How a set is evaluated, where not a part after the other. */
  evaluating(set: Prepared, parts: StepParts): Evaluating | undefined
  /** Where a fit's programs are kept for the next one; none where they cannot be. */
  readonly cache: BoundedCache<Held> | undefined
}

export type Outcome = Omit<History, 'epochs' | 'last'>

/** An unobserved block holds at most so many updates and indices: the orders of the next are made while it runs. */
const blockUpdates = 1 << 17
const blockIndices = 1 << 18

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
  readonly #checkpoints: FitCheckpoints | undefined
  readonly #watch: HealthWatch | undefined
  readonly #keyOnce: () => string
  readonly #recovery: Recovery
  /** What an earlier fit left to be gone on with, for a fit that makes nothing. */
  readonly #before: Unfinished | undefined

  /** Everything that can be refused is refused here. */
  constructor(
    readonly host: FitHost,
    sets: FitSets,
    readonly settings: FitSettings,
  ) {
    const { metrics, health, signal, checkpoint } = settings
    signal?.throwIfAborted()
    this.#set = sets.set
    this.#validation = sets.validation
    if (this.#validation) [this.#set, this.#validation] = alikeWeighted(this.#set, this.#validation)
    else if (needsPredictions(metrics)) {
      const names = [...metrics.wholes, ...metrics.custom].map(({ name }) => name).join(', ')
      throw new WengertError('ERR_OPTION', `fit: ${names} need all predictions at once, and so validation data; give validation`)
    }
    for (const data of [this.#set, ...(this.#validation ? [this.#validation] : [])]) refuseUncounted(metrics, data, host.loss)
    const parts = host.parts(metrics.means)
    const trained = parts.state.parameters.filter((p) => p.trained)
    const counted = metrics.means.length > 0 && countsSome(host.loss, sampleOf(this.#set))
    this.#layout = reportLayout(metrics.means.length, true, this.#validation !== undefined, health ? trained.length : 0, counted)
    this.#parts = health ? { ...parts, health: this.#layout.health } : parts
    const batching = host.batching(this.#set, this.#parts)
    const { unfinished } = host.progress
    this.#before = unfinished
    this.#plan = new FitPlan({
      parts: this.#parts,
      report: this.#layout,
      set: { data: this.#set, batching },
      validation: this.#validation,
      evaluating: (own) => host.evaluating(own, this.#parts),
      carry: unfinished?.partial !== undefined || checkpoint?.everyUpdates !== undefined || checkpoint?.everySeconds !== undefined,
      predictions: needsPredictions(metrics),
      cache: host.cache,
    })
    this.#policies = new Policies(settings.tolerance, settings.divergence, unfinished?.policies)
    this.#checkpoints =
      checkpoint &&
      new FitCheckpoints(new CheckpointPolicy(checkpoint, host.progress.epoch, unfinished?.best), parts.ranks !== undefined, () =>
        this.#encode(),
      )
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
    this.#runner = this.#plan.runner(parts.state.take())
    this.#blocks = new Blocks(host, this.#plan, this.#runner, this.#position)
    const { divergence } = settings
    this.#recovery = new Recovery({
      host,
      divergence,
      plan: this.#plan,
      blocks: this.#blocks,
      position: this.#position,
      policies: this.#policies,
    })
    parts.state.busy = true
    host.progress.unfinished = undefined
    host.progress.seed = settings.seed
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

  /**
   * Yields the records of each block of epochs. Whatever fails, the training is afterwards as it was at one moment: after the last
   * block of which everybody was told, or before that where a cost had run away.
   *
   * @param tell hands records to whoever watches, all of them whatever one does
   */
  async *run(observed: boolean, tell: (records: BlockRecords) => Promise<Told>): AsyncGenerator<BlockRecords, Outcome> {
    const { host, settings } = this
    const { progress, schedule } = host
    const { timetable } = this.#plan
    const position = this.#position
    const { signal, callbacks } = settings
    const cancel = () => this.#runner.cancel()
    signal?.addEventListener('abort', cancel, { once: true })
    const [from, last] = [progress.updates, progress.epoch + settings.epochs]
    const most = Math.max(
      1,
      Math.min(Math.floor(blockUpdates / Math.max(1, timetable.updates)), Math.floor(blockIndices / this.#set.samples)),
    )
    const { ranks } = this.#parts
    const everyEpoch = observed || this.#observed
    const made = { plan: this.#plan, position, layout: this.#layout, validation: this.#validation, settings, loss: host.loss }
    let stopped: StopReason = 'epochs'
    /** Whether something is under way that a failure undoes. */
    let open = false
    let complete = false
    try {
      const whole = { progress, state: this.#parts.state, position, policies: this.#policies, schedule, callbacks }
      await this.#parts.state.bring()
      if (ranks) await takeFromFirst(this.#parts.state)
      const window = this.#plan.window
      const perBlock = (ranks ? await anyRank(everyEpoch) : everyEpoch) || window ? 1 : most
      const moments = await Moments.begin(whole)
      this.#recovery.moments = moments
      // Callbacks may have taken their time before the first block.
      const before = ranks && (await settle('fit', { aborted: signal })).aborted
      signal?.throwIfAborted()
      if (before) throw before
      while (progress.epoch < last && stopped === 'epochs') {
        const before = performance.now()
        const { updates } = progress
        let aborted: WengertError | undefined
        const until = await this.#checkpoints?.until(progress)
        const room = Math.min(until?.updates ?? Infinity, window?.updates ?? Infinity)
        const stretch = position.next(Math.min(perBlock, last - progress.epoch, until?.epoch ?? Infinity), room)
        const cut = stretch.from > 0 || stretch.to < timetable.updates
        open = true
        const block = await this.#blocks.run(stretch, {
          next: cut ? 0 : Math.min(stretch.epochs, last - progress.epoch - stretch.epochs),
          // Between what the ranks agreed on last and the block's beginning it may have been aborted here.
          started: () => {
            if (ranks && signal?.aborted) cancel()
          },
        })
        const { result } = block
        const own = result.status === 'failed'
        // Each rank evaluates its own part: what is wrong there the others do not see.
        if (ranks && this.#validation ? await anyRank(own) : own) throw await this.#recovery.failed(result, stretch)
        await this.#plan.gather(result.report)
        const records = recordsOf(made, block, stretch, progress, this.#seconds)
        if (this.#recovery.advance(result, stretch)) {
          await this.#judge(records)
          const told = records.length > 0 ? await tell(records) : undefined
          await moments.commit()
          open = false
          const late = this.#seconds >= settings.maxSeconds
          const vote = { ...(told?.failed && { failed: told.error }), stop: told?.stop ?? false, late, aborted: signal }
          if (ranks) ({ stop: vote.stop, late: vote.late, aborted } = await settle('fit', vote))
          if (told?.failed) throw told.error
          if (vote.stop) stopped = 'callback'
          else if (told && this.#policies.settled) stopped = 'tolerance'
          else if (told && vote.late) stopped = 'time'
        } else {
          await this.#recovery.back(moments.last.epoch + result.epochs)
          if (ranks) ({ aborted } = await settle('fit', { aborted: signal }))
        }
        open = false
        if ('error' in result) throw result.error
        if (result.status === 'cancelled') {
          await this.#checkpoints?.write()
          signal?.throwIfAborted()
          throw aborted ?? new WengertError('ERR_CANCELLED', 'fit: cancelled, since the process or worker is ending')
        }
        if (records.length > 0) {
          // Whoever leaves here has ended the fit.
          complete = true
          yield records
        }
        complete = progress.epoch >= last || stopped !== 'epochs'
        const pace = { made: progress.updates - updates, seconds: (performance.now() - before) / 1000 }
        const written = await this.#checkpoints?.finished(progress, records.last, pace)
        if ((ranks ? aborted : signal?.aborted) && !complete) {
          if (!written) await this.#checkpoints?.write()
          signal?.throwIfAborted()
          throw aborted
        }
      }
      complete = true
    } finally {
      if (open) this.#recovery.moments?.back(this.#recovery.moments.last)
      signal?.removeEventListener('abort', cancel)
      this.#parts.state.busy = false
      this.#runner.close()
      this.#plan.close()
      // The next fit goes on from here, as a resumed one does from a file.
      if (!complete) progress.unfinished = progress.updates > from ? this.#left() : this.#before
    }
    return this.outcome(stopped)
  }

  outcome(stopped: StopReason): Outcome {
    const { host, settings } = this
    return { trainer: host.name, updates: host.progress.updates, seconds: this.#seconds, seed: settings.seed, stopped }
  }

  /** Gives back what the constructor took, for a fit that never ran. */
  close(): void {
    this.#parts.state.busy = false
    this.#runner.close()
    this.#plan.close()
    this.host.progress.unfinished = this.#before
  }

  /** Decides after finished epochs whether to go on. Errors: ERR_DIVERGED. */
  async #judge(records: BlockRecords): Promise<void> {
    const { schedule } = this.host
    for (let i = 0; i < records.length; i++) {
      const cost = records.cost(i)
      this.#recovery.weigh(cost)
      if (schedule?.observe) schedule.observe(records.record(i).validation?.cost ?? cost)
      if (this.#watch) this.#watch.look(records.record(i).health ?? {})
      if (this.#policies.diverged) throw await this.#recovery.ranAway(records.record(i).epoch, cost)
    }
  }

  get #seconds(): number {
    return (performance.now() - this.#started) / 1000
  }

  /** What is left to the next fit, whatever callbacks do. */
  #left(): Unfinished {
    try {
      return this.#unfinished
    } catch (error) {
      warnOf('state', [error])
      return { seed: this.settings.seed, policies: this.#policies.state }
    }
  }

  /** What a fit that goes on from here has to know. */
  get #unfinished(): Unfinished {
    const { partial } = this.#position
    const { policies, callbacks: followers } = (this.#recovery.moments as Moments).last
    const others = memoriesOf(this.settings.callbacks, ({ onEpoch }) => onEpoch === undefined)
    const callbacks = followers.flatMap((memory, i) => memory ?? others[i] ?? [])
    const best = this.#checkpoints?.best
    return {
      seed: this.settings.seed,
      ...(partial && { partial: { ...partial, key: this.#keyOnce() } }),
      policies,
      callbacks,
      ...(best !== undefined && { best }),
    }
  }

  /** The newest moment, as a resumed fit goes on from it. */
  #encode(): Safetensors {
    const { host } = this
    const { slots, schedule } = (this.#recovery.moments as Moments).last
    return encodeCheckpoint({
      trainer: host.name,
      optimizer: host.optimizer.name,
      progress: { ...host.progress, unfinished: this.#unfinished },
      ...(schedule && { schedule }),
      slots,
      lagging: this.#parts.state.lagging(host.progress.updates),
    })
  }

  /** What all processes that fit together have to have in common. */
  get facts(): Record<string, unknown> {
    const { host, settings } = this
    const { progress, name, optimizer, loss } = host
    const { epochs, tolerance, divergence, checkpoint, health } = settings
    const parameters = this.#parts.state.parameters.map((p) => `${p.name} ${p.trained} ${p.parameter.shape} ${p.parameter.dtype}`)
    return {
      trainer: `${name} with ${optimizer.name} and ${loss.name}`,
      parameters,
      data: this.#keyOnce(),
      options: JSON.stringify({ epochs, tolerance, divergence, checkpoint, health }),
      progress: `${progress.epoch} epochs, ${progress.updates} updates`,
      collectives: this.#plan.collectives,
    }
  }
}
