/** Matrix products: one row, closed under differentiation, with both transposes in its parameters. */

import { WengertError } from '../errors.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat, promote } from '../util/dtype.js'
import { broadcastShapes, formatShape, type Shape, sizeOf } from '../util/shape.js'
import { folded, unfolded } from './batching.js'
import { broadcastTo } from './broadcast.js'
import { add, mul } from './elementwise.js'
import { cast, reshape } from './movement.js'
import { matrixProductNotation } from './notation.js'
import { type Aval, apply, type Batch, type GeneralPrimitive, type Primitive } from './primitive.js'
import { sum } from './reduce.js'

interface Transposes {
  transA: boolean
  transB: boolean
  [key: string]: unknown
}

/** The dimensions of op(a)·op(b), a and b of rank 2 or 3. */
function dims([a, b]: readonly Aval[], { transA, transB }: Transposes) {
  const [p, q] = [(a as Aval).shape, (b as Aval).shape]
  const [rows, inner] = p.slice(-2) as [number, number]
  const [depth, cols] = q.slice(-2) as [number, number]
  const batch = p.length === 3 ? (p[0] as number) : q.length === 3 ? (q[0] as number) : 1
  return {
    batch,
    batched: p.length === 3 || q.length === 3,
    m: transA ? inner : rows,
    k: transA ? rows : inner,
    depth: transB ? cols : depth,
    n: transB ? depth : cols,
    strideA: p.length === 3 ? rows * inner : 0,
    strideB: q.length === 3 ? depth * cols : 0,
  }
}

export const matmulRow: GeneralPrimitive<Transposes> = {
  name: 'matmul',
  kind: 'general',
  notation: matrixProductNotation,
  doc: 'C = op(A)·op(B), op transposing the last two axes where asked; a batch in front, on either or both',
  rowwise: ([a, b], output, { transA }, [rowsA, rowsB]) =>
    output.shape.length === 2
      ? !rowsB && !transA
      : (!rowsA || a?.shape.length === 3) && (!rowsB || b?.shape.length === 3) && !(rowsA !== rowsB && (rowsA ? b : a)?.shape.length === 3),
  infer: (inputs, params) => {
    const { batch, batched, m, k, depth, n } = dims(inputs, params)
    if (k !== depth) {
      const shapes = inputs.map((x) => formatShape(x.shape))
      throw new WengertError(
        'ERR_SHAPE',
        `matmul: expected inner dimensions to agree, got ${k} and ${depth} from ${shapes.join(' and ')}`,
        { expected: k, actual: depth },
      )
    }
    return { shape: batched ? [batch, m, n] : [m, n], dtype: (inputs[0] as Aval).dtype }
  },
  lower: (inputs, _output, params) => {
    const { batch, m, n, k, strideA, strideB } = dims(inputs, params)
    return { kernel: 'matmul', ints: [batch, m, n, k, params.transA ? 1 : 0, params.transB ? 1 : 0, strideA, strideB], scalars: [1, 0] }
  },
  accumulate: (inputs, output, params, alpha) =>
    output.shape.length === 2 ? { ...matmulRow.lower(inputs, output, params), scalars: [alpha, 1] } : undefined,
  jvp: ([ta, tb], { inputs, params }) => {
    const [a, b] = inputs as [Tensor, Tensor]
    const left = ta && apply(matmulRow, [ta, b], params)
    const right = tb && apply(matmulRow, [a, tb], params)
    return left && right ? add(left, right) : (left ?? right)
  },
  vjp: (g, { inputs, params: { transA, transB } }, [wantA, wantB]) => {
    const [a, b] = inputs as [Tensor, Tensor]
    const product = (x: Tensor, y: Tensor, tx: boolean, ty: boolean) => apply(matmulRow, [x, y], { transA: tx, transB: ty })
    return [
      wantA ? (transA ? product(b, g, transB, true) : product(g, b, false, !transB)) : undefined,
      wantB ? (transB ? product(g, a, true, transA) : product(a, g, !transA, false)) : undefined,
    ]
  },
  batch: (batch) => {
    const [a, b] = batch.inputs as [Tensor, Tensor]
    const ranks = [a.rank - (batch.mapped[0] ? 1 : 0), b.rank - (batch.mapped[1] ? 1 : 0)]
    return ranks.includes(3) ? productsOfStacks(batch, ranks) : productsOfMatrices(batch)
  },
  samples: () =>
    [
      [[3, 4], [4, 2], false, false],
      [[4, 3], [2, 4], true, true],
      [[3, 4], [2, 4], false, true],
      [[2, 3, 4], [2, 4, 5], false, false],
      [[2, 4, 3], [4, 5], true, false],
      [[3, 4], [2, 4, 5], false, false],
      [[0, 4], [4, 2], false, false],
      [[3, 0], [0, 2], false, false],
    ].map(([a, b, transA, transB]) => ({ inputs: [{ shape: a as number[] }, { shape: b as number[] }], params: { transA, transB } })),
}

/** One product for all samples where one factor is common and the samples of the other lie row under row; else one a sample. */
function productsOfMatrices({ inputs, mapped, params, size }: Batch<Transposes>): Tensor {
  const [a, b] = inputs as [Tensor, Tensor]
  const { transA, transB } = params
  const plain = () => apply(matmulRow, [a, b], params)
  if (mapped[0] && mapped[1]) return plain()
  const { m, n } = dims(inputs, params)
  if (mapped[0]) {
    const k = a.shape[transA ? 1 : 2] as number
    if (transA && m !== 1) return plain()
    return unfolded(apply(matmulRow, [reshape(a, [size * m, k]), b], { transA: false, transB }), size, m)
  }
  const k = b.shape[transB ? 2 : 1] as number
  if ((m !== 1 && n !== 1) || (!transB && n !== 1)) return plain()
  // (A Bᵢ)ᵀ = Bᵢᵀ Aᵀ, and one of the two is a vector.
  return reshape(apply(matmulRow, [reshape(b, [size * n, k]), a], { transA: false, transB: !transA }), [size, m, n])
}

/** Samples of stacks of matrices: one longer stack. */
function productsOfStacks({ inputs, mapped, params, size, full }: Batch<Transposes>, ranks: readonly number[]): Tensor {
  const [a, b] = inputs as [Tensor, Tensor]
  const count = (ranks[0] === 3 ? a.shape.at(-3) : b.shape.at(-3)) as number
  if (mapped[0] && mapped[1] && ranks[1] === 2 && !params.transA) {
    const rows = a.shape[2] as number
    const product = apply(matmulRow, [reshape(a, [size, count * rows, a.shape[3] as number]), b], params)
    return reshape(product, [size, count, rows, product.shape[2] as number])
  }
  const [p, q] = [0, 1].map((i) => {
    // A matrix that all products share stays one.
    if (!mapped[i] && ranks[i] === 2) return inputs[i] as Tensor
    const x = full(i)
    const matrix = x.shape.slice(-2)
    return ranks[i] === 3 ? folded(x) : folded(broadcastTo(reshape(x, [size, 1, ...matrix]), [size, count, ...matrix]))
  }) as [Tensor, Tensor]
  return unfolded(apply(matmulRow, [p, q], params), size, count)
}

/**
 * The matrix product, with NumPy's rules: vectors are rows on the left and columns on the right, leading axes broadcast.
 *
 * @throws ERR_SHAPE where the inner dimensions differ or an argument is a scalar
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  if (a.rank === 0 || b.rank === 0) {
    throw new WengertError(
      'ERR_SHAPE',
      `matmul: expected vectors, matrices or stacks of them, got ${formatShape(a.shape)} and ${formatShape(b.shape)}`,
      { actual: [a.shape, b.shape] },
    )
  }
  const common = promote(a.dtype, b.dtype)
  const dtype = isFloat(common) ? common : 'float32'
  const x = cast(a.rank === 1 ? reshape(a, [1, a.size]) : a, dtype)
  const y = cast(b.rank === 1 ? reshape(b, [b.size, 1]) : b, dtype)
  const [m, n] = [x.shape[x.rank - 2] as number, y.shape[y.rank - 1] as number]
  const [lead, product] = stacked(x, y)
  return reshape(product, [...lead, ...(a.rank === 1 ? [] : [m]), ...(b.rank === 1 ? [] : [n])])
}

/** Folds leading axes into one batch axis (or into rows, where b is one matrix). */
function stacked(x: Tensor, y: Tensor): [lead: Shape, product: Tensor] {
  const plain = { transA: false, transB: false }
  const [leadX, leadY] = [x.shape.slice(0, -2), y.shape.slice(0, -2)]
  const [matX, matY] = [x.shape.slice(-2) as [number, number], y.shape.slice(-2) as [number, number]]
  if (leadY.length === 0) return [leadX, apply(matmulRow, [reshape(x, [sizeOf(leadX) * matX[0], matX[1]]), y], plain)]
  const lead = broadcastShapes('matmul', [leadX, leadY])
  const fold = (t: Tensor, own: Shape, mat: Shape) =>
    sizeOf(own) === 1 && sizeOf(lead) !== 1 ? reshape(t, mat) : reshape(broadcastTo(t, [...lead, ...mat]), [sizeOf(lead), ...mat])
  return [lead, apply(matmulRow, [fold(x, leadX, matX), fold(y, leadY, matY)], plain)]
}

/** Z = X Wᵀ + b: the affine map of a layer. X is [m, dIn] (or [dIn]), W [dOut, dIn], b [dOut]. */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const [dOut, dIn] = weight.shape as [number, number]
  if (x.rank === 0 || x.shape[x.rank - 1] !== dIn || x.dtype !== weight.dtype) {
    const dtypes = x.dtype === weight.dtype ? '' : ` of ${weight.dtype}`
    throw new WengertError(
      dtypes ? 'ERR_DTYPE' : 'ERR_SHAPE',
      `linear: expected x of shape [*, ${dIn}]${dtypes}, got ${formatShape(x.shape)}${dtypes ? ` of ${x.dtype}` : ''} (Linear ${dIn} → ${dOut})`,
      {
        expected: ['*', dIn],
        actual: x.shape,
      },
    )
  }
  const rows = reshape(x, [x.size / Math.max(1, dIn) || sizeOf(x.shape.slice(0, -1)), dIn])
  const product = apply(matmulRow, [rows, weight], { transA: false, transB: true })
  return reshape(bias ? add(product, bias) : product, [...x.shape.slice(0, -1), dOut])
}

/** Σ aᵢ bᵢ of two vectors of one length. Errors: ERR_SHAPE. */
export function dot(a: Tensor, b: Tensor): Tensor {
  if (a.rank !== 1 || b.rank !== 1 || a.size !== b.size) {
    throw new WengertError(
      'ERR_SHAPE',
      `dot: expected two vectors of one length, got ${formatShape(a.shape)} and ${formatShape(b.shape)}`,
      { actual: [a.shape, b.shape] },
    )
  }
  return sum(mul(a, b))
}

/** aᵢ bⱼ of two vectors. Errors: ERR_SHAPE. */
export function outer(a: Tensor, b: Tensor): Tensor {
  if (a.rank !== 1 || b.rank !== 1) {
    throw new WengertError('ERR_SHAPE', `outer: expected two vectors, got ${formatShape(a.shape)} and ${formatShape(b.shape)}`, {
      actual: [a.shape, b.shape],
    })
  }
  return mul(reshape(a, [a.size, 1]), b)
}

export const linalgRows = [matmulRow] as unknown as readonly Primitive[]
