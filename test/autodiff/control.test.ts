/** Choices and open-ended loops: eagerly as JavaScript runs them, in loops and programs by computing both and taking one. */

import { describe, expect, test } from 'vitest'
import { cond, grad, hessian, jvp, Random, scan, type Tensor, tensor, whileLoop } from '../../lib/index.js'
import { compile } from '../../lib/plan/plan.js'
import { StateLayout } from '../../lib/plan/state-layout.js'
import { codeOf } from '../backend/engines.js'
import { announce, present, using } from '../support/engines.js'

announce('cond and whileLoop')

const f64 = (x: unknown) => tensor(x as number[], { dtype: 'float64' })

/** A function of a scalar by a program. */
function replayed(f: (x: Tensor) => Tensor, at: number): number {
  const spec = { name: 'x', shape: [], dtype: 'float64' as const }
  const plan = compile([spec, { ...spec, name: 'y', writable: true }], new StateLayout(), { dtype: 'float64' }, (r) => {
    r.output(1, f(r.input(0)))
  })
  const out = new Float64Array(1)
  plan.run(undefined, [Float64Array.of(at), out])
  return out[0] as number
}

/** The same function in the body of a loop of one iteration. */
const within = (f: (x: Tensor) => Tensor) => (x: Tensor) => scan((c, _t) => [f(c), undefined], x, f64([0]))[0]

// √x left of 0 is NaN, and so is its derivative: what is not taken must leave nothing behind.
const root = (x: Tensor) =>
  cond(
    x.greater(0),
    (x) => x.sqrt().mul(x),
    (x) => x.square().mul(3),
    x,
  )
/** Doubles until 100 is passed: 2ⁿ x. */
const doubled = (x: Tensor) =>
  whileLoop(
    (c) => c.less(100),
    (c) => c.mul(2),
    x,
    { max: 20 },
  )
/** Newton's iterations for √a, with a carry of two parts. */
const newton = (a: Tensor) =>
  whileLoop(
    ({ x, n }: { x: Tensor; n: Tensor }) => x.square().sub(a).abs().greater(1e-9).logicalAnd(n.less(30)),
    ({ x, n }) => ({ x: x.add(a.div(x)).mul(0.5), n: n.add(1) }),
    { x: a, n: tensor(0, { dtype: 'int32' }) },
    { max: 40 },
  ).x

describe.each(present)('on %s', (engine) => {
  const cases: [string, (x: Tensor) => Tensor, number, number, number, number][] = [
    ['cond, the first', root, 4, 8, 3, 1.5 * 0.5 * 0.5],
    ['cond, the second', root, -2, 12, -12, 6],
    ['whileLoop', doubled, 3, 192, 64, 0],
    ['whileLoop that does not begin', doubled, 300, 300, 1, 0],
    ['whileLoop over a tree', newton, 9, 3, 1 / 6, -1 / 108],
  ]
  test.each(cases)('%s: value, both modes, second order; eagerly, in a loop, in a program', (_, f, at, value, slope, curve) => {
    using(engine, () => {
      const x = f64(at)
      for (const g of [f, within(f), within(within(f))]) {
        expect(g(x).item()).toBeCloseTo(value, 8)
        expect(grad(g)(x).item()).toBeCloseTo(slope, 7)
        expect(jvp(g, [x], [f64(2)])[1].item()).toBeCloseTo(2 * slope, 7)
        expect(hessian(g)(x).item()).toBeCloseTo(curve, 6)
        expect(grad((y: Tensor) => grad(g)(y))(x).item()).toBeCloseTo(curve, 6)
        expect(grad((y: Tensor) => jvp(g, [y], [f64(1)])[1])(x).item()).toBeCloseTo(curve, 6)
      }
      expect(replayed(f, at)).toBeCloseTo(value, 8)
      expect(replayed((y) => grad(f)(y), at)).toBeCloseTo(slope, 7)
      expect(replayed((y) => jvp(f, [y], [f64(1)])[1], at)).toBeCloseTo(slope, 7)
      expect(replayed((y) => grad((z: Tensor) => grad(f)(z))(y), at)).toBeCloseTo(curve, 6)
    })
  })

  test('branches close over tensors of outer functions, and give trees', () => {
    using(engine, () => {
      const f = (w: Tensor) =>
        scan(
          (c, x) => {
            const { a } = cond(
              x.greater(0),
              () => ({ a: c.mul(w) }),
              () => ({ a: c.add(w.square()) }),
            )
            return [a, a]
          },
          f64(1),
          f64([1, -1, 1]),
        )[0]
      // ((w) + w²)·w
      expect(f(f64(2)).item()).toBe(12)
      expect(grad(f)(f64(2)).item()).toBe(2 * 2 + 3 * 4)
      expect(hessian(f)(f64(2)).item()).toBe(2 + 6 * 2)
    })
  })
})

test('only what is chosen runs where the condition has a value', () => {
  const rng = new Random(1)
  const before = new Random(1).uniform([]).item()
  cond(
    false,
    () => rng.uniform([]),
    () => tensor(1),
  )
  expect(rng.uniform([]).item()).toBe(before)
  expect(
    cond(
      tensor(1),
      (x: number) => x + 1,
      (x: number) => x - 1,
      3,
    ),
  ).toBe(4)
})

test('max ends a loop whatever the condition says', () => {
  expect(
    whileLoop(
      () => true,
      (c) => c.add(1),
      tensor(0),
      { max: 5 },
    ).item(),
  ).toBe(5)
  expect(
    within((x) =>
      whileLoop(
        (c) => c.less(1e9),
        (c) => c.add(1),
        x,
        { max: 5 },
      ),
    )(f64(0)).item(),
  ).toBe(5)
})

test('refusals', () => {
  const bad = (f: () => unknown) => codeOf(f)
  expect(
    bad(() =>
      cond(
        tensor([1, 2]),
        () => 1,
        () => 2,
      ),
    ),
  ).toBe('ERR_VALUE')
  expect(
    bad(() =>
      cond(
        'yes' as never,
        () => 1,
        () => 2,
      ),
    ),
  ).toBe('ERR_VALUE')
  expect(bad(() => cond(true, undefined as never, () => 2))).toBe('ERR_VALUE')
  expect(
    bad(() =>
      within((x) =>
        cond(
          x.greater(0),
          (y) => y,
          (y) => y.reshape([1]),
          x,
        ),
      )(f64(1)),
    ),
  ).toBe('ERR_SHAPE')
  expect(
    bad(() =>
      within((x) =>
        cond(
          x.greater(0),
          (y) => y,
          (y) => y.cast('float32'),
          x,
        ),
      )(f64(1)),
    ),
  ).toBe('ERR_DTYPE')
  expect(
    bad(() =>
      within((x) =>
        whileLoop(
          (c) => c.less(1),
          (c) => c.mul(2),
          x,
        ),
      )(f64(1)),
    ),
  ).toBe('ERR_VALUE_NEEDED')
  expect(
    bad(() =>
      whileLoop(
        (c) => c.less(9),
        (c) => c.reshape([1]),
        tensor(1),
      ),
    ),
  ).toBe('ERR_SHAPE')
  expect(
    bad(() =>
      whileLoop(
        (c) => c.less(9),
        (c) => c,
        tensor(1),
        { max: -1 },
      ),
    ),
  ).toBe('ERR_RANGE')
  expect(
    bad(() =>
      whileLoop(
        (c) => c.less(9),
        (c) => c,
        tensor(1),
        { most: 1 } as never,
      ),
    ),
  ).toBe('ERR_OPTION')
  expect(
    bad(() =>
      whileLoop(
        () => tensor([1, 2]),
        (c) => c,
        tensor(1),
      ),
    ),
  ).toBe('ERR_VALUE')
})
