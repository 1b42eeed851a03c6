/** Several element types in one program: fused or not, in a line or by kernels, a value has the type that its tensor says. */

import { describe, expect, test } from 'vitest'
import * as w from '../../lib/index.js'
import type { Tensor } from '../../lib/tensor/tensor.js'
import type { Dtype } from '../../lib/util/dtype.js'
import { announce, during, present, using } from '../support/engines.js'
import { replay } from '../support/replay.js'

announce('element types')

/** `f` by a program; `dtype` is the program's. */
const replayed = (f: (...x: Tensor[]) => Tensor, inputs: Tensor[], dtype: 'float32' | 'float64'): number[] =>
  replay((...x) => [f(...x)], inputs, [f(...inputs)], dtype).flatMap(({ data }) => Array.from(data))

const conversions: [name: string, f: (x: Tensor) => Tensor, expected: number[]][] = [
  ['int32 and back', (x) => x.cast('int32').cast('float32'), [1, -1, 0, 2, 0]],
  ['bool and back', (x) => x.cast('bool').cast('float32'), [1, 1, 1, 1, 0]],
  ['bool', (x) => x.add(0).cast('bool'), [1, 1, 1, 1, 0]],
  ['int32, halved', (x) => x.cast('int32').div(2), [0.5, -0.5, 0, 1, 0]],
  ['int32, summed', (x) => x.cast('int32').sum(), [2]],
  ['int32 below one', (x) => x.mul(0.5).cast('int32').cast('float32').reciprocal(), [Infinity, Infinity, Infinity, 1, Infinity]],
  ['int32 through bool', (x) => x.cast('int32').cast('bool').cast('int32').add(1).cast('float32'), [2, 2, 1, 2, 1]],
  ['int32 of float64', (x) => x.cast('float64').cast('int32').cast('float64').cast('float32'), [1, -1, 0, 2, 0]],
]

describe.each(present)('on %s', (engine) => {
  test.each(conversions)('a fused cast converts: %s', (_, f, expected) => {
    using(engine, () => {
      const x = w.tensor([1.7, -1.7, 0.3, 2, 0])
      expect(Array.from(f(x).data, Math.fround)).toEqual(expected)
      expect(replayed(f, [x], 'float32')).toEqual(expected)
    })
  })

  test('a model that casts predicts and trains as it does eagerly', async () => {
    class Steps extends w.nn.Module {
      weight = new w.nn.Parameter(w.tensor([[0.2]]))
      override forward(x: Tensor): Tensor {
        return x.cast('int32').cast('float32').mul(this.weight)
      }
    }
    await during(engine, async () => {
      const model = new Steps()
      const x = w.tensor([[1.7], [2.9], [-1.2]])
      expect(Array.from(model.predict(x).data)).toEqual(Array.from(model.forward(x).data))
      const data = { x, y: w.tensor([[0.2], [0.4], [-0.2]]) }
      await new w.FBGD(model, { loss: w.loss.mse, learningRate: 0.1 }).fit(data, { epochs: 20 })
      expect(Math.abs(model.weight.item() - 0.2)).toBeLessThan(1e-6)
    })
  })

  test('tiny products, sums and functions of the other floating type are no part of a line', () => {
    using(engine, () => {
      for (const [own, other] of [
        ['float64', 'float32'],
        ['float32', 'float64'],
      ] as const) {
        const f = (x: Tensor) => {
          const y = x.cast(other)
          const products = y.matmul(y).matmul(y.transpose())
          return products.add(products.sum(0)).add(y.sum()).tanh().matmul(y).cast(own).matmul(x)
        }
        const x = w.tensor(Float64Array.of(0.1, -0.2, 0.3, 0.7), { shape: [2, 2], dtype: own })
        const expected = Array.from(f(x).data)
        replayed(f, [x], own).forEach((value, i) => {
          expect(Math.abs(value - (expected[i] as number))).toBeLessThan(1e-6)
        })
      }
    })
  })

  test('a float64 model with float32 products inside predicts its values', () => {
    using(engine, () => {
      class Mixed extends w.nn.Module {
        override forward(x: Tensor): Tensor {
          const y = x.cast('float32')
          return y.matmul(y).matmul(y).cast('float64')
        }
      }
      const x = w.tensor(Float64Array.of(1, 2, 3, 4), { shape: [2, 2], dtype: 'float64' })
      expect(new Mixed().predict(x).toArray()).toEqual([
        [37, 54],
        [81, 118],
      ])
    })
  })

  test('int32 wraps: sums, products, powers, negation', () => {
    using(engine, () => {
      const int = (...values: number[]) => w.tensor(Int32Array.from(values))
      const big = int(2147483647, -2147483648, 65536, 46341)
      const cases: [string, (x: Tensor) => Tensor, number[]][] = [
        ['add', (x) => x.add(x), [-2, 0, 131072, 92682]],
        ['add 1', (x) => x.add(1), [-2147483648, -2147483647, 65537, 46342]],
        ['sub', (x) => x.sub(int(-1, 1, 0, 0)), [-2147483648, 2147483647, 65536, 46341]],
        ['mul', (x) => x.mul(x), [1, 0, 0, -2147479015]],
        ['square', (x) => x.square(), [1, 0, 0, -2147479015]],
        ['pow', (x) => x.pow(3), [2147483647, 0, 0, Math.imul(-2147479015, 46341)]],
        ['neg', (x) => x.neg(), [-2147483647, -2147483648, -65536, -46341]],
        ['abs', (x) => x.abs(), [2147483647, -2147483648, 65536, 46341]],
        ['sum', (x) => x.sum(), [(2147483647 - 2147483648 + 65536 + 46341) | 0]],
        ['cumsum', (x) => x.cumsum(0), [2147483647, -1, 65535, 111876]],
        ['prod', (x) => x.prod(), [0]],
        ['a chain', (x) => x.mul(x).add(x).sub(7).mul(3), [2147483627, 2147483627, 196587, Math.imul((-2147479015 + 46341 - 7) | 0, 3)]],
      ]
      for (const [name, f, expected] of cases) {
        expect(Array.from(f(big).data), name).toEqual(expected)
        expect(replayed(f, [big], 'float32'), name).toEqual(expected)
      }
    })
  })

  test('NaN in, NaN out: values and derivatives', () => {
    const functions: Record<string, (x: Tensor) => Tensor> = {
      relu: w.relu,
      abs: w.abs,
      sign: w.sign,
      maximum: (x) => w.maximum(x, 1),
      'maximum, other side': (x) => w.maximum(1, x),
      minimum: (x) => w.minimum(x, 1),
      hardtanh: (x) => w.hardtanh(x),
      clip: (x) => w.clip(x, -5, 5),
      'clip below': (x) => w.clip(x, -5, Infinity),
      'clip above': (x) => w.clip(x, -Infinity, 5),
      elu: (x) => w.elu(x),
      gelu: (x) => w.gelu(x),
      softplus: w.softplus,
    }
    using(engine, () => {
      for (const dtype of ['float32', 'float64'] as const) {
        // More than a vector of them, and few enough for a line.
        for (const size of [1, 3, 37]) {
          const x = w.tensor(new Float64Array(size).fill(Number.NaN), { dtype })
          for (const [name, f] of Object.entries(functions)) {
            const slope = (y: Tensor) => w.grad((z: Tensor) => f(z).sum())(y) as Tensor
            const all = [f(x).data, slope(x).data, replayed(f, [x], dtype), replayed(slope, [x], dtype)]
            for (const values of all) expect(Array.from(values).every(Number.isNaN), `${name} ${dtype} of ${size}`).toBe(true)
          }
          const leaky = (y: Tensor) => w.leakyRelu(y)
          expect(replayed(leaky, [x], dtype).every(Number.isNaN)).toBe(true)
        }
      }
    })
  })

  test('a model whose values become NaN does not train on', async () => {
    class Logarithm extends w.nn.Module {
      weight = new w.nn.Parameter(w.tensor([[1]]))
      override forward(x: Tensor): Tensor {
        return x.mul(this.weight).log().clip(-5, 5)
      }
    }
    await during(engine, async () => {
      const data = { x: w.tensor([[-1], [2]]), y: w.tensor([[0], [0]]) }
      const fit = new w.FBGD(new Logarithm(), { loss: w.loss.mse, learningRate: 0.1 }).fit(data, { epochs: 3 })
      await expect(fit).rejects.toMatchObject({ code: 'ERR_DIVERGED' })
    })
  })

  test('every element type through one program', () => {
    using(engine, () => {
      for (const dtype of ['float32', 'float64'] as const) {
        const types: Dtype[] = ['float32', 'float64', 'int32', 'bool']
        const f = (x: Tensor) =>
          types.reduce<Tensor>(
            (sum, type) =>
              sum.add(
                x
                  .mul(3)
                  .cast(type)
                  .cast('float64')
                  .mul(types.indexOf(type) + 1),
              ),
            w.zeros([4], { dtype: 'float64' }),
          )
        const x = w.tensor(Float64Array.of(0.4, -0.4, 1.9, 0), { dtype })
        const expected = Array.from(f(x).data)
        expect(replayed(f, [x], dtype)).toEqual(expected)
      }
    })
  })
})
