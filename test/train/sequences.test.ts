/** Recurrent models and encoders through every way of training: checkpoints, chunks, streams, steps; and metrics of what counts. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FBGD, loss, MBSGD, nn, optim, padSequences, Random, type Tensor, tensor, top } from '../../lib/index.js'
import { announce, during, present } from '../support/engines.js'
import { snapshot } from '../support/models.js'
import { farthest } from '../support/tolerance.js'

announce('training on sequences')

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wengert-sequences-'))
})
afterAll(() => rm(folder, { recursive: true }))

const rng = new Random(6)
const setOf = (m: number, longest = 6) => {
  const rows = Array.from({ length: m }, (_, i) => rng.normal([1 + ((i * 5) % longest), 3]))
  return { x: padSequences(rows, { value: 2 }), y: Int32Array.from(rows, (row) => ((row.mean().item() as number) > 0 ? 1 : 0)) }
}
const models: Record<string, (dropout: number) => nn.Module> = {
  LSTM: (dropout) => {
    const init = new Random(3)
    return new nn.Sequential(new nn.LSTM(3, 4, { numLayers: 2, dropout, rng: init }), new nn.LastStep(), new nn.Linear(4, 2, { rng: init }))
  },
  encoder: (dropout) => {
    const init = new Random(3)
    return new nn.Sequential(
      new nn.Linear(3, 4, { rng: init }),
      new nn.LearnedPositions(8, 4, { rng: init }),
      new nn.TransformerEncoder(() => new nn.TransformerEncoderLayer(4, 2, { dimFeedforward: 6, dropout, rng: init }), 1),
      new nn.MeanOverTime(),
      new nn.Linear(4, 2, { rng: init }),
    )
  },
}
const at = ({ x, y }: { x: { x: Tensor; lengths: Tensor }; y: Int32Array }, from: number, to: number) => ({
  x: { x: x.x.slice([from, to]), lengths: x.lengths.slice([from, to]) },
  y: y.slice(from, to),
})
const sameParameters = (a: nn.Module, b: nn.Module, tolerance: number) =>
  a.namedParameters().forEach(([, p], i) => {
    expect(farthest(p.data, b.namedParameters()[i]?.[1].data as Float32Array, tolerance)).toBe('')
  })

describe.each(present.flatMap((engine) => Object.keys(models).map((name) => [engine, name] as const)))('on %s: %s', (engine, name) => {
  const make = models[name] as (dropout: number) => nn.Module

  test('a fit that stops within an epoch goes on bit for bit, dropout and all', async () => {
    await during(engine, async () => {
      const data = setOf(29)
      const options = { loss: loss.crossEntropy, batchSize: 8, optimizer: optim.adam({ learningRate: 0.02 }) }
      const whole = new MBSGD(make(0.3), options)
      const expected = await whole.fit(data, { epochs: 3, seed: 4 })
      const path = join(folder, `${engine} ${name}`)
      const stop = new AbortController()
      const state = () => {
        stop.abort()
        return { values: {} }
      }
      await new MBSGD(make(0.3), options)
        .fit(data, { epochs: 3, seed: 4, callbacks: [{ state }], signal: stop.signal, checkpoint: { path, everyUpdates: 6 } })
        .catch(() => undefined)
      const second = new MBSGD(make(0.3), options)
      await second.resume(path)
      expect([second.epoch, second.updates]).toEqual([1, 6])
      const got = await second.fit(data, { epochs: 2 })
      expect(got.epochs.map(({ cost }) => cost)).toEqual(expected.epochs.slice(1).map(({ cost }) => cost))
      expect(snapshot(second.model)).toEqual(snapshot(whole.model))
    })
  })

  test('FBGD in chunks makes the update of all samples at once', async () => {
    await during(engine, async () => {
      const data = setOf(FBGD.chunkRows + 300, 4)
      const [chunks, once] = [make(0), make(0)]
      const fbgd = new FBGD(chunks, { loss: loss.crossEntropy, learningRate: 0.5 })
      const text = fbgd.describe(data)
      expect(text).toContain(String(FBGD.chunkRows))
      const history = await fbgd.fit(data, { epochs: 2, seed: 1 })
      const step = new MBSGD(once, { loss: loss.crossEntropy, learningRate: 0.5, batchSize: 1 })
      for (const { cost } of history.epochs) expect(Math.abs(cost - step.step(data.x, data.y))).toBeLessThan(1e-5)
      sameParameters(chunks, once, 1e-4)
    })
  })

  test('a stream, single steps and the gradient by itself agree', async () => {
    await during(engine, async () => {
      const data = setOf(20)
      const options = { loss: loss.crossEntropy, batchSize: 4, learningRate: 0.3 }
      const [streamed, stepped] = [new MBSGD(make(0), options), new MBSGD(make(0), options)]
      const costs: number[] = []
      const items = Array.from({ length: 5 }, (_, i) => at(data, 4 * i, 4 * i + 4))
      const { updates } = await streamed.fitStream(items, { onUpdate: ({ cost }) => void costs.push(cost) })
      expect(updates).toBe(5)
      items.forEach(({ x, y }, i) => {
        const before = loss.crossEntropy((stepped.model as nn.Sequential).forward(x.x, { lengths: x.lengths }), tensor(y)).item()
        expect(Math.abs(before - (costs[i] as number))).toBeLessThan(1e-5)
        expect(stepped.step(x, y)).toBeCloseTo(costs[i] as number, 6)
      })
      sameParameters(streamed.model, stepped.model, 1e-6)
      // What stands behind the ends says nothing.
      const other = items.map(({ x, y }) => {
        const moved = x.x.mul(1)
        for (let i = 0; i < moved.size; i++)
          if (Math.floor(i / 3) % (moved.shape[1] as number) >= (x.lengths.data[Math.floor(i / 3 / (moved.shape[1] as number))] as number))
            moved.data[i] = -5
        return { x: { x: moved, lengths: x.lengths }, y }
      })
      const again = new MBSGD(make(0), options)
      await again.fitStream(other)
      sameParameters(again.model, streamed.model, 1e-6)
    })
  })
})

describe.each(present)('metrics with labels that do not count, on %s', (engine) => {
  const [m, T, k] = [9, 5, 3]
  const x = rng.normal([m, T, 2])
  const labels = Int32Array.from({ length: m * T }, (_, i) => (i % T < 1 + (Math.floor(i / T) % T) ? (i * 5) % k : -9))
  const counted = [...labels.keys()].filter((i) => labels[i] !== -9)
  const own = loss.crossEntropy.with({ ignoreIndex: -9 })
  const data = { x, y: tensor(labels, { shape: [m, T] }) }
  const make = (of: typeof own = own) =>
    new MBSGD(new nn.Linear(2, k, { rng: new Random(1) }), { loss: of, learningRate: 0.1, batchSize: 4 })
  const wholes = ['precision', 'recall', 'f1', 'confusionMatrix', 'rocAuc', 'prAuc', 'logLoss', 'brier'] as const

  test('those of all predictions are those of the labels that count, each as a sample', async () => {
    await during(engine, async () => {
      const flat = {
        x: x.reshape([m * T, 2]).gather(tensor(Int32Array.from(counted))),
        y: Int32Array.from(counted, (i) => labels[i] as number),
      }
      const expected = await make().evaluate(flat, { metrics: wholes })
      const got = await make().evaluate(data, { metrics: wholes })
      for (const name of wholes) expect(farthest([got[name]].flat(2), [expected[name]].flat(2), 1e-6), name).toBe('')
      expect(got.confusionMatrix.flat().reduce((a, b) => a + b)).toBe(counted.length)
      expect(got.cost).toBeCloseTo(expected.cost, 5)
      // One label a sample, of which some do not count.
      const some = { x: x.reshape([m * T, 2]), y: labels }
      const alone = await make().evaluate(some, { metrics: wholes })
      for (const name of wholes) expect(farthest([alone[name]].flat(2), [expected[name]].flat(2), 1e-6), name).toBe('')
      const { last } = await make().fit(data, { epochs: 1, validation: data, metrics: ['f1', 'accuracy'], seed: 1 })
      expect(last?.validation?.f1).toBeGreaterThan(0)
    })
  })

  test('accuracy and top-k are shares of the labels that count', async () => {
    await during(engine, async () => {
      const trainer = make()
      const scores = trainer.model.predict(x)
      const share = (k0: number) =>
        counted.filter((j) => {
          const row = Array.from(scores.data.subarray(j * k, j * k + k))
          return row.filter((s) => s > (row[labels[j] as number] as number)).length < k0
        }).length / counted.length
      const got = await trainer.evaluate(data, { metrics: ['accuracy', top(2), 'top3'] })
      expect(got.accuracy).toBeCloseTo(share(1), 5)
      expect((got as { custom?: Record<string, number> }).custom?.top2).toBeCloseTo(share(2), 5)
      expect(got.top3).toBe(1)
      // Without a label to leave out every step counts.
      const all = {
        x,
        y: tensor(
          labels.map((n) => Math.max(n, 0)),
          { shape: [m, T] },
        ),
      }
      expect((await make(loss.crossEntropy).evaluate(all, { metrics: ['top3'] })).top3).toBe(1)
    })
  })

  test('refused, and why', async () => {
    await during(engine, async () => {
      // A sample of which nothing counts is left out.
      const some = {
        x,
        y: tensor(
          labels.map((n, i) => (i < T ? -9 : n)),
          { shape: [m, T] },
        ),
      }
      const scores = await make().evaluate(some, { metrics: ['accuracy', 'f1'] })
      const rest = await make().evaluate({ x: x.slice([1, m]), y: some.y.slice([1, m]) }, { metrics: ['accuracy', 'f1'] })
      expect(scores.accuracy).toBeCloseTo(rest.accuracy, 6)
      expect(scores.f1).toBeCloseTo(rest.f1, 6)
      for (const metric of ['mae', 'mse', 'rmse', 'r2'] as const)
        await expect(make().evaluate(data, { metrics: [metric] })).rejects.toMatchObject({
          code: expect.stringMatching(/ERR_SHAPE|ERR_OPTION/),
        })
      const nothing = {
        x,
        y: tensor(
          labels.map(() => -9),
          { shape: [m, T] },
        ),
      }
      for (const metric of ['f1', 'accuracy', top(2)] as const) {
        await expect(make().evaluate(nothing, { metrics: [metric] })).rejects.toThrow(/no label counts/)
        await expect(make().fit(data, { epochs: 1, validation: nothing, metrics: [metric] })).rejects.toMatchObject({ code: 'ERR_DATA' })
      }
    })
  })
})
