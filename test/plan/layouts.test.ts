/** Networks of convolutions are transposed at their ends alone, and compute what they compute op by op. */

import { describe, expect, test } from 'vitest'
import { concat, grad, loss, nn, Random, type Tensor, valueAndGrad } from '../../lib/index.js'
import { lowerFunction } from '../../lib/plan/plan.js'
import { StateLayout } from '../../lib/plan/state-layout.js'
import { MBSGD } from '../../lib/train/trainers.js'
import { announce, present, using } from '../support/engines.js'
import { farthest } from '../support/tolerance.js'

const rng = () => new Random(3)

/** Calls that rearrange an array of rank 3 or more, in a program that gives f(x). */
function moves(shape: number[], out: number[], f: (x: Tensor) => Tensor): number {
  const inputs = [
    { name: 'x', shape, dtype: 'float32' as const },
    { name: 'out', shape: out, dtype: 'float32' as const, writable: true },
  ]
  const { program } = lowerFunction(inputs, new StateLayout(), { dtype: 'float32' }, (r) => r.output(1, f(r.input(0))))
  return program.steps.filter(({ kernel, ints }) => kernel === 'copy' && (ints[0] as number) >= 3).length
}

describe('layouts', () => {
  const one = new nn.Conv2d(3, 8, 3, { padding: 1, rng: rng() })
  const two = new nn.Conv2d(8, 8, 3, { padding: 1, rng: rng() })

  test('transposes between convolutions, activations and pooling cancel', () => {
    const f = (x: Tensor) => two.forward(one.forward(x).relu().maxPool2d(2)).tanh()
    // One at each end: the weights are constants here.
    expect(moves([2, 3, 8, 8], [2, 8, 4, 4], f)).toBe(2)
  })

  test('in the backward pass too', () => {
    const gradient = (x: Tensor) => grad((v: Tensor) => two.forward(one.forward(v).relu().maxPool2d(2)).relu().sum())(x)
    expect(moves([2, 3, 8, 8], [2, 3, 8, 8], gradient)).toBe(2)
  })

  test('through a sum over the image, the last goes too', () => {
    expect(moves([2, 3, 8, 8], [2, 8], (x) => two.forward(one.forward(x).relu()).mean([2, 3]))).toBe(1)
  })

  test('through what is added, scaled by channel or joined', () => {
    const skip = (x: Tensor) => {
      const y = one.forward(x).relu()
      return two.forward(y).mul(2).add(y)
    }
    expect(moves([2, 3, 8, 8], [2, 8, 8, 8], skip)).toBe(2)
    const joined = (x: Tensor) => {
      const y = one.forward(x)
      return concat([two.forward(y), y], 1).relu()
    }
    expect(moves([2, 3, 8, 8], [2, 16, 8, 8], joined)).toBe(2)
  })

  test('one channel is a reshape', () => {
    const conv = new nn.Conv2d(1, 4, 3, { rng: rng() })
    expect(moves([2, 1, 8, 8], [2, 4, 6, 6], (x) => conv.forward(x))).toBe(1)
  })

  test('signals: so do those of one axis', () => {
    const [a, b] = [new nn.Conv1d(2, 4, 3, { rng: rng() }), new nn.Conv1d(4, 4, 3, { rng: rng() })]
    expect(moves([2, 2, 16], [2, 4, 12], (x) => b.forward(a.forward(x).relu()))).toBe(2)
  })
})

announce('networks of convolutions')
for (const name of present) {
  describe(`${name} engine`, () => {
    class Block extends nn.Module {
      inner = new nn.Conv2d(6, 6, 3, { padding: 1, groups: 2, dtype: 'float64', rng: rng() })
      shortcut = new nn.Conv2d(6, 6, 1, { dtype: 'float64', rng: rng() })
      override forward(x: Tensor): Tensor {
        const y = this.inner.forward(x).relu()
        return concat([y.add(this.shortcut.forward(x)), x.tanh()], 1)
      }
    }
    const network = () =>
      new nn.Sequential(
        new nn.Conv2d(2, 6, 3, { padding: 'same', dtype: 'float64', rng: rng() }),
        new nn.ReLU(),
        new nn.MaxPool2d(2),
        new Block(),
        new nn.AvgPool2d(3, { stride: 2, padding: 1 }),
        new nn.Upsample({ scale: 2, mode: 'bilinear' }),
        new nn.ConvTranspose2d(12, 3, 3, { stride: 2, dtype: 'float64', rng: rng() }),
        new nn.GlobalAvgPool2d(),
      )

    test('an update in a program is the update op by op', async () => {
      const model = network()
      const [x, y] = [rng().normal([5, 2, 8, 8], { dtype: 'float64' }), rng().normal([5, 3], { dtype: 'float64' })]
      await using(name, async () => {
        const before = model.stateDict()
        const [, gradients] = valueAndGrad(model, () => loss.mse(model.forward(x), y))()
        const fresh = network()
        new MBSGD(fresh, { loss: loss.mse, learningRate: 0.5, batchSize: 5 }).step(x, y)
        for (const [key, p] of fresh.namedParameters()) {
          const expected = (before[key] as Tensor).sub((gradients[key] as Tensor).mul(0.5))
          expect(farthest(p.data, expected.data, 1e-12), key).toBe('')
        }
      })
    })
  })
}
