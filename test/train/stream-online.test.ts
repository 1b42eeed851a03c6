/** Learning online: the short way for single samples against `step`, back-pressure, and items that are none. */

import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loss, nn, optim, Random, SGD, type StreamItem, setBackend, Tensor, tensor } from '../../lib/index.js'
import { announce, present } from '../support/engines.js'
import { snapshot } from '../support/models.js'

announce('streams')

const rng = new Random(5)
const m = 200
const x = rng.normal([m, 6])
const rows = Array.from({ length: m }, (_, i) => x.data.slice(6 * i, 6 * i + 6) as Float32Array)
const labels = Array.from({ length: m }, (_, i) => ((rows[i]?.[0] as number) > 0 ? 1 : 0))

const network = (outputs: number, dropout = 0) => {
  const init = new Random(1)
  return new nn.Sequential(
    new nn.Linear(6, 5, { rng: init }),
    new nn.Tanh(),
    ...(dropout ? [new nn.Dropout(dropout)] : []),
    new nn.Linear(5, outputs, { rng: init }),
  )
}
const classifier = (model: nn.Module = network(2)) =>
  new SGD(model, {
    loss: loss.crossEntropy,
    optimizer: optim.adam({ learningRate: 0.01 }),
    schedule: optim.schedules.inverseTime({ decay: 1e-3 }),
  })
const binary = (its: typeof loss.bceWithLogits, outputs = 1, last: nn.Module = new nn.Identity()) =>
  new SGD(new nn.Sequential(network(outputs), last), { loss: its, learningRate: 0.05 })
const regressor = (outputs: number) => new SGD(network(outputs), { loss: loss.mse, learningRate: 0.05 })

const classItems = (): StreamItem[] => rows.map((row, i) => ({ x: row, y: labels[i] as never }))

describe.each(present)('on %s', (engine) => {
  // The engine of the whole test: a stream asks for it again whenever it goes on.
  beforeAll(() => setBackend(engine))
  afterAll(() => setBackend(present.includes('native') ? 'native' : 'js'))
  const on = <T>(body: () => T): T => body()
  /** The same updates one by one. */
  const stepped = (trainer: SGD, items: readonly StreamItem[]) =>
    on(() => items.map((item) => trainer.step([Array.from(item.x as Float32Array)], [item.y as never])))

  test.each([
    ['typed arrays and labels', () => classifier(), classItems],
    ['plain arrays', () => classifier(), () => classItems().map(({ x: row, y }) => ({ x: Array.from(row as Float32Array), y }))],
    [
      'float64 arrays into a float32 model',
      () => classifier(),
      () => classItems().map(({ x: row, y }) => ({ x: Float64Array.from(row as Float32Array), y })),
    ],
    ['numbers to learn', () => regressor(1), () => rows.map((row) => ({ x: row, y: row[1] as never }))],
    ['logits of 0 or 1', () => binary(loss.bceWithLogits), classItems],
    ['probabilities', () => binary(loss.bce, 1, new nn.Sigmoid()), () => rows.map((row, i) => ({ x: row, y: (i / m) as never }))],
    ['several probabilities', () => binary(loss.bceWithLogits, 3), () => rows.map((row, i) => ({ x: row, y: [0, 1, i / m] }))],
    ['signs', () => binary(loss.hinge), () => rows.map((row, i) => ({ x: row, y: (labels[i] === 1 ? 1 : -1) as never }))],
    [
      'labels with weights of classes',
      () => new SGD(network(2), { loss: loss.crossEntropy.with({ weight: [1, 3] }), learningRate: 0.05 }),
      classItems,
    ],
    ['several numbers', () => regressor(3), () => rows.map((row) => ({ x: row, y: Array.from(row.slice(0, 3)) }))],
  ])('%s: the same bits as step', async (_name, make, items) => {
    const [stream, steps] = [make(), make()]
    const costs: number[] = []
    const end = await on(() => stream.fitStream(items(), { onUpdate: ({ cost }) => void costs.push(cost) }))
    expect(costs).toEqual(stepped(steps, items()))
    expect(snapshot(stream.model)).toEqual(snapshot(steps.model))
    expect([end.updates, end.samples, stream.updates]).toEqual([m, m, m])
  })

  test('random draws too', async () => {
    const [stream, steps] = [classifier(network(2, 0.5)), classifier(network(2, 0.5))]
    for (const t of [stream, steps]) await on(() => t.fit({ x, y: Int32Array.from(labels) }, { epochs: 1, seed: 3 }))
    await on(() => stream.fitStream(classItems()))
    stepped(steps, classItems())
    expect(snapshot(stream.model)).toEqual(snapshot(steps.model))
  })

  test('an async source, one item ahead at most', async () => {
    const [stream, steps] = [classifier(), classifier()]
    let [made, most] = [0, 0]
    async function* source() {
      for (const item of classItems()) {
        most = Math.max(most, ++made - stream.updates)
        yield item
      }
    }
    await on(() => stream.fitStream(source()))
    stepped(steps, classItems())
    expect(snapshot(stream.model)).toEqual(snapshot(steps.model))
    expect(most).toBe(1)
  })

  test('what is changed between two items counts: parameters, frozen layers, other trainers', async () => {
    const run = async (learn: (t: SGD, item: StreamItem) => unknown) => {
      const trainer = classifier()
      const [first, second] = trainer.model
        .children()
        .map(([, child]) => child)
        .filter((c): c is nn.Linear => c instanceof nn.Linear)
      const other = new SGD(trainer.model, { loss: loss.crossEntropy, learningRate: 0.1 })
      const items = classItems()
      for (const [i, item] of items.entries()) {
        if (i === 20) (first as nn.Linear).weight.assign(tensor(new Float32Array(30).fill(0.1), { shape: [5, 6] }))
        if (i === 40) second?.freeze()
        if (i === 60) second?.unfreeze()
        if (i === 80) other.step([Array.from(item.x as Float32Array)], [item.y as never])
        await learn(trainer, item)
      }
      return snapshot(trainer.model)
    }
    const single = await on(() => run((t, item) => t.step([Array.from(item.x as Float32Array)], [item.y as never])))
    // One stream through all of it: the source makes the changes.
    const trainer = classifier()
    const [first, second] = trainer.model
      .children()
      .map(([, child]) => child)
      .filter((c): c is nn.Linear => c instanceof nn.Linear)
    const other = new SGD(trainer.model, { loss: loss.crossEntropy, learningRate: 0.1 })
    function* source() {
      for (const [i, item] of classItems().entries()) {
        if (i === 20) (first as nn.Linear).weight.assign(tensor(new Float32Array(30).fill(0.1), { shape: [5, 6] }))
        if (i === 40) second?.freeze()
        if (i === 60) second?.unfreeze()
        if (i === 80) other.step([Array.from(item.x as Float32Array)], [item.y as never])
        yield item
      }
    }
    await on(() => trainer.fitStream(source()))
    expect(snapshot(trainer.model)).toEqual(single)
  })

  test('single samples, batches and tensors in one stream', async () => {
    const [stream, steps] = [classifier(), classifier()]
    const items: StreamItem[] = [
      ...classItems().slice(0, 5),
      { x: new Tensor([3, 6], 'float32', x.data.slice(0, 18)), y: labels.slice(0, 3) },
      ...classItems().slice(5, 9),
      { x: tensor(rows[3] as Float32Array), y: tensor([labels[3] as number], { dtype: 'int32' }) },
    ]
    await on(() => stream.fitStream(items))
    on(() => {
      for (const item of items.slice(0, 5)) steps.step([Array.from(item.x as Float32Array)], [item.y as never])
      steps.step(new Tensor([3, 6], 'float32', x.data.slice(0, 18)), labels.slice(0, 3))
      for (const item of items.slice(6, 10)) steps.step([Array.from(item.x as Float32Array)], [item.y as never])
      steps.step([Array.from(rows[3] as Float32Array)], [labels[3] as number])
    })
    expect(snapshot(stream.model)).toEqual(snapshot(steps.model))
    expect(stream.updates).toBe(11)
  })

  test.each([
    ['NaN', { x: [1, NaN, 3, 4, 5, 6], y: 0 }, 'ERR_DATA'],
    ['beyond float32', { x: [1, 1e39, 3, 4, 5, 6], y: 0 }, 'ERR_DATA'],
    ['too few features', { x: [1, 2], y: 0 }, 'ERR_SHAPE'],
    ['a label outside', { x: [1, 2, 3, 4, 5, 6], y: 2 }, 'ERR_LABEL'],
    ['half a label', { x: [1, 2, 3, 4, 5, 6], y: 0.5 }, 'ERR_LABEL'],
    ['no target', { x: [1, 2, 3, 4, 5, 6] }, 'ERR_VALUE'],
    ['a text', { x: [1, '2', 3, 4, 5, 6], y: 0 }, 'ERR_VALUE'],
    ['nothing', null, 'ERR_VALUE'],
  ])('%s, after good ones: a coded error, nothing learnt from it', async (_name, bad, code) => {
    const [stream, steps] = [classifier(), classifier()]
    await expect(on(() => stream.fitStream([...classItems().slice(0, 50), bad as never]))).rejects.toMatchObject({ code })
    stepped(steps, classItems().slice(0, 50))
    expect(stream.updates).toBe(50)
    expect(snapshot(stream.model)).toEqual(snapshot(steps.model))
  })

  test.each([
    ['a probability above 1', loss.bceWithLogits, 1.5, 'ERR_RANGE'],
    ['a negative probability', loss.bceWithLogits, -0.1, 'ERR_RANGE'],
    ['a probability that is none', loss.bceWithLogits, Number.NaN, 'ERR_DATA'],
    ['no sign', loss.hinge, 0, 'ERR_RANGE'],
    ['nearly a sign', loss.hinge, 0.9999, 'ERR_RANGE'],
  ])('%s, after good ones: a coded error, nothing learnt from it', async (_name, its, bad, code) => {
    const [stream, steps] = [binary(its), binary(its)]
    const good = rows.slice(0, 50).map((row) => ({ x: row, y: 1 as never }))
    await expect(on(() => stream.fitStream([...good, { x: rows[0] as Float32Array, y: bad as never }]))).rejects.toMatchObject({ code })
    stepped(steps, good)
    expect(stream.updates).toBe(50)
    expect(snapshot(stream.model)).toEqual(snapshot(steps.model))
  })

  test('a cost that is not finite is found before the update', async () => {
    const trainer = regressor(1)
    const good = rows.slice(0, 30).map((row) => ({ x: row, y: row[1] as never }))
    await expect(on(() => trainer.fitStream([...good, { x: rows[0] as Float32Array, y: 3e38 as never }]))).rejects.toMatchObject({
      code: 'ERR_DIVERGED',
    })
    expect(trainer.updates).toBe(30)
    expect(Object.values(snapshot(trainer.model)).flat().every(Number.isFinite)).toBe(true)
  })

  describe('a source that has nothing to give', () => {
    /** Gives five items, then waits for ever. */
    const idle = (closed: () => void) => ({
      given: 0,
      [Symbol.asyncIterator]() {
        return this
      },
      next() {
        return this.given++ < 5 ? Promise.resolve({ done: false, value: classItems()[0] }) : new Promise<never>(() => undefined)
      },
      async return() {
        closed()
        return { done: true as const, value: undefined }
      },
    })
    async function* generator(closed: () => void) {
      try {
        yield* classItems().slice(0, 5)
        await new Promise(() => undefined)
      } finally {
        closed()
      }
    }
    const readable = (closed: () => void) => {
      const stream = new Readable({
        objectMode: true,
        read: () => undefined,
        destroy: (error, done) => {
          closed()
          done(error)
        },
      })
      for (const item of classItems().slice(0, 5)) stream.push(item)
      return stream
    }
    const web = (closed: () => void) =>
      new ReadableStream({
        start: (controller) => {
          for (const item of classItems().slice(0, 5)) controller.enqueue(item)
        },
        cancel: closed,
      }) as unknown as AsyncIterable<StreamItem>
    /** Its items are there at once; the sixth is a promise that is never kept. */
    function* promises(closed: () => void) {
      try {
        yield* classItems().slice(0, 5)
        yield new Promise(() => undefined) as never
      } finally {
        closed()
      }
    }

    test.each([
      ['an iterator', idle, true],
      // A generator that waits ends when its wait does: nobody can say so earlier.
      ['an async generator', generator, false],
      ["Node's stream", readable, true],
      ['a stream of the web', web, true],
      ['a promise', promises, true],
    ] as const)('%s: an abort ends the stream and closes the source', async (_name, make, closes) => {
      const trainer = classifier()
      let closed = 0
      const stop = new AbortController()
      const source = make(() => void closed++) as AsyncIterable<StreamItem>
      const running = on(() => trainer.fitStream(source, { signal: stop.signal }))
      while (trainer.updates < 5) await new Promise((resolve) => setImmediate(resolve))
      setTimeout(() => stop.abort(new Error('enough')), 5)
      await expect(running).rejects.toThrow('enough')
      await new Promise((resolve) => setImmediate(resolve))
      expect([trainer.updates, closed]).toEqual([5, closes ? 1 : 0])
    })

    test('an error of the learner, a full count and an abort within the loop close it too', async () => {
      for (const way of ['full', 'aborted', 'failed']) {
        const stop = new AbortController()
        const options = way === 'full' ? { maxUpdates: 3 } : { onUpdate: () => (way === 'aborted' ? stop.abort() : expect.fail('mine')) }
        let closed = 0
        const running = on(() => classifier().fitStream(idle(() => void closed++) as never, { signal: stop.signal, ...options }))
        await running.catch(() => undefined)
        expect(closed).toBe(1)
      }
    })
  })

  test('bad items are left out where that is asked for, and counted', async () => {
    const bad = [
      { x: [1, NaN, 3, 4, 5, 6], y: 0 },
      { x: [1, 2], y: 0 },
      { x: [1, 2, 3, 4, 5, 6], y: 2 },
      { x: [1, 2, 3, 4, 5, 6] },
      null,
    ] as never[]
    const mixed = () => classItems().flatMap((item, i) => [item, ...(i < bad.length ? [bad[i] as never] : [])])
    const [skipping, told, steps] = [classifier(), classifier(), classifier()]
    const end = await on(() => skipping.fitStream(mixed(), { onError: 'skip' }))
    const errors: unknown[] = []
    await on(() => told.fitStream(mixed(), { onError: ({ code }, item) => void errors.push([code, item]) }))
    stepped(steps, classItems())
    expect([end.updates, end.skipped]).toEqual([m, bad.length])
    expect(errors.map((error) => (error as unknown[])[0])).toEqual(['ERR_DATA', 'ERR_SHAPE', 'ERR_LABEL', 'ERR_VALUE', 'ERR_VALUE'])
    expect(errors.map((error) => (error as unknown[])[1])).toEqual(bad)
    for (const trainer of [skipping, told]) expect(snapshot(trainer.model)).toEqual(snapshot(steps.model))
    const values = rows.map((row, i) => ({ x: row, y: (i % 40 === 7 ? 3e38 : row[1]) as never }))
    const wild = regressor(1)
    expect(await on(() => wild.fitStream(values, { onError: 'skip' }))).toMatchObject({ updates: m - 5, skipped: 5 })
    const calm = regressor(1)
    await on(() => calm.fitStream(values.filter(({ y: target }) => target !== 3e38)))
    expect(snapshot(wild.model)).toEqual(snapshot(calm.model))
  })

  test("what is not an item's fault ends the stream all the same", async () => {
    const trainer = classifier()
    function* broken() {
      yield* classItems().slice(0, 3)
      throw new Error('the source broke')
    }
    await expect(on(() => trainer.fitStream(broken(), { onError: 'skip' }))).rejects.toThrow('the source broke')
    await expect(on(() => trainer.fitStream(classItems(), { onError: 'ignore' as never }))).rejects.toMatchObject({ code: 'ERR_OPTION' })
    await expect(on(() => trainer.fitStream(classItems(), { signal: {} as never }))).rejects.toMatchObject({ code: 'ERR_OPTION' })
    expect(trainer.updates).toBe(3)
  })

  test('ends at maxUpdates and at the signal', async () => {
    const trainer = classifier()
    function* endless() {
      for (let i = 0; ; i++) yield classItems()[i % m] as StreamItem
    }
    expect((await on(() => trainer.fitStream(endless(), { maxUpdates: 77 }))).updates).toBe(77)
    const stop = new AbortController()
    const running = on(() => trainer.fitStream(endless(), { signal: stop.signal }))
    setTimeout(() => stop.abort(), 5)
    await expect(running).rejects.toThrow(/abort/)
    expect(trainer.updates).toBeGreaterThan(77)
  })
})
