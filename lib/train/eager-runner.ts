/**
 * Training without programs, for models whose path depends on values: the same recorded functions are run eagerly, a
 * batch at a time, on the JavaScript thread, which is given back to the event loop every ten milliseconds.
 */

import type { Runner, State } from '../backend/backend.js'
import type { Block, BlockResult } from '../backend/program.js'
import type { PlanSpec } from '../plan/plan.js'
import type { InputSpec, Recorder } from '../plan/record.js'
import type { StateLayout } from '../plan/state-layout.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, isFloat, type TypedArray } from '../util/dtype.js'
import { sizeOf } from '../util/shape.js'

const sliceMilliseconds = 10

export class EagerRunner implements Runner {
  readonly progress = { runs: 0, epochs: 0, cost: NaN }
  #cancelled = false

  constructor(
    readonly state: State,
    readonly layout: StateLayout,
    readonly specs: readonly PlanSpec[],
    readonly inputs: readonly (TypedArray | undefined)[],
  ) {}

  cancel(): void {
    this.#cancelled = true
  }

  close(): void {
    this.cancel()
  }

  async run(block: Block): Promise<BlockResult> {
    this.#cancelled = false
    const entries = this.specs[0]?.options.report ?? 0
    const arrays = this.inputs.map((array, i) => array ?? (block.windows[i] as TypedArray))
    const cursors = arrays.map(() => 0)
    const values = this.#load()
    const good = new Map(values)
    const rows: Float64Array[] = []
    let [epochs, runs, kept] = [0, 0, 0]
    let since = performance.now()
    const finish = (status: BlockResult['status'], failure?: BlockResult['failure']): BlockResult => {
      this.#store(status === 'failed' ? good : values)
      const report = new Float64Array(rows.length * entries)
      rows.forEach((row, i) => {
        report.set(row, i * entries)
      })
      return { status, epochs, runs, kept: status === 'failed' ? kept : epochs, report, ...(failure ? { failure } : {}) }
    }
    for (; epochs < block.epochs; epochs++) {
      const row = new Float64Array(entries)
      rows.push(row)
      for (const { program, repeat } of block.segments) {
        const spec = this.specs[program] as PlanSpec
        for (let run = 0; run < repeat; run++) {
          if (this.#cancelled && (spec.options.atomic ?? true)) return finish('cancelled')
          if (performance.now() - since > sliceMilliseconds) {
            await new Promise((resolve) => setImmediate(resolve))
            since = performance.now()
          }
          const changed = runEagerly(spec, this.layout, values, arrays, cursors, row)
          if (changed === undefined || !changed.every(([, value]) => isFinite(value))) {
            return finish('failed', { kind: 'nonfinite', program, epoch: epochs, run, step: -1 })
          }
          for (const [slot, value] of changed) values.set(slot, value)
          spec.inputs.forEach((input, i) => {
            cursors[i] = (cursors[i] as number) + (input.advance ?? 0)
          })
          runs++
          this.progress.runs = runs
        }
      }
      for (let i = 0; i < cursors.length; i++) if (!(i in block.windows)) cursors[i] = 0
      for (const [slot, value] of values) good.set(slot, value)
      kept = epochs + 1
      this.progress.epochs = kept
    }
    return finish('done')
  }

  #load(): Map<number, Tensor> {
    return new Map(
      this.layout.slots.map(({ offset, shape, dtype }, slot) => {
        const data = allocate(dtype, sizeOf(shape))
        this.state.read(offset, data)
        return [slot, new Tensor(shape, dtype, data)]
      }),
    )
  }

  #store(values: ReadonlyMap<number, Tensor>): void {
    for (const [slot, value] of values) this.state.write(this.layout.slots[slot]?.offset as number, value.data)
  }
}

function isFinite(value: Tensor): boolean {
  return !isFloat(value.dtype) || (value.data as Float32Array).every((x) => Number.isFinite(x))
}

/** Runs a recorded function on values; returns the assignments, or undefined where the cost (entry 0) is not finite. */
export function runEagerly(
  spec: PlanSpec,
  layout: StateLayout,
  values: ReadonlyMap<number, Tensor>,
  arrays: readonly TypedArray[],
  cursors: readonly number[],
  report: Float64Array,
): [slot: number, value: Tensor][] | undefined {
  const assigned: [number, Tensor][] = []
  const recorder: Recorder = {
    input: (i) => {
      const { shape, dtype } = spec.inputs[i] as InputSpec
      const from = cursors[i] as number
      return new Tensor(shape, dtype, (arrays[i] as TypedArray).subarray(from, from + sizeOf(shape)) as TypedArray)
    },
    state: (slot) => values.get(slot) as Tensor,
    assign: (slot, value) => {
      const { shape, dtype } = layout.slots[slot] as StateLayout['slots'][number]
      assigned.push([slot, new Tensor(shape, dtype, value.data)])
    },
    report: (entry, value) => {
      for (const x of value.data) report[entry] = (report[entry] as number) + x
    },
    output: (i, value) => {
      ;(arrays[i] as TypedArray).set(value.data, cursors[i])
    },
  }
  spec.build(recorder)
  return report.length === 0 || Number.isFinite(report[0]) ? assigned : undefined
}
