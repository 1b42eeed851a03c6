/**
 * The elementwise kernel on a handful of points, as in networks of a few neurons: there a call of a loop for every operation costs
 * more than the arithmetic. The micro-program is interpreted point by point on an array of registers instead. Operations that are
 * not worth a case of their own run their loop over one register.
 */

import type { Dtype, TypedArray } from '../../util/dtype.js'
import type { ElementwiseOp } from '../program.js'
import type { Floats, Ref, Run } from './kernel.js'
import { loops } from './micro-ops.js'

/** Points up to which this pays. */
export const SMALL = 4

const ADD = 0
const SUB = 1
const MUL = 2
const DIV = 3
const NEG = 4
const SQUARE = 5
const SIGMOID = 6
const MAXIMUM = 7
const GREATER = 8
const WHERE = 9
const OTHER = 10

const cases: Partial<Record<ElementwiseOp, number>> = {
  add: ADD,
  sub: SUB,
  mul: MUL,
  div: DIV,
  neg: NEG,
  square: SQUARE,
  sigmoid: SIGMOID,
  maximum: MAXIMUM,
  greater: GREATER,
  where: WHERE,
}

/** A micro-program as the interpreter takes it; registers number inputs, constants, results, as in the call. */
export interface SmallProgram {
  compute: number
  points: number
  /** For each input, its element at each point. */
  places: readonly (readonly number[])[]
  constants: readonly number[]
  ops: readonly { name: ElementwiseOp; operands: readonly number[] }[]
  results: readonly number[]
  outputTypes: readonly Dtype[]
}

/** `stores` write registers to outputs of their own type. */
export function bindSmall(
  { compute, points, places, constants, ops, results, outputTypes }: SmallProgram,
  outs: readonly Ref[],
  ins: readonly Ref[],
  stores: Readonly<Record<Dtype, (n: number, y: TypedArray, yo: number, x: TypedArray, xo: number) => void>>,
): Run {
  const inputs = ins.length
  const first = inputs + constants.length
  const count = first + ops.length
  const registers: Floats = compute === 0 ? new Float32Array(count) : new Float64Array(count)
  registers.set(constants, inputs)
  const code = Int32Array.from(
    ops.flatMap(({ name, operands }) => [cases[name] ?? OTHER, operands[0] ?? 0, operands[1] ?? 0, operands[2] ?? 0]),
  )
  const others = ops.map(({ name }) => loops[name])
  const where = Int32Array.from(places.flat())
  const floats = outputTypes.every((type) => type === 'float32' || type === 'float64')
  const store = outputTypes.map((type) => stores[type])
  return () => {
    for (let point = 0; point < points; point++) {
      for (let i = 0, at = point; i < inputs; i++, at += points) {
        const ref = ins[i] as Ref
        registers[i] = ref.array[ref.offset + (where[at] as number)] as number
      }
      for (let y = first, at = 0; y < count; y++, at += 4) {
        const a = registers[code[at + 1] as number] as number
        const b = registers[code[at + 2] as number] as number
        switch (code[at]) {
          case ADD:
            registers[y] = a + b
            break
          case SUB:
            registers[y] = a - b
            break
          case MUL:
            registers[y] = a * b
            break
          case DIV:
            registers[y] = a / b
            break
          case NEG:
            registers[y] = -a
            break
          case SQUARE:
            registers[y] = a * a
            break
          case SIGMOID:
            registers[y] = 1 / (1 + Math.exp(-a))
            break
          case MAXIMUM:
            registers[y] = Math.max(a, b)
            break
          case GREATER:
            registers[y] = a > b ? 1 : 0
            break
          case WHERE:
            registers[y] = a !== 0 ? b : (registers[code[at + 3] as number] as number)
            break
          default: {
            const loop = others[y - first] as (typeof others)[number]
            loop(1, registers, y, registers, code[at + 1] as number, registers, code[at + 2] as number, registers, code[at + 3] as number)
          }
        }
      }
      for (let o = 0; o < outs.length; o++) {
        const out = outs[o] as Ref
        if (floats) out.array[out.offset + point] = registers[results[o] as number] as number
        else (store[o] as (typeof store)[number])(1, out.array, out.offset + point, registers, results[o] as number)
      }
    }
  }
}
