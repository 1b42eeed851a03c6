/** Recurrent layers against PyTorch's: outputs, states, all gradients, 20 updates, and its state dict. */

import { describe, expect, test } from 'vitest'
import { functionalCall, loadParameters, loss, MBSGD, nn, optim, type Tensor, vjp } from '../../lib/index.js'
import { announce, during, present, using } from '../support/engines.js'
import { golden, type Numbers, numbers } from '../support/golden.js'
import { pattern } from '../support/pattern.js'
import { farthest } from '../support/tolerance.js'

announce('golden recurrent layers')

type Kind = 'RNN' | 'GRU' | 'LSTM'
interface Case {
  layer: Kind
  options: nn.RNNOptions
  lengths: number[] | null
  state: boolean
  names: string[]
  results: Numbers[]
  gradients: Numbers[]
}
interface Updates {
  layer: Kind
  head: 'LastStep' | 'MeanOverTime'
  options: nn.RecurrentOptions
  optimizer: 'sgd' | 'adam'
  costs: Numbers
  parameters: Numbers[]
}
const { cases, single, updates, saved } = golden<{
  cases: Case[]
  single: { results: Numbers[] }
  updates: Updates[]
  saved: { value: Numbers }
}>('recurrent')
const [M, T, F, H] = [3, 4, 2, 3]

/** Sets parameters as the script does. */
function filled<L extends nn.Module>(model: L, dtype: 'float32' | 'float64'): L {
  model.parameters().forEach((p, k) => {
    p.assign(pattern(p.shape, 7 + 2 * k, 32, dtype))
  })
  return model
}
const resultsOf = ({ output, state }: { output: Tensor; state: unknown }): Tensor[] => [output, ...([state].flat() as Tensor[])]

for (const engine of present) {
  describe.each([
    ['float32', 1e-5],
    ['float64', 1e-10],
  ] as const)(`${engine} engine, %s`, (dtype, tolerance) => {
    test.each(cases.map((c) => [`${c.layer} ${JSON.stringify(c.options)}, lengths ${c.lengths}, state ${c.state}`, c] as const))(
      '%s',
      (_title, c) => {
        using(engine, () => {
          const layer = filled(new nn[c.layer](F, H, { ...c.options, dtype }), dtype)
          expect(layer.namedParameters().map(([name]) => name)).toEqual(c.names)
          const x = pattern(c.options.batchFirst === false ? [T, M, F] : [M, T, F], 11, 8, dtype)
          const rows = (c.options.numLayers ?? 1) * (c.options.bidirectional ? 2 : 1)
          const parts = c.state ? [5, 13].slice(0, c.layer === 'LSTM' ? 2 : 1).map((f) => pattern([rows, M, H], f, 16, dtype)) : []
          const count = parts.length
          const values = layer.namedParameters().map(([, p]) => p.resolve())
          const f = (all: Tensor[]) => {
            const [x, parts, values] = [all[0] as Tensor, all.slice(1, 1 + count), all.slice(1 + count)]
            const state = parts.length === 2 ? parts : parts[0]
            const named = Object.fromEntries(values.map((v, i) => [c.names[i] as string, v]))
            const inputs = { ...(c.lengths && { lengths: c.lengths }), ...(state && { state: state as never }) }
            return resultsOf(functionalCall(layer as nn.LSTM, named, x, inputs as never))
          }
          const [results, pullback] = vjp(f, [x, ...parts, ...values])
          const found = results.map((y, i) => farthest(y.data, numbers(c.results[i] as Numbers), tolerance))
          const [gradients] = pullback(results.map((y, i) => pattern(y.shape, 13 + 4 * i, 8, dtype))) as [Tensor[]]
          expect(gradients.length).toBe(c.gradients.length)
          gradients.forEach((g, i) => {
            found.push(farthest(g.data, numbers(c.gradients[i] as Numbers), tolerance))
          })
          expect(found.filter(Boolean)).toEqual([])
        })
      },
    )

    test('one sequence without a batch', () => {
      using(engine, () => {
        const layer = filled(new nn.LSTM(F, H, { dtype }), dtype)
        const results = resultsOf(layer.forward(pattern([T, F], 11, 8, dtype)))
        expect(results.map((y, i) => farthest(y.data, numbers(single.results[i] as Numbers), tolerance))).toEqual(['', '', ''])
        expect(results.map((y) => y.shape)).toEqual([
          [T, H],
          [1, H],
          [1, H],
        ])
      })
    })

    test.each(updates.map((u) => [`${u.layer} ${JSON.stringify(u.options)}, ${u.head}, ${u.optimizer}`, u] as const))(
      '20 updates: %s',
      async (_title, u) => {
        await during(engine, async () => {
          const model = filled(
            new nn.Sequential(
              new nn[u.layer](F, H, { ...u.options, dtype }),
              new nn[u.head](),
              new nn.Linear(u.options.bidirectional ? 2 * H : H, 2, { dtype }),
            ),
            dtype,
          )
          const optimizer = u.optimizer === 'sgd' ? optim.gradientDescent({ learningRate: 0.1 }) : optim.adam({ learningRate: 0.01 })
          const trainer = new MBSGD(model, { loss: loss.mse, optimizer, batchSize: 6 })
          const data = { x: pattern([6, T, F], 11, 8, dtype), y: pattern([6, 2], 3, 16, dtype) }
          const costs: number[] = []
          await trainer.fit(data, { epochs: 20, seed: 1, onEpoch: ({ cost }) => void costs.push(cost) })
          expect(farthest(costs, numbers(u.costs), tolerance)).toBe('')
          const found = model.parameters().map((p, i) => farthest(p.data, numbers(u.parameters[i] as Numbers), 10 * tolerance))
          expect(found.filter(Boolean)).toEqual([])
        })
      },
    )

    test('a state dict of PyTorch predicts the same', async () => {
      await during(engine, async () => {
        const model = new nn.Sequential(
          new nn.LSTM(F, H, { numLayers: 2, bidirectional: true }),
          new nn.MeanOverTime(),
          new nn.Linear(2 * H, 2),
        )
        await loadParameters(model, new URL('../golden/recurrent.safetensors', import.meta.url).pathname)
        const x = pattern([6, T, F], 11, 8, 'float32')
        expect(farthest(model.predict(x).data, numbers(saved.value), 1e-5)).toBe('')
        expect(farthest(model.predict(x.gather(2)).data, numbers(saved.value).slice(4, 6), 1e-5)).toBe('')
      })
    })
  })
}
