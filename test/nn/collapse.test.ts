/** Theorem 3.1: folded networks give the same outputs. */

import { describe, expect, test } from 'vitest'
import { nn, Random, type Tensor } from '../../lib/index.js'

const f64 = { dtype: 'float64' } as const
const rng = new Random(3)
const linear = (i: number, o: number, bias = true, dtype: 'float32' | 'float64' = 'float64') => new nn.Linear(i, o, { rng, dtype, bias })
const x = rng.normal([5, 4], f64)
const names = (model: nn.Sequential) => model.layers.map((layer) => layer.describe())

function same(a: nn.Module, b: nn.Module, tolerance = 1e-13): void {
  const [p, q]: [Tensor, Tensor] = [a.forward(x), b.forward(x)]
  expect(q.shape).toEqual(p.shape)
  q.data.forEach((v: number, i: number) => {
    expect(Math.abs(v - (p.data[i] as number))).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(v)))
  })
}

describe('collapseLinear', () => {
  test('three layers with biases become one', () => {
    const model = new nn.Sequential(linear(4, 8), new nn.Identity(), linear(8, 6), linear(6, 3))
    const folded = nn.collapseLinear(model)
    expect(names(folded)).toEqual(['Linear 4 → 3'])
    same(model, folded)
  })

  test('without biases there is none after', () => {
    const model = new nn.Sequential(linear(4, 8, false), linear(8, 3, false))
    const folded = nn.collapseLinear(model)
    expect(names(folded)).toEqual(['Linear 4 → 3, no bias'])
    same(model, folded)
  })

  test.each([
    [true, false],
    [false, true],
  ])('a bias in one of two layers (%s, %s)', (first, second) => {
    const model = new nn.Sequential(linear(4, 8, first), linear(8, 3, second))
    const folded = nn.collapseLinear(model)
    expect(names(folded)).toEqual(['Linear 4 → 3'])
    same(model, folded)
  })

  test('the formula: W̄ = W²W¹ and b̄ = b² + W² b¹', () => {
    const [one, two] = [linear(4, 8), linear(8, 3)]
    const [folded] = nn.collapseLinear(new nn.Sequential(one, two)).layers as [nn.Linear]
    const close = (a: Tensor, b: Tensor) => expect(Math.max(...a.sub(b).abs().data)).toBeLessThan(1e-14)
    close(folded.weight, two.weight.matmul(one.weight))
    close(folded.bias as Tensor, two.weight.matmul(one.bias as Tensor).add(two.bias as Tensor))
  })

  test('runs end at a nonlinearity; slopes are folded in; nested sequences are opened', () => {
    const model = new nn.Sequential(
      new nn.Identity(2),
      linear(4, 5),
      new nn.Identity(-0.5),
      new nn.Sequential(linear(5, 6), new nn.Tanh(), linear(6, 6)),
      linear(6, 2),
      new nn.Identity(3),
    )
    const folded = nn.collapseLinear(model)
    expect(names(folded)).toEqual(['Linear 4 → 6', 'Tanh', 'Linear 6 → 2'])
    same(model, folded)
  })

  test('identities alone: of slope 1 they go, others stay as one', () => {
    expect(names(nn.collapseLinear(new nn.Sequential(new nn.Identity(), new nn.ReLU())))).toEqual(['ReLU'])
    const scaled = new nn.Sequential(new nn.Identity(2), new nn.Identity(3), new nn.ReLU())
    same(scaled, nn.collapseLinear(scaled))
    const all = new nn.Sequential(new nn.Identity())
    same(all, nn.collapseLinear(all))
  })

  test('float32 stays float32; a subclass of Linear is left alone; the model is not changed', () => {
    class Doubled extends nn.Linear {
      override forward(input: Tensor) {
        return super.forward(input).mul(2)
      }
    }
    expect(nn.collapseLinear(new nn.Sequential(linear(4, 4, true, 'float32'), linear(4, 2, true, 'float32'))).dtype).toBe('float32')
    const model = new nn.Sequential(linear(4, 4), new Doubled(4, 4, { rng, ...f64 }), linear(4, 2))
    const before = JSON.stringify(Object.values(model.stateDict()).map((t) => [...t.data]))
    const folded = nn.collapseLinear(model)
    expect(folded.layers).toHaveLength(3)
    same(model, folded)
    folded.parameters().forEach((p) => {
      p.data.fill(0)
    })
    expect(
      JSON.stringify(
        Object.values(model.stateDict())
          .slice(0, 2)
          .map((t) => [...t.data]),
      ),
    ).toBe(JSON.stringify(JSON.parse(before).slice(0, 2)))
  })

  test('refuses another module', () => {
    expect(() => nn.collapseLinear(new nn.ReLU())).toThrow(/collapseLinear: expected a Sequential or a Linear, got ReLU/)
  })
})
