/** Descent in one and two variables (mathematics §5). */

import { describe, expect, test } from 'vitest'
import { minimize, optim, type Tensor, tensor } from '../../lib/index.js'

const bowl = (w: Tensor) => w.square()
const last = (path: { points: readonly Tensor[] }) => path.points.at(-1) as Tensor

describe('minimize', () => {
  test('one variable: w ← w − α df/dw, every point kept', () => {
    const { points, values, gradientNorms } = minimize(bowl, 3, { learningRate: 0.25, steps: 3 })
    expect(points.map((p) => p.item())).toEqual([3, 1.5, 0.75, 0.375])
    expect(values).toEqual([9, 2.25, 0.5625, 0.140625])
    expect(gradientNorms).toEqual([6, 3, 1.5, 0.75])
    expect(points[0]?.dtype).toBe('float64')
  })

  test('a good rate converges, too small a one crawls, too large a one diverges', () => {
    const good = minimize(bowl, 3, { learningRate: 0.3 })
    expect([good.converged, good.diverged, good.error]).toEqual([true, false, undefined])
    expect(Math.abs(last(good).item())).toBeLessThan(1e-6)
    const small = minimize(bowl, 3, { learningRate: 1e-4 })
    expect([small.converged, small.diverged]).toEqual([false, false])
    expect(last(small).item()).toBeGreaterThan(2.9)
    const large = minimize(bowl, 3, { learningRate: 1.1 })
    expect([large.converged, large.diverged]).toEqual([false, true])
    expect(large.error?.code).toBe('ERR_DIVERGED')
    expect(large.error?.message).toMatch(/minimize: expected the value to fall from 9, got .* smaller learning rate \(now 1\.1\)/)
  })

  test('divergence beyond the finite numbers leaves no NaN in the path', () => {
    for (const f of [(w: Tensor) => w.square().square(), (w: Tensor) => w.log()]) {
      const path = minimize(f, 3, { learningRate: 20, steps: 1000 })
      expect(path.diverged).toBe(true)
      for (const list of [path.values, path.gradientNorms, path.points.map((p) => p.item())]) expect(list.every(Number.isFinite)).toBe(true)
    }
  })

  test('a few steps suffice to see it', () => {
    expect(minimize(bowl, 1, { learningRate: 1.5, steps: 3 }).diverged).toBe(true)
  })

  test('two variables', () => {
    const f = (w: Tensor) => w.slice(0).sub(1).square().add(w.slice(1).add(2).square().mul(4))
    const path = minimize(f, [4, 4], { learningRate: 0.1, steps: 300 })
    expect(path.converged).toBe(true)
    expect(last(path).toArray()).toEqual([expect.closeTo(1, 6), expect.closeTo(-2, 6)])
  })

  test('two starts end in two local minima', () => {
    const f = (w: Tensor) => w.square().sub(1).square().add(w.mul(0.2))
    const [left, right] = [-0.5, 0.5].map((start) => minimize(f, start, { learningRate: 0.05, steps: 400 }))
    expect([left?.converged, right?.converged]).toEqual([true, true])
    expect(last(left as never).item()).toBeCloseTo(-1.0242, 3)
    expect(last(right as never).item()).toBeCloseTo(0.9739, 3)
  })

  test('any optimiser; rates that follow time, gradient and value', () => {
    expect(minimize(bowl, 3, { optimizer: optim.adam({ learningRate: 0.2 }), steps: 500 }).converged).toBe(true)
    expect(minimize(bowl, 3, { learningRate: 0.4, schedule: optim.schedules.exponential({ factor: 0.99 }), steps: 200 }).converged).toBe(
      true,
    )
    const seen: object[] = []
    const path = minimize(bowl, 2, {
      learningRate: 1,
      steps: 2,
      schedule: (progress, rate) => {
        seen.push(progress)
        return rate / progress.gradientNorm
      },
    })
    expect(seen).toEqual([
      { epoch: 0, update: 0, value: 4, gradientNorm: 4 },
      { epoch: 1, update: 1, value: 1, gradientNorm: 2 },
    ])
    expect(path.points.map((p) => p.item())).toEqual([2, 1, 0])
  })

  test('a float32 start stays float32', () => {
    expect(last(minimize(bowl, tensor([1]).reshape([]), { learningRate: 0.1, steps: 2 })).dtype).toBe('float32')
  })

  test('misuse is refused', () => {
    expect(() => minimize(bowl, 1, {})).toThrow(/either learningRate or optimizer, not neither/)
    expect(() => minimize(bowl, 1, { learningrate: 1 } as never)).toThrow(/did you mean 'learningRate'/)
    expect(() => minimize(bowl, 1, { learningRate: -1 })).toThrow(/ERR_RANGE|learningRate/)
    expect(() => minimize((w) => w, [1, 2], { learningRate: 1 })).toThrow(/scalar/)
    expect(() => minimize(bowl, tensor(1, { dtype: 'int32' }), { learningRate: 1 })).toThrow(/floating start/)
  })
})
