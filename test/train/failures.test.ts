/**
 * Whatever fails, a training is of one moment: parameters, optimiser, counters, schedule and callbacks. It goes on from there, in
 * the same process and from a file, and ends as if nothing had happened, bit for bit.
 */

import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Callback, earlyStopping, FBGD, loss, MBSGD, nn, optim, Random, type Tensor } from '../../lib/index.js'
import type { FitOptions } from '../../lib/train/fit-options.js'
import type { Trainer } from '../../lib/train/trainer.js'
import { announce, present, using } from '../support/engines.js'
import { snapshot } from '../support/models.js'

announce('failures')

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wengert-failures-'))
})
afterAll(() => rm(folder, { recursive: true }))

const rng = new Random(7)
const x = rng.normal([53, 6])
const labelled = (features: Tensor) => {
  const positive = (i: number) => ((features.data[i] as number) > 0 ? 1 : 0)
  return { x: features, y: new Int32Array(features.shape[0] as number).map((_, i) => positive(6 * i) + positive(6 * i + 1)) }
}
const data = labelled(x)
const validation = labelled(rng.normal([20, 6]))
const mine = new Error('mine')

/** What may go wrong, and when: the so many-th time that it is come to. */
interface Fault {
  at: string
  when: number
}

class Faults {
  #left: number
  constructor(readonly fault: Fault | undefined) {
    this.#left = fault?.when ?? 0
  }
  /** Whether it is now. */
  strikes(at: string): boolean {
    return this.fault?.at === at && --this.#left === 0
  }
  hit(at: string): void {
    if (this.strikes(at)) throw mine
  }
}

/** Sums what it sees: a callback with a memory. */
function tally(faults: Faults): Callback & { costs: number[] } {
  const costs: number[] = []
  return {
    name: 'tally',
    costs,
    onStart: () => void costs.splice(0),
    onEpoch: (record) => void costs.push(record.cost, record.validation?.cost as number, record.learningRate),
    state: () => ({ values: { costs: [...costs] } }),
    restore: ({ values }) => void costs.splice(0, Infinity, ...(values.costs as number[])),
    onEnd: () => faults.hit('onEnd'),
  }
}

/** A module that is traced, or one that reads values and trains eagerly. */
class Network extends nn.Module {
  readonly body: nn.Module
  constructor(
    readonly faults: Faults,
    readonly eager: boolean,
  ) {
    super()
    const init = new Random(3)
    this.body = new nn.Sequential(
      new nn.Linear(6, 9, { rng: init }),
      new nn.BatchNorm1d(9),
      new nn.ReLU(),
      new nn.Dropout(0.3),
      new nn.Linear(9, 3, { rng: init }),
    )
  }
  forward(input: Tensor): Tensor {
    if (this.eager && input.sum().item() !== Infinity) this.faults.hit('forward')
    return this.body.forward(input)
  }
}

const epochs = 7
/** Of each way to fail; more by WENGERT_TRIALS. */
const trials = Number(process.env.WENGERT_TRIALS ?? 1)

function make(kind: string, fault?: Fault) {
  const faults = new Faults(fault)
  const model = new Network(faults, kind.includes('eager'))
  const plateau = optim.schedules.plateau({ patience: 1, factor: 0.5, threshold: 0.2 })
  const schedule = Object.assign((...args: Parameters<typeof plateau>) => {
    faults.hit('schedule')
    return plateau(...args)
  }, plateau)
  const settings = { loss: loss.crossEntropy, optimizer: optim.adam({ learningRate: 0.01 }), schedule }
  const trainer: Trainer = kind.includes('FBGD') ? new FBGD(model, settings) : new MBSGD(model, { ...settings, batchSize: 8 })
  const stop = earlyStopping({ patience: 4 })
  const seen = tally(faults)
  let controller = new AbortController()
  const metric = (prediction: Tensor) => {
    faults.hit('metric')
    if (faults.strikes('text')) return 'much' as never
    return prediction.sum()
  }
  const thrower = (at: string): Callback => ({
    onEpoch: () => {
      faults.hit(at)
      if (faults.strikes(`abort ${at}`)) controller.abort(mine)
    },
  })
  const path = join(folder, `made-${Math.random()}`, 'checkpoint')
  let calls = 0
  const fit = async (left: number) => {
    await mkdir(join(path, '..'), { recursive: true })
    controller = new AbortController()
    const options: FitOptions = {
      epochs: left,
      validation,
      metrics: ['accuracy', metric],
      callbacks: [
        thrower('first'),
        stop,
        thrower('between'),
        seen,
        {
          onEpoch: async () => {
            if (faults.strikes('disk')) await rm(join(path, '..'), { recursive: true })
          },
        },
      ],
      signal: controller.signal,
      ...(trainer.updates === 0 && { seed: 11 }),
      ...(kind.includes('checkpoints') && { checkpoint: { path, everyUpdates: 5 } }),
    }
    const { signal } = controller
    const timer =
      fault?.at === 'timer' && calls++ === 0
        ? setTimeout(() => signal === controller.signal && controller.abort(mine), fault.when / 2)
        : undefined
    return trainer.fit(data, options).finally(() => clearTimeout(timer))
  }
  return { trainer, fit, stop, seen, model }
}

async function stateOf(trainer: Trainer): Promise<Buffer> {
  const path = join(folder, `state-${Math.random()}`)
  await trainer.save(path)
  return readFile(path)
}

const places = ['metric', 'text', 'schedule', 'first', 'between', 'abort first', 'abort between', 'timer', 'onEnd']

describe.each(present)('on %s', (engine) => {
  const on = <T>(body: () => T): T => using(engine, body)

  test.each(['MBSGD', 'MBSGD with checkpoints', 'MBSGD, eager', 'MBSGD, eager, with checkpoints', 'FBGD', 'FBGD, eager'])(
    '%s: random failures',
    { timeout: 300_000 },
    async (kind) => {
      const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
      try {
        const whole = make(kind)
        const reference = await on(() => whole.fit(epochs))
        const expected = { end: await stateOf(whole.trainer), seen: whole.seen.costs, stopped: reference.stopped, best: whole.stop.best }
        const draws = new Random(kind.length)
        const updates = (reference.epochs[0] as { updates: number }).updates
        expect(reference.epochs.length).toBeGreaterThan(4)
        const own = [...places, ...(kind.includes('eager') ? ['forward'] : []), ...(kind.includes('checkpoints') ? ['disk'] : [])]
        let failed = 0
        for (let trial = 0; trial < trials * own.length; trial++) {
          const at = own[trial % own.length] as string
          const inside = reference.epochs.length - 1
          const times = at === 'onEnd' ? 1 : at === 'schedule' ? updates * inside : at === 'forward' ? (updates + 1) * inside : inside
          const fault = { at, when: 1 + Math.floor((draws.uniform([1]).data[0] as number) * times) }
          const what = `${kind}, ${JSON.stringify(fault)}`
          const run = make(kind, fault)
          const error = await on(() => run.fit(epochs)).then(
            () => undefined,
            (reason: unknown) => reason,
          )
          if (error !== undefined) failed++
          else expect(at, what).toBe('timer')
          if (at === 'text') expect(error, what).toMatchObject({ code: 'ERR_VALUE' })
          else if (at === 'disk') expect(error, what).toMatchObject({ code: 'ERR_FILE' })
          else if (error !== undefined) expect(error, what).toBe(mine)
          const left = epochs - run.trainer.epoch
          const path = join(folder, `middle-${Math.random()}`)
          await run.trainer.save(path)
          const second = make(kind)
          await on(() => second.trainer.resume(path))
          expect(snapshot(second.model), what).toEqual(snapshot(run.model))
          expect([second.trainer.epoch, second.trainer.updates], what).toEqual([run.trainer.epoch, run.trainer.updates])
          if (left === 0) continue
          for (const [way, next] of [
            ['from a file', second],
            ['in the same process', run],
          ] as const) {
            const done = await on(() => next.fit(left))
            expect(done.stopped, `${what}, ${way}`).toBe(expected.stopped)
            expect(next.seen.costs, `${what}, ${way}`).toEqual(expected.seen)
            expect(next.stop.best, `${what}, ${way}`).toBe(expected.best)
            expect(await stateOf(next.trainer), `${what}, ${way}`).toEqual(expected.end)
          }
        }
        expect(failed).toBeGreaterThanOrEqual(trials * (own.length - 1))
      } finally {
        warned.mockRestore()
      }
    },
  )
})
