/**
 * The chained methods of Tensor, by name: each is an operation whose first argument is the tensor. Attached here and nowhere
 * else; their types follow from this table. To add one, add its name. Those on images stand in spatial-methods.ts, which pages
 * without such models do not load.
 */

import { Tensor } from '../tensor/tensor.js'
import { broadcastTo, sumTo, tile } from './broadcast.js'
import { clip, elu, gelu, hardtanh, leakyRelu, mish, selu, silu, squaredDifference, tril, triu } from './composites.js'
// biome-ignore format: as many names as rows
import {
  abs, acos, acosh, add, asin, asinh, atan, atan2, atanh, ceil, cos, cosh, div, equal, erf, exp, expm1, floor, greater,
  greaterEqual, isFinite, less, lessEqual, log, log1p, logicalAnd, logicalNot, logicalOr, logSigmoid, maximum, minimum, mod, mul,
  neg, notEqual, pow, reciprocal, relu, round, rsqrt, sigmoid, sign, sin, sinh, softplus, sqrt, square, sub, tan, tanh, where,
} from './elementwise.js'
import { gather, oneHot, putAlong, scatterAdd, takeAlong } from './indexing.js'
import { dot, matmul, outer } from './linalg.js'
import { cast, expandDims, flatten, reshape, squeeze, stopGradient, transpose } from './movement.js'
import { concat, flip, pad, slice, split, stack } from './parts.js'
import type { Operand } from './pointwise.js'
import { all, any, argmax, argmin, cumsum, max, mean, min, norm, prod, std, sum, variance } from './reduce.js'
import { logSoftmax, logSumExp, softmax } from './softmax.js'
import { argsort, sort, topk } from './sort.js'
import { spatialMethods } from './spatial-methods.js'

// biome-ignore format: a table
const methods = {
  add, sub, mul, div, pow, mod, atan2, maximum, minimum,
  neg, abs, sign, floor, ceil, round, square, sqrt, rsqrt, reciprocal,
  exp, expm1, log, log1p,
  sin, cos, tan, asin, acos, atan, sinh, cosh, tanh, asinh, acosh, atanh,
  erf, sigmoid, logSigmoid, softplus, relu,
  equal, notEqual, less, lessEqual, greater, greaterEqual,
  logicalAnd, logicalOr, logicalNot, isFinite,
  broadcastTo, sumTo, tile,
  clip, elu, gelu, hardtanh, leakyRelu, mish, selu, silu, squaredDifference, tril, triu,
  cast, expandDims, flatten, flip, pad, reshape, slice, split, squeeze, stopGradient, transpose,
  all, any, argmax, argmin, cumsum, max, mean, min, norm, prod, std, sum, variance,
  dot, matmul, outer,
  gather, oneHot, putAlong, scatterAdd, takeAlong,
  logSoftmax, logSumExp, softmax,
  argsort, sort, topk,
  ...spatialMethods,
}

type Methods = typeof methods
/** The op without its first argument. */
type Bound<F> = F extends (first: never, ...rest: infer R) => infer Result ? (...args: R) => Result : never
type TensorMethods = { [K in keyof Methods]: Bound<Methods[K]> } & {
  /** This tensor where `condition` holds, else `other`. */
  where(condition: Operand, other: Operand): Tensor
  /** This tensor and others, joined along `axis`. */
  concat(others: readonly Tensor[], axis?: number): Tensor
  /** This tensor and others, joined along a new axis. */
  stack(others: readonly Tensor[], axis?: number): Tensor
}

declare module '../tensor/tensor.js' {
  interface Tensor extends TensorMethods {}
}

/** Makes ops methods of Tensor. */
export function attach(ops: Readonly<Record<string, unknown>>): void {
  for (const [name, op] of Object.entries(ops)) {
    function method(this: Tensor, ...args: unknown[]) {
      return (op as (...all: unknown[]) => unknown)(this, ...args)
    }
    Object.defineProperty(Tensor.prototype, name, { value: method, writable: true, configurable: true })
  }
}

const joined = {
  where(this: Tensor, condition: Operand, other: Operand) {
    return where(condition, this, other)
  },
  concat(this: Tensor, others: readonly Tensor[], axis = 0) {
    return concat([this, ...others], axis)
  },
  stack(this: Tensor, others: readonly Tensor[], axis = 0) {
    return stack([this, ...others], axis)
  },
}

attach(methods)
for (const [name, method] of Object.entries(joined))
  Object.defineProperty(Tensor.prototype, name, { value: method, writable: true, configurable: true })
