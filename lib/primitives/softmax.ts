/** Rows over one axis that need its maximum first: softmax, its logarithm, logSumExp, and the fused cross-entropy. */

import { WengertError } from '../errors.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { checkOptions } from '../util/options.js'
import { around, formatShape, normalizeAxes, normalizeAxis, type Shape } from '../util/shape.js'
import { alongNext, folded, overRows, unfolded } from './batching.js'
import { elements } from './elements.js'
import { add, exp, mul, sub } from './elementwise.js'
import { asIndices, type Indices, oneHot } from './indexing.js'
import { noteAsLogarithm, noteLogarithm } from './logarithms.js'
import { cast, reshape, transpose } from './movement.js'
import { type Aval, apply, type GeneralPrimitive, type Primitive, type Sample } from './primitive.js'
import { type Axis, type ReduceOptions, sum } from './reduce.js'
import { Tuple, tupleOf } from './tuple.js'

interface Along {
  axis: number
  [key: string]: unknown
}

const head = (inputs: readonly Aval[]): Aval => inputs[0] as Aval
const kept = (shape: Shape, axis: number) => shape.map((n, i) => (i === axis ? 1 : n))
const total = (x: Tensor, axis: number) => sum(x, axis, { keepDims: true })
const samples = (): Sample[] => [
  { inputs: [{ shape: [3, 4] }], params: { axis: 1 } },
  { inputs: [{ shape: [2, 3, 2] }], params: { axis: 1 } },
  { inputs: [{ shape: [0, 3] }], params: { axis: 1 } },
  { inputs: [{ shape: [5], low: -1000, high: 1000 }], params: { axis: 0 } },
]

const softmaxRow: GeneralPrimitive<Along> = {
  name: 'softmax',
  kind: 'general',
  doc: 'yᵢ = e^(xᵢ − max) / Σ e^(x − max) along an axis',
  rowwise: (_inputs, _output, { axis }) => axis !== 0,
  infer: head,
  lower: (inputs, _output, { axis }) => ({ kernel: 'softmax', ints: around(head(inputs).shape, axis, axis), scalars: [] }),
  // The Jacobian, diag(y) − y yᵀ, is symmetric: one rule for both modes.
  jvp: ([t], { output: y, params: { axis } }) => mul(y, sub(t as Tensor, total(mul(t as Tensor, y), axis))),
  vjp: (g, { output: y, params: { axis } }) => [mul(y, sub(g, total(mul(g, y), axis)))],
  batch: alongNext,
  samples,
}

const logSoftmaxRow: GeneralPrimitive<Along> = {
  name: 'logSoftmax',
  kind: 'general',
  doc: 'yᵢ = xᵢ − ln Σ eˣ along an axis, without overflow',
  rowwise: (_inputs, _output, { axis }) => axis !== 0,
  infer: head,
  lower: (inputs, _output, { axis }) => ({ kernel: 'logSoftmax', ints: around(head(inputs).shape, axis, axis), scalars: [] }),
  jvp: ([t], { output: y, params: { axis } }) => sub(t as Tensor, total(mul(exp(y), t as Tensor), axis)),
  vjp: (g, { output: y, params: { axis } }) => [sub(g, mul(exp(y), total(g, axis)))],
  batch: alongNext,
  samples,
}

const logSumExpRow: GeneralPrimitive<Along> = {
  name: 'logSumExp',
  kind: 'general',
  doc: 'y = ln Σ eˣ along an axis, without overflow',
  rowwise: (_inputs, _output, { axis }) => axis !== 0,
  infer: (inputs, { axis }) => ({ shape: head(inputs).shape.filter((_, i) => i !== axis), dtype: head(inputs).dtype }),
  lower: (inputs, _output, { axis }) => ({ kernel: 'logSumExp', ints: around(head(inputs).shape, axis, axis), scalars: [] }),
  jvp: ([t], { inputs, params: { axis } }) => sum(mul(t as Tensor, softmax(inputs[0] as Tensor, axis)), axis),
  vjp: (g, { inputs, params: { axis } }) => {
    const x = inputs[0] as Tensor
    return [mul(reshape(g, kept(x.shape, axis)), softmax(x, axis))]
  },
  batch: alongNext,
  samples,
}

export const softmaxCrossEntropyRow: GeneralPrimitive = {
  name: 'softmaxCrossEntropy',
  kind: 'general',
  doc: 'y[i] = logSumExp(z[i]) − z[i, label[i]]; its derivative is softmax(z) − oneHot(label)',
  rowwise: (_inputs, _output, _params, rows) => rows.every(Boolean),
  infer: (inputs) => ({ shape: head(inputs).shape.slice(0, 1), dtype: head(inputs).dtype }),
  lower: (inputs) => ({ kernel: 'softmaxCrossEntropy', ints: head(inputs).shape, scalars: [] }),
  jvp: ([t], { inputs: [z, labels] }) => (t ? sum(mul(t, residual(z as Tensor, labels as Tensor)), 1) : undefined),
  vjp: (g, { inputs: [z, labels] }) => [gradientOf(z as Tensor, labels as Tensor, g)],
  batch: overRows,
  samples: () => [
    { inputs: [{ shape: [4, 3] }, { shape: [4], dtype: 'int32', below: 3 }] },
    {
      inputs: [
        { shape: [2, 5], low: -1000, high: 1000 },
        { shape: [2], dtype: 'int32', below: 5 },
      ],
    },
    { inputs: [{ shape: [0, 3] }, { shape: [0], dtype: 'int32', below: 3 }] },
  ],
}

/** The pullback of the cross-entropy. Its kernel has the value at hand, too: a program that wants both takes both from it. */
export const softmaxCrossEntropyGradRow: GeneralPrimitive = {
  name: 'softmaxCrossEntropyGrad',
  kind: 'general',
  doc: 'y[i] = g[i] · (softmax(z[i]) − oneHot(label[i])), and the cross-entropy itself',
  rowwise: (_inputs, _output, _params, rows) => rows.every(Boolean),
  infer: (inputs) => tupleOf([head(inputs), { shape: head(inputs).shape.slice(0, 1), dtype: head(inputs).dtype }]),
  lower: (inputs) => ({ kernel: 'softmaxCrossEntropyGrad', ints: head(inputs).shape, scalars: [] }),
  jvp: ([tz, , tg], { inputs }) => {
    const [z, labels, g] = inputs as [Tensor, Tensor, Tensor]
    const y = softmax(z, 1)
    const fromZ = tz && mul(column(g), mul(y, sub(tz, total(mul(tz, y), 1))))
    const fromG = tg && mul(column(tg), residual(z, labels))
    return new Tuple([fromZ && fromG ? add(fromZ, fromG) : (fromZ ?? fromG), tz && sum(mul(tz, residual(z, labels)), 1)])
  },
  vjp: (cotangent, { inputs }) => {
    const [z, labels, g] = inputs as [Tensor, Tensor, Tensor]
    const [c, ofValue] = (cotangent as Tuple).parts
    const fromValue = ofValue && gradientOf(z, labels, ofValue)
    if (c === undefined) return [fromValue]
    const y = softmax(z, 1)
    const weighted = mul(c, column(g))
    const ofZ = mul(y, sub(weighted, total(mul(weighted, y), 1)))
    return [fromValue ? add(ofZ, fromValue) : ofZ, undefined, sum(mul(c, residual(z, labels)), 1)]
  },
  batch: (batch) => {
    const { row, params, size, full } = batch
    const stacks = batch.inputs.map((_, i) => full(i))
    const rows = (stacks[0] as Tensor).shape[1] as number
    return new Tuple(elements(apply(row, stacks.map(folded), params), 2).map((y) => unfolded(y, size, rows)))
  },
  samples: () => [
    { inputs: [{ shape: [4, 3] }, { shape: [4], dtype: 'int32', below: 3 }, { shape: [4] }] },
    { inputs: [{ shape: [2, 5] }, { shape: [2], dtype: 'int32', below: 5 }, { shape: [2] }] },
    { inputs: [{ shape: [0, 3] }, { shape: [0], dtype: 'int32', below: 3 }, { shape: [0] }] },
  ],
}

/** g · (softmax(z) − oneHot(label)), row by row. */
const gradientOf = (z: Tensor, labels: Tensor, g: Tensor): Tensor =>
  elements(apply(softmaxCrossEntropyGradRow, [z, labels, g], {}), 1)[0] as Tensor

const column = (g: Tensor) => reshape(g, [g.size, 1])

/** softmax(z) − oneHot(label), the derivative of the cross-entropy in its logits. */
function residual(z: Tensor, labels: Tensor): Tensor {
  return sub(softmax(z, 1), oneHot(labels, z.shape[1] as number, { dtype: z.dtype as 'float32' }))
}

const floating = (x: Tensor) => (isFloat(x.dtype) ? x : cast(x, 'float32'))

/** yᵢ = e^(xᵢ) / Σ e^(x) along `axis`, the maximum subtracted first (mathematics §3). */
export function softmax(x: Tensor, axis = -1): Tensor {
  return noteLogarithm(apply(softmaxRow, [floating(x)], { axis: normalizeAxis('softmax', axis, x.rank) }), () => logSoftmax(x, axis))
}

/** yᵢ = xᵢ − ln Σ eˣ along `axis`, without overflow. */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
  return noteAsLogarithm(apply(logSoftmaxRow, [floating(x)], { axis: normalizeAxis('logSoftmax', axis, x.rank) }))
}

/** y = ln Σ eˣ over `axis` (all axes by default), without overflow. */
export function logSumExp(x: Tensor, axis?: Axis, options: ReduceOptions = {}): Tensor {
  checkOptions('logSumExp', options, ['keepDims'])
  const axes = normalizeAxes('logSumExp', axis, x.rank)
  const rest = x.shape.map((_, i) => i).filter((i) => !axes.includes(i))
  const shape = rest.map((i) => x.shape[i] as number)
  const n = axes.reduce((size, i) => size * (x.shape[i] as number), 1)
  const y =
    axes.length === 0 ? x : apply(logSumExpRow, [reshape(transpose(floating(x), [...rest, ...axes]), [...shape, n])], { axis: rest.length })
  return options.keepDims
    ? reshape(
        y,
        x.shape.map((length, i) => (axes.includes(i) ? 1 : length)),
      )
    : y
}

/**
 * −ln softmax(z)[label] of each row: z is [m, classes], labels m integers; the result is [m].
 *
 * @throws ERR_INDEX for a label outside the classes; ERR_SHAPE
 */
export function softmaxCrossEntropy(z: Tensor, labels: Indices): Tensor {
  const index = asIndices('softmaxCrossEntropy', labels)
  if (z.rank !== 2 || index.rank !== 1 || index.shape[0] !== z.shape[0]) {
    throw new WengertError(
      'ERR_SHAPE',
      `softmaxCrossEntropy: expected logits [m, classes] and labels [m], got ${formatShape(z.shape)} and ${formatShape(index.shape)}`,
      { actual: [z.shape, index.shape] },
    )
  }
  return apply(softmaxCrossEntropyRow, [floating(z), index], {})
}

export const softmaxRows = [
  softmaxRow,
  logSoftmaxRow,
  logSumExpRow,
  softmaxCrossEntropyRow,
  softmaxCrossEntropyGradRow,
] as unknown as readonly Primitive[]
