/**
 * Calls, programs and blocks as the arrays of numbers that the addon reads. Nothing is checked here that C++ checks: only that
 * everything is a number, and that names have numbers.
 */

import type { Dtype } from '../../util/dtype.js'
import { type Block, type Call, flatSteps, type Program } from '../program.js'
import { malformed } from './errors.js'

/** The numbers of the binary's kernels by name. */
export type KernelNumbers = ReadonlyMap<string, number>

export const dtypeNumbers: Readonly<Record<Dtype, number>> = { float32: 0, float64: 1, int32: 2, bool: 3 }

function numberOfDtype(op: string, dtype: Dtype): number {
  if (!Object.hasOwn(dtypeNumbers, dtype)) throw malformed(op, 'a known dtype', dtype)
  return dtypeNumbers[dtype]
}

function numberOfKernel(numbers: KernelNumbers, op: string, kernel: string): number {
  const number = numbers.get(kernel)
  if (number === undefined) throw malformed(op, 'a known kernel', kernel)
  return number
}

/** An array of words that grows. */
class Writer {
  words: Float64Array
  length = 0

  constructor(capacity: number) {
    this.words = new Float64Array(capacity)
  }

  /** Makes room for `count` words more. */
  reserve(count: number): void {
    const needed = this.length + count
    if (needed <= this.words.length) return
    const grown = new Float64Array(Math.max(needed, 2 * this.words.length))
    grown.set(this.words.subarray(0, this.length))
    this.words = grown
  }

  put(...values: unknown[]): void {
    this.putAll(values)
  }

  putAll(values: readonly unknown[]): void {
    this.reserve(values.length)
    const { words } = this
    for (let i = 0; i < values.length; i++) {
      const value = values[i]
      if (typeof value !== 'number') throw malformed('words', 'numbers', typeof value)
      words[this.length++] = value
    }
  }

  finish(): Float64Array {
    return this.words.subarray(0, this.length)
  }
}

const eager = new Writer(256)

/** The words of one call, in an array that the next call overwrites. */
export function encodeCall(numbers: KernelNumbers, call: Call, outputs: number, inputs: number): Float64Array {
  const { kernel, ints, scalars } = call
  eager.length = 0
  eager.reserve(5 + ints.length + scalars.length)
  const { words } = eager
  words[0] = numberOfKernel(numbers, 'run', kernel)
  words[1] = outputs
  words[2] = inputs
  words[3] = ints.length
  words[4] = scalars.length
  eager.length = 5
  eager.putAll(ints)
  eager.putAll(scalars)
  return words
}

export function encodeProgram(numbers: KernelNumbers, program: Program): Float64Array {
  const { inputs, slots } = program
  const steps = flatSteps(program.steps)
  const out = new Writer(64 + 4 * slots.length + 32 * steps.length)
  out.put(numberOfDtype('program', program.dtype), program.arenaBytes, program.stateBytes, program.report, program.atomic ? 1 : 0)
  out.put(inputs.length, slots.length, steps.length)
  for (const { dtype, length, advance, writable } of inputs) {
    out.put(numberOfDtype('program', dtype), length, advance, writable ? 1 : 0)
  }
  for (const { space, offset, length, dtype } of slots) out.put(space, offset, length, numberOfDtype('program', dtype))
  for (const step of steps) {
    if (step.loop) {
      // Its numbers are those of the loop.
      const { length, windows, steps: body } = step.loop
      const words = windows.flatMap(({ slot, advance }) => [slot, advance])
      out.put(
        numberOfKernel(numbers, 'program', 'loop'),
        step.outputs.length,
        step.inputs.length,
        2 + words.length + step.ints.length,
        step.scalars.length,
      )
      out.putAll([...step.outputs, ...step.inputs, length, flatSteps(body).length, ...words, ...step.ints, ...step.scalars])
      continue
    }
    const kernel = numberOfKernel(numbers, 'program', step.kernel)
    out.put(kernel, step.outputs.length, step.inputs.length, step.ints.length, step.scalars.length)
    out.putAll(step.outputs)
    out.putAll(step.inputs)
    out.putAll(step.ints)
    out.putAll(step.scalars)
  }
  return out.finish()
}

/** A block without its windows. */
export function encodeBlock(block: Block): Float64Array {
  const out = new Writer(2 + 2 * block.segments.length)
  out.put(block.epochs, block.checked ? 1 : 0)
  for (const { program, repeat } of block.segments) out.put(program, repeat)
  return out.finish()
}
