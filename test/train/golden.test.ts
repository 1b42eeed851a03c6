/**
 * Training against PyTorch from the same start over the same order of samples, against a hand-written eager loop, and one
 * engine against the other: the parameters and every epoch's cost.
 */

import { describe, expect, test } from 'vitest'
import { FBGD, MBSGD, SGD } from '../../lib/index.js'
import type { Trainer } from '../../lib/train/trainer.js'
import type { FloatDtype } from '../../lib/util/dtype.js'
import { permutation, purposes } from '../../lib/util/random.js'
import { announce, type EngineName, present, using } from '../support/engines.js'
import { golden } from '../support/golden.js'
import { descend, floats, snapshot } from '../support/models.js'
import { type NetworkName, sampled, type Task, task } from '../support/networks.js'
import { farthest, tolerances } from '../support/tolerance.js'

interface Run {
  network: NetworkName
  trainer: 'FBGD' | 'SGD' | 'MBSGD'
  batch: number | null
  epochs: number
  float32: { parameters: number[][]; costs: number[] }
  float64: { parameters: number[][]; costs: number[] }
}
const file = golden<{ orders: number[][]; runs: Run[] }>('training')
announce('training')

function trainerOf({ trainer, batch }: Run, { model, loss, learningRate }: Task): Trainer {
  if (trainer === 'FBGD') return new FBGD(model, { loss, learningRate })
  if (trainer === 'SGD') return new SGD(model, { loss, learningRate })
  return new MBSGD(model, { loss, learningRate, batchSize: batch as number })
}

async function fitted(run: Run, dtype: FloatDtype, engine: EngineName): Promise<Task & { costs: number[] }> {
  const t = task(run.network, dtype)
  // The engine is chosen when the fit begins.
  const history = await using(engine, () => trainerOf(run, t).fit({ x: t.x, y: t.y }, { epochs: run.epochs, seed: file.seed }))
  return { ...t, costs: history.epochs.map((e) => e.cost) }
}

test('orders of samples are those of the golden runs', () => {
  file.orders.forEach((expected, epoch) => {
    const order = new Int32Array(expected.length)
    permutation(order, { seed: file.seed, purpose: purposes.order, a: epoch, b: 0 })
    expect(Array.from(order)).toEqual(expected)
  })
})

const cases = file.runs.flatMap((run) =>
  floats.map((dtype) => ({ run, dtype, title: `${run.trainer}${run.batch ? ` of ${run.batch}` : ''}, ${run.network}, ${dtype}` })),
)

describe.each(present)('on %s', (engine) => {
  test.each(cases)('$title: as PyTorch', async ({ run, dtype }) => {
    const { model, costs } = await fitted(run, dtype, engine)
    const expected = run[dtype]
    const tolerance = tolerances[dtype].training
    model.namedParameters().forEach(([name, p], i) => {
      expect(farthest(sampled(p), expected.parameters[i] as number[], tolerance), name).toBe('')
    })
    expect(farthest(costs, expected.costs, tolerance)).toBe('')
  })

  test.each(cases)('$title: as a loop written by hand, run eagerly', async ({ run, dtype }) => {
    const { model, costs } = await fitted(run, dtype, engine)
    const t = task(run.network, dtype)
    const m = t.x.shape[0] as number
    const size = run.batch ?? m
    const own: number[] = []
    using(engine, () => {
      for (let epoch = 0; epoch < run.epochs; epoch++) {
        const order = Int32Array.from({ length: m }, (_, i) => i)
        if (run.batch) permutation(order, { seed: file.seed, purpose: purposes.order, a: epoch, b: 0 })
        let total = 0
        for (let at = 0; at < m; at += size) {
          const rows = order.slice(at, at + size)
          total += rows.length * descend(t.model, t.loss, t.x.gather(Array.from(rows)), t.y.gather(Array.from(rows)), t.learningRate)
        }
        own.push(total / m)
      }
    })
    // A hundred updates: the tolerance of one evaluation, ten times over in float64.
    const tolerance = dtype === 'float32' ? 1e-5 : 1e-12
    const [a, b] = [snapshot(model), snapshot(t.model)]
    for (const name of Object.keys(a)) expect(farthest(a[name] as number[], b[name] as number[], tolerance), name).toBe('')
    expect(farthest(costs, own, tolerance)).toBe('')
  })
})

test.skipIf(present.length < 2).each(cases)('$title: both engines agree', async ({ run, dtype }) => {
  const [one, other] = (await Promise.all(present.map((engine) => fitted(run, dtype, engine)))) as [
    Awaited<ReturnType<typeof fitted>>,
    Awaited<ReturnType<typeof fitted>>,
  ]
  const [a, b] = [snapshot(one.model), snapshot(other.model)]
  for (const name of Object.keys(a)) expect(farthest(b[name] as number[], a[name] as number[], tolerances[dtype].engines), name).toBe('')
  expect(farthest(other.costs, one.costs, tolerances[dtype].engines)).toBe('')
})
