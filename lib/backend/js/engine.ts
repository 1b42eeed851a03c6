/**
 * The engine in pure TypeScript: `kernels/` is the readable definition of every kernel, `replay/` repeats programs.
 * The fallback where no binary fits, and the oracle of the native one. It runs on the calling thread; runners yield to the event loop every ten milliseconds.
 */

import { dtypeOf, memoryError, type TypedArray } from '../../util/dtype.js'
import { permutation } from '../../util/random.js'
import type { Backend } from '../backend.js'
import { indexError } from '../failures.js'
import type { Call } from '../program.js'
import { BadIndex, malformed, Ref } from './kernels/kernel.js'
import { checkOverlap, type Span } from './kernels/overlap.js'
import { registry } from './kernels/registry.js'
import { JsExecutable, spanOf } from './replay/program.js'
import { JsRunner } from './replay/runner.js'
import { JsState } from './replay/state.js'

const refOf = (array: TypedArray): Ref => new Ref(array, 0, array.buffer, array.byteOffset)

function spansOf(call: Call, arrays: readonly TypedArray[]): Span[] {
  return arrays.map((array) => {
    const dtype = dtypeOf(array)
    if (!dtype) throw malformed(call.kernel, 'operands of type Float32Array, Float64Array, Int32Array or Uint8Array', typeof array)
    return spanOf(array, dtype)
  })
}

function run(call: Call, outputs: readonly TypedArray[], inputs: readonly TypedArray[]): void {
  const prepare = Object.hasOwn(registry, call.kernel) ? registry[call.kernel] : undefined
  if (!prepare) throw malformed('run', 'a known kernel', call.kernel)
  const outs = spansOf(call, outputs)
  const ins = spansOf(call, inputs)
  try {
    const prepared = prepare(call, outs, ins)
    checkOverlap(call.kernel, prepared, outs, ins)
    prepared.bind(outputs.map(refOf), inputs.map(refOf))()
  } catch (error) {
    throw error instanceof BadIndex ? indexError(call.kernel, error) : memoryError(call.kernel, error)
  }
}

export const jsBackend: Backend = {
  name: 'js',
  offThread: false,
  run,
  compile: (program) => new JsExecutable(program),
  createState: (bytes, floats) => new JsState(bytes, floats),
  createRunner: (state, programs, inputs) => {
    if (!(state instanceof JsState)) throw malformed('runner', 'a state made by the JavaScript engine', 'another')
    return new JsRunner(state, programs, inputs)
  },
  permutations: (out, n, key) => {
    if (!(out instanceof Int32Array) || !(n > 0) || out.length % n !== 0) {
      throw malformed('permutations', `an Int32Array of a multiple of ${n} elements`, out.length)
    }
    for (let i = 0; i < out.length / n; i++) permutation(out.subarray(i * n, (i + 1) * n), { ...key, a: key.a + i })
  },
  info: () => ({ name: 'js', threads: 1 }),
  setThreads: () => {},
}
