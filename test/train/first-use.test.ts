/** What is typed first, and wrongly: each is answered before anything is changed, with what was meant. */

import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  earlyStopping,
  loss,
  MBSGD,
  minimize,
  nn,
  optim,
  progress,
  Random,
  readCsv,
  SGD,
  setBackend,
  sum,
  tensor,
} from '../../lib/index.js'
import { announce, present } from '../support/engines.js'
import { snapshot } from '../support/models.js'

announce('first use')

const rng = new Random(2)
const data = { x: rng.normal([24, 3]), y: rng.normal([24, 1]) }
const linear = () => new nn.Linear(3, 1, { rng: new Random(1) })
const trainerOf = () => new MBSGD(linear(), { loss: loss.mse, batchSize: 8, learningRate: 0.1 })

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wengert-first-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('optimisers that are none', () => {
  test.each<[string, unknown, RegExp]>([
    ['a name', 'adam', /got 'adam'; make one by optim\.adam\(\{/],
    ['a name in small letters', 'rmsprop', /optim\.rmsProp\(\{/],
    ['a function that was not called', optim.adamW, /got the function adamW itself.*optim\.adamW\(\{/],
    ['options', { learningRate: 0.1 }, /optim\.adam\(\{/],
    ['null', null, /got null/],
  ])('%s', (_name, optimizer, message) => {
    for (const make of [
      () => new SGD(linear(), { loss: loss.mse, optimizer: optimizer as never }),
      () => minimize((w) => w.square(), 3, { optimizer: optimizer as never }),
    ])
      expect(make).toThrow(expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringMatching(message) }))
  })
})

test('a loss by its name: it is a function of the library', () => {
  const given = (name: string) => () => new SGD(linear(), { loss: name as never, learningRate: 0.1 })
  expect(given('crossentropy')).toThrow(
    "SGD: expected a loss function, got 'crossentropy'; the library's are functions, such as loss.crossEntropy",
  )
  expect(given('mse')).toThrow(/loss\.mse$/)
  expect(given('something else')).toThrow(/loss\.squaredError$/)
})

test('an axis among the options is named', () => {
  const x = tensor([
    [1, 2],
    [3, 4],
  ])
  for (const call of [() => sum(x, { axis: 0 } as never), () => x.sum({ axis: 0 } as never), () => x.mean({ keepDims: true } as never)])
    expect(call).toThrow(expect.objectContaining({ code: 'ERR_AXIS', message: expect.stringMatching(/stands before the options/) }))
  expect(x.sum([0, 1]).item()).toBe(10)
})

describe('options by the words of other libraries', () => {
  test.each<[object, string]>([
    [{ lr: 0.1 }, 'learningRate'],
    [{ learning_rate: 0.1 }, 'learningRate'],
    [{ learningRate: 0.1, batch_size: 3 }, 'batchSize'],
    [{ learningRate: 0.1, criterion: 3 }, 'loss'],
    [{ learningRate: 0.1, scheduler: 3 }, 'schedule'],
    [{ learningRate: 0.1, clipnorm: 3 }, 'clipNorm'],
  ])('of a trainer: %j', (options, meant) => {
    expect(() => new MBSGD(linear(), { loss: loss.mse, batchSize: 8, ...options } as never)).toThrow(`did you mean '${meant}'?`)
  })

  test.each<[object, string]>([
    [{ n_epochs: 3 }, 'epochs'],
    [{ epochs: 3, validation_data: data }, 'validation'],
    [{ epochs: 3, random_state: 3 }, 'seed'],
    [{ epochs: 3, callback: [] }, 'callbacks'],
  ])('of fit: %j', async (options, meant) => {
    await expect(trainerOf().fit(data, options as never)).rejects.toThrow(`did you mean '${meant}'?`)
  })

  test('of an optimiser', () => {
    expect(() => optim.adam({ lr: 0.1 } as never)).toThrow("unknown option 'lr'; did you mean 'learningRate'?")
  })
})

describe('what early stopping watches is looked at before the first epoch', () => {
  test.each<[string, RegExp]>([
    ['val_loss', /did you mean 'validation\.cost'\?/],
    ['validation.loss', /did you mean 'validation\.cost'\?/],
    ['val_acc', /did you mean 'validation\.accuracy'\?/],
    ['loss', /did you mean 'cost'\?/],
    ['validation.acuracy', /did you mean 'validation\.accuracy'\?/],
    ['somethingElse', /epochs have cost, accuracy/],
    ['validation', /epochs have|did you mean/],
    ['toString', /epochs have|did you mean/],
  ])("'%s'", async (monitor, message) => {
    const trainer = new MBSGD(new nn.Linear(3, 2, { rng: new Random(1) }), { loss: loss.crossEntropy, batchSize: 8, learningRate: 0.1 })
    const labels = { x: data.x, y: new Int32Array(24).map((_, i) => i % 2) }
    const before = snapshot(trainer.model)
    const fit = trainer.fit(labels, {
      epochs: 3,
      validation: labels,
      metrics: ['accuracy'],
      callbacks: [earlyStopping({ patience: 3, monitor })],
    })
    await expect(fit).rejects.toMatchObject({ code: 'ERR_OPTION', message: expect.stringMatching(message) })
    expect([trainer.updates, snapshot(trainer.model)]).toEqual([0, before])
  })

  test('everything that epochs have may be watched', async () => {
    const mine = (prediction: unknown) => (prediction === undefined ? 0 : 1)
    const names: string[] = []
    const watched = { epochs: 2, validation: data, metrics: ['mae', 'r2', mine] as const, health: true }
    await trainerOf().fit(data, { ...watched, callbacks: [{ onStart: (_t, { numbers }) => void names.push(...numbers) }] })
    expect(names).toEqual(expect.arrayContaining(['cost', 'mae', 'validation.r2', 'validation.custom.mine', 'health.weight.gradientNorm']))
    for (const monitor of names)
      expect((await trainerOf().fit(data, { ...watched, callbacks: [earlyStopping({ patience: 3, monitor })] })).epochs).toHaveLength(2)
  })
})

describe('progress among the callbacks', () => {
  const screen = () => {
    const written: string[] = []
    return { written, isTTY: false, write: (text: string) => written.push(text) }
  }
  test('learns from the fit how many epochs there are', async () => {
    const stream = screen()
    await trainerOf().fit(data, { epochs: 8, callbacks: [progress({ stream })] })
    expect(stream.written.map((text) => text.split('  ')[0])).toEqual(['epoch 2/8', 'epoch 4/8', 'epoch 6/8', 'epoch 8/8'])
  })
  test('ends the line of a fit that stops early, and begins anew with the next', async () => {
    const stream = screen()
    const line = progress({ stream })
    const trainer = trainerOf()
    const stop = { onEpoch: ({ epoch }: { epoch: number }) => epoch !== 9 }
    for (const epochs of [8, 100]) await trainer.fit(data, { epochs, callbacks: [line, stop] })
    expect(stream.written.slice(3).map((text) => text.split('  ')[0])).toEqual(['epoch 8/8', 'epoch 1/100'])
  })
  test('without a number of epochs, as onEpoch', async () => {
    const stream = screen()
    const line = progress({ stream })
    await trainerOf().fit(data, { epochs: 3, onEpoch: line })
    line.end()
    expect(stream.written.map((text) => text.split('  ')[0])).toEqual(['epoch 3'])
  })
  test('needs no options, and a function alone is told where it belongs', async () => {
    expect(typeof progress()).toBe('function')
    await expect(trainerOf().fit(data, { epochs: 1, callbacks: [(() => undefined) as never] })).rejects.toThrow(/given as onEpoch/)
  })
})

describe('checkpoints that cannot be written', () => {
  test.each([
    ['a folder that is not there', () => join(folder, 'none', 'a.ckpt')],
    ['a folder in its place', () => folder],
    ['a file as the folder', () => join(folder, 'file', 'a.ckpt')],
  ])('%s: refused at the start', async (_name, path) => {
    await writeFile(join(folder, 'file'), '')
    const trainer = trainerOf()
    let epochs = 0
    const fit = trainer.fit(data, { epochs: 40, checkpoint: { path: path(), everyEpochs: 40 }, onEpoch: () => void epochs++ })
    await expect(fit).rejects.toMatchObject({ code: 'ERR_FILE', message: expect.stringContaining(path()) })
    expect([epochs, trainer.updates]).toEqual([0, 0])
    // The model is free, and trains.
    await trainer.fit(data, { epochs: 1 })
  })
  test('the look at the start leaves nothing behind', async () => {
    const path = join(folder, 'kept')
    await writeFile(path, 'something')
    const stop = new AbortController()
    stop.abort()
    const fit = trainerOf().fit(data, { epochs: 3, checkpoint: { path }, callbacks: [{ onStart: () => expect.fail('mine') }] })
    await expect(fit).rejects.toThrow('mine')
    expect((await readdir(folder)).filter((name) => name.includes('kept'))).toEqual(['kept'])
  })
})

test('an error says what was called', async () => {
  const trainer = trainerOf()
  const stop = new AbortController()
  const running = trainer.fit(data, { epochs: 1e9, signal: stop.signal })
  const other = new SGD(trainer.model, { loss: loss.mse, learningRate: 0.1 })
  for (const own of [trainer, other]) {
    expect(() => own.step(data.x, data.y)).toThrow(/^step: /)
    await expect(own.save(join(folder, 'busy'))).rejects.toThrow(/^save: /)
  }
  await expect(other.fitStream([{ x: [1, 2, 3], y: [1] }])).rejects.toThrow(/^(fitStream|step): /)
  await expect(trainer.fit(data, { epochs: 1 })).rejects.toThrow(/^fit: /)
  stop.abort()
  await expect(running).rejects.toThrow(/abort/)
})

test("with missing: 'mean' a record may leave out what the table leaves out somewhere, and nothing else", async () => {
  const path = join(folder, 'holes.csv')
  await writeFile(path, 'n,whole,c,name,y\n1,1,a,u,1\n3,2,,v,2\n,3,b,u,3\n')
  const { encoder } = await readCsv(path, { target: 'y', missing: 'mean' })
  const encode = encoder as (record: unknown) => { toArray(): unknown }
  expect(encode({ whole: 7, name: 'v' }).toArray()).toEqual([2, 7, 0, 0, 0, 1])
  expect(encode({ whole: 7, name: 'v', n: null, c: '' }).toArray()).toEqual([2, 7, 0, 0, 0, 1])
  for (const record of [{}, { n: 1, c: 'a', whole: 1 }, { n: 1, c: 'a', name: 'u' }, { n: 1, c: 'a', whole: null, name: 'u' }])
    expect(() => encode(record)).toThrow(expect.objectContaining({ code: 'ERR_DATA', message: expect.stringMatching(/'(whole|name)'/) }))
})

describe.each(present)('WENGERT_THREADS on %s', (engine) => {
  afterEach(() => {
    vi.unstubAllEnvs()
    setBackend(present.includes('native') ? 'native' : 'js')
  })
  test.each(['abc', '0', '-1', '1.5', '2 threads', '99999'])("'%s' is refused", (threads) => {
    vi.stubEnv('WENGERT_THREADS', threads)
    expect(() => setBackend(engine)).toThrow(
      expect.objectContaining({ code: 'ERR_RANGE', message: expect.stringMatching(/WENGERT_THREADS.*between 1 and 1024, got/) }),
    )
  })
  test.each(['', '1', ' 2 '])("'%s' is not", (threads) => {
    vi.stubEnv('WENGERT_THREADS', threads)
    setBackend(engine)
  })
})
