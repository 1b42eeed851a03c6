/**
 * The contract of a kernel in this engine. A kernel is prepared once from the description of a call, which is where all
 * that can be checked is checked; it is then bound to operands, giving a closure without arguments that allocates nothing.
 *
 * To add one: a `Prepare` function in its room, a line in registry.ts, and the table of program.ts (the neutral one).
 */

import { WengertError } from '../../../errors.js'
import { type Dtype, isFloat, type TypedArray } from '../../../util/dtype.js'
import type { Call } from '../../program.js'

/** What a call knows of an operand before there is data. */
export interface Operand {
  readonly dtype: Dtype
  readonly length: number
}

/**
 * Where a bound operand lies: elements from `offset` of `array`. Both change between runs (windows move, states are swapped),
 * so a bound kernel reads them anew at each run. `base` and `start` identify the memory: two operands with the same base
 * and start are the same memory, whatever the arrays are at the moment. A class, so that V8 sees one shape everywhere.
 */
export class Ref {
  constructor(
    public array: TypedArray,
    public offset: number,
    readonly base: unknown,
    readonly start: number,
  ) {}
}

export type Run = () => void

export interface Prepared {
  bind(outputs: readonly Ref[], inputs: readonly Ref[]): Run
  /** Which inputs may be exactly the memory of an output; none where absent. */
  readonly inPlace?: readonly boolean[]
  /** Where in an output of their type inputs may lie, in elements. */
  readonly within?: readonly number[]
}

export type Prepare = (call: Call, outputs: readonly Operand[], inputs: readonly Operand[]) => Prepared

/** Thrown by a run that meets a bad index: its place in the index operand, its value, and the size it had to be below. */
export class BadIndex {
  constructor(
    readonly position: number,
    readonly value: number,
    readonly size: number,
  ) {}
}

/** The two floating arrays. Loops are shared by both types; in a process that uses one of them they stay monomorphic. */
export type Floats = Float32Array | Float64Array

export type Pair = [number, number]
export type Triple = [number, number, number]
export type Quad = [number, number, number, number]

export function malformed(op: string, expected: unknown, got: unknown): WengertError {
  return new WengertError('ERR_PROGRAM', `${op}: expected ${expected}, got ${got}`, { expected, actual: got })
}

export function checkCounts(call: Call, outputs: readonly Operand[], inputs: readonly Operand[], m: number, n: number): void {
  if (outputs.length !== m) throw malformed(call.kernel, `${m} outputs`, outputs.length)
  if (inputs.length !== n) throw malformed(call.kernel, `${n} inputs`, inputs.length)
}

/** All integers of the call, which must be `count` (at least that many where `more`), each a safe integer. */
export function integers(call: Call, count: number, more = false): readonly number[] {
  const { ints, kernel } = call
  if (more ? ints.length < count : ints.length !== count) throw malformed(kernel, `${count}${more ? ' or more' : ''} integers`, ints.length)
  for (const value of ints) if (!Number.isSafeInteger(value)) throw malformed(kernel, 'safe integers', value)
  return ints
}

/** As `integers`, none of them negative. */
export function dimensions(call: Call, count: number): readonly number[] {
  for (const value of integers(call, count)) if (value < 0) throw malformed(call.kernel, 'dimensions of 0 or more', value)
  return call.ints
}

export function scalarsOf(call: Call, count: number): readonly number[] {
  const { scalars, kernel } = call
  if (scalars.length !== count) throw malformed(kernel, `${count} scalars`, scalars.length)
  for (const value of scalars) if (typeof value !== 'number') throw malformed(kernel, 'numbers as scalars', typeof value)
  return scalars
}

/** The product of dimensions; refused where it is not exact. */
export function volume(call: Call, ...dims: readonly number[]): number {
  if (dims.includes(0)) return 0
  let product = 1
  for (const dim of dims) {
    product *= dim
    if (!Number.isSafeInteger(product)) throw malformed(call.kernel, 'dimensions with an exact product', dims.join(' × '))
  }
  return product
}

type Kind = 'float' | 'number' | 'any' | Dtype

function fits(dtype: Dtype, kind: Kind): boolean {
  if (kind === 'any') return true
  if (kind === 'float') return isFloat(dtype)
  if (kind === 'number') return dtype !== 'bool'
  return dtype === kind
}

/** Checks an operand's element type (`number`: F or int32) and length, and gives its type. */
export function checkOperand(call: Call, name: string, operand: Operand | undefined, kind: Kind, length: number): Dtype {
  const { dtype, length: actual } = operand as Operand
  if (!fits(dtype, kind)) throw malformed(call.kernel, `${name} of type ${kind === 'number' ? 'float32, float64 or int32' : kind}`, dtype)
  if (actual !== length) throw malformed(call.kernel, `${name} of ${length} elements`, actual)
  return dtype
}
