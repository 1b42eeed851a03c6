/**
 * Elementwise rows: each is one micro-operation of the elementwise kernel. The derivative of each input is a function linear
 * in `g`. This file exports the rows' functions, those of comparisons.ts too, and nothing else: all of it is public.
 *
 * Kinks follow PyTorch: the derivative of abs at 0 is 0, of relu at 0 is 0, maximum and minimum share it between equals.
 * NaN in, NaN out: neither a value nor a derivative at NaN is a number. Arithmetic on int32 wraps modulo 2³².
 */

import { full } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import { equal, greater, greaterEqual, less, logicalAnd } from './comparisons.js'
import { isKnownLogarithm, noteLogarithm } from './logarithms.js'
import { stopGradient } from './movement.js'
import {
  around,
  differenceNotation,
  negationNotation,
  postfix,
  powerNotation,
  prefix,
  productNotation,
  quotientNotation,
  reciprocalNotation,
  sumNotation,
} from './notation.js'
import { type Binary, binary, choice, type Operand, type Unary, unary } from './pointwise.js'
import type { ElementwiseRule } from './primitive.js'

export * from './comparisons.js'

const positive = { low: 0.2, high: 3 }
const nonzero = { low: 0.3, high: 3 }
const inside = { low: -0.9, high: 0.9 }
/** A derivative that is zero wherever there is one: the sweep does not walk such a path. */
const flat: ElementwiseRule = null

/** y = −x. */
export const neg: Unary = unary('neg', { doc: 'y = −x', output: 'same', notation: negationNotation, derivatives: [(g) => neg(g)] })

/** y = |x|; derivative 0 at 0. */
export const abs: Unary = unary('abs', {
  doc: 'y = |x|; derivative 0 at 0',
  output: 'same',
  notation: around('|', '|'),
  derivatives: [(g, [x]) => mul(g, sign(x as Tensor))],
})

/** y = −1, 0 or 1; derivative 0. */
export const sign: Unary = unary('sign', {
  doc: 'y = −1, 0 or 1; derivative 0',
  output: 'same',
  derivatives: [(g, [x]) => where(equal(x as Tensor, x as Tensor), 0, mul(g, oneOrNaN(x as Tensor)))],
})

/** The largest integer ≤ x; derivative 0. */
export const floor: Unary = unary('floor', {
  doc: 'the largest integer ≤ x; derivative 0',
  output: 'same',
  notation: around('⌊', '⌋'),
  derivatives: [flat],
})

/** The smallest integer ≥ x; derivative 0. */
export const ceil: Unary = unary('ceil', {
  doc: 'the smallest integer ≥ x; derivative 0',
  output: 'same',
  notation: around('⌈', '⌉'),
  derivatives: [flat],
})

/** The nearest integer, halves to even; derivative 0. */
export const round: Unary = unary('round', {
  doc: 'the nearest integer, halves to even; derivative 0',
  output: 'same',
  derivatives: [flat],
})

/** y = x². */
export const square: Unary = unary('square', {
  doc: 'y = x²',
  output: 'same',
  notation: postfix('²'),
  derivatives: [(g, [x]) => mul(g, mul(x as Tensor, 2))],
})

/** y = √x. */
export const sqrt: Unary = unary('sqrt', {
  doc: 'y = √x',
  output: 'float',
  notation: prefix('√', ''),
  domain: positive,
  derivatives: [(g, _, y) => div(g, mul(y, 2))],
})

/** y = 1/√x. */
export const rsqrt: Unary = unary('rsqrt', {
  doc: 'y = 1/√x',
  output: 'float',
  domain: positive,
  derivatives: [(g, _, y) => mul(g, mul(mul(y, mul(y, y)), -0.5))],
})

/** y = 1/x. */
export const reciprocal: Unary = unary('reciprocal', {
  doc: 'y = 1/x',
  output: 'float',
  notation: reciprocalNotation,
  domain: nonzero,
  derivatives: [(g, _, y) => neg(mul(g, mul(y, y)))],
})

/** y = eˣ. */
export const exp: Unary = unary('exp', {
  doc: 'y = eˣ',
  output: 'float',
  notation: prefix('exp'),
  derivatives: [(g, _, y) => mul(g, y)],
  known: (y, x) => (isKnownLogarithm(x) ? noteLogarithm(y, () => x as Tensor) : y),
})

/** y = eˣ − 1, exact near 0. */
export const expm1: Unary = unary('expm1', {
  doc: 'y = eˣ − 1, exact near 0',
  output: 'float',
  derivatives: [(g, _, y) => mul(g, add(y, 1))],
})

/** y = ln x. */
export const log: Unary = unary('log', {
  doc: 'y = ln x',
  output: 'float',
  notation: prefix('ln'),
  domain: positive,
  derivatives: [(g, [x]) => div(g, x as Tensor)],
})

/** y = ln(1 + x), exact near 0. */
export const log1p: Unary = unary('log1p', {
  doc: 'y = ln(1 + x), exact near 0',
  output: 'float',
  domain: positive,
  derivatives: [(g, [x]) => div(g, add(x as Tensor, 1))],
})

/** y = sin x. */
export const sin: Unary = unary('sin', {
  doc: 'y = sin x',
  output: 'float',
  notation: prefix('sin'),
  derivatives: [(g, [x]) => mul(g, cos(x as Tensor))],
})

/** y = cos x. */
export const cos: Unary = unary('cos', {
  doc: 'y = cos x',
  output: 'float',
  notation: prefix('cos'),
  derivatives: [(g, [x]) => neg(mul(g, sin(x as Tensor)))],
})

/** y = tan x. */
export const tan: Unary = unary('tan', {
  doc: 'y = tan x',
  output: 'float',
  notation: prefix('tan'),
  domain: inside,
  derivatives: [(g, _, y) => mul(g, add(mul(y, y), 1))],
})

/** y = arcsin x. */
export const asin: Unary = unary('asin', {
  doc: 'y = arcsin x',
  output: 'float',
  notation: prefix('arcsin'),
  domain: inside,
  derivatives: [(g, [x]) => mul(g, rsqrt(sub(1, square(x as Tensor))))],
})

/** y = arccos x. */
export const acos: Unary = unary('acos', {
  doc: 'y = arccos x',
  output: 'float',
  notation: prefix('arccos'),
  domain: inside,
  derivatives: [(g, [x]) => neg(mul(g, rsqrt(sub(1, square(x as Tensor)))))],
})

/** y = arctan x. */
export const atan: Unary = unary('atan', {
  doc: 'y = arctan x',
  output: 'float',
  notation: prefix('arctan'),
  derivatives: [(g, [x]) => div(g, add(square(x as Tensor), 1))],
})

/** y = sinh x. */
export const sinh: Unary = unary('sinh', {
  doc: 'y = sinh x',
  output: 'float',
  notation: prefix('sinh'),
  derivatives: [(g, [x]) => mul(g, cosh(x as Tensor))],
})

/** y = cosh x. */
export const cosh: Unary = unary('cosh', {
  doc: 'y = cosh x',
  output: 'float',
  notation: prefix('cosh'),
  derivatives: [(g, [x]) => mul(g, sinh(x as Tensor))],
})

/** y = tanh x; y′ = 1 − y², from the saved output. */
export const tanh: Unary = unary('tanh', {
  doc: 'y = tanh x; y′ = 1 − y², from the saved output',
  output: 'float',
  notation: prefix('tanh'),
  derivatives: [(g, _, y) => mul(g, sub(1, mul(y, y)))],
})

/** y = arsinh x. */
export const asinh: Unary = unary('asinh', {
  doc: 'y = arsinh x',
  output: 'float',
  notation: prefix('arsinh'),
  derivatives: [(g, [x]) => mul(g, rsqrt(add(square(x as Tensor), 1)))],
})

/** y = arcosh x. */
export const acosh: Unary = unary('acosh', {
  doc: 'y = arcosh x',
  output: 'float',
  notation: prefix('arcosh'),
  domain: { low: 1.3, high: 4 },
  derivatives: [(g, [x]) => mul(g, rsqrt(sub(square(x as Tensor), 1)))],
})

/** y = artanh x. */
export const atanh: Unary = unary('atanh', {
  doc: 'y = artanh x',
  output: 'float',
  notation: prefix('artanh'),
  domain: inside,
  derivatives: [(g, [x]) => div(g, sub(1, square(x as Tensor)))],
})

/** y = 2/√π ∫₀ˣ e^(−t²) dt. */
export const erf: Unary = unary('erf', {
  doc: 'y = 2/√π ∫₀ˣ e^(−t²) dt',
  output: 'float',
  notation: prefix('erf'),
  derivatives: [(g, [x]) => mul(g, mul(exp(neg(square(x as Tensor))), 2 / Math.sqrt(Math.PI)))],
})

/** y = 1/(1 + e^(−x)); y′ = y(1 − y), from the saved output. */
export const sigmoid: Unary = unary('sigmoid', {
  doc: 'y = 1/(1 + e^(−x)); y′ = y(1 − y), from the saved output',
  output: 'float',
  notation: prefix('σ'),
  derivatives: [(g, _, y) => mul(g, mul(y, sub(1, y)))],
})

/** y = ln σ(x) = −softplus(−x), without overflow. */
export const logSigmoid: Unary = unary('logSigmoid', {
  doc: 'y = ln σ(x) = −softplus(−x), without overflow',
  output: 'float',
  derivatives: [(g, [x]) => mul(g, sigmoid(neg(x as Tensor)))],
})

/** y = ln(1 + eˣ), without overflow. */
export const softplus: Unary = unary('softplus', {
  doc: 'y = ln(1 + eˣ), without overflow',
  output: 'float',
  derivatives: [(g, [x]) => mul(g, sigmoid(x as Tensor))],
})

/** y = max(x, 0); derivative 0 at 0. */
export const relu: Unary = unary('relu', {
  doc: 'y = max(x, 0); derivative 0 at 0',
  output: 'same',
  // Where y is not above 0 it is the derivative itself: 0, or NaN.
  derivatives: [(g, _, y) => where(greater(y, 0), g, stopGradient(y))],
})

/** y = a + b. */
export const add: Binary = binary('add', { doc: 'y = a + b', output: 'same', notation: sumNotation, derivatives: [(g) => g, (g) => g] })

/** y = a − b. */
export const sub: Binary = binary('sub', {
  doc: 'y = a − b',
  output: 'same',
  notation: differenceNotation,
  derivatives: [(g) => g, (g) => neg(g)],
})

/** y = a·b. */
export const mul: Binary = binary('mul', {
  doc: 'y = a·b',
  output: 'same',
  notation: productNotation,
  derivatives: [(g, [, b]) => mul(g, b as Tensor), (g, [a]) => mul(g, a as Tensor)],
})

/** y = a/b. */
export const div: Binary = binary('div', {
  doc: 'y = a/b',
  output: 'float',
  notation: quotientNotation,
  domain: [{}, nonzero],
  derivatives: [(g, [, b]) => div(g, b as Tensor), (g, [, b], y) => neg(mul(g, div(y, b as Tensor)))],
})

/** y = aᵇ; the derivative in a is 0 where b = 0, in b it is 0 where a = 0 and b ≥ 0. */
export const pow: Binary = binary('pow', {
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
})

/** The angle of the point (b, a). */
export const atan2: Binary = binary('atan2', {
  doc: 'the angle of the point (b, a)',
  output: 'float',
  domain: [{}, nonzero],
  derivatives: [
    (g, [a, b]) => mul(g, div(b as Tensor, add(square(a as Tensor), square(b as Tensor)))),
    (g, [a, b]) => neg(mul(g, div(a as Tensor, add(square(a as Tensor), square(b as Tensor))))),
  ],
})

/** y = a − floor(a/b)·b, with the sign of b. */
export const mod: Binary = binary('mod', {
  doc: 'y = a − floor(a/b)·b, with the sign of b',
  output: 'same',
  domain: [{}, nonzero],
  derivatives: [(g) => g, (g, [a, b]) => neg(mul(g, floor(div(a as Tensor, b as Tensor))))],
})

/** The larger of a and b (NaN if either is); equals share the derivative. */
export const maximum: Binary = binary('maximum', {
  doc: 'the larger of a and b (NaN if either is); equals share the derivative',
  output: 'same',
  derivatives: [(g, [a, b]) => mul(g, share(greater, a, b)), (g, [a, b]) => mul(g, share(less, a, b))],
})

/** The smaller of a and b (NaN if either is); equals share the derivative. */
export const minimum: Binary = binary('minimum', {
  doc: 'the smaller of a and b (NaN if either is); equals share the derivative',
  output: 'same',
  derivatives: [(g, [a, b]) => mul(g, share(less, a, b)), (g, [a, b]) => mul(g, share(greater, a, b))],
})

/** a where `condition` holds, else b. */
export const where: (condition: Operand, a: Operand, b: Operand) => Tensor = choice('where', {
  doc: 'y = a where the condition holds, else b; no derivative in the condition',
  output: 'same',
  domain: [{ dtype: 'bool' }, {}, {}],
  derivatives: [null, (g, [c]) => where(c as Tensor, g, 0), (g, [c]) => where(c as Tensor, 0, g)],
})

/** 1 where a `beats` b, ½ where they are equal, 0 where b beats a; NaN where one of them is. */
function share(beats: (a: Operand, b: Operand) => Tensor, a: Tensor | undefined, b: Tensor | undefined): Tensor {
  const [x, y] = [a as Tensor, b as Tensor]
  const equals = where(equal(x, y), full([], 0.5, { dtype: x.dtype }), Number.NaN)
  return where(beats(x, y), 1, where(beats(y, x), 0, equals))
}

/** A constant: 1 where x is a number, NaN where it is NaN. */
function oneOrNaN(x: Tensor): Tensor {
  return where(equal(x, x), full([], 1, { dtype: x.dtype }), Number.NaN)
}
