/** The native engine: the addon behind the contract that every engine keeps. */

import { type Addon, addonFunctions } from '../../native/addon.js'
import { loadAddon } from '../../native/load.js'
import type { TypedArray } from '../../util/dtype.js'
import type { StreamKey } from '../../util/random.js'
import type { Backend, BackendInfo, Executable, Runner, State } from '../backend.js'
import { type Call, elementwiseOps, kernelNames, type Program } from '../program.js'
import { encodeCall, type KernelNumbers } from './encode.js'
import { coded, malformed } from './errors.js'
import { NativeExecutable, NativeState } from './program.js'
import { NativeRunner } from './runner.js'

/** What keeps a binary that loads from being of use. */
function lacks(addon: Partial<Addon>): string | undefined {
  if (typeof addon.describe !== 'function') return 'it is not the addon of this package'
  const { kernels, elementwise } = addon.describe()
  const lacking: string[] = addonFunctions.filter((name) => typeof addon[name] !== 'function')
  lacking.push(...[...kernelNames, 'loop'].filter((name) => !kernels.includes(name)))
  for (const [i, name] of Object.keys(elementwiseOps).entries()) if (elementwise[i] !== name) lacking.push(`elementwise ${name}`)
  if (lacking.length === 0) return undefined
  return `it was built from other sources and lacks ${lacking.join(', ')}; build it again`
}

class NativeBackend implements Backend {
  readonly name = 'native'
  readonly offThread = true
  readonly #addon: Addon
  readonly #numbers: KernelNumbers
  readonly #blas: string
  /** The words of the calls that are made again. */
  readonly #words = new WeakMap<Call, Float64Array>()

  constructor(addon: Addon) {
    const { kernels, blas } = addon.describe()
    this.#addon = addon
    this.#numbers = new Map(kernels.map((name, i) => [name, i]))
    this.#blas = `OpenBLAS ${blas}`
  }

  run(call: Call, outputs: readonly TypedArray[], inputs: readonly TypedArray[]): void {
    try {
      let words = call.again ? this.#words.get(call) : undefined
      if (words === undefined) {
        words = encodeCall(this.#numbers, call, outputs.length, inputs.length)
        if (call.again) {
          words = words.slice(0, 5 + call.ints.length + call.scalars.length)
          this.#words.set(call, words)
        }
      }
      // Spread arguments cost as much as a small call.
      if (outputs.length === 1 && inputs.length === 2)
        this.#addon.call(words, outputs[0] as TypedArray, inputs[0] as TypedArray, inputs[1] as TypedArray)
      else if (outputs.length === 1 && inputs.length === 1) this.#addon.call(words, outputs[0] as TypedArray, inputs[0] as TypedArray)
      else this.#addon.call(words, ...outputs, ...inputs)
    } catch (error) {
      throw coded(error)
    }
  }

  compile(program: Program): Executable {
    return new NativeExecutable(this.#addon, this.#numbers, program)
  }

  createState(bytes: number, floats: Parameters<Backend['createState']>[1]): State {
    return new NativeState(this.#addon, bytes, floats)
  }

  createRunner(state: State, programs: readonly Executable[], inputs: readonly (TypedArray | undefined)[]): Runner {
    return new NativeRunner(this.#addon, state, programs, inputs)
  }

  permutations(out: Int32Array, n: number, { seed, purpose, a, b }: StreamKey): void {
    if (!(out instanceof Int32Array)) throw malformed('permutations', 'an Int32Array', typeof out)
    try {
      this.#addon.permutations(out, n, seed >>> 0, Math.floor(seed / 4294967296) >>> 0, purpose >>> 0, a >>> 0, b >>> 0)
    } catch (error) {
      throw coded(error)
    }
  }

  info(): BackendInfo {
    return { name: 'native', blas: this.#blas, threads: this.#addon.threads() }
  }

  setThreads(threads: number): void {
    this.#addon.setThreads(threads)
  }
}

let backend: NativeBackend | undefined

/**
 * The native engine, made at the first call.
 *
 * @throws ERR_BACKEND where no binary loads, or one built from other sources
 */
export function loadNativeBackend(): Backend {
  backend ??= new NativeBackend(loadAddon(lacks))
  return backend
}
