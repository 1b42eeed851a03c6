/**
 * Functions that are compositions of rows: no kernel of their own, their derivatives follow, and a compiled program fuses
 * them into one pass. Defaults are PyTorch's.
 */

import { WengertError } from '../errors.js'
import { arange, full } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import {
  add,
  equal,
  erf,
  expm1,
  greater,
  greaterEqual,
  less,
  lessEqual,
  mul,
  sigmoid,
  softplus,
  square,
  sub,
  tanh,
  where,
} from './elementwise.js'
import { expandDims } from './movement.js'
import type { Operand } from './pointwise.js'

/** y = x σ(x), also called swish. */
export function silu(x: Tensor): Tensor {
  return mul(x, sigmoid(x))
}

/** y = x Φ(x); `approximate: 'tanh'` gives ½x(1 + tanh(√(2/π)(x + 0.044715x³))). */
export function gelu(x: Tensor, options: { approximate?: 'none' | 'tanh' | undefined } = {}): Tensor {
  checkOptions('gelu', options, ['approximate'])
  if (checkChoice('gelu', 'approximate', options.approximate ?? 'none', ['none', 'tanh'] as const) === 'none') {
    // Half of Φ, not of x: the backward pass reads x, which is there, and not an array of x / 2.
    return mul(x, mul(add(erf(mul(x, Math.SQRT1_2)), 1), 0.5))
  }
  const cubic = mul(x, add(mul(square(x), 0.044715), 1))
  return mul(x, mul(add(tanh(mul(cubic, Math.sqrt(2 / Math.PI))), 1), 0.5))
}

/** y = x for x > 0, else α(eˣ − 1); derivative α at 0. */
export function elu(x: Tensor, alpha = 1): Tensor {
  checkNumber('elu', 'alpha', alpha)
  const rises = greater(x, 0)
  // The inner where keeps eˣ finite on the unused side, and gives 0 the derivative of the curve.
  return where(rises, x, mul(expm1(where(rises, 0, x)), alpha))
}

/** y = λ·elu(x, α) with α = 1.6733 and λ = 1.0507, which keep mean 0 and variance 1. */
export function selu(x: Tensor): Tensor {
  return mul(elu(x, 1.6732632423543772), 1.0507009873554805)
}

/** y = x for x > 0, else slope·x. */
export function leakyRelu(x: Tensor, slope = 0.01): Tensor {
  checkNumber('leakyRelu', 'slope', slope)
  return where(greater(x, 0), x, mul(x, slope))
}

/** y = x clipped to [low, high], [−1, 1] by default; derivative 0 at the ends. */
export function hardtanh(x: Tensor, low = -1, high = 1): Tensor {
  checkNumber('hardtanh', 'low', low)
  checkNumber('hardtanh', 'high', high, { min: low })
  return where(lessEqual(x, low), low, where(greaterEqual(x, high), high, keepNaN(x)))
}

/** y = x tanh(softplus(x)). */
export function mish(x: Tensor): Tensor {
  return mul(x, tanh(softplus(x)))
}

/** y = x clipped to [low, high]; the derivative is 1 within and at the ends, 0 outside. Either bound may be ±Infinity. */
export function clip(x: Tensor, low: number, high: number): Tensor {
  if (!(typeof low === 'number' && typeof high === 'number' && low <= high)) {
    throw new WengertError('ERR_RANGE', `clip: expected low <= high, got ${low} and ${high}`, { actual: [low, high] })
  }
  const above = low === -Infinity ? x : where(less(x, low), low, x)
  return keepNaN(high === Infinity ? above : where(greater(above, high), high, above))
}

/** x, with NaN for its derivative where it is NaN: a branch of `where` alone would hand on that of a number. */
const keepNaN = (x: Tensor): Tensor => (isFloat(x.dtype) ? mul(x, where(equal(x, x), full([], 1, { dtype: x.dtype }), Number.NaN)) : x)

/** y = (a − b)². */
export function squaredDifference(a: Operand, b: Operand): Tensor {
  return square(sub(a, b))
}

/** Keeps the lower triangle of the last two axes: zeros above diagonal `k`. */
export function tril(x: Tensor, k = 0): Tensor {
  return triangle('tril', x, (row, col) => lessEqual(sub(col, row), k))
}

/** Keeps the upper triangle of the last two axes: zeros below diagonal `k`. */
export function triu(x: Tensor, k = 0): Tensor {
  return triangle('triu', x, (row, col) => greaterEqual(sub(col, row), k))
}

function triangle(op: string, x: Tensor, keep: (row: Tensor, col: Tensor) => Tensor): Tensor {
  if (x.rank < 2)
    throw new WengertError('ERR_SHAPE', `${op}: expected at least two axes, got shape ${formatShape(x.shape)}`, { actual: x.shape })
  const [rows, cols] = x.shape.slice(-2) as [number, number]
  return where(keep(expandDims(arange(rows), 1), arange(cols)), x, 0)
}
