/**
 * A program run once beside the main thread: its inputs are copied, what it writes lies in a state of its own until the run is
 * done and is then handed over whole.
 */

import type { Executable } from '../backend/backend.js'
import { indexError } from '../backend/failures.js'
import { type Program, spaces } from '../backend/program.js'
import { engine } from '../backend/select.js'
import { WengertError } from '../errors.js'
import { bytesPerElement, type TypedArray } from '../util/dtype.js'
import { StateLayout } from './state-layout.js'

/** Writable inputs become places of a state; the others keep their order. */
function overState(program: Program): { program: Program; layout: StateLayout } {
  const layout = new StateLayout()
  const moved = program.inputs.map(({ name, length, dtype, writable }) =>
    writable ? (layout.slots[layout.add(name, [length], dtype)]?.offset as number) : undefined,
  )
  let kept = 0
  const place = moved.map((offset) => (offset === undefined ? spaces.inputs + kept++ : spaces.state))
  return {
    layout,
    program: {
      ...program,
      stateBytes: layout.bytes,
      inputs: program.inputs.filter(({ writable }) => !writable),
      slots: program.slots.map((slot) => {
        const input = slot.space - spaces.inputs
        return input < 0 ? slot : { ...slot, space: place[input] as number, offset: slot.offset + (moved[input] ?? 0) }
      }),
    },
  }
}

export class Aside {
  readonly #executable: Executable
  readonly #layout: StateLayout

  /** @param program one without a state, whose writable inputs are only written */
  constructor(readonly program: Program) {
    const moved = overState(program)
    this.#layout = moved.layout
    this.#executable = engine().compile(moved.program)
  }

  get bytes(): number {
    return this.#layout.bytes + this.program.arenaBytes
  }

  /**
   * One run; the arrays may be changed as soon as this has returned its promise. Those that are written are written when it is kept.
   *
   * @param op for messages
   * @throws ERR_INDEX, ERR_RANGE for a bad index; ERR_CANCELLED where the environment shuts down
   */
  async run(op: string, arrays: readonly TypedArray[]): Promise<void> {
    const { inputs } = this.program
    const state = engine().createState(Math.max(this.#layout.bytes, bytesPerElement.float64), [])
    const runner = engine().createRunner(
      state,
      [this.#executable],
      arrays.filter((_, i) => !inputs[i]?.writable),
    )
    try {
      const { failure, status } = await runner.run({ epochs: 1, segments: [{ program: 0, repeat: 1 }], windows: {} })
      if (failure?.kind === 'index') throw indexError(op, failure)
      if (status !== 'done') throw new WengertError('ERR_CANCELLED', `${op}: the run was cancelled`)
      const written = arrays.filter((_, i) => inputs[i]?.writable)
      if (written.length > 0)
        state.readAll(
          this.#layout.slots.map(({ offset }) => offset),
          written,
        )
    } finally {
      runner.close()
      state.release()
    }
  }

  release(): void {
    this.#executable.release()
  }
}
