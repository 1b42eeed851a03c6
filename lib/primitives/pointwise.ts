/**
 * What makes an elementwise row, and the function of it, from its definition: y = f(x₁, …) at every point, with NumPy's
 * broadcasting. Operands are brought to one element type, and expanded where a two-dimensional grid cannot express them.
 */

import { type ElementwiseOp, elementwiseOps } from '../backend/program.js'
import { WengertError } from '../errors.js'
import { full } from '../tensor/creation.js'
import { emptyTensor, Tensor } from '../tensor/tensor.js'
import { type Dtype, isFloat, promote } from '../util/dtype.js'
import { describe } from '../util/options.js'
import { broadcastShapes, foldGrid, sameShape } from '../util/shape.js'
import { broadcastTo } from './broadcast.js'
import { lowerMicro, microOps } from './micro-ops.js'
import { cast } from './movement.js'
import type { Notation } from './notation.js'
import {
  type Aval,
  apply,
  type ElementwiseRule,
  noParams,
  type Params,
  type Primitive,
  type Sample,
  type StandingNumber,
  Traced,
} from './primitive.js'

/** A tensor or a number; numbers take the element type of the tensors beside them. */
export type Operand = Tensor | number

/** A function of one operand. */
export type Unary = (x: Operand) => Tensor
/** A function of two operands. */
export type Binary = (a: Operand, b: Operand) => Tensor

/** What the tests sample an input from. */
interface Domain {
  low?: number
  high?: number
  dtype?: Dtype
}

type OutputType = 'same' | 'float' | 'bool'

interface Definition {
  doc: string
  /** 'float' turns integers into float32 first; 'same' keeps them; 'bool' is a comparison. */
  output: OutputType
  derivatives?: readonly ElementwiseRule[]
  notation?: Notation
  domain?: Domain | readonly Domain[]
  tolerance?: number
  /** Notes what is known of a result, and gives it back. */
  known?: (y: Tensor, x: Operand) => Tensor
}

const outputDtype = (output: OutputType, dtype: Dtype): Dtype => (output === 'bool' ? 'bool' : dtype)

function row(name: ElementwiseOp, definition: Definition): Primitive {
  const arity = elementwiseOps[name]
  const domains = Array.isArray(definition.domain) ? definition.domain : new Array(arity).fill(definition.domain ?? {})
  const base = {
    name,
    doc: definition.doc,
    infer: (inputs: readonly Aval[]): Aval => ({
      shape: broadcastShapes(
        name,
        inputs.map((x) => x.shape),
      ),
      dtype: outputDtype(definition.output, (inputs[arity - 1] as Aval).dtype),
    }),
    lower: (inputs: readonly Aval[], output: Aval) => lowerMicro(primitive, inputs, output),
    rowwise: (inputs: readonly Aval[], output: Aval, _params: Params, rows: readonly boolean[]) =>
      inputs.every((x, i) =>
        rows[i]
          ? x.shape.length === output.shape.length && x.shape[0] === output.shape[0]
          : x.shape.length < output.shape.length || x.shape[0] === 1,
      ),
    samples: (): Sample[] => {
      const sample = (...shapes: number[][]): Sample => ({
        inputs: shapes.slice(0, arity).map((shape, i) => ({ shape, ...(domains[i] as Domain) })),
      })
      const plain = [sample([3, 4], [3, 4], [3, 4]), sample([0], [0], [0]), sample([], [], [])]
      return arity === 1
        ? [...plain, sample([2, 3, 4])]
        : [...plain, sample([3, 4], [4], [3, 1]), sample([2, 1, 4], [3, 1], []), sample([], [5], [2, 5])]
    },
    ...(definition.notation === undefined ? {} : { notation: definition.notation }),
    ...(definition.tolerance === undefined ? {} : { tolerance: definition.tolerance }),
  }
  const primitive: Primitive = definition.derivatives
    ? { ...base, kind: 'elementwise', derivatives: definition.derivatives }
    : { ...base, kind: 'nondifferentiable' }
  microOps.set(primitive, name)
  return primitive
}

/** What is known of a tensor that stands for a number, which has no element type of its own. */
const numberIn = (x: unknown): StandingNumber | undefined => (x instanceof Traced ? x.number : undefined)

const isNumber = (x: unknown): boolean => typeof x === 'number' || numberIn(x) !== undefined
const isFraction = (x: unknown): boolean =>
  typeof x === 'number' ? !(Number.isInteger(x) && Math.abs(x) < 2147483648) : numberIn(x)?.integer === false

/** Floating tensors of one type, all of one shape or single numbers, as nearly all operands are: they are taken as they stand. */
function ready(operands: readonly Operand[]): Tensor[] | undefined {
  const count = operands.length
  let like: Tensor | undefined
  for (let i = 0; i < count; i++) {
    const x = operands[i]
    if (!(x instanceof Tensor)) {
      if (typeof x !== 'number') return undefined
    } else if (numberIn(x)) return undefined
    else if (like === undefined || like.shape.length === 0) {
      if (!isFloat(x.dtype) || (like && like.dtype !== x.dtype)) return undefined
      like = x
    } else if (x.dtype !== like.dtype || (x.shape !== like.shape && x.shape.length > 0 && !sameShape(x.shape, like.shape))) return undefined
  }
  if (like === undefined) return undefined
  const tensors: Tensor[] = new Array(count)
  for (let i = 0; i < count; i++) {
    const x = operands[i]
    if (x instanceof Tensor) tensors[i] = x
    else {
      tensors[i] = emptyTensor([], like.dtype)
      ;(tensors[i] as Tensor).data[0] = x as number
    }
  }
  return tensors
}

/** Brings operands to tensors of one element type, and expands those that a two-dimensional grid cannot express. */
function prepare(name: string, operands: readonly Operand[], output: OutputType, first = 0): Tensor[] {
  const plain = first === 0 ? ready(operands) : undefined
  if (plain) return plain
  let dtype: Dtype | undefined
  let ofNumbers: Dtype | undefined
  for (let i = first; i < operands.length; i++) {
    const x = operands[i]
    if (numberIn(x)) ofNumbers = (x as Tensor).dtype
    else if (x instanceof Tensor) dtype = dtype === undefined ? x.dtype : promote(dtype, x.dtype)
    else if (typeof x !== 'number' && typeof x !== 'boolean') {
      throw new WengertError('ERR_VALUE', `${name}: expected tensors or numbers, got ${describe(x)}`, {
        expected: 'Tensor | number',
        actual: x,
      })
    }
  }
  dtype ??= ofNumbers
  if (dtype === undefined || (!isFloat(dtype) && (output === 'float' || operands.some(isFraction)))) dtype = 'float32'
  else if (dtype === 'bool' && (output === 'same' || operands.some(isNumber))) dtype = 'int32'
  const type = dtype
  const tensors = operands.map((x, i) => {
    if (i < first) return asBool(name, x as Operand)
    return x instanceof Tensor ? (numberIn(x)?.as(type) ?? cast(x, type)) : full([], x as number, { dtype: type })
  })
  const shapes = tensors.map((x) => x.shape)
  const shape = broadcastShapes(name, shapes)
  if (foldGrid(shape, shapes)) return tensors
  return tensors.map((x) => (sameShape(x.shape, shape) || x.size === 1 ? x : broadcastTo(x, shape)))
}

function asBool(name: string, x: Operand): Tensor {
  if (x instanceof Tensor) return cast(x, 'bool')
  if (typeof x === 'number' || typeof x === 'boolean') return full([], Number(x), { dtype: 'bool' })
  throw new WengertError('ERR_VALUE', `${name}: expected a condition, got ${describe(x)}`, { actual: x })
}

/** Micro-operations without a row: casts and integer arithmetic are made of them. */
type Inner = 'copy' | 'toBool' | 'toInt32' | 'wrapInt32' | 'mulInt32' | 'powInt32'
type Named<N> = { [K in ElementwiseOp]: (typeof elementwiseOps)[K] extends N ? K : never }[ElementwiseOp]
/** The names that have rows. */
export type RowName = Exclude<ElementwiseOp, Inner>

/** The row behind a function that `unary`, `binary` or `choice` made. */
const rows = new WeakMap<object, Primitive>()
export const rowOf = (op: object): Primitive | undefined => rows.get(op)

/** The function of a row with one operand. */
export function unary(name: Exclude<Named<1>, Inner>, definition: Definition): Unary {
  const [primitive, { output, known }] = [row(name, definition), definition]
  const apply1: Unary = (x) => apply(primitive, prepare(name, [x], output), noParams)
  const op: Unary = known ? (x) => known(apply1(x), x) : apply1
  rows.set(op, primitive)
  return op
}

/** The function of a row with two operands. */
export function binary(name: Exclude<Named<2>, Inner>, definition: Definition): Binary {
  const primitive = row(name, definition)
  const op: Binary = (a, b) => apply(primitive, prepare(name, [a, b], definition.output), noParams)
  rows.set(op, primitive)
  return op
}

/** The function of a row whose first operand is a condition. */
export function choice(name: Named<3>, definition: Definition): (condition: Operand, a: Operand, b: Operand) => Tensor {
  const primitive = row(name, definition)
  const op = (condition: Operand, a: Operand, b: Operand) =>
    apply(primitive, prepare(name, [condition, a, b], definition.output, 1), noParams)
  rows.set(op, primitive)
  return op
}
