/**
 * Every state that a model can be in, through every way of updating: after an update the model is changed, and the next update
 * is the one that a fresh trainer makes, which goes on from the same state and has never seen the model before the change.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { FBGD, loss, MBSGD, nn, optim, Random, SGD, seed, setBackend, type Tensor, type Trainer } from '../../lib/index.js'
import { announce, present } from '../support/engines.js'
import { floats } from '../support/models.js'

announce('states of models')

const folder = mkdtempSync(join(tmpdir(), 'wengert-states-'))
afterAll(() => {
  rmSync(folder, { recursive: true })
  setBackend(present.includes('native') ? 'native' : 'js')
})

/** A model with it trains eagerly. */
class Reads extends nn.Module {
  override forward(x: Tensor): Tensor {
    return x.sum().item() > 1e9 ? x.neg() : x
  }
}

interface Model extends nn.Module {
  layers: nn.Module[]
}

interface Form {
  dtype: 'float32' | 'float64'
  eager: boolean
  /** Whether a batch has one sample, which batch normalisation refuses. */
  single: boolean
}

function build({ dtype, eager, single }: Form): Model {
  const rng = new Random(3)
  return new nn.Sequential(
    new nn.Linear(3, 3, { rng, dtype }),
    single ? new nn.LayerNorm(3, { dtype }) : new nn.BatchNorm1d(3, { dtype }),
    new nn.ReLU(),
    new nn.Dropout(0.3),
    new nn.LeakyReLU(0.2),
    new nn.Linear(3, 3, { rng, dtype }),
    ...(eager ? [new Reads()] : []),
    new nn.Linear(3, 2, { rng, dtype }),
  ) as unknown as Model
}

interface Change {
  name: string
  /** The state that it starts from; as built by default. */
  from?(model: Model): void
  change(model: Model, form: Form): void
  /** Classes afterwards. */
  classes?: number
}

const first = (model: Model) => model.layers[0] as nn.Linear
const second = (model: Model) => model.layers[5] as nn.Linear

const changes: Change[] = [
  { name: 'nothing', change: () => undefined },
  { name: 'switched to use', change: (m) => m.eval() },
  { name: 'switched to training', from: (m) => m.eval(), change: (m) => m.train() },
  { name: 'one layer switched to use', change: (m) => m.layers[3]?.eval() },
  {
    name: 'a layer exchanged',
    change: (m) => {
      m.layers[2] = new nn.Tanh()
    },
  },
  {
    name: 'a layer that draws put in',
    from: (m) => {
      m.layers[3] = new nn.Identity()
    },
    change: (m) => {
      m.layers[3] = new nn.Dropout(0.4)
    },
  },
  {
    name: 'a number changed',
    change: (m) => {
      Object.assign(m.layers[4] as nn.Module, { slope: -0.5 })
    },
  },
  { name: 'frozen', change: (m) => first(m).freeze() },
  { name: 'unfrozen', from: (m) => first(m).freeze(), change: (m) => m.unfreeze() },
  {
    name: 'the head replaced',
    change: (m, { dtype }) => {
      m.layers[m.layers.length - 1] = new nn.Linear(3, 4, { rng: new Random(8), dtype })
    },
    classes: 4,
  },
  {
    name: 'a parameter shared',
    change: (m) => {
      Object.assign(second(m), { weight: first(m).weight })
    },
  },
  {
    name: 'a parameter no longer shared',
    from: (m) => {
      Object.assign(second(m), { weight: first(m).weight })
    },
    change: (m, { dtype }) => {
      Object.assign(second(m), { weight: new nn.Linear(3, 3, { rng: new Random(4), dtype }).weight })
    },
  },
  {
    name: 'values assigned',
    change: (m) => {
      first(m).weight.assign(first(m).weight.mul(0.5))
    },
  },
]

const samples = 4
const dataOf = ({ dtype }: Form, classes: number) => ({
  x: new Random(5).normal([samples, 3], { dtype }),
  y: Int32Array.from({ length: samples }, (_, i) => (i + classes - 2) % classes),
})
const rowsOf = (form: Form, classes: number) => {
  const { x, y } = dataOf(form, classes)
  return Array.from(y, (label, i) => ({ x: x.data.slice(3 * i, 3 * i + 3) as Float32Array, y: label as never }))
}

interface Way {
  name: string
  single?: boolean
  trainer(model: nn.Module): Trainer
  update(trainer: Trainer, form: Form, classes: number): Promise<number>
}

const common = () => ({ loss: loss.crossEntropy, optimizer: optim.adam({ learningRate: 0.02 }) })
const fit = async (trainer: Trainer, form: Form, classes: number) => {
  const { last } = await trainer.fit(dataOf(form, classes), { epochs: 2, seed: 7 })
  return last?.cost as number
}

const ways: Way[] = [
  { name: 'fit of MBSGD', trainer: (m) => new MBSGD(m, { ...common(), batchSize: 3 + 1 }), update: fit },
  { name: 'fit of SGD', single: true, trainer: (m) => new SGD(m, common()), update: fit },
  { name: 'fit of FBGD', trainer: (m) => new FBGD(m, { loss: loss.crossEntropy, learningRate: 0.05 }), update: fit },
  {
    name: 'step',
    trainer: (m) => new MBSGD(m, { ...common(), batchSize: 2 }),
    update: async (trainer, form, classes) => {
      const { x, y } = dataOf(form, classes)
      trainer.step(x, y)
      return trainer.step(x, y)
    },
  },
  {
    name: 'fitStream of single samples',
    single: true,
    trainer: (m) => new SGD(m, common()),
    update: async (trainer, form, classes) => (await trainer.fitStream(rowsOf(form, classes))).cost,
  },
  {
    name: 'fitStream of batches',
    trainer: (m) => new SGD(m, common()),
    update: async (trainer, form, classes) => (await trainer.fitStream([dataOf(form, classes)])).cost,
  },
]

/** An update whose draws, where they have no seed yet, begin alike. */
const update = (way: Way, trainer: Trainer, form: Form, classes: number) => {
  seed(11)
  return way.update(trainer, form, classes)
}

const stateOf = (model: nn.Module) => Object.entries(model.stateDict()).map(([name, t]) => [name, Array.from(t.data)])

let files = 0

describe.each(present)('on %s', (engine) => {
  // What a model is like concerns no engine: the slower one is shown one precision.
  const dtypes = engine === 'js' ? floats.slice(0, 1) : floats
  for (const way of ways) {
    for (const eager of [false, true]) {
      describe(`${way.name}${eager ? ', a model that reads values' : ''}`, () => {
        test.each(changes.flatMap((change) => dtypes.map((dtype) => [change.name, dtype, change] as const)))(
          '%s, %s',
          async (_name, dtype, { from, change, classes = 2 }) => {
            setBackend(engine)
            const form = { dtype, eager, single: way.single ?? false }
            const [model, copy] = [build(form), build(form)]
            for (const m of [model, copy]) from?.(m)
            const trainer = way.trainer(model)
            await update(way, trainer, form, 2)
            const file = join(folder, `${files++}`)
            await trainer.save(file)
            const fresh = way.trainer(copy)
            await fresh.resume(file)
            const before = stateOf(model)
            for (const m of [model, copy]) change(m, form)
            const costs = [await update(way, trainer, form, classes), await update(way, fresh, form, classes)]
            expect(costs[0]).toBe(costs[1])
            expect(stateOf(model)).toEqual(stateOf(copy))
            expect(stateOf(model)).not.toEqual(before)
          },
        )
      })
    }
  }

  test('a stream sees what changes between two of its items', async () => {
    setBackend(engine)
    const form = { dtype: 'float32', eager: false, single: true } as const
    for (const { from, change, classes = 2 } of changes) {
      const [model, copy] = [build(form), build(form)]
      for (const m of [model, copy]) from?.(m)
      const [streaming, stepping] = [model, copy].map((m) => new SGD(m, { loss: loss.crossEntropy, learningRate: 0.1 })) as [SGD, SGD]
      const items = [...rowsOf(form, 2), ...rowsOf(form, 2), ...rowsOf(form, classes)]
      // Both draw from one seed.
      for (const t of [streaming, stepping]) await t.fit(dataOf(form, 2), { epochs: 1, seed: 1 })
      async function* source() {
        for (const [i, item] of items.entries()) {
          if (i === 2 * samples) change(model, form)
          yield item
        }
      }
      const costs: number[] = []
      await streaming.fitStream(source(), { onUpdate: ({ cost }) => void costs.push(cost) })
      const stepped = items.map(({ x, y }, i) => {
        if (i === 2 * samples) change(copy, form)
        return stepping.step([Array.from(x)], [y])
      })
      expect(costs).toEqual(stepped)
      expect(stateOf(model)).toEqual(stateOf(copy))
    }
  })
})
