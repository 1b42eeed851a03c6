/** Modules: names, saved states, freezing, summaries, prediction, and errors that name the layer. */

import { describe, expect, test } from 'vitest'
import { loss, MBSGD, nn, optim, Random, type Tensor, tensor } from '../../lib/index.js'
import { withBindings } from '../../lib/nn/parameter.js'
import { isOp } from '../../lib/plan/graph.js'
import { record } from '../../lib/plan/record.js'
import { Traced } from '../../lib/primitives/primitive.js'
import { inputTable } from '../../lib/train/inputs.js'
import { updateProgram } from '../../lib/train/programs.js'
import { Signature } from '../../lib/train/signature.js'
import { TrainingState } from '../../lib/train/training-state.js'
import { codeOf } from '../backend/engines.js'
import { announce, present, using } from '../support/engines.js'
import { floats, setParameters, snapshot } from '../support/models.js'
import { farthest, tolerances } from '../support/tolerance.js'

announce('modules')

function messageOf(f: () => unknown): string {
  try {
    f()
  } catch (error) {
    return (error as Error).message
  }
  return ''
}

/** A module of one's own: fields of every kind that may hold parameters. */
class Branches extends nn.Module {
  scale = new nn.Parameter(tensor([2]))
  first = new nn.Linear(2, 3)
  rest = [new nn.Linear(3, 3), new nn.Sequential(new nn.Linear(3, 1), new nn.ReLU())]
  tied = this.first
  forward(x: Tensor): Tensor {
    let y = this.first.forward(x)
    for (const m of this.rest) y = m.forward(y)
    return y.mul(this.scale)
  }
}

const mlp = (seed = 1, dtype: 'float32' | 'float64' = 'float32') => {
  const rng = new Random(seed)
  return new nn.Sequential(new nn.Linear(4, 5, { rng, dtype }), new nn.Tanh(), new nn.Linear(5, 3, { rng, dtype }))
}

describe('names and states', () => {
  test('parameters are named by their fields in registration order, a shared one once', () => {
    expect(new Branches().namedParameters().map(([name]) => name)).toEqual([
      'scale',
      'first.weight',
      'first.bias',
      'rest.0.weight',
      'rest.0.bias',
      'rest.1.0.weight',
      'rest.1.0.bias',
    ])
    expect(
      mlp()
        .namedParameters()
        .map(([name, p]) => `${name} [${p.shape}]`),
    ).toEqual(['0.weight [5,4]', '0.bias [5]', '2.weight [3,5]', '2.bias [3]'])
    expect(new nn.Linear(2, 3, { bias: false }).parameters().length).toBe(1)
  })

  test('stateDict holds copies, in order; loading them restores the outputs', () => {
    const model = mlp()
    const before = model.stateDict()
    expect(Object.keys(before)).toEqual(['0.weight', '0.bias', '2.weight', '2.bias'])
    const x = new Random(2).normal([3, 4])
    const y = model.predict(x)
    ;(before['0.weight'] as Tensor).data.fill(9)
    expect(model.predict(x).toArray()).toEqual(y.toArray())
    const saved = model.stateDict()
    const other = mlp(7)
    expect(other.predict(x).toArray()).not.toEqual(y.toArray())
    other.loadStateDict(saved)
    expect(other.predict(x).toArray()).toEqual(y.toArray())
    ;(saved['0.weight'] as Tensor).data.fill(9)
    expect(other.predict(x).toArray()).toEqual(y.toArray())
  })

  test('strict loading refuses missing and unexpected names, and changes nothing', () => {
    const model = mlp()
    const before = snapshot(model)
    const dict = model.stateDict()
    const { '0.bias': bias, ...missing } = dict
    expect(codeOf(() => model.loadStateDict(missing))).toBe('ERR_STATE')
    expect(messageOf(() => model.loadStateDict(missing))).toContain('missing 0.bias')
    expect(messageOf(() => model.loadStateDict({ ...dict, '9.weight': bias as Tensor }))).toContain('unexpected 9.weight')
    const zero = tensor(new Float32Array(20), { shape: [5, 4] })
    for (const wrong of [tensor([1]), tensor([1, 2, 3], { dtype: 'float64' }), [1, 2], 'text'])
      expect(codeOf(() => model.loadStateDict({ ...dict, '0.weight': zero, '2.bias': wrong as never }))).toBe('ERR_STATE')
    expect(snapshot(model)).toEqual(before)
    model.loadStateDict({ '0.weight': zero }, { strict: false })
    expect(snapshot(model)['0.weight']?.every((v) => v === 0)).toBe(true)
    expect(snapshot(model)['2.bias']).toEqual(before['2.bias'])
    expect(messageOf(() => model.loadStateDict(dict, { strct: false } as never))).toContain("did you mean 'strict'?")
  })

  test('train and eval reach every submodule', () => {
    const model = new Branches()
    model.eval()
    expect(model.modules().every((m) => !m.training)).toBe(true)
    model.train()
    expect(model.modules().every((m) => m.training)).toBe(true)
  })
})

describe('freezing', () => {
  /** The operations of one recorded training step. */
  function operations(model: nn.Module) {
    const optimizer = optim.gradientDescent({ learningRate: 0.1 })
    const state = new TrainingState(model, optimizer, false)
    const signature = new Signature(model)
    const parts = { model, loss: loss.squaredError, optimizer, steady: true, state, signature, metrics: [], dtype: 'float32' } as const
    const table = inputTable(
      parts,
      { x: [{ name: '', shape: [4], dtype: 'float32' }], y: [3], yDtype: 'float32', weighted: false, masked: false },
      { training: true },
    )
    const { inputs, build } = updateProgram(parts, table, { kind: 'whole', rows: 8, repeat: 1 }, { samples: 8, report: 1, masked: false })
    const graph = record(inputs, state.layout, build)
    const names = graph.nodes.filter(isOp).map((node) => node.origin.primitive.name)
    return { matmuls: names.filter((name) => name === 'matmul').length, assigned: graph.effects.filter((e) => e.kind === 'assign').length }
  }

  test('the gradients of frozen parameters are never computed', () => {
    const model = mlp()
    // Two forward products; backward: the second layer's weight, its input, the first layer's weight.
    expect(operations(model)).toEqual({ matmuls: 5, assigned: 4 })
    model.layers[0]?.freeze()
    expect(operations(model)).toEqual({ matmuls: 3, assigned: 2 })
    model.unfreeze()
    model.layers[2]?.freeze()
    expect(operations(model)).toEqual({ matmuls: 4, assigned: 2 })
    model.freeze()
    expect(operations(model)).toEqual({ matmuls: 2, assigned: 0 })
    model.unfreeze()
    expect(operations(model)).toEqual({ matmuls: 5, assigned: 4 })
  })

  test('a fit leaves frozen parameters as they are and trains the others', async () => {
    const model = mlp()
    model.layers[0]?.freeze()
    const before = snapshot(model)
    const rng = new Random(3)
    await new MBSGD(model, { loss: loss.mse, learningRate: 0.1, batchSize: 4 }).fit(
      { x: rng.normal([8, 4]), y: rng.normal([8, 3]) },
      { epochs: 2, seed: 1 },
    )
    const after = snapshot(model)
    expect(after['0.weight']).toEqual(before['0.weight'])
    expect(after['0.bias']).toEqual(before['0.bias'])
    expect(after['2.weight']).not.toEqual(before['2.weight'])
    expect(after['2.bias']).not.toEqual(before['2.bias'])
  })
})

describe('summary', () => {
  test('layers, parameters, totals, what is frozen', () => {
    const model = mlp()
    model.layers[0]?.freeze()
    const text = model.summary()
    const line = (start: string) => text.split('\n').find((l) => l.startsWith(start)) ?? ''
    expect(line('0 ')).toMatch(/Linear 4 → 5\s+25\s+frozen/)
    expect(line('1 ')).toMatch(/Tanh\s+0$/)
    expect(line('2 ')).toMatch(/Linear 5 → 3\s+18$/)
    expect(text.split('\n').at(-1)).toBe('43 parameters (18 trained), 172 bytes')
    expect(new nn.Linear(784, 512).summary()).toContain('401,920 parameters (401,920 trained), 1,607,680 bytes')
    expect(new nn.Linear(3, 2, { bias: false }).summary()).toContain('no bias')
  })
})

describe.each(present)('prediction on %s', (engine) => {
  test('predict gives the values of forward, for batches, samples and every kind of input', () => {
    using(engine, () => {
      for (const dtype of floats) {
        const model = mlp(1, dtype)
        const x = new Random(4).normal([6, 4], { dtype })
        const y = model.predict(x)
        expect(y.shape).toEqual([6, 3])
        expect(farthest(y.data, model.forward(x).data, tolerances[dtype].engines)).toBe('')
        const row = Array.from(x.data.slice(4, 8))
        const one = model.predict(row)
        expect(one.shape).toEqual([3])
        expect(farthest(one.data, y.data.slice(3, 6), tolerances[dtype].engines)).toBe('')
        expect(farthest(model.predict([row]).data, one.data, tolerances[dtype].engines)).toBe('')
      }
    })
  })

  test('predictInto writes into the array given; predictAsync agrees', async () => {
    const model = mlp()
    const x = new Random(5).normal([2, 4])
    using(engine, () => {
      const y = model.predict(x)
      const out = new Float32Array(6).fill(7)
      model.predictInto(x.data, out, [2, 4])
      expect(Array.from(out)).toEqual(Array.from(y.data))
      const single = new Float32Array(3)
      model.predictInto(x.data.slice(0, 4), single)
      expect(farthest(single, y.data.slice(0, 3), tolerances.float32.engines)).toBe('')
    })
    const promise = using(engine, () => model.predictAsync(x))
    expect(farthest((await promise).data, model.predict(x).data, tolerances.float32.engines)).toBe('')
  })

  test('a prediction sees changed parameters and other shapes', () => {
    using(engine, () => {
      const model = new nn.Linear(2, 1)
      setParameters(model, [[[1, 1]], [0]])
      expect(
        model
          .predict([
            [1, 2],
            [3, 4],
          ])
          .toArray(),
      ).toEqual([[3], [7]])
      setParameters(model, [[[2, 0]], [1]])
      expect(
        model
          .predict([
            [1, 2],
            [3, 4],
          ])
          .toArray(),
      ).toEqual([[3], [7]])
      expect(model.predict([[1, 2]]).toArray()).toEqual([[3]])
      model.weight.data.set([0, 1])
      expect(model.predict([[1, 2]]).toArray()).toEqual([[3]])
      expect(model.predict([[5, 9]]).toArray()).toEqual([[10]])
      // A parameter replaced by another is found.
      model.weight = new nn.Parameter(tensor([[7, 0]]))
      expect(model.predict([[5, 9]]).toArray()).toEqual([[36]])
      // More shapes than the cache holds.
      for (let m = 1; m <= 40; m++) expect(model.predict(new Random(m).normal([m, 2])).shape).toEqual([m, 1])
    })
  })

  test('a prediction sees layers that were exchanged, added or taken away, though the parameters are the same', () => {
    using(engine, () => {
      const model = new nn.Sequential(new nn.ReLU(), new nn.ReLU())
      expect(model.predict([-1, 2]).toArray()).toEqual([0, 2])
      const layers = model.layers as nn.Module[]
      layers[0] = new nn.Tanh()
      expect(model.predict([-1, 2]).data[1]).toBeCloseTo(Math.tanh(2), 6)
      layers.pop()
      expect(model.predict([-1, 2]).data[0]).toBeCloseTo(Math.tanh(-1), 6)
      layers.push(new nn.Tanh())
      expect(model.predict([-1, 2]).data[1]).toBeCloseTo(Math.tanh(Math.tanh(2)), 6)
      class Open extends nn.Module {
        after?: nn.Module
        override forward(x: Tensor): Tensor {
          return this.after ? this.after.forward(x) : x.mul(2)
        }
      }
      const open = new Open()
      expect(open.predict([-3, 1]).toArray()).toEqual([-6, 2])
      open.after = new nn.ReLU()
      expect(open.predict([-3, 1]).toArray()).toEqual([0, 1])
    })
  })

  test('a forward function is traced once a shape, whatever it notes itself; another field that changes is a change of the model', () => {
    using(engine, () => {
      class Counting extends nn.Module {
        traced = 0
        factor = 2
        sizes = [1, 2]
        override forward(x: Tensor): Tensor {
          this.traced++
          return x.mul(this.factor + (this.sizes[0] as number))
        }
      }
      const model = new Counting()
      model.predict([1])
      const once = model.traced
      for (let i = 0; i < 5; i++) expect(model.predict([i]).toArray()).toEqual([3 * i])
      expect(model.traced).toBe(once)
      model.factor = 5
      expect(model.predict([1]).toArray()).toEqual([6])
      model.sizes[0] = 10
      expect(model.predict([1]).toArray()).toEqual([15])
    })
  })

  test('prediction is as in use: training flags are off while it runs and back after', () => {
    using(engine, () => {
      const seen: boolean[] = []
      class Spy extends nn.Module {
        override forward(x: Tensor): Tensor {
          seen.push(this.training)
          return x.mul(2)
        }
      }
      const model = new nn.Sequential(new Spy())
      expect(model.predict([1, 2]).toArray()).toEqual([2, 4])
      expect(seen.length).toBeGreaterThan(0)
      expect(seen.includes(true)).toBe(false)
      expect(model.layers[0]?.training).toBe(true)
    })
  })

  test('a model whose path depends on values predicts all the same', () => {
    using(engine, () => {
      class Choosing extends nn.Module {
        override forward(x: Tensor): Tensor {
          return x.sum().item() > 0 ? x.mul(2) : x.mul(-3)
        }
      }
      const model = new Choosing()
      expect(model.predict([1, 2]).toArray()).toEqual([2, 4])
      expect(model.predict([-1, -2]).toArray()).toEqual([3, 6])
    })
  })

  test('errors name the layer, the expected and the actual shape', () => {
    using(engine, () => {
      const model = mlp()
      expect(codeOf(() => model.predict([[1, 2, 3]]))).toBe('ERR_SHAPE')
      const message = messageOf(() => model.predict([[1, 2, 3]]))
      expect(message).toContain('[*, 4]')
      expect(message).toContain('[1, 3]')
      expect(message).toContain('layer 0')
      expect(message).toContain('Linear 4 → 5')
      const broken = new nn.Sequential(new nn.Linear(4, 5), new nn.Linear(6, 1))
      expect(messageOf(() => broken.predict([[1, 2, 3, 4]]))).toContain('layer 1')
      const x = new Float32Array(4)
      expect(codeOf(() => model.predictInto(x, new Float32Array(2)))).toBe('ERR_SHAPE')
      expect(codeOf(() => model.predictInto(new Float64Array(4), new Float32Array(3)))).toBe('ERR_DTYPE')
      expect(codeOf(() => model.predictInto(x, new Float32Array(3), [2, 4]))).toBe('ERR_SHAPE')
      const gone = new Float32Array(4)
      structuredClone(gone, { transfer: [gone.buffer] })
      expect(codeOf(() => model.predictInto(gone, new Float32Array(3)))).toBe('ERR_DETACHED')
      expect(codeOf(() => model.predict(gone))).toBe('ERR_DETACHED')
      expect(codeOf(() => model.predict('text' as never))).toBe('ERR_VALUE')
    })
  })
})

test('bindings stand in for parameters and are put back, after errors too', () => {
  const layer = new nn.Linear(1, 1, { bias: false })
  setParameters(layer, [[[3]]])
  const run = () => layer.forward(tensor([[2]])).item()
  expect(withBindings([layer.weight], [tensor([[10]])], run)).toBe(20)
  expect(run()).toBe(6)
  expect(() =>
    withBindings([layer.weight], [tensor([[10]])], () => {
      throw new Error('inside')
    }),
  ).toThrow('inside')
  expect(run()).toBe(6)
  expect(tensor([1])).not.toBeInstanceOf(Traced)
})

test('malformed layers are refused by name', () => {
  expect(codeOf(() => new nn.Linear(0, 2))).toBe('ERR_RANGE')
  expect(codeOf(() => new nn.Linear(2.5, 2))).toBe('ERR_RANGE')
  expect(messageOf(() => new nn.Linear(2, 2, { biass: true } as never))).toContain("did you mean 'bias'?")
  expect(codeOf(() => new nn.Linear(2, 2, { init: 'hee' as never }))).toBe('ERR_OPTION')
  expect(codeOf(() => new nn.Linear(2, 2, { init: () => tensor([1]) }))).toBe('ERR_SHAPE')
  expect(codeOf(() => new nn.Linear(2, 2, { dtype: 'int32' as never }))).toBe('ERR_OPTION')
  expect(codeOf(() => new nn.Linear(2, 2, { rng: 3 as never }))).toBe('ERR_OPTION')
  expect(codeOf(() => new nn.Sequential(new nn.ReLU(), 'Tanh' as never))).toBe('ERR_VALUE')
})
