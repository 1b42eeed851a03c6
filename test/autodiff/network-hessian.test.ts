/** The Hessian of a three-layer network's cost by all its parameters: against PyTorch, differences of the gradient, and hvp. */

import { describe, expect, test } from 'vitest'
import { grad, hessian, hvp, linear, loss, slice, type Tensor, tensor } from '../../lib/index.js'
import { announce, present, using } from '../support/engines.js'
import { golden } from '../support/golden.js'
import { farthest, tolerances } from '../support/tolerance.js'

announce("a network's Hessian")

const file = golden<{ cost: number; upper: number[][] }>('hessian')
const n = file.upper.length
const pattern = (count: number, factor: number, modulus: number, scale: number, shape: number[]) =>
  tensor(
    Float64Array.from({ length: count }, (_, i) => (((i * factor) % modulus) - Math.floor(modulus / 2)) / scale),
    { shape },
  )
const theta = pattern(n, 37, 53, 32, [n])
const x = pattern(15, 11, 17, 8, [5, 3])
const y = pattern(10, 7, 13, 4, [5, 2])

/** The cost of 3-4-4-2, tanh, half squared error, with all parameters in one vector. */
function cost(vector: Tensor): Tensor {
  let at = 0
  const take = (...shape: number[]) => {
    const size = shape.reduce((a, b) => a * b, 1)
    at += size
    return slice(vector, [at - size, at]).reshape(shape)
  }
  let a = x
  for (const [out, into] of [
    [4, 3],
    [4, 4],
    [2, 4],
  ] as const)
    a = linear(a, take(out, into), take(out)).tanh()
  return loss.squaredError(a, y)
}

const full = new Float64Array(n * n)
file.upper.forEach((row, i) => {
  row.forEach((value, k) => {
    full[i * n + i + k] = value
    full[(i + k) * n + i] = value
  })
})

describe.each(present)('on %s', (engine) => {
  test('as PyTorch, to 1e-12', () => {
    using(engine, () => {
      expect(Math.abs(cost(theta).item() - file.cost)).toBeLessThan(1e-14)
      const h = hessian(cost)(theta) as Tensor
      expect(h.shape).toEqual([n, n])
      expect(farthest(h.data, full, 1e-12)).toBe('')
    })
  })
  test('as central differences of the gradient', () => {
    using(engine, () => {
      const g = grad(cost)
      const step = 1e-5
      for (const i of [0, 13, 20, n - 1]) {
        const e = new Float64Array(n)
        e[i] = step
        const slope = (g(theta.add(tensor(e))) as Tensor).sub(g(theta.sub(tensor(e))) as Tensor).div(2 * step)
        expect(farthest(slope.data, full.slice(i * n, (i + 1) * n), tolerances.float64.differences)).toBe('')
      }
    })
  })
  test('hvp is the Hessian times a vector, without forming it', () => {
    using(engine, () => {
      const v = pattern(n, 19, 31, 16, [n])
      const product = tensor(full, { shape: [n, n] }).matmul(v)
      expect(farthest((hvp(cost, theta, v) as Tensor).data, product.data, 1e-12)).toBe('')
    })
  })
})
