/** Updates as programs: whatever they read of what they write, they give what the same arithmetic gives eagerly. */

import { describe, expect, test } from 'vitest'
import { engine } from '../../lib/backend/select.js'
import * as w from '../../lib/index.js'
import type { Optimizer } from '../../lib/optim/optimizer.js'
import { compile } from '../../lib/plan/plan.js'
import { StateLayout } from '../../lib/plan/state-layout.js'
import type { Tensor } from '../../lib/tensor/tensor.js'
import { announce, during, present, using } from '../support/engines.js'

announce('updates')

const values = (seed: number, ...shape: number[]) => new w.Random(seed).normal(shape, { dtype: 'float64' })

/** New values of all state after three runs of `update` as a program, beside those of the function itself. */
function both(update: (state: Tensor[], a: Tensor) => Tensor[], initial: Tensor[], a: Tensor): [number[][], number[][]] {
  const layout = new StateLayout()
  for (const [i, x] of initial.entries()) layout.add(`${i}`, x.shape, x.dtype)
  const plan = compile([{ name: 'a', shape: a.shape, dtype: 'float64' }], layout, { dtype: 'float64' }, (r) => {
    const state = initial.map((_, i) => r.state(i))
    update(state, r.input(0)).forEach((value, i) => {
      r.assign(i, value)
    })
  })
  const state = engine().createState(layout.bytes, layout.floats())
  for (const [i, x] of initial.entries()) state.write(layout.slots[i]?.offset as number, x.data)
  let eager = initial
  for (let run = 0; run < 3; run++) {
    plan.run(state, [a.data])
    eager = update(eager, a)
  }
  const replayed = initial.map((x, i) => {
    const out = x.data.slice()
    state.read(layout.slots[i]?.offset as number, out)
    return Array.from(out)
  })
  return [replayed, eager.map((x) => Array.from(x.data))]
}

const cases: Record<string, { update: (state: Tensor[], a: Tensor) => Tensor[]; shapes: number[][] }> = {
  'W ← W − α·W·A': { update: ([W], a) => [(W as Tensor).sub((W as Tensor).matmul(a).mul(0.1))], shapes: [[4, 4]] },
  'W ← W + A·Wᵀ': { update: ([W], a) => [(W as Tensor).add(a.matmul((W as Tensor).transpose()))], shapes: [[4, 4]] },
  'W ← W − s·A·A, s in W': {
    update: ([W], a) => [
      (W as Tensor).sub(
        a
          .slice([0, 1])
          .matmul(a.slice(null, [0, 1]))
          .mul(W as Tensor),
      ),
    ],
    shapes: [[1, 1]],
  },
  'two factors of a matrix': {
    update: ([U, V], a) => {
      const rest = (U as Tensor).matmul((V as Tensor).transpose()).sub(a)
      return [
        (U as Tensor).sub(rest.matmul(V as Tensor).mul(0.1)),
        (V as Tensor).sub(
          rest
            .transpose()
            .matmul(U as Tensor)
            .mul(0.1),
        ),
      ]
    },
    shapes: [
      [4, 2],
      [4, 2],
    ],
  },
  'each reads the other': {
    update: ([U, V], a) => [(U as Tensor).sub((V as Tensor).matmul(a)), (V as Tensor).sub((U as Tensor).matmul(a))],
    shapes: [
      [4, 4],
      [4, 4],
    ],
  },
  'a product of one that is written element by element': {
    update: ([U, V], a) => [(U as Tensor).sub((V as Tensor).matmul(a).mul(0.1)), (V as Tensor).mul(0.5).add(U as Tensor)],
    shapes: [
      [4, 4],
      [4, 4],
    ],
  },
  'rows of a table, some of them twice': {
    update: ([E], a) => [(E as Tensor).sub(w.scatterAdd(a, [3, 0, 3, 5], 6).mul(0.1))],
    shapes: [[6, 4]],
  },
  'rows of a table by a factor that is computed': {
    update: ([E], a) => [(E as Tensor).add(w.scatterAdd(a, [1, 1, 2, 0], 6).neg().mul(2).mul(a.sum()))],
    shapes: [[6, 4]],
  },
  'rows of a table that are read where they are written': {
    update: ([E], a) => [(E as Tensor).sub(w.scatterAdd((E as Tensor).gather([3, 0, 3, 5]).matmul(a), [3, 0, 3, 5], 6).mul(0.1))],
    shapes: [[6, 4]],
  },
  'a table added to its own rows': {
    update: ([E], a) => [(E as Tensor).add(w.scatterAdd((E as Tensor).reshape([4, 4]), [3, 2, 1, 3], 4).mul(a.sum()))],
    shapes: [[4, 4]],
  },
  'the same through a reshape': {
    update: ([U, V], a) => [
      (U as Tensor).sub((V as Tensor).reshape([4, 4]).matmul(a)),
      (V as Tensor).sub((U as Tensor).reshape([16]).mul(0.1)),
    ],
    shapes: [[4, 4], [16]],
  },
}

describe.each(present)('on %s', (name) => {
  test.each(Object.entries(cases))('%s', (_, { update, shapes }) => {
    using(name, () => {
      const initial = shapes.map((shape, i) => values(i + 1, ...shape))
      const [replayed, eager] = both(update, initial, values(9, 4, 4))
      replayed.flat().forEach((value, i) => {
        expect(Math.abs(value - (eager.flat()[i] as number))).toBeLessThan(1e-9 * Math.max(1, Math.abs(value)))
      })
    })
  })

  test('rows of a table are changed where they lie; a bad index changes nothing', () => {
    using(name, () => {
      const layout = new StateLayout()
      layout.add('E', [6, 4], 'float64')
      const plan = compile([{ name: 'index', shape: [3], dtype: 'int32' }], layout, { dtype: 'float64' }, (r) => {
        const E = r.state(0)
        r.assign(0, E.sub(w.scatterAdd(w.full([3, 4], 1, { dtype: 'float64' }), r.input(0), 6).mul(0.5)))
      })
      expect(plan.lowered.program.steps.map(({ kernel, scalars }) => [kernel, ...scalars])).toEqual([['scatterAdd', -0.5, 1]])
      const state = engine().createState(layout.bytes, layout.floats())
      const read = () => {
        const out = new Float64Array(24)
        state.read(0, out)
        return Array.from({ length: 6 }, (_, i) => out[4 * i])
      }
      plan.run(state, [Int32Array.of(4, 1, 4)])
      expect(read()).toEqual([0, -0.5, 0, 0, -1, 0])
      expect(() => plan.run(state, [Int32Array.of(0, 6, 1)])).toThrow(/6/)
      expect(read()).toEqual([0, -0.5, 0, 0, -1, 0])
    })
  })

  test("a fit with an optimiser of one's own whose update reads what it writes", async () => {
    const rule: Optimizer = {
      name: 'natural',
      learningRate: 0.05,
      scalarCount: 1,
      steady: true,
      slots: () => [],
      scalars: (out, offset, _t, rate) => {
        out[offset] = rate
      },
      update: (parameter, gradient, _slots, [rate]) =>
        parameter.rank === 2
          ? { parameter: parameter.sub(parameter.matmul(gradient.transpose().matmul(gradient)).mul(rate as Tensor)), slots: [] }
          : { parameter: parameter.sub(gradient.mul(rate as Tensor)), slots: [] },
    }
    await during(name, async () => {
      const make = () => new w.nn.Linear(3, 3, { rng: new w.Random(1), dtype: 'float64' })
      const data = { x: values(1, 8, 3), y: values(2, 8, 3) }
      const [compiled, eager] = [make(), make()]
      await new w.FBGD(compiled, { loss: w.loss.mse, optimizer: rule }).fit(data, { epochs: 3 })
      for (let i = 0; i < 3; i++) {
        const parameters = eager.stateDict() as Record<string, Tensor>
        const cost = (W: Tensor, b: Tensor) => w.loss.mse(data.x.matmul(W.transpose()).add(b), data.y)
        const [dW, db] = w.grad(cost, { argnums: [0, 1] })(parameters.weight as Tensor, parameters.bias as Tensor) as [Tensor, Tensor]
        const rate = w.tensor(0.05, { dtype: 'float64' })
        eager.loadStateDict({
          weight: rule.update(parameters.weight as Tensor, dW, [], [rate]).parameter,
          bias: rule.update(parameters.bias as Tensor, db, [], [rate]).parameter,
        })
      }
      const [a, b] = [compiled.weight.data, eager.weight.data]
      a.forEach((value, i) => {
        expect(Math.abs(value - (b[i] as number))).toBeLessThan(1e-9)
      })
    })
  })
})
