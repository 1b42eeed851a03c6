/**
 * From a function to something that can be replayed: record → layouts → simplify → loops → pooled gradients → fold updates → grids → recompute → fuse → rowwise → schedule → lower → compile.
 * Fusion comes after differentiation, so it never stands between a user and a second derivative.
 */

import type { Executable, State } from '../backend/backend.js'
import { flatSteps, spaces } from '../backend/program.js'
import { engine } from '../backend/select.js'
import { WengertError } from '../errors.js'
import type { Held } from '../util/bounded-cache.js'
import type { TypedArray } from '../util/dtype.js'
import { arrange } from './arrange.js'
import { Aside } from './aside.js'
import { describeProgram } from './describe.js'
import type { Graph } from './graph.js'
import { settleLoops, tidy } from './loops.js'
import { type Lowered, lower } from './lower.js'
import { type Profile, profileProgram } from './profile.js'
import { type InputSpec, type Recorder, record } from './record.js'
import type { StateLayout } from './state-layout.js'

export interface PlanOptions {
  /** The floating type of the program: one a program. */
  dtype: 'float32' | 'float64'
  /** Entries of the report. */
  report?: number | undefined
  /** Whether a run begins an update (see `Program.atomic`). */
  atomic?: boolean | undefined
}

/** What a step and a slot of a program take outside of the memory that it computes in, about. */
const bytesPerStep = 512

/** A compiled program with the constants it captured. */
export class Plan implements Held {
  readonly executable: Executable
  #aside: Aside | undefined

  constructor(readonly lowered: Lowered) {
    this.executable = engine().compile(lowered.program)
  }

  /** One synchronous run. `inputs` are those of the recorded function, in order; `report` is added to. */
  run(state: State | undefined, inputs: readonly TypedArray[], report?: Float64Array): void {
    const { constants } = this.lowered
    this.draw()
    this.executable.run(state, constants.length === 0 ? inputs : [...inputs, ...constants], report)
  }

  /** One run off the main thread, for a plan without a state: see `Aside`. `inputs` are copied before this returns. */
  async runAside(op: string, inputs: readonly TypedArray[]): Promise<void> {
    this.draw()
    this.#aside ??= new Aside(this.lowered.program)
    await this.#aside.run(op, [...inputs, ...this.lowered.constants])
  }

  /** Bytes that it holds, about: its memory, its constants and its steps. */
  get bytes(): number {
    const { arenaBytes, steps } = this.lowered.program
    const own = arenaBytes + bytesPerStep * flatSteps(steps).length + (this.#aside?.bytes ?? 0)
    return this.lowered.constants.reduce((sum, { byteLength }) => sum + byteLength, own)
  }

  /** Frees the memory now. Not run afterwards; runs beside the main thread end by themselves. */
  release(): void {
    this.executable.release()
    this.#aside?.release()
  }

  /** Brings the counters of draws to those of the next run; `run` does it by itself. */
  draw(): void {
    for (const { counter, fill } of this.lowered.draws) fill(counter, 0)
  }

  /** The program as a table: each call with its sizes, operations and bytes, and the memory that a run takes. */
  describe(): string {
    return describeProgram(this.lowered.program, this.lowered.labels)
  }

  /**
   * Where the time of a run goes, call by call, measured on the engine in use.
   *
   * @param state scratch, in the layout of the plan's: left in an undefined condition
   * @param inputs as for `run`, or with the constants following already
   */
  profile(state: State | undefined, inputs: readonly TypedArray[]): Profile {
    const { program, constants, labels } = this.lowered
    const missing = program.inputs.length - inputs.length
    return profileProgram(program, state, missing > 0 ? [...inputs, ...constants.slice(-missing)] : inputs, labels)
  }
}

/** Records `build` and compiles it. Errors: ERR_VALUE_NEEDED where the function's path depends on values. */
export function compile(
  inputs: readonly InputSpec[],
  layout: StateLayout,
  options: PlanOptions,
  build: (recorder: Recorder) => void,
): Plan {
  return new Plan(lowerFunction(inputs, layout, options, build))
}

/** The passes alone, without an engine. */
export function lowerFunction(
  inputs: readonly InputSpec[],
  layout: StateLayout,
  options: PlanOptions,
  build: (recorder: Recorder) => void,
): Lowered {
  return lowerGraph(record(inputs, layout, build), inputs, layout, options)
}

/** From a recorded function to a program. */
export function lowerGraph(graph: Graph, inputs: readonly InputSpec[], layout: StateLayout, options: PlanOptions): Lowered {
  const { dtype, report = 0, atomic = true } = options
  tidy(graph)
  settleLoops(graph)
  return lower(arrange(graph), inputs, layout, { dtype, report, atomic })
}

/** One program of several that a runner repeats over one list of inputs. */
export interface PlanSpec {
  inputs: readonly InputSpec[]
  options: PlanOptions
  build: (recorder: Recorder) => void
}

/** Compiles programs that share their inputs: the constants of all follow the inputs in every one. */
export function compileTogether(specs: readonly PlanSpec[], layout: StateLayout): { plans: Plan[]; constants: TypedArray[] } {
  const lowered = specs.map(({ inputs, options, build }) => lowerFunction(inputs, layout, options, build))
  // Such a program is repeated by a runner, which would draw the same numbers each time.
  if (lowered.some((l) => l.draws.length > 0))
    throw new WengertError(
      'ERR_VALUE_NEEDED',
      'program: a generator draws outside of the forward function of a module that the trainer knows; such a model trains eagerly',
    )
  const constants = lowered.flatMap((l) => l.constants)
  let before = 0
  const plans = lowered.map(({ program, constants: own }, i) => {
    const count = (specs[i] as PlanSpec).inputs.length
    const firstOwn = spaces.inputs + count
    const shift = before
    before += own.length
    const declared = lowered.flatMap((l, k) => l.program.inputs.slice((specs[k] as PlanSpec).inputs.length))
    return new Plan({
      constants,
      draws: [],
      labels: (lowered[i] as Lowered).labels,
      program: {
        ...program,
        inputs: [...program.inputs.slice(0, count), ...declared.map((input, k) => ({ ...input, name: `constant ${k}` }))],
        slots: program.slots.map((slot) => (slot.space >= firstOwn ? { ...slot, space: slot.space + shift } : slot)),
      },
    })
  })
  return { plans, constants }
}
