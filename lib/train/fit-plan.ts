/**
 * One fit's programs: the batches of an epoch, then the evaluation of the validation set, over one list of inputs; and
 * the runner that repeats them. A model whose path depends on values gets a runner that works eagerly.
 */

import type { Runner, State } from '../backend/backend.js'
import type { Block, Failure } from '../backend/program.js'
import { engine } from '../backend/select.js'
import { WengertError } from '../errors.js'
import { counterLength, writeCounter } from '../nn/dropout.js'
import { compileTogether, type Plan, type PlanSpec } from '../plan/plan.js'
import { allocate, bytesPerElement, type TypedArray, viewOf } from '../util/dtype.js'
import { purposes } from '../util/random.js'
import { sizeOf } from '../util/shape.js'
import { EagerRunner } from './eager-runner.js'
import { massOf, type Prepared, sampleOf } from './prepare.js'
import { carryStep, evaluationStep, inputIndex, inputSpecs, type ReportLayout, type StepParts } from './step-programs.js'

/** How a trainer cuts a data set. */
export interface Batching {
  /** Programs, how often each runs in an epoch, and the updates and samples of one run. */
  programs: { spec: PlanSpec; repeat: number; updates: number; samples: number }[]
  /** Whether samples are shuffled: an order of them is made for each epoch. */
  shuffled: boolean
  /** Fills the order of one epoch's samples; a plain random one by default. */
  order?: (out: Int32Array, seed: number, epoch: number) => void
  /** What kind of order that is: an epoch begun in one does not go on in another. */
  ordered?: string
}

export interface PlanRequest {
  parts: StepParts
  report: ReportLayout
  /** What is trained on; none where only evaluation is wanted. */
  set?: { data: Prepared; batching: Batching } | undefined
  validation?: Prepared | undefined
  /** Whether epochs may be cut. */
  carry?: boolean
  /** Whether the validation's predictions are kept. */
  predictions?: boolean
}

const evaluationRows = 1024
let said = false

export class FitPlan {
  readonly parts: StepParts
  readonly report: ReportLayout
  readonly batching: Batching | undefined
  readonly segments: Block['segments']
  /** Updates, runs and training samples of an epoch. */
  readonly updates: number
  readonly runs: number
  readonly seen: number
  /** Whether an epoch can be cut between any two updates. */
  readonly cuttable: boolean
  readonly eager: boolean
  /** [validation samples, …outputs], those of the last evaluation; in shared memory, so that the engine writes here. */
  readonly predictions: TypedArray | undefined
  readonly #set: Prepared | undefined
  readonly #validation: Prepared | undefined
  readonly #programs: Batching['programs']
  readonly #specs: PlanSpec[]
  readonly #carry: number | undefined
  readonly #compiled: ReturnType<typeof compileTogether> | undefined

  constructor({ parts, report, set, validation, carry = false, predictions = false }: PlanRequest) {
    this.parts = parts
    this.report = report
    this.#set = set?.data
    this.#validation = validation
    this.batching = set?.batching
    this.#programs = set?.batching.programs ?? []
    if (validation && predictions) {
      const size = validation.samples * sizeOf(validation.output)
      this.predictions = viewOf(parts.dtype, new SharedArrayBuffer(Math.max(1, size) * bytesPerElement[parts.dtype]), 0, size)
    }
    const all = [...this.#programs, ...(validation ? this.#evaluation(validation) : [])]
    this.segments = all.map(({ repeat }, program) => ({ program, repeat }))
    this.#specs = all.map(({ spec }) => spec)
    const total = (f: (p: Batching['programs'][number]) => number) => this.#programs.reduce((n, p) => n + f(p) * p.repeat, 0)
    this.updates = total((p) => p.updates)
    this.seen = total((p) => p.samples)
    this.runs = this.segments.reduce((n, s) => n + s.repeat, 0)
    this.cuttable = set?.batching.shuffled === true && this.#programs.every((p) => p.updates === 1)
    if (carry && set && this.cuttable) {
      this.#carry = this.#specs.length
      this.#specs.push({
        inputs: inputSpecs(sampleOf(set.data), parts, { x: 0, advance: 0, order: 0, rates: false, validation: 0, carry: report.length }),
        options: { dtype: 'float64', report: report.length, atomic: false },
        build: carryStep(report.length),
      })
    }
    this.#compiled = compileOrNot(this.#specs, parts)
    this.eager = this.#compiled === undefined
  }

  /** Whether sums of an earlier part come with each block. */
  get carries(): boolean {
    return this.#carry !== undefined
  }

  /** The programs that evaluate a set in chunks. */
  #evaluation(data: Prepared): { spec: PlanSpec; repeat: number }[] {
    const rows = Math.min(evaluationRows, data.samples)
    const output = this.predictions && data.output
    const whole = { samples: data.samples, mass: massOf(data, this.parts.loss, this.parts.dtype) }
    return [
      { rows, repeat: Math.floor(data.samples / rows) },
      { rows: data.samples % rows, repeat: data.samples % rows > 0 ? 1 : 0 },
    ]
      .filter(({ repeat }) => repeat > 0)
      .map(({ rows: n, repeat }) => ({
        repeat,
        spec: {
          inputs: inputSpecs(sampleOf(data), this.parts, {
            x: 0,
            advance: 0,
            order: 0,
            rates: false,
            validation: n,
            ...(output && { output }),
          }),
          options: { dtype: this.parts.dtype, report: this.report.length, atomic: false },
          build: evaluationStep(this.parts, sampleOf(data), whole, { entry: this.report.validation, predictions: output !== undefined }),
        },
      }))
  }

  /** The compiled programs, with how often each runs in an epoch; none where the model trains eagerly. */
  get programs(): readonly { plan: Plan; repeat: number }[] {
    return this.segments.flatMap(({ repeat }, i) => {
      const plan = this.#compiled?.plans[i]
      return plan ? [{ plan, repeat }] : []
    })
  }

  /** The arrays of all programs: the samples, and of what changes from epoch to epoch the first one's. */
  inputs(order: Int32Array, rates: TypedArray, counters: Int32Array | undefined): TypedArray[] {
    const given: Record<number, TypedArray | undefined> = {
      [inputIndex.order]: order,
      [inputIndex.rates]: rates,
      [inputIndex.draws]: counters,
    }
    return this.#inputs().map((array, i) => given[i] ?? array ?? new Float64Array(0))
  }

  /** The shared inputs, undefined where they come with each block. */
  #inputs(): (TypedArray | undefined)[] {
    const { dtype } = this.parts
    const yDtype = (this.#set ?? this.#validation)?.y.dtype ?? dtype
    const samples = (data: Prepared | undefined): TypedArray[] => [data?.x.data ?? allocate(dtype, 0), data?.y.data ?? allocate(yDtype, 0)]
    const moving = this.#set ? [undefined, undefined] : [new Int32Array(0), allocate(dtype, 0)]
    const draws = this.#set && this.parts.state.draws ? undefined : new Int32Array(0)
    const carry = this.#carry === undefined ? new Float64Array(0) : undefined
    const predictions = this.predictions ?? allocate(dtype, 0)
    const constants = this.#compiled?.constants ?? []
    const weightsOf = (data: Prepared | undefined): TypedArray => data?.weights?.data ?? allocate(dtype, 0)
    const weights = (this.#set ?? this.#validation)?.weights ? [weightsOf(this.#set), weightsOf(this.#validation)] : []
    return [...samples(this.#set), ...moving, ...samples(this.#validation), draws, carry, predictions, ...weights, ...constants]
  }

  /** Something that repeats the programs over a state; the order, the rates and sums carried over come with each block. */
  runner(state: State): Runner {
    const inputs = this.#inputs()
    if (!this.#compiled) return new EagerRunner(state, this.parts.state.layout, this.#specs, inputs)
    return engine().createRunner(
      state,
      this.#compiled.plans.map((p) => p.executable),
      inputs,
    )
  }

  /** The segments of an epoch's updates `from` … `to` − 1: sums are carried in at a cut, and validation follows the last update. */
  segmentsOf(from: number, to: number): Block['segments'] {
    if (from === 0 && to === this.updates) return this.segments
    const segments = from > 0 ? [{ program: this.#carry as number, repeat: 1 }] : []
    let before = 0
    this.#programs.forEach(({ repeat }, program) => {
      const part = Math.min(to, before + repeat) - Math.max(from, before)
      if (part > 0) segments.push({ program, repeat: part })
      before += repeat
    })
    return to === this.updates ? [...segments, ...this.segments.slice(this.#programs.length)] : segments
  }

  /** The samples that an epoch's first so many updates see. */
  samplesBefore(updates: number): number {
    let [left, samples] = [updates, 0]
    for (const p of this.#programs) {
      samples += Math.min(left, p.repeat) * p.samples
      left -= Math.min(left, p.repeat)
    }
    return samples
  }

  /** Orders of some epochs' samples, one after the other; empty where none are shuffled. */
  orders(seed: number, epoch: number, epochs: number): Int32Array {
    if (!this.batching?.shuffled) return new Int32Array(0)
    const samples = this.#set?.samples as number
    const order = new Int32Array(samples * epochs)
    const { order: fill } = this.batching
    if (fill) for (let e = 0; e < epochs; e++) fill(order.subarray(e * samples, (e + 1) * samples), seed, epoch + e)
    else engine().permutations(order, samples, { seed, purpose: purposes.order, a: epoch, b: 0 })
    if (this.seen === samples) return order
    // Samples of a dropped last batch are left out, so that the next epoch's order begins where its first batch looks.
    for (let e = 1; e < epochs; e++) order.copyWithin(e * this.seen, e * samples, e * samples + this.seen)
    return order.subarray(0, epochs * this.seen)
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

  /** How many updates the runs of a block's epoch made: of all segments before a program, and so many of its own runs. */
  updatesBefore(failure: Failure, segments: Block['segments']): number {
    let updates = 0
    for (const { program, repeat } of segments) {
      const each = this.#programs[program]?.updates ?? 0
      if (program === failure.program) return updates + failure.run * each
      updates += repeat * each
    }
    return updates
  }

  /** How many updates the first so many runs of a list of segments make. */
  updatesOf(runs: number, segments: Block['segments']): number {
    let [left, updates] = [runs, 0]
    for (const { program, repeat } of segments) {
      updates += Math.min(left, repeat) * (this.#programs[program]?.updates ?? 0)
      left -= Math.min(left, repeat)
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
