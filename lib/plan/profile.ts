/**
 * Where a program's time goes, call by call, on the engine in use and with no help from it: a call's time is that of a program
 * which runs those before it and then it many times over, less that of those before it alone, divided by the times. So each
 * call sees the values that it would, and what it shares with its neighbours (operands still in a cache) counts in its favour;
 * `microseconds`, the whole run, is measured by itself.
 */

import type { State } from '../backend/backend.js'
import { flatSteps, type Program, type Step } from '../backend/program.js'
import { engine } from '../backend/select.js'
import { type TypedArray, viewOf } from '../util/dtype.js'
import { bytesOf, detailOf, flopsOf, summedBytes, textTable } from './describe.js'

/** One kernel call of a program: what it computes, and the time it took. */
export interface CallProfile {
  /** The kernel's name, what it computes with its sizes, and where in the model it comes from. */
  readonly kernel: string
  readonly what: string
  readonly label: string
  readonly flops: number
  readonly bytes: number
  /** Of one run, by itself. */
  readonly microseconds: number
  /** Of the sum over all calls, 0 … 1. */
  readonly share: number
  /** 10⁹ operations a second, and 10⁹ bytes of operands a second. */
  readonly gflops: number
  readonly gigabytes: number
}

/** What a run adds up over all processes: between hosts piece by piece, as the gradients are made; else in one call after them. */
export interface CollectiveProfile {
  /** Of one process's numbers, in a run. */
  readonly bytes: number
  /** Of the sums by themselves. */
  readonly microseconds: number
  /** How much less a run takes than one that begins its sums when all is made, as a share of `microseconds`, 0 … 1. */
  readonly hidden: number
}

/** A sum over processes that begins when all of it is made: only those that carry a vote begin before. */
const late = (step: Step): Step => (step.kernel === 'allReduce' ? { ...step, ints: [0, ...step.ints.slice(1)] } : step)

/** A program is run so often for a measurement; a long one, of which less is noise, less often. */
const mostTurns = 5
const turnsOf = (microseconds: number): number => Math.max(2, Math.min(mostTurns, Math.round(20_000 / microseconds)))
/** How often a call is repeated where several processes have to repeat it alike. */
const together = 16
/** A measured stretch of repetitions lasts about so long, in microseconds, or this share of what runs before it. */
const stretch = 500
const stretchShare = 0.25
const mostRepetitions = 5000

/** One program's profile; `toString()` is a table. */
export class Profile {
  constructor(
    readonly calls: readonly CallProfile[],
    /** A whole run, from its call. */
    readonly microseconds: number,
    /** Under a launcher. */
    readonly collective?: CollectiveProfile,
  ) {}

  /** The table. */
  toString(): string {
    const digits = (x: number) => (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2))
    const rows = this.calls.map(({ kernel, what, label, microseconds, share, flops, gflops, gigabytes }, i) => [
      `${i}`,
      kernel,
      what,
      digits(microseconds),
      `${(100 * share).toFixed(1)} %`,
      flops > 0 ? digits(gflops) : '',
      digits(gigabytes),
      label,
    ])
    const parts = this.calls.reduce((sum, { microseconds }) => sum + microseconds, 0)
    const flops = this.calls.reduce((sum, call) => sum + call.flops, 0)
    const { collective: summed } = this
    return [
      textTable(['#', 'kernel', 'what', 'µs', 'share', 'GFLOP/s', 'GB/s', 'of'], rows, [0, 3, 4, 5, 6]),
      `a run takes ${digits(this.microseconds)} µs (its calls, each by itself, ${digits(parts)}): ${digits(flops / this.microseconds / 1000)} GFLOP/s`,
      ...(summed
        ? [
            `of it ${digits(summed.microseconds)} µs (${((100 * summed.microseconds) / this.microseconds).toFixed(1)} %) sum ${summed.bytes.toLocaleString('en')} bytes over all ranks; ${(100 * summed.hidden).toFixed(0)} % of that is hidden behind other calls`,
          ]
        : []),
    ].join('\n')
  }
}

/**
 * @param state scratch: it is written to, and put back between the calls
 * @param inputs what one run sees
 * @param labels of the steps (`flatSteps`); a loop is measured as one call
 */
export function profileProgram(
  program: Program,
  state: State | undefined,
  inputs: readonly TypedArray[],
  labels: readonly string[] = [],
): Profile {
  const report = new Float64Array(program.report)
  const kept = new Uint8Array(program.stateBytes)
  const copy = viewOf('float32', kept.buffer, 0, kept.length / 4)
  state?.read(0, copy)
  /** Gives `measure` what runs a list of steps once and says how many microseconds it took; their memory goes with it. */
  const timed = <T>(given: readonly Step[], measure: (time: () => number) => T, early = false): T => {
    const steps = early ? given : given.map(late)
    const executable = engine().compile({ ...program, steps })
    try {
      return measure(() => {
        state?.write(0, copy)
        report.fill(0)
        const start = performance.now()
        executable.run(state, inputs, report)
        return 1000 * (performance.now() - start)
      })
    } finally {
      executable.release()
    }
  }
  const meets = flatSteps(program.steps).some(({ kernel }) => kernel === 'allReduce')
  let turns = 0
  const least = (time: () => number) => Math.min(...Array.from({ length: turns }, time))
  // By turns with the same run whose sums wait until all is made.
  const [microseconds, unhidden] = timed(
    program.steps,
    (whole) => {
      turns = meets ? mostTurns : turnsOf(whole())
      if (!meets) return [least(whole), 0]
      return timed(program.steps, (waiting) => {
        const pairs = Array.from({ length: 2 * turns }, () => [whole(), waiting()] as const)
        return [Math.min(...pairs.map(([a]) => a)), Math.min(...pairs.map(([, b]) => b))]
      })
    },
    true,
  ) as [number, number]
  const alone = program.steps.map((step, i) => {
    const before = program.steps.slice(0, i)
    return timed(before, (prefix) => {
      prefix()
      const base = least(prefix)
      const once = Math.max(0.05, timed([...before, step], least) - base)
      const wanted = Math.min(mostRepetitions, Math.max(4, Math.ceil(Math.max(stretch, stretchShare * base) / once)))
      const repetitions = meets ? together : wanted
      return timed([...before, ...new Array<Step>(repetitions).fill(step)], (repeated) => {
        repeated()
        // By turns, so that what else the machine does meets both.
        const pairs = Array.from({ length: turns }, () => [prefix(), repeated()] as const)
        const [short, long] = [Math.min(base, ...pairs.map(([a]) => a)), Math.min(...pairs.map(([, b]) => b))]
        return Math.max(0, long - short) / repetitions
      })
    })
  })
  const sum = alone.reduce((a, b) => a + b, 0)
  let number = 0
  const calls = program.steps.map((step, i): CallProfile => {
    const label = labels[number] ?? ''
    number += flatSteps([step]).length
    const own = alone[i] as number
    const [flops, bytes] = [flopsOf(step), bytesOf(program, step)]
    const rate = (amount: number) => (own > 0 ? amount / own / 1000 : 0)
    return {
      kernel: step.kernel,
      what: detailOf(step),
      label,
      flops,
      bytes,
      microseconds: own,
      share: sum > 0 ? own / sum : 0,
      gflops: rate(flops),
      gigabytes: rate(bytes),
    }
  })
  const summed = program.steps.reduce((bytes, step) => bytes + summedBytes(program, step), 0)
  const took = calls.reduce((time, call) => time + (call.kernel === 'allReduce' ? call.microseconds : 0), 0)
  const hidden = took > 0 ? Math.min(1, Math.max(0, (unhidden - microseconds) / took)) : 0
  return new Profile(calls, microseconds, summed > 0 ? { bytes: summed, microseconds: took, hidden } : undefined)
}
