/**
 * Elementwise rows: y = f(x₁, …) at every point, with NumPy's broadcasting. Each is one micro-operation of the
 * elementwise kernel. The derivative of each input is a function linear in `g`.
 *
 * Kinks follow PyTorch: the derivative of abs at 0 is 0, of relu at 0 is 0, maximum and minimum share it between equals.
 * NaN in, NaN out: neither a value nor a derivative at NaN is a number. Arithmetic on int32 wraps modulo 2³².
 */

import { type ElementwiseOp, elementwiseOps } from '../backend/program.js'
import { WengertError } from '../errors.js'
import { full } from '../tensor/creation.js'
import { emptyTensor, Tensor } from '../tensor/tensor.js'
import { type Dtype, isFloat, promote } from '../util/dtype.js'
import { describe } from '../util/options.js'
import { broadcastShapes, foldGrid, sameShape } from '../util/shape.js'
import { broadcastTo } from './broadcast.js'
import { isKnownLogarithm, noteLogarithm } from './logarithms.js'
import { lowerMicro, microOps } from './micro-ops.js'
import { cast, stopGradient } from './movement.js'
import {
  around,
  comparison,
  differenceNotation,
  type Notation,
  negationNotation,
  postfix,
  powerNotation,
  prefix,
  productNotation,
  quotientNotation,
  reciprocalNotation,
  sumNotation,
} from './notation.js'
import { type Aval, apply, type ElementwiseRule, noParams, type Params, type Primitive, type Sample } from './primitive.js'

/** A tensor or a number; numbers take the element type of the tensors beside them. */
export type Operand = Tensor | number

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

/** Floating tensors of one type, all of one shape or single numbers, as nearly all operands are: they are taken as they stand. */
function ready(operands: readonly Operand[]): Tensor[] | undefined {
  const count = operands.length
  let like: Tensor | undefined
  for (let i = 0; i < count; i++) {
    const x = operands[i]
    if (!(x instanceof Tensor)) {
      if (typeof x !== 'number') return undefined
    } else if (like === undefined || like.shape.length === 0) {
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
  for (let i = first; i < operands.length; i++) {
    const x = operands[i]
    if (x instanceof Tensor) dtype = dtype === undefined ? x.dtype : promote(dtype, x.dtype)
    else if (typeof x !== 'number' && typeof x !== 'boolean') {
      throw new WengertError('ERR_VALUE', `${name}: expected tensors or numbers, got ${describe(x)}`, {
        expected: 'Tensor | number',
        actual: x,
      })
    }
  }
  const fraction = operands.some((x) => typeof x === 'number' && !(Number.isInteger(x) && Math.abs(x) < 2147483648))
  if (dtype === undefined || (!isFloat(dtype) && (output === 'float' || fraction))) dtype = 'float32'
  else if (dtype === 'bool' && (output === 'same' || operands.some((x) => typeof x === 'number'))) dtype = 'int32'
  const type = dtype
  const tensors = operands.map((x, i) => {
    if (i < first) return asBool(name, x as Operand)
    return x instanceof Tensor ? cast(x, type) : full([], x as number, { dtype: type })
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

type Named<N> = { [K in ElementwiseOp]: (typeof elementwiseOps)[K] extends N ? K : never }[ElementwiseOp]
/** Micro-operations without a row: casts and integer arithmetic are made of them. */
type Inner = 'copy' | 'toBool' | 'toInt32' | 'wrapInt32' | 'mulInt32' | 'powInt32'
type UnaryName = Exclude<Named<1>, Inner>
type BinaryName = Exclude<Named<2>, Inner>
type Unary = { primitive: Primitive; op: (x: Operand) => Tensor }
type Binary = { primitive: Primitive; op: (a: Operand, b: Operand) => Tensor }

function unary(name: UnaryName, definition: Definition): Unary {
  const primitive = row(name, definition)
  return { primitive, op: (x) => apply(primitive, prepare(name, [x], definition.output), noParams) }
}

function binary(name: BinaryName, definition: Definition): Binary {
  const primitive = row(name, definition)
  return { primitive, op: (a, b) => apply(primitive, prepare(name, [a, b], definition.output), noParams) }
}

const positive = { low: 0.2, high: 3 }
const nonzero = { low: 0.3, high: 3 }
const inside = { low: -0.9, high: 0.9 }
/** A derivative that is zero wherever there is one: the sweep does not walk such a path. */
const flat: ElementwiseRule = null

const unaryRows: Record<UnaryName, Unary> = {
  neg: unary('neg', { doc: 'y = −x', output: 'same', notation: negationNotation, derivatives: [(g) => neg(g)] }),
  abs: unary('abs', {
    doc: 'y = |x|; derivative 0 at 0',
    output: 'same',
    notation: around('|', '|'),
    derivatives: [(g, [x]) => mul(g, sign(x as Tensor))],
  }),
  sign: unary('sign', {
    doc: 'y = −1, 0 or 1; derivative 0',
    output: 'same',
    derivatives: [(g, [x]) => where(equal(x as Tensor, x as Tensor), 0, mul(g, oneOrNaN(x as Tensor)))],
  }),
  floor: unary('floor', { doc: 'the largest integer ≤ x; derivative 0', output: 'same', notation: around('⌊', '⌋'), derivatives: [flat] }),
  ceil: unary('ceil', { doc: 'the smallest integer ≥ x; derivative 0', output: 'same', notation: around('⌈', '⌉'), derivatives: [flat] }),
  round: unary('round', { doc: 'the nearest integer, halves to even; derivative 0', output: 'same', derivatives: [flat] }),
  square: unary('square', {
    doc: 'y = x²',
    output: 'same',
    notation: postfix('²'),
    derivatives: [(g, [x]) => mul(g, mul(x as Tensor, 2))],
  }),
  sqrt: unary('sqrt', {
    doc: 'y = √x',
    output: 'float',
    notation: prefix('√', ''),
    domain: positive,
    derivatives: [(g, _, y) => div(g, mul(y, 2))],
  }),
  rsqrt: unary('rsqrt', {
    doc: 'y = 1/√x',
    output: 'float',
    domain: positive,
    derivatives: [(g, _, y) => mul(g, mul(mul(y, mul(y, y)), -0.5))],
  }),
  reciprocal: unary('reciprocal', {
    doc: 'y = 1/x',
    output: 'float',
    notation: reciprocalNotation,
    domain: nonzero,
    derivatives: [(g, _, y) => neg(mul(g, mul(y, y)))],
  }),
  exp: unary('exp', { doc: 'y = eˣ', output: 'float', notation: prefix('exp'), derivatives: [(g, _, y) => mul(g, y)] }),
  expm1: unary('expm1', { doc: 'y = eˣ − 1, exact near 0', output: 'float', derivatives: [(g, _, y) => mul(g, add(y, 1))] }),
  log: unary('log', {
    doc: 'y = ln x',
    output: 'float',
    notation: prefix('ln'),
    domain: positive,
    derivatives: [(g, [x]) => div(g, x as Tensor)],
  }),
  log1p: unary('log1p', {
    doc: 'y = ln(1 + x), exact near 0',
    output: 'float',
    domain: positive,
    derivatives: [(g, [x]) => div(g, add(x as Tensor, 1))],
  }),
  sin: unary('sin', { doc: 'y = sin x', output: 'float', notation: prefix('sin'), derivatives: [(g, [x]) => mul(g, cos(x as Tensor))] }),
  cos: unary('cos', {
    doc: 'y = cos x',
    output: 'float',
    notation: prefix('cos'),
    derivatives: [(g, [x]) => neg(mul(g, sin(x as Tensor)))],
  }),
  tan: unary('tan', {
    doc: 'y = tan x',
    output: 'float',
    notation: prefix('tan'),
    domain: inside,
    derivatives: [(g, _, y) => mul(g, add(mul(y, y), 1))],
  }),
  asin: unary('asin', {
    doc: 'y = arcsin x',
    output: 'float',
    notation: prefix('arcsin'),
    domain: inside,
    derivatives: [(g, [x]) => mul(g, rsqrt(sub(1, square(x as Tensor))))],
  }),
  acos: unary('acos', {
    doc: 'y = arccos x',
    output: 'float',
    notation: prefix('arccos'),
    domain: inside,
    derivatives: [(g, [x]) => neg(mul(g, rsqrt(sub(1, square(x as Tensor)))))],
  }),
  atan: unary('atan', {
    doc: 'y = arctan x',
    output: 'float',
    notation: prefix('arctan'),
    derivatives: [(g, [x]) => div(g, add(square(x as Tensor), 1))],
  }),
  sinh: unary('sinh', {
    doc: 'y = sinh x',
    output: 'float',
    notation: prefix('sinh'),
    derivatives: [(g, [x]) => mul(g, cosh(x as Tensor))],
  }),
  cosh: unary('cosh', {
    doc: 'y = cosh x',
    output: 'float',
    notation: prefix('cosh'),
    derivatives: [(g, [x]) => mul(g, sinh(x as Tensor))],
  }),
  tanh: unary('tanh', {
    doc: 'y = tanh x; y′ = 1 − y², from the saved output',
    output: 'float',
    notation: prefix('tanh'),
    derivatives: [(g, _, y) => mul(g, sub(1, mul(y, y)))],
  }),
  asinh: unary('asinh', {
    doc: 'y = arsinh x',
    output: 'float',
    notation: prefix('arsinh'),
    derivatives: [(g, [x]) => mul(g, rsqrt(add(square(x as Tensor), 1)))],
  }),
  acosh: unary('acosh', {
    doc: 'y = arcosh x',
    output: 'float',
    notation: prefix('arcosh'),
    domain: { low: 1.3, high: 4 },
    derivatives: [(g, [x]) => mul(g, rsqrt(sub(square(x as Tensor), 1)))],
  }),
  atanh: unary('atanh', {
    doc: 'y = artanh x',
    output: 'float',
    notation: prefix('artanh'),
    domain: inside,
    derivatives: [(g, [x]) => div(g, sub(1, square(x as Tensor)))],
  }),
  erf: unary('erf', {
    doc: 'y = 2/√π ∫₀ˣ e^(−t²) dt',
    output: 'float',
    notation: prefix('erf'),
    derivatives: [(g, [x]) => mul(g, mul(exp(neg(square(x as Tensor))), 2 / Math.sqrt(Math.PI)))],
  }),
  sigmoid: unary('sigmoid', {
    doc: 'y = 1/(1 + e^(−x)); y′ = y(1 − y), from the saved output',
    output: 'float',
    notation: prefix('σ'),
    derivatives: [(g, _, y) => mul(g, mul(y, sub(1, y)))],
  }),
  logSigmoid: unary('logSigmoid', {
    doc: 'y = ln σ(x) = −softplus(−x), without overflow',
    output: 'float',
    derivatives: [(g, [x]) => mul(g, sigmoid(neg(x as Tensor)))],
  }),
  softplus: unary('softplus', {
    doc: 'y = ln(1 + eˣ), without overflow',
    output: 'float',
    derivatives: [(g, [x]) => mul(g, sigmoid(x as Tensor))],
  }),
  relu: unary('relu', {
    doc: 'y = max(x, 0); derivative 0 at 0',
    output: 'same',
    // Where y is not above 0 it is the derivative itself: 0, or NaN.
    derivatives: [(g, _, y) => where(greater(y, 0), g, stopGradient(y))],
  }),
  logicalNot: unary('logicalNot', { doc: 'true where x is 0', output: 'bool' }),
  isFinite: unary('isFinite', { doc: 'false where x is NaN or infinite', output: 'bool' }),
}

const binaryRows: Record<BinaryName, Binary> = {
  add: binary('add', { doc: 'y = a + b', output: 'same', notation: sumNotation, derivatives: [(g) => g, (g) => g] }),
  sub: binary('sub', { doc: 'y = a − b', output: 'same', notation: differenceNotation, derivatives: [(g) => g, (g) => neg(g)] }),
  mul: binary('mul', {
    doc: 'y = a·b',
    output: 'same',
    notation: productNotation,
    derivatives: [(g, [, b]) => mul(g, b as Tensor), (g, [a]) => mul(g, a as Tensor)],
  }),
  div: binary('div', {
    doc: 'y = a/b',
    output: 'float',
    notation: quotientNotation,
    domain: [{}, nonzero],
    derivatives: [(g, [, b]) => div(g, b as Tensor), (g, [, b], y) => neg(mul(g, div(y, b as Tensor)))],
  }),
  pow: binary('pow', {
    doc: 'y = aᵇ; the derivative in a is 0 where b = 0, in b it is 0 where a = 0 and b ≥ 0',
    output: 'same',
    notation: powerNotation,
    domain: [positive, {}],
    derivatives: [
      (g, [a, b]) => mul(g, where(equal(b as Tensor, 0), 0, mul(b as Tensor, pow(a as Tensor, sub(b as Tensor, 1))))),
      (g, [a, b], y) => {
        const none = logicalAnd(equal(a as Tensor, 0), greaterEqual(b as Tensor, 0))
        // The inner where keeps ln 0 out of the product, where 0 · ∞ would be NaN.
        return mul(g, where(none, 0, mul(y, log(where(none, 1, a as Tensor)))))
      },
    ],
  }),
  atan2: binary('atan2', {
    doc: 'the angle of the point (b, a)',
    output: 'float',
    domain: [{}, nonzero],
    derivatives: [
      (g, [a, b]) => mul(g, div(b as Tensor, add(square(a as Tensor), square(b as Tensor)))),
      (g, [a, b]) => neg(mul(g, div(a as Tensor, add(square(a as Tensor), square(b as Tensor))))),
    ],
  }),
  mod: binary('mod', {
    doc: 'y = a − floor(a/b)·b, with the sign of b',
    output: 'same',
    domain: [{}, nonzero],
    derivatives: [(g) => g, (g, [a, b]) => neg(mul(g, floor(div(a as Tensor, b as Tensor))))],
  }),
  maximum: binary('maximum', {
    doc: 'the larger of a and b (NaN if either is); equals share the derivative',
    output: 'same',
    derivatives: [(g, [a, b]) => mul(g, share(greater, a, b)), (g, [a, b]) => mul(g, share(less, a, b))],
  }),
  minimum: binary('minimum', {
    doc: 'the smaller of a and b (NaN if either is); equals share the derivative',
    output: 'same',
    derivatives: [(g, [a, b]) => mul(g, share(less, a, b)), (g, [a, b]) => mul(g, share(greater, a, b))],
  }),
  equal: binary('equal', { doc: 'a = b', output: 'bool', notation: comparison('=') }),
  notEqual: binary('notEqual', { doc: 'a ≠ b', output: 'bool', notation: comparison('≠') }),
  less: binary('less', { doc: 'a < b', output: 'bool', notation: comparison('<') }),
  lessEqual: binary('lessEqual', { doc: 'a ≤ b', output: 'bool', notation: comparison('≤') }),
  greater: binary('greater', { doc: 'a > b', output: 'bool', notation: comparison('>') }),
  greaterEqual: binary('greaterEqual', { doc: 'a ≥ b', output: 'bool', notation: comparison('≥') }),
  logicalAnd: binary('logicalAnd', { doc: 'a and b', output: 'bool', notation: comparison('∧') }),
  logicalOr: binary('logicalOr', { doc: 'a or b', output: 'bool', notation: comparison('∨') }),
}

const whereRow = row('where', {
  doc: 'y = a where the condition holds, else b; no derivative in the condition',
  output: 'same',
  domain: [{ dtype: 'bool' }, {}, {}],
  derivatives: [null, (g, [c]) => where(c as Tensor, g, 0), (g, [c]) => where(c as Tensor, 0, g)],
})

/** A constant: 1 where x is a number, NaN where it is NaN. */
export const oneOrNaN = (x: Tensor): Tensor => where(equal(x, x), full([], 1, { dtype: x.dtype }), Number.NaN)

/** 1 where a `beats` b, ½ where they are equal, 0 where b beats a; NaN where one of them is. */
function share(beats: (a: Operand, b: Operand) => Tensor, a: Tensor | undefined, b: Tensor | undefined): Tensor {
  const [x, y] = [a as Tensor, b as Tensor]
  const equals = where(equal(x, y), full([], 0.5, { dtype: x.dtype }), Number.NaN)
  return where(beats(x, y), 1, where(beats(y, x), 0, equals))
}

/** Every elementwise row. */
export const elementwiseRows: readonly Primitive[] = [...Object.values(unaryRows), ...Object.values(binaryRows)]
  .map((r) => r.primitive)
  .concat(whereRow)

/** y = −x. */
export const neg = unaryRows.neg.op
/** y = |x|; derivative 0 at 0. */
export const abs = unaryRows.abs.op
/** y = −1, 0 or 1; derivative 0. */
export const sign = unaryRows.sign.op
/** The largest integer ≤ x; derivative 0. */
export const floor = unaryRows.floor.op
/** The smallest integer ≥ x; derivative 0. */
export const ceil = unaryRows.ceil.op
/** The nearest integer, halves to even; derivative 0. */
export const round = unaryRows.round.op
/** y = x². */
export const square = unaryRows.square.op
/** y = √x. */
export const sqrt = unaryRows.sqrt.op
/** y = 1/√x. */
export const rsqrt = unaryRows.rsqrt.op
/** y = 1/x. */
export const reciprocal = unaryRows.reciprocal.op
/** y = eˣ. */
export const exp = (x: Operand): Tensor => {
  const y = unaryRows.exp.op(x)
  return isKnownLogarithm(x) ? noteLogarithm(y, () => x as Tensor) : y
}
/** y = eˣ − 1, exact near 0. */
export const expm1 = unaryRows.expm1.op
/** y = ln x. */
export const log = unaryRows.log.op
/** y = ln(1 + x), exact near 0. */
export const log1p = unaryRows.log1p.op
/** y = sin x. */
export const sin = unaryRows.sin.op
/** y = cos x. */
export const cos = unaryRows.cos.op
/** y = tan x. */
export const tan = unaryRows.tan.op
/** y = arcsin x. */
export const asin = unaryRows.asin.op
/** y = arccos x. */
export const acos = unaryRows.acos.op
/** y = arctan x. */
export const atan = unaryRows.atan.op
/** y = sinh x. */
export const sinh = unaryRows.sinh.op
/** y = cosh x. */
export const cosh = unaryRows.cosh.op
/** y = tanh x; y′ = 1 − y², from the saved output. */
export const tanh = unaryRows.tanh.op
/** y = arsinh x. */
export const asinh = unaryRows.asinh.op
/** y = arcosh x. */
export const acosh = unaryRows.acosh.op
/** y = artanh x. */
export const atanh = unaryRows.atanh.op
/** y = 2/√π ∫₀ˣ e^(−t²) dt. */
export const erf = unaryRows.erf.op
/** y = 1/(1 + e^(−x)); y′ = y(1 − y), from the saved output. */
export const sigmoid = unaryRows.sigmoid.op
/** y = ln σ(x) = −softplus(−x), without overflow. */
export const logSigmoid = unaryRows.logSigmoid.op
/** y = ln(1 + eˣ), without overflow. */
export const softplus = unaryRows.softplus.op
/** y = max(x, 0); derivative 0 at 0. */
export const relu = unaryRows.relu.op
/** True where x is 0. */
export const logicalNot = unaryRows.logicalNot.op
/** False where x is NaN or infinite. */
export const isFinite = unaryRows.isFinite.op
/** y = a + b. */
export const add = binaryRows.add.op
/** y = a − b. */
export const sub = binaryRows.sub.op
/** y = a·b. */
export const mul = binaryRows.mul.op
/** y = a/b. */
export const div = binaryRows.div.op
/** y = aᵇ; the derivative in a is 0 where b = 0, in b it is 0 where a = 0 and b ≥ 0. */
export const pow = binaryRows.pow.op
/** the angle of the point (b, a). */
export const atan2 = binaryRows.atan2.op
/** y = a − floor(a/b)·b, with the sign of b. */
export const mod = binaryRows.mod.op
/** the larger of a and b (NaN if either is); equals share the derivative. */
export const maximum = binaryRows.maximum.op
/** the smaller of a and b (NaN if either is); equals share the derivative. */
export const minimum = binaryRows.minimum.op
/** a = b. */
export const equal = binaryRows.equal.op
/** a ≠ b. */
export const notEqual = binaryRows.notEqual.op
/** a < b. */
export const less = binaryRows.less.op
/** a ≤ b. */
export const lessEqual = binaryRows.lessEqual.op
/** a > b. */
export const greater = binaryRows.greater.op
/** a ≥ b. */
export const greaterEqual = binaryRows.greaterEqual.op
/** a and b. */
export const logicalAnd = binaryRows.logicalAnd.op
/** a or b. */
export const logicalOr = binaryRows.logicalOr.op

/** a where `condition` holds, else b. */
export function where(condition: Operand, a: Operand, b: Operand): Tensor {
  return apply(whereRow, prepare('where', [condition, a, b], 'same', 1), {})
}
