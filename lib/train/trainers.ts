/**
 * The three trainers (mathematics §6): all minimise the cost by θ ← θ − α · (mean gradient over the batch), and differ in
 * the batch alone.
 */

import { balancedOrder, stratifiedOrder } from '../data/sampling.js'
import { WengertError } from '../errors.js'
import { withDraws } from '../nn/dropout.js'
import { lossesOf } from '../nn/loss-use.js'
import type { Module } from '../nn/module.js'
import { withBindings } from '../nn/parameter.js'
import { record } from '../plan/record.js'
import { rowsApart } from '../plan/rows.js'
import { checkNumber, describe } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import type { Batching } from './fit-plan.js'
import { massOf, type Prepared } from './prepare.js'
import {
  accumulatedUpdate,
  batchStep,
  chunkStep,
  fullStep,
  inputIndex,
  inputSpecs,
  type SampleSpec,
  type StepParts,
} from './step-programs.js'
import { Trainer, type TrainerOptions } from './trainer.js'

interface Cut {
  /** Samples an update. */
  size: number
  /** Samples computed at a time; all of an update's by default. */
  atOnce?: number
  dropLast?: boolean
}

let said = false

/** Σ wᵢ Lᵢ / Σ wᵢ over one sample is its loss: nobody should wait for weights to tell. */
function sayThatOneCancels(): void {
  if (said) return
  said = true
  process.emitWarning(
    'an update on one sample is the weighted mean of one loss, in which its weight cancels (0 leaves the sample out); give MBSGD batches of several',
    { type: 'WengertWeights' },
  )
}

/** Batches by a shuffled order, the last one shorter unless dropped. */
function shuffledBatches(samples: number, cut: Cut, sample: SampleSpec, parts: StepParts, report: number): Batching {
  const { size, atOnce, dropLast = false } = cut
  if (size === 1 && (sample.weighted || parts.loss.weightsOf)) sayThatOneCancels()
  const rows = Math.min(size, samples)
  const cuts = [
    { rows, repeat: Math.floor(samples / rows) },
    { rows: samples % rows, repeat: samples % rows > 0 && !dropLast ? 1 : 0 },
  ].filter(({ repeat }) => repeat > 0)
  return {
    shuffled: true,
    programs: cuts.map(({ rows: n, repeat }) => ({
      spec: {
        inputs: inputSpecs(sample, parts, { x: samples, advance: 0, order: n, rates: true, validation: 0 }),
        options: { dtype: parts.dtype, report },
        build: batchStep(parts, sample, atOnce),
      },
      repeat,
      updates: 1,
      samples: n,
    })),
  }
}

/** Full-batch gradient descent, Eq. (3.90): one update an epoch, with the exact mean gradient; memory does not grow with m. */
export class FBGD extends Trainer {
  readonly name = 'FBGD'
  protected override readonly accumulates = true
  /** Rows of the chunks over which a full batch is accumulated. */
  static readonly chunkRows = 1024

  /** @param options.loss as every trainer; one of `learningRate` and `optimizer` */
  constructor(model: Module, options: TrainerOptions) {
    super('FBGD', model, options)
  }

  protected override batching(set: Prepared, sample: SampleSpec, parts: StepParts, report: number): Batching {
    const { samples } = set
    const base = { dtype: parts.dtype, report }
    const inputs = (rows: number, rates: boolean) => inputSpecs(sample, parts, { x: rows, advance: rows, order: 0, rates, validation: 0 })
    const chunk = FBGD.chunkRows
    if (samples <= chunk || !this.#rowsApart(sample, parts)) {
      return {
        shuffled: false,
        programs: [
          {
            spec: {
              inputs: inputs(samples, true),
              options: base,
              build: fullStep(parts, sample),
            },
            repeat: 1,
            updates: 1,
            samples,
          },
        ],
      }
    }
    const whole = { samples, mass: massOf(set, parts.loss, parts.dtype) }
    const cuts = [
      { rows: chunk, repeat: 1, first: true },
      { rows: chunk, repeat: Math.floor(samples / chunk) - 1, first: false },
      { rows: samples % chunk, repeat: samples % chunk > 0 ? 1 : 0, first: false },
    ].filter(({ repeat }) => repeat > 0)
    return {
      shuffled: false,
      programs: [
        ...cuts.map(({ rows, repeat, first }) => ({
          spec: { inputs: inputs(rows, false), options: base, build: chunkStep(parts, sample, whole, first) },
          repeat,
          updates: 0,
          samples: rows,
        })),
        {
          spec: { inputs: inputs(0, true), options: { ...base, atomic: false }, build: accumulatedUpdate(parts) },
          repeat: 1,
          updates: 1,
          samples: 0,
        },
      ],
    }
  }

  /** Whether the model's losses depend on their own sample alone. */
  #rowsApart(sample: SampleSpec, parts: StepParts): boolean {
    const rows = 3
    const { model, loss, state } = parts
    const inputs = inputSpecs(sample, parts, { x: rows, advance: 0, order: 0, rates: false, validation: 0 })
    const graph = record(inputs, state.layout, (r) => {
      withBindings(
        state.parameters.map((p) => p.parameter),
        state.parameters.map((p) => r.state(p.slot)),
        () => {
          const counter = state.draws ? r.input(inputIndex.draws) : undefined
          const prediction = withDraws(counter, 0, () => model.forward(r.input(inputIndex.x)))
          r.report(0, lossesOf(loss, prediction, r.input(inputIndex.y)))
        },
      )
    })
    return rowsApart(
      graph,
      new Set([inputIndex.x, inputIndex.y]),
      graph.effects.map((effect) => effect.value),
    )
  }
}

/** Stochastic gradient descent, Eq. (3.91): one sample an update, reshuffled every epoch without replacement. */
export class SGD extends Trainer {
  readonly name = 'SGD'

  /** @param options.loss as every trainer; one of `learningRate` and `optimizer`; `schedule` lowers the rate over time */
  constructor(model: Module, options: TrainerOptions) {
    super('SGD', model, options)
  }

  protected override batching({ samples }: Prepared, sample: SampleSpec, parts: StepParts, report: number): Batching {
    return shuffledBatches(samples, { size: 1 }, sample, parts, report)
  }
}

/** `TrainerOptions`, and how batches are cut. */
export interface MBSGDOptions extends TrainerOptions {
  /** Samples an update, m′; multiples of 32 are advised. */
  batchSize: number
  /** Leave out the last batch of an epoch where it is shorter. */
  dropLast?: boolean
  /** Every batch holds each class in proportion; for targets of one class label a sample. */
  stratify?: boolean
  /** Every batch holds each class equally often, whatever its share: rare samples come up again, common ones are drawn. */
  balance?: boolean
  /** Batches an update, >= 1: their gradients are added up, one batch in memory at a time; 1 by default. */
  accumulate?: number
}

/**
 * Mini-batch gradient descent, Eq. (3.94): ⌈m/m′⌉ updates an epoch, reshuffled and divided anew every epoch; the last short
 * batch is averaged over its own size.
 */
export class MBSGD extends Trainer {
  readonly name = 'MBSGD'
  readonly batchSize: number
  readonly dropLast: boolean
  readonly accumulate: number
  readonly stratify: boolean
  readonly balance: boolean

  constructor(model: Module, options: MBSGDOptions) {
    super('MBSGD', model, options, ['batchSize', 'dropLast', 'accumulate', 'stratify', 'balance'])
    this.batchSize = checkNumber('MBSGD', 'batchSize', options.batchSize, { integer: true, min: 1 })
    this.dropLast = options.dropLast ?? false
    const { stratify = false, balance = false } = options
    if (typeof stratify !== 'boolean' || typeof balance !== 'boolean' || (stratify && balance)) {
      const got = stratify === true && balance === true ? 'both' : describe(typeof stratify === 'boolean' ? balance : stratify)
      throw new WengertError('ERR_OPTION', `MBSGD: expected stratify or balance to be true, or neither, got ${got}`)
    }
    this.stratify = stratify
    this.balance = balance
    this.accumulate = checkNumber('MBSGD', 'accumulate', options.accumulate ?? 1, { integer: true, min: 1 })
  }

  protected override batching({ samples, y: targets }: Prepared, sample: SampleSpec, parts: StepParts, report: number): Batching {
    const size = this.batchSize * this.accumulate
    const dropLast = this.dropLast && samples >= size
    const batches = shuffledBatches(samples, { size, atOnce: this.batchSize, dropLast }, sample, parts, report)
    if (!this.stratify && !this.balance) return batches
    if (targets.size !== samples) {
      throw new WengertError(
        'ERR_OPTION',
        `MBSGD: expected one class label a sample for ${this.stratify ? 'stratify' : 'balance'}, got targets ${formatShape(targets.shape)}`,
        { actual: targets.shape },
      )
    }
    const make = this.stratify ? stratifiedOrder : balancedOrder
    const ordered = this.stratify ? 'stratified' : 'balanced'
    return {
      ...batches,
      ordered,
      order: (out, seed, epoch) => make(out, targets.data, { seed, epoch, batchSize: Math.min(size, samples) }),
    }
  }
}
