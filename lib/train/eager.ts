/**
 * The eager way, for models whose path depends on values: the recorded functions are run on tensors, an update at a time, on
 * the JavaScript thread, which is given back to the event loop every ten milliseconds.
 */

import type { Runner, State } from '../backend/backend.js'
import type { Block, BlockResult } from '../backend/program.js'
import type { PlanSpec } from '../plan/plan.js'
import type { InputSpec, Recorder } from '../plan/record.js'
import type { StateLayout, StateSlot } from '../plan/state-layout.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, isFloat, type TypedArray } from '../util/dtype.js'
import { sizeOf } from '../util/shape.js'

const sliceMilliseconds = 10

/** A block that an exception of the model's ended: what was done before is kept. */
export interface EagerResult extends BlockResult {
  readonly error?: unknown
}

/** The values of a state's slots while functions run on them. */
class Slots {
  #values: (Tensor | undefined)[]

  constructor(
    readonly state: State,
    readonly layout: StateLayout,
  ) {
    this.#values = layout.slots.map(() => undefined)
  }

  read(slot: number): Tensor {
    const known = this.#values[slot]
    if (known) return known
    const { offset, shape, dtype } = this.layout.slots[slot] as StateSlot
    const data = allocate(dtype, sizeOf(shape))
    this.state.read(offset, data)
    const tensor = new Tensor(shape, dtype, data)
    this.#values[slot] = tensor
    return tensor
  }

  set(slot: number, value: Tensor): void {
    this.#values[slot] = value
  }

  /** What is known of the slots now: values are never changed in place, so this is a state to go back to. */
  keep(): (Tensor | undefined)[] {
    return [...this.#values]
  }

  /** Goes back to `kept`; what was not known then is as in the state. */
  restore(kept: readonly (Tensor | undefined)[]): void {
    this.#values = [...kept]
  }

  /** Writes the values into the state. */
  store(): void {
    this.#values.forEach((value, slot) => {
      if (value) this.state.write((this.layout.slots[slot] as StateSlot).offset, value.data)
    })
  }
}

/** Runs a recorded function; returns the assignments, or undefined where the cost (entry 0) is not finite. */
function apply(
  spec: PlanSpec,
  slots: Slots,
  arrays: readonly TypedArray[],
  cursors: readonly number[] | undefined,
  report: Float64Array,
): [slot: number, value: Tensor][] | undefined {
  const assigned: [number, Tensor][] = []
  const recorder: Recorder = {
    input: (i) => {
      const { shape, dtype } = spec.inputs[i] as InputSpec
      const from = cursors?.[i] ?? 0
      return new Tensor(shape, dtype, (arrays[i] as TypedArray).subarray(from, from + sizeOf(shape)) as TypedArray)
    },
    state: (slot) => slots.read(slot),
    assign: (slot, value) => {
      const { shape, dtype } = slots.layout.slots[slot] as StateSlot
      assigned.push([slot, new Tensor(shape, dtype, value.data)])
    },
    report: (entry, value) => {
      for (const x of value.data) report[entry] = (report[entry] as number) + x
    },
    output: (i, value) => {
      ;(arrays[i] as TypedArray).set(value.data, cursors?.[i])
    },
  }
  spec.build(recorder)
  return report.length === 0 || Number.isFinite(report[0]) ? assigned : undefined
}

/** One synchronous run; false where the cost is not finite, and nothing was changed. */
export function runEagerly(
  spec: PlanSpec,
  layout: StateLayout,
  state: State,
  arrays: readonly TypedArray[],
  report: Float64Array,
): boolean {
  const changed = apply(spec, new Slots(state, layout), arrays, undefined, report)
  for (const [slot, value] of changed ?? []) state.write((layout.slots[slot] as StateSlot).offset, value.data)
  return changed !== undefined
}

function isFinite(value: Tensor): boolean {
  return !isFloat(value.dtype) || value.data.every((x) => Number.isFinite(x))
}

export class EagerRunner implements Runner {
  readonly progress = { runs: 0, epochs: 0, cost: NaN }
  #cancelled = false

  /** @param around runs the model's forward function (see `Signature`) */
  constructor(
    readonly state: State,
    readonly layout: StateLayout,
    readonly specs: readonly PlanSpec[],
    readonly inputs: readonly (TypedArray | undefined)[],
    readonly around: <T>(body: () => T) => T,
  ) {}

  cancel(): void {
    this.#cancelled = true
  }

  close(): void {
    this.cancel()
  }

  async run(block: Block): Promise<EagerResult> {
    this.#cancelled = false
    const entries = this.specs[0]?.options.report ?? 0
    const arrays = this.inputs.map((array, i) => array ?? (block.windows[i] as TypedArray))
    const cursors = arrays.map(() => 0)
    const slots = new Slots(this.state, this.layout)
    const rows: Float64Array[] = []
    let good = slots.keep()
    let [epochs, runs, kept] = [0, 0, 0]
    let since = performance.now()
    const finish = (status: BlockResult['status'], more: Pick<EagerResult, 'failure' | 'error'> = {}): EagerResult => {
      if (status === 'failed') slots.restore(good)
      slots.store()
      const report = new Float64Array(rows.length * entries)
      rows.forEach((row, i) => {
        report.set(row, i * entries)
      })
      return { status, epochs, runs, kept: status === 'failed' ? kept : epochs, report, ...more }
    }
    for (; epochs < block.epochs; epochs++) {
      let row = new Float64Array(entries)
      rows.push(row)
      for (const { program, repeat } of block.segments) {
        const spec = this.specs[program] as PlanSpec
        for (let run = 0; run < repeat; run++) {
          if (this.#cancelled && (spec.options.atomic ?? true)) return finish('cancelled')
          if (performance.now() - since > sliceMilliseconds) {
            await new Promise((resolve) => setImmediate(resolve))
            since = performance.now()
          }
          const before = row.slice()
          let changed: ReturnType<typeof apply>
          try {
            changed = this.around(() => apply(spec, slots, arrays, cursors, row))
          } catch (error) {
            // Half an update is none: neither its sums nor anything else of it stay.
            rows[rows.length - 1] = row = before
            return finish('cancelled', { error })
          }
          if (changed === undefined || !changed.every(([, value]) => isFinite(value)))
            return finish('failed', { failure: { kind: 'nonfinite', program, epoch: epochs, run, step: -1 } })
          for (const [slot, value] of changed) slots.set(slot, value)
          spec.inputs.forEach((input, i) => {
            cursors[i] = (cursors[i] as number) + (input.advance ?? 0)
          })
          runs++
          this.progress.runs = runs
        }
      }
      for (let i = 0; i < cursors.length; i++) if (!(i in block.windows)) cursors[i] = 0
      good = slots.keep()
      kept = epochs + 1
      this.progress.epochs = kept
    }
    return finish('done')
  }
}
