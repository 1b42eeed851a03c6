/** What TypeScript knows of results and options: compiled under strict options, exactOptionalPropertyTypes among them, and run. */

import { describe, expect, test } from 'vitest'
import {
  Dataset,
  FBGD,
  type Field,
  type FitOptions,
  loss,
  MBSGD,
  minimize,
  nn,
  optim,
  recordEncoder,
  SGD,
  split,
  type Tensor,
  type Trainer,
  tensor,
} from '../lib/index.js'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
/** Compiles where both types are the same. */
const same = <A, B>(yes: Equal<A, B>) => expect(yes).toBe(true)

const data = {
  x: [
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
  ],
  y: [0, 1, 1, 0],
}
const make = () => new MBSGD(new nn.Linear(2, 2), { loss: loss.crossEntropy, batchSize: 2, learningRate: 0.1 })

describe('results', () => {
  test('metrics that were asked for by name are there, and have their types', async () => {
    const scores = await make().evaluate(data, { metrics: ['f1', 'confusionMatrix'] })
    same<typeof scores.f1, number>(true)
    same<typeof scores.confusionMatrix, number[][]>(true)
    same<typeof scores.accuracy, number | undefined>(true)
    expect(scores.f1.toFixed(1)).toMatch(/\d\.\d/)
    const history = await make().fit(data, { epochs: 1, metrics: ['accuracy', 'f1'], validation: data })
    const last = history.last ?? expect.fail()
    same<typeof last.accuracy, number>(true)
    // Means alone are computed of the training samples.
    same<typeof last.f1, number | undefined>(true)
    const validation = last.validation ?? expect.fail()
    same<typeof validation.f1, number>(true)
    expect([last.accuracy, validation.f1, last.f1]).toEqual([expect.any(Number), expect.any(Number), undefined])
    for await (const epoch of make().epochs(data, { epochs: 1, metrics: ['accuracy'] })) {
      same<typeof epoch.accuracy, number>(true)
      expect(epoch.accuracy).toEqual(expect.any(Number))
    }
    const none = await make().evaluate(data)
    same<typeof none.f1, number | undefined>(true)
    // Options kept in a variable whose list may hold any names.
    const wide: FitOptions = { epochs: 1, metrics: ['accuracy'] }
    const { last: wideLast } = await make().fit(data, wide)
    same<NonNullable<typeof wideLast>['accuracy'], number | undefined>(true)
  })
})

describe('options', () => {
  test('an option may be there and undefined, which is the same as left out', async () => {
    const options: { signal?: AbortSignal; seed?: number; dtype?: 'float64'; weights?: number[]; weight?: number[] } = {}
    const { signal, seed, dtype, weights, weight } = options
    const set = new Dataset(data.x, data.y, { weights, dtype, classes: undefined })
    const [train] = split(set, { test: 0.5, seed: 1, stratify: undefined, dtype })
    const own = loss.crossEntropy.with({ weight, labelSmoothing: 0.1 })
    const layer = new nn.Linear(2, 2, { bias: undefined, init: undefined, rng: undefined, dtype })
    const trainer: Trainer = new MBSGD(layer, {
      loss: own,
      learningRate: undefined,
      optimizer: optim.adam({ betas: undefined, weightDecay: undefined }),
      schedule: undefined,
      clipNorm: undefined,
      batchSize: 2,
      dropLast: undefined,
      accumulate: undefined,
    })
    const { last } = await trainer.fit(train, { epochs: 1, signal, seed, metrics: undefined, validation: undefined, checkpoint: undefined })
    expect(last?.epoch).toBe(1)
    expect(trainer.step(data.x, data.y, { weights })).toBeGreaterThan(0)
    await trainer.fitStream([{ x: [1, 2], y: 1, weights }], { signal, maxUpdates: undefined, onUpdate: undefined })
    await trainer.evaluate(data, { metrics: undefined })
    expect(
      minimize((w) => w.square().sum(), tensor([1]), { learningRate: 0.1, optimizer: undefined, steps: undefined }).values.length,
    ).toBeGreaterThan(1)
    // What was bound ahead holds where a call leaves it open.
    const bound = loss.huber.with({ delta: 2, reduction: 'none' })
    expect(bound([5], [0], { delta: undefined, reduction: undefined }).toArray()).toEqual([8])
    expect(tensor([1], { dtype: undefined, shape: undefined }).dtype).toBe('float32')
  })

  test('trainers and fields have types to be named by', () => {
    const fields: Field[] = [
      { name: 'a', kind: 'number' },
      { name: 'b', kind: 'category', categories: ['u', 'v'] },
    ]
    expect(recordEncoder(fields)({ a: 1, b: 'v' }).toArray()).toEqual([1, 0, 1])
    const trainers: Trainer[] = [FBGD, SGD].map((T) => new T(new nn.Linear(1, 1), { loss: loss.mse, learningRate: 0.1 }))
    expect(trainers.map((t) => t.name)).toEqual(['FBGD', 'SGD'])
    const own = (p: Tensor, y: Tensor) => p.sub(y).abs()
    expect(new FBGD(new nn.Linear(1, 1), { loss: own, learningRate: 0.1 }).name).toBe('FBGD')
  })
})
