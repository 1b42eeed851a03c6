/** Programs of a trainer from update to update: which are kept, when they are freed, and what an exception in between loses (nothing). */

import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Executable } from '../../lib/backend/backend.js'
import { engine as current } from '../../lib/backend/select.js'
import { FBGD, loss, MBSGD, nn, optim, Random, SGD, setBackend, type Tensor, tensor } from '../../lib/index.js'
import { BoundedCache } from '../../lib/util/bounded-cache.js'
import { codeOf } from '../backend/engines.js'
import { announce, present } from '../support/engines.js'
import { snapshot } from '../support/models.js'

announce('kept programs')
afterAll(() => setBackend(present.includes('native') ? 'native' : 'js'))

const rng = new Random(5)
const dataOf = (samples: number) => ({ x: rng.normal([samples, 4]), y: Int32Array.from({ length: samples }, (_, i) => i % 3) })

const network = (hidden = 5) => {
  const init = new Random(1)
  return new nn.Sequential(new nn.Linear(4, hidden, { rng: init }), new nn.ReLU(), new nn.Linear(hidden, 3, { rng: init }))
}

describe('a bounded cache', () => {
  const held = (bytes: number) => ({ bytes, release: vi.fn() })

  test('frees what has not been used for longest, as soon as all together hold too much', () => {
    const cache = new BoundedCache<ReturnType<typeof held>>(100)
    const [a, b, c, d] = [held(40), held(40), held(40), held(300)]
    cache.set('a', a)
    cache.set('b', b)
    expect(cache.get('a')).toBe(a)
    cache.set('c', c)
    expect([a, b, c].map(({ release }) => release.mock.calls.length)).toEqual([0, 1, 0])
    expect(cache.get('b')).toBeUndefined()
    // One alone may be larger than the bound.
    cache.set('d', d)
    expect([cache.size, cache.bytes, cache.get('d')]).toEqual([1, 300, d])
    expect([a, c, d].map(({ release }) => release.mock.calls.length)).toEqual([1, 1, 0])
    cache.clear()
    expect([cache.size, d.release.mock.calls.length]).toEqual([0, 1])
  })

  test('a value in the place of another frees that one', () => {
    const cache = new BoundedCache<ReturnType<typeof held>>(100)
    const [a, b] = [held(10), held(20)]
    cache.set('a', a)
    cache.set('a', a)
    expect(a.release).not.toHaveBeenCalled()
    cache.set('a', b)
    expect(a.release).toHaveBeenCalledOnce()
    expect(cache.bytes).toBe(20)
  })
})

describe.each(present)('on %s', (engine) => {
  const alive = new Set<Executable>()
  let compiled = 0
  beforeEach(() => {
    setBackend(engine)
    alive.clear()
    compiled = 0
    const backend = current()
    const compile = backend.compile.bind(backend)
    vi.spyOn(backend, 'compile').mockImplementation((program) => {
      const executable = compile(program)
      const release = executable.release.bind(executable)
      executable.release = () => {
        alive.delete(executable)
        release()
      }
      compiled++
      alive.add(executable)
      return executable
    })
  })
  afterEach(() => {
    vi.restoreAllMocks()
  })
  const compiledBy = async (body: () => unknown) => {
    const before = compiled
    await body()
    return compiled - before
  }

  test('a fit like the one before compiles nothing, nor does an evaluation like the one before', async () => {
    const [set, validation, larger] = [dataOf(10), dataOf(7), dataOf(11)]
    const trainer = new MBSGD(network(), { loss: loss.crossEntropy, optimizer: optim.adam(), batchSize: 4 })
    const train = (data = set) => trainer.fit(data, { epochs: 2, seed: 1, validation, metrics: ['accuracy'] })
    expect(await compiledBy(train)).toBeGreaterThan(0)
    expect(await compiledBy(train)).toBe(0)
    expect(await compiledBy(() => train(larger))).toBeGreaterThan(0)
    expect(await compiledBy(train)).toBe(0)
    expect(await compiledBy(() => trainer.evaluate(set))).toBeGreaterThan(0)
    expect(await compiledBy(() => trainer.evaluate(set))).toBe(0)
    // The same costs as those of a trainer that has kept nothing.
    const fresh = new MBSGD(network(), { loss: loss.crossEntropy, optimizer: optim.adam(), batchSize: 4 })
    await fresh.fit(set, { epochs: 4, seed: 1 })
    const again = new MBSGD(network(), { loss: loss.crossEntropy, optimizer: optim.adam(), batchSize: 4 })
    for (let i = 0; i < 4; i++) await again.fit(set, { epochs: 1, seed: 1 })
    expect(snapshot(again.model)).toEqual(snapshot(fresh.model))
  })

  test('functions of a user are looked at anew by each fit', async () => {
    const set = { x: dataOf(6).x, y: new Random(2).normal([6, 3]) }
    let factor = 1
    const own = Object.assign((p: Tensor, y: Tensor) => p.sub(y).square().mul(factor).mean(1), {})
    const trainer = new FBGD(network(), { loss: own, learningRate: 0.01 })
    const cost = async () => (await trainer.fit(set, { epochs: 1 })).last?.cost as number
    const first = await cost()
    factor = 100
    expect((await cost()) / first).toBeGreaterThan(50)
  })

  test('batches of many shapes in turn are compiled once each', async () => {
    const trainer = new MBSGD(network(), { loss: loss.crossEntropy, learningRate: 0.01, batchSize: 4 })
    const batches = Array.from({ length: 40 }, (_, i) => dataOf(i + 1))
    const round = () => {
      for (const { x, y } of batches) trainer.step(x, y)
    }
    expect(await compiledBy(round)).toBe(40)
    expect(await compiledBy(round)).toBe(0)
  })

  test('programs together hold no more than a bound, in a loop that never waits', () => {
    const trainer = new MBSGD(network(512), { loss: loss.crossEntropy, learningRate: 0.01, batchSize: 4 })
    const external = process.memoryUsage().external
    const held = () => [...alive].reduce((sum, { program }) => sum + program.arenaBytes, 0)
    let most = 0
    let all = 0
    for (let i = 0; i < 40; i++) {
      const { x, y } = dataOf(1500 + i)
      trainer.step(x, y)
      most = Math.max(most, held())
    }
    for (const { program } of alive) all = Math.max(all, program.arenaBytes)
    expect(40 * all).toBeGreaterThan(2 ** 27)
    expect(most).toBeLessThan(2 ** 27 + all)
    // Freed at once, and not when the event loop turns. Bun's number falls when garbage is collected, whatever was freed before.
    if (engine === 'native' && !('bun' in process.versions))
      expect(process.memoryUsage().external - external).toBeLessThan(2 ** 27 + 2 ** 26)
  })

  test('a program that was released is not run, and releasing it twice does nothing', () => {
    const executable = current().compile({
      dtype: 'float32',
      arenaBytes: 64,
      stateBytes: 0,
      report: 0,
      inputs: [],
      slots: [],
      steps: [],
      atomic: true,
    })
    const state = current().createState(64, [])
    executable.run(undefined, [])
    executable.release()
    executable.release()
    state.release()
    state.release()
    if (engine !== 'native') return
    expect(codeOf(() => executable.run(undefined, []))).toBe('ERR_PROGRAM')
    expect(codeOf(() => state.read(0, new Float32Array(1)))).toBe('ERR_PROGRAM')
  })

  test('parameters of a head that was taken away keep their values', () => {
    const model = network()
    const head = model.layers[2] as nn.Linear
    const trainer = new MBSGD(model, { loss: loss.crossEntropy, learningRate: 0.1, batchSize: 4 })
    const { x, y } = dataOf(6)
    trainer.step(x, y)
    const trained = snapshot(head)
    ;(model.layers as nn.Module[])[2] = new nn.Linear(5, 3, { rng: new Random(9) })
    trainer.step(x, y)
    expect(snapshot(head)).toEqual(trained)
    ;(model.layers as nn.Module[])[2] = head
    trainer.step(x, y)
    expect(snapshot(head)).not.toEqual(trained)
  })

  describe('a model that reads values', () => {
    /** Fails at its `failing`-th training forward; notes the weight that each sees. */
    class Reading extends nn.Module {
      linear = new nn.Linear(4, 3, { rng: new Random(1) })
      readonly seen: number[][] = []
      failing = Infinity
      constructor(failing = Infinity) {
        super()
        this.failing = failing
      }
      override forward(x: Tensor): Tensor {
        if (!Number.isFinite(x.sum().item())) throw new Error('not finite')
        if (this.seen.length === this.failing) throw new Error('this batch is bad')
        if (this.training) this.seen.push(Array.from(this.linear.weight.mul(1).data))
        return this.linear.forward(x)
      }
    }

    test('an exception in forward loses no update, within an epoch and between two', async () => {
      const set = dataOf(6)
      const options = { loss: loss.crossEntropy, optimizer: optim.adam({ learningRate: 0.05 }) }
      const whole = new SGD(new Reading(), options)
      await whole.fit(set, { epochs: 3, seed: 4 })
      const { seen } = whole.model as Reading
      for (const failing of [6 + 3, 6, 1]) {
        const model = new Reading(seen.length - 18 + failing)
        const trainer = new SGD(model, options)
        await expect(trainer.fit(set, { epochs: 3, seed: 4 })).rejects.toThrow('this batch is bad')
        expect([trainer.updates, trainer.epoch]).toEqual([failing, Math.floor(failing / 6)])
        expect(Array.from(model.linear.weight.peek())).toEqual(seen[seen.length - 18 + failing])
        // The next fit goes on where this one was stopped.
        model.failing = Infinity
        await trainer.fit(set, { epochs: 3 - trainer.epoch, seed: 4 })
        expect(snapshot(model)).toEqual(snapshot(whole.model))
      }
    })

    test('FBGD trains it eagerly whatever the number of samples', async () => {
      const set = dataOf(FBGD.chunkRows + 6)
      const [model, plain] = [new Reading(), new nn.Sequential(new nn.Linear(4, 3, { rng: new Random(1) }))]
      const trainers = [model, plain].map((m) => new FBGD(m, { loss: loss.crossEntropy, learningRate: 0.5 }))
      const costs = []
      for (const trainer of trainers) costs.push((await trainer.fit(set, { epochs: 3 })).last?.cost as number)
      expect(costs[0]).toBeCloseTo(costs[1] as number, 5)
      const [own, other] = [model.linear.weight, (plain.layers[0] as nn.Linear).weight].map((w) => tensor(w.peek()))
      expect(
        (own as Tensor)
          .sub(other as Tensor)
          .abs()
          .max()
          .item(),
      ).toBeLessThan(1e-5)
    })
  })
})
