/**
 * What elementwise rows are to the kernel: each node is a short chain of micro-operations on numbers of the compute type. A
 * register holds what memory of the node's own type would: whole numbers wrapped to int32, 0 or 1 for bool, so that fused
 * or apart, a conversion converts.
 */

import { type Call, type ElementwiseOp, elementwiseCodes, elementwiseOps } from '../backend/program.js'
import { WengertError } from '../errors.js'
import { type Dtype, isFloat } from '../util/dtype.js'
import { foldGrid } from '../util/shape.js'
import type { Aval } from './primitive.js'

/** The micro-operation that a row stands for. */
export const microOps = new WeakMap<object, ElementwiseOp>()

/** Arithmetic on int32, modulo 2³². */
const onIntegers: Partial<Record<ElementwiseOp, readonly ElementwiseOp[]>> = {
  neg: ['neg', 'wrapInt32'],
  abs: ['abs', 'wrapInt32'],
  square: ['mulInt32'],
  add: ['add', 'wrapInt32'],
  sub: ['sub', 'wrapInt32'],
  mul: ['mulInt32'],
  pow: ['powInt32'],
  mod: ['mod', 'toInt32'],
}

/** The operations of a row at a point: the first reads the operands, each other the result before it; none for other rows. */
export function chainOf(primitive: object, input: Dtype, output: Dtype): readonly ElementwiseOp[] | undefined {
  const op = microOps.get(primitive)
  if (op === undefined) return undefined
  if (op === 'copy' && input !== output) {
    if (output === 'bool') return ['toBool']
    if (output === 'int32' && isFloat(input)) return ['toInt32']
  }
  return (output === 'int32' ? onIntegers[op] : undefined) ?? [op]
}

/**
 * The words of a chain for a call: `operands` are the registers that its first operation reads, `own` that of its result.
 * Where an operation reads more than there are, it reads the last again.
 */
export function wordsOf(chain: readonly ElementwiseOp[], operands: readonly number[], own: number): number[] {
  return chain.flatMap((op, k) => {
    const given = k === 0 ? operands : [own + k - 1]
    return [
      elementwiseCodes[op],
      ...[0, 1, 2].map((slot) => (slot < elementwiseOps[op] ? (given[Math.min(slot, given.length - 1)] as number) : 0)),
    ]
  })
}

/** Whether a node is computed in float32: one of its operands is, and a float64 result asks for no more. */
export const computesInFloat32 = (inputs: readonly Aval[], output: Aval): boolean =>
  [output, ...inputs].some((x) => x.dtype === 'float32') && output.dtype !== 'float64'

/** The call of one elementwise row over a broadcast grid. */
export function lowerMicro(primitive: { readonly name: string }, inputs: readonly Aval[], output: Aval): Call {
  const grid = foldGrid(
    output.shape,
    inputs.map((x) => x.shape),
  )
  if (!grid) throw new WengertError('ERR_SHAPE', `${primitive.name}: expected operands expanded to two dimensions`)
  const chain = chainOf(primitive, (inputs.at(-1) as Aval).dtype, output.dtype) as readonly ElementwiseOp[]
  const registers = inputs.map((_, i) => i)
  const { rows, cols, strides } = grid
  const head = [computesInFloat32(inputs, output) ? 0 : 1, rows, cols, inputs.length, 1, 0, chain.length]
  const result = inputs.length + chain.length - 1
  return { kernel: 'elementwise', ints: [...head, ...strides.flat(), result, ...wordsOf(chain, registers, inputs.length)], scalars: [] }
}
