/** Loops against PyTorch's, written out: JAX's documented examples, a recurrent network, a Kalman filter's likelihood. */

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { compile, cond, eye, grad, hessian, scan, type Tensor, tensor, whileLoop, zeros } from '../../lib/index.js'
import { announce, present, using } from '../support/engines.js'
import { farthest, tolerances } from '../support/tolerance.js'

announce('golden loops')

const golden = JSON.parse(readFileSync(new URL('../golden/scans.json', import.meta.url), 'utf8')) as {
  running: { sums: number[]; products: number[] }
  rnn: { ys: number[]; gradients: number[][]; curvature: number[][] }
  kalman: { cost: number[]; gradient: number[]; hessian: number[] }
}

const f64 = (x: unknown) => tensor(x as number[], { dtype: 'float64' })
const pattern = (n: number, factor: number, modulus: number, scale: number) =>
  f64(Array.from({ length: n }, (_, i) => (((i * factor) % modulus) - Math.floor(modulus / 2)) / scale))
const near = (actual: Tensor, expected: readonly number[]) => {
  expect(farthest(actual.data, expected, 10 * tolerances.float64.peer)).toBe('')
}

test('the documented examples of scan, whileLoop and cond', () => {
  const xs = f64([1, 2, 3, 4, 5])
  near(scan((sum: Tensor, x: Tensor) => [sum.add(x), sum.add(x)], 0, xs)[1], golden.running.sums)
  near(scan((product: Tensor, x: Tensor) => [product.mul(x), product.mul(x)], 1, xs)[1], golden.running.products)
  expect(
    whileLoop(
      (x) => x.less(10),
      (x) => x.add(1),
      tensor(0),
    ).item(),
  ).toBe(10)
  const total = whileLoop(
    ({ i }) => i.less(10),
    ({ i, sum }) => ({ i: i.add(1), sum: sum.add(i) }),
    { i: tensor(0), sum: tensor(0) },
  )
  expect(total.sum.item()).toBe(45)
  const moved = (x: Tensor) =>
    cond(
      true,
      (v) => v.add(1),
      (v) => v.sub(1),
      x,
    )
  expect(moved(tensor([0])).toArray()).toEqual([1])
})

const [W, U, b, x] = [
  pattern(9, 7, 11, 8).reshape([3, 3]),
  pattern(6, 5, 13, 8).reshape([3, 2]),
  pattern(3, 3, 5, 8),
  pattern(14, 11, 17, 8).reshape([7, 2]),
]
const recurrent = (W: Tensor, U: Tensor, b: Tensor, x: Tensor) =>
  scan(
    (h: Tensor, row: Tensor) => {
      const next = W.matmul(h).add(U.matmul(row)).add(b).tanh()
      return [next, next.mul(f64([1, -2, 0.5])).sum()]
    },
    zeros([3], { dtype: 'float64' }),
    x,
  )[1]

test.each(present)('a recurrent network, on %s', (engine) => {
  using(engine, () => {
    near(recurrent(W, U, b, x), golden.rnn.ys)
    const gradients = grad(
      (...all: [Tensor, Tensor, Tensor, Tensor]) =>
        recurrent(...all)
          .square()
          .sum(),
      { argnums: [0, 1, 2, 3] },
    )
    for (const f of [gradients, compile(gradients)])
      for (const [i, g] of f(W, U, b, x).entries()) near(g, golden.rnn.gradients[i] as number[])
    const slope = (W: Tensor, b: Tensor) => gradients(W, U, b, x).reduce((sum: Tensor, g) => sum.add(g.square().sum()), f64(0))
    for (const f of [grad(slope, { argnums: [0, 1] }), compile(grad(slope, { argnums: [0, 1] }))])
      for (const [i, g] of f(W, b).entries()) near(g, golden.rnn.curvature[i] as number[])
  })
})

test.each(present)('a Kalman filter, on %s', (engine) => {
  using(engine, () => {
    const [F, Q] = [
      f64([
        [1, 1],
        [0, 1],
      ]),
      f64([
        [1 / 3, 1 / 2],
        [1 / 2, 1],
      ]),
    ]
    const cost = (noise: Tensor) => {
      const [q, r] = [noise.slice(0).exp(), noise.slice(1).exp()]
      const [, terms] = scan(
        ({ m, P }: { m: Tensor; P: Tensor }, v: Tensor) => {
          const [ahead, spread] = [F.matmul(m), F.matmul(P).matmul(F.transpose()).add(Q.mul(q))]
          const [S, e] = [spread.slice(0, 0).add(r), v.sub(ahead.slice(0))]
          const K = spread.slice(null, 0).div(S)
          const next = { m: ahead.add(K.mul(e)), P: spread.sub(K.reshape([2, 1]).matmul(spread.slice([0, 1]))) }
          return [next, e.square().div(S).add(S.log())] as const
        },
        { m: zeros([2], { dtype: 'float64' }), P: eye(2, { dtype: 'float64' }).mul(100) },
        pattern(25, 13, 29, 3),
      )
      return (terms as Tensor).sum().div(2)
    }
    const noise = f64([-1, 0.5])
    near(cost(noise), golden.kalman.cost)
    near(grad(cost)(noise), golden.kalman.gradient)
    near(hessian(cost)(noise), golden.kalman.hessian)
    near(compile(grad(cost))(noise), golden.kalman.gradient)
  })
})
