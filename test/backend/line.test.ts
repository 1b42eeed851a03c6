/** Very small programs run as one straight line of operations in the JavaScript engine: bit for bit what their kernels give. */

import { describe, expect, it } from 'vitest'
import { jsBackend } from '../../lib/backend/js/engine.js'
import { nn, Random, type Tensor, valueAndGrad } from '../../lib/index.js'
import { withBindings } from '../../lib/nn/parameter.js'
import { lowerFunction } from '../../lib/plan/plan.js'
import { StateLayout } from '../../lib/plan/state-layout.js'

/** Ten updates of a small network; `checked` runs go kernel by kernel. */
async function train(layers: nn.Module[], dtype: 'float32' | 'float64', checked: boolean): Promise<number[]> {
  const model = new nn.Sequential(...layers)
  const layout = new StateLayout()
  const parameters = model.parameters()
  const slots = parameters.map((p, i) => layout.add(`${i}`, p.shape, p.dtype))
  const rows = 3
  const inputs = [
    { name: 'x', shape: [rows, 2], dtype },
    { name: 'y', shape: [rows, 1], dtype },
    { name: 'rate', shape: [], dtype },
  ]
  const { program, constants } = lowerFunction(inputs, layout, { dtype, report: 1 }, (r) => {
    const cost = (weights: Tensor[]) => withBindings(parameters, weights, () => model.forward(r.input(0)).sub(r.input(1)).square().mean())
    const [value, gradients] = valueAndGrad(cost)(slots.map((slot) => r.state(slot)))
    r.report(0, value)
    slots.forEach((slot, i) => {
      r.assign(slot, r.state(slot).sub(gradients[i].mul(r.input(2))))
    })
  })
  const state = jsBackend.createState(layout.bytes, layout.floats())
  parameters.forEach((p, i) => {
    state.write(layout.slots[slots[i] as number]?.offset as number, p.data)
  })
  const rng = new Random(5)
  const arrays = [rng.normal([rows, 2], { dtype }).data, rng.normal([rows, 1], { dtype }).data, rng.uniform([1], 0.1, 0.2, { dtype }).data]
  const runner = jsBackend.createRunner(state, [jsBackend.compile(program)], [...arrays, ...constants])
  const { report } = await runner.run({ epochs: 10, segments: [{ program: 0, repeat: 1 }], windows: {}, checked })
  runner.close()
  const values = parameters.flatMap((p, i) => {
    const target = p.data.slice()
    state.read(layout.slots[slots[i] as number]?.offset as number, target)
    return Array.from(target)
  })
  return [...report, ...values]
}

describe('lines', () => {
  for (const dtype of ['float32', 'float64'] as const) {
    for (const [name, activation] of [
      ['sigmoid', () => new nn.Sigmoid()],
      ['tanh', () => new nn.Tanh()],
    ] as const) {
      it(`2-2-1 with ${name}, ${dtype}`, async () => {
        const layers = () => {
          const rng = new Random(3)
          return [new nn.Linear(2, 2, { rng, dtype }), activation(), new nn.Linear(2, 1, { rng, dtype })]
        }
        const straight = await train(layers(), dtype, false)
        expect(straight).toEqual(await train(layers(), dtype, true))
        expect(straight[9]).toBeLessThan(straight[0] as number)
      })
    }
  }
})
