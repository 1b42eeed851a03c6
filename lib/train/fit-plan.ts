/** One fit's programs over its data: the batches of an epoch, then the evaluation of the validation set; and the runner that repeats them. */

import type { Runner, State } from '../backend/backend.js'
import type { Block, Failure } from '../backend/program.js'
import { engine } from '../backend/select.js'
import { rowsBetween } from '../data/shards.js'
import { world } from '../distributed/world.js'
import type { Ranks } from '../nn/ranks.js'
import type { Plan, PlanSpec } from '../plan/plan.js'
import { tensorsOf, treeOf } from '../tensor/inputs.js'
import type { Tensor } from '../tensor/tensor.js'
import type { BoundedCache, Held } from '../util/bounded-cache.js'
import { allocate, allocateShared, type TypedArray } from '../util/dtype.js'
import { purposes } from '../util/random.js'
import { sizeOf } from '../util/shape.js'
import type { Chunk, Cut } from './cut.js'
import { Execution } from './execution.js'
import { type InputName, type InputTable, inputTable } from './inputs.js'
import { partOf } from './meeting.js'
import type { ReportLayout, StepParts } from './parts.js'
import { Timetable, type Turn } from './position.js'
import { type Prepared, sampleOf, totalWeightOf } from './prepare.js'
import { carryProgram, evaluationProgram, updateProgram } from './programs.js'
import { ShardWindow } from './shard-window.js'
import { ownRowsOf } from './shards.js'

/** How a trainer cuts a data set. */
export interface Batching {
  /** What an epoch is made of, in this order. */
  cuts: readonly Cut[]
  /** In which order, where they take turns. */
  turns?: readonly Turn[]
  /** Fills the order of one epoch's samples, where they are gathered; a plain random one by default. */
  order?: (out: Int32Array, seed: number, epoch: number) => void
  /** What kind of order that is: an epoch begun in one does not go on in another. */
  ordered?: string
}

/** How a set is evaluated where its samples are not taken as they stand. */
export interface Evaluating {
  readonly chunks: readonly Chunk[]
  /** Which sample comes when. */
  readonly order: Int32Array
}

export interface PlanRequest {
  parts: StepParts
  report: ReportLayout
  /** What is trained on; none where only evaluation is wanted. */
  set?: { data: Prepared; batching: Batching } | undefined
  validation?: Prepared | undefined
  /** How that is cut; a part after the other by default. */
  evaluating?: ((own: Prepared) => Evaluating | undefined) | undefined
  /** Whether epochs may be cut. */
  carry?: boolean
  /** Whether the validation's predictions are kept. */
  predictions?: boolean
  /** Where programs are kept from fit to fit; none where the next fit has to make them anew. */
  cache?: BoundedCache<Held> | undefined
}

const evaluationRows = 1024

export class FitPlan {
  readonly parts: StepParts
  readonly report: ReportLayout
  readonly batching: Batching | undefined
  readonly timetable: Timetable
  /** [validation samples, …outputs], those of the last evaluation; in shared memory, so that the engine writes here. */
  readonly predictions: TypedArray | undefined
  readonly #set: Prepared | undefined
  /** The rows of the next updates, where processes hold the set together. */
  readonly window: ShardWindow | undefined
  /** This process's part of what is evaluated, and all of it. */
  readonly #validation: Prepared | undefined
  readonly #evaluated: Prepared | undefined
  /** In which order its samples are taken, where not as they stand. */
  readonly #order: Int32Array | undefined
  readonly #table: InputTable
  readonly #execution: Execution
  /** Whether the programs are this plan's own. */
  readonly #own: boolean

  constructor({ parts, report, set, validation, evaluating, carry = false, predictions = false, cache }: PlanRequest) {
    this.parts = parts
    this.report = report
    const ranks = parts.ranks
    const gathers = set?.batching.cuts.some(({ kind }) => kind === 'gathered')
    this.window = set?.data.shard && ranks && gathers ? new ShardWindow(set.data, ranks, set.batching.cuts) : undefined
    this.#set = this.window?.data ?? set?.data
    this.#validation = validation && ownPart(validation, parts.ranks)
    this.#evaluated = validation
    this.batching = set?.batching
    const cuts = set?.batching.cuts ?? []
    if (validation && predictions) {
      const size = validation.samples * sizeOf(validation.output)
      this.predictions = allocateShared(parts.dtype, size)
    }
    const own = this.#validation
    const sorted = own && own.samples > 0 ? evaluating?.(own) : undefined
    this.#order = sorted?.order
    const chunks = sorted?.chunks ?? (own ? chunksOf(own.samples) : [])
    const cutByWindow = this.window !== undefined && this.window.updates < cuts.reduce((n, { repeat }) => n + repeat, 0)
    const carries = (carry || cutByWindow) && Timetable.cuttable(cuts)
    this.timetable = new Timetable(
      cuts,
      chunks.map(({ repeat }) => repeat),
      report.length,
      carries,
      set?.batching.turns,
    )
    const sample = sampleOf((set?.data ?? validation) as Prepared)
    this.#table = inputTable(parts, sample, {
      training: set !== undefined,
      order: cuts.some(({ kind }) => kind === 'gathered'),
      validation: validation !== undefined,
      sorted: sorted !== undefined,
      carry: carries,
      predictions: this.predictions && validation?.output,
    })
    const table = this.#table
    const wholeOf = (data: Prepared) => ({ samples: data.samples, totalWeight: totalWeightOf(data, parts.loss, parts.dtype) })
    const chunked = cuts.some(({ kind }) => kind === 'chunk')
    const [whole, evaluated] = [set && chunked ? wholeOf(set.data) : undefined, validation && wholeOf(validation)]
    const samples = this.window?.rows ?? set?.data.samples ?? 0
    const specs = (): PlanSpec[] => [
      ...cuts.map((cut) => updateProgram(parts, table, cut, { samples, whole, report: report.length, masked: sample.masked })),
      ...chunks.map((chunk) =>
        evaluationProgram(parts, table, chunk, {
          whole: evaluated as NonNullable<typeof evaluated>,
          masked: sample.masked,
          samples: own?.samples ?? 0,
          entry: report.validation,
          report: report.length,
        }),
      ),
      ...(carries ? [carryProgram(table, report.length)] : []),
    ]
    const make = () => new Execution(specs(), parts)
    this.#own = cache === undefined
    if (cache) {
      const metrics = parts.metrics.map(({ name }) => name)
      const made = [
        parts.ranks,
        sample.masked,
        samples,
        whole,
        evaluated,
        report,
        parts.health,
        metrics,
        table.columns,
        cuts,
        chunks,
        carries,
      ]
      const key = `fit ${engine().name} ${parts.signature.id} ${parts.state.id} ${JSON.stringify(made)}`
      this.#execution = (cache.get(key) as Execution | undefined) ?? (cache.set(key, make()) as Execution)
    } else this.#execution = make()
  }

  get eager(): boolean {
    return this.#execution.eager
  }

  /** The compiled programs, with how often each runs in an epoch; none where the model trains eagerly. */
  get programs(): readonly { plan: Plan; repeat: number }[] {
    return this.timetable.repeats.flatMap((repeat, i) => {
      const plan = this.#execution.plans?.[i]
      return plan ? [{ plan, repeat }] : []
    })
  }

  /** The sizes of what the programs add up over all processes, in order: every rank has to have the same. */
  get collectives(): readonly string[] {
    const runs: { repeat: number; sums: string }[] = []
    for (const { plan, repeat } of this.programs) {
      const { steps } = plan.executable.program
      const sums = steps.flatMap(({ kernel, ints }) => (kernel === 'allReduce' ? [ints.join(' ')] : [])).join(', ')
      const before = runs[runs.length - 1]
      // Programs of other rows may add up the same.
      if (before?.sums === sums) before.repeat += repeat
      else runs.push({ repeat, sums })
    }
    return runs.flatMap(({ repeat, sums }) => (sums === '' ? [] : [`${repeat}: ${sums}`]))
  }

  /** Arrays that come with each block, where the programs have such inputs. */
  windows(given: { order: Int32Array; hyperparameters: TypedArray; draws: () => Int32Array; carry: () => Float64Array }): Block['windows'] {
    const windows: Record<number, TypedArray> = {}
    const put = (name: InputName, array: () => TypedArray) => {
      if (this.#table.has(name)) windows[this.#table.at(name)] = array()
    }
    put('order', () => given.order)
    put('hyperparameters', () => given.hyperparameters)
    put('draws', given.draws)
    put('carry', given.carry)
    return windows
  }

  /** The arrays of all programs: the samples, and of what changes from epoch to epoch the first one's. */
  inputs(hyperparameters: TypedArray): TypedArray[] {
    const { timetable } = this
    const windows = this.windows({
      order: this.orders(0, 0, 1),
      hyperparameters,
      draws: () => timetable.counters(0, 0, timetable.whole(1)),
      carry: () => new Float64Array(timetable.entries),
    })
    const arrays = this.#inputs().map((array, i) => array ?? (windows[i] as TypedArray))
    return [...arrays, ...this.#execution.constants]
  }

  /** The shared inputs, undefined where they come with each block. */
  #inputs(): (TypedArray | undefined)[] {
    const arrays = {
      ...this.#table.arraysOf('x', this.#set?.x),
      y: this.#set?.y.data,
      weights: this.#set?.weights?.data,
      ...this.#table.arraysOf('validation x', this.#validation?.x),
      'validation y': this.#validation?.y.data,
      'validation weights': this.#validation?.weights?.data,
      'validation order': this.#order,
      predictions: this.predictions && this.#ownOf(this.predictions),
    }
    const given = Object.entries(arrays).filter((entry): entry is [InputName, TypedArray] => entry[1] !== undefined)
    return this.#table.list(Object.fromEntries(given))
  }

  /** This process's part of all predictions. */
  #ownOf(predictions: TypedArray): TypedArray {
    const { ranks } = this.parts
    const { samples, output, shard } = this.#evaluated as Prepared
    if (!ranks) return predictions
    const { range, live } = shard
      ? { range: [shard.start, shard.start + shard.rows] as const, live: shard.rows > 0 }
      : partOf(ranks, 0, samples)
    const width = sizeOf(output)
    return live ? (predictions.subarray(range[0] * width, range[1] * width) as TypedArray) : (predictions.subarray(0, 0) as TypedArray)
  }

  /** Brings together what was evaluated: predictions in the order of the samples, and what each process has. */
  async gather(report: Float64Array): Promise<void> {
    const { predictions } = this
    if (predictions && this.#order) {
      const own = this.#ownOf(predictions)
      const taken = own.slice()
      const width = own.length / this.#order.length
      this.#order.forEach((sample, i) => {
        own.set(taken.subarray(i * width, (i + 1) * width), sample * width)
      })
    }
    const { validation, health, length } = this.report
    if (!this.parts.ranks || !this.#evaluated) return
    const own = new Float64Array(report.length)
    for (let i = 0; i < report.length; i++) if (i % length >= validation && i % length < health) own[i] = report[i] as number
    const sums = await world().sum('control', own)
    for (let i = 0; i < report.length; i++) if (i % length >= validation && i % length < health) report[i] = sums[i] as number
    if (!predictions) return
    const all = new Float64Array(predictions.length)
    const part = this.#ownOf(predictions)
    all.set(part, (part.byteOffset - predictions.byteOffset) / part.BYTES_PER_ELEMENT)
    predictions.set(await world().sum('control', all))
  }

  /** Something that repeats the programs over a state; the order, the hyperparameters and sums carried over come with each block. */
  runner(state: State): Runner {
    return this.#execution.runner(state, this.#inputs())
  }

  /** Frees what is not kept for another fit. */
  close(): void {
    if (this.#own) this.#execution.release()
  }

  /** Orders of some epochs' samples, one after the other; empty where none are gathered. */
  orders(seed: number, epoch: number, epochs: number): Int32Array {
    if (!this.#table.has('order')) return new Int32Array(0)
    const { seen } = this.timetable
    const samples = this.#set?.samples as number
    const order = allocate('int32', samples * epochs) as Int32Array
    const fill = this.batching?.order
    if (fill) for (let e = 0; e < epochs; e++) fill(order.subarray(e * samples, (e + 1) * samples), seed, epoch + e)
    else engine().permutations(order, samples, { seed, purpose: purposes.order, a: epoch, b: 0 })
    if (seen === samples) return order
    // Samples of a dropped last batch are left out, so that the next epoch's order begins where its first batch looks.
    for (let e = 1; e < epochs; e++) order.copyWithin(e * seen, e * samples, e * samples + seen)
    return order.subarray(0, epochs * seen)
  }

  /** What the failing step computes, where it is known. */
  labelOf(failure: Failure): string | undefined {
    return this.#execution.labelOf(failure)
  }
}

/** The samples of a set that this process evaluates; the whole where it is alone. */
function ownPart(data: Prepared, ranks: Ranks | undefined): Prepared {
  if (data.shard) return ownRowsOf(data, data.shard)
  if (!ranks) return data
  const { range, live } = partOf(ranks, 0, data.samples)
  const [from, to] = live ? range : [0, 0]
  const rows = (t: Tensor): Tensor => rowsBetween(t, from, to)
  return {
    ...data,
    x: treeOf(tensorsOf(data.x).map(([name, t]) => [name, rows(t)] as const)),
    y: rows(data.y),
    samples: to - from,
    ...(data.weights && { weights: rows(data.weights) }),
  }
}

/** How a set is evaluated: so many rows at a time. */
function chunksOf(samples: number): { rows: number; repeat: number }[] {
  if (samples === 0) return []
  const rows = Math.min(evaluationRows, samples)
  return [
    { rows, repeat: Math.floor(samples / rows) },
    { rows: samples % rows, repeat: samples % rows > 0 ? 1 : 0 },
  ].filter(({ repeat }) => repeat > 0)
}
