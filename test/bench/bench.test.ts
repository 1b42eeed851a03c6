import { describe, expect, test } from 'vitest'
import { contestants, network, trainerOf } from '../../bench/contestants.js'
import { floorProducts } from '../../bench/floor/floor.js'
import { type Contestant, median, quantile, race, ratio, spread } from '../../bench/measure.js'
import { PlainNetwork, shuffle } from '../../bench/plain-loops.js'
import { generator, learningRate, samplesOf, type Workload, workloads } from '../../bench/workloads.js'
import { tensor } from '../../lib/index.js'

/** Of each kind of network, small. */
const small: Workload[] = [
  { name: 'S1', kind: 'update', layers: [2, 2, 1], activation: 'sigmoid', activeOutput: true, loss: 'squaredError', batch: 1, samples: 7 },
  { name: 'S2', kind: 'update', layers: [6, 5, 4], activation: 'relu', loss: 'crossEntropy', batch: 1, samples: 5 },
  { name: 'S3', kind: 'update', layers: [6, 5, 4, 3], activation: 'relu', loss: 'crossEntropy', batch: 4, samples: 12 },
  { name: 'S4', kind: 'update', layers: [3, 4, 2], activation: 'sigmoid', loss: 'squaredError', batch: 3, samples: 6 },
  { name: 'S5', kind: 'update', layers: [3, 4, 1], activation: 'tanh', loss: 'squaredError', batch: 3, samples: 6 },
]

describe('plain loops', () => {
  test.each(small)('$name learns what the library learns', (workload) => {
    const { layers, batch, samples } = workload
    const { x, y } = samplesOf(workload)
    const inputs = layers[0] as number
    const perTarget = y.length / samples
    const model = network(workload)
    const trainer = trainerOf(workload, model)
    const plain = new PlainNetwork(
      workload,
      model.parameters().map((p) => p.data),
    )
    const order = Int32Array.from({ length: samples }, (_, i) => i)
    for (let epoch = 0; epoch < 3; epoch++) {
      let total = 0
      for (let at = 0; at < samples; at += batch) {
        const rows = tensor(x.slice(at * inputs, (at + batch) * inputs), { shape: [batch, inputs] })
        const targets = y.slice(at * perTarget, (at + batch) * perTarget)
        const shape = workload.loss === 'crossEntropy' ? [batch] : [batch, perTarget]
        total += batch * trainer.step(rows, tensor(targets, { shape }))
      }
      expect(plain.epoch(x, y, order, learningRate) / (total / samples)).toBeCloseTo(1, 5)
    }
    model.parameters().forEach((p, i) => {
      const layer = plain.layers[i >> 1] as (typeof plain.layers)[number]
      const own = i % 2 ? layer.bias : layer.weight
      const scale = Math.max(...Array.from(p.data, Math.abs))
      expect(Math.max(...Array.from(own, (value, k) => Math.abs(value - (p.data[k] as number))))).toBeLessThanOrEqual(1e-6 * scale)
    })
  })

  test('shuffle gives a permutation, another one each time', () => {
    const next = generator(1)
    const order = Int32Array.from({ length: 50 }, (_, i) => i)
    shuffle(order, next)
    const first = [...order]
    shuffle(order, next)
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i))
    expect([...order]).not.toEqual(first)
  })
})

test.each(workloads.filter(({ stages }) => stages))(
  '$name: a network of images, signals or sequences takes its samples, and learns',
  (workload) => {
    const { batch, image = [], layers } = workload
    const model = network(workload)
    const x = samplesOf({ ...workload, samples: 2 }).x
    const outputs = model.predict(tensor(x, { shape: [2, ...image] }))
    expect(outputs.shape).toEqual([2, layers[1]])
    expect(batch).toBeGreaterThanOrEqual(8)
    const trainer = trainerOf(workload, model)
    const step = () => trainer.step(tensor(x, { shape: [2, ...image] }), Int32Array.of(0, 1))
    const costs = [step(), step(), step(), step()]
    expect(costs[3]).toBeLessThan(costs[0] as number)
    expect(contestants(workload, 'sgd', false).map(({ name }) => name)).toEqual(['js'])
  },
)

test('the floor is the products of an update, without the input gradient of the first layer', () => {
  expect(floorProducts([784, 512, 256, 10], 128).map(Object.values)).toEqual([
    // m, n, k, transA, transB, update
    [128, 512, 784, false, true, false],
    [128, 256, 512, false, true, false],
    [128, 10, 256, false, true, false],
    [128, 256, 10, false, false, false],
    [10, 256, 128, true, false, true],
    [128, 512, 256, false, false, false],
    [256, 512, 128, true, false, true],
    [512, 784, 128, true, false, true],
  ])
  expect(floorProducts([784, 128, 10], 1, true)).toHaveLength(2)
})

describe('contestants', () => {
  const kinds: Workload[] = [
    { ...(small[0] as Workload), kind: 'fit', samples: 4, epochs: 5 },
    small[3] as Workload,
    { ...(small[1] as Workload), kind: 'stream' },
    { ...(small[1] as Workload), kind: 'prediction' },
  ]
  test.each(kinds)('of kind $kind make as many as they are asked for', async (workload) => {
    for (const contestant of contestants(workload, 'sgd', false)) {
      expect((await contestant.run(6)).updates).toBe(6)
      contestant.close?.()
    }
  })
})

describe('measuring', () => {
  test('quantiles lie between neighbours', () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 2, 3])).toBe(2.5)
    expect(quantile([0, 10], 0.25)).toBe(2.5)
    expect(spread([1, 2, 3, 4, 5])).toBeCloseTo(1 / 3)
  })

  test('ratios are taken turn by turn', () => {
    expect(ratio([10, 200, 30], [1, 20, 1])).toBe(10)
  })

  test('contestants take turns, each with as many updates as fill its time, a slow one with a few', async () => {
    const log: string[] = []
    /** Slow when cold, as code is before it was compiled. */
    const contestant = (name: string, perUpdate: number): Contestant => {
      let cold = 5
      return {
        name,
        run: async (updates) => {
          log.push(`${name} ${updates}`)
          const seconds = updates * perUpdate + cold
          cold = 0
          return { updates, seconds }
        },
      }
    }
    const times = await race([contestant('a', 0.001), contestant('b', 2)], { repetitions: 3, seconds: 1 })
    expect(log.slice(-6)).toEqual(['a 1000', 'b 2', 'a 1000', 'b 2', 'a 1000', 'b 2'])
    expect(times.a?.map(Math.round)).toEqual([1000, 1000, 1000])
    expect(times.b).toEqual([2e6, 2e6, 2e6])
  })
})

test('samples are those of the workload', () => {
  for (const workload of small) {
    const { x, y, samples } = samplesOf(workload)
    const outputs = workload.layers[workload.layers.length - 1] as number
    expect(x.length).toBe(samples * (workload.layers[0] as number))
    expect(y.length).toBe(workload.loss === 'crossEntropy' ? samples : samples * outputs)
    expect(Math.min(...x)).toBeLessThan(0)
    expect(Math.max(...x)).toBeLessThan(1)
    if (workload.loss === 'crossEntropy') expect(Math.max(...y)).toBeLessThan(outputs)
    expect(workload.samples % workload.batch).toBe(0)
  }
})
