/** Batches of sequences of like lengths: which batches, and that they train as the same samples do with all their padding. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LengthBuckets } from '../../lib/data/length-buckets.js'
import { FBGD, loss, MBSGD, type MBSGDOptions, nn, optim, padSequences, Random, SGD, Tensor, tensor } from '../../lib/index.js'
import { announce, during, present } from '../support/engines.js'
import { snapshot } from '../support/models.js'
import { farthest } from '../support/tolerance.js'

announce('batches of like lengths')

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wengert-buckets-'))
})
afterAll(() => rm(folder, { recursive: true }))

const random = new Random(2)
const lengthsOf = (m: number, most: number) =>
  Int32Array.from({ length: m }, () => 1 + Math.floor(most * (random.uniform([]).item() as number) ** 2))

describe('which batches', () => {
  test.each([
    [53, 8, 4, 12, true],
    [53, 8, 4, 12, false],
    [64, 8, 3, 12, true],
    [7, 7, 8, 5, true],
    [40, 1, 8, 6, true],
    [200, 16, 1, 30, true],
    [3000, 2, 8, 900, true],
  ])('%i samples in batches of %i, at most %i buckets, up to %i steps', (m, size, most, longest, restCounts) => {
    const lengths = lengthsOf(m, longest)
    const { buckets, turns, rest, ...made } = new LengthBuckets(lengths, size, most, { restCounts })
    const whole = new LengthBuckets(lengths, size, most, { restCounts })
    expect(made.lengths).toBe(lengths)
    expect(buckets.length).toBeLessThanOrEqual(most)
    expect(turns.length * size + rest).toBe(m)
    expect(buckets.map(({ batches }) => batches)).toEqual(buckets.map((_, b) => turns.filter((turn) => turn === b).length))
    expect(buckets.at(-1)?.steps).toBe(Math.max(...lengths))
    for (const epoch of [0, 1]) {
      const order = new Int32Array(m)
      whole.order(order, 5, epoch)
      expect(new Set(order).size).toBe(m)
      order.forEach((sample, i) => {
        const bucket = turns[Math.floor(i / size)] ?? 0
        expect(lengths[sample]).toBeLessThanOrEqual(buckets[bucket]?.steps as number)
      })
    }
  })

  test('no other choice of buckets computes fewer steps', () => {
    for (let round = 0; round < 20; round++) {
      const lengths = lengthsOf(24, 9)
      const sorted = [...lengths].sort((a, b) => a - b)
      const { buckets } = new LengthBuckets(lengths, 3, 3)
      const made = buckets.reduce((sum, { steps, batches }) => sum + 3 * steps * batches, 0)
      let least = Infinity
      for (let a = 3; a <= 24; a += 3)
        for (let b = a; b <= 24; b += 3)
          least = Math.min(least, a * (sorted[a - 1] as number) + (b - a) * (sorted[b - 1] as number) + (24 - b) * (sorted[23] as number))
      expect(made).toBe(least)
    }
  })

  test('buckets take turns all over the epoch, and a dropped batch is of other samples each time', () => {
    const lengths = Int32Array.from({ length: 45 }, (_, i) => (i < 21 ? 2 : 9))
    const drawn = new LengthBuckets(lengths, 4, 2, { restCounts: false })
    expect(drawn.buckets.map(({ steps }) => steps)).toEqual([2, 9])
    expect(drawn.turns.join('')).toBe('10101010101')
    const dropped = new Set<number>()
    const order = new Int32Array(45)
    for (let epoch = 0; epoch < 200; epoch++) {
      drawn.order(order, 1, epoch)
      dropped.add(order[44] as number)
    }
    expect(dropped.size).toBe(21)
  })
})

/** A model of fields that reads a mask with steps of its own. */
class Masked extends nn.Module {
  readonly head: nn.Linear
  constructor(
    rng: Random,
    readonly reads = false,
  ) {
    super()
    this.head = new nn.Linear(3, 2, { rng })
  }
  override forward({ x, mask }: { x: Tensor; mask: Tensor; lengths: Tensor; age: Tensor }): Tensor {
    const kept = x.mul(mask.expandDims(2))
    if (this.reads && (kept.sum().item() as number) > 1e9) return this.head.forward(kept.sum(1))
    return this.head.forward(kept.sum(1))
  }
}

const m = 45
const lengths = lengthsOf(m, 11)
const rows = Array.from(lengths, (n) => random.normal([n, 3]))
const padded = padSequences(rows, { value: 3, steps: 13 })
const y = Int32Array.from(rows, (row) => ((row.mean().item() as number) > 0 ? 1 : 0))
const weights = Float32Array.from(y, (_, i) => 1 + (i % 3))
const labels = tensor(
  Int32Array.from({ length: m * 13 }, (_, i) => (i % 13 < (lengths[Math.floor(i / 13)] as number) ? (i * 7) % 3 : -1)),
  { shape: [m, 13] },
)
const mask = tensor(
  Float32Array.from({ length: m * 13 }, (_, i) => (i % 13 < (lengths[Math.floor(i / 13)] as number) ? 1 : 0)),
  { shape: [m, 13] },
)
const fields = { ...padded, mask, age: tensor(weights, { shape: [m, 1] }) }
const tokens = loss.crossEntropy.with({ ignoreIndex: -1 })
const head = (rng: Random, of: nn.Module) => new nn.Sequential(of, new nn.LastStep(), new nn.Linear(4, 2, { rng }))

interface Case {
  name: string
  model: (rng: Random) => nn.Module
  data: { x: object; y: Int32Array | Tensor; weights?: Float32Array | Tensor }
  loss?: MBSGDOptions['loss']
  options?: Partial<MBSGDOptions>
}

const cases: Case[] = [
  { name: 'a GRU', model: (rng) => head(rng, new nn.GRU(3, 4, { rng })), data: { x: padded, y } },
  {
    name: 'two directions, weights',
    model: (rng) => head(rng, new nn.LSTM(3, 2, { bidirectional: true, rng })),
    data: { x: padded, y, weights },
  },
  {
    name: 'an encoder, batches accumulated',
    model: (rng) =>
      new nn.Sequential(
        new nn.Linear(3, 4, { rng }),
        new nn.SinusoidalPositions(4),
        new nn.TransformerEncoder(() => new nn.TransformerEncoderLayer(4, 2, { dimFeedforward: 8, dropout: 0, rng }), 2),
        new nn.MeanOverTime(),
        new nn.Linear(4, 2, { rng }),
      ),
    data: { x: padded, y },
    options: { accumulate: 2, batchSize: 4 },
  },
  {
    name: 'a label a step, of padding anything',
    model: (rng) => new nn.Sequential(new nn.GRU(3, 4, { rng }), new nn.Linear(4, 3, { rng })),
    data: {
      x: padded,
      y: tensor(
        Int32Array.from(labels.data, (n, i) => (n < 0 ? 50 + i : n)),
        { shape: [m, 13] },
      ),
      weights,
    },
    loss: loss.crossEntropy,
  },
  {
    name: 'numbers a step, and weights of steps',
    model: (rng) => new nn.Sequential(new nn.LSTM(3, 4, { rng }), new nn.Linear(4, 2, { rng })),
    data: {
      x: padded,
      y: random.normal([m, 13, 2]),
      weights: tensor(
        Float32Array.from({ length: m * 13 }, (_, i) => (i * 7) % 4),
        { shape: [m, 13] },
      ),
    },
    loss: loss.huber,
  },
  {
    name: 'a label a step',
    model: (rng) => new nn.Sequential(new nn.GRU(3, 4, { rng }), new nn.Linear(4, 3, { rng })),
    data: { x: padded, y: labels, weights },
    loss: tokens,
  },
  { name: 'a mask beside them', model: (rng) => new Masked(rng), data: { x: fields, y } },
  { name: 'a mask beside them, eagerly', model: (rng) => new Masked(rng, true), data: { x: fields, y } },
  {
    name: 'the last batch dropped',
    model: (rng) => head(rng, new nn.RNN(3, 4, { rng })),
    data: { x: padded, y },
    options: { dropLast: true },
  },
]

const trainerOf = ({ model, options, loss: of = loss.crossEntropy }: Case, more: Partial<MBSGDOptions> = {}) =>
  new MBSGD(model(new Random(3)), {
    loss: of,
    optimizer: optim.adam({ learningRate: 0.03 }),
    batchSize: 8,
    bucketByLength: 3,
    ...options,
    ...more,
  })

/** Some rows of a tree of tensors. */
const gathered = (x: object, order: Int32Array): object =>
  x instanceof Tensor ? x.gather(tensor(order)) : Object.fromEntries(Object.entries(x).map(([name, t]) => [name, gathered(t, order)]))

describe.each(present)('on %s', (engine) => {
  test.each(cases.map((c) => [c.name, c] as const))('trains as the same batches with all their padding: %s', async (_name, c) => {
    await during(engine, async () => {
      const { batchSize = 8, accumulate = 1, dropLast = false } = c.options ?? {}
      const size = batchSize * accumulate
      // Adam would make large steps of what is rounding, as the gradient of a key's bias is.
      const plain = { optimizer: undefined, learningRate: 0.3 }
      const trainer = trainerOf(c, plain)
      const { epochs } = await trainer.fit(c.data as never, { epochs: 3, seed: 4 })
      const [by, order] = [new LengthBuckets(lengths, size, 3, { restCounts: !dropLast }), new Int32Array(m)]
      expect(by.buckets.length).toBe(3)
      const peer = trainerOf(c, { ...plain, bucketByLength: false, accumulate: 1, batchSize: size })
      for (let epoch = 0; epoch < 3; epoch++) {
        by.order(order, 4, epoch)
        let [sum, seen] = [0, 0]
        for (let at = 0; at + (dropLast ? size : 1) <= m; at += size) {
          const batch = order.slice(at, at + size)
          const given = c.data.weights
          const some = given && {
            weights: given instanceof Tensor ? given.gather(tensor(batch)) : Float32Array.from(batch, (i) => given[i] as number),
          }
          const targets =
            c.data.y instanceof Tensor
              ? c.data.y.gather(tensor(batch))
              : Int32Array.from(batch, (i) => (c.data.y as Int32Array)[i] as number)
          const cost = peer.step(gathered(c.data.x, batch) as never, targets, some)
          sum += cost * batch.length
          seen += batch.length
        }
        expect(Math.abs((epochs[epoch]?.cost as number) - sum / seen)).toBeLessThan(2e-5)
      }
      expect(trainer.updates).toBe(peer.updates)
      trainer.model.namedParameters().forEach(([, p], i) => {
        expect(farthest(p.data, peer.model.namedParameters()[i]?.[1].data as Float32Array, 2e-3)).toBe('')
      })
    })
  })

  test.each([0, 3, 5, 7, 8].map((i) => [cases[i]?.name, cases[i] as Case] as const))(
    'resumes bit for bit within an epoch: %s',
    async (_name, c) => {
      await during(engine, async () => {
        const whole = trainerOf(c)
        const expected = await whole.fit(c.data as never, { epochs: 4, seed: 4, metrics: ['accuracy'] })
        for (const which of [1, 2]) {
          const path = join(folder, `${engine} ${which}.ckpt`)
          const stop = new AbortController()
          let written = 0
          const state = () => {
            if (++written >= which) stop.abort()
            return { values: {} }
          }
          const cut = trainerOf(c).fit(c.data as never, {
            epochs: 4,
            seed: 4,
            metrics: ['accuracy'],
            callbacks: [{ state }],
            signal: stop.signal,
            checkpoint: { path, everyUpdates: 4 },
          })
          await cut.catch(() => undefined)
          const second = trainerOf(c)
          await second.resume(path)
          expect(second.updates % (expected.updates / 4)).not.toBe(0)
          const got = await second.fit(c.data as never, { epochs: 4 - second.epoch, metrics: ['accuracy'] })
          expect(got.epochs.map(({ cost, accuracy }) => [cost, accuracy])).toEqual(
            expected.epochs.slice(-got.epochs.length).map(({ cost, accuracy }) => [cost, accuracy]),
          )
          expect(snapshot(second.model)).toEqual(snapshot(whole.model))
        }
      })
    },
  )

  test('an epoch begun with other buckets is begun anew', async () => {
    await during(engine, async () => {
      const [c] = cases as [Case]
      const path = join(folder, `${engine} other.ckpt`)
      const stop = new AbortController()
      const state = () => {
        stop.abort()
        return { values: {} }
      }
      await trainerOf(c)
        .fit(c.data as never, { epochs: 2, seed: 1, callbacks: [{ state }], signal: stop.signal, checkpoint: { path, everyUpdates: 4 } })
        .catch(() => undefined)
      const second = trainerOf(c, { bucketByLength: 2 })
      await second.resume(path)
      const before = second.updates
      expect(before).toBe(4)
      await second.fit(c.data as never, { epochs: 1 })
      expect(second.updates - before).toBe(6)
    })
  })

  test('a number that is not finite is found in its update', async () => {
    await during(engine, async () => {
      const x = new Tensor(padded.x.shape, 'float32', padded.x.data.slice())
      const [by, order] = [new LengthBuckets(lengths, 8, 3), new Int32Array(m)]
      by.order(order, 4, 0)
      const update = by.turns.lastIndexOf(0)
      expect(update).toBeGreaterThan(by.turns.indexOf(2))
      x.data[(order[8 * update] as number) * 13 * 3] = 1e30
      const model = new nn.Sequential(
        new nn.Linear(3, 4, { rng: new Random(1) }),
        new nn.MeanOverTime(),
        new nn.Linear(4, 1, { rng: new Random(2) }),
      )
      const trainer = new MBSGD(model, { loss: loss.mse, learningRate: 1e-30, batchSize: 8, bucketByLength: 3 })
      const targets = tensor(Float32Array.from(y), { shape: [m, 1] })
      await expect(trainer.fit({ x: { x, lengths: padded.lengths }, y: targets }, { epochs: 2, seed: 4 })).rejects.toThrow(
        new RegExp(`update ${update + 1} \\(epoch 1\\)`),
      )
    })
  })
})

test('one program a bucket, of its steps', () => {
  const [c] = cases as [Case]
  const by = new LengthBuckets(lengths, 8, 3)
  const text = trainerOf(c).describe(c.data as never)
  for (const { steps } of by.buckets) expect(text).toMatch(new RegExp(`\\b${steps}\\b`))
  expect(trainerOf(c, { bucketByLength: true }).bucketByLength).toBe(true)
})

describe('refused, and why', () => {
  const plain = (rng: Random) => head(rng, new nn.GRU(3, 4, { rng }))
  const train = (c: Omit<Partial<Case>, 'data'> & { data?: unknown }) =>
    trainerOf({ model: plain, ...c } as Case).fit(c.data as never, { epochs: 1 })
  class Mean extends nn.Module {
    override forward(x: Tensor): Tensor {
      return x.mean(1)
    }
  }
  class Named extends nn.Module {
    readonly head: nn.Linear
    constructor(rng: Random) {
      super()
      this.head = new nn.Linear(3, 2, { rng })
    }
    override forward({ a }: { a: Tensor }): Tensor {
      return this.head.forward(a.sum(1))
    }
  }
  const square = tensor(new Float32Array(m * 13 * 13), { shape: [m, 13, 13] })
  test.each<[string, Omit<Partial<Case>, 'data'> & { data: unknown }, string, RegExp]>([
    ['no lengths', { data: { x: padded.x, y } }, 'ERR_OPTION', /expected x to be \{ x, lengths \}.*got one tensor/],
    [
      'other fields',
      { model: (rng) => new Named(rng), data: { x: { a: padded.x, lengths: padded.lengths }, y } },
      'ERR_OPTION',
      /got fields a, lengths/,
    ],
    [
      'lengths beyond the steps',
      { model: (rng) => new Masked(rng), data: { x: { ...fields, lengths: tensor(Int32Array.from(lengths, () => 14)) }, y } },
      'ERR_RANGE',
      /1 … 13/,
    ],
    [
      'a square mask',
      { model: (rng) => new Masked(rng), data: { x: { ...fields, square }, y } },
      'ERR_OPTION',
      /x\.square.*45×13×13|x\.square/,
    ],
    [
      'padding in the mean',
      { model: (rng) => new nn.Sequential(new Mean(), new nn.Linear(3, 2, { rng })), data: { x: padded, y } },
      'ERR_OPTION',
      /leave padding out by the lengths/,
    ],
    [
      'a fixed number of steps',
      { model: (rng) => new nn.Sequential(new nn.Flatten(), new nn.Linear(39, 2, { rng })), data: { x: padded, y } },
      'ERR_OPTION',
      /which it does not take/,
    ],
  ])('%s', async (_name, c, code, message) => {
    const before = train(c)
    await expect(before).rejects.toMatchObject({ code })
    await expect(before).rejects.toThrow(message)
  })

  test('by trainers and options where it makes no sense', () => {
    const model = new nn.Linear(2, 1)
    const options = { loss: loss.mse, learningRate: 0.1, bucketByLength: true }
    expect(() => new FBGD(model, options)).toThrow(/one update sees all samples/)
    expect(() => new SGD(model, options)).toThrow(/batchSize: 1/)
    expect(() => new MBSGD(model, { ...options, batchSize: 2, stratify: true })).toThrow(/like lengths or of like classes/)
    for (const bucketByLength of [0, 1.5, 'yes']) {
      expect(() => new MBSGD(model, { ...options, batchSize: 2, bucketByLength: bucketByLength as never })).toThrow(/bucketByLength/)
    }
  })
})
