/** Layers frozen and unfrozen on the way: every parameter counts its own updates, as in PyTorch, however it is updated and resumed. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { FBGD, loss, nn, optim, setBackend, type Tensor, tensor } from '../../lib/index.js'
import { announce, present } from '../support/engines.js'
import { golden, type Numbers, numbers } from '../support/golden.js'

announce('unfreezing')

interface File {
  x: number[][]
  y: number[][]
  start: Record<string, Numbers>
  phases: { updates: number; frozen: number[] }[]
  cases: { optimizer: string; options: Record<string, unknown>; after: Record<string, Numbers>[] }[]
}
const file = golden<File>('unfreezing')
const optimizers = optim as unknown as Record<string, (options: object) => optim.Optimizer>

const folder = mkdtempSync(join(tmpdir(), 'wengert-unfreezing-'))
afterAll(() => {
  rmSync(folder, { recursive: true })
  setBackend(present.includes('native') ? 'native' : 'js')
})

function modelOf(): nn.Sequential {
  const model = new nn.Sequential(new nn.Linear(2, 2, { dtype: 'float64' }), new nn.Tanh(), new nn.Linear(2, 1, { dtype: 'float64' }))
  const shapes = model.stateDict()
  const values = Object.entries(file.start).map(([name, v]) => [
    name,
    tensor(numbers(v), { dtype: 'float64', shape: (shapes[name] as Tensor).shape }),
  ])
  model.loadStateDict(Object.fromEntries(values))
  return model
}

const freeze = (model: nn.Sequential, frozen: readonly number[]) => {
  model.unfreeze()
  for (const i of frozen) model.layers[i]?.freeze()
}

const data = { x: tensor(file.x, { dtype: 'float64' }), y: tensor(file.y, { dtype: 'float64' }) }
const ways = {
  step: async (trainer: FBGD, updates: number) => {
    for (let i = 0; i < updates; i++) trainer.step(data.x, data.y)
  },
  fit: async (trainer: FBGD, updates: number) => {
    await trainer.fit(data, { epochs: updates })
  },
  fitStream: async (trainer: FBGD, updates: number) => {
    await trainer.fitStream(Array.from({ length: updates }, () => data))
  },
}

describe.each(present)('on %s', (engine) => {
  for (const [way, update] of Object.entries(ways)) {
    test.each(file.cases.map((c) => [`${c.optimizer} ${JSON.stringify(c.options)}`, c] as const))(`${way}, %s`, async (_name, c) => {
      setBackend(engine)
      const trainerOf = (model: nn.Sequential) =>
        new FBGD(model, { loss: loss.mse, optimizer: (optimizers[c.optimizer] as (options: object) => optim.Optimizer)(c.options) })
      let model = modelOf()
      let trainer = trainerOf(model)
      for (const [i, { updates, frozen }] of file.phases.entries()) {
        freeze(model, frozen)
        await update(trainer, updates)
        const expected = c.after[i] as Record<string, Numbers>
        for (const [name, value] of Object.entries(model.stateDict())) {
          numbers(expected[name] as Numbers).forEach((v, k) => {
            expect(value.data[k], `${name} after phase ${i}`).toBeCloseTo(v, 12)
          })
        }
        // A run taken up again goes on with the same counts, of frozen parameters too.
        const path = join(folder, `${engine}-${way}-${i}`)
        await trainer.save(path)
        model = modelOf()
        freeze(model, frozen)
        trainer = trainerOf(model)
        await trainer.resume(path)
      }
    })
  }
})
