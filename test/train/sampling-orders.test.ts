/** Orders by class within a fit: what each update sees, on every engine. */

import { describe, expect, test } from 'vitest'
import { loss, MBSGD, nn, stratifiedOrder, type Tensor, tensor } from '../../lib/index.js'
import { announce, present, using } from '../support/engines.js'

announce('sampling in fits')

/** 30 samples of class 0, 10 of class 1; the loss of a sample is its class, so that an epoch's cost is the share seen. */
const labels = Int32Array.from({ length: 40 }, (_, i) => (i % 4 === 0 ? 1 : 0))
const data = { x: tensor(Array.from(labels, (c) => [c, 1 - c])), y: labels }
const share = Object.assign((prediction: Tensor) => prediction.slice([0, prediction.shape[0] as number], [0, 1]).reshape([-1]), {
  targets: 'classes' as const,
})
const trainerOf = (options: object) => {
  const model = new nn.Linear(2, 2, { bias: false })
  model.weight.assign(
    tensor([
      [1, 0],
      [0, 1],
    ]),
  )
  return new MBSGD(model, { loss: share, batchSize: 8, learningRate: 1e-30, ...options })
}

describe.each(present)('on %s', (engine) => {
  test('stratified batches: 3 to 1 in every one; also over many epochs at once, with the last batch dropped', async () => {
    // Each update's cost is its batch's share of class 1; with checks by update the first differing batch would show.
    for (const dropLast of [false, true]) {
      const few = { x: data.x.slice([0, 36]), y: labels.slice(0, 36) }
      const { epochs } = await using(engine, () => trainerOf({ stratify: true, dropLast }).fit(few, { epochs: 20, seed: 3 }))
      const order = new Int32Array(36)
      for (const { epoch, cost } of epochs) {
        stratifiedOrder(order, few.y, { seed: 3, epoch: epoch - 1, batchSize: 8 })
        const seen = order.subarray(0, dropLast ? 32 : 36)
        expect(cost).toBeCloseTo(seen.reduce((s, i) => s + (few.y[i] as number), 0) / seen.length, 6)
      }
    }
  })

  test('balanced batches: as many of each class', async () => {
    const { epochs } = await using(engine, () => trainerOf({ balance: true }).fit(data, { epochs: 5, seed: 3 }))
    for (const { cost } of epochs) expect(cost).toBeCloseTo(0.5, 6)
    const plain = await using(engine, () => trainerOf({}).fit(data, { epochs: 5, seed: 3 }))
    for (const { cost } of plain.epochs) expect(cost).toBeCloseTo(0.25, 6)
  })
})

test('misuse: both, no truth value, targets that are no labels', async () => {
  expect(() => trainerOf({ stratify: true, balance: true })).toThrow(/got both/)
  expect(() => trainerOf({ stratify: 1 })).toThrow(/stratify or balance/)
  const numbers = new MBSGD(new nn.Linear(2, 2), { loss: loss.mse, batchSize: 8, learningRate: 0.1, stratify: true })
  await expect(numbers.fit({ x: data.x, y: data.x }, { epochs: 1 })).rejects.toMatchObject({ code: 'ERR_OPTION' })
  const one = new MBSGD(new nn.Linear(2, 1), { loss: loss.mse, batchSize: 8, learningRate: 0.1, stratify: true })
  await expect(one.fit({ x: data.x, y: tensor(Array.from(labels, (c) => [c + 0.5])) }, { epochs: 1 })).rejects.toMatchObject({
    code: 'ERR_LABEL',
  })
})
