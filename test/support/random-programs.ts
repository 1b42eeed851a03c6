/**
 * Functions made at random out of every kind of operation, on every element type. A function is drawn from its number, so one
 * that fails can be run alone. Everything is [rows, cols]; what decides (comparisons, casts to integers, extremes) is moved off
 * the places where two correct engines may decide otherwise by a rounding.
 */

import * as w from '../../lib/index.js'
import { optimizationBarrier } from '../../lib/primitives/barrier.js'
import { dropout } from '../../lib/primitives/dropout.js'
import { toIndex } from '../../lib/primitives/indexing.js'
import { apply } from '../../lib/primitives/primitive.js'
import { elementwiseRows } from '../../lib/primitives/table.js'
import type { Tensor } from '../../lib/tensor/tensor.js'
import { type FloatDtype, isFloat } from '../../lib/util/dtype.js'
import { Stream } from '../../lib/util/random.js'

export const rows = 4
export const cols = 3

/** What steps draw from, and what they may close over. */
interface Pool {
  readonly dtype: FloatDtype
  /** Any value made so far: [rows, cols], of any type. */
  any(): Tensor
  /** The same as the type asked for; a floating type where none is. */
  float(dtype?: FloatDtype): Tensor
  int(): Tensor
  bool(): Tensor
  /** [cols] and [cols, cols], floating. */
  small(): Tensor
  matrix(): Tensor
  /** A number that is drawn with the program. */
  below(n: number): number
}

type Step = (a: Tensor, pool: Pool) => Tensor

const distinct = (like: Tensor): Tensor =>
  w.tensor(
    Float64Array.from({ length: rows * cols }, (_, i) => ((i * 5) % 12) / 7.3 + 0.0137),
    { shape: [rows, cols], dtype: like.dtype },
  )
/** Off the places where something jumps. */
const aside = (a: Tensor): Tensor => a.mul(2.137).add(0.3171)
const bounded = (a: Tensor): Tensor => a.mul(0.4).tanh()
const back = (reduced: Tensor, like: Tensor): Tensor => reduced.add(like.mul(0.25))
/** NaN is no index, and is refused. */
const finite = (x: Tensor): Tensor => w.where(w.isFinite(x), x, 0)
const indices = (a: Tensor, n: number): Tensor => aside(a).cast('int32').mod(n)
const asFloat = (a: Tensor, dtype: FloatDtype): Tensor => (isFloat(a.dtype) ? a : a.mod(64).cast(dtype).mul(0.1))

const unary = ['abs', 'sign', 'square', 'sin', 'cos', 'atan', 'tanh', 'asinh', 'erf', 'sigmoid', 'logSigmoid', 'softplus', 'relu'] as const
const bijective = ['exp', 'expm1', 'sinh', 'cosh', 'tan', 'asin', 'acos', 'atanh'] as const
const positive = ['sqrt', 'rsqrt', 'reciprocal', 'log', 'log1p'] as const
/** Rows of one operand that nothing here names: where they are smooth. */
const others = elementwiseRows.filter(
  ({ name, kind, samples }) =>
    kind === 'elementwise' &&
    samples()[0]?.inputs.length === 1 &&
    ![...unary, ...bijective, ...positive, 'neg', 'floor', 'ceil', 'round', 'acosh'].includes(name),
)
const comparisons = ['equal', 'notEqual', 'less', 'lessEqual', 'greater', 'greaterEqual'] as const
const activations = [w.silu, w.gelu, w.elu, w.selu, w.leakyRelu, w.mish, (x: Tensor) => w.gelu(x, { approximate: 'tanh' })]

/** Steps on a floating value. */
const onFloats: Step[] = [
  ...unary.map(
    (op): Step =>
      (a) =>
        (op === 'sign' || op === 'abs' || op === 'relu' ? aside(a) : a)[op](),
  ),
  ...bijective.map(
    (op): Step =>
      (a) =>
        a.sin().mul(0.9)[op]().mul(0.5),
  ),
  ...positive.map(
    (op): Step =>
      (a) =>
        a.sin().add(1.3)[op](),
  ),
  ...others.map(
    (row): Step =>
      (a) =>
        apply(row, [a.sin().mul(0.4).add(0.5)], {}).mul(0.5),
  ),
  ...activations.map(
    (f): Step =>
      (a) =>
        f(aside(a)).mul(0.5),
  ),
  (a) => w.acosh(a.square().add(1.2)),
  (a) => w.floor(aside(a)),
  (a) => w.ceil(aside(a)).add(a),
  (a) => w.round(aside(a)).mul(a),
  (a, p) => a.add(p.float()),
  (a, p) => a.sub(p.float()).mul(0.7),
  (a, p) => a.mul(p.float()),
  (a, p) => a.div(p.float().square().add(1)),
  (a, p) => w.pow(a.sin().add(1.4), p.float().sin()),
  (a) => a.pow(2).mul(0.5),
  (a, p) => w.atan2(a.add(3.1), p.float().sin().add(2.2)),
  (a, p) => w.mod(aside(a), p.float().sin().add(2.3)),
  (a, p) => w.maximum(aside(a), p.float()),
  (a, p) => w.minimum(p.float(), aside(a)),
  (a, p) => w.where(p.bool(), a, p.float()),
  (a) => w.clip(aside(a), -0.913, 0.777),
  (a) => w.hardtanh(aside(a)),
  (a, p) => w.squaredDifference(a, p.float()),
  (a, p) => a.add(p.small()),
  (a, p) => a.mul(p.small()).tanh(),
  (a, p) => p.small().sub(a),
  (a, p) => a.mul(p.small().slice(p.below(cols))),
  (a) => a.mul(0).add(a).mul(1),
  (a) => a.neg().add(2).mul(3).sub(6).div(3),
  (a) => back(a.sum(1, { keepDims: true }).mul(0.3), a),
  (a) => back(a.sum(0).mul(0.2), a),
  (a) => back(a.sum().mul(0.1), a),
  (a) => a.sub(a.mean(1, { keepDims: true })),
  (a) => back(w.max(a.add(distinct(a)), 0), a),
  (a) => back(w.min(a.add(distinct(a)), 1, { keepDims: true }), a),
  (a) => back(w.max(a.add(distinct(a))), a),
  (a) => back(w.prod(a.tanh(), 1, { keepDims: true }), a),
  (a) => back(w.logSumExp(a, 1, { keepDims: true }).mul(0.3), a),
  (a) => back(w.variance(a, 0).mul(0.3), a),
  (a) => back(w.norm(a.add(0.11), 1, { keepDims: true }).mul(0.3), a),
  (a) => w.cumsum(a, 1).mul(0.5),
  (a) => w.cumsum(a, 0).mul(0.5),
  (a) => w.softmax(a, 1).add(a.mul(0.25)),
  (a) => w.softmax(a, 0),
  (a) => w.logSoftmax(a, 1).mul(0.25),
  (a, p) => back(w.softmaxCrossEntropy(a, indices(p.float(), cols).slice(null, 0)).reshape([rows, 1]).mul(0.3), a),
  (a, p) => w.matmul(a, p.matrix().cast(a.dtype)).mul(0.4),
  (a, p) => w.matmul(a, p.matrix().cast(a.dtype).transpose()).mul(0.4),
  (a, p) => w.linear(a, p.matrix().cast(a.dtype), p.small().cast(a.dtype)).mul(0.4),
  (a, p) => w.matmul(w.matmul(a, p.float(a.dtype as FloatDtype).transpose()).mul(0.2), a),
  (a, p) =>
    w
      .matmul(a.reshape([2, 2, cols]), p.matrix().cast(a.dtype))
      .reshape([rows, cols])
      .mul(0.4),
  (a) =>
    w
      .matmul(a.reshape([2, cols, 2]), a.reshape([2, 2, cols]))
      .mul(0.3)
      .slice(null, [0, 2])
      .reshape([rows, cols]),
  (a) => w.outer(a.slice(null, 0), a.slice(1)).mul(0.5),
  (a) => a.transpose().reshape([rows, cols]),
  (a, p) => w.concat([a.slice([0, 2]), p.float(a.dtype as FloatDtype).slice([2, rows])]),
  (a, p) => w.concat([a.slice(null, [0, 1]), p.float(a.dtype as FloatDtype).slice(null, [1, cols])], 1),
  (a, p) =>
    w
      .stack([a, p.float(a.dtype as FloatDtype)], 1)
      .sum(1)
      .mul(0.5),
  (a) => w.flip(a, 0),
  (a) => w.flip(a),
  (a) => a.slice([null, null, 2]).tile([2, 1]),
  (a) => a.slice(p0, null).broadcastTo([rows, cols]),
  (a) =>
    w.pad(a.slice([1, null], [0, 2]), [
      [0, 1],
      [1, 0],
    ]),
  (a) => w.tril(a),
  (a) => w.triu(a, 1).add(a.mul(0.1)),
  (a, p) => w.gather(a, indices(p.float(), rows).slice(null, 0)),
  (a, p) => w.gather(a, indices(p.float(), cols).slice(0), 1),
  (a, p) => w.takeAlong(a, indices(p.float(), rows), 0),
  (a, p) => w.putAlong(a, indices(p.float(), cols), 1, cols).mul(0.5),
  (a, p) => w.scatterAdd(a, indices(p.float(), rows).slice(null, 1), rows).mul(0.5),
  (a, p) => w.gather(a, toIndex(w.floor(finite(p.float()).tanh().mul(1.7).add(2.013)).slice(null, 0), rows)),
  (a, p) => a.mul(w.oneHot(indices(p.float(), cols).slice(null, 2), cols, { dtype: a.dtype as FloatDtype })),
  // Loops over the rows, also backwards, with products by what is closed over, and one in another.
  (a, p) => {
    const m = p.matrix().cast(a.dtype)
    const [last, ys] = w.scan(
      (h: Tensor, x: Tensor) => {
        const next = x
          .reshape([1, cols])
          .matmul(m)
          .add(h.reshape([1, cols]).matmul(m))
          .mul(0.3)
          .reshape([cols])
          .tanh()
        return [next, next.add(h)] as const
      },
      p.small().cast(a.dtype),
      a,
      { reverse: p.below(2) === 1 },
    )
    return ys.add(last).mul(0.5)
  },
  (a, p) => w.scan((h: Tensor, x: Tensor) => [h.mul(0.5).add(x.sin()), h.mul(p.small().cast(a.dtype))] as const, a.slice(0), a)[1],
  (a, p) =>
    w.scan(
      (h: Tensor, [x, z]: [Tensor, Tensor]) => {
        const [inner, ys] = w.scan(
          (c: Tensor, y: Tensor) => [c.mul(0.4).add(y), c.mul(y).add(h.sum())] as const,
          x,
          z.reshape([1, cols]).broadcastTo([2, cols]),
        )
        return [h.mul(0.3).add(inner), ys.sum(0).mul(0.2)] as const
      },
      p.small().cast(a.dtype),
      [a.tanh(), p.float(a.dtype as FloatDtype).sin()] as [Tensor, Tensor],
    )[1],
  (a) => w.stopGradient(a).mul(a),
  (a, p) => optimizationBarrier(a.sin(), p.any()),
  (a, p) => dropout(a, w.tensor(Int32Array.of(p.below(99), 0, p.below(9), 0)), 0.3, { layer: p.below(3) }),
]
const p0 = 1

/** Steps on integers, truth values, and from one type to another. */
const onTypes: Step[] = [
  (a) => a.cast('float32'),
  (a) => a.cast('float64'),
  (a) => aside(a).cast('int32'),
  (a) => aside(a).cast('bool'),
  (a, p) => aside(asFloat(a, p.dtype)).cast('int32').cast(p.dtype),
  (a) => a.cast('int32').mul(a.cast('int32')).add(7),
  (_, p) => p.int().mul(1234567).sub(p.int()),
  (_, p) => p.int().square().mul(p.int()),
  (_, p) => p.int().neg().abs(),
  (_, p) => w.pow(p.int(), 3),
  (_, p) => w.mod(p.int(), 7),
  (_, p) => w.maximum(p.int(), p.int().mul(2)),
  (_, p) => p.int().sum(1, { keepDims: true }).add(p.int()),
  (_, p) => w.cumsum(p.int(), 0),
  (_, p) => w.prod(p.int(), 0).add(p.int()),
  (_, p) => w.where(p.bool(), p.int(), p.int().add(1)),
  (_, p) => w.argmax(p.float().add(distinct(p.float())), 1, { keepDims: true }).add(p.int()),
  (_, p) => w.argmin(p.int(), 0).add(p.int()),
  (_, p) => p.int().div(4),
  (_, p) => p.int().sqrt(),
  (_, p) => p.int().mean(1, { keepDims: true }).mul(0.01).add(p.bool()),
  (_, p) => w.concat([p.int().slice([2, rows]), p.int().slice([0, 2])]),
  (_, p) => w.gather(p.bool(), [3, 1, 2, 0]),
  (_, p) => w.logicalNot(p.bool()),
  (_, p) => w.logicalAnd(p.bool(), p.bool()),
  (_, p) => w.logicalOr(p.bool(), p.int()),
  (_, p) => w.any(p.bool(), 1, { keepDims: true }).add(p.bool()),
  (_, p) => w.all(p.bool(), 0).cast('bool').cast('int32').add(p.int()),
  (a) => w.isFinite(asFloat(a, 'float32')),
  ...comparisons.map(
    (op): Step =>
      (a, p) =>
        aside(asFloat(a, p.dtype))[op](asFloat(p.any(), p.dtype).mul(0.91).add(0.0371)),
  ),
]

/** A floating value through a random function that may close over anything: by a derivative of its own, or computed again. */
const through: ((inner: Step) => Step)[] = [
  (inner) => (a, p) => w.checkpoint((t: Tensor) => inner(t, p))(a),
  (inner) => (a, p) => w.checkpoint((t: Tensor, u: Tensor) => inner(t.mul(u), p).add(a))(a, p.float(a.dtype as FloatDtype)),
  (inner) => (a, p) => w.customGradient((t: Tensor) => [inner(t, p), (g: Tensor) => g.mul(t.mul(0.3)).cast(t.dtype)])(a),
  (inner) => (a, p) => w.customGradient((t: Tensor) => [inner(t, p).mul(a), (g: Tensor) => g.mul(p.small()).cast(t.dtype)])(a),
]

export interface RandomProgram {
  readonly dtype: FloatDtype
  /** Whether anything was computed in float32, once the function has run. */
  narrow: boolean
  readonly inputs: Tensor[]
  /** Gives the value, its derivatives along g, and those of their sum along fixed directions: all as one function. */
  readonly results: (...x: Tensor[]) => Tensor[]
}

/** The steps of a program, as numbers: what is drawn is drawn once, so that every run of the function is the same. */
function draws(stream: Stream): () => (n: number) => number {
  const drawn: number[] = []
  return () => {
    let at = 0
    return (n) => {
      if (at === drawn.length) drawn.push(stream.bounded(1 << 20))
      return (drawn[at++] as number) % n
    }
  }
}

/** Draws that begin anew. */
function fresh(seed: number): (n: number) => number {
  const stream = new Stream({ seed, purpose: 0, a: 8, b: 0 })
  return (n) => stream.bounded(n)
}

/** The program of a number. */
export function randomProgram(number: number, dtype: FloatDtype): RandomProgram {
  const stream = new Stream({ seed: number, purpose: 0, a: 7, b: 0 })
  const length = 2 + stream.bounded(9)
  const values = (shape: number[]) =>
    w.tensor(
      Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (2 * stream.bounded(256) - 255) / 131),
      { shape, dtype },
    )
  const inputs = [values([rows, cols]), values([rows, cols]), values([cols]), values([cols, cols])]
  const begin = draws(stream)
  const f = (x: Tensor, y: Tensor, small: Tensor, matrix: Tensor): Tensor => {
    const below = begin()
    const made: Tensor[] = [x, y]
    const poolOf = (own: (n: number) => number): Pool => {
      const known = [...made]
      const pick = () => known[own(known.length)] as Tensor
      return {
        dtype,
        any: pick,
        float: (type) => {
          const picked = asFloat(pick(), dtype)
          return type ? picked.cast(type) : picked
        },
        int: () => {
          const picked = pick()
          return isFloat(picked.dtype) ? aside(picked).cast('int32') : picked.cast('int32')
        },
        bool: () => {
          const picked = pick()
          return isFloat(picked.dtype) ? w.greater(aside(picked), 0.0917) : picked.cast('bool')
        },
        small: () => small,
        matrix: () => matrix,
        below: own,
      }
    }
    /** The same step whenever it is called, and however often. */
    const fixed = (step: Step): Step => {
      const pool = () => poolOf(fresh(seed))
      const seed = below(1 << 20)
      return (t) => step(t, pool())
    }
    const float = () => {
      const step = onFloats[below(onFloats.length)] as Step
      return below(2) ? step : (a: Tensor, p: Pool) => bounded(step(a, p))
    }
    for (let i = 0; i < length; i++) {
      const latest = made.at(-1) as Tensor
      const pool = poolOf(below)
      const kind = below(8)
      let next: Tensor
      if (kind < 2) next = (onTypes[below(onTypes.length)] as Step)(latest, pool)
      else if (kind === 2) next = (through[below(through.length)] as (inner: Step) => Step)(fixed(float()))(asFloat(latest, dtype), pool)
      else next = float()(asFloat(latest, dtype), pool)
      made.push(next.broadcastTo([rows, cols]))
      if (next.dtype === 'float32') program.narrow = true
    }
    return made.slice(2).reduce((sum, value) => sum.add(asFloat(value, dtype).cast(dtype).mul(0.37)), x.mul(0.125))
  }
  const ramp = (shape: readonly number[], from: number) =>
    w.tensor(
      Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => ((i * 7 + from) % 11) / 8 - 0.5),
      { shape, dtype },
    )
  const results = (...x: Tensor[]): Tensor[] => {
    let value = x[0] as Tensor
    const first = (...at: Tensor[]): Tensor[] => {
      const [y, pullback] = w.vjp(f as (...x: Tensor[]) => Tensor, ...at) as [Tensor, (g: Tensor) => Tensor[]]
      value = y
      return pullback(ramp([rows, cols], 0))
    }
    const [once, pullback] = w.vjp(first as never, ...x) as unknown as [Tensor[], (g: Tensor[]) => Tensor[]]
    const twice = pullback(once.map((d, i) => ramp(d.shape, i + 3)))
    // The value of the inner function belongs to the outer tape: it is computed again, outside.
    value = f(...(x as [Tensor, Tensor, Tensor, Tensor]))
    return [value, ...once, ...twice]
  }
  const program: RandomProgram = { dtype, narrow: dtype === 'float32', inputs, results }
  return program
}
