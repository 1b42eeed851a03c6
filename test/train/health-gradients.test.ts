/** Gradient health: the numbers against gradients computed apart, and the warnings in clear cases. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FBGD, loss, MBSGD, nn, Random, tensor, zeros } from '../../lib/index.js'
import { announce, present, using } from '../support/engines.js'
import { costAndGradients, snapshot } from '../support/models.js'

announce('gradient health')

const rng = new Random(4)
const data = { x: rng.normal([30, 5]), y: rng.normal([30, 2]) }
const norm = (values: ArrayLike<number>) => Math.sqrt(Array.from(values).reduce((s, v) => s + v * v, 0))
const near = (a: number, b: number) => expect(Math.abs(a - b)).toBeLessThanOrEqual(1e-5 * Math.abs(b))

describe.each(present)('on %s', (engine) => {
  const on = <T>(body: () => T): T => using(engine, body)
  let warnings: (Error & { code?: string })[]
  const listen = (warning: Error) => void warnings.push(warning)
  beforeEach(() => {
    warnings = []
    process.on('warning', listen)
  })
  afterEach(() => void process.off('warning', listen))
  const said = async () => {
    await new Promise((resolve) => setImmediate(resolve))
    return warnings.filter(({ name }) => name === 'WengertHealth').map(({ code, message }) => [code, message] as const)
  }

  test('norms of gradients and of updates, one update an epoch', async () => {
    const init = new Random(1)
    const model = new nn.Sequential(new nn.Linear(5, 4, { rng: init }), new nn.Tanh(), new nn.Linear(4, 2, { rng: init }))
    const trainer = new FBGD(model, { loss: loss.mse, learningRate: 0.1, clipNorm: 1e-3 })
    for (let epoch = 0; epoch < 3; epoch++) {
      const { gradients } = costAndGradients(model, loss.mse, data.x, data.y)
      const before = snapshot(model)
      const { last } = await on(() => trainer.fit(data, { epochs: 1, health: true }))
      const after = snapshot(model)
      for (const [name, health] of Object.entries(last?.health ?? {})) {
        // The gradient's own norm, not the clipped one's.
        near(health.gradientNorm, norm(gradients[name]?.data ?? [0]))
        const step = (after[name] as number[]).map((v, i) => v - (before[name]?.[i] as number))
        if (norm(before[name] as number[]) > 0) expect(health.updateRatio).toBeCloseTo(norm(step) / norm(before[name] as number[]), 6)
        expect(health.zeroShare).toBe(0)
      }
      expect(Object.keys(last?.health ?? {})).toEqual(model.namedParameters().map(([name]) => name))
    }
  })

  test('over chunks and batches: root mean squares of the updates, and training is as without', async () => {
    const m = 2100
    const many = { x: rng.normal([m, 5]), y: rng.normal([m, 2]) }
    for (const make of [
      () => new FBGD(new nn.Linear(5, 2, { rng: new Random(1) }), { loss: loss.mse, learningRate: 0.1 }),
      () => new MBSGD(new nn.Linear(5, 2, { rng: new Random(1) }), { loss: loss.mse, learningRate: 0.1, batchSize: 64 }),
    ]) {
      const [watched, plain] = [make(), make()]
      const { last } = await on(() => watched.fit(many, { epochs: 2, seed: 1, health: true }))
      const { last: other } = await on(() => plain.fit(many, { epochs: 2, seed: 1 }))
      const weight = last?.health?.weight
      // θ ← θ − αg: updates are α times the gradient.
      const w = norm(snapshot(watched.model).weight as number[])
      expect((weight?.updateRatio as number) / ((0.1 * (weight?.gradientNorm as number)) / w)).toBeCloseTo(1, 0)
      expect(Math.abs((last?.cost as number) - (other?.cost as number))).toBeLessThan(1e-6)
    }
  })

  test('dead units are named, once', async () => {
    const init = new Random(1)
    const first = new nn.Linear(5, 8, { rng: init })
    first.bias?.assign(zeros([8]).add(-100))
    const model = new nn.Sequential(first, new nn.ReLU(), new nn.Linear(8, 2, { rng: init }))
    await on(() => new FBGD(model, { loss: loss.mse, learningRate: 0.01 }).fit(data, { epochs: 5, health: true }))
    const found = await said()
    expect(found.map(([code]) => code)).toEqual(['WENGERT_DEAD_UNITS'])
    expect(found[0]?.[1]).toMatch(/Linear 5 → 8/)
  })

  test('vanishing: a deep network of sigmoids', async () => {
    const init = new Random(1)
    const layers = Array.from({ length: 12 }, () => [new nn.Linear(6, 6, { rng: init }), new nn.Sigmoid()]).flat()
    const model = new nn.Sequential(new nn.Linear(5, 6, { rng: init }), new nn.Sigmoid(), ...layers, new nn.Linear(6, 2, { rng: init }))
    await on(() => new FBGD(model, { loss: loss.mse, learningRate: 0.01 }).fit(data, { epochs: 3, health: true }))
    const found = await said()
    expect(found.length).toBeGreaterThan(0)
    expect(new Set(found.map(([code]) => code))).toEqual(new Set(['WENGERT_VANISHING_GRADIENT']))
    expect(found[0]?.[1]).toMatch(/Linear 5 → 6/)
  })

  test('exploding: a rate far too large', async () => {
    const model = new nn.Linear(5, 2, { rng: new Random(1) })
    const trainer = new FBGD(model, { loss: loss.mse, learningRate: 3 })
    await on(() => trainer.fit(data, { epochs: 6, health: true, divergence: false }))
    expect((await said()).map(([code]) => code)).toEqual(['WENGERT_EXPLODING_GRADIENT'])
  })

  test('a network that learns as it should is not warned of', async () => {
    const init = new Random(1)
    const model = new nn.Sequential(new nn.Linear(5, 16, { rng: init }), new nn.ReLU(), new nn.Linear(16, 2, { rng: init }))
    await on(() => new MBSGD(model, { loss: loss.mse, learningRate: 0.05, batchSize: 8 }).fit(data, { epochs: 20, health: true }))
    expect(await said()).toEqual([])
  })
})

test('health is true or false', async () => {
  const trainer = new FBGD(new nn.Linear(1, 1), { loss: loss.mse, learningRate: 1 })
  await expect(trainer.fit({ x: tensor([[1]]), y: tensor([[1]]) }, { epochs: 1, health: 1 as never })).rejects.toMatchObject({
    code: 'ERR_OPTION',
  })
})
