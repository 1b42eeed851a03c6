/**
 * Functions without a row of their own, by name: what the op suite proves beside the table. To add one: a line here and
 * one of the same name in scripts/golden/ops.py, then scripts/golden/make.sh.
 */

import { tile } from '../../lib/primitives/broadcast.js'
import * as composite from '../../lib/primitives/composites.js'
import * as elementwise from '../../lib/primitives/elementwise.js'
import { gather, takeAlong } from '../../lib/primitives/indexing.js'
import { dot, linear, matmul, outer } from '../../lib/primitives/linalg.js'
import * as movement from '../../lib/primitives/movement.js'
import * as parts from '../../lib/primitives/parts.js'
import type { Sample } from '../../lib/primitives/primitive.js'
import * as reduce from '../../lib/primitives/reduce.js'
import { logSoftmax, logSumExp, softmax, softmaxCrossEntropy } from '../../lib/primitives/softmax.js'
import { tensor } from '../../lib/tensor/creation.js'
import type { Tensor } from '../../lib/tensor/tensor.js'

const w = {
  ...composite,
  ...elementwise,
  ...movement,
  ...parts,
  ...reduce,
  ...{ tile, gather, takeAlong, dot, linear, matmul, outer, logSoftmax, logSumExp, softmax, softmaxCrossEntropy, tensor },
}

export interface Composite {
  name: string
  f: (...x: Tensor[]) => Tensor
  inputs: Sample['inputs'] | readonly { shape: readonly number[]; values: readonly number[] }[]
  /** Derivatives by finite differences hold here: false at kinks and ties. */
  smooth?: boolean
  /** Multiplies the tolerances; the reason stands beside. */
  slack?: number
}

const of = (...shapes: number[][]) => shapes.map((shape) => ({ shape }))
const positive = { low: 0.2, high: 3 }
const at = (values: number[], shape = [values.length]) => [{ shape, values }]
const kink = { smooth: false }
const axes = [0, 2]

// biome-ignore format: a table
export const composites: readonly Composite[] = [
  { name: 'silu', f: w.silu, inputs: of([3, 4]) },
  { name: 'gelu', f: (x) => w.gelu(x), inputs: of([3, 4]) },
  { name: 'geluTanh', f: (x) => w.gelu(x, { approximate: 'tanh' }), inputs: of([3, 4]) },
  { name: 'mish', f: w.mish, inputs: of([3, 4]) },
  { name: 'elu', f: (x) => w.elu(x), inputs: of([3, 4]) },
  { name: 'eluHalf', f: (x) => w.elu(x, 0.5), inputs: of([3, 4]) },
  { name: 'selu', f: w.selu, inputs: of([3, 4]) },
  { name: 'leakyRelu', f: (x) => w.leakyRelu(x), inputs: of([3, 4]) },
  { name: 'leakyReluFifth', f: (x) => w.leakyRelu(x, 0.2), inputs: of([3, 4]) },
  { name: 'hardtanh', f: (x) => w.hardtanh(x), inputs: of([3, 4]) },
  { name: 'clip', f: (x) => w.clip(x, -0.5, 0.75), inputs: of([3, 4]) },
  { name: 'clipAbove', f: (x) => w.clip(x, -Infinity, 0.75), inputs: of([3, 4]) },
  { name: 'siluKinks', f: w.silu, inputs: at([0, -0, 50, -50, 1e4, -1e4]), ...kink },
  { name: 'geluKinks', f: (x) => w.gelu(x), inputs: at([0, -0, 5, -5, 1e4, -1e4]), ...kink },
  { name: 'mishKinks', f: w.mish, inputs: at([0, -0, 50, -50, 1e4, -1e4]), ...kink },
  { name: 'eluKinks', f: (x) => w.elu(x, 0.5), inputs: at([0, -0, 50, -50, 1e4, -1e4]), ...kink },
  { name: 'seluKinks', f: w.selu, inputs: at([0, -0, 50, -50, 1e4, -1e4]), ...kink },
  { name: 'leakyReluKinks', f: (x) => w.leakyRelu(x), inputs: at([0, -0, 1e4, -1e4]), ...kink },
  { name: 'hardtanhKinks', f: (x) => w.hardtanh(x), inputs: at([-1, 1, 0, 1e4, -1e4]), ...kink },
  { name: 'clipKinks', f: (x) => w.clip(x, -0.5, 0.75), inputs: at([-0.5, 0.75, 0, 1e4, -1e4]), ...kink },
  { name: 'squaredDifference', f: (a, b) => w.squaredDifference(a as Tensor, b as Tensor), inputs: of([3, 4], [4]) },
  { name: 'tril', f: (x) => w.tril(x), inputs: of([2, 3, 4]) },
  { name: 'triuAbove', f: (x) => w.triu(x, 1), inputs: of([4, 3]) },
  { name: 'mean', f: (x) => w.mean(x), inputs: of([3, 4]) },
  { name: 'meanAxes', f: (x) => w.mean(x, axes, { keepDims: true }), inputs: of([2, 3, 4]) },
  { name: 'sumAxes', f: (x) => w.sum(x, axes), inputs: of([2, 3, 4]) },
  { name: 'sumEmpty', f: (x) => w.sum(x), inputs: of([0, 3]) },
  { name: 'prod', f: (x) => w.prod(x), inputs: of([3, 4]) },
  { name: 'prodAxis', f: (x) => w.prod(x, 1), inputs: of([2, 5, 3]) },
  { name: 'prodOneZero', f: (x) => w.prod(x), inputs: at([2, 0, 3, -1]), ...kink },
  { name: 'prodTwoZeros', f: (x) => w.prod(x), inputs: at([2, 0, 3, 0]), ...kink },
  { name: 'prodEmpty', f: (x) => w.prod(x), inputs: of([0]) },
  { name: 'variance', f: (x) => w.variance(x), inputs: of([3, 4]) },
  { name: 'varianceAxis', f: (x) => w.variance(x, 0, { correction: 0 }), inputs: of([3, 4]) },
  { name: 'std', f: (x) => w.std(x, 1), inputs: of([3, 4]) },
  { name: 'stdConstant', f: (x) => w.std(x), inputs: at([2, 2, 2]), ...kink },
  { name: 'norm', f: (x) => w.norm(x), inputs: of([3, 4]) },
  { name: 'normAxis', f: (x) => w.norm(x, 1, { keepDims: true }), inputs: of([3, 4]) },
  { name: 'normOne', f: (x) => w.norm(x, 1, { p: 1 }), inputs: of([3, 4]) },
  { name: 'normThree', f: (x) => w.norm(x, 0, { p: 3 }), inputs: of([3, 4]) },
  { name: 'normInfinity', f: (x) => w.norm(x, 1, { p: Infinity }), inputs: of([3, 4]) },
  { name: 'normZero', f: (x) => w.norm(x), inputs: at([0, 0, 0]), ...kink },
  { name: 'normThreeSomeZero', f: (x) => w.norm(x, 0, { p: 3 }), inputs: at([0, 2, -1]), ...kink },
  { name: 'maxAll', f: (x) => w.max(x), inputs: of([3, 4]) },
  { name: 'maxAxis', f: (x) => w.max(x, 1), inputs: of([2, 3, 4]) },
  { name: 'minAxes', f: (x) => w.min(x, axes), inputs: of([2, 3, 4]) },
  { name: 'maxTies', f: (x) => w.max(x), inputs: at([1, 3, 3, 2, 3]), ...kink },
  { name: 'maxAxisTies', f: (x) => w.max(x, 1), inputs: at([1, 3, 3, 2, 2, 2], [2, 3]), ...kink },
  { name: 'minAxisTies', f: (x) => w.min(x, 0), inputs: at([1, 3, 3, 1, 2, 3], [2, 3]), ...kink },
  { name: 'logSumExpAxes', f: (x) => w.logSumExp(x, axes), inputs: of([2, 3, 4]) },
  // PyTorch takes e^(x − y) here, which loses four digits at 1e4 where the softmax loses none.
  { name: 'logSumExpLarge', f: (x) => w.logSumExp(x), inputs: at([1e4, -1e4, 9999, 0]), ...kink, slack: 100 },
  { name: 'softmaxFirst', f: (x) => w.softmax(x, 0), inputs: of([3, 4]) },
  { name: 'softmaxLarge', f: (x) => w.softmax(x), inputs: at([1e4, -1e4, 9999, 0]), ...kink },
  { name: 'logSoftmaxLarge', f: (x) => w.logSoftmax(x), inputs: at([1e4, -1e4, 9999, 0]), ...kink },
  { name: 'softmaxCrossEntropyOp', f: (x) => w.softmaxCrossEntropy(x, [0, 2, 1]), inputs: of([3, 4]) },
  { name: 'cumsumAxis', f: (x) => w.cumsum(x, -1), inputs: of([3, 4]) },
  { name: 'flip', f: (x) => w.flip(x, [0, 2]), inputs: of([2, 3, 4]) },
  { name: 'pad', f: (x) => w.pad(x, [[1, 0], [2, 3]]), inputs: of([2, 3]) },
  { name: 'tile', f: (x) => w.tile(x, [2, 1, 3]), inputs: of([2, 3]) },
  { name: 'stack', f: (a, b) => w.stack([a as Tensor, b as Tensor], 1), inputs: of([2, 3], [2, 3]) },
  { name: 'concatLast', f: (a, b) => w.concat([a as Tensor, b as Tensor, a as Tensor], -1), inputs: of([2, 3], [2, 1]) },
  { name: 'splitSecond', f: (x) => w.split(x, [1, 3], 1)[1] as Tensor, inputs: of([2, 4]) },
  { name: 'squeeze', f: (x) => w.squeeze(x), inputs: of([1, 3, 1]) },
  { name: 'expandDims', f: (x) => w.expandDims(x, -1), inputs: of([3]) },
  { name: 'sliceSteps', f: (x) => w.slice(x, [null, null, -2], -1, [1, null]), inputs: of([5, 2, 3]) },
  { name: 'transposeAll', f: (x) => w.transpose(x), inputs: of([2, 3, 4]) },
  { name: 'reshapeOpen', f: (x) => w.reshape(x, [-1, 2]), inputs: of([3, 4]) },
  { name: 'gatherGrid', f: (x) => w.gather(x, w.tensor([[2, 0], [2, 1]], { dtype: 'int32' }), 1), inputs: of([2, 3]) },
  { name: 'takeAlongFirst', f: (x) => w.takeAlong(x, w.tensor([[2, 0, 0], [1, 1, 0]], { dtype: 'int32' }), 0), inputs: of([3, 3]) },
  { name: 'dot', f: (a, b) => w.dot(a as Tensor, b as Tensor), inputs: of([4], [4]) },
  { name: 'outer', f: (a, b) => w.outer(a as Tensor, b as Tensor), inputs: of([3], [2]) },
  { name: 'matmulVectors', f: (a, b) => w.matmul(a as Tensor, b as Tensor), inputs: of([3], [3]) },
  { name: 'matmulVectorMatrix', f: (a, b) => w.matmul(a as Tensor, b as Tensor), inputs: of([3], [2, 3, 4]) },
  { name: 'matmulMatrixVector', f: (a, b) => w.matmul(a as Tensor, b as Tensor), inputs: of([2, 3, 4], [4]) },
  { name: 'matmulBroadcast', f: (a, b) => w.matmul(a as Tensor, b as Tensor), inputs: of([2, 1, 3, 4], [3, 4, 2]) },
  { name: 'matmulSharedLeft', f: (a, b) => w.matmul(a as Tensor, b as Tensor), inputs: of([1, 3, 4], [2, 4, 2]) },
  { name: 'linear', f: (x, m, b) => w.linear(x as Tensor, m as Tensor, b), inputs: of([2, 3, 4], [5, 4], [5]) },
  { name: 'chain', f: (x, y) => w.sum(w.tanh(w.mul(w.exp(w.neg(w.square(x as Tensor))), y as Tensor)), 1), inputs: of([3, 4], [4]) },
  { name: 'mixedPowers', f: (x, y) => w.add(w.pow(x as Tensor, y as Tensor), w.pow(x as Tensor, 3)), inputs: [{ shape: [3, 4], ...positive }, { shape: [3, 1] }] },
  { name: 'relus', f: (x, y) => w.mul(w.relu(x as Tensor), w.maximum(x as Tensor, y as Tensor)), inputs: of([3, 4], [3, 1]) },
  { name: 'whereMixed', f: (x, y) => w.where(w.greater(x as Tensor, y as Tensor), w.sin(x as Tensor), w.mul(y as Tensor, 2)), inputs: of([3, 4], [4]) },
]
