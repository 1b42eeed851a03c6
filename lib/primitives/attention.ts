/**
 * Attention over heads that lie side by side, and its gradient: one kernel call each, which holds the scores of a block of queries at a time.
 * Queries, keys and values are read where a projection left them: three operands; queries, and keys and values in one; or all in one.
 *
 * Derivatives of the gradient, and forward mode, are composed of products and hold all scores at once.
 */

import { arange, tensor } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Shape } from '../util/shape.js'
import { folded, unfolded } from './batching.js'
import { broadcastTo, sumTo } from './broadcast.js'
import { elements } from './elements.js'
import { add, lessEqual, logicalAnd, mul, notEqual, sub, where } from './elementwise.js'
import { matmulRow } from './linalg.js'
import { expandDims, reshape, transpose } from './movement.js'
import { concat, slice } from './parts.js'
import { type Aval, apply, type Batch, type GeneralPrimitive, type Primitive, type Sample } from './primitive.js'
import { sum } from './reduce.js'
import { softmax } from './softmax.js'
import { Tuple, tupleOf } from './tuple.js'

export interface AttentionParams {
  heads: number
  /** What scores are multiplied by. */
  scale: number
  /** Whether query t sees the keys 0 … t alone. */
  causal: boolean
  /** How many operands hold queries, keys and values: [m, steps, features of all heads] each. */
  operands: 1 | 2 | 3
  /** Whether a mask follows, [m or 1, heads or 1, T or 1, S or 1]: bool, true where a query may look, or numbers added to the scores, −∞ where it may not. */
  masked: boolean
  [key: string]: unknown
}

/** Below all scores: after the softmax it is 0. */
const never = -1e30

const shapeOf = (x: Aval | undefined): Shape => (x as Aval).shape

/** Sizes by the operands: m samples, T queries and S keys of d features a head, values of e. */
function sizesOf(inputs: readonly Aval[], { heads, operands }: AttentionParams) {
  const [m, T, width] = shapeOf(inputs[0]) as [number, number, number]
  const S = shapeOf(inputs[operands - 1])[1] as number
  const last = shapeOf(inputs[operands - 1])[2] as number
  const d = width / heads / (operands === 1 ? 3 : 1)
  return { m, T, S, d, e: operands === 1 ? d : last / heads - (operands === 2 ? d : 0) }
}

function lowered(kernel: 'attention' | 'attentionGrad', inputs: readonly Aval[], params: AttentionParams) {
  const { m, T, S, d, e } = sizesOf(inputs, params)
  const mask = params.masked ? shapeOf(inputs[params.operands]) : [0, 0, 0, 0]
  return { kernel, ints: [m, params.heads, T, S, d, e, params.operands, params.causal ? 1 : 0, ...mask], scalars: [params.scale] }
}

type Maybe = Tensor | undefined
const plus = (a: Maybe, b: Maybe): Maybe => (a && b ? add(a, b) : (a ?? b))
const times = (a: Maybe, b: Maybe): Maybe => a && b && mul(a, b)
const product = (a: Maybe, b: Maybe, transA: boolean, transB: boolean): Maybe => a && b && apply(matmulRow, [a, b], { transA, transB })
const total = (x: Tensor): Tensor => sum(x, 2, { keepDims: true })
/** J x, J being the Jacobian of the softmax at its value p. */
const through = (p: Tensor, x: Maybe): Maybe => x && mul(p, sub(x, total(mul(p, x))))

/** [m, steps, heads · w] ↔ [m · heads, steps, w]. */
function headsOf(x: Tensor, heads: number): Tensor {
  const [m, steps, width] = x.shape as [number, number, number]
  return reshape(transpose(reshape(x, [m, steps, heads, width / heads]), [0, 2, 1, 3]), [m * heads, steps, width / heads])
}
function joined(x: Tensor, heads: number): Tensor {
  const [rows, steps, w] = x.shape as [number, number, number]
  return reshape(transpose(reshape(x, [rows / heads, heads, steps, w]), [0, 2, 1, 3]), [rows / heads, steps, heads * w])
}

/** Queries, keys and values (or what has their shapes) out of the operands. */
function parted(xs: readonly Maybe[], like: readonly Aval[], params: AttentionParams): [Maybe, Maybe, Maybe] {
  const { heads, operands } = params
  const { d } = sizesOf(like, params)
  const own = (x: Maybe, from: number | null, to: number | null) => x && headsOf(slice(x, null, null, [from, to]), heads)
  const [a, b, c] = xs
  if (operands === 1) return [own(a, 0, heads * d), own(a, heads * d, 2 * heads * d), own(a, 2 * heads * d, null)]
  if (operands === 2) return [own(a, null, null), own(b, 0, heads * d), own(b, heads * d, null)]
  return [a, b, c].map((x) => x && headsOf(x, heads)) as [Maybe, Maybe, Maybe]
}

/** The operands' cotangents of those of queries, keys and values. */
function packed(qkv: readonly Maybe[], { heads, operands }: AttentionParams, like: readonly Tensor[]): Maybe[] {
  const [q, k, v] = qkv.map((x, i) => joined(x ?? mul(like[i] as Tensor, 0), heads)) as [Tensor, Tensor, Tensor]
  return operands === 3 ? [q, k, v] : operands === 2 ? [q, concat([k, v], 2)] : [concat([q, k, v], 2)]
}

/** Where queries may look by a mask: where it is true, or not −∞. */
export const shownBy = (mask: Tensor): Tensor => (mask.dtype === 'bool' ? mask : notEqual(mask, -Infinity))

/** Queries, keys, values and weights [m · heads, …]. */
function weighed(inputs: readonly Tensor[], params: AttentionParams) {
  const { heads, scale, causal, masked, operands } = params
  const { m, T, S } = sizesOf(inputs, params)
  const [q, k, v] = parted(inputs, inputs, params) as [Tensor, Tensor, Tensor]
  const mask = masked ? (inputs[operands] as Tensor) : undefined
  const whole = [m, heads, T, S]
  let scores = reshape(mul(product(q, k, false, true) as Tensor, scale), whole)
  let visible = causal ? lessEqual(arange(S), expandDims(arange(T), 1)) : undefined
  if (mask) {
    const shown = shownBy(mask)
    visible = visible ? logicalAnd(visible, shown) : shown
    if (shown !== mask) scores = add(scores, mask)
  }
  let p = softmax(visible ? where(visible, scores, never) : scores, 3)
  if (mask) p = where(visible as Tensor, p, 0)
  return { q, k, v, p: reshape(p, [m * heads, T, S]), whole }
}

/** What is added to the scores, as [m · heads, T, S]; and back to the mask's shape. */
const spread = (x: Maybe, whole: Shape): Maybe =>
  x && reshape(broadcastTo(x, whole), [(whole[0] as number) * (whole[1] as number), ...whole.slice(2)])
const gathered = (x: Tensor, whole: Shape, shape: Shape): Tensor => sumTo(reshape(x, whole), shape)

/** Samples of samples side by side: a mask that all share stays one. */
function stacked({ inputs, mapped, params, full }: Batch<AttentionParams>): Tensor[] {
  const { operands, masked } = params
  const m = (full(0).shape[1] as number) ?? 1
  return inputs.map((x, i) => {
    if (!masked || i !== operands) return folded(full(i))
    if (!mapped[i] && x.shape[0] === 1) return x
    const own = full(i)
    return folded(own.shape[1] === m ? own : broadcastTo(own, [own.shape[0] as number, m, ...own.shape.slice(2)]))
  })
}

/** Whether samples are apart: each operand has a row a sample, and so has the mask, or one for all. */
const apart = (inputs: readonly Aval[], rows: readonly boolean[], { operands, masked }: AttentionParams): boolean =>
  inputs.every((x, i) => (masked && i === operands ? (rows[i] as boolean) || x.shape[0] === 1 : (rows[i] as boolean)))

export const attentionRow: GeneralPrimitive<AttentionParams> = {
  name: 'attention',
  kind: 'general',
  doc: 'y = softmax(scale · q kᵀ + mask) v of each head, q, k and v [m, steps, heads · features] apart or side by side',
  rowwise: (inputs, _output, params, rows) => apart(inputs, rows, params),
  infer: (inputs, params) => {
    const { m, T, e } = sizesOf(inputs, params)
    return { shape: [m, T, params.heads * e], dtype: (inputs[0] as Aval).dtype }
  },
  lower: (inputs, _output, params) => lowered('attention', inputs, params),
  jvp: (tangents, { inputs, params }) => {
    const { q, k, v, p, whole } = weighed(inputs, params)
    const [tq, tk, tv] = parted(tangents, inputs, params)
    const change = changeOf(q, k, tq, tk, params, spread(tangents[params.operands], whole))
    const y = plus(product(through(p, change), v, false, false), product(p, tv, false, false))
    return y && joined(y, params.heads)
  },
  vjp: (g, { inputs, params }, wanted) => {
    const { operands } = params
    const asked = wanted.slice(0, operands).some(Boolean)
    const own = asked ? elements(apply(attentionGradRow, [...inputs, g], params), operands) : new Array<Maybe>(operands).fill(undefined)
    if (!wanted[operands]) return own
    const { v, p, whole } = weighed(inputs, params)
    const slopes = through(p, product(headsOf(g, params.heads), v, false, true)) as Tensor
    return [...own, gathered(slopes, whole, (inputs[operands] as Tensor).shape)]
  },
  batch: (batch) => {
    const stacks = stacked(batch)
    return unfolded(apply(batch.row, stacks, batch.params), batch.size, batch.full(0).shape[1] as number)
  },
  samples: () => samplesOf(false),
}

/** How scores change with queries and keys, and by `more`. */
function changeOf(q: Tensor, k: Tensor, tq: Maybe, tk: Maybe, { scale }: AttentionParams, more: Maybe): Maybe {
  const moved = plus(product(tq, k, false, true), product(q, tk, false, true))
  return plus(moved && mul(moved, scale), more)
}

export const attentionGradRow: GeneralPrimitive<AttentionParams> = {
  name: 'attentionGrad',
  kind: 'general',
  // Its derivatives are small differences of what is nearly equal.
  tolerance: 4,
  doc: 'the gradients of Σ g · attention by its operands q, k and v, as these lie',
  rowwise: (inputs, _output, params, rows) => apart(inputs, rows, params),
  infer: (inputs, { operands }) => tupleOf(inputs.slice(0, operands).map(({ shape, dtype }) => ({ shape, dtype }))),
  lower: (inputs, _output, params) => lowered('attentionGrad', inputs, params),
  jvp: (tangents, { inputs, params }) => {
    const { q, k, v, p, whole } = weighed(inputs, params)
    const { heads, operands, scale, masked } = params
    const [tq, tk, tv] = parted(tangents, inputs, params)
    const of = (x: Maybe) => x && headsOf(x, heads)
    const [g, tg] = [of(inputs.at(-1)) as Tensor, of(tangents[inputs.length - 1])]
    const tp = through(p, changeOf(q, k, tq, tk, params, masked ? spread(tangents[operands], whole) : undefined))
    // u, the weights' gradient; slopes, the scores'.
    const u = product(g, v, false, true) as Tensor
    const tu = plus(product(tg, v, false, true), product(g, tv, false, true))
    const slopes = through(p, u) as Tensor
    const mean = total(mul(p, u))
    const tmean = plus(times(tp, u), times(p, tu))
    const inner = tmean && sub(tu ?? mul(u, 0), total(tmean))
    const changed = plus(tp && mul(tp, sub(u, mean)), times(p, inner))
    const scaled = (x: Maybe) => x && mul(x, scale)
    return new Tuple(
      packed(
        [
          scaled(plus(product(changed, k, false, false), product(slopes, tk, false, false))),
          scaled(plus(product(changed, q, true, false), product(slopes, tq, true, false))),
          plus(product(tp, g, true, false), product(p, tg, true, false)),
        ],
        params,
        [q, k, v],
      ),
    )
  },
  // ⟨cotangent, gradient⟩ is ⟨g, ẏ⟩, ẏ being the tangent of attention along the cotangent.
  vjp: (cotangent, { inputs, params }, wanted) => {
    const { q, k, v, p, whole } = weighed(inputs, params)
    const { heads, operands, scale, masked } = params
    const [cq, ck, cv] = parted((cotangent as Tuple).parts, inputs, params)
    const g = headsOf(inputs.at(-1) as Tensor, heads)
    const change = changeOf(q, k, cq, ck, params, undefined)
    const tp = through(p, change)
    const ofG = plus(product(tp, v, false, false), product(p, cv, false, false))
    const u = product(g, v, false, true) as Tensor
    const weighted = mul(p, u)
    const slopes = through(p, u) as Tensor
    const moved = change && sub(mul(u, sub(change, total(mul(p, change)))), mul(change, total(weighted)))
    const ofScores = through(p, plus(moved, product(g, cv, false, true)))
    const scaled = (x: Maybe) => x && mul(x, scale)
    const own = packed(
      [
        scaled(plus(product(ofScores, k, false, false), product(slopes, ck, false, false))),
        scaled(plus(product(ofScores, q, true, false), product(slopes, cq, true, false))),
        product(tp, g, true, false),
      ],
      params,
      [q, k, v],
    )
    const ofMask = masked && wanted[operands] && ofScores ? gathered(ofScores, whole, (inputs[operands] as Tensor).shape) : undefined
    return [...own, ...(masked ? [ofMask] : []), ofG && joined(ofG, heads)]
  },
  batch: (batch) => {
    const rows = batch.full(0).shape[1] as number
    const results = elements(apply(batch.row, stacked(batch), batch.params), batch.params.operands)
    return new Tuple(results.map((y) => unfolded(y, batch.size, rows)))
  },
  samples: () => samplesOf(true),
}

function samplesOf(gradient: boolean): Sample[] {
  const of = (shapes: readonly Shape[], result: Shape, params: Partial<AttentionParams>, mask?: Sample['inputs'][number]): Sample => ({
    inputs: [...shapes.map((shape) => ({ shape })), ...(mask ? [mask] : []), ...(gradient ? [{ shape: result }] : [])],
    params: { heads: 1, scale: 0.5, causal: false, operands: shapes.length, masked: mask !== undefined, ...params },
  })
  // The first query may look nowhere.
  const holes = tensor(Int32Array.of(0, 0, 0, 1, 1, 0), { shape: [1, 1, 2, 3], dtype: 'bool' })
  return [
    of([[2, 3, 12]], [2, 3, 4], { heads: 2 }),
    of([[1, 4, 9]], [1, 4, 3], { causal: true }),
    of(
      [
        [2, 3, 4],
        [2, 2, 8],
      ],
      [2, 3, 4],
      { heads: 2 },
      { shape: [1, 2, 3, 2] },
    ),
    of(
      [
        [2, 2, 3],
        [2, 5, 3],
        [2, 5, 2],
      ],
      [2, 2, 2],
      { causal: true, scale: -1 },
    ),
    of(
      [
        [2, 2, 4],
        [2, 3, 4],
        [2, 3, 2],
      ],
      [2, 2, 2],
      { heads: 2 },
      holes,
    ),
    of(
      [
        [0, 2, 3],
        [0, 5, 3],
        [0, 5, 2],
      ],
      [0, 2, 2],
      {},
    ),
  ]
}

export const attentionRows = [attentionRow, attentionGradRow] as unknown as readonly Primitive[]
