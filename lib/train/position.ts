/** Where in an epoch a fit is: how an epoch's updates follow each other, and how far one that was begun has come. */

import type { Block, BlockResult } from '../backend/program.js'
import { counterLength, writeCounter } from '../nn/dropout.js'
import { allocate } from '../util/dtype.js'
import { type Cut, updatesOf } from './cut.js'

/** An epoch that was begun and not finished. */
export interface PartialEpoch {
  /** Of its order of samples. */
  seed: number
  /** Its updates so far. */
  updates: number
  /** The report's sums so far. */
  sums: Float64Array
  /** Of the data, how they are cut, and what is summed: an epoch goes on only where all are the same. */
  key: string
}

/** How far an epoch had come, to go back to. */
export type Mark = Readonly<{ at: number; sums: Float64Array | undefined; seed: number }>

/** What one block covers: some whole epochs, or the updates `from` … `to` − 1 of one. */
export interface Stretch {
  readonly epochs: number
  readonly from: number
  readonly to: number
}

/** So many runs of one of an epoch's cuts. */
export type Turn = Block['segments'][number]

/** The samples that one run of a cut sees. */
const samplesOf = ({ kind, rows }: Cut): number => (kind === 'accumulated' ? 0 : rows)

/** The updates of an epoch, and what else runs in it. Programs are the cuts', then the evaluation's, then what carries sums over. */
export class Timetable {
  readonly segments: Block['segments']
  /** How often each program runs in an epoch. */
  readonly repeats: readonly number[]
  /** Updates and training samples of an epoch. */
  readonly updates: number
  readonly seen: number
  /** Whether an epoch can be cut between any two updates. */
  readonly cuttable: boolean

  /**
   * @param evaluation how often each program of the evaluation runs
   * @param entries of the report
   * @param carries whether there is a program that brings sums along
   * @param turns the runs of the cuts as they follow each other; one cut's after the other's by default
   */
  constructor(
    readonly cuts: readonly Cut[],
    readonly evaluation: readonly number[],
    readonly entries: number,
    readonly carries: boolean,
    readonly turns: readonly Turn[] = cuts.map(({ repeat }, program) => ({ program, repeat })),
  ) {
    this.repeats = [...cuts.map(({ repeat }) => repeat), ...evaluation]
    this.segments = [...turns, ...evaluation.map((repeat, i) => ({ program: cuts.length + i, repeat }))]
    this.updates = cuts.reduce((n, cut) => n + updatesOf(cut) * cut.repeat, 0)
    this.seen = cuts[0]?.shard?.total ?? cuts.reduce((n, cut) => n + samplesOf(cut) * cut.repeat, 0)
    this.cuttable = Timetable.cuttable(cuts)
  }

  static cuttable(cuts: readonly Cut[]): boolean {
    return cuts.length > 0 && cuts.every(({ kind }) => kind === 'gathered')
  }

  /** The whole of so many epochs. */
  whole(epochs: number): Stretch {
    return { epochs, from: 0, to: this.updates }
  }

  /** The segments of each of a stretch's epochs: sums are carried in at a cut, and the evaluation follows the last update. */
  segmentsOf({ from, to }: Stretch): Block['segments'] {
    if (from === 0 && to === this.updates) return this.segments
    const segments = from > 0 ? [{ program: this.repeats.length, repeat: 1 }] : []
    let before = 0
    for (const { program, repeat } of this.turns) {
      const part = Math.min(to, before + repeat) - Math.max(from, before)
      if (part > 0) segments.push({ program, repeat: part })
      before += repeat
    }
    return to === this.updates ? [...segments, ...this.segments.slice(this.turns.length)] : segments
  }

  /** The cuts of each update of a stretch that may be cut anywhere. */
  *cutsOf({ from, to }: Stretch): Iterable<Cut> {
    let before = 0
    for (const { program, repeat } of this.turns) {
      for (let i = Math.max(from, before); i < Math.min(to, before + repeat); i++) yield this.cuts[program] as Cut
      before += repeat
    }
  }

  /** The samples that an epoch's first so many updates see. */
  samplesBefore(updates: number): number {
    let [left, samples] = [updates, 0]
    for (const { program, repeat } of this.turns) {
      samples += Math.min(left, repeat) * samplesOf(this.cuts[program] as Cut)
      left -= Math.min(left, repeat)
    }
    return samples
  }

  /** The updates of a stretch's runs beyond its last whole epoch. */
  updatesBeyond({ runs, epochs }: BlockResult, stretch: Stretch): number {
    const segments = this.segmentsOf(stretch)
    let left = runs - epochs * segments.reduce((n, { repeat }) => n + repeat, 0)
    let updates = 0
    for (const { program, repeat } of segments) {
      updates += Math.min(left, repeat) * this.#updatesOf(program)
      left -= Math.min(left, repeat)
    }
    return updates
  }

  #updatesOf(program: number): number {
    const cut = this.cuts[program]
    return cut ? updatesOf(cut) : 0
  }

  /**
   * Counters of the draws of a stretch's runs: each update draws what it would draw in the whole epoch.
   *
   * @param update the number of the stretch's first update
   */
  counters(seed: number, update: number, { epochs, from, to }: Stretch): Int32Array {
    const turns = this.turns.map(({ program, repeat }) => {
      const cut = this.cuts[program] as Cut
      return { repeat, updates: updatesOf(cut), samples: samplesOf(cut), draws: cut.kind !== 'accumulated' }
    })
    const perEpoch = turns.reduce((n, { repeat, draws }) => n + (draws ? repeat : 0), 0)
    const out = allocate('int32', perEpoch * epochs * counterLength) as Int32Array
    let [at, now, row] = [0, update - from, 0]
    for (let epoch = 0; epoch < epochs; epoch++) {
      for (const { repeat, updates, samples, draws } of turns) {
        for (let run = 0; run < repeat; run++) {
          if (draws) {
            writeCounter(out, at, seed, now, row)
            at += counterLength
          }
          now += updates
          row = updates > 0 ? 0 : row + samples
        }
      }
    }
    // Where an epoch is cut, every run is one update.
    return from === 0 && to === this.updates ? out : out.subarray(from * counterLength, to * counterLength)
  }
}

/** How far a fit has come within its epoch. */
export class Position {
  /** Updates made of the unfinished epoch, its sums so far, and the seed of its order. */
  #at: number
  #sums: Float64Array | undefined
  #seed: number

  /** @param begun an epoch that an earlier fit began */
  constructor(
    readonly timetable: Timetable,
    /** Of the fit. */
    readonly seed: number,
    begun: PartialEpoch | undefined,
  ) {
    this.#at = begun?.updates ?? 0
    this.#sums = begun?.sums
    this.#seed = begun?.seed ?? seed
  }

  /** Updates made of the unfinished epoch. */
  get at(): number {
    return this.#at
  }

  /** What the sums of a block's first epoch start from. */
  get sums(): Float64Array {
    return this.#sums ?? new Float64Array(this.timetable.entries)
  }

  get partial(): Omit<PartialEpoch, 'key'> | undefined {
    return this.#sums && this.#at > 0 ? { seed: this.#seed, updates: this.#at, sums: this.#sums } : undefined
  }

  get mark(): Mark {
    return { at: this.#at, sums: this.#sums, seed: this.#seed }
  }

  /** Goes back to where `mark` was taken. */
  reset({ at, sums, seed }: Mark): void {
    this.#at = at
    this.#sums = sums
    this.#seed = seed
  }

  /**
   * What to run next.
   *
   * @param epochs at most
   * @param room updates until somebody has to be asked again
   */
  next(epochs: number, room: number): Stretch {
    const { updates, cuttable } = this.timetable
    const from = this.#at
    if (cuttable && (from > 0 || room < updates)) return { epochs: 1, from, to: Math.min(updates, from + room) }
    return this.timetable.whole(Math.max(1, Math.min(epochs, Math.floor(room / Math.max(1, updates)))))
  }

  /** The seed of the orders of a stretch. */
  orderSeed({ from }: Stretch): number {
    return from > 0 ? this.#seed : this.seed
  }

  /** The epochs that a block brought to their end. */
  finished({ epochs }: BlockResult, { to }: Stretch): number {
    return to === this.timetable.updates ? epochs : 0
  }

  /** Takes note of what a block has done, and says what that was; an epoch that is not finished is kept for the next block, or the next fit. */
  advance(result: BlockResult, stretch: Stretch): { epochs: number; updates: number } {
    const { timetable } = this
    const { from, to } = stretch
    const whole = result.epochs * (to - from)
    const more = timetable.updatesBeyond(result, stretch)
    const epochs = this.finished(result, stretch)
    // Where the unfinished epoch stands: at the end of this part, or at the update that a cancellation came before.
    const at = epochs > 0 ? more : from + whole + more
    const row = to < timetable.updates && result.epochs > 0 ? 0 : result.epochs
    this.#sums = at > 0 && timetable.cuttable ? this.row(result, row) : undefined
    if (from === 0 || epochs > 0) this.#seed = this.seed
    this.#at = this.#sums ? at : 0
    return { epochs, updates: whole + more }
  }

  /** A row of a block's report; the sums brought along where the block did not get that far. */
  row({ report }: BlockResult, epoch: number): Float64Array | undefined {
    const { entries } = this.timetable
    return report.length < (epoch + 1) * entries ? this.#sums : report.slice(epoch * entries, (epoch + 1) * entries)
  }
}
