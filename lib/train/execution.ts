/**
 * The two ways in which programs of training are run: compiled by the engine, or eagerly where the model's path depends on
 * values. Everything else of the trainers is the same for both.
 */

import type { Runner, State } from '../backend/backend.js'
import type { Failure } from '../backend/program.js'
import { engine } from '../backend/select.js'
import { WengertError } from '../errors.js'
import { compileTogether, type Plan, type PlanSpec } from '../plan/plan.js'
import type { Held } from '../util/bounded-cache.js'
import type { TypedArray } from '../util/dtype.js'
import { EagerRunner, runEagerly } from './eager.js'
import type { StepParts } from './parts.js'

let said = false

/** Bytes that the engines hold for one call and one slot of a program, about. */
const bytesPerStep = 1024
const bytesPerSlot = 128

export class Execution implements Held {
  /** None where the model trains eagerly. */
  readonly plans: readonly Plan[] | undefined
  /** What the plans captured: they follow the inputs. */
  readonly constants: readonly TypedArray[]
  readonly bytes: number

  /** Errors: what the model and the loss throw for such data. */
  constructor(
    readonly specs: readonly PlanSpec[],
    readonly parts: StepParts,
  ) {
    const compiled = this.#compile()
    this.plans = compiled?.plans
    this.constants = compiled?.constants ?? []
    const programs = this.plans?.map(({ executable }) => executable.program) ?? []
    this.bytes = programs.reduce(
      (sum, { arenaBytes, steps, slots }) => sum + arenaBytes + bytesPerStep * steps.length + bytesPerSlot * slots.length,
      this.constants.reduce((sum, { byteLength }) => sum + byteLength, 0),
    )
  }

  get eager(): boolean {
    return this.plans === undefined
  }

  #compile(): ReturnType<typeof compileTogether> | undefined {
    const { signature, state, model } = this.parts
    try {
      return signature.around(() => compileTogether(this.specs, state.layout))
    } catch (error) {
      if (!(error instanceof WengertError) || error.code !== 'ERR_VALUE_NEEDED') throw error
      if (this.parts.ranks)
        throw new WengertError(
          'ERR_DISTRIBUTED',
          `${model.describe()} is trained eagerly, since its path depends on values (${error.message}); several processes train what can be recorded: express the choice with \`where\``,
          { cause: error },
        )
      if (!said)
        process.emitWarning(
          `${model.describe()} ${error.message.startsWith('program: a generator') ? 'or its loss draws where no counter of the trainer is known' : 'reads values in forward()'}, so it trains eagerly: correct, but slower and on the main thread`,
          { type: 'WengertEager' },
        )
      said = true
      return undefined
    }
  }

  /**
   * One synchronous run of the first program; false where the cost was not finite and nothing was changed.
   *
   * @param arrays of the inputs and the constants
   */
  run(state: State, arrays: readonly TypedArray[], report: Float64Array): boolean {
    const { plans } = this
    if (plans === undefined) {
      const { signature, state: of } = this.parts
      return signature.around(() => runEagerly(this.specs[0] as PlanSpec, of.layout, state, arrays, report))
    }
    try {
      ;(plans[0] as Plan).executable.run(state, arrays, report)
      return true
    } catch (error) {
      if (error instanceof WengertError && error.code === 'ERR_DIVERGED') return false
      throw error
    }
  }

  /** Something that repeats the programs over a state; inputs that are undefined come with each block. */
  runner(state: State, inputs: readonly (TypedArray | undefined)[]): Runner {
    const { parts, plans } = this
    if (plans === undefined) return new EagerRunner(state, parts.state.layout, this.specs, inputs, (body) => parts.signature.around(body))
    const executables = plans.map(({ executable }) => executable)
    return engine().createRunner(state, executables, [...inputs, ...this.constants])
  }

  /** What the failing step computes, where it is known. */
  labelOf({ program, step }: Failure): string | undefined {
    return this.plans?.[program]?.lowered.labels[step]
  }

  release(): void {
    for (const { executable } of this.plans ?? []) executable.release()
  }
}
