/** One whole update of a two-layer classifier (gather, forward, loss, backward, update) as a program built by hand. */

import { elementwiseCodes, type Program } from '../../lib/backend/program.js'
import type { TypedArray } from '../../lib/util/dtype.js'
import { Builder, call } from './engines.js'
import { Draw } from './reference.js'

export interface Sizes {
  inputs: number
  hidden: number
  classes: number
  batch: number
  samples?: number
}

export interface Training {
  builder: Builder
  rest: Partial<Program>
  /** Elements of the state from offset 0, each layer's on a multiple of 8 bytes. */
  parameters: number
  start: TypedArray
  /** x, labels, order, learning rate. */
  inputs: TypedArray[]
}

/**
 * x[samples, inputs] and labels are gathered by `order` (a window of `batch`), logits = sigmoid(x W₁ᵀ + b₁) W₂ᵀ + b₂, the mean
 * cross entropy goes to the report, and every parameter takes one step against its gradient.
 */
export function trainingProgram(
  dtype: 'float32' | 'float64',
  { inputs: d, hidden: h, classes: c, batch: m, samples = 50 }: Sizes,
): Training {
  const { add, mul, sub, sigmoid } = elementwiseCodes
  const f = dtype === 'float32' ? 0 : 1
  const b = new Builder(dtype)
  const even = (n: number) => n + (n % 2)
  const [w1, b1, w2, b2] = [b.stored(h * d), b.stored(h), b.stored(c * h), b.stored(c)]
  const [data, labels, order] = [b.input(0, samples * d), b.input(1, samples, 'int32'), b.input(2, m, 'int32')]
  const rate = b.input(3, 1, 'float64')
  const [x, y, z1, a1, z2, loss] = [
    b.scratch(m * d),
    b.scratch(m, 'int32'),
    b.scratch(m * h),
    b.scratch(m * h),
    b.scratch(m * c),
    b.scratch(m),
  ]
  const [g, dz2, da1, dz1, db1, db2, step] = [
    b.scratch(1),
    b.scratch(m * c),
    b.scratch(m * h),
    b.scratch(m * h),
    b.scratch(h),
    b.scratch(c),
    b.scratch(1),
  ]
  const grid = (rows: number, cols: number, strides: number[], out: number, ops: number[], scalars: number[] = []) =>
    call('elementwise', [f, rows, cols, strides.length / 2, 1, scalars.length, ops.length / 4, ...strides, out, ...ops], scalars)
  b.step(call('gather', [1, samples, d, m]), [x], [data, order])
  b.step(call('gather', [1, samples, 1, m]), [y], [labels, order])
  b.step(call('matmul', [1, m, h, d, 0, 1, 0, 0], [1, 0]), [z1], [x, w1])
  b.step(grid(m, h, [h, 1, 0, 1], 3, [add, 0, 1, 0, sigmoid, 2, 0, 0]), [a1], [z1, b1])
  b.step(call('matmul', [1, m, c, h, 0, 1, 0, 0], [1, 0]), [z2], [a1, w2])
  b.step(grid(m, c, [c, 1, 0, 1], 2, [add, 0, 1, 0]), [z2], [z2, b2])
  b.step(call('softmaxCrossEntropy', [m, c]), [loss], [z2, y])
  b.step(call('accumulate', [m]), [b.entry(0)], [loss])
  b.step(grid(1, 1, [], 0, [], [1 / m]), [g], [])
  b.step(call('softmaxCrossEntropyGrad', [m, c]), [dz2], [z2, y, g])
  b.step(call('matmul', [1, m, h, c, 0, 0, 0, 0], [1, 0]), [da1], [dz2, w2])
  // da · a · (1 − a)
  b.step(grid(m, h, [h, 1, h, 1], 5, [mul, 0, 1, 0, sub, 2, 1, 0, mul, 3, 4, 0], [1]), [dz1], [da1, a1])
  b.step(call('sum', [1, m, h]), [db1], [dz1])
  b.step(call('sum', [1, m, c]), [db2], [dz2])
  b.step(grid(1, 1, [1, 1], 1, [elementwiseCodes.neg, 0, 0, 0]), [step], [rate])
  b.step(call('matmul', [1, c, h, m, 1, 0, 0, 0], [1, 1]), [w2], [dz2, a1, step])
  b.step(call('matmul', [1, h, d, m, 1, 0, 0, 0], [1, 1]), [w1], [dz1, x, step])
  b.step(grid(1, h, [h, 1, h, 1, 0, 0], 4, [mul, 1, 2, 0, add, 0, 3, 0]), [b1], [b1, db1, step])
  b.step(grid(1, c, [c, 1, c, 1, 0, 0], 4, [mul, 1, 2, 0, add, 0, 3, 0]), [b2], [b2, db2, step])
  const pad = dtype === 'float32' ? even : (n: number) => n
  const parameters = pad(h * d) + pad(h) + pad(c * h) + pad(c)
  const draw = new Draw(3)
  const inputs: Program['inputs'] = [
    { name: 'x', dtype, length: samples * d, advance: 0 },
    { name: 'labels', dtype: 'int32', length: samples, advance: 0 },
    { name: 'order', dtype: 'int32', length: m, advance: m },
    { name: 'rate', dtype: 'float64', length: 1, advance: 0 },
  ]
  return {
    builder: b,
    rest: { report: 1, inputs },
    parameters,
    start: draw.array(dtype, parameters, -1, 1),
    inputs: [
      draw.array(dtype, samples * d),
      draw.array('int32', samples, 0, c - 1),
      draw.array('int32', m, 0, samples - 1),
      Float64Array.of(0.1),
    ],
  }
}
