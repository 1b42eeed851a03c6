/**
 * Models of several inputs: x is a tree { ids, features }, from the data set through every way of updating, evaluation,
 * prediction, files and checkpoints. The oracle is the same model over one tensor, its columns parted inside.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type DataLike,
  Dataset,
  FBGD,
  type InputsLike,
  loadModel,
  loss,
  MBSGD,
  minMax,
  nn,
  optim,
  Random,
  SGD,
  saveModel,
  split,
  standardize,
  Tensor,
  tensor,
  transformFromJSON,
  WengertError,
  windows,
} from '../../lib/index.js'
import { announce, during, present } from '../support/engines.js'

announce('several inputs')

type Fields = { ids: Tensor; features: Tensor }

/** A learned vector for each id beside the features. */
class TwoInputs extends nn.Module {
  readonly vectors: nn.Embedding
  readonly first: nn.Linear
  readonly last: nn.Linear

  constructor(rng = new Random(3)) {
    super()
    this.vectors = new nn.Embedding(5, 3, { rng })
    this.first = new nn.Linear(2 * 3 + 4, 8, { rng })
    this.last = new nn.Linear(8, 1, { rng })
  }

  static fromConfig(): TwoInputs {
    return new TwoInputs(new Random(0))
  }

  forward({ ids, features }: Fields): Tensor {
    const vectors = this.vectors.forward(ids).reshape([ids.shape[0] as number, 6])
    return this.last.forward(this.first.forward(vectors.concat([features], 1)).tanh())
  }
}

/** The same over one tensor: two columns of ids, then the features. */
class OneInput extends nn.Module {
  readonly inner = new TwoInputs()
  forward(x: Tensor): Tensor {
    return this.inner.forward({ ids: x.slice(null, [0, 2]).cast('int32'), features: x.slice(null, [2, 6]) })
  }
}

/** Reads a value, so that it trains eagerly. */
class Eager extends TwoInputs {
  override forward(x: Fields): Tensor {
    return x.features.sum().item() > 1e9 ? super.forward(x).neg() : super.forward(x)
  }
}

const m = 70
const random = new Random(7)
const ids = Int32Array.from({ length: 2 * m }, (_, i) => (i * 7919) % 5)
const features = random.normal([m, 4])
const y = tensor(
  Array.from({ length: m }, (_, i) => [
    Math.sin((ids[2 * i] as number) + 2 * (ids[2 * i + 1] as number)) + (features.data[4 * i] as number) * 0.5,
  ]),
)
const tree = { ids: tensor(ids, { shape: [m, 2] }), features }
const flat = tensor(
  Array.from({ length: m }, (_, i) => [ids[2 * i] as number, ids[2 * i + 1] as number, ...features.data.subarray(4 * i, 4 * i + 4)]),
)
const data = new Dataset(tree, y)
const oracle = new Dataset(flat, y)

const code = (body: () => unknown): unknown => {
  try {
    body()
  } catch (error) {
    return error instanceof WengertError ? `${error.code}: ${error.message}` : error
  }
  return undefined
}
const rejection = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error) => (error instanceof WengertError ? `${error.code}: ${error.message}` : String(error)),
  )

const values = (model: nn.Module) => Object.values(model.stateDict()).flatMap((t) => Array.from(t.data))
/** How far two lists lie apart, in units of rounding. */
const apart = (a: readonly number[], b: readonly number[]) =>
  Math.max(...a.map((v, i) => Math.abs(v - (b[i] as number)) / (1e-5 + Math.abs(v))))

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wengert-inputs-'))
  nn.registerModule('test.TwoInputs', TwoInputs)
})
afterAll(() => rm(folder, { recursive: true }))

for (const engine of present) {
  describe(`several inputs, ${engine}`, () => {
    const on = (name: string, body: () => Promise<void>) => test(name, () => during(engine, body))
    const trainers = {
      FBGD: (model: nn.Module) => new FBGD(model, { loss: loss.mse, learningRate: 0.1 }),
      SGD: (model: nn.Module) => new SGD(model, { loss: loss.mse, learningRate: 0.05 }),
      MBSGD: (model: nn.Module) => new MBSGD(model, { loss: loss.mse, learningRate: 0.1, batchSize: 16 }),
      accumulated: (model: nn.Module) =>
        new MBSGD(model, { loss: loss.mse, optimizer: optim.adam({ learningRate: 0.01 }), batchSize: 8, accumulate: 2 }),
    }
    for (const [name, make] of Object.entries(trainers))
      on(`${name} learns what the same model learns from one tensor`, async () => {
        const [a, b] = [new TwoInputs(), new OneInput()]
        const one = await make(a).fit(data, { epochs: 3, seed: 5, validation: data, metrics: ['mae', 'r2'] })
        const other = await make(b).fit(oracle, { epochs: 3, seed: 5, validation: oracle, metrics: ['mae', 'r2'] })
        expect(apart(values(a), values(b))).toBeLessThan(1e-3)
        expect(one.last?.cost).toBeCloseTo(other.last?.cost as number, 5)
        expect(one.last?.validation?.mae).toBeCloseTo(other.last?.validation?.mae as number, 5)
        expect(one.last?.validation?.r2).toBeCloseTo(other.last?.validation?.r2 as number, 4)
      })

    on('FBGD adds up chunks of fields as the whole does', async () => {
      const rows = 2500
      const index = Array.from({ length: rows }, (_, i) => i % m)
      const [a, b] = [new TwoInputs(), new OneInput()]
      await trainers.FBGD(a).fit(data.take(index), { epochs: 2, seed: 1 })
      await trainers.FBGD(b).fit(oracle.take(index), { epochs: 2, seed: 1 })
      expect(apart(values(a), values(b))).toBeLessThan(1e-3)
    })

    on('a model that reads values trains eagerly to the same', async () => {
      const [a, b] = [new TwoInputs(), new Eager()]
      await trainers.MBSGD(a).fit(data, { epochs: 2, seed: 5, validation: data, metrics: ['mae'] })
      const trainer = trainers.MBSGD(b)
      await trainer.fit(data, { epochs: 2, seed: 5, validation: data, metrics: ['mae'] })
      expect(apart(values(a), values(b))).toBeLessThan(1e-3)
      expect(Array.from(b.predict(tree).data)).toEqual(Array.from((await b.predictAsync(tree)).data))
      expect(b.predict({ ids: [1, 2], features: [0, 0, 1, 0] }).shape).toEqual([1])
      expect(trainer.step(tree, y)).toBeGreaterThan(0)
    })

    on('steps and streams, of batches and of single samples, are those of one tensor', async () => {
      const [a, b] = [new TwoInputs(), new OneInput()]
      const [one, other] = [trainers.SGD(a), trainers.SGD(b)]
      expect(one.step(tree, y)).toBeCloseTo(other.step(flat, y), 5)
      const plain = { features: features.toArray<number[][]>(), ids: tree.ids.toArray<number[][]>() }
      expect(one.step(plain, y)).toBeCloseTo(other.step(flat, y), 5)
      await one.fitStream(
        Array.from({ length: 20 }, (_, i) => ({
          x: { features: plain.features[i] as number[], ids: plain.ids[i] as number[] },
          y: y.data[i] as number,
        })),
      )
      await other.fitStream(
        Array.from({ length: 20 }, (_, i) => ({ x: flat.toArray<number[][]>()[i] as number[], y: y.data[i] as number })),
      )
      await one.fitStream([{ x: tree, y, weights: Array.from({ length: m }, (_, i) => 1 + (i % 3)) }])
      await other.fitStream([{ x: flat, y, weights: Array.from({ length: m }, (_, i) => 1 + (i % 3)) }])
      expect(one.updates).toBe(other.updates)
      expect(apart(values(a), values(b))).toBeLessThan(1e-3)
      const [first, second] = [await one.evaluate(data, { metrics: ['rmse'] }), await other.evaluate(oracle, { metrics: ['rmse'] })]
      expect(first.cost).toBeCloseTo(second.cost, 5)
      expect(first.rmse).toBeCloseTo(second.rmse, 5)
    })

    on('a stream before any fit knows one sample from a batch', async () => {
      const model = new TwoInputs()
      const trainer = trainers.SGD(model)
      const { samples } = await trainer.fitStream([
        { x: { ids: [1, 2], features: [1, 0, 0, 0] }, y: [1] },
        { x: tree, y },
      ])
      expect(samples).toBe(1 + m)
    })

    on('predicts batches and single samples, and they agree', async () => {
      const model = new TwoInputs()
      await trainers.MBSGD(model).fit(data, { epochs: 1, seed: 1 })
      const batch = model.predict(tree)
      expect(batch.shape).toEqual([m, 1])
      const single = model.predict({ features: Array.from(features.data.subarray(4, 8)), ids: [ids[2] as number, ids[3] as number] })
      expect(single.shape).toEqual([1])
      expect(single.item()).toBeCloseTo(batch.data[1] as number, 5)
      expect(Array.from((await model.predictAsync(tree)).data)).toEqual(Array.from(batch.data))
      // Of a model that nobody has trained.
      const fresh = new TwoInputs()
      expect(fresh.predict({ ids: tensor([1, 2], { dtype: 'int32' }), features: [0, 1, 0, 0] }).shape).toEqual([1])
      expect(fresh.predict(tree).shape).toEqual([m, 1])
    })

    on('learns from both inputs what neither tells alone', async () => {
      const [train, test] = split(data, { test: 0.2, seed: 2 })
      const model = new TwoInputs()
      await new MBSGD(model, { loss: loss.mse, optimizer: optim.adam({ learningRate: 0.03 }), batchSize: 14 }).fit(train, {
        epochs: 250,
        seed: 1,
      })
      const { cost } = await trainers.SGD(model).evaluate(train)
      const blind = await trainers
        .SGD(model)
        .evaluate(new Dataset({ ...train.x, ids: tensor(new Int32Array(2 * train.length), { shape: [train.length, 2] }) }, train.y))
      const deaf = await trainers
        .SGD(model)
        .evaluate(new Dataset({ ...train.x, features: tensor(new Float32Array(4 * train.length), { shape: [train.length, 4] }) }, train.y))
      expect(cost).toBeLessThan(0.05)
      expect(blind.cost).toBeGreaterThan(10 * cost)
      expect(deaf.cost).toBeGreaterThan(3 * cost)
      expect((await trainers.SGD(model).evaluate(test)).cost).toBeLessThan(blind.cost)
    })

    on('a file keeps what the inputs are', async () => {
      const model = new TwoInputs()
      await trainers.MBSGD(model).fit(data, { epochs: 1, seed: 1 })
      const path = join(folder, `${engine}.model`)
      const scale = standardize(data)
      await saveModel(model, path, { transforms: [scale] })
      const loaded = await loadModel(path)
      expect(Array.from(loaded.predict(tree).data)).toEqual(Array.from(model.predict(tree).data))
      // Plain numbers become the type that was trained with; one sample is told from a batch.
      expect(loaded.predict({ ids: [4, 0], features: [0, 0, 0, 1] }).shape).toEqual([1])
      expect(code(() => loaded.predict({ ids: [4, 0] }))).toMatch(/^ERR_DATA: predict: .*features, ids.*missing features/)
      const ready = loaded.preprocess(tree) as unknown as Fields
      expect(ready.ids.dtype).toBe('int32')
      expect(Array.from(ready.features.data)).toEqual(Array.from(scale(data).x.features.data))
    })

    on('a checkpoint within an epoch is taken up bit for bit, with the data of its own fields alone', async () => {
      const path = join(folder, `${engine}.ckpt`)
      const make = () => {
        const model = new TwoInputs()
        return {
          model,
          trainer: new MBSGD(model, { loss: loss.mse, optimizer: optim.adam({ learningRate: 0.01 }), batchSize: 16, maxDeviation: 20 }),
        }
      }
      const whole = make()
      await whole.trainer.fit(data, { epochs: 4, seed: 9 })
      const first = make()
      await first.trainer.fit(data, { epochs: 2, seed: 9, checkpoint: { path, everyUpdates: 3 } })
      const second = make()
      await second.trainer.resume(path)
      await second.trainer.fit(data, { epochs: 4 - second.trainer.epoch })
      expect(values(second.model)).toEqual(values(whole.model))
      // A single number in an integer field makes other data of it.
      const changed = tree.ids.data.slice() as Int32Array
      changed[0] = (changed[0] as number) === 0 ? 1 : 0
      const other = make()
      await other.trainer.resume(path)
      const warned: string[] = []
      const listen = (warning: Error) => warned.push(warning.message)
      process.on('warning', listen)
      await other.trainer.fit(new Dataset({ ...tree, ids: tensor(changed, { shape: [m, 2] }) }, y), { epochs: 1 })
      await new Promise((resolve) => setImmediate(resolve))
      process.off('warning', listen)
      if (first.trainer.updates % 3 !== 0) expect(warned.some((text) => text.includes('other data'))).toBe(true)
    })

    on('scalar fields, truth values and fields within fields pass as they are', async () => {
      const seen: string[] = []
      class Masked extends nn.Module {
        readonly linear = new nn.Linear(4, 1, { rng: new Random(1) })
        forward({ series, is }: { series: { values: Tensor; lengths: Tensor }; is: Tensor }): Tensor {
          const { values, lengths } = series
          seen.push(`${lengths.dtype} ${lengths.rank} ${is.dtype} ${is.rank}`)
          const steps = tensor([[0, 1, 2, 3]], { dtype: 'int32' })
          const within = steps.less(lengths.reshape([lengths.shape[0] as number, 1])).cast('float32')
          return this.linear.forward(values.mul(within)).mul(is.cast('float32').reshape([is.shape[0] as number, 1]))
        }
      }
      const lengths = Int32Array.from({ length: m }, (_, i) => 1 + (i % 4))
      const masked = { series: { values: features, lengths }, is: tensor(Array.from({ length: m }, (_, i) => i % 2 === 0)) }
      const set = new Dataset(masked, y)
      const [train] = split(set, { test: 0.5, seed: 1 })
      const model = new Masked()
      await trainers.MBSGD(model).fit(train, { epochs: 1, seed: 1 })
      expect(new Set(seen)).toEqual(new Set(['int32 1 bool 1']))
      const out = model.predict(set.x)
      const one = (i: number) =>
        model.predict({
          is: i % 2 === 0,
          series: { lengths: lengths[i] as number, values: Array.from(features.data.subarray(4 * i, 4 * i + 4)) },
        })
      expect(one(6).shape).toEqual([1])
      expect(one(6).item()).toBeCloseTo(out.data[6] as number, 6)
      expect(one(7).item()).toBe(0)
      expect(code(() => model.predict({ is: 0.5, series: { lengths: 2, values: [1, 2, 3, 4] } }))).toMatch(
        /^ERR_DTYPE: predict: x\.is: expected true or false, got 0.5/,
      )
    })

    on('misuse is refused by name, and nothing is changed', async () => {
      const model = new TwoInputs()
      const trainer = trainers.MBSGD(model)
      const before = values(model)
      expect(await rejection(trainer.fit({ x: { ids: tree.ids }, y }, { epochs: 1 }))).toMatch(
        /^ERR_DATA: forward: x has no field 'features', only ids/,
      )
      expect(await rejection(trainer.fit({ x: { ...tree, features: features.slice([0, 3]) }, y }, { epochs: 1 }))).toMatch(
        /^ERR_DATA: fit: expected as many rows in each field of x, got 3 of x.features and 70 of x.ids/,
      )
      expect(await rejection(trainer.fit({ x: tree, y: y.slice([0, 3]) }, { epochs: 1 }))).toMatch(
        /^ERR_DATA: fit: expected as many targets as samples, got 70 rows of x and 3 of y/,
      )
      expect(await rejection(trainer.fit({ x: { ...tree, ids: tree.ids.add(9) }, y }, { epochs: 1 }))).toMatch(/^ERR_INDEX/)
      expect(await rejection(trainer.fit({ x: { ...tree, features: 'many' } as unknown as InputsLike, y }, { epochs: 1 }))).toMatch(
        /^ERR_VALUE: fit: x.features: expected numbers/,
      )
      expect(await rejection(trainer.fit({ x: {}, y }, { epochs: 1 }))).toMatch(
        /^ERR_VALUE: fit: expected x to be a tensor or tensors by name/,
      )
      const absurd = features.data.slice() as Float32Array
      absurd[5] = NaN
      expect(await rejection(trainer.fit({ x: { ...tree, features: tensor(absurd, { shape: [m, 4] }) }, y }, { epochs: 1 }))).toMatch(
        /^ERR_DATA: fit: expected finite numbers, got NaN in x.features of sample 1, feature 1/,
      )
      expect(values(model)).toEqual(before)
      await trainer.fit(data, { epochs: 1, seed: 1 })
      const after = values(model)
      const extra = { ...tree, more: features }
      const said =
        /^ERR_DATA: (step|evaluate|predict|fit: validation): expected x to be the fields features, ids, as the model was trained with, got the fields features, ids, more; unexpected more/
      expect(code(() => trainer.step(extra, y))).toMatch(said)
      expect(code(() => model.predict(extra))).toMatch(said)
      expect(await rejection(trainer.evaluate({ x: extra, y }))).toMatch(said)
      expect(await rejection(trainer.fit(data, { epochs: 1, validation: { x: extra, y } }))).toMatch(said)
      expect(code(() => model.predict(features))).toMatch(/^ERR_DATA: predict: expected x to be the fields features, ids.*got one tensor$/)
      expect(code(() => model.predict({ ...tree, ids: [[0.5, 1]] }))).toMatch(
        /^ERR_DTYPE: predict: x.ids: expected integers within int32, got 0.5/,
      )
      expect(code(() => model.predict({ ids: [1, 2], features }))).toMatch(
        /^ERR_SHAPE: predict: expected a batch, x with features of 2 axes, ids of 2 axes, or one sample/,
      )
      expect(code(() => model.predict({ ids: [[1, 2]], features }))).toMatch(
        /^ERR_SHAPE: predict: expected as many rows in each field of x/,
      )
      expect(code(() => model.predictInto(new Float32Array(6), new Float32Array(1)))).toMatch(
        /^ERR_VALUE: predictInto: the model takes several inputs/,
      )
      expect(await rejection(trainer.fitStream([{ x: { ids: [1, 2], features }, y }]))).toMatch(
        /^ERR_SHAPE: fitStream: expected x of one sample/,
      )
      expect(await rejection(trainer.fitStream([{ x: { id: [1, 2], features: [1, 2, 3, 4] }, y: 1 }]))).toMatch(
        /^ERR_DATA: fitStream: .*missing ids, unexpected id/,
      )
      expect(
        await rejection(trainer.fit(data, { epochs: 1, validation: { x: { ...tree, features: features.slice(null, [0, 3]) }, y } })),
      ).toMatch(/^ERR_SHAPE/)
      expect(code(() => windows(data as unknown as DataLike, { length: 2 }))).toMatch(
        /^ERR_VALUE: windows: expected x to be one tensor, got the fields features, ids/,
      )
      expect(values(model)).toEqual(after)
    })

    on('maxDeviation names the feature of its field', async () => {
      const model = new TwoInputs()
      const trainer = new SGD(model, { loss: loss.mse, learningRate: 0.01, maxDeviation: 20 })
      await trainer.fit(data, { epochs: 1, seed: 1 })
      const x = { ids: [[4, 4]], features: [[0, 0, 1e9, 0]] }
      expect(code(() => trainer.step(x, [[1]]))).toMatch(/^ERR_DATA: step: feature 2 of x.features of sample 0 is 1000000000, far outside/)
    })
  })
}

describe('data of several inputs', () => {
  test('a data set keeps types and names, in shared memory', () => {
    expect(data.x.ids.dtype).toBe('int32')
    expect(data.x.features.dtype).toBe('float32')
    expect(data.x.ids.data.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(data.length).toBe(m)
    const part = data.take([3, 1])
    expect(part.x.ids.toArray()).toEqual([tree.ids.toArray<number[][]>()[3], tree.ids.toArray<number[][]>()[1]])
    expect(new Dataset({ a: { b: [[1]] } }, [1]).x.a.b).toBeInstanceOf(Tensor)
    expect(code(() => new Dataset({ 'a.b': [[1]] }, [1]))).toMatch(/^ERR_VALUE: Dataset: a field of x cannot be called 'a.b'/)
    const endless: Record<string, unknown> = {}
    endless.again = endless
    expect(code(() => new Dataset(endless as unknown as InputsLike, [1]))).toMatch(/^ERR_VALUE/)
    expect(code(() => new Dataset({ a: [[1]], b: 3 }, [1]))).toMatch(
      /^ERR_SHAPE: Dataset: expected x.b with one row a sample, got a scalar/,
    )
  })

  test('splits keep the rows of all fields together', () => {
    const rows = Float32Array.from({ length: 30 }, (_, i) => i)
    const set = new Dataset(
      { a: rows, b: Int32Array.from(rows) },
      Int32Array.from(rows, (v) => v % 3),
    )
    for (const part of split(set, { test: 0.3, seed: 4, stratify: true })) {
      expect(Array.from(part.x.a.data)).toEqual(Array.from(part.x.b.data))
      expect(Array.from(part.x.a.data, (v) => v % 3)).toEqual(Array.from(part.y.data))
    }
  })

  test('transforms are fitted on floating numbers, and have a JSON form', () => {
    const scale = standardize(data)
    const scaled = scale(data)
    expect(Array.from(scaled.x.ids.data)).toEqual(Array.from(ids))
    expect(Array.from(scaled.x.features.data)).toEqual(Array.from(standardize(features)(features).data))
    expect(Array.from(minMax(data)(data).x.features.data).every((v) => v >= 0 && v <= 1)).toBe(true)
    const again = transformFromJSON(JSON.parse(JSON.stringify(scale)))
    expect(Array.from(again(tree).features.data)).toEqual(Array.from(scaled.x.features.data))
    const back = again.inverse(again(tree))
    expect(Math.max(...Array.from(back.features.data, (v, i) => Math.abs(v - (features.data[i] as number))))).toBeLessThan(1e-5)
    expect(code(() => scale({ ids: tree.ids }))).toMatch(/^ERR_DATA: transform: x has no field features, on which the transform was fitted/)
    expect(code(() => standardize(data, { columns: [1] }))).toMatch(/^ERR_OPTION: standardize: columns belong to one input/)
    expect(code(() => transformFromJSON({ kind: 'fields', fields: [] }))).toMatch(/^ERR_VALUE/)
  })

  test('records become fields by lists of columns, each of its own type', () => {
    const rows = [
      { user: 16777217, age: 31, income: 2.5, rating: 4 },
      { user: 3, age: 40, income: 1, rating: 2 },
    ]
    const set = Dataset.fromRecords(rows, { x: { ids: ['user'], features: ['age', 'income'] }, y: 'rating', dtype: { ids: 'int32' } })
    expect(set.x.ids.toArray()).toEqual([[16777217], [3]])
    expect(set.x.features.toArray()).toEqual([
      [31, 2.5],
      [40, 1],
    ])
    expect(code(() => Dataset.fromRecords(rows, { x: { ids: ['user'] }, y: 'rating', dtype: { id: 'int32' } }))).toMatch(
      /^ERR_OPTION: .*did you mean 'ids'/,
    )
  })
})
