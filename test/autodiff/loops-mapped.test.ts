/** Loops and choices under `vmap`, in either order with derivatives: against one sample after the other. */

import { expect, test } from 'vitest'
import { compile, cond, grad, hessian, jvp, Random, scan, stack, type Tensor, tensor, vmap, whileLoop } from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'
import { announce, present, using } from '../support/engines.js'
import { farthest } from '../support/tolerance.js'

announce('loops under vmap')

const f64 = (x: unknown) => tensor(x as number[], { dtype: 'float64' })
const xs = f64([
  [0.3, -0.5, 0.9],
  [1.2, 0.1, -0.4],
])
const w = f64(0.7)

type F = (w: Tensor, x: Tensor) => Tensor
const functions: Record<string, F> = {
  'a scan over mapped rows': (w, x) =>
    scan((c, v) => [c.mul(w).add(v).tanh(), c.mul(v)], w, x)[1]
      .square()
      .sum(),
  'a scan over shared rows': (w, x) => scan((c, v) => [c.mul(v).add(x.sum()).sin(), undefined], w, f64([1, 2]), { reverse: true })[0],
  'a carry that becomes each sample’s own': (w, x) => scan((c, _v) => [c.mul(x.slice(0)).add(w), undefined], f64(1), f64([1, 2]))[0],
  'cond by each sample': (w, x) =>
    cond(
      x.slice(1).greater(0),
      (v) => v.slice(1).sqrt().mul(w),
      (v) => v.slice(1).square().mul(w.square()),
      x,
    ),
  'cond in a scan': (w, x) =>
    scan(
      (c, v) => [
        cond(
          v.greater(0),
          () => c.mul(v.sqrt()).add(w),
          () => c.sub(w.mul(v)),
        ),
        undefined,
      ],
      f64(1),
      x,
    )[0],
  'a loop while': (w, x) =>
    whileLoop(
      (c) => c.square().sum().less(9),
      (c) => c.mul(1.5).add(w),
      x,
      { max: 12 },
    ).sum(),
}

test.each(present)('values and derivatives in either order, on %s', { timeout: 60_000 }, (engine) => {
  using(engine, () => {
    for (const [name, f] of Object.entries(functions)) {
      const each = (g: (x: Tensor) => Tensor) => stack([0, 1].map((i) => g(xs.slice(i))))
      const pairs: [string, Tensor, Tensor][] = [
        ['value', vmap((x: Tensor) => f(w, x))(xs), each((x) => f(w, x))],
        ['gradient by w', vmap(grad(f), { inAxes: [null, 0] })(w, xs), each((x) => grad(f)(w, x))],
        ['gradient by x', vmap((x: Tensor) => grad((v: Tensor) => f(w, v))(x))(xs), each((x) => grad((v: Tensor) => f(w, v))(x))],
        ['hessian', vmap((x: Tensor) => hessian((v: Tensor) => f(w, v))(x))(xs), each((x) => hessian((v: Tensor) => f(w, v))(x))],
        [
          'tangent',
          vmap((x: Tensor) => jvp((v: Tensor) => f(w, v), [x], [f64([1, 2, 3])])[1])(xs),
          each((x) => jvp((v: Tensor) => f(w, v), [x], [f64([1, 2, 3])])[1]),
        ],
        [
          'gradient of the sum',
          grad((w: Tensor) => vmap(f, { inAxes: [null, 0] })(w, xs).sum())(w),
          grad((w: Tensor) => f(w, xs.slice(0)).add(f(w, xs.slice(1))))(w),
        ],
        [
          'gradients by x of the sum',
          grad((x: Tensor) => vmap(f, { inAxes: [null, 0] })(w, x).sum())(xs),
          each((x) => grad((v: Tensor) => f(w, v))(x)),
        ],
        ['compiled', compile((w: Tensor, x: Tensor) => vmap(grad(f), { inAxes: [null, 0] })(w, x))(w, xs), each((x) => grad(f)(w, x))],
        ['mapped, compiled within', vmap(compile(f), { inAxes: [null, 0] })(w, xs), each((x) => f(w, x))],
      ]
      for (const [what, a, b] of pairs) expect(`${name}, ${what}: ${farthest(a.data, b.data, 1e-11)}`).toBe(`${name}, ${what}: `)
    }
  })
})

test('no samples, and draws in a mapped loop', () => {
  const none = vmap((x: Tensor) => scan((c, v) => [c.add(v), c], f64(0), x)[1])(f64([]).reshape([0, 3]))
  expect(none.shape).toEqual([0, 3])
  const rng = new Random(1)
  expect(
    codeOf(() => vmap((x: Tensor) => scan((c, v) => [c.add(v.mul(rng.uniform([]))), undefined], tensor(0), x)[0])(tensor([[1, 2]]))),
  ).toBe('ERR_VALUE')
})
