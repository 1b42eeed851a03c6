/** Eager execution: one call of a kernel on typed arrays, checked as every engine checks it. */

import { dtypeOf, memoryError, type TypedArray } from '../../util/dtype.js'
import { indexError } from '../failures.js'
import type { Call } from '../program.js'
import { BadIndex, malformed, Ref } from './kernels/kernel.js'
import { checkOverlap, type Span } from './kernels/overlap.js'
import { registry } from './kernels/registry.js'
import { spanOf } from './replay/program.js'

const refOf = (array: TypedArray): Ref => new Ref(array, 0, array.buffer, array.byteOffset)

function spansOf(call: Call, arrays: readonly TypedArray[]): Span[] {
  return arrays.map((array) => {
    const dtype = dtypeOf(array)
    if (!dtype) throw malformed(call.kernel, 'operands of type Float32Array, Float64Array, Int32Array or Uint8Array', typeof array)
    return spanOf(array, dtype)
  })
}

/** Errors: ERR_PROGRAM for a malformed call, ERR_INDEX for a bad index value. */
export function run(call: Call, outputs: readonly TypedArray[], inputs: readonly TypedArray[]): void {
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
