/** Synchronous updates on one batch, compiled once for each shape in a bounded cache. */

import type { State } from '../backend/backend.js'
import { engine } from '../backend/select.js'
import { WengertError } from '../errors.js'
import { counterLength } from '../nn/dropout.js'
import { compile, type Plan, type PlanSpec } from '../plan/plan.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, type TypedArray } from '../util/dtype.js'
import { sizeOf } from '../util/shape.js'
import { runEagerly } from './eager-runner.js'
import type { Prepared } from './prepare.js'
import { directStep, type StepParts } from './step-programs.js'

/** A compiled update. */
export interface Step {
  spec: PlanSpec
  /** Undefined where the model's path depends on values. */
  plan: Plan | undefined
  rates: TypedArray
  report: Float64Array
}

const capacity = 8

export class SingleSteps {
  readonly #cache = new Map<string, Step>()

  clear(): void {
    this.#cache.clear()
  }

  /** One update; the cost before it, or undefined where that is not finite and nothing was changed. */
  run(parts: StepParts, state: State, data: Prepared, scalars: Float64Array, counter: Int32Array): number | undefined {
    const { x, y, weights, samples } = data
    const step = this.of(parts, data)
    step.rates.set(scalars)
    step.report[0] = 0
    const arrays = [x.data, y.data, step.rates, ...(parts.state.draws ? [counter] : []), ...(weights ? [weights.data] : [])]
    if (!step.plan) return this.#eager(step, parts, state, arrays) ? (step.report[0] as number) / samples : undefined
    try {
      step.plan.run(state, arrays, step.report)
    } catch (error) {
      if (error instanceof WengertError && error.code === 'ERR_DIVERGED') return undefined
      throw error
    }
    return (step.report[0] as number) / samples
  }

  /** The update on batches like this one. */
  of(parts: StepParts, data: Prepared): Step {
    const { x, y, weights } = data
    const key = `${engine().name} ${x.shape} ${y.shape} ${y.dtype} ${weights !== undefined}`
    return this.#cache.get(key) ?? this.#compile(key, parts, data)
  }

  #compile(key: string, parts: StepParts, { x, y, weights, samples }: Prepared): Step {
    const { dtype, state } = parts
    const last = state.draws ? 4 : 3
    const { scalarCount } = parts.optimizer
    const spec: PlanSpec = {
      inputs: [
        { name: 'x', shape: x.shape, dtype },
        { name: 'y', shape: y.shape, dtype: y.dtype },
        { name: 'rates', shape: [scalarCount], dtype },
        ...(state.draws ? [{ name: 'draws', shape: [counterLength], dtype: 'int32' as const }] : []),
        ...(weights ? [{ name: 'weights', shape: [samples], dtype }] : []),
      ],
      options: { dtype, report: 1 },
      build: (r) =>
        directStep(r, parts, {
          x: r.input(0),
          y: r.input(1),
          weights: weights && r.input(last),
          rates: r.input(2),
          counter: state.draws ? r.input(3) : undefined,
        }),
    }
    let plan: Plan | undefined
    try {
      plan = compile(spec.inputs, parts.state.layout, spec.options, spec.build)
    } catch (error) {
      if (!(error instanceof WengertError) || error.code !== 'ERR_VALUE_NEEDED') throw error
    }
    const step = { spec, plan, rates: allocate(dtype, scalarCount), report: new Float64Array(1) }
    if (this.#cache.size >= capacity) this.#cache.delete(this.#cache.keys().next().value as string)
    this.#cache.set(key, step)
    return step
  }

  #eager({ spec, report }: Step, { state: { layout } }: StepParts, state: State, arrays: readonly TypedArray[]): boolean {
    const values = new Map(
      layout.slots.map(({ offset, shape, dtype }, slot) => {
        const data = allocate(dtype, sizeOf(shape))
        state.read(offset, data)
        return [slot, new Tensor(shape, dtype, data)]
      }),
    )
    const changed = runEagerly(
      spec,
      layout,
      values,
      arrays,
      arrays.map(() => 0),
      report,
    )
    for (const [slot, value] of changed ?? []) state.write(layout.slots[slot]?.offset as number, value.data)
    return changed !== undefined
  }
}
