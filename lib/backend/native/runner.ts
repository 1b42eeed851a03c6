/** Runners over the addon: blocks are worked off on a thread of the runner's own. */

import type { Addon, RunnerHandle } from '../../native/addon.js'
import type { TypedArray } from '../../util/dtype.js'
import type { Executable, Runner, State } from '../backend.js'
import type { Block, BlockResult, ProgramInput } from '../program.js'
import { encodeBlock } from './encode.js'
import { coded, malformed } from './errors.js'
import { NativeExecutable, type NativeState, nativeState } from './program.js'

/** The binary knows inputs by number; that their names agree is seen to here. */
function checkNames(programs: readonly NativeExecutable[]): void {
  const first = programs[0]?.program.inputs ?? []
  for (const { program } of programs) {
    const same = program.inputs.length === first.length && program.inputs.every((input, i) => input.name === first[i]?.name)
    if (!same) throw malformed('runner', 'programs with one list of inputs', 'lists that differ')
  }
}

export class NativeRunner implements Runner {
  readonly #addon: Addon
  readonly #handle: RunnerHandle
  readonly #state: NativeState
  readonly #inputs: readonly ProgramInput[]
  readonly #progress = new Float64Array(3)

  constructor(addon: Addon, state: State, programs: readonly Executable[], inputs: readonly (TypedArray | undefined)[]) {
    const native = programs.map((executable) => {
      if (!(executable instanceof NativeExecutable)) throw malformed('runner', 'programs compiled by the native engine', 'another')
      return executable
    })
    checkNames(native)
    this.#addon = addon
    this.#inputs = native[0]?.program.inputs ?? []
    this.#state = nativeState('runner', state)
    try {
      this.#handle = addon.createRunner(
        this.#state.handle,
        native.map((executable) => executable.handle),
        ...inputs,
      )
    } catch (error) {
      throw coded(error)
    }
  }

  get progress(): { runs: number; epochs: number; cost: number } {
    this.#addon.runnerProgress(this.#handle, this.#progress)
    const [runs, epochs, cost] = this.#progress as unknown as [number, number, number]
    return { runs, epochs, cost }
  }

  async run(block: Block): Promise<BlockResult> {
    const { length } = this.#inputs
    const windows = new Array<TypedArray | undefined>(length).fill(undefined)
    for (const [key, window] of Object.entries(block.windows)) {
      if (!(Number(key) < length)) throw malformed('runner', `windows for inputs below ${length}`, key)
      windows[Number(key)] = window
    }
    try {
      const words = encodeBlock(block)
      return await this.#state.during(() => this.#addon.runBlock(this.#handle, words, ...windows) as Promise<BlockResult>)
    } catch (error) {
      throw coded(error)
    }
  }

  cancel(): void {
    this.#addon.cancelRunner(this.#handle)
  }

  close(): void {
    this.#addon.closeRunner(this.#handle)
  }
}
