/** The life of a fit: what it records, when it stops, how it is left early, what it draws, and who may touch the model meanwhile. */

import { describe, expect, test } from 'vitest'
import { FBGD, loss, MBSGD, nn, ones, Random, SGD, type Tensor, tensor, type WengertError, zeros } from '../../lib/index.js'
import type { Loss } from '../../lib/nn/loss-contract.js'
import { announce, present, using } from '../support/engines.js'
import { snapshot } from '../support/models.js'

announce('fits')

/** Σ of the outputs of each sample; with a single input of 1 and α = 1 the weight is minus the number of updates, exactly. */
const itself: Loss = Object.assign((prediction: Tensor) => prediction.sum(1), { targets: 'values' as const })
const counter = () => new nn.Linear(1, 1, { bias: false, init: 'zeros', dtype: 'float64' })
const weightOf = (model: nn.Linear) => model.weight.data[0] as number
const units = (m: number) => ({ x: ones([m, 1]), y: zeros([m, 1]) })

const classes = (m: number, seed = 3) => {
  const x = new Random(seed).normal([m, 4])
  const y = tensor(
    Int32Array.from({ length: m }, (_, i) => ((x.data[4 * i] as number) > 0 ? 1 : 0) + ((x.data[4 * i + 1] as number) > 0.5 ? 1 : 0)),
  )
  return { x, y }
}
const classifier = () => {
  const rng = new Random(1)
  return new nn.Sequential(new nn.Linear(4, 8, { rng }), new nn.ReLU(), new nn.Linear(8, 3, { rng }))
}
const trainerOf = (model: nn.Module, learningRate = 0.1) => new MBSGD(model, { loss: loss.crossEntropy, learningRate, batchSize: 8 })

const rejection = (promise: Promise<unknown>): Promise<WengertError & Error> =>
  promise.then(
    () => Promise.reject(new Error('expected a rejection')),
    (error) => error,
  )

describe.each(present)('on %s', (engine) => {
  const on = <T>(body: () => T): T => using(engine, body)

  test('the history: fields, counters, metrics and validation', async () => {
    const model = classifier()
    const trainer = trainerOf(model)
    const [data, validation] = [classes(40), classes(24, 9)]
    const history = await on(() => trainer.fit(data, { epochs: 3, validation, metrics: ['accuracy'], seed: 5 }))
    expect(Object.keys(history).sort()).toEqual(['epochs', 'last', 'seconds', 'seed', 'stopped', 'trainer', 'updates'])
    expect(history).toMatchObject({ trainer: 'MBSGD', updates: 15, seed: 5, stopped: 'epochs' })
    expect(history.epochs.map(({ epoch, updates }) => [epoch, updates])).toEqual([
      [1, 5],
      [2, 10],
      [3, 15],
    ])
    expect(history.last).toBe(history.epochs[2])
    for (const e of history.epochs) {
      expect(Object.keys(e).sort()).toEqual(['accuracy', 'cost', 'epoch', 'learningRate', 'seconds', 'updates', 'validation'])
      expect(e.accuracy).toBeGreaterThanOrEqual(0)
      expect(e.accuracy).toBeLessThanOrEqual(1)
      expect(Number.isInteger(Math.round((e.accuracy ?? -1) * 40 * 1e6) / 1e6)).toBe(true)
      expect(e.seconds).toBeLessThanOrEqual(history.seconds)
    }
    expect([trainer.epoch, trainer.updates]).toEqual([3, 15])
    // Validation is of the parameters after the epoch, as evaluate() sees them now.
    const now = await on(() => trainer.evaluate(validation, { metrics: ['accuracy'] }))
    expect(now.cost).toBeCloseTo(history.last?.validation?.cost ?? NaN, 6)
    expect(now.accuracy).toBe(history.last?.validation?.accuracy)
    // And accuracy is what predictions say.
    const predicted = Array.from(model.predict(validation.x).argmax(1).data)
    expect(now.accuracy).toBeCloseTo(predicted.filter((c, i) => c === validation.y.data[i]).length / 24, 12)
  })

  test('training learns: cost falls, accuracy rises', async () => {
    const trainer = trainerOf(classifier())
    const { epochs } = await on(() => trainer.fit(classes(200), { epochs: 30, metrics: ['accuracy'], seed: 1 }))
    expect(epochs.at(-1)?.cost).toBeLessThan((epochs[0]?.cost ?? 0) / 2)
    expect(epochs.at(-1)?.accuracy).toBeGreaterThan(0.9)
  })

  test('no epochs: nothing happens', async () => {
    const model = counter()
    const history = await on(() => new FBGD(model, { loss: itself, learningRate: 1 }).fit(units(3), { epochs: 0, seed: 1 }))
    expect(history).toMatchObject({ epochs: [], last: undefined, updates: 0, stopped: 'epochs' })
    expect(weightOf(model)).toBe(0)
  })

  test('the tolerance stop wants two calm epochs running', async () => {
    const costs = async (rates: number[]) => {
      const model = counter()
      const trainer = new FBGD(model, { loss: itself, learningRate: 1, schedule: ({ epoch }) => rates[epoch] ?? 0 })
      const history = await on(() => trainer.fit(units(3), { epochs: 9, tolerance: 1e-6, seed: 1 }))
      return [history.stopped, history.epochs.length]
    }
    // The cost met in an epoch is that of the update before: rates 1, 0, 0 … give costs 0, −1, −1, −1.
    expect(await costs([1])).toEqual(['tolerance', 4])
    expect(await costs([])).toEqual(['tolerance', 3])
    // Calm once, then moving again.
    expect(await costs([1, 0, 1, 0, 1, 0, 1, 0, 1])).toEqual(['epochs', 9])
    // The next fit starts counting anew.
    const trainer = new FBGD(counter(), { loss: itself, learningRate: 1, schedule: () => 0 })
    for (let i = 0; i < 2; i++) expect((await on(() => trainer.fit(units(2), { epochs: 9, tolerance: 0 }))).epochs.length).toBe(3)
  })

  test('the time limit is looked at after each epoch', async () => {
    const trainer = new FBGD(counter(), { loss: itself, learningRate: 1 })
    const history = await on(() => trainer.fit(units(2), { epochs: 1000, maxSeconds: 0 }))
    expect([history.stopped, history.epochs.length, trainer.epoch]).toEqual(['time', 1, 1])
  })

  test('onEpoch sees the parameters of its epoch, and is waited for', async () => {
    const model = counter()
    const seen: number[][] = []
    let waiting = 0
    const trainer = new SGD(model, { loss: itself, learningRate: 1 })
    const history = await on(() =>
      trainer.fit(units(4), {
        epochs: 3,
        onEpoch: async (e) => {
          waiting++
          await new Promise((done) => setImmediate(done))
          expect(waiting).toBe(1)
          waiting--
          seen.push([e.epoch, e.updates, weightOf(model)])
        },
      }),
    )
    expect(seen).toEqual([
      [1, 4, -4],
      [2, 8, -8],
      [3, 12, -12],
    ])
    expect(history.epochs.length).toBe(3)
  })

  test('an error in onEpoch ends the fit with that epoch whole, and frees the model', async () => {
    const model = counter()
    const trainer = new SGD(model, { loss: itself, learningRate: 1 })
    const error = await rejection(
      on(() =>
        trainer.fit(units(4), {
          epochs: 3,
          onEpoch: () => {
            throw new Error('mine')
          },
        }),
      ),
    )
    expect(error.message).toBe('mine')
    expect([trainer.epoch, trainer.updates, weightOf(model)]).toEqual([1, 4, -4])
    expect((await on(() => trainer.fit(units(4), { epochs: 1 }))).last?.epoch).toBe(2)
  })

  test('epochs() gives one epoch after the other, and may be left', async () => {
    const model = counter()
    const trainer = new SGD(model, { loss: itself, learningRate: 1 })
    const seen: number[] = []
    for await (const e of on(() => trainer.epochs(units(4), { epochs: 9 }))) {
      seen.push(e.epoch)
      expect(weightOf(model)).toBe(-e.updates)
      if (e.epoch === 3) break
    }
    expect(seen).toEqual([1, 2, 3])
    expect([trainer.epoch, trainer.updates, weightOf(model)]).toEqual([3, 12, -12])
    expect(model.weight.busy).toBe(false)
    // Run to its end, the iterator returns the history.
    const iterator = on(() => trainer.epochs(units(4), { epochs: 2 }))
    let next = await iterator.next()
    while (!next.done) next = await iterator.next()
    expect(next.value).toMatchObject({ stopped: 'epochs', updates: 20 })
  })

  describe('abort', () => {
    test('before the start: nothing changes, the reason comes back', async () => {
      const model = counter()
      const reason = new Error('not today')
      const error = await rejection(
        on(() => new SGD(model, { loss: itself, learningRate: 1 }).fit(units(4), { epochs: 3, signal: AbortSignal.abort(reason) })),
      )
      expect(error).toBe(reason)
      expect(weightOf(model)).toBe(0)
    })

    test('from onEpoch: that epoch is whole, no more run', async () => {
      const model = counter()
      const stop = new AbortController()
      const trainer = new SGD(model, { loss: itself, learningRate: 1 })
      const error = await rejection(
        on(() =>
          trainer.fit(units(4), { epochs: 100, signal: stop.signal, onEpoch: (e) => (e.epoch === 2 ? stop.abort('enough') : undefined) }),
        ),
      )
      expect(error).toBe('enough')
      expect([trainer.epoch, trainer.updates, weightOf(model)]).toEqual([2, 8, -8])
    })

    test('in the middle of a long block: whole steps, counted, and the model is free again', async () => {
      const model = counter()
      const stop = new AbortController()
      const trainer = new SGD(model, { loss: itself, learningRate: 1 })
      const running = on(() => trainer.fit(units(1000), { epochs: 1_000_000, signal: stop.signal, seed: 1 }))
      setTimeout(() => stop.abort(), 30)
      const error = await rejection(running)
      expect(error.name).toBe('AbortError')
      const before = trainer.updates
      expect(weightOf(model) + before).toBe(0) // none yet, on a machine that is busy: not −0
      expect(trainer.epoch).toBe(Math.floor(before / 1000))
      expect(trainer.epoch).toBeLessThan(1_000_000)
      expect((trainer.step([[1]], [[0]]) as number) + before).toBe(0)
      expect(weightOf(model)).toBe(-before - 1)
    })
  })

  describe('draws', () => {
    const bits = async (fits: number[], seed: number, kind: 'SGD' | 'MBSGD' = 'MBSGD') => {
      const model = classifier()
      const trainer = kind === 'SGD' ? new SGD(model, { loss: loss.crossEntropy, learningRate: 0.1 }) : trainerOf(model)
      for (const epochs of fits) await on(() => trainer.fit(classes(37), { epochs, seed }))
      return snapshot(model)
    }
    test.each(['SGD', 'MBSGD'] as const)('%s: the same seed gives the same bits, another seed others', async (kind) => {
      const one = await bits([5], 11, kind)
      expect(await bits([5], 11, kind)).toEqual(one)
      expect(await bits([5], 12, kind)).not.toEqual(one)
    })
    test('additional epochs continue the draws', async () => {
      const whole = await bits([5], 11)
      expect(await bits([2, 3], 11)).toEqual(whole)
      expect(await bits([1, 1, 1, 1, 1], 11)).toEqual(whole)
    })
    test('what watches an epoch does not change it', async () => {
      const model = classifier()
      const trainer = trainerOf(model)
      await on(() =>
        trainer.fit(classes(37), { epochs: 5, seed: 11, onEpoch: () => undefined, metrics: ['accuracy'], validation: classes(10) }),
      )
      expect(snapshot(model)).toEqual(await bits([5], 11))
    })
    test('a seed is drawn and recorded where none is given', async () => {
      const model = classifier()
      const { seed } = await on(() => trainerOf(model).fit(classes(37), { epochs: 5 }))
      expect(snapshot(model)).toEqual(await bits([5], seed))
    })
  })

  describe('a model in training', () => {
    test('refuses a second fit, of any trainer and of any model that shares a parameter', async () => {
      const model = classifier()
      const data = classes(64)
      const trainer = trainerOf(model)
      const shared = new nn.Sequential(...model.layers)
      const [running, ...refused] = on(() =>
        [trainer, trainer, trainerOf(model), trainerOf(shared)].map((t) => t.fit(data, { epochs: 5, seed: 1 })),
      )
      for (const promise of refused) expect((await rejection(promise)).code).toBe('ERR_BUSY')
      expect((await running)?.epochs.length).toBe(5)
      expect(trainer.epoch).toBe(5)
    })

    test('refuses steps and writes meanwhile, predicts and evaluates, and is free afterwards', async () => {
      const model = classifier()
      const data = classes(64)
      const trainer = trainerOf(model)
      const running = on(() => trainer.fit(data, { epochs: 5, seed: 1 }))
      const codes = [
        () => trainer.step(data.x, data.y),
        () => model.loadStateDict(model.stateDict()),
        () => model.parameters()[0]?.assign(zeros([8, 4])),
      ].map((attempt) => {
        try {
          attempt()
        } catch (error) {
          return (error as WengertError).code
        }
        return 'nothing'
      })
      expect(codes).toEqual(['ERR_BUSY', 'ERR_BUSY', 'ERR_BUSY'])
      expect(model.predict(data.x).shape).toEqual([64, 3])
      expect((await trainer.evaluate(data)).cost).toBeGreaterThan(0)
      await running
      const cost = trainer.step(data.x, data.y)
      expect(Number.isFinite(cost)).toBe(true)
      const other = trainerOf(model)
      expect((await on(() => other.fit(data, { epochs: 1 }))).updates).toBe(8)
    })

    test('moves between trainers with its values', async () => {
      const model = counter()
      const [a, b] = [new SGD(model, { loss: itself, learningRate: 1 }), new FBGD(model, { loss: itself, learningRate: 0.5 })]
      await on(() => a.fit(units(3), { epochs: 1 }))
      await on(() => b.fit(units(3), { epochs: 2 }))
      expect(weightOf(model)).toBe(-4)
      on(() => a.step([[1]], [[0]]))
      expect(weightOf(model)).toBe(-5)
      model.weight.data[0] = 10
      await on(() => a.fit(units(3), { epochs: 1 }))
      expect(weightOf(model)).toBe(7)
      model.weight.assign(tensor([[100]], { dtype: 'float64' }))
      await on(() => b.fit(units(3), { epochs: 1 }))
      expect(weightOf(model)).toBe(99.5)
    })
  })

  test('a model whose path depends on values trains all the same', async () => {
    class Choosing extends nn.Module {
      inner = counter()
      override forward(x: Tensor): Tensor {
        return x.sum().item() > 0 ? this.inner.forward(x) : this.inner.forward(x).mul(2)
      }
    }
    const model = new Choosing()
    await on(() => new MBSGD(model, { loss: itself, learningRate: 1, batchSize: 2 }).fit(units(4), { epochs: 3, seed: 1 }))
    expect(weightOf(model.inner)).toBe(-6)
  })
})
