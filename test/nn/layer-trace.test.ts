/** z, a and δ of every layer: Example 3.1's numbers, and the four equations of backpropagation against the tape. */

import { describe, expect, test } from 'vitest'
import { FBGD, grad, loss, nn, Random, Tensor, tensor } from '../../lib/index.js'
import { withBindings } from '../../lib/nn/parameter.js'

const f64 = { dtype: 'float64' } as const

function close(a: Tensor, b: Tensor, tolerance = 1e-12): void {
  expect(a.shape).toEqual(b.shape)
  a.data.forEach((v, i) => {
    expect(Math.abs(v - (b.data[i] as number))).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(v)))
  })
}

/** The gradients of a sample's loss by all parameters, from the tape alone. */
function gradients(model: nn.Module, x: Tensor, y: Tensor, of: loss.Loss): Tensor[] {
  const parameters = model.parameters()
  return grad((...values: Tensor[]) => withBindings(parameters, values, () => of(model.forward(x), y, { reduction: 'sum' })), {
    argnums: parameters.map((_, i) => i),
  })(...parameters.map((p) => new Tensor(p.shape, p.dtype, p.data)))
}

describe('Example 3.1', () => {
  const model = new nn.Sequential(new nn.Linear(2, 2, f64), new nn.Sigmoid(), new nn.Linear(2, 1, f64))
  model.loadStateDict({
    '0.weight': tensor([[0.15, 0.2], [0.25, 0.3]], f64), // biome-ignore format: a matrix
    '0.bias': tensor([0.35, 0.35], f64),
    '2.weight': tensor([[0.4, 0.45]], f64),
    '2.bias': tensor([0.6], f64),
  })
  const { input, layers, loss: value } = nn.layerTrace(model, [0.05, 0.1], [0.01])

  test('the numbers of the source', () => {
    const near = (x: Tensor | undefined, expected: number[]) => {
      expect(x?.shape).toEqual([expected.length])
      expected.forEach((e, i) => {
        expect(x?.data[i]).toBeCloseTo(e, 11)
      })
    }
    expect(input.toArray()).toEqual([0.05, 0.1])
    near(layers[0]?.z, [0.3775, 0.3925])
    near(layers[0]?.a, [0.593269992107, 0.59688437826])
    near(layers[0]?.delta, [0.105777154552, 0.118660355873])
    near(layers[1]?.a, [1.10590596706])
    near(layers[1]?.delta, [1.09590596706])
    expect(value.item()).toBeCloseTo(0.600504944319, 11)
    expect(layers.map((l) => [l.index, l.name])).toEqual([
      [1, 'Linear 2 → 2'],
      [2, 'Linear 2 → 1'],
    ])
  })
})

const activations = {
  sigmoid: { layer: () => new nn.Sigmoid(), slope: (z: Tensor) => z.sigmoid().mul(z.neg().sigmoid()) },
  tanh: { layer: () => new nn.Tanh(), slope: (z: Tensor) => z.tanh().square().neg().add(1) },
  relu: { layer: () => new nn.ReLU(), slope: (z: Tensor) => z.greater(0).cast('float64') },
  identity: { layer: () => new nn.Identity(), slope: (z: Tensor) => z.mul(0).add(1) },
}

describe.each(Object.entries(activations))('the four equations on random networks, %s', (_name, { layer, slope }) => {
  test.each([1, 2, 3, 4])('%i layers', (depth) => {
    const rng = new Random(depth)
    const sizes = Array.from({ length: depth + 1 }, (_, i) => 2 + ((3 * i + depth) % 5))
    const model = new nn.Sequential(...sizes.slice(1).flatMap((n, i) => [new nn.Linear(sizes[i] as number, n, { rng, ...f64 }), layer()]))
    const x = rng.normal([sizes[0] as number], f64)
    const y = rng.normal([sizes[depth] as number], f64)
    const { input, layers } = nn.layerTrace(model, x, y)
    const byTape = gradients(model, x.reshape([1, x.size]), y.reshape([1, y.size]), loss.squaredError)
    const linears = model.layers.filter((l): l is nn.Linear => l instanceof nn.Linear)
    layers.forEach(({ z, a, delta }, i) => {
      const next = layers[i + 1]
      // BP1 at the output, where ∂L/∂a = a − y; BP2 below it
      const flowing = next ? linears[i + 1]?.weight.transpose().matmul(next.delta) : a.sub(y)
      close(delta, (flowing as Tensor).mul(slope(z)))
      // BP3 and BP4 against the tape
      close(byTape[2 * i + 1] as Tensor, delta)
      close(byTape[2 * i] as Tensor, delta.outer(layers[i - 1]?.a ?? input))
    })
  })
})

describe('other shapes and losses', () => {
  const rng = new Random(11)
  test('softmax cross-entropy with a class label: δᴸ = softmax(z) − p', () => {
    const model = new nn.Sequential(new nn.Linear(3, 5, { rng, ...f64 }), new nn.Tanh(), new nn.Linear(5, 4, { rng, ...f64 }))
    const { layers } = nn.layerTrace(model, rng.normal([3], f64), 2, loss.crossEntropy)
    const { z, delta } = layers.at(-1) as nn.TracedLayer
    close(delta, z.softmax().sub(tensor([0, 0, 1, 0], f64)))
  })

  test('a batch gives each sample its own δ', () => {
    const model = new nn.Sequential(
      new nn.Sequential(new nn.Linear(3, 5, { rng, ...f64 }), new nn.Tanh()),
      new nn.Linear(5, 2, { rng, ...f64 }),
    )
    const [x, y] = [rng.normal([4, 3], f64), rng.normal([4, 2], f64)]
    const batch = nn.layerTrace(model, x, y)
    for (let i = 0; i < 4; i++) {
      const one = nn.layerTrace(model, x.slice(i), y.slice(i))
      batch.layers.forEach((layer, l) => {
        close(layer.delta.slice(i), one.layers[l]?.delta as Tensor)
        close(layer.z.slice(i), one.layers[l]?.z as Tensor)
      })
      close(batch.loss.slice(i), one.loss)
    }
  })

  test.each([loss.mse, loss.mae, loss.huber, loss.squaredError])('δ is that of the loss as a trainer takes it: $name', (of) => {
    const make = () =>
      new nn.Sequential(
        new nn.Linear(3, 4, { rng: new Random(5), ...f64 }),
        new nn.Tanh(),
        new nn.Linear(4, 3, { rng: new Random(6), ...f64 }),
      )
    const model = make()
    const [x, y] = [rng.normal([5, 3], f64), rng.normal([5, 3], f64)]
    const { input, layers, loss: losses } = nn.layerTrace(model, x, y, of)
    const trained = make()
    const cost = new FBGD(trained, { loss: of, learningRate: 1 }).step(x, y)
    expect(losses.shape).toEqual([5])
    expect(losses.mean().item()).toBeCloseTo(cost, 12)
    const [before, after] = [model.parameters(), trained.parameters()]
    layers.forEach(({ delta }, l) => {
      // BP3 and BP4, averaged over the samples: what one update with α = 1 moves.
      const moved = (i: number) => (before[i] as Tensor).sub(after[i] as Tensor)
      close(
        delta
          .transpose()
          .matmul(layers[l - 1]?.a ?? input)
          .div(5),
        moved(2 * l),
        1e-10,
      )
      close(delta.mean(0), moved(2 * l + 1), 1e-10)
    })
  })

  test('refuses a model without Linear layers, and a scalar sample', () => {
    expect(() => nn.layerTrace(new nn.Sequential(new nn.ReLU()), [1], [1])).toThrow(/expected a Sequential with Linear layers/)
    expect(() => nn.layerTrace(new nn.Linear(1, 1), 1, 1)).toThrow(/expected a sample \[dIn\]/)
  })
})
