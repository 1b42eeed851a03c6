/** Windows of time series: what they see and what they do not. */

import { expect, test } from 'vitest'
import { Dataset, fitTable, loss, MBSGD, nn, number, optim, Random, readTable, split, windows } from '../../lib/index.js'

const series = (n: number) => ({ x: Array.from({ length: n }, (_, i) => [i, -i]), y: Array.from({ length: n }, (_, i) => [10 * i]) })

test('the past in x, its targets too, what comes next in y', () => {
  const set = windows(series(6), { length: 3, horizon: 2 })
  expect(set.x.shape).toEqual([2, 3, 3])
  expect(set.y.shape).toEqual([2, 2])
  expect(set.x.toArray()).toEqual([
    [
      [0, -0, 0],
      [1, -1, 10],
      [2, -2, 20],
    ],
    [
      [1, -1, 10],
      [2, -2, 20],
      [3, -3, 30],
    ],
  ])
  expect(set.y.toArray()).toEqual([
    [30, 40],
    [40, 50],
  ])
  const bare = windows(series(6), { length: 3, history: false, stride: 2 })
  expect(bare.x.shape).toEqual([2, 3, 2])
  expect(bare.y.toArray()).toEqual([[30], [50]])
})

test('no window crosses from one series to another', () => {
  const groups = ['a', 'a', 'a', 'b', 'b', 'b', 'b', 'a']
  const set = windows(series(8), { length: 2, groups })
  expect(set.y.toArray()).toEqual([[20], [50], [60]])
})

test('changing the future changes no x', () => {
  const one = windows(series(20), { length: 4, horizon: 3 })
  const changed = series(20)
  for (let i = 13; i < 20; i++) changed.y[i] = [1e6]
  const two = windows(changed, { length: 4, horizon: 3 })
  // The windows that end before row 13 are the same.
  expect(Array.from(two.x.data.slice(0, 10 * 12))).toEqual(Array.from(one.x.data.slice(0, 10 * 12)))
})

test('class indices are targets and no features', () => {
  const set = windows(new Dataset([[0], [1], [2], [3]], Int32Array.of(0, 1, 0, 1)), { length: 2 })
  expect(set.x.shape).toEqual([2, 2, 1])
  expect(Array.from(set.y.data)).toEqual([0, 1])
  expect(set.y.dtype).toBe('int32')
})

test('misuse', () => {
  expect(() => windows(series(3), { length: 3 })).toThrow('no run of 4 rows')
  expect(() => windows(series(9), { lenght: 3 } as never)).toThrow("did you mean 'length'?")
  expect(() => windows(series(9), { length: 0 })).toThrow('length')
  expect(() => windows(series(9), { length: 2, groups: [1] })).toThrow('one value for each of 9 rows')
})

test('a wave is learned from its past, scales being those of the training part', async () => {
  const rows = await readTable(
    Array.from({ length: 600 }, (_, i) => ({
      t: new Date(Date.UTC(2026, 0, 1, i)),
      level: 50 + 20 * Math.sin(i / 4),
      wind: Math.cos(i / 4),
    })),
  )
  const [past, future] = split(rows, { parts: [0.8, 0.2], by: 't' })
  const table = fitTable(past, { target: 'level', columns: { level: number() } })
  const rng = new Random(1)
  const train = windows(table(past), { length: 8 })
  const test_ = windows(table(future), { length: 8 })
  const model = new nn.Sequential(
    new nn.Flatten(),
    new nn.Linear(8 * (table.features.length + 1), 16, { rng }),
    new nn.Tanh(),
    new nn.Linear(16, 1, { rng }),
  )
  const trainer = new MBSGD(model, { loss: loss.mse, optimizer: optim.adam({ learningRate: 0.005 }), batchSize: 32 })
  await trainer.fit(train, { epochs: 40, seed: 1 })
  expect((await trainer.evaluate(test_, { metrics: ['r2'] })).r2).toBeGreaterThan(0.9)
})
