/** Bodies of loops made at random, and the loop written out in JavaScript: what `scan` is compared with. */

import { type FloatDtype, type ScanOptions, stack, type Tensor, tensor, where, zeros } from '../../lib/index.js'
import { Stream } from '../../lib/util/random.js'

export type Body = (carry: Tensor[], rows: Tensor[]) => [Tensor[], Tensor[]]

export interface Loop {
  readonly dtype: FloatDtype
  readonly outer: Tensor[]
  readonly init: Tensor[]
  readonly xs: Tensor[]
  readonly length: number
  readonly reverse: boolean
  /** The body, closed over tensors of outside. */
  readonly body: (outer: readonly Tensor[]) => Body
}

/** The loop as JavaScript runs it. */
export function writtenOut(
  f: Body,
  init: readonly Tensor[],
  xs: readonly Tensor[],
  { reverse = false, length = 0 }: ScanOptions = {},
): [Tensor[], Tensor[]] {
  let carry = [...init]
  const made: Tensor[][] = []
  for (let k = 0; k < length; k++) {
    const t = reverse ? length - 1 - k : k
    const [next, ys] = f(
      carry,
      xs.map((x) => x.slice(t)),
    )
    carry = next
    ys.forEach((y, i) => {
      made[i] ??= []
      ;(made[i] as Tensor[])[t] = y
    })
  }
  return [carry, made.map((list) => stack(list))]
}

/** A loop by its number: carries of two shapes, rows of two, operations that mix them with what is outside, smooth at every point. */
export function randomLoop(number: number, dtype: FloatDtype): Loop {
  const stream = new Stream({ seed: number, purpose: 0, a: 0x5ca2, b: 0 })
  const below = (n: number) => Math.floor(stream.uniform() * n)
  const values = (shape: readonly number[]) => {
    const data = Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 1.6 * stream.uniform() - 0.8)
    return tensor(data, { shape }).cast(dtype)
  }
  const n = 1 + below(3)
  const length = below(8) === 0 ? 1 : 1 + below(4)
  const shapes = [[n], [n, n], []] as const
  const outer = shapes.map((shape) => values(shape))
  const init = [values([n]), ...(below(2) ? [values([])] : [])]
  const xs = [values([length, n]), ...(below(2) ? [values([length, n, n])] : [])]
  const plan = Array.from({ length: 2 + below(5) }, () => [below(11), below(16), below(16)] as const)
  const picks = Array.from({ length: 8 }, () => below(64))
  const body =
    (outside: readonly Tensor[]): Body =>
    (carry, rows) => {
      const [vector, matrix, scalar] = outside as [Tensor, Tensor, Tensor]
      const vectors = [carry[0] as Tensor, rows[0] as Tensor, vector]
      const scalars = [scalar, ...carry.slice(1)]
      const matrices = [matrix, ...rows.slice(1)]
      const at = <T>(list: readonly T[], i: number) => list[i % list.length] as T
      for (const [op, i, k] of plan) {
        const [a, b] = [at(vectors, i), at(vectors, k)]
        switch (op) {
          case 0:
            vectors.push(a.reshape([1, n]).matmul(at(matrices, k)).reshape([n]).tanh())
            break
          case 1:
            vectors.push(a.mul(b).sin())
            break
          case 2:
            vectors.push(a.add(b).mul(at(scalars, k)).tanh())
            break
          case 3:
            scalars.push(a.mul(b).sum().sin())
            break
          case 4:
            vectors.push(a.softmax(0).mul(b))
            break
          case 5:
            matrices.push(
              a
                .reshape([n, 1])
                .matmul(b.reshape([1, n]))
                .add(at(matrices, i))
                .tanh(),
            )
            break
          case 6:
            vectors.push(where(b.greater(0.05), a.square(), a.mul(0.5)))
            break
          case 7:
            vectors.push(
              at(matrices, i)
                .sum(k % 2)
                .tanh(),
            )
            break
          case 8:
            scalars.push(at(scalars, i).mul(at(scalars, k)).add(0.3).tanh())
            break
          case 9:
            vectors.push(a.flip(0).sub(b).exp().mul(0.2).tanh())
            break
          default:
            vectors.push(a.add(at(scalars, i).sigmoid()))
        }
      }
      const pick = <T>(list: readonly T[], i: number) => list[list.length - 1 - ((picks[i] as number) % Math.min(3, list.length))] as T
      const next = [pick(vectors, 0), ...carry.slice(1).map(() => pick(scalars, 1))]
      const ys = [
        pick(vectors, 2),
        ...((picks[3] as number) % 2 ? [pick(scalars, 4)] : []),
        ...((picks[5] as number) % 3 ? [] : [pick(matrices, 6)]),
      ]
      return [next, ys]
    }
  return { dtype, outer, init, xs, length, reverse: below(2) === 1, body }
}

/** All that a loop leaves, in one number that depends on every part of it. */
export function weighed(parts: readonly Tensor[]): Tensor {
  return parts.reduce(
    (sum: Tensor, part, k) => {
      const weights = tensor(
        Float64Array.from({ length: part.size }, (_, i) => Math.cos(1 + i + 3 * k)),
        { shape: part.shape },
      ).cast(part.dtype)
      return sum.add(part.mul(weights).sum())
    },
    zeros([], { dtype: parts[0]?.dtype ?? 'float64' }),
  )
}
