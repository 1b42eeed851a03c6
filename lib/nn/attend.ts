/**
 * Attention as a function: softmax(q kᵀ) v, a block of scores at a time, by a kernel (primitives/attention.ts). Where weights are dropped out,
 * blocks are iterations of a `scan`, so that the scores of one are in memory at once; the backward pass computes them again.
 */

import { checkpoint } from '../autodiff/custom.js'
import { scan } from '../autodiff/scan.js'
import { WengertError } from '../errors.js'
import { type AttentionParams, attentionRow, shownBy } from '../primitives/attention.js'
import { broadcastTo } from '../primitives/broadcast.js'
import { add, lessEqual, logicalAnd, mul, where } from '../primitives/elementwise.js'
import { matmulRow } from '../primitives/linalg.js'
import { expandDims, reshape } from '../primitives/movement.js'
import { pad, slice } from '../primitives/parts.js'
import { apply } from '../primitives/primitive.js'
import { softmax } from '../primitives/softmax.js'
import { arange } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { checkFlag, checkNumber, checkOptions, describe } from '../util/options.js'
import { broadcastShapes, formatShape, type Shape, sameShape, sizeOf } from '../util/shape.js'
import { droppedOut } from './dropout.js'

/** Of `scaledDotProductAttention`. */
export interface AttentionOptions {
  /**
   * bool: true where a query (row) may look at a key (column); or floating numbers that are added to the scores, −∞ where it may not.
   * Any shape that broadcasts to […, T, S]. A query that may look nowhere gets zeros.
   */
  mask?: Tensor | undefined
  /** Whether query t looks at the keys 0 … t alone; false by default. */
  causal?: boolean | undefined
  /** The probability with which weights are zeroed; 0 by default, and to be so in use. */
  dropout?: number | undefined
  /** What the products are multiplied by; 1/√d by default. */
  scale?: number | undefined
}

/** Numbers of a block of scores: what fits a core's cache. */
const blockSize = 1 << 16
/** Below all scores: after the softmax it is 0. */
const never = -1e30

/** What is asked of every block. */
interface Asked {
  /** [B or 1, T or 1, S or 1]. */
  readonly mask: Tensor | undefined
  /** The number of the first query, where later keys are hidden. */
  readonly first: Tensor | undefined
  readonly dropout: number
}

const product = (a: Tensor, b: Tensor, transB: boolean): Tensor => apply(matmulRow, [a, b], { transA: false, transB })

/** q [B, T, d] (scaled), k [B, S, d], v [B, S, e] → [B, T, e], with all scores at once. */
function block(q: Tensor, k: Tensor, v: Tensor, { mask, first, dropout }: Asked): Tensor {
  const [T, S] = [q.shape[1] as number, k.shape[1] as number]
  let scores = product(q, k, true)
  let visible = first && lessEqual(arange(S), add(expandDims(arange(T), 1), first))
  if (mask) {
    const shown = shownBy(mask)
    visible = visible ? logicalAnd(visible, shown) : shown
    if (shown !== mask) scores = add(scores, mask)
  }
  if (visible) scores = where(visible, scores, never)
  let weights = softmax(scores, 2)
  if (visible && mask) weights = where(visible, weights, 0)
  if (dropout > 0) weights = droppedOut(weights, dropout, 'scaledDotProductAttention')
  return product(weights, v, false)
}

/** The same; what is between is computed again in the backward pass, in a program too. */
const again = (q: Tensor, k: Tensor, v: Tensor, asked: Asked): Tensor =>
  checkpoint((a: Tensor, b: Tensor, c: Tensor) => block(a, b, c, asked))(q, k, v)

const rowsOf = (x: Tensor, count: number): Tensor => reshape(x, [count, (x.shape[0] as number) / count, ...x.shape.slice(1)])

/** The same, with no more scores at once than a block has. */
function attend(q: Tensor, k: Tensor, v: Tensor, asked: Asked): Tensor {
  const [B, T] = q.shape as [number, number, number]
  const S = k.shape[1] as number
  const e = v.shape[2] as number
  if (B * T * S <= blockSize) return again(q, k, v, asked)
  const { mask } = asked
  if (B > 1) {
    let size = Math.max(1, Math.floor(blockSize / (T * S)))
    while (B % size !== 0) size--
    const own = mask !== undefined && mask.shape[0] === B
    const [, out] = scan(
      (none: Tensor[], rows: { q: Tensor; k: Tensor; v: Tensor; mask?: Tensor }) => {
        return [none, attend(rows.q, rows.k, rows.v, { ...asked, mask: rows.mask ?? mask })] as const
      },
      [],
      { q: rowsOf(q, B / size), k: rowsOf(k, B / size), v: rowsOf(v, B / size), ...(own && { mask: rowsOf(mask, B / size) }) },
    )
    return reshape(out, [B, T, e])
  }
  // One sequence: blocks of queries.
  const count = Math.ceil(T / Math.max(1, Math.floor(blockSize / S)))
  const size = Math.ceil(T / count)
  const more = count * size - T
  const queries = (x: Tensor): Tensor => {
    const padded = more > 0 ? pad(x, [[0, 0], [0, more], ...x.shape.slice(2).map(() => [0, 0] as const)]) : x
    return reshape(padded, [count, 1, size, x.shape[2] as number])
  }
  const own = mask !== undefined && mask.shape[1] === T
  const [, out] = scan(
    (none: Tensor[], rows: { q: Tensor; first?: Tensor; mask?: Tensor }) => {
      return [none, again(rows.q, k, v, { ...asked, first: rows.first, mask: rows.mask ?? mask })] as const
    },
    [],
    { q: queries(q), ...(asked.first && { first: arange(0, count * size, size) }), ...(own && { mask: queries(mask) }) },
  )
  return slice(reshape(out, [1, count * size, e]), null, [0, T])
}

/** The mask with as many axes as `whole`, […, T, S]. Errors: ERR_SHAPE, ERR_DTYPE. */
function maskOf(op: string, given: unknown, whole: Shape, dtype: Tensor['dtype']): Tensor {
  if (!(given instanceof Tensor))
    throw new WengertError('ERR_VALUE', `${op}: expected mask to be a tensor, got ${describe(given)}`, { actual: given })
  const mask = given.resolve()
  if (mask.dtype !== 'bool' && mask.dtype !== dtype)
    throw new WengertError(
      'ERR_DTYPE',
      `${op}: a mask is of bool (true: look there) or of ${dtype} (added to the scores), not ${mask.dtype}`,
      { expected: ['bool', dtype], actual: mask.dtype },
    )
  const shape = [...new Array<number>(Math.max(0, whole.length - mask.rank)).fill(1), ...mask.shape]
  if (shape.length !== whole.length || shape.some((n, i) => n !== 1 && n !== whole[i]))
    throw new WengertError('ERR_SHAPE', `${op}: expected a mask that broadcasts to ${formatShape(whole)}, got ${formatShape(mask.shape)}`, {
      expected: whole,
      actual: mask.shape,
    })
  return reshape(mask, shape)
}

/** The leading axes of a mask in one: [B or 1, T or 1, S or 1]. */
function flattened(mask: Tensor, lead: Shape): Tensor {
  const [own, matrix] = [mask.shape.slice(0, -2), mask.shape.slice(-2)]
  const B = sizeOf(lead)
  if (sizeOf(own) === 1) return reshape(mask, [1, ...matrix])
  return reshape(sizeOf(own) === B ? mask : broadcastTo(mask, [...lead, ...matrix]), [B, ...matrix])
}

/** What attention over heads that lie side by side is asked. */
export interface HeadsAsked {
  heads: number
  causal: boolean
  mask?: Tensor | undefined
}

/**
 * Attention of heads that lie side by side: queries [m, T, heads · d], keys and values [m, S, …] in operands of their own, in one, or all in one.
 * A mask is […, T, S], of samples and heads.
 *
 * @returns [m, T, heads · d]
 */
export function attendHeads(op: string, operands: readonly Tensor[], { heads, causal, mask }: HeadsAsked): Tensor {
  const [m, T, width] = (operands[0] as Tensor).shape as [number, number, number]
  const S = (operands.at(-1) as Tensor).shape[1] as number
  const count = operands.length as AttentionParams['operands']
  const own = mask === undefined ? [] : [maskOf(op, mask, [m, heads, T, S], (operands[0] as Tensor).dtype)]
  const scale = 1 / Math.sqrt(width / heads / (count === 1 ? 3 : 1))
  return apply(attentionRow, [...operands, ...own], { heads, scale, causal, operands: count, masked: own.length > 0 })
}

/**
 * Attention: y = softmax(q kᵀ · scale + mask) v, the softmax over the keys. Leading axes (samples, heads) broadcast. A part of the
 * scores is in memory at a time, and they are computed again in the backward pass.
 *
 * @param q queries […, T, d]
 * @param k keys […, S, d]
 * @param v values […, S, e]
 * @returns […, T, e]
 * @throws ERR_SHAPE, ERR_DTYPE, ERR_OPTION, ERR_RANGE
 * @example scaledDotProductAttention(q, k, v, { causal: true })
 */
export function scaledDotProductAttention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  const op = 'scaledDotProductAttention'
  checkOptions(op, options, ['mask', 'causal', 'dropout', 'scale'])
  const all = [q, k, v]
  const shapes = () => all.map((x) => formatShape(x.shape)).join(', ')
  for (const x of all)
    if (!(x instanceof Tensor) || x.rank < 2) {
      const got = x instanceof Tensor ? formatShape(x.shape) : describe(x)
      throw new WengertError('ERR_SHAPE', `${op}: expected q, k and v of shape […, steps, features], got ${got}`, { actual: x })
    }
  if (!isFloat(q.dtype) || k.dtype !== q.dtype || v.dtype !== q.dtype)
    throw new WengertError('ERR_DTYPE', `${op}: expected q, k and v of one floating type, got ${all.map((x) => x.dtype).join(', ')}`, {
      actual: all.map((x) => x.dtype),
    })
  const [T, d] = q.shape.slice(-2) as [number, number]
  const [S, own] = k.shape.slice(-2) as [number, number]
  const [values, e] = v.shape.slice(-2) as [number, number]
  if (own !== d || values !== S || S === 0 || T === 0 || d === 0)
    throw new WengertError('ERR_SHAPE', `${op}: expected q […, T, d], k […, S, d] and v […, S, e], got ${shapes()}`, {
      actual: all.map((x) => x.shape),
    })
  const dropout = checkNumber(op, 'dropout', options.dropout ?? 0, { min: 0, max: 1 })
  const scale = checkNumber(op, 'scale', options.scale ?? 1 / Math.sqrt(d))
  const lead = broadcastShapes(
    op,
    all.map((x) => x.shape.slice(0, -2)),
  )
  const mask = options.mask === undefined ? undefined : flattened(maskOf(op, options.mask, [...lead, T, S], q.dtype), lead)
  const causal = checkFlag(op, 'causal', options.causal ?? false)
  const B = sizeOf(lead)
  const [queries, keys, vals] = all.map((x) => {
    const full = [...lead, ...x.shape.slice(-2)]
    return reshape(sameShape(full, x.shape) ? x : broadcastTo(x, full), [B, ...x.shape.slice(-2)])
  }) as [Tensor, Tensor, Tensor]
  if (dropout > 0) {
    const first = causal ? arange(1).reshape([]) : undefined
    return reshape(attend(mul(queries, scale), keys, vals, { mask, first, dropout }), [...lead, T, e])
  }
  const params: AttentionParams = { heads: 1, scale, causal, operands: 3, masked: mask !== undefined }
  const y = apply(attentionRow, [queries, keys, vals, ...(mask ? [expandDims(mask, 1)] : [])], params)
  return reshape(y, [...lead, T, e])
}
