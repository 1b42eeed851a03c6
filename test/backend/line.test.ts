/** Very small programs run as one straight line of operations: bit for bit what their kernels give, and they fail where those fail. */

import { expect, it } from 'vitest'
import type { Backend } from '../../lib/backend/backend.js'
import { elementwiseCodes } from '../../lib/backend/program.js'
import { nn, Random, type Tensor, valueAndGrad } from '../../lib/index.js'
import { withBindings } from '../../lib/nn/parameter.js'
import { lowerFunction } from '../../lib/plan/plan.js'
import { StateLayout } from '../../lib/plan/state-layout.js'
import { allocate, dtypeOf as anyDtypeOf, type Dtype, isFloat, type TypedArray } from '../../lib/util/dtype.js'
import { Builder, call, f32, i32, onEveryEngine } from './engines.js'
import { type Case, Draw, random } from './reference.js'

/** Ten updates of a small network; `checked` runs go kernel by kernel. */
async function train(engine: Backend, layers: nn.Module[], dtype: 'float32' | 'float64', checked: boolean): Promise<number[]> {
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
      r.assign(slot, r.state(slot).sub((gradients[i] as Tensor).mul(r.input(2))))
    })
  })
  const state = engine.createState(layout.bytes, layout.floats())
  parameters.forEach((p, i) => {
    state.write(layout.slots[slots[i] as number]?.offset as number, p.data)
  })
  const rng = new Random(5)
  const arrays = [rng.normal([rows, 2], { dtype }).data, rng.normal([rows, 1], { dtype }).data, rng.uniform([1], 0.1, 0.2, { dtype }).data]
  const runner = engine.createRunner(state, [engine.compile(program)], [...arrays, ...constants])
  const { report } = await runner.run({ epochs: 10, segments: [{ program: 0, repeat: 1 }], windows: {}, checked })
  runner.close()
  const values = parameters.flatMap((p, i) => {
    const target = p.data.slice()
    state.read(layout.slots[slots[i] as number]?.offset as number, target)
    return Array.from(target)
  })
  return [...report, ...values]
}

const dtypeOf = (array: TypedArray) => anyDtypeOf(array) as Dtype

/** Random calls as small as those that lines are made of; one in three may be of any types, and is then no part of one. */
function smallCases(draw: Draw, dtype: 'float32' | 'float64', count: number): Case[] {
  const cases: Case[] = []
  for (let _seed = 0; cases.length < count; _seed++) {
    const made = random(draw.of(['elementwise', 'matmul', 'sum', 'gather', 'accumulate'] as const), draw)
    const { kernel, ints } = made.call
    const small = made.before.length <= 8 && made.inputs.every((x) => x.length <= 24)
    const inType = allocate(dtype, 0).constructor
    const floats = made.inputs.every((x, i) => x.constructor === inType || (kernel === 'gather' && i === 1))
    const outputs = made.before.constructor === inType || kernel === 'accumulate'
    const fits = (floats && outputs) || draw.int(0, 2) === 0
    if (small && fits && (kernel !== 'elementwise' || (ints[6] as number) <= 24)) cases.push(made)
  }
  return cases
}

onEveryEngine('lines', (backend) => {
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
        const straight = await train(backend, layers(), dtype, false)
        expect(straight).toEqual(await train(backend, layers(), dtype, true))
        expect(straight[9]).toBeLessThan(straight[0] as number)
      })
    }

    it(`programs of random small calls give the bits of the calls one by one, ${dtype}`, () => {
      const draw = new Draw(dtype === 'float32' ? 11 : 12)
      for (let round = 0; round < 40; round++) {
        const cases = smallCases(draw, dtype, 5)
        const builder = new Builder(dtype)
        const indices: TypedArray[] = []
        const contents: { offset: number; array: TypedArray }[] = []
        const stored = (array: TypedArray) => {
          contents.push({ offset: builder.state, array })
          return builder.stored(array.length, dtypeOf(array))
        }
        const results = cases.map((made) => {
          const inputs = made.inputs.map((array) => {
            if (dtypeOf(array) !== 'int32') return stored(array)
            indices.push(array)
            return builder.input(indices.length - 1, array.length, 'int32')
          })
          const offset = builder.state
          builder.step(made.call, [stored(made.before)], inputs)
          return { made, offset }
        })
        const floating = contents.filter(({ array }) => isFloat(dtypeOf(array)))
        const layout = floating.map(({ offset, array }) => ({ offset, length: array.length, dtype: dtypeOf(array) }))
        const state = backend.createState(builder.state, layout)
        for (const { offset, array } of contents) state.write(offset, array)
        const inputs = indices.map(({ length }, i) => ({ name: `${i}`, dtype: 'int32' as const, length, advance: 0 }))
        backend.compile(builder.program({ inputs })).run(state, indices)
        for (const { made, offset } of results) {
          const alone = made.before.slice()
          backend.run(made.call, [alone], made.inputs)
          const together = allocate(dtypeOf(alone), alone.length)
          state.read(offset, together)
          expect(Array.from(together), made.name).toEqual(Array.from(alone))
        }
      }
    })
  }

  /** state ← x[index] · 2, then its sum to the cost, then state ← 0, which a bad cost must prevent. */
  const gathering = () => {
    const builder = new Builder('float32')
    const [s, t, x, index] = [builder.stored(2), builder.scratch(2), builder.input(0, 6), builder.input(1, 1, 'int32')]
    builder.step(call('gather', [1, 3, 2, 1]), [t], [x, index])
    builder.step(call('elementwise', [0, 1, 2, 1, 1, 1, 1, 2, 1, 2, elementwiseCodes.mul, 0, 1, 0], [2]), [s], [t])
    builder.step(call('accumulate', [2]), [builder.entry(0)], [s])
    builder.step(call('elementwise', [0, 1, 2, 1, 1, 1, 1, 2, 1, 2, elementwiseCodes.mul, 0, 1, 0], [0]), [s], [s])
    const inputs = [
      { name: 'x', dtype: 'float32', length: 6, advance: 0 },
      { name: 'index', dtype: 'int32', length: 1, advance: 1 },
    ] as const
    const state = backend.createState(8, [{ offset: 0, length: 2, dtype: 'float32' }])
    const runner = (values: number[]) =>
      backend.createRunner(state, [backend.compile(builder.program({ inputs, report: 1 }))], [f32(...values), undefined])
    return {
      runner,
      block: (...indices: number[]) => ({ epochs: 1, segments: [{ program: 0, repeat: indices.length }], windows: { 1: i32(...indices) } }),
    }
  }

  it('a bad index and a bad cost end a run at their step', async () => {
    const { runner, block } = gathering()
    const good = runner([1, 2, 3, 4, 5, 6])
    expect((await good.run(block(0, 2))).report).toEqual(Float64Array.of(6 + 22))
    expect((await good.run(block(1, 3))).failure).toEqual({
      kind: 'index',
      program: 0,
      epoch: 0,
      run: 1,
      step: 0,
      position: 0,
      value: 3,
      size: 3,
    })
    good.close()
    const bad = runner([1, 2, 3, Number.POSITIVE_INFINITY, 5, 6])
    expect(await bad.run(block(0, 1))).toMatchObject({ runs: 1, failure: { kind: 'nonfinite', run: 1, step: 2 } })
    bad.close()
  })
})
