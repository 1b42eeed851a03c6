/**
 * One fit's programs: the batches of an epoch, then the evaluation of the validation set, over one list of inputs; and
 * the runner that repeats them. A model whose path depends on values gets a runner that works eagerly.
 */

import type { Runner, State } from '../backend/backend.js'
import type { Block, Failure } from '../backend/program.js'
import { engine } from '../backend/select.js'
import { WengertError } from '../errors.js'
import { counterLength, writeCounter } from '../nn/dropout.js'
import { compileTogether, type PlanSpec } from '../plan/plan.js'
import { allocate, type TypedArray } from '../util/dtype.js'
import { EagerRunner } from './eager-runner.js'
import { type Prepared, sampleOf } from './prepare.js'
import { evaluationStep, inputIndex, inputSpecs, reportEntries, type StepParts } from './step-programs.js'

/** How a trainer cuts a data set. */
export interface Batching {
  /** Programs, how often each runs in an epoch, and the updates and samples of one run. */
  programs: { spec: PlanSpec; repeat: number; updates: number; samples: number }[]
  /** Whether samples are shuffled: an order of them is made for each epoch. */
  shuffled: boolean
}

const evaluationRows = 1024
let said = false

export class FitPlan {
  readonly segments: Block['segments']
  /** Updates, runs and training samples of an epoch. */
  readonly updates: number
  readonly runs: number
  readonly seen: number
  /** Entries of the report. */
  readonly report: number
  readonly eager: boolean
  readonly #specs: PlanSpec[]
  readonly #programs: Batching['programs']
  readonly #compiled: ReturnType<typeof compileTogether> | undefined

  /** @param batching what happens to the training set; none where only evaluation is wanted */
  constructor(
    readonly parts: StepParts,
    readonly set: Prepared | undefined,
    readonly validation: Prepared | undefined,
    batching: (report: number) => Batching,
  ) {
    const count = parts.metrics.length
    this.report = reportEntries(count, set !== undefined && validation !== undefined)
    this.#programs = batching(this.report).programs
    const evaluation = validation ? this.#evaluation(validation, set ? 1 + count : 0) : []
    const all = [...this.#programs, ...evaluation]
    this.#specs = all.map(({ spec }) => spec)
    this.segments = all.map(({ repeat }, program) => ({ program, repeat }))
    const total = (f: (p: Batching['programs'][number]) => number) => this.#programs.reduce((n, p) => n + f(p) * p.repeat, 0)
    this.updates = total((p) => p.updates)
    this.seen = total((p) => p.samples)
    this.runs = this.segments.reduce((n, s) => n + s.repeat, 0)
    this.#compiled = compileOrNot(this.#specs, parts)
    this.eager = this.#compiled === undefined
  }

  /** The programs that evaluate a set in chunks. */
  #evaluation(data: Prepared, entry: number): { spec: PlanSpec; repeat: number }[] {
    const rows = Math.min(evaluationRows, data.samples)
    return [
      { rows, repeat: Math.floor(data.samples / rows) },
      { rows: data.samples % rows, repeat: data.samples % rows > 0 ? 1 : 0 },
    ]
      .filter(({ repeat }) => repeat > 0)
      .map(({ rows: n, repeat }) => ({
        repeat,
        spec: {
          inputs: inputSpecs(sampleOf(data), this.parts, { x: 0, advance: 0, order: 0, rates: false, validation: n }),
          options: { dtype: this.parts.dtype, report: this.report, atomic: false },
          build: evaluationStep(this.parts, entry, inputIndex.validationX, inputIndex.validationY),
        },
      }))
  }

  /** Something that repeats the programs over a state; the order and the rates come with each block. */
  runner(state: State): Runner {
    const { dtype } = this.parts
    const yDtype = (this.set ?? this.validation)?.y.dtype ?? dtype
    const training = [this.set?.x.data ?? allocate(dtype, 0), this.set?.y.data ?? allocate(yDtype, 0)]
    const moving = this.set ? [undefined, undefined] : [new Int32Array(0), allocate(dtype, 0)]
    const validation = [this.validation?.x.data ?? allocate(dtype, 0), this.validation?.y.data ?? allocate(yDtype, 0)]
    const draws = this.set && this.parts.state.draws ? undefined : new Int32Array(0)
    const inputs: (TypedArray | undefined)[] = [...training, ...moving, ...validation, draws]
    if (!this.#compiled) return new EagerRunner(state, this.parts.state.layout, this.#specs, inputs)
    const { plans, constants } = this.#compiled
    return engine().createRunner(
      state,
      plans.map((p) => p.executable),
      [...inputs, ...constants],
    )
  }

  /** Counters of the draws of so many epochs' runs, the first update being `update`; none where the model draws nothing. */
  counters(seed: number, update: number, epochs: number): Int32Array | undefined {
    if (!this.parts.state.draws) return undefined
    const perEpoch = this.#programs.reduce((n, p) => n + (p.samples > 0 ? p.repeat : 0), 0)
    const out = new Int32Array(perEpoch * epochs * counterLength)
    let [at, now, row] = [0, update, 0]
    for (let epoch = 0; epoch < epochs; epoch++) {
      for (const { repeat, updates, samples } of this.#programs) {
        for (let run = 0; run < repeat; run++) {
          if (samples > 0) {
            writeCounter(out, at, seed, now, row)
            at += counterLength
          }
          now += updates
          row = updates > 0 ? 0 : row + samples
        }
      }
    }
    return out
  }

  /** How many updates of its epoch were made when a run failed. */
  updatesBefore(failure: Failure): number {
    const before = this.#programs.slice(0, failure.program).reduce((n, p) => n + p.updates * p.repeat, 0)
    return before + failure.run * (this.#programs[failure.program]?.updates ?? 0)
  }

  /** How many updates a number of whole runs made. */
  updatesOf(runs: number): number {
    let left = runs % this.runs
    let updates = Math.floor(runs / this.runs) * this.updates
    for (const p of this.#programs) {
      updates += Math.min(left, p.repeat) * p.updates
      left -= Math.min(left, p.repeat)
    }
    return updates
  }

  /** What the failing step computes, where it is known. */
  labelOf({ program, step }: Failure): string | undefined {
    return this.#compiled?.plans[program]?.lowered.labels[step]
  }
}

function compileOrNot(specs: readonly PlanSpec[], parts: StepParts): ReturnType<typeof compileTogether> | undefined {
  try {
    return compileTogether(specs, parts.state.layout)
  } catch (error) {
    if (!(error instanceof WengertError) || error.code !== 'ERR_VALUE_NEEDED') throw error
    if (!said)
      process.emitWarning(
        `${parts.model.describe()} reads values in forward(), so it trains eagerly: correct, but slower and on the main thread`,
        { type: 'WengertEager' },
      )
    said = true
    return undefined
  }
}
