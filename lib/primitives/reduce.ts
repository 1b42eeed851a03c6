/** Rows that fold axes: sums, extremes, cumulative sums, and what composes of them (mean, prod, variance, norm). */

import type { KernelName } from '../backend/program.js'
import { WengertError } from '../errors.js'
import { full } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import { type Dtype, isFloat } from '../util/dtype.js'
import { checkNumber, checkOptions } from '../util/options.js'
import { around, formatShape, normalizeAxes, normalizeAxis, sizeOf } from '../util/shape.js'
import { alongNext } from './batching.js'
import { fold, foldedAxesKept as kept, type FoldRange as Range, sumRow, unfold } from './broadcast.js'
import { abs, div, equal, mul, pow, sqrt, square, sub, where } from './elementwise.js'
import { putAlong, takeAlong } from './indexing.js'
import { cast, reshape, transpose } from './movement.js'
import { concat, slice } from './parts.js'
import {
  type Aval,
  apply,
  type GeneralPrimitive,
  type LinearPrimitive,
  type NondifferentiablePrimitive,
  type Primitive,
} from './primitive.js'

/** One axis or several; negative ones count from the last. */
export type Axis = number | readonly number[]
/** Of reductions. */
export interface ReduceOptions {
  /** Leave folded axes in place with length 1. */
  keepDims?: boolean | undefined
}

/** An extreme's derivative goes to the first of equals along one axis, and is shared between equals over several (PyTorch). */
function extreme(kernel: 'max' | 'min', doc: string): GeneralPrimitive<Range & { shared?: boolean }> {
  const single = (x: Tensor, { first, last, shared }: Range) => first === last && x.rank > 1 && !shared
  const index = (x: Tensor, { first }: Range) => apply(kernel === 'max' ? argmaxRow : argminRow, [x], { first, last: first })
  const shares = (x: Tensor, y: Tensor, range: Range) => {
    const hits = cast(equal(x, reshape(y, kept(x.shape, range))), x.dtype)
    return div(hits, reshape(apply(sumRow, [hits], range), kept(x.shape, range)))
  }
  return {
    ...fold(kernel, doc),
    kind: 'general',
    jvp: ([t], { inputs, output, params }) => {
      const x = inputs[0] as Tensor
      if (!single(x, params)) return apply(sumRow, [mul(t as Tensor, shares(x, output, params))], params)
      const at = reshape(index(x, params), kept(x.shape, params))
      return reshape(takeAlong(t as Tensor, at, params.first), output.shape)
    },
    vjp: (g, { inputs, output, params }) => {
      const x = inputs[0] as Tensor
      if (!single(x, params)) return [mul(unfold(g, x.shape, params), shares(x, output, params))]
      const at = reshape(index(x, params), kept(x.shape, params))
      return [putAlong(reshape(g, at.shape), at, params.first, x.shape[params.first] as number)]
    },
    batch: ({ row, inputs, params: { first, last, shared } }) => {
      // All the elements of a sample: in the stack they are one axis of several.
      const whole = shared || (inputs[0] as Tensor).rank === 2
      return apply(row, inputs, { first: first + 1, last: last + 1, ...(whole && { shared: true }) })
    },
  }
}

const nondifferentiable = (kernel: KernelName, doc: string, dtype: Dtype): NondifferentiablePrimitive<Range> => {
  const shared = fold(kernel, doc, dtype)
  // What folds to truth values folds truth values.
  const samples = () => shared.samples().map((s) => ({ ...s, inputs: s.inputs.map((x) => (dtype === 'bool' ? { ...x, dtype } : x)) }))
  return { ...shared, kind: 'nondifferentiable', samples }
}
const argmaxRow = nondifferentiable('argmax', 'the index of the largest element, the first of equals', 'int32')
const argminRow = nondifferentiable('argmin', 'the index of the smallest element, the first of equals', 'int32')
const anyRow = nondifferentiable('any', 'whether any element is true', 'bool')
const allRow = nondifferentiable('all', 'whether every element is true', 'bool')
const maxRow = extreme('max', 'y = max x; NaN where any is')
const minRow = extreme('min', 'y = min x; NaN where any is')

/** Applies a folding row over any set of axes: neighbouring ones at once, others in turn. */
function reduce(row: Primitive<Range>, x: Tensor, axes: Axis | undefined, options: ReduceOptions): Tensor {
  checkOptions(row.name, options, ['keepDims'])
  const list = normalizeAxes(row.name, axes, x.rank)
  let y = x
  for (let end = list.length - 1; end >= 0; ) {
    let start = end
    while (start > 0 && list[start - 1] === (list[start] as number) - 1) start--
    y = apply(row, [y], { first: list[start] as number, last: list[end] as number })
    end = start - 1
  }
  if (list.length === 0 && row.kind === 'nondifferentiable') return cast(x, row.infer([x], { first: 0, last: -1 }).dtype)
  return options.keepDims
    ? reshape(
        y,
        x.shape.map((n, i) => (list.includes(i) ? 1 : n)),
      )
    : y
}

const numeric = (x: Tensor): Tensor => (x.dtype === 'bool' ? cast(x, 'int32') : x)
const floating = (x: Tensor): Tensor => (isFloat(x.dtype) ? x : cast(x, 'float32'))

function refuseEmpty(op: string, x: Tensor, axes: Axis | undefined): void {
  const list = normalizeAxes(op, axes, x.rank)
  if (list.some((axis) => x.shape[axis] === 0) && sizeOf(x.shape.filter((_, i) => !list.includes(i))) > 0) {
    throw new WengertError('ERR_SHAPE', `${op}: there are no elements along the axes of a tensor of shape ${formatShape(x.shape)}`, {
      actual: x.shape,
    })
  }
}

/** y = Σ x over `axis` (all axes by default). */
export function sum(x: Tensor, axis?: Axis, options: ReduceOptions = {}): Tensor {
  return reduce(sumRow as unknown as Primitive<Range>, numeric(x), axis, options)
}

/** y = Σ x / n over `axis` (all axes by default). */
export function mean(x: Tensor, axis?: Axis, options: ReduceOptions = {}): Tensor {
  const y = floating(x)
  const n = normalizeAxes('mean', axis, x.rank).reduce((total, i) => total * (x.shape[i] as number), 1)
  return mul(sum(y, axis, options), 1 / n)
}

/** The largest element over `axis` (all axes by default); NaN where any is. Errors: ERR_SHAPE for no elements. */
export function max(x: Tensor, axis?: Axis, options: ReduceOptions = {}): Tensor {
  refuseEmpty('max', x, axis)
  return reduce(maxRow as unknown as Primitive<Range>, numeric(x), axis, options)
}

/** The smallest element over `axis` (all axes by default); NaN where any is. Errors: ERR_SHAPE for no elements. */
export function min(x: Tensor, axis?: Axis, options: ReduceOptions = {}): Tensor {
  refuseEmpty('min', x, axis)
  return reduce(minRow as unknown as Primitive<Range>, numeric(x), axis, options)
}

function arg(row: NondifferentiablePrimitive<Range>, x: Tensor, axis: number | undefined, options: ReduceOptions): Tensor {
  checkOptions(row.name, options, ['keepDims'])
  refuseEmpty(row.name, x, axis)
  if (axis === undefined) {
    const flat = apply(row, [reshape(numeric(x), [x.size])], { first: 0, last: 0 })
    return options.keepDims
      ? reshape(
          flat,
          x.shape.map(() => 1),
        )
      : flat
  }
  return reduce(row as unknown as Primitive<Range>, numeric(x), normalizeAxis(row.name, axis, x.rank), options)
}

/** The index of the largest element along `axis` (of the flattened tensor by default), int32; the first of equals. */
export function argmax(x: Tensor, axis?: number, options: ReduceOptions = {}): Tensor {
  return arg(argmaxRow, x, axis, options)
}

/** The index of the smallest element along `axis` (of the flattened tensor by default), int32; the first of equals. */
export function argmin(x: Tensor, axis?: number, options: ReduceOptions = {}): Tensor {
  return arg(argminRow, x, axis, options)
}

/** Whether any element over `axis` is nonzero. */
export function any(x: Tensor, axis?: Axis, options: ReduceOptions = {}): Tensor {
  return reduce(anyRow as unknown as Primitive<Range>, cast(x, 'bool'), axis, options)
}

/** Whether all elements over `axis` are nonzero. */
export function all(x: Tensor, axis?: Axis, options: ReduceOptions = {}): Tensor {
  return reduce(allRow as unknown as Primitive<Range>, cast(x, 'bool'), axis, options)
}

/** y = Π x over `axis` (all axes by default), by halving: exact derivatives of every order, zeros included. */
export function prod(x: Tensor, axis?: Axis, options: ReduceOptions = {}): Tensor {
  checkOptions('prod', options, ['keepDims'])
  const list = normalizeAxes('prod', axis, x.rank)
  const rest = x.shape.map((_, i) => i).filter((i) => !list.includes(i))
  const outer = rest.map((i) => x.shape[i] as number)
  let n = list.reduce((total, i) => total * (x.shape[i] as number), 1)
  const shape = options.keepDims ? x.shape.map((length, i) => (list.includes(i) ? 1 : length)) : outer
  if (n === 0) return full(shape, 1, { dtype: numeric(x).dtype })
  let y = reshape(transpose(numeric(x), [...list, ...rest]), [n, ...outer])
  while (n > 1) {
    const half = n >> 1
    const products = mul(slice(y, [0, half]), slice(y, [half, 2 * half]))
    y = n % 2 === 0 ? products : concat([products, slice(y, [2 * half, n])])
    n -= half
  }
  return reshape(y, shape)
}

/** Of `variance` and `std`. */
export interface VarianceOptions extends ReduceOptions {
  /** Divide by n − correction: 1 (Bessel's) by default, 0 for the population's variance. */
  correction?: number | undefined
}

/** y = Σ (x − mean)² / (n − correction) over `axis` (all axes by default). */
export function variance(x: Tensor, axis?: Axis, options: VarianceOptions = {}): Tensor {
  checkOptions('variance', options, ['keepDims', 'correction'])
  const { correction = 1, ...rest } = options
  const n = normalizeAxes('variance', axis, x.rank).reduce((total, i) => total * (x.shape[i] as number), 1)
  const centred = sub(x, mean(x, axis, { keepDims: true }))
  return div(sum(square(centred), axis, rest), Math.max(0, n - correction))
}

/** The square root of the variance; derivative 0 where it is 0. */
export function std(x: Tensor, axis?: Axis, options: VarianceOptions = {}): Tensor {
  return rootOrZero(variance(x, axis, options), sqrt)
}

/** A root whose derivative at 0 is taken as 0 instead of ∞ · 0 = NaN. */
function rootOrZero(x: Tensor, root: (x: Tensor) => Tensor): Tensor {
  const zero = equal(x, 0)
  return where(zero, 0, root(where(zero, 1, x)))
}

/** Of `norm`. */
export interface NormOptions extends ReduceOptions {
  /** The p of the p-norm: 2 by default; 1; Infinity. */
  p?: number | undefined
}

/** y = (Σ |x|ᵖ)^(1/p) over `axis` (all axes by default), p = 2 unless said; derivative 0 where the norm is 0. */
export function norm(x: Tensor, axis?: Axis, options: NormOptions = {}): Tensor {
  checkOptions('norm', options, ['keepDims', 'p'])
  const { p = 2, ...rest } = options
  if (p === Infinity) return max(abs(x), axis, rest)
  checkNumber('norm', 'p', p, { min: 0, exclusive: true })
  if (p === 1) return sum(abs(x), axis, rest)
  const total = sum(p === 2 ? square(floating(x)) : pow(abs(floating(x)), p), axis, rest)
  return rootOrZero(total, p === 2 ? sqrt : (t) => pow(t, 1 / p))
}

interface Cumulative {
  axis: number
  reverse: boolean
  [key: string]: unknown
}

const cumsumRow: LinearPrimitive<Cumulative> = {
  name: 'cumsum',
  kind: 'linear',
  doc: 'running sums along an axis, from the end where reversed',
  infer: ([x]) => x as Aval,
  lower: (inputs, _output, { axis, reverse }) => ({
    kernel: 'cumsum',
    ints: [...around((inputs[0] as Aval).shape, axis, axis), reverse ? 1 : 0],
    scalars: [],
  }),
  transpose: (g, _i, _inputs, { axis, reverse }) => apply(cumsumRow, [g], { axis, reverse: !reverse }),
  batch: alongNext,
  samples: () => [
    { inputs: [{ shape: [3, 4] }], params: { axis: 1, reverse: false } },
    { inputs: [{ shape: [2, 3, 2] }], params: { axis: 1, reverse: true } },
    { inputs: [{ shape: [0] }], params: { axis: 0, reverse: false } },
  ],
}

/** Running sums along `axis`. */
export function cumsum(x: Tensor, axis: number): Tensor {
  return apply(cumsumRow, [numeric(x)], { axis: normalizeAxis('cumsum', axis, x.rank), reverse: false })
}

export const reduceRows = [maxRow, minRow, argmaxRow, argminRow, anyRow, allRow, cumsumRow] as unknown as readonly Primitive[]
