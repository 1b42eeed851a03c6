/** Indices given as floating numbers: a fraction is refused wherever it is met, eagerly, in predictions and in training. */

import { describe, expect, test } from 'vitest'
import { FBGD, loss, MBSGD, nn, Random, SGD, tensor } from '../../lib/index.js'
import { announce, during, present, using } from '../support/engines.js'

announce('indices of an embedding')

const model = () => new nn.Sequential(new nn.Embedding(3, 2, { rng: new Random(1) }), new nn.Flatten(), new nn.Linear(4, 1))
const data = (...x: number[][]) => ({ x, y: x.map(() => [0]) })

describe.each(present)('on %s', (engine) => {
  test('a fraction, a negative number, one too large and NaN', async () => {
    await during(engine, async () => {
      for (const [index, code] of [
        [1.7, 'ERR_RANGE'],
        [0.5, 'ERR_RANGE'],
        [-1, 'ERR_INDEX'],
        [3, 'ERR_INDEX'],
        [3e9, 'ERR_INDEX'],
      ] as const) {
        const m = model()
        const said = { code, message: expect.stringContaining(String(index)) }
        await expect(Promise.resolve().then(() => m.forward(tensor([[index, 1]])))).rejects.toMatchObject({ code })
        await expect(
          Promise.resolve().then(() =>
            m.predict([
              [0, 1],
              [index, 2],
            ]),
          ),
        ).rejects.toMatchObject(said)
        await expect(m.predictAsync([[index, 2]])).rejects.toMatchObject(said)
        const options = { loss: loss.mse, learningRate: 0.1 }
        const bad = data([0, 1], [1, index], [2, 0])
        await expect(new FBGD(m, options).fit(bad, { epochs: 2 })).rejects.toMatchObject(said)
        await expect(new SGD(m, options).fit(bad, { epochs: 2 })).rejects.toMatchObject(said)
        await expect(new MBSGD(m, { ...options, batchSize: 2 }).fit(bad, { epochs: 2 })).rejects.toMatchObject(said)
        await expect(new FBGD(m, options).evaluate(bad)).rejects.toMatchObject(said)
        await expect(Promise.resolve().then(() => new SGD(m, options).step([[index, 1]], [[0]]))).rejects.toMatchObject(said)
        // What was learnt from whole updates before it may stay; a whole batch with a bad row teaches nothing.
        const whole = model()
        await expect(new FBGD(whole, options).fit(bad, { epochs: 2 })).rejects.toMatchObject(said)
        expect(JSON.stringify(model().parameters()[0]?.data)).toBe(JSON.stringify(whole.parameters()[0]?.data))
      }
    })
  })

  test('whole numbers of either type find their rows', () => {
    using(engine, () => {
      for (const dtype of ['float32', 'float64'] as const) {
        const layer = new nn.Embedding(3, 2, { rng: new Random(1), dtype })
        const x = tensor(Float64Array.of(2, 0, 1, 1), { shape: [2, 2], dtype })
        expect(Array.from(layer.predict(x).data)).toEqual(Array.from(layer.forward(x.cast('int32')).data))
      }
    })
  })
})
