/** A synchronous update is a plan of one update, made once for each form of the model and each shape of batch, and kept. */

import type { State } from '../backend/backend.js'
import { engine } from '../backend/select.js'
import { counterLength } from '../nn/dropout.js'
import type { FieldSpec } from '../tensor/inputs.js'
import type { BoundedCache, Held } from '../util/bounded-cache.js'
import { allocate, type TypedArray } from '../util/dtype.js'
import { Execution } from './execution.js'
import { inputTable } from './inputs.js'
import type { SampleSpec, StepParts } from './parts.js'
import { updateProgram } from './programs.js'

/** The arrays of one batch, as the program takes them. */
export interface Batch {
  /** Of each field, in the order of their names. */
  readonly x: readonly TypedArray[]
  readonly y: TypedArray
  readonly weights?: TypedArray | undefined
}

/** The update on batches of one shape, ready to run. */
export class Step implements Held {
  /** The scalars of the next update, as the optimiser writes them. */
  readonly scalars: Float64Array
  /** The engine that it is compiled for. */
  readonly engine = engine()
  /** The counter of its draws. */
  readonly counter = new Int32Array(counterLength)
  /** The learning rate of the scalars, where every update at this rate has the same ones. */
  steadyRate: number | undefined
  /** Of one sample's x. */
  readonly fields: readonly FieldSpec[]
  readonly #execution: Execution
  readonly #hyperparameters: TypedArray
  readonly #report = new Float64Array(1)
  readonly #arrays: TypedArray[]
  readonly #at: { readonly x: readonly number[]; readonly y: number; readonly weights: number }

  constructor(
    readonly parts: StepParts,
    sample: SampleSpec,
    readonly samples: number,
    /** Of several processes this one brings rows that count nothing. */
    idle = false,
  ) {
    const table = inputTable(parts, sample, { training: true })
    this.#execution = new Execution(
      [
        updateProgram(
          parts,
          table,
          { kind: 'whole', rows: samples, repeat: 1, own: true, idle },
          { samples, report: 1, masked: sample.masked },
        ),
      ],
      parts,
    )
    this.fields = sample.x
    this.scalars = new Float64Array(parts.optimizer.scalarCount * parts.state.groups.length)
    this.#hyperparameters = allocate(parts.dtype, this.scalars.length)
    // Those of the batch come with each run.
    const arrays = table.list<TypedArray>({ hyperparameters: this.#hyperparameters, draws: this.counter })
    this.#arrays = [...arrays.map((array) => array ?? this.counter), ...this.#execution.constants]
    this.#at = { x: table.namesOf('x').map((name) => table.at(name)), y: table.at('y'), weights: table.at('weights') }
  }

  get bytes(): number {
    return this.#execution.bytes
  }

  /** Takes the scalars as they stand, written for this rate. */
  prepared(rate: number): void {
    this.#hyperparameters.set(this.scalars)
    if (this.parts.steady) this.steadyRate = rate
  }

  /** One update with the scalars last taken and the counter as it stands; the mean cost before it, NaN where that is not finite and nothing was changed. */
  run(state: State, { x, y, weights }: Batch): number {
    const arrays = this.#arrays
    const report = this.#report
    for (let i = 0; i < x.length; i++) arrays[this.#at.x[i] as number] = x[i] as TypedArray
    arrays[this.#at.y] = y
    if (weights) arrays[this.#at.weights] = weights
    report[0] = 0
    return this.#execution.run(state, arrays, report) ? (report[0] as number) / (this.parts.ranks ? 1 : this.samples) : NaN
  }

  release(): void {
    this.#execution.release()
  }
}

const keyOf = ({ x }: SampleSpec): string => x.map(({ name, shape, dtype }) => `${name} ${dtype} ${shape}`).join(';')

/** The step for batches like these, from the cache or made now. */
export function stepFor(cache: BoundedCache<Held>, parts: StepParts, sample: SampleSpec, samples: number, idle = false): Step {
  const { signature, state } = parts
  const kind = `step ${idle ? 'idle ' : ''}${engine().name} ${parts.ranks?.size ?? 1}`
  const key = `${kind} ${signature.id} ${state.id} ${samples} ${keyOf(sample)} ${sample.y} ${sample.yDtype} ${sample.weighted} ${sample.masked}`
  return (cache.get(key) ?? cache.set(key, new Step(parts, sample, samples, idle))) as Step
}
