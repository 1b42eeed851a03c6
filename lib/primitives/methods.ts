/** Every op whose first argument is a tensor, as a method of Tensor: attached here and nowhere else. */

import { Tensor } from '../tensor/tensor.js'
import { broadcastTo, sumTo, tile } from './broadcast.js'
import * as composites from './composites.js'
import * as elementwise from './elementwise.js'
import { gather, oneHot, putAlong, scatterAdd, takeAlong } from './indexing.js'
import { dot, matmul, outer } from './linalg.js'
import * as movement from './movement.js'
import * as reduce from './reduce.js'
import { logSoftmax, logSumExp, softmax } from './softmax.js'
import { argsort, sort, topk } from './sort.js'
import * as windows from './spatial.js'

const { where, elementwiseRows: _rows, oneOrNaN: _one, ...pointwise } = elementwise
const {
  movementRows: _moves,
  copyCall: _copy,
  castRow: _c,
  concatRow: _j,
  reshapeRow: _r,
  stopGradientRow: _s,
  transposeRow: _t,
  concat,
  stack,
  ...moves
} = movement
const { reduceRows: _folds, ...folds } = reduce
const { spatialOption: _option, ...spatial } = windows

const methods = {
  ...pointwise,
  ...composites,
  ...moves,
  ...folds,
  ...spatial,
  broadcastTo,
  sumTo,
  tile,
  gather,
  oneHot,
  putAlong,
  scatterAdd,
  takeAlong,
  dot,
  matmul,
  outer,
  logSoftmax,
  logSumExp,
  softmax,
  argsort,
  sort,
  topk,
}

type Methods = typeof methods
/** The op without its first argument. */
type Bound<F> = F extends (first: never, ...rest: infer R) => infer Result ? (...args: R) => Result : never
type TensorMethods = { [K in keyof Methods]: Bound<Methods[K]> } & {
  /** This tensor where `condition` holds, else `other`. */
  where(condition: elementwise.Operand, other: elementwise.Operand): Tensor
  /** This tensor and others, joined along `axis`. */
  concat(others: readonly Tensor[], axis?: number): Tensor
  /** This tensor and others, joined along a new axis. */
  stack(others: readonly Tensor[], axis?: number): Tensor
}

declare module '../tensor/tensor.js' {
  interface Tensor extends TensorMethods {}
}

const bound = Object.entries(methods).map(([name, op]) => [
  name,
  function (this: Tensor, ...args: unknown[]) {
    return (op as (...all: unknown[]) => unknown)(this, ...args)
  },
])
const joined = {
  where(this: Tensor, condition: elementwise.Operand, other: elementwise.Operand) {
    return where(condition, this, other)
  },
  concat(this: Tensor, others: readonly Tensor[], axis = 0) {
    return concat([this, ...others], axis)
  },
  stack(this: Tensor, others: readonly Tensor[], axis = 0) {
    return stack([this, ...others], axis)
  },
}

for (const [name, method] of [...bound, ...Object.entries(joined)]) {
  Object.defineProperty(Tensor.prototype, name as string, { value: method, writable: true, configurable: true })
}
