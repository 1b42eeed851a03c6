/** A long tape: no recursion anywhere, and work in proportion to its length. */

import { expect, test } from 'vitest'
import { grad, type Tensor, tensor, trace, vjp } from '../../lib/index.js'
import { observing } from '../../lib/primitives/primitive.js'

const f64 = { dtype: 'float64' } as const
const chain = (n: number) => (x: Tensor) => {
  let y = x
  for (let i = 0; i < n; i++) y = y.mul(1.00001)
  return y
}

test('100,000 entries differentiate without exhausting the stack', () => {
  expect(grad(chain(100_000))(tensor(1, f64)).item()).toBeCloseTo(1.00001 ** 100_000, 8)
})

test('the operations of function and sweep grow in proportion to the tape', () => {
  const count = (n: number) => {
    let ops = 0
    observing(
      () => ops++,
      () => grad(chain(n))(tensor(1, f64)),
    )
    return ops
  }
  const [one, two, four] = [count(500), count(1000), count(2000)] as [number, number, number]
  expect(two - one).toBe(500 * 2)
  expect(four - two).toBe(2 * (two - one))
})

test('many uses of one value add up, once each', () => {
  const f = (x: Tensor) => Array.from({ length: 2000 }, () => x).reduce((sum, y) => sum.add(y))
  expect(vjp(f, tensor(1, f64))[1](1)[0].item()).toBe(2000)
})

test('a long tape is listed, in order', () => {
  const lines = trace(chain(20_000), 1).toString().split('\n')
  expect(lines).toHaveLength(20_002)
  expect(lines.at(-1)).toMatch(/^y = v₂₀₀₀₀ /)
})
