/** Callbacks, early stopping, and a cost that runs away. */

import { describe, expect, test } from 'vitest'
import { type Callback, type EpochRecord, earlyStopping, FBGD, loss, MBSGD, nn, Random, SGD, type Tensor, zeros } from '../../lib/index.js'
import { announce, present, using } from '../support/engines.js'
import { snapshot } from '../support/models.js'

announce('callbacks')

const rng = new Random(2)
const data = { x: rng.normal([24, 3]), y: rng.normal([24, 1]) }
const linear = () => new nn.Linear(3, 1, { rng: new Random(1) })
const trainerOf = (model: nn.Module = linear(), learningRate = 0.1) => new MBSGD(model, { loss: loss.mse, batchSize: 8, learningRate })

describe.each(present)('on %s', (engine) => {
  const on = <T>(body: () => T): T => using(engine, body)

  test('are called in order, see the parameters of their epoch, and may stop the fit', async () => {
    const trainer = trainerOf()
    const log: unknown[] = []
    const seen: Callback = {
      onStart: (t) => void log.push(['start', t.epoch]),
      onEpoch: async (record, t) => {
        await new Promise((resolve) => setImmediate(resolve))
        log.push([record.epoch, t.epoch, t.updates, snapshot(t.model).weight?.[0]])
        return record.epoch < 3
      },
      onEnd: (history) => void log.push(['end', history?.stopped]),
    }
    const history = await on(() => trainer.fit(data, { epochs: 9, seed: 1, callbacks: [seen] }))
    expect(history.stopped).toBe('callback')
    expect(history.epochs.map(({ epoch }) => epoch)).toEqual([1, 2, 3])
    const plain = trainerOf()
    const weights: number[] = []
    for (let e = 0; e < 3; e++) {
      await on(() => plain.fit(data, { epochs: 1, seed: 1 }))
      weights.push(snapshot(plain.model).weight?.[0] as number)
    }
    expect(log).toEqual([['start', 0], ...weights.map((w, e) => [e + 1, e + 1, 3 * (e + 1), w]), ['end', 'callback']])
  })

  test('onEnd comes without a history where a fit fails, and the model is free then', async () => {
    const ends: unknown[] = []
    const callbacks: Callback[] = [
      {
        onEpoch: () => {
          throw new Error('mine')
        },
        onEnd: (history, { model }) => {
          ends.push(history)
          model.parameters()[0]?.assign(zeros([1, 3]))
        },
      },
    ]
    const trainer = trainerOf()
    await expect(on(() => trainer.fit(data, { epochs: 3, callbacks }))).rejects.toThrow('mine')
    expect(ends).toEqual([undefined])
    expect(snapshot(trainer.model).weight).toEqual([0, 0, 0])
  })

  test('early stopping: patience, and the best parameters stand', async () => {
    // Training fits these samples ever closer; the validation set wants the opposite from some epoch on.
    const trainer = trainerOf(linear(), 0.05)
    const kept: Record<string, number[]>[] = []
    const validation = { x: data.x, y: data.y.mul(0.6) }
    const stop = earlyStopping({ patience: 4 })
    const history = await on(() =>
      trainer.fit(data, {
        epochs: 500,
        seed: 3,
        validation,
        callbacks: [stop, { onEpoch: (_r: EpochRecord, { model }) => void kept.push(snapshot(model)) }],
      }),
    )
    const costs = history.epochs.map((e) => e.validation?.cost as number)
    const best = costs.indexOf(Math.min(...costs))
    expect(history.stopped).toBe('callback')
    expect(costs.length).toBe(best + 1 + 4)
    expect([stop.best, stop.bestEpoch]).toEqual([costs[best], best + 1])
    expect(snapshot(trainer.model)).toEqual(kept[best])
  })

  test('a cost that runs away: the last good parameters stand, seen or unseen', async () => {
    for (const observed of [false, true]) {
      const make = () => new FBGD(linear(), { loss: loss.mse, learningRate: 1.6 })
      const trainer = make()
      const running = on(() => trainer.fit(data, { epochs: 400, ...(observed && { onEpoch: () => undefined }) }))
      await expect(running).rejects.toMatchObject({
        code: 'ERR_DIVERGED',
        message: expect.stringMatching(/above it for 3 epochs running; parameters are those of epoch \d+/),
      })
      const free = make()
      const { epochs } = await on(() => free.fit(data, { epochs: trainer.epoch + 3, divergence: false }))
      const limit = 100 * (epochs[0]?.cost as number)
      expect(epochs.map(({ cost }) => cost > limit)).toEqual([...new Array(trainer.epoch).fill(false), true, true, true])
      const good = make()
      await on(() => good.fit(data, { epochs: trainer.epoch }))
      expect(snapshot(trainer.model)).toEqual(snapshot(good.model))
      expect(trainer.updates).toBe(trainer.epoch)
    }
  })

  test('what counts as running away can be chosen', async () => {
    const trainer = new FBGD(linear(), { loss: loss.mse, learningRate: 1.6 })
    await expect(on(() => trainer.fit(data, { epochs: 400, divergence: { factor: 2, epochs: 1 } }))).rejects.toThrow(
      /above it for 1 epochs/,
    )
    expect(trainer.epoch).toBeGreaterThan(0)
    const { epochs } = await on(() => new FBGD(linear(), { loss: loss.mse, learningRate: 1.6 }).fit(data, { epochs: trainer.epoch }))
    expect(Math.max(...epochs.map(({ cost }) => cost))).toBeLessThanOrEqual(2 * (epochs[0]?.cost as number))
  })

  test('costs of 0 and below are no start to run away from', async () => {
    const model = new nn.Linear(1, 1, { bias: false })
    const own = (prediction: Tensor, target: Tensor) => prediction.sub(target).mean(1)
    const trainer = new SGD(model, { loss: own, learningRate: 0.01 })
    const { epochs } = await on(() => trainer.fit({ x: [[1]], y: [[1]] }, { epochs: 50 }))
    expect(epochs).toHaveLength(50)
  })
})

describe('misuse', () => {
  test('callbacks and early stopping that are none', async () => {
    const bad = (callbacks: unknown) => expect(trainerOf().fit(data, { epochs: 1, callbacks: callbacks as never })).rejects
    await bad({}).toMatchObject({ code: 'ERR_OPTION' })
    await bad([{}]).toMatchObject({ code: 'ERR_OPTION' })
    await bad([{ onEpoch: 3 }]).toMatchObject({ code: 'ERR_OPTION' })
    await bad([() => undefined]).toMatchObject({ code: 'ERR_OPTION' })
    await bad([earlyStopping({ patience: 1, monitor: 'validation.cost' })]).toThrow(/expected monitor to name a number/)
    expect(() => earlyStopping({ patience: 0 })).toThrow(/patience/)
    expect(() => earlyStopping({ patience: 1, mode: 'most' as never })).toThrow(/mode/)
    expect(() => earlyStopping({ patiense: 1 } as never)).toThrow(/did you mean 'patience'/)
    await expect(trainerOf().fit(data, { epochs: 1, divergence: { faktor: 3 } as never })).rejects.toThrow(/did you mean 'factor'/)
    await expect(trainerOf().fit(data, { epochs: 1, divergence: { factor: 0 } })).rejects.toMatchObject({ code: 'ERR_RANGE' })
  })
})
