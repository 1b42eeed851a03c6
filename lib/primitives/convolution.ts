/**
 * Convolutions: three bilinear rows, each the derivative of the others, so that every order of derivative is made of them.
 *
 * The rows work channels last, which is where they are fast: x [N, H, W, C], w [KH, KW, C/groups, D], y [N, H′, W′, D]. The
 * functions take and give PyTorch's channels first; the transposes between are removed from a program where neighbours
 * agree (plan/layouts.ts). One spatial axis is two, the first of length 1.
 *
 *   conv        y[n, i, j, d] = Σ x[n, i·sₕ + a·dₕ − pₕ, j·s_w + b·d_w − p_w, c] · w[a, b, c, d]   (zero outside of x)
 *   convInput   x̄ from ȳ and w: the transposed convolution
 *   convWeight  w̄ from x and ȳ
 */

import type { KernelName } from '../backend/program.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Shape } from '../util/shape.js'
import { folded, moveAxis, unfolded } from './batching.js'
import { add } from './elementwise.js'
import { reshape } from './movement.js'
import { type Aval, apply, type Batch, type GeneralPrimitive, type Primitive, type Sample } from './primitive.js'

/** Where the windows of a convolution or of pooling lie. */
export interface Windows {
  /** Steps from window to window: [rows, columns]. */
  stride: Shape
  /** Zeros before the first row and column; those after the last follow from the sizes. */
  padding: Shape
  /** Steps from cell to cell within a window. */
  dilation: Shape
  [key: string]: unknown
}

interface ConvParams extends Windows {
  groups: number
  /** The two spatial sizes of the result, which the operands leave open. */
  size: Shape
}

/** The operands' shapes by role. */
interface Roles {
  x: Shape
  w: Shape
  y: Shape
}

const shapeOf = (aval: Aval | undefined): Shape => (aval as Aval).shape

function lowered(kernel: KernelName, { x, w, y }: Roles, { stride, padding, dilation, groups }: ConvParams) {
  return { kernel, ints: [...x, ...y.slice(1), ...w.slice(0, 2), ...stride, ...padding, ...dilation, groups], scalars: [] }
}

/** Samples by geometry: x, w, y and how the windows lie. */
function geometries(): { x: Shape; w: Shape; y: Shape; params: Omit<ConvParams, 'size'> }[] {
  const at = (x: Shape, w: Shape, y: Shape, [stride, padding, dilation]: readonly number[], groups = 1) => {
    const pair = (v: number | undefined) => [v as number, v as number]
    return { x, w, y, params: { stride: pair(stride), padding: pair(padding), dilation: pair(dilation), groups } }
  }
  return [
    at([2, 4, 5, 3], [3, 2, 3, 2], [2, 2, 4, 2], [1, 0, 1]),
    at([1, 5, 4, 2], [3, 3, 2, 9], [1, 5, 4, 9], [1, 1, 1]),
    at([2, 6, 5, 4], [3, 3, 2, 4], [2, 3, 3, 4], [2, 1, 1], 2),
    at([1, 7, 6, 3], [2, 3, 1, 6], [1, 5, 4, 6], [1, 1, 2], 3),
    at([1, 1, 8, 1], [1, 3, 1, 4], [1, 1, 6, 4], [1, 0, 1]),
    at([0, 4, 4, 2], [3, 3, 2, 3], [0, 2, 2, 3], [1, 0, 1]),
  ]
}

/** Values of a sample, more of them than the usual range holds. */
const wide = (shape: Shape) => ({ shape, low: -4, high: 4 })

const spatial = (shape: Shape): Shape => shape.slice(1, 3)

/** The samples side by side in the last axis: as channels, or as the outputs of a weight. */
function sideBySide(x: Tensor): Tensor {
  const moved = moveAxis(x, 0, x.rank - 2)
  return reshape(moved, [...moved.shape.slice(0, -2), (x.shape[0] as number) * (x.shape.at(-1) as number)])
}

/** The weights of all samples as one of more input channels. */
function inputsSideBySide(w: Tensor): Tensor {
  const [size, kh, kw, c, d] = w.shape as [number, number, number, number, number]
  return reshape(moveAxis(w, 0, 2), [kh, kw, size * c, d])
}

/** Undoes `sideBySide`. */
const apart = (y: Tensor, size: number, last: number): Tensor => moveAxis(reshape(y, [...y.shape.slice(0, -1), size, last]), y.rank - 1, 0)

/** Every sample is a group of channels of its own. */
function groups({ row, params, size, full }: Batch<ConvParams>): Tensor {
  const [a, b] = [full(0), full(1)]
  const one = row.infer(
    [a, b].map(({ shape, dtype }) => ({ shape: shape.slice(1), dtype })),
    params,
  )
  const all = apply(row, [sideBySide(a), sideBySide(b)], { ...params, groups: params.groups * size })
  return apart(all, size, one.shape.at(-1) as number)
}

/** Samples of x under one weight are more rows of x; weights of their own, `beside` each other, give one x more channels. */
const underWeights =
  (beside: (w: Tensor) => Tensor) =>
  (batch: Batch<ConvParams>): Tensor => {
    const { row, inputs, mapped, params, size } = batch
    const [x, w] = inputs as [Tensor, Tensor]
    if (!mapped[1]) return unfolded(apply(row, [folded(x), w], params), size, x.shape[1] as number)
    if (mapped[0] || params.groups !== 1) return groups(batch)
    const y = apply(row, [x, beside(w)], params)
    return apart(y, size, (y.shape[3] as number) / size)
  }

/** The gradient of a weight from each sample; where one operand is common, the samples are channels of the other. */
function weightsOfSamples(batch: Batch<ConvParams>): Tensor {
  const { row, inputs, mapped, params, size } = batch
  const [x, g] = inputs as [Tensor, Tensor]
  if (params.groups !== 1 || (mapped[0] && mapped[1])) return groups(batch)
  if (mapped[1]) return apart(apply(row, [x, sideBySide(g)], params), size, g.shape.at(-1) as number)
  const y = apply(row, [sideBySide(x), g], params)
  const [kh, kw, c, d] = y.shape as [number, number, number, number]
  return moveAxis(reshape(y, [kh, kw, size, c / size, d]), 2, 0)
}

export const convRow: GeneralPrimitive<ConvParams> = {
  name: 'conv',
  kind: 'general',
  doc: 'y = x ∗ w, the cross-correlation of x [N, H, W, C] with w [KH, KW, C/groups, D]',
  rowwise: (_inputs, _output, _params, [, weightHasRows]) => !weightHasRows,
  infer: ([x, w], { size }) => ({ shape: [shapeOf(x)[0] as number, ...size, shapeOf(w)[3] as number], dtype: (x as Aval).dtype }),
  lower: ([x, w], y, params) => lowered('conv', { x: shapeOf(x), w: shapeOf(w), y: y.shape }, params),
  jvp: ([tx, tw], { inputs, params }) => {
    const [x, w] = inputs as [Tensor, Tensor]
    return both(tx && apply(convRow, [tx, w], params), tw && apply(convRow, [x, tw], params))
  },
  vjp: (g, { inputs, params }, [wantX, wantW]) => {
    const [x, w] = inputs as [Tensor, Tensor]
    return [
      wantX ? apply(convInputRow, [g, w], { ...params, size: spatial(x.shape) }) : undefined,
      wantW ? apply(convWeightRow, [x, g], { ...params, size: w.shape.slice(0, 2) }) : undefined,
    ]
  },
  batch: underWeights(sideBySide),
  samples: () =>
    geometries().map(({ x, w, y, params }): Sample => ({ inputs: [wide(x), wide(w)], params: { ...params, size: spatial(y) } })),
}

export const convInputRow: GeneralPrimitive<ConvParams> = {
  name: 'convInput',
  kind: 'general',
  doc: 'the transpose of conv by its input: g [N, H′, W′, D] and w give [N, H, W, C]',
  rowwise: (_inputs, _output, _params, [, weightHasRows]) => !weightHasRows,
  infer: ([g, w], { size, groups }) => ({
    shape: [shapeOf(g)[0] as number, ...size, (shapeOf(w)[2] as number) * groups],
    dtype: (g as Aval).dtype,
  }),
  lower: ([g, w], x, params) => lowered('convInput', { x: x.shape, w: shapeOf(w), y: shapeOf(g) }, params),
  jvp: ([tg, tw], { inputs, params }) => {
    const [g, w] = inputs as [Tensor, Tensor]
    return both(tg && apply(convInputRow, [tg, w], params), tw && apply(convInputRow, [g, tw], params))
  },
  vjp: (z, { inputs, params }, [wantG, wantW]) => {
    const [g, w] = inputs as [Tensor, Tensor]
    return [
      wantG ? apply(convRow, [z, w], { ...params, size: spatial(g.shape) }) : undefined,
      wantW ? apply(convWeightRow, [z, g], { ...params, size: w.shape.slice(0, 2) }) : undefined,
    ]
  },
  batch: underWeights(inputsSideBySide),
  samples: () =>
    geometries().map(({ x, w, y, params }): Sample => ({ inputs: [wide(y), wide(w)], params: { ...params, size: spatial(x) } })),
}

export const convWeightRow: GeneralPrimitive<ConvParams> = {
  name: 'convWeight',
  kind: 'general',
  doc: 'the transpose of conv by its weight: x and g [N, H′, W′, D] give [KH, KW, C/groups, D]',
  infer: ([x, g], { size, groups }) => ({
    shape: [...size, (shapeOf(x)[3] as number) / groups, shapeOf(g)[3] as number],
    dtype: (x as Aval).dtype,
  }),
  lower: ([x, g], w, params) => lowered('convWeight', { x: shapeOf(x), w: w.shape, y: shapeOf(g) }, params),
  jvp: ([tx, tg], { inputs, params }) => {
    const [x, g] = inputs as [Tensor, Tensor]
    return both(tx && apply(convWeightRow, [tx, g], params), tg && apply(convWeightRow, [x, tg], params))
  },
  vjp: (z, { inputs, params }, [wantX, wantG]) => {
    const [x, g] = inputs as [Tensor, Tensor]
    return [
      wantX ? apply(convInputRow, [g, z], { ...params, size: spatial(x.shape) }) : undefined,
      wantG ? apply(convRow, [x, z], { ...params, size: spatial(g.shape) }) : undefined,
    ]
  },
  batch: weightsOfSamples,
  samples: () =>
    geometries().map(({ x, w, y, params }): Sample => ({ inputs: [wide(x), wide(y)], params: { ...params, size: w.slice(0, 2) } })),
}

const both = (a: Tensor | undefined, b: Tensor | undefined): Tensor | undefined => (a && b ? add(a, b) : (a ?? b))

export const convolutionRows = [convRow, convInputRow, convWeightRow] as unknown as readonly Primitive[]
