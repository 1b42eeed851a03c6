/**
 * What the three trainers share: options, data, programs, the loop over blocks of epochs, and what is seen from outside.
 * They differ in the batch alone (`Batching`).
 */

import type { Runner } from '../backend/backend.js'
import type { Block, BlockResult } from '../backend/program.js'
import { engine } from '../backend/select.js'
import { checkData, converted, type DataLike } from '../data/dataset.js'
import { WengertError } from '../errors.js'
import { checkLabels, checkProbabilities, type Loss } from '../nn/loss.js'
import { Module } from '../nn/module.js'
import { gradientDescent } from '../optim/gradient-descent.js'
import type { Optimizer, Schedule } from '../optim/optimizer.js'
import { compileTogether, type Plan, type PlanSpec } from '../plan/plan.js'
import { asTensor, type TensorLike } from '../tensor/creation.js'
import { nextSeed } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import { allocate, isFloat, type TypedArray } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions, describe } from '../util/options.js'
import { purposes } from '../util/random.js'
import { formatShape, sameShape } from '../util/shape.js'
import type { EpochRecord, History, StopReason } from './history.js'
import { type MetricName, metrics } from './metrics.js'
import { directStep, evaluationStep, inputIndex, inputSpecs, reportEntries, type SampleSpec, type StepParts } from './step-programs.js'
import { TrainingState } from './training-state.js'

export interface TrainerOptions {
  /** (prediction, target, { reduction: 'none' }) → one value a sample. */
  loss: Loss
  /** α, per update, for plain gradient descent; or give `optimizer`. */
  learningRate?: number
  optimizer?: Optimizer
  /** The learning rate of each update, from the progress and the optimiser's own. */
  schedule?: Schedule
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

/** How a trainer cuts a data set: the programs of an epoch, and whether it needs an order. */
export interface Batching {
  /** Programs, how often each runs in an epoch, and the updates and samples of one run. */
  programs: { spec: PlanSpec; repeat: number; updates: number; samples: number }[]
  /** Whether samples are shuffled: an order of them is made for each epoch. */
  shuffled: boolean
}

/** A data set ready for programs. */
interface Prepared {
  x: Tensor
  y: Tensor
  samples: number
}

const evaluationRows = 1024
/** An unobserved block aims at this many updates, and at most this many indices. */
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
  #state: TrainingState | undefined
  readonly #steps = new Map<string, { plan: Plan; report: Float64Array; rates: TypedArray; scalars: Float64Array }>()

  abstract readonly name: string

  constructor(where: string, model: Module, options: TrainerOptions, extra: readonly string[] = []) {
    if (!(model instanceof Module))
      throw new WengertError('ERR_VALUE', `${where}: expected a Module, got ${describe(model)}`, { actual: model })
    checkOptions(where, options, ['loss', 'learningRate', 'optimizer', 'schedule', ...extra])
    if (typeof options?.loss !== 'function')
      throw new WengertError('ERR_OPTION', `${where}: expected a loss function, got ${describe(options?.loss)}`, { actual: options?.loss })
    if ((options.learningRate === undefined) === (options.optimizer === undefined)) {
      throw new WengertError(
        'ERR_OPTION',
        `${where}: expected either learningRate or optimizer, got ${options.optimizer ? 'both' : 'neither'}`,
      )
    }
    if (options.schedule !== undefined && typeof options.schedule !== 'function') {
      throw new WengertError('ERR_OPTION', `${where}: expected schedule to be a function, got ${describe(options.schedule)}`, {
        actual: options.schedule,
      })
    }
    this.model = model
    this.loss = options.loss
    this.optimizer =
      options.optimizer ??
      gradientDescent({ learningRate: checkNumber(where, 'learningRate', options.learningRate, { min: 0, exclusive: true }) })
    this.schedule = options.schedule
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
        if (options.onEpoch) await options.onEpoch(record)
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
   * @param x [m, …]; a nested or typed array is converted; @param y m targets
   * @throws ERR_BUSY during a fit; ERR_DIVERGED for a cost that is not finite (nothing is changed)
   */
  step(x: TensorLike, y: TensorLike): number {
    const dtype = this.model.dtype
    const data = this.#prepare('step', { x: asTensor('step: x', x, { dtype }), y }, 'batch')
    const parts = this.#parts([])
    const state = parts.state.claim()
    const sample: SampleSpec = { x: data.x.shape.slice(1), y: data.y.shape.slice(1), yDtype: data.y.dtype }
    const key = `${engine().name} ${data.x.shape} ${data.y.shape} ${data.y.dtype}`
    let step = this.#steps.get(key)
    if (!step) {
      const inputs = inputSpecs(sample, parts, { x: data.samples, advance: 0, order: 0, rates: true, validation: 0 }).filter(
        (_, i) => i !== inputIndex.order && i < 4,
      )
      const { plans } = compileTogether(
        [{ inputs, options: { dtype, report: 1 }, build: (r) => directStep(r, parts, r.input(0), r.input(1), r.input(2)) }],
        parts.state.layout,
      )
      const { scalarCount } = this.optimizer
      step = {
        plan: plans[0] as Plan,
        report: new Float64Array(1),
        rates: allocate(dtype, scalarCount),
        scalars: new Float64Array(scalarCount),
      }
      if (this.#steps.size >= 8) this.#steps.delete(this.#steps.keys().next().value as string)
      this.#steps.set(key, step)
    }
    this.#scalars(step.scalars, 0, { epoch: this.epoch, update: this.updates })
    step.rates.set(step.scalars)
    step.report[0] = 0
    try {
      step.plan.run(state, [data.x.data, data.y.data, step.rates], step.report)
    } catch (error) {
      if (error instanceof WengertError && error.code === 'ERR_DIVERGED')
        throw this.#diverged(`update ${this.updates + 1}`, 'nothing was changed')
      throw error
    }
    this.updates++
    return (step.report[0] as number) / data.samples
  }

  /**
   * Cost and metrics of a data set at the present parameters (during a fit: of a finished epoch), as in use.
   */
  async evaluate(data: DataLike, options: { metrics?: readonly MetricName[] } = {}): Promise<{ cost: number; accuracy?: number }> {
    checkOptions('evaluate', options, ['metrics'])
    const names = this.#metricNames('evaluate', options.metrics)
    const prepared = this.#prepare('evaluate', data, 'set')
    const parts: StepParts = { ...this.#parts(names), state: new TrainingState(this.model, this.optimizer) }
    const { layout, parameters } = parts.state
    const plain = { ...parts, state: parts.state }
    const { specs, repeats } = this.#evaluation(plain, prepared, 0, reportEntries(names.length, false))
    const { plans, constants } = compileTogether(specs, layout)
    const state = engine().createState(layout.bytes, layout.floats())
    for (const { parameter, slot } of parameters) state.write(layout.slots[slot]?.offset as number, parameter.peek())
    const runner = engine().createRunner(
      state,
      plans.map((p) => p.executable),
      [...this.#noTraining(), prepared.x.data, prepared.y.data, ...constants],
    )
    try {
      const result = await runner.run({ epochs: 1, segments: repeats.map((repeat, program) => ({ program, repeat })), windows: {} })
      if (result.status === 'failed') throw this.#failure(result, 0)
      const [cost = NaN, ...values] = Array.from(result.report, (total) => total / prepared.samples)
      return { cost, ...Object.fromEntries(names.map((name, i) => [name, values[i]])) }
    } finally {
      runner.close()
    }
  }

  /** Empty arrays for the inputs that evaluation does not read. */
  #noTraining(): TypedArray[] {
    const { dtype } = this.model
    return [allocate(dtype, 0), allocate(this.#emptyTarget, 0), new Int32Array(0), allocate(dtype, 0)]
  }
  #emptyTarget: 'int32' | 'float32' | 'float64' = 'float32'

  #metricNames(where: string, names: readonly MetricName[] | undefined): readonly MetricName[] {
    if (names !== undefined && !Array.isArray(names))
      throw new WengertError('ERR_OPTION', `${where}: expected metrics to be a list of names, got ${describe(names)}`, { actual: names })
    return (names ?? []).map((name) => checkChoice(where, 'each metric', name, Object.keys(metrics) as MetricName[]))
  }

  /** Checks data against model and loss and converts it. Errors: as `checkData`, ERR_LABEL, ERR_RANGE, ERR_SHAPE. */
  #prepare(where: string, data: unknown, kind: 'set' | 'batch'): Prepared {
    const { x: rawX, y: rawY } = checkData(where, data)
    const { dtype } = this.model
    const x = converted(rawX, dtype)
    const samples = x.shape[0] as number
    const targets = this.loss.targets
    let y = rawY
    if (targets === 'classes' && !(isFloat(y.dtype) && y.rank === 2 && (y.shape[1] as number) > 1)) {
      y = checkLabels(where, y, samples, this.#classes(x))
    } else {
      y = converted(rawY, dtype, targets === undefined)
      if (targets === 'classes' || targets === 'probabilities') checkProbabilities(where, 'target', y)
    }
    if (targets !== undefined && targets !== 'classes' && kind === 'set') this.#checkTargets(where, x, y)
    return { x, y, samples }
  }

  /** The number of outputs for one sample, found by a prediction. */
  #classes(x: Tensor): number {
    return this.#outputShape(x)[1] ?? 1
  }

  #outputShape(x: Tensor): readonly number[] {
    const shape = [1, ...x.shape.slice(1)]
    const cached = this.#shapes.find((entry) => sameShape(entry.input, shape))
    if (cached) return cached.output
    const output = this.model.predict(
      asTensor('fit', new Float64Array(shape.reduce((a, b) => a * b, 1)), { shape, dtype: this.model.dtype }),
    ).shape
    this.#shapes.push({ input: shape, output })
    return output
  }
  readonly #shapes: { input: readonly number[]; output: readonly number[] }[] = []

  #checkTargets(where: string, x: Tensor, y: Tensor): void {
    const output = this.#outputShape(x).slice(1)
    if (!sameShape(output, y.shape.slice(1))) {
      throw new WengertError(
        'ERR_SHAPE',
        `${where}: expected targets of shape ${formatShape([x.shape[0] as number, ...output])}, as the model's output, got ${formatShape(y.shape)}`,
        { expected: output, actual: y.shape },
      )
    }
  }

  #parts(names: readonly MetricName[]): StepParts {
    if (!this.#state?.fits(this.model)) {
      if (this.#state?.busy)
        throw new WengertError(
          'ERR_BUSY',
          'fit: expected a model that is not being trained, got one in a running fit; await it or abort it first',
        )
      this.#state = new TrainingState(this.model, this.optimizer)
      this.#steps.clear()
    }
    return { model: this.model, loss: this.loss, optimizer: this.optimizer, state: this.#state, metrics: names, dtype: this.model.dtype }
  }

  /** The programs that evaluate a set in chunks, and how often each runs. */
  #evaluation(parts: StepParts, data: Prepared, entry: number, report: number): { specs: PlanSpec[]; repeats: number[] } {
    const sample: SampleSpec = { x: data.x.shape.slice(1), y: data.y.shape.slice(1), yDtype: data.y.dtype }
    this.#emptyTarget = data.y.dtype as 'int32'
    const rows = Math.min(evaluationRows, data.samples)
    const parted = [
      { rows, repeat: Math.floor(data.samples / rows) },
      { rows: data.samples % rows, repeat: data.samples % rows > 0 ? 1 : 0 },
    ].filter(({ repeat }) => repeat > 0)
    return {
      specs: parted.map(({ rows: n }) => ({
        inputs: inputSpecs(sample, parts, { x: 0, advance: 0, order: 0, rates: false, validation: n }),
        options: { dtype: parts.dtype, report, atomic: false },
        build: evaluationStep(parts, entry, inputIndex.validationX, inputIndex.validationY),
      })),
      repeats: parted.map(({ repeat }) => repeat),
    }
  }

  /** Writes one update's scalars. Errors: ERR_RANGE for a schedule that gives no number. */
  #scalars(out: Float64Array, offset: number, progress: { epoch: number; update: number }): void {
    const base = this.optimizer.learningRate
    const rate = this.schedule ? checkNumber('schedule', 'the learning rate', this.schedule(progress, base), { min: 0 }) : base
    this.optimizer.scalars(out, offset, progress.update + 1, rate)
  }

  async *#run(data: DataLike, options: FitOptions, observed: boolean): AsyncGenerator<EpochRecord[], Omit<History, 'epochs' | 'last'>> {
    checkOptions('fit', options, fitOptionNames)
    const epochs = checkNumber('fit', 'epochs', options?.epochs, { integer: true, min: 0 })
    const { signal } = options
    const tolerance = options.tolerance === undefined ? undefined : checkNumber('fit', 'tolerance', options.tolerance, { min: 0 })
    const maxSeconds = options.maxSeconds === undefined ? Infinity : checkNumber('fit', 'maxSeconds', options.maxSeconds, { min: 0 })
    const seed =
      options.seed === undefined
        ? nextSeed()
        : checkNumber('fit', 'seed', options.seed, { integer: true, min: 0, max: Number.MAX_SAFE_INTEGER })
    if (options.onEpoch !== undefined && typeof options.onEpoch !== 'function')
      throw new WengertError('ERR_OPTION', `fit: expected onEpoch to be a function, got ${describe(options.onEpoch)}`)
    if (signal !== undefined && !(signal instanceof AbortSignal))
      throw new WengertError('ERR_OPTION', `fit: expected signal to be an AbortSignal, got ${describe(signal)}`)
    const names = this.#metricNames('fit', options.metrics)
    const started = performance.now()
    signal?.throwIfAborted()

    const parts = this.#parts(names)
    if (parts.state.busy) parts.state.claim()
    const set = this.#prepare('fit', data, 'set')
    const validation = options.validation === undefined ? undefined : this.#prepare('fit: validation', options.validation, 'set')
    const sample: SampleSpec = { x: set.x.shape.slice(1), y: set.y.shape.slice(1), yDtype: set.y.dtype }
    if (
      validation &&
      (!sameShape(validation.x.shape.slice(1), sample.x) ||
        !sameShape(validation.y.shape.slice(1), sample.y) ||
        validation.y.dtype !== sample.yDtype)
    ) {
      throw new WengertError(
        'ERR_SHAPE',
        `fit: expected validation samples like the training ones, ${formatShape(sample.x)} and ${formatShape(sample.y)}, got ${formatShape(validation.x.shape.slice(1))} and ${formatShape(validation.y.shape.slice(1))}`,
        { expected: sample.x, actual: validation.x.shape },
      )
    }
    const report = reportEntries(names.length, validation !== undefined)
    const batching = this.batching(set.samples, sample, parts, report)
    const after = validation ? this.#evaluation(parts, validation, 1 + names.length, report) : { specs: [], repeats: [] }
    const { plans, constants } = compileTogether([...batching.programs.map((p) => p.spec), ...after.specs], parts.state.layout)
    const segments: Block['segments'] = [...batching.programs.map((p) => p.repeat), ...after.repeats].map((repeat, program) => ({
      program,
      repeat,
    }))
    const updates = batching.programs.reduce((n, p) => n + p.updates * p.repeat, 0)
    const seen = batching.programs.reduce((n, p) => n + p.samples * p.repeat, 0)

    const state = parts.state.claim()
    const runner = engine().createRunner(
      state,
      plans.map((p) => p.executable),
      [
        set.x.data,
        set.y.data,
        undefined,
        undefined,
        validation?.x.data ?? allocate(parts.dtype, 0),
        validation?.y.data ?? allocate(sample.yDtype, 0),
        ...constants,
      ],
    )
    const cancel = () => runner.cancel()
    signal?.addEventListener('abort', cancel, { once: true })
    parts.state.busy = true
    const first = this.epoch
    let stopped: StopReason = 'epochs'
    let previous = NaN
    let calm = 0
    let perBlock =
      observed || tolerance !== undefined
        ? 1
        : Math.max(1, Math.min(Math.floor(blockUpdates / Math.max(1, updates)), Math.floor(blockIndices / set.samples)))
    if (maxSeconds < Infinity) perBlock = 1
    try {
      while (this.epoch < first + epochs) {
        const n = Math.min(perBlock, first + epochs - this.epoch)
        const result = await this.#block(runner, { epochs: n, segments, samples: batching.shuffled ? set.samples : 0, updates, seed })
        const seconds = (performance.now() - started) / 1000
        const records = this.#records(result, {
          entries: report,
          samples: seen,
          updates,
          names,
          validation: validation?.samples,
          seconds,
        })
        if (result.status === 'failed') {
          this.#advance(result.kept, updates)
          throw this.#failure(result, updates)
        }
        this.#advance(result.epochs, updates)
        if (result.status === 'cancelled') {
          this.updates += Math.max(0, result.runs - result.epochs * segments.reduce((sum, s) => sum + s.repeat, 0))
          signal?.throwIfAborted()
          throw new WengertError('ERR_CANCELLED', 'fit: expected to run on, got cancelled by the end of its environment')
        }
        yield records
        signal?.throwIfAborted()
        if (tolerance !== undefined) {
          const { cost } = records[records.length - 1] as EpochRecord
          calm = Math.abs(cost - previous) <= tolerance * Math.abs(previous) ? calm + 1 : 0
          previous = cost
          if (calm >= 2) {
            stopped = 'tolerance'
            break
          }
        }
        if (seconds >= maxSeconds) {
          stopped = 'time'
          break
        }
      }
    } finally {
      signal?.removeEventListener('abort', cancel)
      parts.state.busy = false
      runner.close()
    }
    return { trainer: this.name, updates: this.updates, seconds: (performance.now() - started) / 1000, seed, stopped }
  }

  #advance(epochs: number, updates: number): void {
    this.epoch += epochs
    this.updates += epochs * updates
  }

  /** Makes the orders and rates of some epochs and runs them. */
  #block(
    runner: Runner,
    {
      epochs,
      segments,
      samples,
      updates,
      seed,
    }: { epochs: number; segments: Block['segments']; samples: number; updates: number; seed: number },
  ): Promise<BlockResult> {
    const order = new Int32Array(samples * epochs)
    if (samples > 0) engine().permutations(order, samples, { seed, purpose: purposes.order, a: this.epoch, b: 0 })
    const { scalarCount } = this.optimizer
    const table = new Float64Array(updates * epochs * scalarCount)
    for (let u = 0; u < updates * epochs; u++) {
      this.#scalars(table, u * scalarCount, { epoch: this.epoch + Math.floor(u / updates), update: this.updates + u })
    }
    const rates = allocate(this.model.dtype, table.length)
    rates.set(table)
    return runner.run({ epochs, segments, windows: { [inputIndex.order]: order, [inputIndex.rates]: rates } })
  }

  #records(
    result: BlockResult,
    c: { entries: number; samples: number; updates: number; names: readonly MetricName[]; validation: number | undefined; seconds: number },
  ): EpochRecord[] {
    const read = (row: number, from: number, samples: number) => {
      const at = row * c.entries + from
      return {
        cost: (result.report[at] as number) / samples,
        ...Object.fromEntries(c.names.map((name, i) => [name, (result.report[at + 1 + i] as number) / samples])),
      }
    }
    return Array.from({ length: result.epochs }, (_, row) => ({
      epoch: this.epoch + row + 1,
      updates: this.updates + (row + 1) * c.updates,
      ...read(row, 0, c.samples),
      ...(c.validation === undefined ? {} : { validation: read(row, 1 + c.names.length, c.validation) }),
      seconds: c.seconds,
    }))
  }

  /** What a failed block means to the user. The counters are those of the kept parameters. */
  #failure(result: BlockResult, updates: number): WengertError {
    const { failure } = result
    if (failure?.kind === 'index') {
      return new WengertError(
        'ERR_INDEX',
        `fit: expected indices in 0 … ${failure.size - 1}, got ${failure.value} at position ${failure.position} of a batch`,
        { expected: failure.size, actual: failure.value },
      )
    }
    const epoch = this.epoch - result.kept + (failure?.epoch ?? 0) + 1
    const update = updates > 0 ? `update ${this.updates + ((failure?.epoch ?? 0) - result.kept) * updates + (failure?.run ?? 0) + 1} ` : ''
    return this.#diverged(
      `${update}(epoch ${epoch})`,
      this.epoch > 0 ? `parameters are those of epoch ${this.epoch}` : 'parameters are those of the start',
    )
  }

  #diverged(when: string, kept: string): WengertError {
    return new WengertError(
      'ERR_DIVERGED',
      `${when}: expected a finite cost and finite parameters, got NaN or Infinity; ${kept}; try a smaller learning rate (now ${this.optimizer.learningRate}), or standardise the data`,
      {
        expected: 'finite',
      },
    )
  }
}
