/** A cost is tested before anything of the state is written, in whichever order both were recorded. */

import { describe, expect, test } from 'vitest'
import { type Program, type Step, spaces } from '../../lib/backend/program.js'
import { engine } from '../../lib/backend/select.js'
import { add, exp, loss, MBSGD, mul, nn, Random, scan, sub, sum, type Tensor, tensor, zeros } from '../../lib/index.js'
import { compile, lowerFunction } from '../../lib/plan/plan.js'
import type { Recorder } from '../../lib/plan/record.js'
import { StateLayout } from '../../lib/plan/state-layout.js'
import { announce, during, present, using } from '../support/engines.js'
import { floats, snapshot } from '../support/models.js'
import { randomProgram } from '../support/random-programs.js'

announce('the cost first')

/** The slots that a step writes, those of a loop's body among them. */
const written = ({ outputs, loop }: Step): number[] => [...outputs, ...(loop?.steps.flatMap(written) ?? [])]

/** Steps that write the state ahead of one that writes the cost. */
function early({ steps, slots }: Program): number[] {
  const writes = (step: Step, space: number, offset?: number) =>
    written(step).some((id) => slots[id]?.space === space && (offset ?? slots[id]?.offset) === slots[id]?.offset)
  const last = steps.findLastIndex((step) => writes(step, spaces.report, 0))
  expect(last).toBeGreaterThanOrEqual(0)
  return steps.flatMap((step, i) => (i < last && writes(step, spaces.state) ? [i] : []))
}

const pair = new Random(1).normal([2, 2], { dtype: 'float64' })
/** What is written, and the cost; `s` is a number of the state, `w` a matrix of it, `x` is given. */
const cases: Record<string, (r: Recorder, s: Tensor, w: Tensor, x: Tensor) => void> = {
  'one number, recorded first': (r, s, _w, x) => {
    r.assign(0, add(s, 1))
    r.report(0, exp(sum(x)))
  },
  'an update that is a product': (r, _s, w, x) => {
    r.assign(1, sub(w, x.matmul(pair)))
    r.report(0, exp(sum(x)))
  },
  'a copy': (r, _s, _w, x) => {
    r.assign(1, pair)
    r.report(0, sum(mul(x, 2)))
  },
  'what the cost is made of': (r, _s, w, x) => {
    const next = add(mul(w, 0.9), mul(x, 0.1))
    r.assign(1, next)
    r.report(0, exp(next))
  },
  'made in one call with what the cost is made of': (r, _s, w, x) => {
    const shift = mul(x, 0.1)
    r.assign(1, add(mul(w, 0.9), shift))
    r.report(0, exp(sum(mul(shift, 10))))
  },
  'what a loop carries': (r, s, _w, x) => {
    const [carry] = scan((c: Tensor, row: Tensor) => [add(c, sum(row)), undefined], s, x)
    r.assign(0, carry)
    r.report(0, sum(x))
  },
  'costs in parts': (r, s, w, x) => {
    r.report(0, sum(w))
    r.assign(0, add(s, 1))
    r.assign(1, mul(w, 2))
    r.report(0, exp(sum(x)))
  },
}

describe.each(Object.entries(cases))('%s', (_, build) => {
  const layout = new StateLayout()
  layout.add('s', [], 'float64')
  layout.add('w', [2, 2], 'float64')
  test.each(present)('%s: is not written where the cost is not finite', (name) => {
    using(name, () => {
      const plan = compile([{ name: 'x', shape: [2, 2], dtype: 'float64' }], layout, { dtype: 'float64', report: 1 }, (r) =>
        build(r, r.state(0), r.state(1), r.input(0)),
      )
      expect(early(plan.lowered.program)).toEqual([])
      const state = engine().createState(layout.bytes, layout.floats())
      const values = () =>
        layout.slots.flatMap(({ offset, shape }) => {
          const out = new Float64Array(shape.length ? 4 : 1)
          state.read(offset, out)
          return [...out]
        })
      expect(() => plan.run(state, [Float64Array.of(1, Number.NaN, 1, 1)], new Float64Array(1))).toThrow(/finite/)
      expect(values()).toEqual([0, 0, 0, 0, 0])
      plan.run(state, [Float64Array.of(1, 2, 3, 4)], new Float64Array(1))
      expect(values()).not.toEqual([0, 0, 0, 0, 0])
    })
  })
})

test.each(floats)('programs at random, any of whose results is the cost: %s', { timeout: 120_000 }, (dtype) => {
  for (let number = 0; number < 60; number++) {
    const { inputs, results } = randomProgram(number, dtype)
    const made = results(...inputs)
    const layout = new StateLayout()
    for (const [i, x] of [...inputs, ...made].entries()) layout.add(`${i}`, x.shape, x.dtype)
    const { program } = lowerFunction([], layout, { dtype, report: 2 }, (r) => {
      const own = inputs.map((_, i) => r.state(i))
      const values = results(...own)
      values.forEach((value, i) => {
        r.assign(inputs.length + i, value)
      })
      own.forEach((x, i) => {
        r.assign(i, mul(x, 0.5))
      })
      r.report(1, values[0] as Tensor)
      r.report(0, values[number % values.length] as Tensor)
    })
    expect([number, early(program)]).toEqual([number, []])
  }
})

test.each(present)('%s: a step that diverges leaves weights, optimiser and running statistics as they were', async (name) => {
  await during(name, async () => {
    const model = new nn.Sequential(new nn.Linear(2, 3, { rng: new Random(1) }), new nn.BatchNorm1d(3), new nn.Linear(3, 1))
    const trainer = new MBSGD(model, { loss: loss.mse, batchSize: 4, learningRate: 0.1 })
    const x = new Random(2).normal([4, 2])
    trainer.step(x, zeros([4, 1]))
    const before = snapshot(model)
    const buffers = () => model.namedBuffers().map(([key, { data }]) => [key, ...data])
    const kept = buffers()
    expect(() => trainer.step(x, tensor([[0], [3e38], [0], [0]]))).toThrow(/finite|NaN|infinite/i)
    expect(snapshot(model)).toEqual(before)
    expect(buffers()).toEqual(kept)
  })
})
