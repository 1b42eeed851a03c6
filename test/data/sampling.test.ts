/** Orders of samples: each sample once, classes in proportion in every batch, the same from the same seed and epoch. */

import { describe, expect, test } from 'vitest'
import { balancedOrder, batchCount, randomOrder, stratifiedOrder } from '../../lib/data/sampling.js'
import { permutation, purposes, Stream } from '../../lib/util/random.js'
import { codeOf } from '../backend/engines.js'

function labelsOf(counts: readonly number[]): Int32Array {
  const labels = Int32Array.from(counts.flatMap((n, c) => new Array<number>(n).fill(c)))
  const order = new Int32Array(labels.length)
  permutation(order, { seed: 9, purpose: purposes.user, a: 0, b: 0 })
  return Int32Array.from(order, (i) => labels[i] as number)
}

function countsIn(batch: Int32Array, labels: Int32Array, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0)
  for (const i of batch) counts[labels[i] as number] = (counts[labels[i] as number] as number) + 1
  return counts
}

const sorted = (order: Int32Array) => Array.from(order).sort((a, b) => a - b)
const everyone = (n: number) => Array.from({ length: n }, (_, i) => i)

/** Every batch of an order against ⌊q⌋ and ⌈q⌉ of n_c m′ / n. */
function expectProportions(order: Int32Array, labels: Int32Array, counts: readonly number[], batchSize: number): void {
  const n = order.length
  for (let at = 0; at < n; at += batchSize) {
    const batch = order.subarray(at, at + batchSize)
    countsIn(batch, labels, counts.length).forEach((count, c) => {
      const quota = ((counts[c] as number) * batch.length) / n
      expect(count, `class ${c} in the batch at ${at}`).toBeGreaterThanOrEqual(Math.floor(quota))
      expect(count, `class ${c} in the batch at ${at}`).toBeLessThanOrEqual(Math.ceil(quota))
    })
  }
}

describe('stratifiedOrder', () => {
  test.each([
    { counts: [178, 182, 177, 183, 181, 182, 181, 179, 174, 180], batchSize: 32 },
    { counts: [50, 50, 50], batchSize: 16 },
    { counts: [97, 2, 1], batchSize: 10 },
    { counts: [5], batchSize: 2 },
    { counts: [3, 4], batchSize: 7 },
    { counts: [3, 4], batchSize: 100 },
    { counts: [3, 4], batchSize: 1 },
  ])('$counts by $batchSize: each sample once, each batch in proportion', ({ counts, batchSize }) => {
    const labels = labelsOf(counts)
    for (let epoch = 0; epoch < 3; epoch++) {
      const order = new Int32Array(labels.length)
      stratifiedOrder(order, labels, { seed: 1, epoch, batchSize })
      expect(sorted(order)).toEqual(everyone(labels.length))
      expectProportions(order, labels, counts, batchSize)
    }
  })

  test('holds for a thousand drawn sizes of classes and batches', () => {
    const stream = new Stream({ seed: 4, purpose: purposes.user, a: 0, b: 0 })
    for (let k = 0; k < 1000; k++) {
      const counts = Array.from({ length: 1 + stream.bounded(6) }, () => 1 + stream.bounded(23))
      const labels = labelsOf(counts)
      const batchSize = 1 + stream.bounded(labels.length)
      const order = new Int32Array(labels.length)
      stratifiedOrder(order, labels, { seed: k, epoch: k, batchSize })
      expect(sorted(order)).toEqual(everyone(labels.length))
      expectProportions(order, labels, counts, batchSize)
    }
  })

  test('is a function of seed and epoch, and changes with each', () => {
    const labels = labelsOf([30, 20, 10])
    const draw = (seed: number, epoch: number) => {
      const order = new Int32Array(60)
      stratifiedOrder(order, labels, { seed, epoch, batchSize: 8 })
      return Array.from(order)
    }
    expect(draw(1, 0)).toEqual(draw(1, 0))
    expect(draw(1, 0)).not.toEqual(draw(1, 1))
    expect(draw(1, 0)).not.toEqual(draw(2, 0))
  })

  test('takes any integers as labels and refuses others', () => {
    const order = new Int32Array(4)
    stratifiedOrder(order, [-5, 7, 7, -5], { seed: 1, epoch: 0, batchSize: 2 })
    expect(sorted(order)).toEqual([0, 1, 2, 3])
    expect(codeOf(() => stratifiedOrder(order, [0, 0.5, 1, 1], { seed: 1, epoch: 0, batchSize: 2 }))).toBe('ERR_LABEL')
    expect(codeOf(() => stratifiedOrder(order, [0, 1], { seed: 1, epoch: 0, batchSize: 2 }))).toBe('ERR_SHAPE')
    expect(codeOf(() => stratifiedOrder(order, [0, 1, 1, 0], { seed: 1, epoch: 0, batchSize: 0 }))).toBe('ERR_RANGE')
    expect(codeOf(() => stratifiedOrder(order, [], { seed: 1, epoch: 0, batchSize: 2 }))).toBe('ERR_DATA')
  })
})

describe('balancedOrder', () => {
  test('every class equally often, a rare one repeated evenly, a common one without repetition', () => {
    const counts = [90, 9, 3]
    const labels = labelsOf(counts)
    const order = new Int32Array(102)
    balancedOrder(order, labels, { seed: 3, epoch: 5, batchSize: 12 })
    expect(countsIn(order, labels, 3)).toEqual([34, 34, 34])
    expectProportions(order, labels, [34, 34, 34], 12)
    const times = new Int32Array(102)
    for (const i of order) times[i] = (times[i] as number) + 1
    labels.forEach((label, i) => {
      const share = 34 / (counts[label] as number)
      expect(times[i]).toBeGreaterThanOrEqual(Math.floor(share))
      expect(times[i]).toBeLessThanOrEqual(Math.ceil(share))
    })
  })

  test('places that do not divide differ by one at most', () => {
    const labels = labelsOf([5, 5, 5])
    const order = new Int32Array(11)
    balancedOrder(order, labels, { seed: 3, epoch: 0, batchSize: 4 })
    expect(countsIn(order, labels, 3).sort()).toEqual([3, 4, 4])
  })
})

test('randomOrder is the stream of the trainers', () => {
  const order = new Int32Array(10)
  randomOrder(order, { seed: 7, epoch: 3 })
  const expected = new Int32Array(10)
  permutation(expected, { seed: 7, purpose: purposes.order, a: 3, b: 0 })
  expect(order).toEqual(expected)
})

test('batchCount', () => {
  expect([batchCount(10, 4), batchCount(10, 4, true), batchCount(3, 4, true), batchCount(8, 4)]).toEqual([3, 2, 1, 2])
})
