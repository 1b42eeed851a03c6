/** Optimisers and schedules inside trainers: clipping, accumulation, groups, buffers and draws, on every engine. */

import { describe, expect, test } from 'vitest'
import { FBGD, loss, MBSGD, nn, optim, Random, SGD, type Tensor } from '../../lib/index.js'
import { announce, present, using } from '../support/engines.js'

announce('optimisers and layers in trainers')

const rng = () => new Random(3)
const dtype = 'float64' as const
const network = (...extra: nn.Module[]) => {
  const draws = rng()
  return new nn.Sequential(new nn.Linear(3, 4, { dtype, rng: draws }), new nn.Tanh(), ...extra, new nn.Linear(4, 2, { dtype, rng: draws }))
}
const data = (m: number) => ({ x: rng().normal([m, 3], { dtype }), y: new Random(4).normal([m, 2], { dtype }) })
const values = (model: nn.Module) => Object.values(model.stateDict()).flatMap((t) => Array.from(t.data))
const norm = (list: readonly number[]) => Math.sqrt(list.reduce((s, v) => s + v * v, 0))
const difference = (a: readonly number[], b: readonly number[]) => Math.max(...a.map((v, i) => Math.abs(v - (b[i] as number))))

async function fitted(engine: 'js' | 'native', make: () => { model: nn.Module; run: () => Promise<unknown> }): Promise<number[]> {
  return using(engine, () => {
    const { model, run } = make()
    return run().then(() => values(model))
  })
}

describe.each(present)('%s', (engine) => {
  const within = <T>(body: () => T) => using(engine, body)

  test('a clipped step is the plain one scaled to clipNorm, or cut at clipValue', () =>
    within(() => {
      const { x, y } = data(8)
      const plain = network()
      const clipped = network()
      const before = values(plain)
      new FBGD(plain, { loss: loss.squaredError, learningRate: 1 }).step(x, y)
      new FBGD(clipped, { loss: loss.squaredError, learningRate: 1, clipNorm: 0.01 }).step(x, y)
      const full = values(plain).map((v, i) => v - (before[i] as number))
      const short = values(clipped).map((v, i) => v - (before[i] as number))
      expect(norm(full)).toBeGreaterThan(0.1)
      const factor = 0.01 / (norm(full) + 1e-6)
      expect(
        difference(
          short,
          full.map((v) => v * factor),
        ),
      ).toBeLessThan(1e-14)
      const bounded = network()
      new FBGD(bounded, { loss: loss.squaredError, learningRate: 1, clipValue: 0.05 }).step(x, y)
      const cut = values(bounded).map((v, i) => v - (before[i] as number))
      expect(
        difference(
          cut,
          full.map((v) => Math.max(-0.05, Math.min(0.05, v))),
        ),
      ).toBeLessThan(1e-14)
    }))

  test('clipping does not hide a gradient that is not a number', () =>
    within(() => {
      const model = network()
      const trainer = new FBGD(model, {
        loss: (q: Tensor, y: Tensor) => q.sub(y).abs().sqrt().mul(0).sum(1),
        learningRate: 1,
        clipValue: 1,
      })
      // The residual is exactly 0, where the root's derivative is infinite.
      trainer.step([[0, 0, 0]], model.predict([[0, 0, 0]]))
      expect(values(model).some(Number.isNaN)).toBe(true)
    }))

  test('accumulated batches make the update of one large batch', async () => {
    const make = (batchSize: number, accumulate: number, optimizer: optim.Optimizer) => () => {
      const model = network()
      const trainer = new MBSGD(model, { loss: loss.squaredError, optimizer, batchSize, accumulate, clipNorm: 0.5 })
      return { model, run: () => trainer.fit(data(22), { epochs: 3, seed: 1 }).then((h) => expect(h.updates).toBe(9)) }
    }
    const large = await fitted(engine, make(8, 1, optim.adam({ learningRate: 0.01 })))
    const small = await fitted(engine, make(2, 4, optim.adam({ learningRate: 0.01 })))
    expect(difference(large, small)).toBeLessThan(1e-13)
  })

  test('groups have their own rate and decay; frozen parameters stay', async () => {
    const model = network()
    const first = model.layers[0] as nn.Linear
    const last = model.layers[2] as nn.Linear
    const before = model.stateDict()
    if (last.bias) last.bias.frozen = true
    const { x, y } = data(8)
    const plain = network()
    within(() => {
      const optimizer = optim.gradientDescent({ learningRate: 0.1, groups: [{ parameters: first, learningRate: 0.02, weightDecay: 0.5 }] })
      new FBGD(model, { loss: loss.squaredError, optimizer }).step(x, y)
      new FBGD(plain, { loss: loss.squaredError, learningRate: 0.1 }).step(x, y)
    })
    const after = model.stateDict()
    const reference = plain.stateDict()
    const entries = (name: string) =>
      [before, after, reference].map((d) => Array.from((d[name] as Tensor).data)) as [number[], number[], number[]]
    const [w0, w, wr] = entries('0.weight')
    const expected = w0.map((v, i) => v + ((wr[i] as number) - v) * 0.2 - 0.02 * 0.5 * v)
    expect(difference(w, expected)).toBeLessThan(1e-15)
    const [, u, ur] = entries('2.weight')
    expect(u).toEqual(ur)
    const [b0, b] = entries('2.bias')
    expect(b).toEqual(b0)
  })

  test('batch statistics run along with every trainer, as if each batch were normalised by hand', async () => {
    const { x, y } = data(12)
    const model = network(new nn.BatchNorm1d(4, { dtype, momentum: 0.25 }))
    const norm1 = model.layers[2] as nn.BatchNorm1d & Record<'runningMean' | 'runningVariance', nn.Buffer>
    expect(Object.keys(model.stateDict())).toContain('2.runningMean')
    expect(model.parameters().length).toBe(6)
    const hidden = () => (model.layers[0] as nn.Linear).forward(x).tanh()
    const h = hidden()
    await within(() => new FBGD(model, { loss: loss.squaredError, learningRate: 0.1 }).fit({ x, y }, { epochs: 1 }))
    expect(difference(Array.from(norm1.runningMean.data), Array.from(h.mean(0).mul(0.25).data))).toBeLessThan(1e-15)
    expect(difference(Array.from(norm1.runningVariance.data), Array.from(h.variance(0).mul(0.25).add(0.75).data))).toBeLessThan(1e-15)
    const kept = Array.from(norm1.runningMean.data)
    await within(() => new MBSGD(model, { loss: loss.squaredError, learningRate: 0.1, batchSize: 4 }).fit({ x, y }, { epochs: 2, seed: 2 }))
    expect(Array.from(norm1.runningMean.data)).not.toEqual(kept)
    const trained = values(model)
    within(() => model.predict(x))
    expect(values(model)).toEqual(trained)
    await expect(within(() => new SGD(model, { loss: loss.squaredError, learningRate: 0.1 }).fit({ x, y }, { epochs: 1 }))).rejects.toThrow(
      /dropLast/,
    )
  })

  test('dropout draws anew at each update, the same for the same seed, whatever the cut', async () => {
    const run = (seed: number, batchSize: number, accumulate = 1) =>
      fitted(engine, () => {
        const model = network(new nn.Dropout(0.5), new nn.Dropout(0.25))
        const trainer = new MBSGD(model, { loss: loss.squaredError, learningRate: 0.05, batchSize, accumulate })
        return { model, run: () => trainer.fit(data(16), { epochs: 3, seed }) }
      })
    const a = await run(1, 8)
    expect(await run(1, 8)).toEqual(a)
    expect(difference(await run(2, 8), a)).toBeGreaterThan(1e-4)
    expect(difference(await run(1, 2, 4), a)).toBeLessThan(1e-13)
  })

  test('dropout of a chunked full batch is that of the whole', async () => {
    const m = 2500
    const { x, y } = data(m)
    const mix = (q: Tensor, t: Tensor) => q.sub(t).square().sum(1).add(q.sum(0).mean().mul(0))
    const run = (l: (q: Tensor, t: Tensor) => Tensor) =>
      fitted(engine, () => {
        const model = network(new nn.Dropout(0.5))
        return { model, run: () => new FBGD(model, { loss: l, learningRate: 0.1 }).fit({ x, y }, { epochs: 2, seed: 9 }) }
      })
    const chunked = await run((q, t) => q.sub(t).square().sum(1))
    const whole = await run(mix)
    expect(difference(chunked, whole)).toBeLessThan(1e-12)
  })

  test('a plateau schedule lowers the rate when the cost stalls', async () => {
    const schedule = optim.schedules.plateau({ patience: 1, factor: 0.5 })
    const model = network()
    const trainer = new FBGD(model, { loss: (q: Tensor) => q.mul(0).sum(1).add(1), learningRate: 0.1, schedule })
    await within(() => trainer.fit(data(4), { epochs: 7 }))
    expect(schedule.state()).toEqual({ best: 1, bad: 0, wait: 0, reductions: 3 })
    expect(schedule({ epoch: 7, update: 7 }, 0.1)).toBeCloseTo(0.0125, 12)
  })
})

test('engines agree on dropout to rounding', async () => {
  if (present.length < 2) return console.warn('skipped: one engine only')
  const run = (engine: 'js' | 'native') =>
    fitted(engine, () => {
      const model = network(new nn.Dropout(0.5))
      return { model, run: () => new SGD(model, { loss: loss.squaredError, learningRate: 0.05 }).fit(data(16), { epochs: 3, seed: 5 }) }
    })
  expect(difference(await run('js'), await run('native'))).toBeLessThan(1e-12)
})

test('step draws from the last seed', async () => {
  const model = network(new nn.Dropout(0.5))
  const trainer = new FBGD(model, { loss: loss.squaredError, learningRate: 0.05 })
  const { x, y } = data(4)
  await trainer.fit({ x, y }, { epochs: 1, seed: 11 })
  const costs = [trainer.step(x, y), trainer.step(x, y)]
  expect(costs.every(Number.isFinite)).toBe(true)
})
