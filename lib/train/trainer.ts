/**
 * What the three trainers share: options, state, and what is seen from outside. They differ in the batch alone (`batching`);
 * how a fit runs is in fit-loop.ts.
 */

import type { BlockResult } from '../backend/program.js'
import type { AnyData, DataLike } from '../data/dataset.js'
import { rank, together } from '../distributed/world.js'
import { WengertError } from '../errors.js'
import { checkPath, checkWritable } from '../io/atomic.js'
import { naming, readBytes } from '../io/read-file.js'
import { decodeSafetensors, writeSafetensors } from '../io/safetensors.js'
import type { Loss } from '../nn/loss.js'
import type { Module } from '../nn/module.js'
import type { Parameter } from '../nn/parameter.js'
import type { Optimizer, Schedule } from '../optim/optimizer.js'
import type { TensorLike } from '../tensor/creation.js'
import type { InputsLike } from '../tensor/inputs.js'
import { checkOptions } from '../util/options.js'
import { checkSame, fromFirst, inAgreement, readTogether, writeTogether } from './agreement.js'
import { Watchers } from './callbacks.js'
import { checkSlots, decodeCheckpoint, encodeCheckpoint } from './checkpoint.js'
import { evaluate, needsPredictions } from './evaluation.js'
import { evaluationFailure } from './failures.js'
import { FitLoop } from './fit-loop.js'
import { checkFitOptions, type FitOptions, outlineOf } from './fit-options.js'
import type { Batching, Evaluating, FitPlan } from './fit-plan.js'
import { type FitSets, prepareSets } from './fit-sets.js'
import type { EpochRecord, History, ScoresOf } from './history.js'
import { describeTraining, profileTraining, type TrainingProfile } from './inspect.js'
import { checkMetrics, type MetricSpec } from './metrics.js'
import type { StepParts } from './parts.js'
import type { Prepared } from './prepare.js'
import { type BlockRecords, historyOf } from './records.js'
import { meetShards, type WholeColumn, wholeColumns } from './shards.js'
import { SingleUpdates } from './single-updates.js'
import { consume, type StreamItem, type StreamOptions, type StreamProgress } from './stream.js'
import { consumeTogether } from './stream-together.js'
import { checkTrainer, type TrainerOptions } from './trainer-options.js'
import { Training } from './training.js'

/** What `FBGD`, `SGD` and `MBSGD` have in common: a type for code that takes any of them. */
export abstract class Trainer {
  readonly model: Module
  readonly loss: Loss
  readonly optimizer: Optimizer
  readonly schedule: Schedule | undefined
  abstract readonly name: string
  /** Whether an update's gradient is added up over several runs. */
  protected readonly accumulates: boolean = false
  readonly #training: Training
  readonly #updates: SingleUpdates

  /** Epochs finished over the trainer's life. */
  get epoch(): number {
    return this.#training.progress.epoch
  }

  /** Updates made over the trainer's life. */
  get updates(): number {
    return this.#training.progress.updates
  }

  constructor(where: string, model: Module, options: TrainerOptions, extra: readonly string[] = []) {
    const { maxDeviation, ...recipe } = checkTrainer(where, model, options, extra)
    this.model = model
    this.loss = recipe.loss
    this.optimizer = recipe.optimizer
    this.schedule = recipe.schedule
    this.#training = new Training(recipe, () => this.accumulates)
    this.#updates = new SingleUpdates(this.#training, maxDeviation)
  }

  /** How this trainer cuts a set. */
  protected abstract batching(set: Prepared, parts: StepParts): Batching

  /** How it cuts one that is evaluated; a part after the other by default. */
  protected evaluating(_set: Prepared, _parts: StepParts): Evaluating | undefined {
    return undefined
  }

  /** What it has to know of all rows for that, where processes hold a set together. */
  protected get wants(): readonly WholeColumn[] {
    return []
  }

  /**
   * Trains off the main thread and resolves to the history.
   *
   * @throws (rejects) ERR_OPTION, ERR_RANGE, ERR_DATA, ERR_LABEL, ERR_SHAPE before anything is changed; ERR_BUSY while another
   *   fit trains a parameter; ERR_DIVERGED (the last good parameters stand); ERR_FILE where a checkpoint cannot be written;
   *   the signal's reason
   * @example await trainer.fit({ x, y }, { epochs: 30, metrics: ['accuracy'], seed: 1 })
   */
  async fit<const M extends readonly MetricSpec[] = []>(data: AnyData, options: FitOptions<M>): Promise<History<M>> {
    const run = this.#run(data, options, false)
    for (;;) {
      const next = await run.next()
      if (next.done) return next.value as History<M>
    }
  }

  /** The same as `fit`, epoch by epoch: `for await (const epoch of trainer.epochs(data, options))`; leaving the loop ends it. */
  async *epochs<const M extends readonly MetricSpec[] = []>(
    data: AnyData,
    options: FitOptions<M>,
  ): AsyncGenerator<EpochRecord<M>, History<M>> {
    const run = this.#run(data, options, true)
    try {
      for (;;) {
        const next = await run.next()
        if (next.done) return next.value as History<M>
        yield* next.value.all as Iterable<EpochRecord<M>>
      }
    } finally {
      await run.return(undefined as never)
    }
  }

  /** Yields each block's records: thousands of epochs at once where nobody watches them one by one. */
  async *#run(data: AnyData, options: FitOptions, observed: boolean): AsyncGenerator<BlockRecords, History> {
    this.#training.refuseWhileBusy()
    const { unfinished } = this.#training.progress
    const ranks = together()
    let settings = ranks
      ? await inAgreement('fit', true, () => checkFitOptions(options, unfinished?.seed))
      : checkFitOptions(options, unfinished?.seed)
    if (ranks) settings = { ...settings, seed: await fromFirst(settings.seed) }
    const watchers = new Watchers(settings.callbacks, this)
    const host = this.#host()
    const prepare = () => {
      settings.signal?.throwIfAborted()
      return prepareSets(host, data, options)
    }
    const make = (sets: FitSets) => new FitLoop(host, sets, settings)
    const loop = ranks ? await this.#loopTogether(prepare, make, needsPredictions(settings.metrics)) : make(prepare())
    const blocks: BlockRecords[] = []
    let history: History | undefined
    let run: ReturnType<FitLoop['run']> | undefined
    let failed = false
    try {
      await inAgreement('fit', ranks, async () => {
        if (settings.checkpoint && rank === 0) await checkWritable('fit: checkpoint', settings.checkpoint.path)
        await watchers.start(outlineOf(settings, options, this.model), unfinished?.callbacks)
      })
      run = loop.run(observed, (records) => watchers.tell(records))
      for (;;) {
        const next = await run.next()
        if (next.done) {
          history = historyOf(next.value, blocks)
          return history
        }
        blocks.push(next.value)
        yield next.value
      }
    } catch (error) {
      failed = true
      throw error
    } finally {
      if (run) await run.return(undefined as never)
      else loop.close()
      // Whoever leaves the loop over epochs ends the fit.
      if (!failed) history ??= historyOf(loop.outcome('callback'), blocks)
      await watchers.end(history)
    }
  }

  /** A fit that all processes begin, or none. */
  async #loopTogether(prepare: () => FitSets, make: (sets: FitSets) => FitLoop, predictions: boolean): Promise<FitLoop> {
    const { set, validation } = await inAgreement('fit', true, prepare)
    const { dtype } = this.#training.signatures.now()
    const given = [
      { name: 'a shard of the training data', data: set, wants: this.wants },
      ...(validation ? [{ name: 'a shard of the validation data', data: validation, wants: predictions ? wholeColumns : [] }] : []),
    ]
    const [met, other] = (await meetShards('fit', given, this.loss, dtype)) as [Prepared, Prepared?]
    let loop: FitLoop | undefined
    try {
      await inAgreement('fit', true, () => {
        loop = make({ set: met, validation: other })
      })
      await checkSame('fit', (loop as unknown as FitLoop).facts)
      return loop as unknown as FitLoop
    } catch (error) {
      loop?.close()
      throw error
    }
  }

  /** This trainer as its fits see it. */
  #host(): ConstructorParameters<typeof FitLoop>[0] {
    const { name, model, loss, optimizer, schedule } = this
    const progress = this.#training.progress
    return {
      name,
      model,
      loss,
      optimizer,
      schedule,
      progress,
      get epoch() {
        return progress.epoch
      },
      get updates() {
        return progress.updates
      },
      prepare: (where, data) => {
        const prepared = this.#training.prepare(where, data)
        if (where === 'fit') this.#updates.saw(prepared)
        return prepared
      },
      parts: (metrics) => this.#training.parts(metrics),
      batching: (set, parts) => this.batching(set, parts),
      evaluating: (set, parts) => this.evaluating(set, parts),
      cache: this.#training.kept,
    }
  }

  /**
   * One synchronous update on a batch; returns its cost before the update. Of several processes each gives rows of its own, as many
   * as it likes: all have to call it, and the update and the cost are those of all rows together.
   *
   * @param x [m, …], or several inputs by name; nested and typed arrays are converted
   * @param y m targets
   * @param options.weights how much each of the m samples counts; equally by default
   * @throws ERR_BUSY during a fit; ERR_DIVERGED for a cost that is not finite (nothing is changed)
   */
  step(x: InputsLike, y: TensorLike, options: Pick<DataLike, 'weights'> = {}): number {
    checkOptions('step', options, ['weights'])
    return this.#updates.step(x, y, options)
  }

  /**
   * Learns online from a stream: each item is one sample or one batch, used for one update and thrown away. A slow update
   * holds back the source (the next item is asked for when it is done); the event loop is never starved.
   *
   * Of several processes each reads a stream of its own, or with `shard: 'auto'` its items of one that all read: an update is of
   * one item of each. Whose stream has ended, or has nothing for a second, takes part with nothing, until all have ended.
   *
   * @param source an iterable, async iterable or object-mode stream of { x, y } or { x, y, weights }
   * @throws (rejects) what `step` throws; the signal's reason
   * @example await trainer.fitStream(events, { signal, onUpdate: ({ cost }) => gauge.set(cost) })
   */
  fitStream(source: Iterable<StreamItem> | AsyncIterable<StreamItem>, options: StreamOptions = {}): Promise<StreamProgress> {
    if (together()) return consumeTogether(source, options, this.#updates.partner())
    return consume(source, options, this.#updates.learner())
  }

  /**
   * Cost and metrics of a data set at the present parameters (during a fit: of a finished epoch), as in use.
   *
   * @example const { cost, f1, confusionMatrix } = await trainer.evaluate(test, { metrics: ['f1', 'confusionMatrix'] })
   * @throws (rejects) ERR_OPTION for a metric that does not suit the loss; ERR_DATA, ERR_LABEL, ERR_SHAPE
   */
  async evaluate<const M extends readonly MetricSpec[] = []>(
    data: AnyData,
    options: { metrics?: M | undefined } = {},
  ): Promise<ScoresOf<M>> {
    checkOptions('evaluate', options, ['metrics'])
    const metrics = checkMetrics('evaluate', options.metrics)
    const prepare = () => this.#training.prepare('evaluate', data)
    const prepared = together() ? await this.#evaluated(prepare, needsPredictions(metrics)) : prepare()
    const { learningRate } = this.optimizer
    const failed = (result: BlockResult, plan: FitPlan) =>
      evaluationFailure(result, result.failure && plan.labelOf(result.failure), learningRate)
    const parts = this.#training.parts(metrics.means)
    return (await evaluate(parts, prepared, metrics, (own) => this.evaluating(own, parts), failed, this.#training.kept)) as ScoresOf<M>
  }

  /** A set that all processes evaluate together. */
  async #evaluated(prepare: () => Prepared, predictions: boolean): Promise<Prepared> {
    const data = await inAgreement('evaluate', true, prepare)
    const { dtype } = this.#training.signatures.now()
    const [met] = await meetShards(
      'evaluate',
      [{ name: 'a shard of the data', data, wants: predictions ? wholeColumns : [] }],
      this.loss,
      dtype,
    )
    return met as Prepared
  }

  /**
   * The programs that a fit on this data repeats, as tables: each call with its sizes, operations, bytes, and where its
   * operands lie. Nothing is trained.
   *
   * @throws ERR_VALUE_NEEDED for a model that is trained eagerly; ERR_DATA, ERR_LABEL, ERR_SHAPE
   * @example console.log(trainer.describe(data))
   */
  describe(data: AnyData): string {
    return describeTraining(this.#host(), data)
  }

  /**
   * Where the time of a fit on this data goes: for each call its microseconds, its share, GFLOP/s and GB/s, measured on the
   * engine in use and on this thread (a second, more for large programs). Nothing is trained.
   *
   * @throws ERR_VALUE_NEEDED for a model that is trained eagerly; ERR_DATA, ERR_LABEL, ERR_SHAPE
   * @example console.log(String(trainer.profile(data)))
   */
  profile(data: AnyData): TrainingProfile {
    return profileTraining(this.#host(), data)
  }

  /**
   * Writes the whole training state (parameters, optimiser state, running statistics, counters, schedule) to one file, whole
   * or not at all. It is the state at the call: large ones are copied in slices between which the event loop turns, and an update
   * made meanwhile waits for the rest of the copy. For checkpoints during a fit see its option `checkpoint`.
   *
   * @throws (rejects) ERR_FILE; ERR_BUSY during a fit
   */
  async save(path: string): Promise<void> {
    checkPath('save', path)
    const { state } = this.#training.parts([], 'save')
    const { schedule } = this
    const slots = state.snapshot('save')
    const { tensors, metadata } = encodeCheckpoint({
      trainer: this.name,
      optimizer: this.optimizer.name,
      progress: this.#training.progress,
      ...(schedule?.state && { schedule: schedule.state() }),
      slots: slots.tensors,
      lagging: state.lagging(this.#training.progress.updates),
    })
    await slots.done
    const write = () => writeSafetensors(path, tensors, { metadata })
    await (together() ? writeTogether('save', { tensors, metadata }, write) : write())
  }

  /**
   * Takes up a training where a file of `save` or of a fit's `checkpoint` left it: the next `fit` goes on bit for bit as if it
   * had never stopped, within an epoch where need be, with the saved seed unless another is given. The model, the optimiser
   * and the schedule must be made as they were; nothing is changed unless everything fits.
   *
   * @throws (rejects) ERR_FILE for a file that is truncated, corrupt or foreign; ERR_STATE for one of another model, trainer or
   *   optimiser; ERR_BUSY during a fit
   * @example await trainer.resume('run.ckpt'); await trainer.fit(data, { epochs: 500 - trainer.epoch })
   */
  async resume(path: string): Promise<void> {
    const read = () => readBytes('resume', path)
    const bytes = together() ? await readTogether('resume', read) : await read()
    const checkpoint = naming(path, () => decodeCheckpoint(decodeSafetensors(bytes), path))
    const { trainer, optimizer, schedule, slots, progress, lagging } = checkpoint
    this.#training.refuseWhileBusy('resume')
    const made = (name: string, { frozen }: Parameter) => lagging[name] ?? (frozen ? 0 : progress.updates)
    const state = this.#training.stateOf({ updates: progress.updates, made })
    naming(path, () => {
      const [expected, actual] = [`${this.name} with ${this.optimizer.name}`, `${trainer} with ${optimizer}`]
      if (expected !== actual)
        throw new WengertError('ERR_STATE', `resume: expected the state of ${expected}, got that of ${actual}`, { expected, actual })
      if ((schedule === undefined) !== (this.schedule?.state === undefined))
        throw new WengertError('ERR_STATE', 'resume: the checkpoint was made with another schedule; give the trainer the same')
      checkSlots(slots, state.expectedSlots())
      state.refuseForeign('resume')
      if (schedule) this.schedule?.restore?.(schedule)
    })
    this.#training.replace(state)
    state.claim('resume')
    state.restore(slots)
    Object.assign(this.#training.progress, progress)
  }
}
