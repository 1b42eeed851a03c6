/** Optimisers, schedules and clipping against PyTorch after one and ten updates of a small network, on every engine. */

import { describe, expect, test } from 'vitest'
import { FBGD, loss, nn, optim, Random, type Tensor, type TrainerOptions, tensor } from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'
import { announce, type EngineName, present, using } from '../support/engines.js'
import { golden, type Numbers, numbers } from '../support/golden.js'
import { farthest, tolerances } from '../support/tolerance.js'

type Values = Record<string, Numbers>
interface Case {
  name: string
  options: Record<string, unknown>
  float32: Record<'1' | '10', Values>
  float64: Record<'1' | '10', Values>
  rates: number[]
}
interface File {
  start: Values
  data: { x: Numbers; y: Numbers }
  optimizers: Case[]
  schedules: Case[]
  clipping: (Case & { bound: number })[]
}

announce('optimisers and schedules')
const file = golden<File>('optimizers')
const optimizers = optim as unknown as Record<string, (options: object) => optim.Optimizer>
const schedules = optim.schedules as unknown as Record<string, (options: object) => optim.Schedule>
const dtypes = ['float32', 'float64'] as const

function modelOf(dtype: 'float32' | 'float64'): nn.Sequential {
  const rng = new Random(1)
  const model = new nn.Sequential(new nn.Linear(4, 5, { dtype, rng }), new nn.Tanh(), new nn.Linear(5, 3, { dtype, rng }))
  const shapes = model.stateDict()
  model.loadStateDict(
    Object.fromEntries(
      Object.entries(file.start).map(([name, v]) => [name, tensor(numbers(v), { dtype, shape: (shapes[name] as Tensor).shape })]),
    ),
  )
  return model
}

/** Trains 1 and then 9 more epochs; the differences from PyTorch. */
async function compare(engine: EngineName, c: Case, options: () => Omit<TrainerOptions, 'loss'>): Promise<string[]> {
  const found: string[] = []
  for (const dtype of dtypes) {
    const model = modelOf(dtype)
    const trainer = new FBGD(model, { loss: loss.squaredError, ...options() })
    const data = { x: tensor(numbers(file.data.x), { shape: [12, 4], dtype }), y: tensor(numbers(file.data.y), { shape: [12, 3], dtype }) }
    for (const [after, epochs] of [
      ['1', 1],
      ['10', 9],
    ] as const) {
      await using(engine, () => trainer.fit(data, { epochs }))
      for (const [name, expected] of Object.entries(c[dtype][after])) {
        const wrong = farthest((model.stateDict()[name] as Tensor).data, numbers(expected), tolerances[dtype].training)
        if (wrong) found.push(`${dtype}, ${after} updates, ${name}${wrong}`)
      }
    }
  }
  return found
}

const titled = <T extends Case>(cases: T[]) => cases.map((c) => [`${c.name} ${JSON.stringify(c.options ?? {})}`, c] as const)

describe.each(present)('%s', (engine) => {
  test.each(titled(file.optimizers))('%s', async (_title, c) => {
    expect(await compare(engine, c, () => ({ optimizer: (optimizers[c.name] as (o: object) => optim.Optimizer)(c.options) }))).toEqual([])
  })

  test.each(titled(file.schedules))('schedule %s', async (_title, c) => {
    const make = () => {
      const needed = { step: true, exponential: true, cosine: true }
      const options = c.name in needed ? { ...c.options, per: 'update' } : c.options
      return (schedules[c.name] as (o: object) => optim.Schedule)(options)
    }
    expect(await compare(engine, c, () => ({ learningRate: 0.2, schedule: make() }))).toEqual([])
    if (c.name === 'plateau') return
    const schedule = make()
    const rates = c.rates.map((_, update) => schedule({ epoch: 0, update }, 0.2))
    expect(farthest(rates, c.rates, 1e-14)).toBe('')
  })

  test.each(titled(file.clipping))('%s', async (_title, c) => {
    expect(await compare(engine, c, () => ({ learningRate: 0.2, [c.name]: c.bound }))).toEqual([])
  })
})

test('the golden optimisers and schedules are all there are', () => {
  const names = (cases: Case[]) => [...new Set(cases.map((c) => c.name))].sort()
  expect(names(file.optimizers)).toEqual(
    Object.keys(optimizers)
      .filter((name) => !['schedules', 'minimize', 'applicable'].includes(name))
      .sort(),
  )
  expect(names(file.schedules)).toEqual(Object.keys(schedules).sort())
})

test('schedules count epochs or updates, and rest at their ends', () => {
  const { schedules: s } = optim
  expect(s.step({ every: 2 })({ epoch: 4, update: 0 }, 1)).toBeCloseTo(0.01, 15)
  expect(s.step({ every: 2, per: 'update' })({ epoch: 4, update: 0 }, 1)).toBe(1)
  expect(s.exponential({ factor: 0.5 })({ epoch: 3, update: 99 }, 8)).toBe(1)
  expect(s.inverseTime({ decay: 1 })({ epoch: 0, update: 3 }, 8)).toBe(2)
  expect(s.cosine({ total: 10, minimum: 0.1 })({ epoch: 50, update: 0 }, 1)).toBeCloseTo(0.1, 15)
  const cycle = s.oneCycle({ total: 10 })
  expect(cycle({ epoch: 0, update: 50 }, 1)).toBe(cycle({ epoch: 0, update: 9 }, 1))
  expect(s.constant()({ epoch: 5, update: 5 }, 0.3)).toBe(0.3)
  // The last batch of one epoch has its rate; the first of the next has another.
  expect([0, 1].map((epoch) => s.exponential({ factor: 0.5 })({ epoch, update: epoch * 10 }, 1))).toEqual([1, 0.5])
})

test('a plateau goes back to what it remembered', () => {
  const make = () => optim.schedules.plateau({ patience: 2, cooldown: 1 })
  const [a, b] = [make(), make()]
  const costs = [5, 4, 4, 4, 4, 3, 3, 3, 3, 3]
  for (const cost of costs.slice(0, 4)) a.observe(cost)
  b.restore(JSON.parse(JSON.stringify(a.state())))
  for (const cost of costs.slice(4)) {
    a.observe(cost)
    b.observe(cost)
    expect(b.state()).toEqual(a.state())
  }
  expect(a.state().reductions).toBe(2)
  expect(a.state().best).toBe(3)
  const fresh = make()
  fresh.restore(make().state())
  expect(fresh.state()).toEqual(make().state())
  expect(codeOf(() => fresh.restore({ bad: 0.5 }))).toBe('ERR_STATE')
})

describe('misuse is refused by name', () => {
  const linear = () => new nn.Linear(2, 2)
  const shared = linear()
  const trainer = (options: object) => new FBGD(linear(), { loss: loss.mse, ...options } as TrainerOptions)
  const cases: [string, () => unknown, string, RegExp][] = [
    ['no rate', () => optim.gradientDescent({} as never), 'ERR_RANGE', /learningRate/],
    ['no options', () => optim.gradientDescent(undefined as never), 'ERR_RANGE', /learningRate/],
    ['a rate of 0', () => optim.adam({ learningRate: 0 }), 'ERR_RANGE', /adam: expected learningRate/],
    ['momentum of 1', () => optim.gradientDescent({ learningRate: 1, momentum: 1 }), 'ERR_RANGE', /below 1/],
    ['nesterov alone', () => optim.gradientDescent({ learningRate: 1, nesterov: true }), 'ERR_OPTION', /without momentum/],
    ['one beta', () => optim.adam({ betas: [0.9] as never }), 'ERR_RANGE', /betas/],
    ['a beta of 1', () => optim.adamW({ betas: [0.9, 1] }), 'ERR_RANGE', /adamW.*betas/],
    ['text', () => optim.adam({ betas: '0.9' as never }), 'ERR_RANGE', /'0.9'/],
    ['negative decay', () => optim.adam({ weightDecay: -1 }), 'ERR_RANGE', /weightDecay/],
    ['a misspelling', () => optim.rmsProp({ learningrate: 1 } as never), 'ERR_OPTION', /did you mean 'learningRate'/],
    ['alpha for rho', () => optim.rmsProp({ alpha: 0.9 } as never), 'ERR_OPTION', /unknown option 'alpha'/],
    [
      'a parameter twice',
      () => optim.adam({ groups: [{ parameters: shared }, { parameters: [shared.weight] }] }),
      'ERR_OPTION',
      /groups\[1\]/,
    ],
    ['a name as parameter', () => optim.adam({ groups: [{ parameters: ['weight'] as never }] }), 'ERR_VALUE', /'weight'/],
    ['a group’s misspelling', () => optim.adam({ groups: [{ parameters: shared, lr: 1 } as never] }), 'ERR_OPTION', /groups\[0\].*'lr'/],
    ['groups that are none', () => optim.adam({ groups: {} as never }), 'ERR_OPTION', /groups to be a list/],
    ['no steps', () => optim.schedules.step({} as never), 'ERR_RANGE', /every/],
    ['another clock', () => optim.schedules.step({ every: 1, per: 'batch' as never }), 'ERR_OPTION', /'epoch' or 'update'/],
    ['a warm-up of all', () => optim.schedules.cosine({ total: 5, warmup: 5 }), 'ERR_RANGE', /warmup/],
    ['a factor of 1', () => optim.schedules.plateau({ factor: 1 }), 'ERR_RANGE', /factor/],
    ['a norm of 0', () => trainer({ learningRate: 1, clipNorm: 0 }), 'ERR_RANGE', /clipNorm/],
    ['a value as text', () => trainer({ learningRate: 1, clipValue: '1' }), 'ERR_RANGE', /clipValue/],
  ]
  test.each(cases)('%s', (_name, attempt, code, message) => {
    expect(codeOf(attempt)).toBe(code)
    expect(attempt).toThrow(message)
  })
})
