/** Stopping and going on: a resumed training is the one that never stopped, bit for bit. */

import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { earlyStopping, FBGD, loss, MBSGD, nn, optim, Random, SGD, Tensor } from '../../lib/index.js'
import type { FitOptions } from '../../lib/train/fit-options.js'
import type { Trainer } from '../../lib/train/trainer.js'
import { announce, present, using } from '../support/engines.js'
import { snapshot } from '../support/models.js'

announce('checkpoints')

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wengert-checkpoint-'))
})
afterAll(() => rm(folder, { recursive: true }))

const rng = new Random(7)
const x = rng.normal([53, 6])
const y = new Tensor(
  [53],
  'int32',
  Int32Array.from({ length: 53 }, (_, i) => ((x.data[6 * i] as number) > 0 ? 1 : 0) + ((x.data[6 * i + 1] as number) > 0 ? 1 : 0)),
)
const data = { x, y }
const validation = { x: rng.normal([20, 6]), y: new Int32Array(20).map((_, i) => i % 3) }

/** A fresh trainer, always the same: everything that has state. */
function make(): MBSGD {
  const init = new Random(3)
  const model = new nn.Sequential(
    new nn.Linear(6, 9, { rng: init }),
    new nn.BatchNorm1d(9),
    new nn.ReLU(),
    new nn.Dropout(0.3),
    new nn.Linear(9, 3, { rng: init }),
  )
  return new MBSGD(model, {
    loss: loss.crossEntropy,
    batchSize: 8,
    optimizer: optim.adam({ learningRate: 0.01 }),
    schedule: optim.schedules.plateau({ patience: 1, factor: 0.5, threshold: 0.2 }),
  })
}

/** Every bit that training changes, as a checkpoint holds it. */
async function stateOf(trainer: Trainer): Promise<Buffer> {
  const path = join(folder, `state-${Math.random()}`)
  await trainer.save(path)
  return readFile(path)
}

const bare = ({ epochs }: { epochs: readonly { seconds: number }[] }) => epochs.map(({ seconds: _, ...rest }) => rest)

describe.each(present)('on %s', (engine) => {
  const on = <T>(body: () => T): T => using(engine, body)
  const options = { epochs: 6, validation, metrics: ['accuracy'], seed: 11 } satisfies FitOptions

  test('save and resume between fits', async () => {
    const path = join(folder, 'between')
    const [whole, first] = [make(), make()]
    await on(() => whole.fit(data, { ...options, epochs: 3 }))
    const expected = await on(() => whole.fit(data, { ...options, epochs: 3, seed: 5 }))
    await on(() => first.fit(data, { ...options, epochs: 3 }))
    await first.save(path)
    const second = make()
    await on(() => second.resume(path))
    expect([second.epoch, second.updates]).toEqual([3, 21])
    const got = await on(() => second.fit(data, { ...options, epochs: 3, seed: 5 }))
    expect(bare(got)).toEqual(bare(expected))
    expect(await stateOf(second)).toEqual(await stateOf(whole))
  })

  test.each([1, 2, 3, 7, 10, 23])('a checkpoint at each update that 5 divides, taken up after %i of them', async (which) => {
    const path = join(folder, `mid-${engine}-${which}`)
    const whole = make()
    const expected = await on(() => whole.fit(data, { ...options, callbacks: [earlyStopping({ patience: 3 })] }))
    // Stops as a killed process would: the file of one moment is all there is.
    const cut = make()
    let written = 0
    const stop = new AbortController()
    const running = on(() =>
      cut.fit(data, {
        ...options,
        callbacks: [
          earlyStopping({ patience: 3 }),
          {
            state: () => {
              if (++written >= which) stop.abort()
              return { values: {} }
            },
          },
        ],
        signal: stop.signal,
        checkpoint: { path, everyUpdates: 5 },
      }),
    )
    await running.catch(() => undefined)
    const second = make()
    await on(() => second.resume(path))
    const left = 6 - second.epoch
    const got = await on(() =>
      second.fit(data, { epochs: left, validation, metrics: ['accuracy'], callbacks: [earlyStopping({ patience: 3 })] }),
    )
    expect(bare(got)).toEqual(bare(expected).slice(6 - left))
    expect(snapshot(second.model)).toEqual(snapshot(whole.model))
    expect(await stateOf(second)).toEqual(await stateOf(whole))
  })

  test('cuts change nothing: costs and parameters are those of a fit without checkpoints', async () => {
    const [plain, cut] = [make(), make()]
    const expected = await on(() => plain.fit(data, { ...options, health: true }))
    const got = await on(() => cut.fit(data, { ...options, health: true, checkpoint: { path: join(folder, 'cuts'), everyUpdates: 3 } }))
    expect(bare(got)).toEqual(bare(expected))
    expect(await stateOf(cut)).toEqual(await stateOf(plain))
  })

  test('by seconds, SGD: the same as without', async () => {
    const trainer = () =>
      new SGD(new nn.Sequential(new nn.Linear(6, 3, { rng: new Random(1) })), { loss: loss.crossEntropy, learningRate: 0.05 })
    const [plain, cut] = [trainer(), trainer()]
    const expected = await on(() => plain.fit(data, { epochs: 20, seed: 2 }))
    const got = await on(() => cut.fit(data, { epochs: 20, seed: 2, checkpoint: { path: join(folder, 'seconds'), everySeconds: 1e-6 } }))
    expect(bare(got)).toEqual(bare(expected))
    expect(snapshot(cut.model)).toEqual(snapshot(plain.model))
  })

  test('FBGD is cut between epochs', async () => {
    const trainer = () =>
      new FBGD(new nn.Sequential(new nn.Linear(6, 3, { rng: new Random(1) })), { loss: loss.crossEntropy, learningRate: 0.05 })
    const path = join(folder, 'fbgd')
    const [whole, part, rest] = [trainer(), trainer(), trainer()]
    await on(() => whole.fit(data, { epochs: 9 }))
    await on(() => part.fit(data, { epochs: 7, checkpoint: { path, everyUpdates: 4 } }))
    await on(() => rest.resume(path))
    expect(rest.epoch).toBe(4)
    await on(() => rest.fit(data, { epochs: 5 }))
    expect(snapshot(rest.model)).toEqual(snapshot(whole.model))
  })

  test('a fit that is aborted between two epochs goes on with its seed', async () => {
    const [whole, cut] = [make(), make()]
    await on(() => whole.fit(data, { epochs: 5, seed: 4 }))
    const stop = new AbortController()
    const onEpoch = ({ epoch }: { epoch: number }) => {
      if (epoch === 2) stop.abort()
    }
    await expect(on(() => cut.fit(data, { epochs: 5, seed: 4, signal: stop.signal, onEpoch }))).rejects.toThrow(/abort/)
    expect(cut.epoch).toBe(2)
    expect((await on(() => cut.fit(data, { epochs: 3 }))).seed).toBe(4)
    expect(snapshot(cut.model)).toEqual(snapshot(whole.model))
  })

  test('an aborted fit goes on within its epoch, in the same process and from a file', async () => {
    const trainer = () =>
      new SGD(new nn.Sequential(new nn.Linear(6, 3, { rng: new Random(1) })), { loss: loss.crossEntropy, learningRate: 0.001 })
    const [whole, cut, rest] = [trainer(), trainer(), trainer()]
    const stop = new AbortController()
    // More epochs than it can ever make: wherever the abort finds it, that is where the others go on.
    const running = on(() => cut.fit(data, { epochs: 1e9, seed: 4, signal: stop.signal }))
    setTimeout(() => stop.abort(), 20)
    await expect(running).rejects.toThrow(/abort/)
    const path = join(folder, 'aborted')
    await cut.save(path)
    await on(() => rest.resume(path))
    expect(rest.updates).toBe(cut.updates)
    const epochs = cut.epoch + 3
    await on(() => whole.fit(data, { epochs, seed: 4 }))
    for (const t of [cut, rest]) {
      const left = await on(() => t.fit(data, { epochs: epochs - t.epoch }))
      expect(left.seed).toBe(4)
      expect(t.updates).toBe(epochs * 53)
      expect(snapshot(t.model)).toEqual(snapshot(whole.model))
    }
  })
})

describe('files', () => {
  test('the last k and the best are kept, each of them whole', async () => {
    const own = await mkdtemp(join(folder, 'keep-'))
    const path = join(own, 'run')
    const trainer = make()
    const { epochs } = await trainer.fit(data, { epochs: 5, validation, seed: 1, checkpoint: { path, keep: 3, best: true } })
    expect((await readdir(own)).sort()).toEqual(['run', 'run.1', 'run.2', 'run.best'])
    const found: number[] = []
    for (const name of ['run', 'run.1', 'run.2', 'run.best']) {
      const reader = make()
      await reader.resume(join(own, name))
      found.push(reader.epoch)
    }
    const costs = epochs.map((e) => e.validation?.cost as number)
    expect(found).toEqual([5, 4, 3, costs.indexOf(Math.min(...costs)) + 1])
  })

  test('a partial epoch of other data is begun anew, with a warning', async () => {
    const path = join(folder, 'other-data')
    const first = make()
    const stop = new AbortController()
    const fit = first.fit(data, {
      epochs: 2,
      seed: 1,
      signal: stop.signal,
      callbacks: [
        {
          state: () => {
            stop.abort()
            return { values: {} }
          },
        },
      ],
      checkpoint: { path, everyUpdates: 3 },
    })
    await expect(fit).rejects.toThrow(/abort/)
    const second = make()
    await second.resume(path)
    const warnings: Error[] = []
    const listen = (warning: Error) => warnings.push(warning)
    process.on('warning', listen)
    await second.fit({ x: x.mul(2), y }, { epochs: 1 })
    await new Promise((resolve) => setImmediate(resolve))
    process.off('warning', listen)
    expect(warnings.map(({ name }) => name)).toContain('WengertResume')
    expect(second.updates).toBe(first.updates + 7)
  })

  test('truncated, corrupt and foreign files, other models: coded errors, nothing changed', async () => {
    const path = join(folder, 'sound')
    const trainer = make()
    await trainer.fit(data, { epochs: 2, seed: 1, checkpoint: { path, everyUpdates: 3 } })
    const bytes = await readFile(path)
    const reader = make()
    const before = await stateOf(reader)
    const refuses = async (content: Uint8Array, code: RegExp) => {
      const broken = join(folder, 'broken')
      await writeFile(broken, content)
      await expect(reader.resume(broken)).rejects.toMatchObject({ code: expect.stringMatching(code) })
      expect(await stateOf(reader)).toEqual(before)
    }
    for (const length of [0, 7, 8, 100, bytes.length - 1]) await refuses(bytes.subarray(0, length), /ERR_FILE/)
    const rest = new Random(5)
    for (let i = 0; i < 300; i++) {
      const copy = Uint8Array.from(bytes)
      // The header alone: a changed element is a sound file.
      const at = Math.floor(rest.uniform([1]).item() * 4000)
      copy[at] = (copy[at] as number) ^ (1 << (i % 8))
      const broken = join(folder, 'broken')
      await writeFile(broken, copy)
      const outcome = await reader.resume(broken).then(
        () => 'taken',
        (error: { code?: string }) => error.code,
      )
      if (outcome === 'taken') {
        await reader.resume(path)
        continue
      }
      expect(outcome).toMatch(/ERR_(FILE|STATE)/)
    }
    const small = new MBSGD(new nn.Sequential(new nn.Linear(6, 3)), { loss: loss.crossEntropy, batchSize: 8, optimizer: optim.adam() })
    await expect(small.resume(path)).rejects.toMatchObject({ code: 'ERR_STATE' })
    const plain = new MBSGD(make().model, { loss: loss.crossEntropy, batchSize: 8, learningRate: 0.1 })
    await expect(plain.resume(path)).rejects.toMatchObject({ code: 'ERR_STATE' })
    await expect(plain.resume(join(folder, 'nowhere'))).rejects.toMatchObject({ code: 'ERR_FILE' })
    const foreign = join(folder, 'foreign')
    await copyFile(new URL('../../package.json', import.meta.url), foreign)
    await expect(plain.resume(foreign)).rejects.toMatchObject({ code: 'ERR_FILE' })
  })

  test('misspelled and unfit options are refused before anything is changed', async () => {
    const trainer = make()
    const bad = (checkpoint: object) => expect(trainer.fit(data, { epochs: 1, checkpoint: checkpoint as never })).rejects
    await bad({ path: join(folder, 'x'), everyUpdate: 3 }).toThrow(/did you mean 'everyUpdates'/)
    await bad({ path: '' }).toMatchObject({ code: 'ERR_VALUE' })
    await bad({ path: 'x', keep: 0 }).toMatchObject({ code: 'ERR_RANGE' })
    await bad({ path: 'x', everySeconds: 0 }).toMatchObject({ code: 'ERR_RANGE' })
    await bad({ path: join(folder, 'no', 'folder') }).toMatchObject({ code: 'ERR_FILE' })
    expect(trainer.epoch).toBe(0)
  })
})
