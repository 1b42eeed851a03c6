/**
 * The three trainers (mathematics §6): all minimise the cost by θ ← θ − α · (mean gradient over the batch), and differ in
 * the batch alone.
 */

import { balancedOrder, stratifiedOrder } from '../data/sampling.js'
import { WengertError } from '../errors.js'
import { counterLength, withDraws } from '../nn/dropout.js'
import { lossesOf } from '../nn/loss-use.js'
import type { Module } from '../nn/module.js'
import { outputOf } from '../nn/output.js'
import { withBindings } from '../nn/parameter.js'
import { record } from '../plan/record.js'
import { rowsApart } from '../plan/rows.js'
import { ones } from '../tensor/creation.js'
import { checkNumber, describe } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import { countsSteps } from './counting.js'
import type { Cut } from './cut.js'
import type { Batching, Evaluating } from './fit-plan.js'
import { inputTable } from './inputs.js'
import { lengthBatches, lengthEvaluation } from './length-batches.js'
import type { StepParts } from './parts.js'
import { type Prepared, sampleOf } from './prepare.js'
import { ownChunks } from './shard-window.js'
import { type WholeColumn, wholeTargets } from './shards.js'
import { Trainer } from './trainer.js'
import type { TrainerOptions } from './trainer-options.js'

let said = false

/** Σ wᵢ Lᵢ / Σ wᵢ over one sample is its loss: nobody should wait for weights to tell. */
function sayThatOneCancels({ weights }: Prepared, { loss }: StepParts): void {
  if (said || !(weights || loss.weightsOf)) return
  said = true
  process.emitWarning(
    'an update on one sample is the weighted mean of one loss, in which its weight cancels (0 leaves the sample out); give MBSGD batches of several',
    { type: 'WengertWeights' },
  )
}

/** Batches of `size` samples by a shuffled order, the last one shorter unless dropped. */
function shuffledBatches(set: Prepared, parts: StepParts, size: number, { atOnce = size, dropLast = false } = {}): Batching {
  const { samples } = set
  if (size === 1) sayThatOneCancels(set, parts)
  const rows = Math.min(size, samples)
  const cut = (n: number, repeat: number): Cut => ({ kind: 'gathered', rows: n, repeat, atOnce: Math.min(n, atOnce) })
  const cuts = [cut(rows, Math.floor(samples / rows)), cut(samples % rows, samples % rows > 0 && !dropLast ? 1 : 0)]
  return { cuts: cuts.filter(({ repeat }) => repeat > 0) }
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

  protected override batching(set: Prepared, parts: StepParts): Batching {
    const { samples, shard } = set
    if (shard) return this.#ownBatches(set, parts)
    const rows = FBGD.chunkRows * (parts.ranks?.size ?? 1)
    if (samples <= rows || !rowsOfLossesApart(set, parts)) return { cuts: [{ kind: 'whole', rows: samples, repeat: 1 }] }
    const cuts: Cut[] = [
      { kind: 'chunk', rows, repeat: 1, first: true },
      { kind: 'chunk', rows, repeat: Math.floor(samples / rows) - 1 },
      { kind: 'chunk', rows: samples % rows, repeat: samples % rows > 0 ? 1 : 0 },
    ]
    return { cuts: [...cuts.filter(({ repeat }) => repeat > 0), { kind: 'accumulated', rows: 0, repeat: 1 }] }
  }

  /** Of a set that processes hold together each takes its own rows, whose sum is the whole's. */
  #ownBatches(set: Prepared, parts: StepParts): Batching {
    const { start, rows } = set.shard as NonNullable<Prepared['shard']>
    const shard = { start, total: set.samples }
    const chunks = rowsOfLossesApart(set, parts) ? ownChunks(set, FBGD.chunkRows) : undefined
    if (!chunks) return { cuts: [{ kind: 'whole', rows, repeat: 1, shard }] }
    const cuts = chunks.more.map((chunk): Cut => ({ kind: 'chunk', ...chunk, shard }))
    return {
      cuts: [{ kind: 'chunk', rows: chunks.first, repeat: 1, first: true, shard }, ...cuts, { kind: 'accumulated', rows: 0, repeat: 1 }],
    }
  }
}

/** Whether the model's losses depend on their own sample alone; not known of a model whose path depends on values. */
function rowsOfLossesApart(set: Prepared, parts: StepParts): boolean {
  const rows = 3
  const { model, loss, state } = parts
  const sample = sampleOf(set)
  const table = inputTable(parts, sample, { training: true })
  const seen = { rows }
  const inputs = table.specs({ ...table.rowsOf('x', seen), y: seen, weights: seen, draws: { rows: counterLength } })
  try {
    const graph = parts.signature.around(() =>
      record(inputs, state.layout, (r) => {
        withBindings(
          state.parameters.map((p) => p.parameter),
          state.parameters.map((p) => r.state(p.slot)),
          () => {
            const counter = table.has('draws') ? r.input(table.at('draws')) : undefined
            const prediction = withDraws(counter, 0, () =>
              outputOf(
                model,
                table.treeOf('x', (name) => r.input(table.at(name))),
              ),
            )
            // Which steps count changes nothing of whose they are.
            const y = r.input(table.at('y'))
            const weights = countsSteps(sample) ? ones([rows, y.shape[1] as number], { dtype: parts.dtype }) : undefined
            r.report(0, lossesOf(loss, prediction, y, weights))
          },
          model,
        )
      }),
    )
    return rowsApart(
      graph,
      new Set([...table.namesOf('x'), 'y' as const].map((name) => table.at(name))),
      graph.effects.map((effect) => effect.value),
    )
  } catch (error) {
    if (error instanceof WengertError && error.code === 'ERR_VALUE_NEEDED') return false
    throw error
  }
}

/**
 * Stochastic gradient descent, Eq. (3.91): one sample an update (several processes: one each), reshuffled every epoch without
 * replacement.
 */
export class SGD extends Trainer {
  readonly name = 'SGD'

  /** @param options.loss as every trainer; one of `learningRate` and `optimizer`; `schedule` lowers the rate over time */
  constructor(model: Module, options: TrainerOptions) {
    super('SGD', model, options)
  }

  protected override batching(set: Prepared, parts: StepParts): Batching {
    return shuffledBatches(set, parts, parts.ranks?.size ?? 1)
  }
}

/** `TrainerOptions`, and how batches are cut. */
export interface MBSGDOptions extends TrainerOptions {
  /** Samples an update, m′; multiples of 32 are advised. */
  batchSize: number
  /** Leave out the last batch of an epoch where it is shorter. */
  dropLast?: boolean | undefined
  /** Every batch holds each class in proportion; for targets of one class label a sample. */
  stratify?: boolean | undefined
  /** Every batch holds each class equally often, whatever its share: rare samples come up again, common ones are drawn. */
  balance?: boolean | undefined
  /**
   * Batches of sequences of like lengths, for data { x, lengths } (`padSequences`) and models that leave padding out: each is cut to
   * the steps of its bucket, so that less of what is computed is padding. The buckets are those that compute the fewest steps: as many at
   * most as the number says, 8 for true. None by default.
   */
  bucketByLength?: boolean | number | undefined
  /** Batches an update, >= 1: their gradients are added up, one batch in memory at a time; 1 by default. */
  accumulate?: number | undefined
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
  readonly bucketByLength: boolean | number

  constructor(model: Module, options: MBSGDOptions) {
    super('MBSGD', model, options, ['batchSize', 'dropLast', 'accumulate', 'stratify', 'balance', 'bucketByLength'])
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
    const { bucketByLength = false } = options
    this.bucketByLength =
      typeof bucketByLength === 'boolean'
        ? bucketByLength
        : checkNumber('MBSGD', 'bucketByLength', bucketByLength, { integer: true, min: 1 })
    if (this.bucketByLength !== false && (stratify || balance))
      throw new WengertError(
        'ERR_OPTION',
        'MBSGD: batches are of like lengths or of like classes: give bucketByLength or stratify and balance',
      )
  }

  protected override evaluating(set: Prepared, parts: StepParts): Evaluating | undefined {
    return this.bucketByLength === false ? undefined : lengthEvaluation(set, parts, this.bucketByLength, this.batchSize)
  }

  protected override get wants(): readonly WholeColumn[] {
    return this.bucketByLength !== false ? ['lengths'] : this.stratify || this.balance ? ['y'] : []
  }

  protected override batching(set: Prepared, parts: StepParts): Batching {
    const { samples } = set
    const targets = wholeTargets(set)
    const size = this.batchSize * this.accumulate
    const dropLast = this.dropLast && samples >= size
    const most = this.bucketByLength
    if (most !== false) {
      if (size === 1) sayThatOneCancels(set, parts)
      return lengthBatches(set, parts, most, { size, atOnce: this.batchSize, dropLast })
    }
    const batches = shuffledBatches(set, parts, size, { atOnce: this.batchSize, dropLast })
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
