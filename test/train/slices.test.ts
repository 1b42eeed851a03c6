/**
 * Large models: parameters are brought into a fit, and moments copied, in slices between which the event loop turns. What is
 * read in between, and what is trained, is as ever.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { loss, MBSGD, nn, optim, Random, type Tensor, tensor } from '../../lib/index.js'
import { announce, present, using } from '../support/engines.js'

announce('slices of large models')

const folder = mkdtempSync(join(tmpdir(), 'wengert-slices-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** 8 MB of parameters, and Adam's twice that: several slices each. */
const large = () => {
  const rng = new Random(3)
  return new nn.Sequential(
    new nn.Linear(1024, 1024, { rng }),
    new nn.ReLU(),
    new nn.Linear(1024, 1024, { rng }),
    new nn.Linear(1024, 1, { rng }),
  )
}
const data = { x: new Random(1).normal([4, 1024]), y: new Random(2).normal([4, 1]) }
/** The first place where two arrays differ by more than `by`, or −1. */
const differs = (a: Tensor | undefined, b: Tensor | undefined, by = 0): number => {
  const [p, q] = [a?.data ?? [], b?.data ?? []]
  for (let i = 0; i < Math.max(p.length, q.length); i++) if (!(Math.abs((p[i] as number) - (q[i] as number)) <= by)) return i
  return -1
}
const trainerOf = (model: nn.Module) => new MBSGD(model, { loss: loss.mse, optimizer: optim.adam({ learningRate: 1e-4 }), batchSize: 4 })

describe.each(present.map((name) => [name] as const))('%s engine', (name) => {
  test('between slices the model reads as it was, and refuses writes; the fit is that of a small step', async () => {
    await using(name, async () => {
      const [model, other] = [large(), large()]
      const x = tensor(data.x.data.slice(0, 1024), { shape: [1, 1024] })
      const trainer = trainerOf(model)
      await trainer.fit(data, { epochs: 1, seed: 1 })
      // Newer than the block in one layer, older in the others.
      const weight = model.layers[2] as nn.Linear
      weight.weight.assign(weight.weight.mul(0.5))
      const before = Array.from(model.predict(x).data)
      const whole = model.stateDict()
      const fit = trainer.fit(data, { epochs: 2, seed: 2, onEpoch: () => {} })
      expect(Array.from(model.predict(x).data)).toEqual(before)
      expect(() => weight.weight.assign(weight.weight)).toThrow(/fit/)
      let turns = 0
      const states: Record<string, Tensor>[] = []
      let over = false
      const watch = (async () => {
        while (!over && turns < 500) {
          if (turns < 3) states.push(model.stateDict())
          turns++
          await new Promise((resolve) => setImmediate(resolve))
        }
      })()
      await fit
      over = true
      await watch
      expect(turns).toBeGreaterThan(4)
      // The first slices are written while no epoch has ended.
      for (const key of Object.keys(whole)) expect(differs(states[0]?.[key], whole[key]), key).toBe(-1)

      const repeat = trainerOf(other)
      await repeat.fit(data, { epochs: 1, seed: 1 })
      const same = other.layers[2] as nn.Linear
      same.weight.assign(same.weight.mul(0.5))
      repeat.step(data.x, data.y)
      repeat.step(data.x, data.y)
      const [a, b] = [model.stateDict(), other.stateDict()]
      for (const key of Object.keys(a)) {
        expect(differs(a[key], b[key], 1e-6), key).toBe(-1)
      }
    })
  })

  test('aborted while its parameters are brought in, a fit leaves the model as it was and may begin again', async () => {
    await using(name, async () => {
      const model = large()
      const trainer = trainerOf(model)
      const stop = new AbortController()
      const fit = trainer.fit(data, { epochs: 1, seed: 1, signal: stop.signal })
      const whole = model.stateDict()
      setImmediate(() => stop.abort(new Error('enough')))
      await expect(fit).rejects.toThrow('enough')
      expect(trainer.updates).toBe(0)
      const after = model.stateDict()
      for (const key of Object.keys(whole)) expect(differs(after[key], whole[key]), key).toBe(-1)
      await trainer.fit(data, { epochs: 1, seed: 1 })
      expect(trainer.updates).toBe(1)
    })
  })

  test.each(['an update', 'a fit', 'another trainer', 'nothing'])(
    'save keeps the state at the call, with %s meanwhile',
    async (meanwhile) => {
      await using(name, async () => {
        const [model, other] = [large(), large()]
        const trainer = trainerOf(model)
        const step = (by: MBSGD) => by.step(data.x, data.y)
        step(trainer)
        step(trainer)
        const path = join(folder, `${name}-${meanwhile.replace(/ /g, '-')}.ckpt`)
        const saved = trainer.save(path)
        const whole = model.stateDict()
        // The first slice is copied at the call; the rest has its turn, or is overtaken.
        const turned = turnsUntil(saved)
        await new Promise((resolve) => setImmediate(resolve))
        if (meanwhile === 'an update') for (let i = 0; i < 3; i++) step(trainer)
        else if (meanwhile === 'a fit') await trainer.fit(data, { epochs: 2, seed: 1 })
        else if (meanwhile === 'another trainer') step(trainerOf(model))
        await saved
        expect(await turned).toBeGreaterThan(4)

        const resumed = trainerOf(other)
        await resumed.resume(path)
        expect(resumed.updates).toBe(2)
        const read = other.stateDict()
        for (const key of Object.keys(whole)) expect(differs(read[key], whole[key]), key).toBe(-1)
        // The optimiser's state is of that moment too: the next update is the third of a training that never stopped.
        const straight = large()
        const beside = trainerOf(straight)
        for (let i = 0; i < 3; i++) step(beside)
        step(resumed)
        const [a, b] = [other.stateDict(), straight.stateDict()]
        for (const key of Object.keys(a)) expect(differs(a[key], b[key]), key).toBe(-1)
      })
    },
  )
})

/** How often the event loop turns until a promise settles. */
async function turnsUntil(promise: Promise<unknown>): Promise<number> {
  let [turns, over] = [0, false]
  promise.finally(() => {
    over = true
  })
  for (; !over && turns < 100_000; turns++) await new Promise((resolve) => setImmediate(resolve))
  return turns
}
