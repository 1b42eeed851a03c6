/** States and programs over the addon. What is checked here is only what has a name or a class; the rest C++ checks. */

import type { Addon, ProgramHandle, StateHandle } from '../../native/addon.js'
import type { Dtype, TypedArray } from '../../util/dtype.js'
import type { Executable, State } from '../backend.js'
import type { Program } from '../program.js'
import { dtypeNumbers, encodeProgram, type KernelNumbers } from './encode.js'
import { coded, malformed } from './errors.js'

export class NativeState implements State {
  readonly handle: StateHandle
  readonly #addon: Addon
  #released = false
  /** As last asked for, while nothing can have changed it: readers of parameters ask for each of them. */
  #version: number | undefined
  /** Blocks that run on it now. */
  #blocks = 0

  constructor(
    addon: Addon,
    readonly bytes: number,
    floats: readonly { offset: number; length: number; dtype: Dtype }[],
  ) {
    this.#addon = addon
    try {
      const words = floats.flatMap(({ offset, length, dtype }) => [offset, length, dtypeNumbers[dtype] ?? -1])
      this.handle = addon.createState(bytes, Float64Array.from(words))
    } catch (error) {
      throw coded(error)
    }
  }

  get version(): number {
    if (this.#blocks > 0) return this.#addon.stateVersion(this.handle)
    this.#version ??= this.#addon.stateVersion(this.handle)
    return this.#version
  }

  /** A program is about to run on it. */
  disturb(): void {
    this.#version = undefined
  }

  /** Runs a block on it, on a thread of its own. */
  async during<T>(block: () => Promise<T>): Promise<T> {
    this.#blocks++
    try {
      return await block()
    } finally {
      this.#blocks--
      this.#version = undefined
    }
  }

  write(offset: number, source: TypedArray): void {
    this.#version = undefined
    try {
      this.#addon.writeState(this.handle, offset, source)
    } catch (error) {
      throw coded(error)
    }
  }

  read(offset: number, target: TypedArray): void {
    this.readAll([offset], [target])
  }

  readAll(offsets: readonly number[], targets: readonly TypedArray[]): number {
    try {
      return this.#addon.readState(
        this.handle,
        targets.flatMap((target, i) => [offsets[i] as number, target]),
      )
    } catch (error) {
      throw coded(error)
    }
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    this.#addon.releaseState(this.handle)
  }
}

/** Errors: ERR_PROGRAM for another engine's state. */
export function nativeState(op: string, state: State): NativeState {
  if (!(state instanceof NativeState)) throw malformed(op, 'a state made by the native engine', 'another')
  return state
}

export class NativeExecutable implements Executable {
  readonly handle: ProgramHandle
  readonly #addon: Addon
  #released = false

  constructor(
    addon: Addon,
    numbers: KernelNumbers,
    readonly program: Program,
  ) {
    this.#addon = addon
    try {
      const words = encodeProgram(numbers, program)
      this.handle = addon.compile(words)
    } catch (error) {
      throw coded(error)
    }
  }

  run(state: State | undefined, inputs: readonly TypedArray[], report?: Float64Array): void {
    const own = state === undefined ? undefined : nativeState('program', state)
    own?.disturb()
    try {
      this.#addon.run(this.handle, own?.handle, report, ...inputs)
    } catch (error) {
      throw coded(error)
    }
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    this.#addon.releaseProgram(this.handle)
  }
}
