/** Attention by its kernel against what products and a softmax give: values, derivatives of both modes and orders, programs, loops, stacks. */

import { expect, test } from 'vitest'
import {
  checkpoint,
  compile,
  jvp,
  matmul,
  Random,
  scaledDotProductAttention,
  scan,
  softmax,
  type Tensor,
  tensor,
  vjp,
  vmap,
  where,
} from '../../lib/index.js'
import { Draw } from '../backend/reference.js'
import { announce, present, using } from '../support/engines.js'
import { farthest } from '../support/tolerance.js'

announce('attention by its kernel')

interface Options {
  mask?: Tensor
  causal: boolean
  scale: number
}

/** All scores at once. */
function plain(q: Tensor, k: Tensor, v: Tensor, { mask, causal, scale }: Options): Tensor {
  const [T, S] = [q.shape.at(-2) as number, k.shape.at(-2) as number]
  let scores = matmul(q, k.transpose([0, 2, 1])).mul(scale)
  const seen = Int32Array.from({ length: T * S }, (_, i) => (!causal || i % S <= Math.floor(i / S) ? 1 : 0))
  if (mask && mask.dtype !== 'bool') scores = scores.add(mask)
  let weights = softmax(where(tensor(seen, { shape: [T, S] }).cast('bool'), scores, -1e30))
  if (mask?.dtype === 'bool') weights = softmax(where(mask, where(tensor(seen, { shape: [T, S] }).cast('bool'), scores, -1e30), -1e30))
  return matmul(weights, v)
}

test.each(present)('random shapes, masks and types: %s', (engine) => {
  using(engine, () => {
    const draw = new Draw(21)
    for (let i = 0; i < 18; i++) {
      const dtype = draw.of(['float32', 'float64'] as const)
      const rng = new Random(i)
      const [B, T, S, d, e] = [draw.int(1, 3), draw.of([1, 3, 9]), draw.of([1, 4, 18]), draw.of([1, 3, 16, 80]), draw.of([1, 5, 80])]
      const of = (...shape: number[]) => rng.normal(shape, { dtype })
      const [q, k, v] = [of(B, T, d), of(B, S, d), of(B, S, e)]
      const kind = draw.of(['none', 'bool', 'float'] as const)
      // The first key is always seen.
      const bool = () =>
        tensor(
          Int32Array.from({ length: T * S }, (_, j) => (j % S === 0 ? 1 : draw.int(0, 1))),
          { shape: [T, S] },
        ).cast('bool')
      const mask = kind === 'none' ? undefined : kind === 'bool' ? bool() : of(1, S)
      const options = { causal: draw.int(0, 1) === 1, scale: 0.4, ...(mask && { mask }) }
      const name = `${i}: ${dtype} ${[B, T, S, d, e]} ${kind} ${options.causal}`
      const tolerance = dtype === 'float32' ? 2e-5 : 1e-10
      const near = (what: string, a: Tensor, b: Tensor) =>
        expect(`${name} ${what}: ${farthest(a.data, b.data, tolerance)}`).toBe(`${name} ${what}: `)
      type Attention = (a: Tensor, b: Tensor, c: Tensor) => Tensor
      const own: Attention = (a, b, c) => scaledDotProductAttention(a, b, c, options)
      const other: Attention = (a, b, c) => plain(a, b, c, options)
      const [g, tangents] = [of(B, T, e), [of(B, T, d), of(B, S, d), of(B, S, e)] as [Tensor, Tensor, Tensor]]
      const gradients = (f: Attention) => (a: Tensor, b: Tensor, c: Tensor) => vjp(f, a, b, c)[1](g) as [Tensor, Tensor, Tensor]
      near('value', own(q, k, v), other(q, k, v))
      const [mine, theirs] = [gradients(own)(q, k, v), gradients(other)(q, k, v)]
      for (const j of [0, 1, 2]) near(`gradient ${j}`, mine[j] as Tensor, theirs[j] as Tensor)
      near('tangent', jvp(own, [q, k, v], tangents)[1], jvp(other, [q, k, v], tangents)[1])
      const along = (f: Attention) => (a: Tensor, b: Tensor, c: Tensor) =>
        gradients(f)(a, b, c).reduce((sum, x, j) => sum.add(x.mul(tangents[j] as Tensor).sum()), tensor(0, { dtype }))
      const one = tensor(1, { dtype })
      const [second, secondOf] = [vjp(along(own), q, k, v)[1](one), vjp(along(other), q, k, v)[1](one)] as [Tensor[], Tensor[]]
      for (const j of [0, 1, 2]) near(`second derivative ${j}`, second[j] as Tensor, secondOf[j] as Tensor)
      const compiled = compile((a: Tensor, b: Tensor, c: Tensor) => gradients(own)(a, b, c))(q, k, v) as Tensor[]
      for (const j of [0, 1, 2]) near(`compiled gradient ${j}`, compiled[j] as Tensor, theirs[j] as Tensor)
      near('behind a checkpoint', gradients((a, b, c) => checkpoint(own)(a, b, c))(q, k, v)[1] as Tensor, theirs[1])
      const stack = (x: Tensor) => x.reshape([1, ...x.shape])
      near('by vmap', vmap(own)(stack(q), stack(k), stack(v)), other(q, k, v))
      const looped = (a: Tensor, b: Tensor, c: Tensor) =>
        (scan((none: Tensor[], row: Tensor) => [none, own(row, b, c)] as const, [], stack(a))[1] as Tensor).reshape([B, T, e])
      near('in a loop', gradients(looped)(q, k, v)[2] as Tensor, theirs[2])
    }
  })
})

test('a query that may look nowhere gets zeros where weights are dropped out, too: no later key comes through', () => {
  const v = tensor([[[1], [2], [3]]])
  // The first query may look at the second key by the mask, and not by `causal`.
  const mask = tensor(Int32Array.of(0, 1, 1, 1, 1, 1, 1, 1, 1), { shape: [3, 3] }).cast('bool')
  const [q, k] = [new Random(1).normal([1, 3, 2]), new Random(2).normal([1, 3, 2])]
  for (const dropout of [0, 1e-9]) {
    const y = scaledDotProductAttention(q, k, v, { mask, causal: true, dropout })
    expect(y.toArray()).toMatchObject([[[0], [expect.any(Number)], [expect.any(Number)]]])
  }
})
