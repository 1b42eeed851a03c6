/**
 * Every op whose first argument is a tensor, as a method of Tensor: attached here and nowhere else. Elementwise rows are
 * methods by themselves; the others are listed.
 */

import { Tensor } from '../tensor/tensor.js'
import { broadcastTo, sumTo, tile } from './broadcast.js'
import { clip, elu, gelu, hardtanh, leakyRelu, mish, selu, silu, squaredDifference, tril, triu } from './composites.js'
import * as elementwise from './elementwise.js'
import { gather, oneHot, putAlong, scatterAdd, takeAlong } from './indexing.js'
import { dot, matmul, outer } from './linalg.js'
import { cast, expandDims, flatten, reshape, squeeze, stopGradient, transpose } from './movement.js'
import { concat, flip, pad, slice, split, stack } from './parts.js'
import type { Operand } from './pointwise.js'
import { all, any, argmax, argmin, cumsum, max, mean, min, norm, prod, std, sum, variance } from './reduce.js'
import { logSoftmax, logSumExp, softmax } from './softmax.js'
import { argsort, sort, topk } from './sort.js'
import { spatialMethods } from './spatial-methods.js'

const { where, ...pointwise } = elementwise

// biome-ignore format: a table
const methods = {
  ...pointwise,
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
