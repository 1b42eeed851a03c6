/** Single failures and what stands after them: aborts against kills, indices and costs within a block, callbacks that throw at the end. */

import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  type Callback,
  cast,
  earlyStopping,
  FBGD,
  gather,
  loss,
  MBSGD,
  nn,
  ones,
  Random,
  SGD,
  type Tensor,
  tensor,
  zeros,
} from '../../lib/index.js'
import { announce, present, using } from '../support/engines.js'
import { snapshot } from '../support/models.js'

announce('moments')

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wengert-moments-'))
})
afterAll(() => rm(folder, { recursive: true }))

const rng = new Random(2)
const data = { x: rng.normal([24, 3]), y: rng.normal([24, 1]) }
const linear = () => new nn.Linear(3, 1, { rng: new Random(1) })
const trainerOf = (learningRate = 0.05) => new MBSGD(linear(), { loss: loss.mse, batchSize: 8, learningRate })

/** w, from 0; with the output as the loss each update makes it smaller by the learning rate. */
class Counter extends nn.Module {
  readonly w = new nn.Parameter(zeros([1, 1]))
  forward(x: Tensor): Tensor {
    return x.matmul(this.w)
  }
}
const itself = (prediction: Tensor) => prediction
const units = (m: number) => ({ x: ones([m, 1]), y: zeros([m, 1]) })

describe.each(present)('on %s', (engine) => {
  const on = <T>(body: () => T): T => using(engine, body)

  test.each([3, 6])('abort and save after %i epochs write what a checkpoint holds, byte by byte', async (epoch) => {
    // Training fits these samples ever closer; the validation set wants the opposite from some epoch on.
    const validation = { x: data.x, y: data.y.mul(0.6) }
    const run = (stop: Callback, act: (e: number) => unknown, more = {}) => {
      const trainer = trainerOf()
      const other: Callback = { name: 'other', onEpoch: async (record) => void (await act(record.epoch)) }
      return { trainer, fit: (epochs: number) => trainer.fit(data, { epochs, seed: 3, validation, callbacks: [stop, other], ...more }) }
    }
    const path = join(folder, `kill-${engine}-${epoch}`)
    // The file as it stands at the beginning of the next epoch: what a killed process leaves.
    const killed = run(earlyStopping({ patience: 20 }), (e) => e === epoch + 1 && copyFile(path, `${path}.copy`), {
      checkpoint: { path, everyEpochs: 1 },
    })
    await on(() => killed.fit(epoch + 1))
    const controller = new AbortController()
    const stop = earlyStopping({ patience: 20 })
    const aborted = run(stop, (e) => e === epoch && controller.abort(), { signal: controller.signal })
    await expect(on(() => aborted.fit(60))).rejects.toThrow(/abort/)
    expect([aborted.trainer.epoch, stop.bestEpoch]).toEqual([epoch, expect.any(Number)])
    await aborted.trainer.save(`${path}.saved`)
    expect(await readFile(`${path}.saved`)).toEqual(await readFile(`${path}.copy`))
    // What was best can be had all the same.
    expect(Object.keys(stop.bestParameters ?? {})).toEqual(['weight', 'bias'])
    // Both end as one that was never stopped, at the best epoch's parameters.
    const whole = run(earlyStopping({ patience: 20 }), () => undefined)
    await on(() => whole.fit(60))
    for (const file of ['copy', 'saved']) {
      const own = earlyStopping({ patience: 20 })
      const next = run(own, () => undefined)
      await on(() => next.trainer.resume(`${path}.${file}`))
      await on(() => next.fit(60 - epoch))
      expect(snapshot(next.trainer.model)).toEqual(snapshot(whole.trainer.model))
      expect(next.trainer.epoch).toBe(whole.trainer.epoch)
    }
  })

  test('an index that is bad from some epoch on: the epochs before it count, in a block that nobody watches', async () => {
    class Walking extends nn.Module {
      readonly w = new nn.Parameter(zeros([1, 1]))
      readonly table = tensor(new Float32Array(10).fill(1))
      forward(x: Tensor): Tensor {
        const steps = x.matmul(this.w)
        return steps.add(gather(this.table, cast(steps.mul(-1).reshape([x.shape[0] as number]), 'int32')).reshape(steps.shape))
      }
    }
    const make = () => new FBGD(new Walking(), { loss: itself, learningRate: 1 })
    const trainer = make()
    await expect(on(() => trainer.fit(units(4), { epochs: 50, divergence: false }))).rejects.toMatchObject({ code: 'ERR_INDEX' })
    expect([trainer.epoch, trainer.updates, snapshot(trainer.model).w]).toEqual([10, 10, [-10]])
    const whole = make()
    await on(() => whole.fit(units(4), { epochs: 10, divergence: false }))
    expect(snapshot(trainer.model)).toEqual(snapshot(whole.model))
  })

  test.each(['fails again', 'throws'])(
    'a cost that is not finite, in an epoch that when made again %s: nothing is counted',
    async (how) => {
      let calls = 0
      class Moody extends Counter {
        override forward(x: Tensor): Tensor {
          const y = super.forward(x)
          if (y.sum().item() === Infinity) return y
          // Four updates an epoch. The 15th fails; when they are made again, the second of them does.
          if (++calls === 15 || (how === 'fails again' && calls === 17)) return y.mul(NaN)
          if (how === 'throws' && calls === 17) throw new Error('again')
          return y
        }
      }
      const trainer = new SGD(new Moody(), { loss: itself, learningRate: 1 })
      const fit = on(() => trainer.fit(units(4), { epochs: 9, seed: 1, divergence: false }))
      await expect(fit).rejects.toMatchObject({ code: 'ERR_DIVERGED' })
      expect([trainer.epoch, trainer.updates, snapshot(trainer.model).w]).toEqual([0, 0, [0]])
    },
  )

  test('a metric that throws, or gives no number: the epoch is undone', async () => {
    for (const [metric, code] of [
      [() => 'much', 'ERR_VALUE'],
      [async () => 1, 'ERR_VALUE'],
      [() => tensor([1, 2]), 'ERR_VALUE'],
      [() => undefined, 'ERR_VALUE'],
    ] as const) {
      const own = Object.defineProperty(() => metric(), 'name', { value: 'mine' }) as never
      const trainer = trainerOf()
      const before = snapshot(trainer.model)
      const fit = on(() => trainer.fit(data, { epochs: 3, validation: data, metrics: [own] }))
      await expect(fit).rejects.toMatchObject({ code, message: expect.stringContaining('mine') })
      expect([trainer.epoch, trainer.updates, snapshot(trainer.model)]).toEqual([0, 0, before])
      await expect(on(() => trainer.evaluate(data, { metrics: [own] }))).rejects.toMatchObject({ code })
    }
  })

  test('of several callbacks one that throws keeps none from its epoch, nor from the end', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const log: string[] = []
    const logging = (name: string, throws: string): Callback => ({
      onEpoch: ({ epoch }) => {
        log.push(`${name} ${epoch}`)
        if (throws.includes('epoch')) throw new Error(`${name} in epoch`)
      },
      onEnd: (history) => {
        log.push(`${name} end ${history?.stopped}`)
        if (throws.includes('end')) throw new Error(`${name} at the end`)
      },
    })
    const train = (...callbacks: Callback[]) => on(() => trainerOf().fit(data, { epochs: 1, callbacks }))
    const warnings = () => warned.mock.calls.map(([text]) => String(text)).splice(0, Infinity)
    await expect(train(logging('a', 'end'), logging('b', 'epoch, end'), logging('c', ''))).rejects.toThrow('b in epoch')
    expect(log.splice(0)).toEqual(['a 1', 'b 1', 'c 1', 'a end undefined', 'b end undefined', 'c end undefined'])
    expect(warnings()).toEqual(['fit: a callback failed in onEnd: a at the end', 'fit: a callback failed in onEnd: b at the end'])
    warned.mockClear()
    await expect(train(logging('a', 'end'), logging('b', 'end'), logging('c', ''))).rejects.toThrow('a at the end')
    expect(log.splice(0)).toEqual(['a 1', 'b 1', 'c 1', 'a end epochs', 'b end epochs', 'c end epochs'])
    expect(warnings()).toEqual(['fit: a callback failed in onEnd: b at the end'])
    warned.mockClear()
    // One whose start failed was never told that it began.
    const starting: Callback = { onStart: () => Promise.reject(new Error('mine')), onEnd: () => void log.push('never') }
    await expect(train(logging('a', ''), starting, logging('c', ''))).rejects.toThrow('mine')
    expect(log.splice(0)).toEqual(['a end undefined'])
    warned.mockRestore()
  })

  test('leaving the loop over epochs ends the fit: the best parameters stand, and the next fit is a new one', async () => {
    const trainer = trainerOf()
    const stop = earlyStopping({ patience: 50 })
    const ends: unknown[] = []
    const callbacks = [stop, { onEnd: (history: { stopped: string } | undefined) => void ends.push(history?.stopped) }]
    const validation = { x: data.x, y: data.y.mul(-1) }
    for await (const { epoch } of on(() => trainer.epochs(data, { epochs: 50, validation, callbacks }))) if (epoch === 5) break
    expect([ends, stop.bestEpoch]).toEqual([['callback'], expect.any(Number)])
    const best = Object.values(stop.bestParameters ?? {}).map(({ data: values }) => [...values])
    expect(Object.values(snapshot(trainer.model))).toEqual(best)
    expect(trainer.epoch).toBe(5)
  })
})
