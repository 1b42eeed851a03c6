/** Binary cross-entropy whose positives count more, beside PyTorch's pos_weight (1.13, float64). */

import { describe, expect, test } from 'vitest'
import { checkGradients, grad, loss, tensor } from '../../lib/index.js'
import { announce, present, using } from '../support/engines.js'

announce('posWeight')
const z = tensor(
  [
    [-2, 0.5],
    [3, -1],
    [40, -40],
  ],
  { dtype: 'float64' },
)
const y = tensor(
  [
    [1, 0],
    [0, 1],
    [1, 0.25],
  ],
  { dtype: 'float64' },
)
const posWeight = tensor([3, 0.5], { dtype: 'float64' })

describe.each(present)('on %s', (engine) => {
  test('values and gradients', () =>
    using(engine, () => {
      const values = loss.bceWithLogits(z, y, { posWeight, reduction: 'none' }).data
      const expected = [6.380784033127, 0.97407698418, 3.048587351573, 0.656630843544, 0, 5]
      for (const [i, value] of expected.entries()) expect(values[i]).toBeCloseTo(value, 9)
      const g = (grad((t: typeof z) => loss.bceWithLogits(t, y, { posWeight }))(z) as typeof z).data
      for (const [i, value] of [-0.440398538989, 0.103743221867, 0.15876235447, -0.060921548219, 0, -0.020833333333].entries())
        expect(g[i]).toBeCloseTo(value, 9)
      expect(checkGradients((a, b) => loss.bceWithLogits(a, b, { posWeight }), [z, y.mul(0.5).add(0.2)]).ok).toBe(true)
    }))

  test('a posWeight of 1 is none, and one can be bound ahead', () =>
    using(engine, () => {
      expect(loss.bceWithLogits(z, y, { posWeight: 1 }).item()).toBeCloseTo(loss.bceWithLogits(z, y).item(), 12)
      expect(loss.bceWithLogits.with({ posWeight: 2 })(z, y).item()).toBeCloseTo(loss.bceWithLogits(z, y, { posWeight: 2 }).item(), 12)
    }))
})

test('misuse', () => {
  expect(() => loss.bceWithLogits(z, y, { posWeight: [1, 2, 3] })).toThrow('one an output')
  expect(() => loss.bceWithLogits(z, y, { posWeight: 0 })).toThrow('posWeight > 0')
  expect(() => loss.bceWithLogits(z, y, { posweight: 2 } as never)).toThrow("did you mean 'posWeight'?")
})
