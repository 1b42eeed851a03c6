/** Where modules keep parameters and modules: what is found, and what happens to what cannot be. */

import { describe, expect, test } from 'vitest'
import { FBGD, loss, nn, optim, Random, SGD, type Tensor, tensor } from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'
import { announce, present, using } from '../support/engines.js'

announce('registration')

const linear = (seed = 1) => new nn.Linear(2, 2, { rng: new Random(seed) })
const data = {
  x: [
    [1, 2],
    [3, -1],
    [0, 1],
  ],
  y: [
    [1, 0],
    [0, 1],
    [1, 1],
  ],
}

/** Every kind of container, nested, with holes and things that are neither. */
class Containers extends nn.Module {
  list = [linear(1), undefined, 'text', new nn.Parameter(tensor([1, 1]))]
  holes = [] as nn.Module[]
  dictionary = { a: linear(2), deep: { b: [linear(3)] }, n: 4 }
  map = new Map<string, nn.Module | nn.Parameter>([
    ['first', linear(4)],
    ['scale', new nn.Parameter(tensor([1, 1]))],
  ])
  set = new Set([linear(5)])
  pairs: [string, nn.Module][] = [['relu', linear(6)]]
  parameters2 = [new nn.Parameter(tensor([0.5, 0.5])), new nn.Parameter(tensor([0.1, 0.1]))]
  self: object
  constructor() {
    super()
    this.holes[2] = linear(7)
    this.self = { loop: [] as unknown[] }
    ;(this.self as { loop: unknown[] }).loop.push(this.self)
  }
  forward(x: Tensor): Tensor {
    let y = (this.list[0] as nn.Module).forward(x).mul(this.list[3] as nn.Parameter)
    y = this.dictionary.a.forward(y)
    y = (this.dictionary.deep.b[0] as nn.Module).forward(y)
    y = (this.map.get('first') as nn.Module).forward(y).mul(this.map.get('scale') as nn.Parameter)
    for (const m of this.set) y = m.forward(y)
    y = (this.holes[2] as nn.Module).forward((this.pairs[0] as [string, nn.Module])[1].forward(y))
    return y.mul(this.parameters2[0] as nn.Parameter).add(this.parameters2[1] as nn.Parameter)
  }
}

describe.each(present)('on the %s engine', (name) => {
  test('lists, plain objects, Maps and Sets are looked into, holes passed over; all is trained', async () => {
    await using(name, async () => {
      const model = new Containers()
      expect(model.namedParameters().map(([n]) => n)).toEqual([
        'list.3',
        'map.scale',
        'parameters2.0',
        'parameters2.1',
        ...['list.0', 'holes.2', 'dictionary.a', 'dictionary.deep.b.0', 'map.first', 'set.0', 'pairs.0.1'].flatMap((n) => [
          `${n}.weight`,
          `${n}.bias`,
        ]),
      ])
      const before = model.stateDict()
      await new FBGD(model, { loss: loss.squaredError, learningRate: 0.1 }).fit(data, { epochs: 2 })
      for (const [n, values] of Object.entries(model.stateDict())) expect(values.toArray(), n).not.toEqual(before[n]?.toArray())
      expect(model.summary()).toContain('18 parameters'.replace('18', String(model.parameters().reduce((n, p) => n + p.size, 0))))
      model.eval()
      expect(model.modules().every((m) => !m.training)).toBe(true)
      const twin = new Containers()
      twin.loadStateDict(model.stateDict())
      expect(twin.predict(data.x)).toEqual(model.predict(data.x))
    })
  })

  class Private extends nn.Module {
    #inner = linear()
    forward(x: Tensor): Tensor {
      return this.#inner.forward(x)
    }
  }
  class Foreign extends nn.Module {
    store = new (class Store {
      weight = new nn.Parameter(tensor([1, 1]))
    })()
    forward(x: Tensor): Tensor {
      return x.mul(this.store.weight)
    }
  }
  class Closure extends nn.Module {
    head = linear(2)
    body: (x: Tensor) => Tensor
    constructor() {
      super()
      const hidden = linear(3)
      this.body = (x) => hidden.forward(x)
    }
    forward(x: Tensor): Tensor {
      return this.head.forward(this.body(x))
    }
  }
  /** Only in training. */
  class Late extends nn.Module {
    head = linear(2)
    #noise = new nn.Parameter(tensor([1, 1]))
    forward(x: Tensor): Tensor {
      return this.training ? this.head.forward(x).mul(this.#noise) : this.head.forward(x)
    }
  }
  class PrivateNorm extends nn.Module {
    head = linear(2)
    #norm = new nn.BatchNorm1d(2)
    forward(x: Tensor): Tensor {
      return this.#norm.forward(this.head.forward(x))
    }
  }

  test.each([
    ['#private fields', () => new Private(), 'float32 [2, 2], which none of its fields leads to'],
    ['instances of other classes', () => new Foreign(), 'float32 [2], this.store.weight'],
    ['closures', () => new Closure(), 'float32 [2, 2], which none'],
    ['#private fields used in training alone', () => new Late(), 'float32 [2], which none'],
    ['#private running statistics', () => new PrivateNorm(), 'float32 [2], which none'],
  ])('parameters in %s are an error that names them, by every way of training', async (_, make, text) => {
    await using(name, async () => {
      const options = { loss: loss.squaredError, learningRate: 0.1 }
      const failing = expect.objectContaining({ code: 'ERR_STATE', message: expect.stringContaining(text) })
      await expect(new FBGD(make(), options).fit(data, { epochs: 1 })).rejects.toEqual(failing)
      await expect(new SGD(make(), options).fitStream([data])).rejects.toEqual(failing)
      expect(codeOf(() => new FBGD(make(), options).step(data.x, data.y))).toBe('ERR_STATE')
      if (!(make() instanceof Late)) expect(codeOf(() => make().predict(data.x))).toBe('ERR_STATE')
    })
  })

  test('a parameter of the loss that the model does not list is one too', async () => {
    await using(name, async () => {
      const scale = new nn.Parameter(tensor([1, 1]))
      const own = (p: Tensor, y: Tensor) => p.sub(y).square().mul(scale)
      const trainer = new FBGD(linear(), { loss: own, learningRate: 0.1 })
      await expect(trainer.fit(data, { epochs: 1 })).rejects.toMatchObject({ code: 'ERR_STATE' })
    })
  })

  test('reading the values of a parameter in forward is seen: nothing is baked in', async () => {
    await using(name, async () => {
      class Reads extends nn.Module {
        inner = linear()
        scale = new nn.Parameter(tensor([2]))
        forward(x: Tensor): Tensor {
          return this.inner.forward(x).mul(this.scale.item())
        }
      }
      const model = new Reads()
      const before = model.predict(data.x)
      model.scale.assign(tensor([4]))
      expect(model.predict(data.x)).toEqual(before.mul(2))
      const trainer = new FBGD(model, { loss: loss.squaredError, optimizer: optim.gradientDescent({ learningRate: 0.01 }) })
      const { cost } = await trainer.evaluate(data)
      await trainer.fit(data, { epochs: 1 })
      expect((await trainer.evaluate(data)).cost).toBeLessThan(cost)
    })
  })
})

test('two parameters of one name are refused', () => {
  class Twice extends nn.Module {
    a = { b: new nn.Parameter(tensor([1])) }
    'a.b' = new nn.Parameter(tensor([2]))
    forward(x: Tensor): Tensor {
      return x
    }
  }
  expect(codeOf(() => new Twice().stateDict())).toBe('ERR_STATE')
})

test('modules that hold each other are looked through once', () => {
  class Node extends nn.Module {
    weight = new nn.Parameter(tensor([1]))
    parent: Node | undefined
    child: Node | undefined
    forward(x: Tensor): Tensor {
      return x
    }
  }
  const [parent, child] = [new Node(), new Node()]
  Object.assign(parent, { child })
  Object.assign(child, { parent })
  expect(parent.namedParameters().map(([n]) => n)).toEqual(['weight', 'child.weight'])
  expect(parent.modules()).toHaveLength(2)
})

test('a subclass of Sequential may have layers of its own beside the list', () => {
  class Headed extends nn.Sequential {
    head = linear(9)
    override forward(x: Tensor): Tensor {
      return this.head.forward(super.forward(x))
    }
  }
  expect(new Headed(linear()).namedParameters().map(([n]) => n)).toEqual(['0.weight', '0.bias', 'head.weight', 'head.bias'])
})
