/** Data sets cut in two. */

import { describe, expect, test } from 'vitest'
import { Dataset, minimize, split, tensor } from '../../lib/index.js'

describe('split', () => {
  test.each([false, true])('parts sets of 700,000 rows (stratify: %s)', (stratify) => {
    const m = 700_000
    const x = Float32Array.from({ length: m }, (_, i) => i)
    const y = Int32Array.from({ length: m }, (_, i) => i % 2)
    const [train, rest] = split(new Dataset(tensor(x, { shape: [m, 1] }), tensor(y)), { test: 0.4, seed: 1, stratify })
    expect([train.length, rest.length]).toEqual([m * 0.6, m * 0.4])
    const seen = new Uint8Array(m)
    for (const set of [train, rest]) for (const position of set.x.data) seen[position] = 1
    expect(seen.every((s) => s === 1)).toBe(true)
  })
})

test('minimize takes points of any length', () => {
  const { converged } = minimize((w) => w.mul(w).sum(), new Float64Array(200_000), { learningRate: 0.1, steps: 2 })
  expect(converged).toBe(true)
})
