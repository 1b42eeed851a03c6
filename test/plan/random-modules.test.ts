/**
 * Modules made at random through every way of updating: a compiled fit, an eager one, steps, a stream, on both engines. All
 * must leave the same parameters and statistics. `npm run test:random` runs as many as you like.
 */

import { expect, test } from 'vitest'
import * as w from '../../lib/index.js'
import type { Tensor } from '../../lib/tensor/tensor.js'
import { announce, during, present } from '../support/engines.js'
import { floats } from '../support/models.js'
import { Checkpointed, type RandomTask, Reading, randomTask } from '../support/random-modules.js'
import { farthest } from '../support/tolerance.js'

announce('random modules')

const count = Number(process.env.WENGERT_RANDOM_COUNT ?? 40)
const from = Number(process.env.WENGERT_RANDOM_FROM ?? 0)
const epochs = 3

const stateOf = (model: w.nn.Module): Tensor[] => Object.values(model.stateDict()) as Tensor[]
const trainer = (task: RandomTask, model: w.nn.Module) =>
  new w.FBGD(model, { loss: task.loss, optimizer: task.optimizer(), ...(task.clipNorm ? { clipNorm: task.clipNorm } : {}) })

/** What a model holds after each way of making the same updates; those that draw can only be compared where the draws are keyed alike. */
const ways: Record<string, (task: RandomTask) => Promise<Tensor[]>> = {
  fit: async (task) => {
    const model = task.make()
    await trainer(task, model).fit({ x: task.x, y: task.y }, { epochs, seed: 5, divergence: false })
    return stateOf(model)
  },
  'eager fit': async (task) => {
    const model = task.make()
    await trainer(task, new Reading(model)).fit({ x: task.x, y: task.y }, { epochs, seed: 5, divergence: false })
    return stateOf(model)
  },
  steps: async (task) => {
    const model = task.make()
    const updating = trainer(task, model)
    for (let i = 0; i < epochs; i++) updating.step(task.x, task.y)
    return stateOf(model)
  },
  stream: async (task) => {
    const model = task.make()
    const batches = (function* () {
      for (let i = 0; i < epochs; i++) yield { x: task.x, y: task.y }
    })()
    await trainer(task, model).fitStream(batches)
    return stateOf(model)
  },
}

const differ = (a: readonly Tensor[], b: readonly Tensor[], narrow: boolean, share = 1): string => {
  for (const [i, y] of a.entries()) {
    const difference = farthest(y.data, b[i]?.data ?? [], share * (narrow ? 2e-3 : 1e-8))
    if (difference) return `value ${i}: ${difference}`
  }
  return ''
}

/** Each number moved by a rounding, up and down in turn: what is common to all of them is lost on a normalisation. */
const jittered = (x: Tensor, by: number): Tensor =>
  w.tensor(
    x.data.map((v, i) => v * (1 + (i % 2 ? by : -by))),
    { shape: x.shape, dtype: x.dtype },
  )

/** Whether roundings of the parameters, and of data that are no indices, change as much: this point is decided by one. */
async function unsure(task: RandomTask, way: string, number: number, left: readonly Tensor[]): Promise<boolean> {
  for (const times of [-1, 1, -3, 3]) {
    const by = times * (task.narrow ? 1e-6 : 1e-14)
    const make = () => {
      const model = task.make()
      for (const p of model.parameters()) p.assign(jittered(p, by))
      return model
    }
    const x = task.looksUp ? task.x : jittered(task.x, by)
    w.seed(number)
    const moved = await during(present[0] as 'js', () => (ways[way] as (task: RandomTask) => Promise<Tensor[]>)({ ...task, make, x }))
    // Its effect is a matter of chance: one that comes near is enough.
    if (differ(moved, left, task.narrow, 0.25)) return true
  }
  return false
}

test.each(floats)(
  `${count} modules through every way of updating, on ${present.join(' and ')}, %s`,
  { timeout: Math.max(240_000, 1000 * count) },
  async (dtype) => {
    const wrong: string[] = []
    let open = 0
    for (let number = from; number < from + count && wrong.length < 10; number++) {
      const task = randomTask(number, dtype)
      try {
        const firsts = new Map<string, Tensor[]>()
        const found: string[] = []
        const doubted = new Set<string>()
        for (const engine of present) {
          for (const name of Object.keys(ways)) {
            w.seed(number)
            // Draws are keyed by the fit in one, by the trainer in the other.
            const kin = task.draws && !name.endsWith('fit') ? 'steps' : 'fit'
            const state = await during(engine, () => (ways[name] as (task: RandomTask) => Promise<Tensor[]>)(task))
            const first = firsts.get(kin) ?? state
            firsts.set(kin, first)
            const difference = differ(state, first, task.narrow)
            if (!difference) continue
            found.push(`${name} on ${engine}, ${difference}`)
            doubted.add(kin)
          }
        }
        if (found.length === 0) continue
        let sure = false
        for (const way of doubted) sure ||= !(await unsure(task, way, number, firsts.get(way) as Tensor[]))
        if (!sure) open++
        else wrong.push(`module ${number} (${task.description}): ${found.join('; ')}`)
      } catch (error) {
        wrong.push(`module ${number} (${task.description}): ${(error as Error).stack?.split('\n').slice(0, 4).join(' ')}`)
      }
    }
    console.log(`${dtype}: ${count} modules, ${open} of them at points where a rounding decides`)
    expect(wrong).toEqual([])
    expect(open).toBeLessThan(Math.max(5, count / 5))
  },
)

test.each(present)('a checkpointed dropout draws the masks of the plain one again, on %s', async (engine) => {
  await during(engine, async () => {
    const make = (held: boolean) => {
      const rng = new w.Random(3)
      const inner = () => new w.nn.Sequential(new w.nn.Linear(6, 6, { rng }), new w.nn.Dropout(0.5), new w.nn.Tanh(), new w.nn.Dropout(0.5))
      const [first, second] = [inner(), inner()]
      return new w.nn.Sequential(
        held ? new Checkpointed(first) : first,
        held ? new Checkpointed(second) : second,
        new w.nn.Linear(6, 2, { rng }),
      )
    }
    const rng = new w.Random(4)
    const data = { x: rng.normal([9, 6]), y: rng.normal([9, 2]) }
    const trained = await Promise.all(
      [false, true].flatMap((held) =>
        [false, true].map(async (eager) => {
          const model = make(held)
          const whole = eager ? new Reading(model) : model
          await new w.FBGD(whole, { loss: w.loss.mse, learningRate: 0.1 }).fit(data, { epochs: 4, seed: 8 })
          return stateOf(model)
        }),
      ),
    )
    const [plain, ...others] = trained as [Tensor[], ...Tensor[][]]
    for (const other of others) expect(other.map((x, i) => farthest(x.data, plain[i]?.data ?? [], 1e-5))).toEqual(plain.map(() => ''))
  })
})
