/** The engines that the contract suite runs on. One that cannot be had is skipped, with its reason in the suite's name. */

import { existsSync } from 'node:fs'
import { describe } from 'vitest'
import type { Backend, Executable, State } from '../../lib/backend/backend.js'
import { jsBackend } from '../../lib/backend/js/engine.js'
import type { Call, KernelName, Program, Slot, Step } from '../../lib/backend/program.js'
import { allocate, bytesPerElement, type Dtype, dtypeOf, type TypedArray } from '../../lib/util/dtype.js'

interface Candidate {
  name: string
  backend?: Backend
  reason?: string
}

async function nativeEngine(): Promise<Candidate> {
  const source = new URL('../../lib/backend/native/engine.ts', import.meta.url)
  if (!existsSync(source)) return { name: 'native', reason: 'this tree has no native engine' }
  try {
    const module = (await import(source.href)) as { loadNativeBackend: () => Backend | Error }
    const loaded = module.loadNativeBackend()
    return loaded instanceof Error ? { name: 'native', reason: loaded.message } : { name: 'native', backend: loaded }
  } catch (error) {
    return { name: 'native', reason: (error as Error).message }
  }
}

export const engines: readonly Candidate[] = [{ name: 'js', backend: jsBackend }, await nativeEngine()]

/** The suite for every engine at hand. The body also runs (to be listed) where the engine is missing, with its tests skipped. */
export function onEveryEngine(title: string, body: (backend: Backend) => void): void {
  for (const { name, backend, reason } of engines) {
    if (!backend) console.warn(`skipped: ${title} on ${name}: ${reason}`)
    describe.skipIf(!backend)(`${title}: ${name}${backend ? '' : ` (skipped: ${reason?.split('\n')[0]})`}`, () => body(backend as Backend))
  }
}

export const f32 = (...values: number[]) => Float32Array.from(values)
export const f64 = (...values: number[]) => Float64Array.from(values)
export const i32 = (...values: number[]) => Int32Array.from(values)
export const u8 = (...values: number[]) => Uint8Array.from(values)

export const call = (kernel: KernelName, ints: readonly number[], scalars: readonly number[] = []): Call => ({ kernel, ints, scalars })

/** Runs a call into a new array, prefilled so that what a kernel forgets to write shows. */
export function evaluate(backend: Backend, what: Call, dtype: Dtype, length: number, ...inputs: TypedArray[]): number[] {
  const out = allocate(dtype, length).fill(dtype === 'bool' ? 7 : 77)
  backend.run(what, [out], inputs)
  return Array.from(out)
}

/** The code of what a function throws, or 'nothing'. */
export function codeOf(f: () => unknown): string {
  try {
    f()
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return 'nothing'
}

/** Builds programs by hand: slots are laid out one after the other. */
export class Builder {
  readonly slots: Slot[] = []
  readonly steps: Step[] = []
  arena = 0
  state = 0

  constructor(readonly dtype: 'float32' | 'float64' = 'float64') {}

  #slot(space: number, offset: number, length: number, dtype: Dtype): number {
    this.slots.push({ space, offset, length, dtype })
    return this.slots.length - 1
  }

  scratch(length: number, dtype: Dtype = this.dtype): number {
    const offset = this.arena
    this.arena += Math.ceil((length * bytesPerElement[dtype]) / 8) * 8
    return this.#slot(0, offset, length, dtype)
  }

  stored(length: number, dtype: Dtype = this.dtype): number {
    const offset = this.state
    this.state += Math.ceil((length * bytesPerElement[dtype]) / 8) * 8
    return this.#slot(1, offset, length, dtype)
  }

  /** An entry of the report. */
  entry(index: number, length = 1): number {
    return this.#slot(2, index * 8, length, 'float64')
  }

  input(index: number, length: number, dtype: Dtype = this.dtype, offset = 0): number {
    return this.#slot(3 + index, offset, length, dtype)
  }

  step(what: Call, outputs: readonly number[], inputs: readonly number[]): this {
    this.steps.push({ ...what, outputs, inputs })
    return this
  }

  program(rest: Partial<Program> = {}): Program {
    return {
      dtype: this.dtype,
      arenaBytes: this.arena,
      stateBytes: this.state,
      report: 0,
      inputs: [],
      slots: this.slots,
      steps: this.steps,
      atomic: true,
      ...rest,
    }
  }
}

export function readState(state: State, length: number, offset = 0): number[] {
  const out = new Float64Array(length)
  state.read(offset, out)
  return Array.from(out)
}

export const compiled = (backend: Backend, builder: Builder, rest: Partial<Program> = {}): Executable =>
  backend.compile(builder.program(rest))

/** What arrays of each type agree to: relative to the largest element. */
export const tolerances: Record<Dtype, number> = { float32: 1e-5, float64: 1e-12, int32: 0, bool: 0 }

/** The first place where two results differ by more than their type allows (NaN equals NaN), as text; '' where none does. */
export function difference(actual: TypedArray, expected: ArrayLike<number>, tolerance = tolerances[dtypeOf(actual) as Dtype]): string {
  let scale = 0
  for (let i = 0; i < expected.length; i++) if (Number.isFinite(expected[i])) scale = Math.max(scale, Math.abs(expected[i] as number))
  if (actual.length !== expected.length) return `${actual.length} elements for ${expected.length}`
  for (let i = 0; i < actual.length; i++) {
    const a = actual[i] as number
    const b = expected[i] as number
    if (Object.is(a, b) || a === b) continue
    if (!(Math.abs(a - b) <= tolerance * Math.max(scale, 1e-3))) return `[${i}]: ${a} for ${b}`
  }
  return ''
}
