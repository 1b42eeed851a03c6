/**
 * Broadcast and sum, each the other's transpose, and what every fold over axes shares.
 */

import type { KernelName } from '../backend/program.js'
import { WengertError } from '../errors.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Dtype } from '../util/dtype.js'
import { around, broadcastShapes, checkShape, formatShape, type Shape, sameShape, stridesOf } from '../util/shape.js'
import { copyCall, reshape } from './movement.js'
import { call, prefix } from './notation.js'
import { type Aval, apply, type Batch, type LinearPrimitive, type Primitive, type Sample } from './primitive.js'

/** A run of neighbouring axes, first … last, that a row folds away. */
export interface FoldRange {
  first: number
  last: number
  [key: string]: unknown
}

const head = (inputs: readonly Aval[]): Aval => inputs[0] as Aval
const folded = (shape: Shape, { first, last }: FoldRange): number[] => [...shape.slice(0, first), ...shape.slice(last + 1)]
export const foldedAxesKept = (shape: Shape, { first, last }: FoldRange): number[] => shape.map((n, i) => (i >= first && i <= last ? 1 : n))

const samples = (): Sample[] => [
  { inputs: [{ shape: [3, 4] }], params: { first: 0, last: 0 } },
  { inputs: [{ shape: [3, 4] }], params: { first: 1, last: 1 } },
  { inputs: [{ shape: [2, 3, 4] }], params: { first: 1, last: 1 } },
  { inputs: [{ shape: [2, 3, 4] }], params: { first: 0, last: 2 } },
  { inputs: [{ shape: [0, 3] }], params: { first: 1, last: 1 } },
]

/** The parts that all folding rows share. */
export const fold = (kernel: KernelName, doc: string, dtype?: Dtype) => ({
  name: kernel,
  doc,
  infer: (inputs: readonly Aval[], range: FoldRange): Aval => ({
    shape: folded(head(inputs).shape, range),
    dtype: dtype ?? head(inputs).dtype,
  }),
  lower: (inputs: readonly Aval[], _output: Aval, { first, last }: FoldRange) => ({
    kernel,
    ints: around(head(inputs).shape, first, last),
    scalars: [],
  }),
  rowwise: (_inputs: readonly Aval[], _output: Aval, { first }: FoldRange) => first > 0,
  batch: ({ row, inputs, params }: Batch<FoldRange>) => apply(row, inputs, { ...params, first: params.first + 1, last: params.last + 1 }),
  samples,
})

/** Undoes a fold for cotangents: puts the axes back and repeats along them. */
export function unfold(g: Tensor, shape: Shape, range: FoldRange): Tensor {
  return broadcastTo(reshape(g, foldedAxesKept(shape, range)), shape)
}

export const sumRow: LinearPrimitive<FoldRange> = {
  ...fold('sum', 'y = Σ x; float32 is added up in float64'),
  kind: 'linear',
  notation: prefix('Σ'),
  transpose: (g, _i, inputs, range) => unfold(g, head(inputs).shape, range),
}

export const broadcastRow: LinearPrimitive<{ shape: Shape }> = {
  name: 'broadcastTo',
  notation: call('broadcastTo', { quiet: true }),
  kind: 'linear',
  doc: 'repeats x along axes of length 1 and new leading axes',
  rowwise: (inputs, output) => head(inputs).shape.length === output.shape.length && head(inputs).shape[0] === output.shape[0],
  infer: (inputs, { shape }) => ({ shape, dtype: head(inputs).dtype }),
  lower: (inputs, output) => {
    const { shape } = head(inputs)
    const lead = output.shape.length - shape.length
    const own = stridesOf(shape)
    return copyCall({
      dims: output.shape,
      source: { offset: 0, strides: output.shape.map((_, i) => (i < lead || shape[i - lead] === 1 ? 0 : (own[i - lead] as number))) },
    })
  },
  transpose: (g, _i, inputs) => sumTo(g, head(inputs).shape),
  batch: ({ inputs: [x], params: { shape }, size }) => {
    const [, ...own] = (x as Tensor).shape
    return broadcastTo(reshape(x as Tensor, [size, ...shape.slice(own.length).fill(1), ...own]), [size, ...shape])
  },
  samples: () => [
    { inputs: [{ shape: [4] }], params: { shape: [3, 4] } },
    { inputs: [{ shape: [2, 1, 3] }], params: { shape: [2, 5, 3] } },
    { inputs: [{ shape: [] }], params: { shape: [0, 2] } },
    { inputs: [{ shape: [1] }], params: { shape: [4] } },
  ],
}

/** Repeats `x` to `shape` by NumPy's rule. Errors: ERR_SHAPE. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  checkShape('broadcastTo', shape)
  if (sameShape(x.shape, shape)) return x
  if (!sameShape(broadcastShapes('broadcastTo', [x.shape, shape]), shape)) {
    throw new WengertError(
      'ERR_SHAPE',
      `broadcastTo: expected a shape that ${formatShape(x.shape)} repeats to, got ${formatShape(shape)}`,
      { expected: x.shape, actual: shape },
    )
  }
  return apply(broadcastRow, [x], { shape: [...shape] })
}

/** The transpose of a broadcast: sums away the axes along which `shape` was repeated. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x
  const lead = x.rank - shape.length
  const axes: number[] = []
  for (let i = 0; i < x.rank; i++) if (i < lead || (shape[i - lead] === 1 && x.shape[i] !== 1)) axes.push(i)
  return reshape(sumAxes(x, axes), shape)
}

/** Repeats the whole tensor so many times along each axis. */
export function tile(x: Tensor, repeats: readonly number[]): Tensor {
  checkShape('tile', repeats)
  const rank = Math.max(x.rank, repeats.length)
  const shape = [...new Array<number>(rank - x.rank).fill(1), ...x.shape]
  const times = [...new Array<number>(rank - repeats.length).fill(1), ...repeats]
  const spread = broadcastTo(
    reshape(
      x,
      shape.flatMap((n) => [1, n]),
    ),
    shape.flatMap((n, i) => [times[i] as number, n]),
  )
  return reshape(
    spread,
    shape.map((n, i) => n * (times[i] as number)),
  )
}

/** Sums over sorted axes: neighbouring ones at once, from the last. */
function sumAxes(x: Tensor, axes: readonly number[]): Tensor {
  let y = x
  for (let end = axes.length - 1; end >= 0; end--) {
    const last = axes[end] as number
    while (end > 0 && axes[end - 1] === (axes[end] as number) - 1) end--
    y = apply(sumRow, [y], { first: axes[end] as number, last })
  }
  return y
}

export const broadcastRows = [broadcastRow, sumRow] as unknown as readonly Primitive[]
