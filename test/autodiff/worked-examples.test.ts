/** The two worked examples of the mathematics, §1, in float64 and both modes, to 1e-12. */

import { describe, expect, test } from 'vitest'
import { grad, jacobian, jvp, type Tensor, tensor, valueAndGrad, vjp } from '../../lib/index.js'
import { announce, present, using } from '../support/engines.js'

announce('the worked examples')

const f64 = (x: number) => tensor(x, { dtype: 'float64' })
const close = (actual: Tensor, expected: number) =>
  expect(Math.abs(actual.item() - expected)).toBeLessThanOrEqual(1e-12 * Math.max(1, Math.abs(expected)))

/** f(x) = exp(exp x + exp(x)²) + sin(exp x + exp(x)²), Eq. (3.43) and (3.44). */
function f(x: Tensor): Tensor {
  const a = x.exp()
  const b = a.square()
  const c = a.add(b)
  const d = c.exp()
  const e = c.sin()
  return d.add(e)
}

/** y = ln x₁ + x₁x₂ − sin x₂, at (2, 5). */
const g = (x1: Tensor, x2: Tensor): Tensor => x1.log().add(x1.mul(x2)).sub(x2.sin())

describe.each(present)('on %s', (engine) => {
  test.each([
    [0, 8.298353525756331, 20.918727787150523],
    [0.5, 77.86615550195194, 555.9719679015084],
  ])('the decomposed function at %d', (at, value, derivative) => {
    using(engine, () => {
      const x = f64(at)
      const [y, tangent] = jvp(f, [x], [f64(1)])
      close(y, value)
      close(tangent, derivative)
      const [same, pullback] = vjp(f, x)
      close(same, value)
      close(pullback(f64(1))[0], derivative)
      close(grad(f)(x), derivative)
    })
  })

  test('the running example, forward: one pass a direction', () => {
    using(engine, () => {
      const at = [f64(2), f64(5)] as const
      const [value, first] = jvp(g, at, [f64(1), f64(0)])
      close(value, 11.652071455223084)
      close(first, 5.5)
      close(jvp(g, at, [f64(0), f64(1)])[1], 1.7163378145367738)
      // Linear in the direction.
      close(jvp(g, at, [f64(2), f64(-3)])[1], 2 * 5.5 - 3 * 1.7163378145367738)
    })
  })

  test('the running example, reverse: one sweep for all', () => {
    using(engine, () => {
      const [value, [d1, d2]] = valueAndGrad(g, { argnums: [0, 1] })(f64(2), f64(5))
      close(value, 11.652071455223084)
      close(d1, 5.5)
      close(d2, 1.7163378145367738)
    })
  })

  test('the intermediate values and tangents of the running example', () => {
    using(engine, () => {
      const lines = (x1: Tensor, x2: Tensor) => {
        const v1 = x1.log()
        const v2 = x1.mul(x2)
        const v3 = x2.sin()
        const v4 = v1.add(v2)
        return [v1, v2, v3, v4, v4.sub(v3)]
      }
      const [values, tangents] = jvp(lines, [f64(2), f64(5)], [f64(1), f64(0)]) as [Tensor[], Tensor[]]
      const expected = [Math.LN2, 10, -0.9589242746631385, 10.693147180559945, 11.652071455223084]
      const slopes = [0.5, 5, 0, 5.5, 5.5]
      values.forEach((v, i) => {
        close(v, expected[i] as number)
      })
      tangents.forEach((v, i) => {
        close(v, slopes[i] as number)
      })
    })
  })

  test('both modes give one Jacobian', () => {
    using(engine, () => {
      const both = (x: Tensor) => g(x.slice(0), x.slice(1))
      const x = tensor([2, 5], { dtype: 'float64' })
      for (const mode of ['forward', 'reverse', 'auto'] as const) {
        const j = jacobian(both, { mode })(x) as Tensor
        expect(j.shape).toEqual([2])
        close(j.slice(0), 5.5)
        close(j.slice(1), 1.7163378145367738)
      }
    })
  })
})
