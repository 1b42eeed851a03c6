/**
 * What the three trainers share: options, the loop over blocks of epochs, and what is seen from outside. They differ in
 * the batch alone (`batching`).
 */

import type { Runner, State } from '../backend/backend.js'
import type { BlockResult } from '../backend/program.js'
import { engine } from '../backend/select.js'
import type { DataLike } from '../data/dataset.js'
import { WengertError } from '../errors.js'
import { counterLength, writeCounter } from '../nn/dropout.js'
import type { Loss } from '../nn/loss.js'
import { Module } from '../nn/module.js'
import { gradientDescent } from '../optim/gradient-descent.js'
import type { Optimizer, Schedule } from '../optim/optimizer.js'
import { asTensor, type TensorLike } from '../tensor/creation.js'
import { nextSeed } from '../tensor/random.js'
import { allocate } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions, describe } from '../util/options.js'
import { purposes } from '../util/random.js'
import { formatShape, sameShape } from '../util/shape.js'
import { type Batching, FitPlan } from './fit-plan.js'
import type { EpochRecord, History, StopReason } from './history.js'
import { type MetricName, metrics } from './metrics.js'
import { Preparation, type Prepared, sampleOf } from './prepare.js'
import { SingleSteps } from './single-steps.js'
import { type Clipping, inputIndex, type SampleSpec, type StepParts } from './step-programs.js'
import { asBatch, consume, type StreamItem, type StreamOptions, type StreamProgress } from './stream.js'
import { TrainingState } from './training-state.js'

export interface TrainerOptions {
  /** (prediction, target, { reduction: 'none' }) → one value a sample (trailing axes are averaged). */
  loss: Loss
  /** α, per update, for plain gradient descent; or give `optimizer`. */
  learningRate?: number
  optimizer?: Optimizer
  /** The learning rate of each update, from the progress and the optimiser's own. */
  schedule?: Schedule
  /** Largest norm of an update's gradient over all parameters, > 0: a longer one is scaled down to it. */
  clipNorm?: number
  /** Largest absolute value of a gradient's element, > 0: applied before `clipNorm`. */
  clipValue?: number
}

export interface FitOptions {
  /** How many more epochs to train. */
  epochs: number
  /** Stop when the relative change of the cost stays below this for two epochs running. */
  tolerance?: number
  /** Samples to evaluate after each epoch. */
  validation?: DataLike
  metrics?: readonly MetricName[]
  /** Called after each epoch, with the parameters as of that epoch: a synchronisation point, each epoch one crossing. */
  onEpoch?: (epoch: EpochRecord) => void | Promise<void>
  /** Ends the fit with the running step whole; the promise rejects with the signal's reason. */
  signal?: AbortSignal
  /** Of the order of samples; the same seed, data and start give the same bits. */
  seed?: number
  /** Stop after the epoch during which so many seconds have passed. */
  maxSeconds?: number
}

const fitOptionNames = ['epochs', 'tolerance', 'validation', 'metrics', 'onEpoch', 'signal', 'seed', 'maxSeconds'] as const

/** An unobserved block holds at most so many updates and indices. */
const blockUpdates = 1 << 17
const blockIndices = 1 << 21

export abstract class Trainer {
  readonly model: Module
  readonly loss: Loss
  readonly optimizer: Optimizer
  readonly schedule: Schedule | undefined
  /** Epochs finished over the trainer's life. */
  epoch = 0
  /** Updates made over the trainer's life. */
  updates = 0
  abstract readonly name: string
  readonly #clip: Clipping
  readonly #preparation: Preparation
  readonly #steps = new SingleSteps()
  #state: TrainingState | undefined
  /** Of the draws of single steps: the last fit's. */
  #seed: number | undefined

  constructor(where: string, model: Module, options: TrainerOptions, extra: readonly string[] = []) {
    if (!(model instanceof Module))
      throw new WengertError('ERR_VALUE', `${where}: expected a Module, got ${describe(model)}`, { actual: model })
    checkOptions(where, options ?? {}, ['loss', 'learningRate', 'optimizer', 'schedule', 'clipNorm', 'clipValue', ...extra])
    const { loss, learningRate, optimizer, schedule } = options ?? {}
    if (typeof loss !== 'function')
      throw new WengertError('ERR_OPTION', `${where}: expected a loss function, got ${describe(loss)}`, { actual: loss })
    if ((learningRate === undefined) === (optimizer === undefined)) {
      throw new WengertError('ERR_OPTION', `${where}: expected either learningRate or optimizer, got ${optimizer ? 'both' : 'neither'}`)
    }
    if (schedule !== undefined && typeof schedule !== 'function') {
      throw new WengertError('ERR_OPTION', `${where}: expected schedule to be a function, got ${describe(schedule)}`, { actual: schedule })
    }
    this.model = model
    this.loss = loss
    this.optimizer =
      optimizer ?? gradientDescent({ learningRate: checkNumber(where, 'learningRate', learningRate, { min: 0, exclusive: true }) })
    this.schedule = schedule
    const bound = (name: 'clipNorm' | 'clipValue') => checkNumber(where, name, options[name], { min: 0, exclusive: true })
    this.#clip = {
      ...(options.clipNorm === undefined ? {} : { norm: bound('clipNorm') }),
      ...(options.clipValue === undefined ? {} : { value: bound('clipValue') }),
    }
    this.#preparation = new Preparation(model, loss)
  }

  /** How this trainer cuts `samples` samples. */
  protected abstract batching(samples: number, sample: SampleSpec, parts: StepParts, report: number): Batching

  /**
   * Trains off the main thread and resolves to the history.
   *
   * @throws (rejects) ERR_OPTION, ERR_RANGE, ERR_DATA, ERR_LABEL, ERR_SHAPE before anything is changed; ERR_BUSY while another
   *   fit trains a parameter; ERR_DIVERGED (the last good parameters stand); the signal's reason
   * @example await trainer.fit({ x, y }, { epochs: 30, metrics: ['accuracy'], seed: 1 })
   */
  async fit(data: DataLike, options: FitOptions): Promise<History> {
    const run = this.#run(data, options, options?.onEpoch !== undefined)
    const epochs: EpochRecord[] = []
    for (;;) {
      const next = await run.next()
      if (next.done) return { ...next.value, epochs, last: epochs[epochs.length - 1] }
      for (const record of next.value) {
        epochs.push(record)
        try {
          await options.onEpoch?.(record)
        } catch (error) {
          await run.return(undefined as never)
          throw error
        }
      }
    }
  }

  /** The same as `fit`, epoch by epoch: `for await (const epoch of trainer.epochs(data, options))`; leaving the loop ends it. */
  async *epochs(data: DataLike, options: FitOptions): AsyncGenerator<EpochRecord, History> {
    const run = this.#run(data, options, true)
    const epochs: EpochRecord[] = []
    try {
      for (;;) {
        const next = await run.next()
        if (next.done) return { ...next.value, epochs, last: epochs[epochs.length - 1] }
        for (const record of next.value) {
          epochs.push(record)
          yield record
        }
      }
    } finally {
      await run.return(undefined as never)
    }
  }

  /**
   * One synchronous update on a batch; returns its cost before the update.
   *
   * @param x [m, …]; nested and typed arrays are converted
   * @param y m targets
   * @throws ERR_BUSY during a fit; ERR_DIVERGED for a cost that is not finite (nothing is changed)
   */
  step(x: TensorLike, y: TensorLike): number {
    return this.#update(this.#preparation.prepare('step', { x: asTensor('step: x', x, { dtype: this.model.dtype }), y }))
  }

  /**
   * Learns online from a stream: each item is one sample or one batch, used for one update and thrown away. A slow update
   * holds back the source (the next item is asked for when it is done); the event loop is never starved.
   *
   * @param source an iterable, async iterable or object-mode stream of { x, y }
   * @throws (rejects) what `step` throws; the signal's reason
   * @example await trainer.fitStream(events, { signal, onUpdate: ({ cost }) => gauge.set(cost) })
   */
  fitStream(source: Iterable<StreamItem> | AsyncIterable<StreamItem>, options: StreamOptions = {}): Promise<StreamProgress> {
    return consume(source, options, (item) => {
      const data = this.#preparation.prepare('fitStream', asBatch(item))
      const cost = this.#update(data)
      return { cost, samples: data.samples, updates: 1 }
    })
  }

  /** One synchronous update; returns the cost before it. */
  #update(data: Prepared): number {
    const parts = this.#parts([])
    const state = parts.state.claim()
    const scalars = new Float64Array(this.optimizer.scalarCount)
    this.#scalars(scalars, 0, { epoch: this.epoch, update: this.updates })
    const counter = new Int32Array(counterLength)
    if (parts.state.draws) {
      this.#seed ??= nextSeed()
      writeCounter(counter, 0, this.#seed, this.updates, 0)
    }
    const cost = this.#steps.run(parts, state, data, scalars, counter)
    if (cost === undefined) throw this.#diverged(`update ${this.updates + 1}`, undefined, 'nothing was changed')
    this.updates++
    return cost
  }

  /** Cost and metrics of a data set at the present parameters (during a fit: of a finished epoch), as in use. */
  async evaluate(data: DataLike, options: { metrics?: readonly MetricName[] } = {}): Promise<{ cost: number; accuracy?: number }> {
    checkOptions('evaluate', options, ['metrics'])
    const names = metricNames('evaluate', options.metrics)
    const prepared = this.#preparation.prepare('evaluate', data)
    const own = new TrainingState(this.model, this.optimizer)
    const plan = new FitPlan({ ...this.#parts(names), state: own }, undefined, prepared, () => ({ programs: [], shuffled: false }))
    const runner = plan.runner(own.copy())
    try {
      const result = await runner.run({ epochs: 1, segments: plan.segments, windows: {} })
      if (result.status === 'failed') throw this.#failure(result, plan, result)
      return valuesOf(result.report, 0, names, prepared.samples)
    } finally {
      runner.close()
    }
  }

  #parts(names: readonly MetricName[]): StepParts {
    const before = this.#state
    if (!before?.fits(this.model)) {
      before?.refuseWhileBusy()
      this.#state = new TrainingState(this.model, this.optimizer, before)
      this.#steps.clear()
    }
    return {
      model: this.model,
      loss: this.loss,
      optimizer: this.optimizer,
      state: this.#state as TrainingState,
      metrics: names,
      dtype: this.model.dtype,
      clip: this.#clip,
    }
  }

  /** Writes one update's scalars. Errors: ERR_RANGE for a schedule that gives no number. */
  #scalars(out: Float64Array, offset: number, progress: { epoch: number; update: number }): void {
    const base = this.optimizer.learningRate
    const rate = this.schedule ? checkNumber('schedule', 'the learning rate', this.schedule(progress, base), { min: 0 }) : base
    this.optimizer.scalars(out, offset, progress.update + 1, rate)
  }

  /** The loop: yields the records of each block of epochs. */
  async *#run(data: DataLike, options: FitOptions, observed: boolean): AsyncGenerator<EpochRecord[], Omit<History, 'epochs' | 'last'>> {
    const { epochs, tolerance, maxSeconds, seed, signal, names } = checkFitOptions(options)
    const started = performance.now()
    signal?.throwIfAborted()
    this.#state?.refuseWhileBusy()
    this.#seed = seed
    const set = this.#preparation.prepare('fit', data)
    const validation = options.validation === undefined ? undefined : this.#preparation.prepare('fit: validation', options.validation)
    if (validation) checkAlike(set, validation)
    const parts = this.#parts(names)
    let shuffled = false
    const plan = new FitPlan(parts, set, validation, (report) => {
      const batching = this.batching(set.samples, sampleOf(set), parts, report)
      shuffled = batching.shuffled
      return batching
    })
    const state: State = parts.state.claim()
    const runner = plan.runner(state)
    const cancel = () => runner.cancel()
    signal?.addEventListener('abort', cancel, { once: true })
    parts.state.busy = true
    const last = this.epoch + epochs
    const most = Math.max(1, Math.min(Math.floor(blockUpdates / Math.max(1, plan.updates)), Math.floor(blockIndices / set.samples)))
    const policy = this.schedule?.observe
    const perBlock = observed || policy || tolerance !== undefined || maxSeconds < Infinity ? 1 : most
    const block = (n: number, checked = false) => this.#block(runner, plan, n, shuffled ? set.samples : 0, seed, checked)
    const settled = new Settling(tolerance)
    let stopped: StopReason = 'epochs'
    try {
      while (this.epoch < last) {
        const result = await block(Math.min(perBlock, last - this.epoch))
        const seconds = (performance.now() - started) / 1000
        if (result.status === 'failed') throw await this.#fail(result, plan, block)
        const records = this.#records(result, plan, seconds)
        this.epoch += result.epochs
        this.updates += plan.updatesOf(result.runs)
        for (const { cost, validation: unseen } of records) this.schedule?.observe?.(unseen?.cost ?? cost)
        if (result.status === 'cancelled') {
          signal?.throwIfAborted()
          throw new WengertError('ERR_CANCELLED', 'fit: expected to run on, got cancelled by the end of its environment')
        }
        yield records
        signal?.throwIfAborted()
        if (settled.after(records[records.length - 1]?.cost ?? NaN)) stopped = 'tolerance'
        else if (seconds >= maxSeconds) stopped = 'time'
        if (stopped !== 'epochs') break
      }
    } finally {
      signal?.removeEventListener('abort', cancel)
      parts.state.busy = false
      runner.close()
    }
    return { trainer: this.name, updates: this.updates, seconds: (performance.now() - started) / 1000, seed, stopped }
  }

  /** Makes the orders and rates of some epochs and runs them. */
  #block(runner: Runner, plan: FitPlan, epochs: number, samples: number, seed: number, checked: boolean): Promise<BlockResult> {
    const order = new Int32Array(samples * epochs)
    if (samples > 0) engine().permutations(order, samples, { seed, purpose: purposes.order, a: this.epoch, b: 0 })
    const { scalarCount } = this.optimizer
    const updates = plan.updates * epochs
    const table = new Float64Array(updates * scalarCount)
    for (let u = 0; u < updates; u++) {
      this.#scalars(table, u * scalarCount, { epoch: this.epoch + Math.floor(u / plan.updates), update: this.updates + u })
    }
    const rates = allocate(plan.parts.dtype, table.length)
    rates.set(table)
    const counters = plan.counters(seed, this.updates, epochs)
    const windows = { [inputIndex.order]: order, [inputIndex.rates]: rates, ...(counters && { [inputIndex.draws]: counters }) }
    return runner.run({ epochs, segments: plan.segments, windows, checked })
  }

  #records(result: BlockResult, plan: FitPlan, seconds: number): EpochRecord[] {
    const names = plan.parts.metrics
    return Array.from({ length: result.epochs }, (_, i) => ({
      epoch: this.epoch + i + 1,
      updates: this.updates + (i + 1) * plan.updates,
      ...valuesOf(result.report, i * plan.report, names, plan.seen),
      ...(plan.validation
        ? { validation: valuesOf(result.report, i * plan.report + 1 + names.length, names, plan.validation.samples) }
        : {}),
      seconds,
    }))
  }

  /**
   * After a failed block the state holds an earlier epoch's values: the counters go back to it, and the epochs from there
   * run once more with every step checked, which finds the first bad operation.
   */
  async #fail(
    result: BlockResult,
    plan: FitPlan,
    block: (epochs: number, checked: boolean) => Promise<BlockResult>,
  ): Promise<WengertError> {
    const { failure, kept } = result
    const [epoch, updates] = [this.epoch, this.updates]
    this.epoch += kept
    this.updates += kept * plan.updates
    const checked = failure?.kind === 'nonfinite' && !plan.eager ? await block(failure.epoch - kept + 1, true) : undefined
    const error = this.#failure(result, plan, checked?.status === 'failed' ? checked : result, epoch, updates)
    return error
  }

  /** What a failed block means to the user. `found` is the failure of the checked repetition. */
  #failure(result: BlockResult, plan: FitPlan, found: BlockResult, epoch = this.epoch, updates = this.updates): WengertError {
    const { failure } = result
    if (failure?.kind === 'index') {
      return new WengertError(
        'ERR_INDEX',
        `fit: expected indices in 0 … ${failure.size - 1}, got ${failure.value} at position ${failure.position} of a batch`,
        {
          expected: failure.size,
          actual: failure.value,
        },
      )
    }
    const at = failure?.epoch ?? 0
    const update = failure ? updates + at * plan.updates + plan.updatesBefore(failure) + 1 : updates
    const label = found.failure && plan.labelOf(found.failure)
    const kept = this.epoch > 0 ? `parameters are those of epoch ${this.epoch}` : 'parameters are those of the start'
    return this.#diverged(`update ${update} (epoch ${epoch + at + 1})`, label, kept)
  }

  #diverged(when: string, label: string | undefined, kept: string): WengertError {
    const first = label === undefined ? '' : `; first made by ${label}`
    const rate = this.optimizer.learningRate
    return new WengertError(
      'ERR_DIVERGED',
      `${when}: expected a finite cost and finite parameters, got NaN or Infinity${first}; ${kept}\n  try a smaller learning rate (now ${rate}), or standardise the data`,
      {
        expected: 'finite',
      },
    )
  }
}

function metricNames(where: string, names: readonly MetricName[] | undefined): readonly MetricName[] {
  if (names !== undefined && !Array.isArray(names)) {
    throw new WengertError('ERR_OPTION', `${where}: expected metrics to be a list of names, got ${describe(names)}`, { actual: names })
  }
  return (names ?? []).map((name) => checkChoice(where, 'each metric', name, Object.keys(metrics) as MetricName[]))
}

function checkFitOptions(options: FitOptions) {
  checkOptions('fit', options ?? {}, fitOptionNames)
  const { tolerance, maxSeconds, seed, onEpoch, signal } = options ?? {}
  if (onEpoch !== undefined && typeof onEpoch !== 'function')
    throw new WengertError('ERR_OPTION', `fit: expected onEpoch to be a function, got ${describe(onEpoch)}`, { actual: onEpoch })
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new WengertError('ERR_OPTION', `fit: expected signal to be an AbortSignal, got ${describe(signal)}`, { actual: signal })
  return {
    epochs: checkNumber('fit', 'epochs', options?.epochs, { integer: true, min: 0 }),
    tolerance: tolerance === undefined ? undefined : checkNumber('fit', 'tolerance', tolerance, { min: 0 }),
    maxSeconds: maxSeconds === undefined ? Infinity : checkNumber('fit', 'maxSeconds', maxSeconds, { min: 0 }),
    names: metricNames('fit', options.metrics),
    seed: seed === undefined ? nextSeed() : checkNumber('fit', 'seed', seed, { integer: true, min: 0, max: Number.MAX_SAFE_INTEGER }),
    signal,
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

/** Sums of a report as means over samples. */
function valuesOf(report: Float64Array, at: number, names: readonly MetricName[], samples: number): { cost: number; accuracy?: number } {
  return {
    cost: (report[at] as number) / samples,
    ...Object.fromEntries(names.map((name, i) => [name, (report[at + 1 + i] as number) / samples])),
  }
}

/** The tolerance stop: the relative change of the epoch's cost stays below it for two epochs running. */
class Settling {
  #previous = NaN
  #calm = 0

  constructor(readonly tolerance: number | undefined) {}

  after(cost: number): boolean {
    if (this.tolerance === undefined) return false
    this.#calm = Math.abs(cost - this.#previous) <= this.tolerance * Math.abs(this.#previous) ? this.#calm + 1 : 0
    this.#previous = cost
    return this.#calm >= 2
  }
}
