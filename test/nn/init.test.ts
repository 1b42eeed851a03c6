/** Initial weights: their variances, ranges, reproducibility. Statistics are of fixed seeds, so they never flicker. */

import { expect, test } from 'vitest'
import { nn, Random, seed, type Tensor, tensor } from '../../lib/index.js'

const [fanOut, fanIn] = [200, 300]

function moments(t: Tensor): { mean: number; variance: number; largest: number } {
  const values = Array.from(t.data)
  const mean = values.reduce((a, b) => a + b, 0) / values.length
  return {
    mean,
    variance: values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length,
    largest: values.reduce((a, b) => Math.max(a, Math.abs(b)), 0),
  }
}

const variances = {
  fanIn: 1 / (3 * fanIn),
  glorot: 2 / (fanIn + fanOut),
  glorotUniform: 2 / (fanIn + fanOut),
  glorotNormal: 2 / (fanIn + fanOut),
  he: 2 / fanIn,
  heUniform: 2 / fanIn,
  heNormal: 2 / fanIn,
  lecun: 1 / fanIn,
  lecunUniform: 1 / fanIn,
  lecunNormal: 1 / fanIn,
} satisfies Partial<Record<nn.InitName, number>>

test.each(Object.entries(variances) as [nn.InitName, number][])('%s has mean 0 and its variance', (init, variance) => {
  for (const dtype of ['float32', 'float64'] as const) {
    const { weight, bias } = new nn.Linear(fanIn, fanOut, { init, rng: new Random(11), dtype })
    expect(weight.dtype).toBe(dtype)
    const m = moments(weight)
    // Sixty thousand draws: the mean is within 4 standard errors, the variance within 2 %.
    expect(Math.abs(m.mean)).toBeLessThan(4 * Math.sqrt(variance / (fanIn * fanOut)))
    expect(Math.abs(m.variance / variance - 1)).toBeLessThan(0.02)
    const bound = Math.sqrt(3 * variance)
    if (init.endsWith('Normal')) expect(m.largest).toBeGreaterThan(bound)
    else {
      expect(m.largest).toBeLessThanOrEqual(bound * (1 + 1e-6))
      expect(m.largest).toBeGreaterThan(0.99 * bound)
    }
    if (init === 'fanIn') expect(moments(bias as Tensor).largest).toBeLessThanOrEqual(1 / Math.sqrt(fanIn))
    else expect(Array.from(bias?.data ?? []).every((b) => b === 0)).toBe(true)
  }
})

test('every initializer has its variance here', () => {
  expect(Object.keys(nn.initializers).sort()).toEqual([...Object.keys(variances), 'zeros'].sort())
})

test('the same generator gives the same weights, another seed others; the default generator follows seed()', () => {
  const weights = (s: number) => Array.from(new nn.Linear(5, 4, { rng: new Random(s) }).weight.data)
  expect(weights(3)).toEqual(weights(3))
  expect(weights(3)).not.toEqual(weights(4))
  const fresh = () => [new nn.Linear(5, 4), new nn.Linear(5, 4)].map((l) => Array.from(l.weight.data))
  seed(9)
  const first = fresh()
  seed(9)
  expect(fresh()).toEqual(first)
  expect(first[0]).not.toEqual(first[1])
})

test("zeros, and a function of one's own", () => {
  expect(Array.from(new nn.Linear(2, 2, { init: 'zeros' }).weight.data)).toEqual([0, 0, 0, 0])
  const own = new nn.Linear(2, 1, { init: ([out, into]) => tensor([[out, into]]) })
  expect(own.weight.toArray()).toEqual([[1, 2]])
  expect(own.bias?.toArray()).toEqual([0])
})
