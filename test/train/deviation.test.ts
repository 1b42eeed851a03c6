/** `maxDeviation`: what lies far outside of what was seen is refused before anything changes, and remembered over checkpoints. */

import { describe, expect, test } from 'vitest'
import { Seen } from '../../lib/data/seen.js'
import { loss, nn, Random, SGD } from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'
import { failureOf, folder } from '../io/helpers.js'

const path = folder()
const trainerOf = (maxDeviation?: number) => {
  const model = new nn.Linear(3, 1, { rng: new Random(1) })
  return new SGD(model, { loss: loss.mse, learningRate: 0.01, ...(maxDeviation !== undefined && { maxDeviation }) })
}
const rng = new Random(5)
const row = () => Array.from(rng.normal([3]).data)
const valuesOf = (trainer: SGD) => JSON.stringify(trainer.model.stateDict())

describe('mean and deviation as they come', () => {
  test('are those of all rows', () => {
    const x = new Random(2).normal([200, 3], { dtype: 'float64' })
    const seen = new Seen(3)
    seen.take(x.data.subarray(0, 3))
    seen.take(x.data.subarray(3))
    for (let j = 0; j < 3; j++) {
      const column = Array.from({ length: 200 }, (_, i) => x.data[3 * i + j] as number)
      const mean = column.reduce((a, b) => a + b) / 200
      expect(seen.mean[j]).toBeCloseTo(mean, 12)
      expect(seen.squares[j]).toBeCloseTo(
        column.reduce((sum, v) => sum + (v - mean) ** 2, 0),
        10,
      )
    }
  })

  test('refuse by max(\u03c3, s): |x \u2212 mean| > most \u00b7 max', () => {
    const seen = new Seen(2)
    // Feature 0 alternates \u00b11 (\u03c3 = 1), feature 1 is 0: s = \u221a(1/2).
    for (let i = 0; i < 40; i++) seen.take(Float64Array.of(i % 2 ? 1 : -1, 0))
    seen.check('op', Float64Array.of(9.99, 0), 10)
    expect(codeOf(() => seen.check('op', Float64Array.of(0, 0, -10.01, 0), 10))).toBe('ERR_DATA')
    seen.check('op', Float64Array.of(0, 7), 10)
    expect(() => seen.check('op', Float64Array.of(0, 0, 0, 7.2), 10)).toThrow(/op: feature 1 of sample 1 is 7.2, far outside/)
  })
})

describe.each(['step', 'fitStream'] as const)('%s', (way) => {
  const learn = async (trainer: SGD, x: number[]) => {
    if (way === 'step') trainer.step([x], [[0]])
    else await trainer.fitStream([{ x, y: [0] }])
  }
  test('refuses what is far outside, and changes nothing', async () => {
    const trainer = trainerOf(20)
    for (let i = 0; i < 40; i++) await learn(trainer, row())
    const before = valuesOf(trainer)
    for (const bad of [
      [1e38, 0, 0],
      [0, -1e20, 0],
      [0, 0, 100],
    ])
      expect(await failureOf(learn(trainer, bad))).toMatchObject({ code: 'ERR_DATA', message: expect.stringMatching(/far outside/) })
    expect(valuesOf(trainer)).toBe(before)
    expect(trainer.updates).toBe(40)
    await learn(trainer, [3, -3, 3])
    expect(trainer.updates).toBe(41)
  })

  test('off by default; on, it changes no result', async () => {
    const [off, on] = [trainerOf(), trainerOf(20)]
    const rows = Array.from({ length: 60 }, row)
    for (const x of rows) await learn(off, x)
    for (const x of rows) await learn(on, x)
    expect(valuesOf(on)).toBe(valuesOf(off))
    await learn(off, [1e6, 0, 0])
  })
})

test("the first fit's data count as seen", async () => {
  const trainer = trainerOf(20)
  await trainer.fit({ x: new Random(3).normal([64, 3]), y: new Random(4).normal([64, 1]) }, { epochs: 1, seed: 1 })
  expect(codeOf(() => trainer.step([[1e4, 0, 0]], [[0]]))).toBe('ERR_DATA')
  trainer.step([[1, 0, 0]], [[0]])
})

test('a checkpoint keeps what was seen', async () => {
  const trainer = trainerOf(20)
  for (let i = 0; i < 40; i++) trainer.step([row()], [[0]])
  await trainer.save(path('seen'))
  const again = trainerOf(20)
  await again.resume(path('seen'))
  expect(codeOf(() => again.step([[1e4, 0, 0]], [[0]]))).toBe('ERR_DATA')
  for (const one of [trainer, again]) one.step([[1, 2, 3]], [[0]])
  await trainer.save(path('a'))
  await again.save(path('b'))
  const { readFileSync } = await import('node:fs')
  expect(readFileSync(path('a')).equals(readFileSync(path('b')))).toBe(true)
  const plain = trainerOf()
  await plain.resume(path('seen'))
  plain.step([[1e4, 0, 0]], [[0]])
})

test('refuses settings that are none', () => {
  for (const wrong of [0, -1, Number.NaN, '20']) expect(codeOf(() => trainerOf(wrong as number))).toBe('ERR_RANGE')
})
