/** Layers of images and signals against PyTorch: values, gradients, statistics, networks loaded, trained, used, saved and misused. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import {
  functionalCall,
  loadModel,
  loadParameters,
  loss,
  MBSGD,
  nn,
  Random,
  readSafetensors,
  saveModel,
  type Tensor,
  tensor,
  vjp,
  zeros,
} from '../../lib/index.js'
import { lowerFunction } from '../../lib/plan/plan.js'
import { StateLayout } from '../../lib/plan/state-layout.js'
import { codeOf } from '../backend/engines.js'
import { announce, during, present, using } from '../support/engines.js'
import { golden, type Numbers, numbers } from '../support/golden.js'
import { farthest } from '../support/tolerance.js'

interface Case {
  layer: string
  args: unknown[]
  shape: number[]
  x: Numbers
  parameters: Numbers[]
  out: number[]
  value: Numbers
  g: Numbers
  gradients: Numbers[]
  buffers: Numbers[]
  inUse: Numbers
}
interface Network {
  shape: number[]
  x: Numbers
  outputs: number
  y: Numbers
  before: Numbers
  costs: Numbers
  state: Record<string, Numbers>
  after: Numbers
}
type Dtype = 'float32' | 'float64'

announce('layers of images')
const { cases, networks } = golden<{ cases: Case[]; networks: Record<'images' | 'signals', Network> }>('images')
const folder = mkdtempSync(join(tmpdir(), 'wengert-images-'))
afterAll(() => rmSync(folder, { recursive: true }))

const typed = /^(Conv|BatchNorm|GroupNorm|InstanceNorm)/
function make({ layer, args }: Case, dtype: Dtype): nn.Module {
  const Layer = (nn as unknown as Record<string, new (...args: unknown[]) => nn.Module>)[layer] as new (...args: unknown[]) => nn.Module
  if (!typed.test(layer)) return new Layer(...args)
  const last = args[args.length - 1]
  const options = typeof last === 'object' && !Array.isArray(last) ? last : undefined
  return new Layer(...(options ? args.slice(0, -1) : args), { ...options, dtype })
}
const given = (values: Numbers, shape: readonly number[], dtype: Dtype) => tensor(numbers(values), { shape: [...shape], dtype })

const make1d = (dtype: Dtype) =>
  new nn.Sequential(
    new nn.Conv1d(2, 4, 5, { padding: 2, dtype }),
    new nn.BatchNorm1d(4, { dtype }),
    new nn.ReLU(),
    new nn.MaxPool1d(2),
    new nn.ConvTranspose1d(4, 3, 3, { stride: 2, dtype }),
    new nn.AvgPool1d(2),
    new nn.AdaptiveAvgPool1d(3),
    new nn.Flatten(),
    new nn.Linear(9, 2, { dtype }),
  )
const make2d = (dtype: Dtype) =>
  new nn.Sequential(
    new nn.ZeroPad2d(1),
    new nn.Conv2d(2, 6, 3, { bias: false, dtype }),
    new nn.BatchNorm2d(6, { dtype }),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Conv2d(6, 6, 3, { padding: 1, groups: 6, dtype }),
    new nn.GroupNorm(2, 6, { dtype }),
    new nn.Upsample({ scale: 2 }),
    new nn.InstanceNorm2d(6, { affine: true, trackRunningStats: true, dtype }),
    new nn.AvgPool2d(2),
    new nn.ConvTranspose2d(6, 4, 3, { stride: 2, padding: 1, outputPadding: 1, dtype }),
    new nn.Dropout2d(0),
    new nn.AdaptiveAvgPool2d(4),
    new nn.GlobalAvgPool2d(),
    new nn.Linear(4, 3, { dtype }),
  )
const builders = { images: make2d, signals: make1d }
const fileOf = (name: string) => fileURLToPath(new URL(`../golden/${name}.safetensors`, import.meta.url))

/** The state of PyTorch's network, in the model's type. */
async function load(model: nn.Module, name: string, dtype: Dtype): Promise<void> {
  if (dtype === 'float32') return await loadParameters(model, fileOf(name))
  const { tensors } = await readSafetensors(fileOf(name))
  model.loadStateDict(Object.fromEntries(Object.entries(tensors).map(([key, t]) => [key, t.dtype === 'float32' ? t.cast(dtype) : t])))
}
/** A module's name for PyTorch's. */
const here = (name: string) => name.replace('running_mean', 'runningMean').replace('running_var', 'runningVariance')

for (const engine of present) {
  describe.each(['float32', 'float64'] as const)(`${engine} engine, %s`, (dtype) => {
    const loose = dtype === 'float32' ? 1e7 : 1
    test.each(cases.map((c) => [`${c.layer} ${JSON.stringify(c.args).slice(1, -1)} of [${c.shape}]`, c] as const))('%s', (_title, c) => {
      using(engine, () => {
        const layer = make(c, dtype)
        const parameters = layer.namedParameters()
        expect(parameters.length).toBe(c.parameters.length)
        parameters.forEach(([, p], i) => {
          p.assign(given(c.parameters[i] as Numbers, p.shape, dtype))
        })
        const x = given(c.x, c.shape, dtype)
        const y = layer.forward(x)
        expect(y.shape).toEqual(c.out)
        const found = [farthest(y.data, numbers(c.value), 1e-13 * loose)]
        layer.forward(x.mul(2).add(1))
        expect(layer.buffers().length).toBe(c.buffers.length)
        layer.buffers().forEach((b, i) => {
          found.push(farthest(b.data, numbers(c.buffers[i] as Numbers), 1e-13 * loose))
        })
        // A layer without parameters takes what it is given as float32.
        found.push(farthest(layer.predict(x).data, numbers(c.inUse), layer.dtype === dtype ? 1e-13 * loose : 1e-6))
        const values = Object.fromEntries(parameters.map(([name, p]) => [name, p.resolve()]))
        layer.train()
        const [, pullback] = vjp(({ x: v, ...all }: Record<string, Tensor>) => functionalCall(layer, all, v as Tensor), { x, ...values })
        const [adjoints] = pullback(given(c.g, c.out, dtype)) as [Record<string, Tensor>]
        const gradients = ['x', ...parameters.map(([name]) => name)].map((name) => adjoints[name] as Tensor)
        gradients.forEach((g, i) => {
          found.push(farthest(g.data, numbers(c.gradients[i] as Numbers), 1e-12 * loose))
        })
        expect(found.filter(Boolean)).toEqual([])
      })
    })

    test.each(['images', 'signals'] as const)('a network of all layers of %s, as PyTorch saved it', async (name) => {
      const golden = networks[name]
      await during(engine, async () => {
        const model = builders[name](dtype)
        await load(model, name, dtype)
        const [x, y] = [given(golden.x, golden.shape, dtype), given(golden.y, [golden.shape[0] as number, golden.outputs], dtype)]
        expect(farthest(model.predict(x).data, numbers(golden.before), dtype === 'float32' ? 1e-5 : 1e-12)).toBe('')
        expect(farthest(model.predict(x.gather(3)).data, numbers(golden.before).slice(3 * golden.outputs, 4 * golden.outputs), 1e-5)).toBe(
          '',
        )
        const trainer = new MBSGD(model, { loss: loss.mse, learningRate: 0.05, batchSize: golden.shape[0] as number })
        const costs = [1, 2, 3].map(() => trainer.step(x, y))
        const tolerance = dtype === 'float32' ? 2e-5 : 1e-11
        expect(farthest(costs, numbers(golden.costs), tolerance)).toBe('')
        const state = model.stateDict()
        expect(Object.keys(state).sort()).toEqual(Object.keys(golden.state).map(here).sort())
        for (const [key, values] of Object.entries(golden.state))
          expect(farthest((state[here(key)] as Tensor).data, numbers(values), tolerance), key).toBe('')
        expect(farthest(model.predict(x).data, numbers(golden.after), 5 * tolerance)).toBe('')
      })
    })
  })
}

describe('saved and loaded', () => {
  test.each(['images', 'signals'] as const)('a network of %s', async (name) => {
    const model = builders[name]('float64')
    const x = given(networks[name].x, networks[name].shape, 'float64')
    model.forward(x)
    const path = join(folder, `${name}.wengert`)
    await saveModel(model, path)
    const copy = await loadModel(path)
    expect(copy.predict(x).data).toEqual(model.predict(x).data)
    expect(copy.describe()).toBe(model.describe())
    expect((copy as unknown as nn.Sequential).layers.map((l) => l.describe())).toEqual(model.layers.map((l) => l.describe()))
  })

  test('every layer with options of its own', async () => {
    for (const c of cases) {
      const model = new nn.Sequential(make(c, 'float32'))
      const path = join(folder, 'layer.wengert')
      await saveModel(model, path)
      const copy = await loadModel(path)
      const x = given(c.x, c.shape, 'float32')
      expect(copy.predict(x).data, c.layer).toEqual(model.predict(x).data)
      expect((copy as unknown as nn.Sequential).layers[0]?.config(), c.layer).toEqual(model.layers[0]?.config())
    }
  })
})

test("PyTorch's names of running statistics: nothing is lost, and no two names for one", () => {
  const model = new nn.BatchNorm2d(2)
  const dict = { weight: [1, 2], bias: [3, 4], running_mean: [5, 6], running_var: [7, 8], num_batches_tracked: 9 }
  model.loadStateDict(dict)
  expect(Array.from(model.runningMean?.data ?? [])).toEqual([5, 6])
  expect(Array.from(model.runningVariance?.data ?? [])).toEqual([7, 8])
  const refused = { ...dict, runningMean: [0, 0] }
  expect(codeOf(() => model.loadStateDict(refused))).toBe('ERR_STATE')
  expect(() => model.loadStateDict(refused)).toThrow(/unexpected 'running_mean'|unexpected running_mean/)
  // A layer without running statistics has no use for them, and says so.
  expect(codeOf(() => new nn.GroupNorm(1, 2).loadStateDict(dict))).toBe('ERR_STATE')
  expect(Array.from(model.runningMean?.data ?? [])).toEqual([5, 6])
})

describe('channels last', () => {
  /** Calls that rearrange an array of rank 3 or more (other than repeat it), in a program that gives f(x). */
  function moves(shape: number[], out: number[], f: (x: Tensor) => Tensor): number {
    const inputs = [
      { name: 'x', shape, dtype: 'float32' as const },
      { name: 'out', shape: out, dtype: 'float32' as const, writable: true },
    ]
    const { program } = lowerFunction(inputs, new StateLayout(), { dtype: 'float32' }, (r) => r.output(1, f(r.input(0))))
    return program.steps.filter(({ kernel, ints }) => {
      const rank = ints[0] as number
      return kernel === 'copy' && rank >= 3 && !ints.slice(3 + rank, 3 + 2 * rank).includes(0)
    }).length
  }
  const conv = () => new nn.Conv2d(8, 8, 3, { padding: 1, rng: new Random(1) })
  test.each([
    ['BatchNorm2d', () => new nn.BatchNorm2d(8, { trackRunningStats: false })],
    ['GroupNorm', () => new nn.GroupNorm(2, 8)],
    ['InstanceNorm2d', () => new nn.InstanceNorm2d(8, { affine: true })],
  ] as const)('%s between convolutions moves nothing, backwards neither', (_name, make) => {
    const model = new nn.Sequential(conv(), make(), new nn.ReLU(), conv())
    const shape = [2, 8, 6, 6]
    expect(moves(shape, shape, (x) => model.forward(x))).toBe(2)
    const gradient = (x: Tensor) => vjp((v: Tensor) => model.forward(v).relu().sum(), x)[1](tensor(1))[0] as Tensor
    expect(moves(shape, shape, gradient)).toBe(2)
  })
})

test('what is one number for each image and channel is used beside convolutions as it is op by op', () => {
  const rng = new Random(4)
  const [one, two] = [new nn.Conv2d(2, 6, 3, { padding: 1, rng }), new nn.Conv2d(6, 3, 3, { rng })]
  class Excited extends nn.Module {
    one = one
    two = two
    override forward(x: Tensor): Tensor {
      const y = this.one.forward(x)
      return this.two.forward(y.mul(y.mean([2, 3], { keepDims: true }).sigmoid()).relu())
    }
  }
  const model = new Excited()
  const x = rng.normal([3, 2, 7, 6])
  for (const engine of present) {
    using(engine, () => {
      expect(farthest(model.predict(x).data, model.forward(x).data, 1e-5)).toBe('')
    })
  }
})

describe('Dropout2d', () => {
  test.each(present)('zeroes whole channels in training, in a program too: %s', async (engine) => {
    await during(engine, async () => {
      const layer = new nn.Dropout2d(0.25)
      const x = zeros([400, 10, 2, 3]).add(1)
      const y = layer.forward(x).reshape([4000, 6])
      const rows = Array.from({ length: 4000 }, (_, i) => new Set(y.data.slice(6 * i, 6 * i + 6)))
      expect(rows.every((r) => r.size === 1)).toBe(true)
      const kept = rows.filter((r) => !r.has(0))
      expect(Math.abs(kept.length / 4000 - 0.75)).toBeLessThan(0.03)
      expect(kept.every((r) => r.has(Math.fround(1 / 0.75)))).toBe(true)
      expect(layer.predict(x).data).toEqual(x.data)
      expect(codeOf(() => layer.forward(zeros([2, 3])))).toBe('ERR_SHAPE')
    })
  })
})

describe('misuse is refused by name', () => {
  const x = zeros([2, 3, 4, 4])
  const cases: [string, () => unknown, string, RegExp][] = [
    ['a signal', () => new nn.BatchNorm2d(3).forward(zeros([2, 3, 4])), 'ERR_SHAPE', /BatchNorm2d: expected x of shape \[m, 3, H, W\]/],
    ['an image for BatchNorm1d', () => new nn.BatchNorm1d(3).forward(x), 'ERR_SHAPE', /BatchNorm1d: expected x of shape \[m, 3\] or/],
    ['other channels', () => new nn.InstanceNorm2d(4).forward(x), 'ERR_SHAPE', /InstanceNorm2d: .*\[2, 3, 4, 4\]/],
    ['one value a channel', () => new nn.BatchNorm2d(3).forward(zeros([1, 3, 1, 1])), 'ERR_SHAPE', /more than one value .*larger batches/],
    ['images of one pixel', () => new nn.InstanceNorm2d(3).predict(zeros([9, 3, 1, 1])), 'ERR_SHAPE', /more than one pixel/],
    ['groups that do not divide', () => new nn.GroupNorm(2, 3), 'ERR_RANGE', /2 groups do not divide 3 channels/],
    ['channels of another number', () => new nn.GroupNorm(1, 4).forward(x), 'ERR_SHAPE', /GroupNorm: .*\[m, 4, …\]/],
    ['no features', () => new nn.BatchNorm2d(0), 'ERR_RANGE', /BatchNorm2d/],
    ['PyTorch’s spelling', () => new nn.BatchNorm2d(3, { track_running_stats: true } as never), 'ERR_OPTION', /trackRunningStats/],
    ['a number for a flag', () => new nn.InstanceNorm2d(3, { trackRunningStats: 1 as never }), 'ERR_OPTION', /true or false/],
    ['a share of 2', () => new nn.Dropout2d(2), 'ERR_RANGE', /Dropout2d/],
  ]
  test.each(cases)('%s', (_name, attempt, code, message) => {
    expect(codeOf(attempt)).toBe(code)
    expect(attempt).toThrow(message)
  })

  test('an image is never taken for a batch of its rows', () => {
    const model = new nn.Sequential(new nn.Conv2d(1, 8, 3, { rng: new Random(1) }), new nn.GroupNorm(2, 8), new nn.GlobalAvgPool2d())
    const images = new Random(2).normal([3, 1, 10, 10])
    expect(farthest(model.predict(images.gather(1)).data, model.predict(images).gather(1).data, 1e-5)).toBe('')
  })
})
