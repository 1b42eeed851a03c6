/** Backpropagation against the mathematics, §4: Example 3.1, and the four fundamental equations on random networks. */

import { describe, expect, test } from 'vitest'
import { loss, nn, Random, type Tensor, tensor } from '../../lib/index.js'
import { announce, present, using } from '../support/engines.js'
import { costAndGradients, example31, setParameters } from '../support/models.js'
import { farthest } from '../support/tolerance.js'

announce('backpropagation')

const f64 = (x: unknown) => tensor(x as number[], { dtype: 'float64' })
const same = (actual: Tensor | undefined, expected: Tensor | number[], tolerance: number) =>
  expect(farthest(actual?.data ?? [], Array.isArray(expected) ? expected : expected.data, tolerance)).toBe('')

describe.each(present)('on %s', (engine) => {
  const on = (name: string, body: () => void) => test(name, () => using(engine, body))

  on('Example 3.1: activations, loss and the nine gradients', () => {
    const model = new nn.Sequential(new nn.Linear(2, 2, { dtype: 'float64' }), new nn.Sigmoid(), new nn.Linear(2, 1, { dtype: 'float64' }))
    setParameters(model, example31.parameters)
    const [x, y] = [f64(example31.x), f64(example31.y)]
    const [first, activation] = model.layers as [nn.Module, nn.Module]
    same(activation.forward(first.forward(x)), [0.593269992107, 0.59688437826], 1e-12)
    same(model.forward(x), [1.10590596706], 1e-12)
    const { cost, gradients } = costAndGradients(model, loss.squaredError, x, y)
    expect(Math.abs(cost - 0.600504944319)).toBeLessThan(1e-12)
    same(gradients['0.weight'], [0.005288857728, 0.010577715455, 0.005933017794, 0.011866035587], 1e-10)
    same(gradients['0.bias'], [0.105777154552, 0.118660355873], 1e-11)
    same(gradients['2.weight'], [0.650168124428, 0.65412915178], 1e-12)
    same(gradients['2.bias'], [1.09590596706], 1e-12)
  })

  on('the four fundamental equations on random networks', () => {
    const activations: [nn.Module, (z: Tensor, a: Tensor) => Tensor][] = [
      [new nn.Sigmoid(), (_z, a) => a.mul(a.neg().add(1))],
      [new nn.Tanh(), (_z, a) => a.square().neg().add(1)],
      [new nn.ReLU(), (z) => z.greater(0).cast('float64')],
    ]
    for (let k = 0; k < 6; k++) {
      const rng = new Random(k)
      const widths = Array.from({ length: 3 + (k % 3) }, (_, i) => 1 + ((k * 7 + i * 5) % 6))
      const m = 1 + k
      const linears = widths.slice(1).map((w, i) => new nn.Linear(widths[i] as number, w, { rng, dtype: 'float64' }))
      const chosen = linears.map((_, i) => activations[(i + k) % 3] as (typeof activations)[number])
      const model = new nn.Sequential(...linears.flatMap((l, i) => [l, chosen[i]?.[0] as nn.Module]))
      const x = rng.normal([m, widths[0] as number], { dtype: 'float64' })
      const y = rng.normal([m, widths[widths.length - 1] as number], { dtype: 'float64' })
      const a: Tensor[] = [x]
      const z: Tensor[] = []
      linears.forEach((l, i) => {
        z.push(l.forward(a[i] as Tensor))
        a.push((chosen[i] as (typeof activations)[number])[0].forward(z[i] as Tensor))
      })
      const { gradients } = costAndGradients(model, loss.squaredError, x, y)
      const prime = (l: number) => chosen[l]?.[1](z[l] as Tensor, a[l + 1] as Tensor) as Tensor
      const last = linears.length - 1
      // (BP1), of the mean over m samples
      let delta = (a[last + 1] as Tensor).sub(y).div(m).mul(prime(last))
      for (let l = last; l >= 0; l--) {
        // (BP3) and (BP4), summed over the samples
        same(gradients[`${2 * l}.bias`], delta.sum(0), 1e-11)
        same(gradients[`${2 * l}.weight`], delta.transpose().matmul(a[l] as Tensor), 1e-11)
        // (BP2)
        if (l > 0) delta = delta.matmul(linears[l]?.weight as Tensor).mul(prime(l - 1))
      }
    }
  })
})
