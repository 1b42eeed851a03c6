/** What each pass of the plan does to a recorded program, seen in the lowered calls; values are compared elsewhere. */

import { describe, expect, it } from 'vitest'
import { jsBackend } from '../../lib/backend/js/engine.js'
import { elementwiseOps, type Program } from '../../lib/backend/program.js'
import {
  add,
  full,
  grad,
  greater,
  mul,
  relu,
  sigmoid,
  slice,
  softmaxCrossEntropy,
  sub,
  sum,
  type Tensor,
  tensor,
  vjp,
} from '../../lib/index.js'
import { lowerFunction } from '../../lib/plan/plan.js'
import type { InputSpec, Recorder } from '../../lib/plan/record.js'
import { StateLayout } from '../../lib/plan/state-layout.js'
import { optimizationBarrier } from '../../lib/primitives/barrier.js'

const names = Object.keys(elementwiseOps)
const kernels = (program: Program) => program.steps.map((step) => step.kernel)
/** The micro-operations of an elementwise call. */
const micro = (program: Program, step: number) => {
  const { ints } = program.steps[step] as Program['steps'][number]
  const [, , , inputs, outputs, , ops] = ints as number[]
  const start = 7 + 2 * (inputs as number) + (outputs as number)
  return Array.from({ length: ops as number }, (_, i) => names[ints[start + 4 * i] as number])
}
const input = (name: string, shape: number[], writable = false): InputSpec => ({ name, shape, dtype: 'float32', writable })
const lowered = (inputs: InputSpec[], build: (r: Recorder) => void, layout = new StateLayout()) =>
  lowerFunction(inputs, layout, { dtype: 'float32', report: 1 }, build)

describe('passes', () => {
  it('drops what no effect needs and shares equal entries', () => {
    const { program } = lowered([input('x', [4]), input('out', [4], true)], (r) => {
      const x = r.input(0)
      sigmoid(x)
      r.output(1, add(mul(x, x), mul(x, x)))
    })
    expect(kernels(program)).toEqual(['elementwise'])
    expect(micro(program, 0)).toEqual(['mul', 'add'])
  })

  it('moves transposes into products', () => {
    const { program } = lowered([input('a', [4, 3]), input('b', [5, 4]), input('out', [3, 5], true)], (r) => {
      r.output(2, r.input(0).transpose().matmul(r.input(1).transpose()))
    })
    expect(kernels(program)).toEqual(['matmul'])
    expect(program.steps[0]?.ints.slice(0, 6)).toEqual([1, 3, 5, 4, 1, 1])
  })

  it('fuses a chain with a broadcast bias into one call, over the product it follows', () => {
    const { program } = lowered([input('x', [8, 4]), input('w', [3, 4]), input('b', [3]), input('out', [8, 3], true)], (r) => {
      r.output(3, relu(add(r.input(0).matmul(r.input(1).transpose()), r.input(2))))
    })
    expect(kernels(program)).toEqual(['matmul', 'elementwise'])
    expect(micro(program, 1)).toEqual(['add', 'relu'])
  })

  it('fuses over reshapes: a bias over rows with a residual of sequences, in one call', () => {
    const { program } = lowered([input('x', [2, 4, 3]), input('w', [3, 3]), input('b', [3]), input('out', [2, 4, 3], true)], (r) => {
      const x = r.input(0)
      const product = add(x.reshape([8, 3]).matmul(r.input(1)), r.input(2)).reshape([2, 4, 3])
      r.output(3, relu(add(x, product)))
    })
    expect(kernels(program)).toEqual(['matmul', 'elementwise'])
    expect(micro(program, 1)).toEqual(['add', 'add', 'relu'])
  })

  it('does not fuse around a product: no circle of calls', () => {
    const { program } = lowered([input('x', [4, 4]), input('out', [4, 4], true)], (r) => {
      const a = sigmoid(r.input(0))
      r.output(1, add(a.matmul(a), a))
    })
    expect(kernels(program)).toEqual(['elementwise', 'matmul', 'elementwise'])
  })

  it('computes a derivative from the saved output in the backward call, not in the forward one', () => {
    const { program } = lowered([input('x', [8, 4]), input('w', [4, 4]), input('out', [4, 4], true)], (r) => {
      const cost = (w: Tensor) => sum(sigmoid(sigmoid(r.input(0).matmul(w)).matmul(w)))
      r.output(2, grad(cost)(r.input(1)) as Tensor)
    })
    const forward = program.steps.findIndex((step) => step.kernel === 'elementwise')
    expect(micro(program, forward)).toEqual(['sigmoid'])
  })

  it('folds an update into its product only where nothing else reads the gradient', () => {
    const build = (clipped: boolean) => {
      const layout = new StateLayout()
      layout.add('w', [3, 4], 'float32')
      return lowered(
        [input('x', [8, 4]), input('rate', [])],
        (r) => {
          const gradient = grad((w: Tensor) => sum(sigmoid(r.input(0).matmul(w.transpose()))))(r.state(0)) as Tensor
          const used = clipped ? mul(gradient, greater(sum(gradient), 1).cast('float32')) : gradient
          r.assign(0, sub(r.state(0), mul(used, r.input(1))))
        },
        layout,
      ).program
    }
    const folded = build(false).steps.filter((step) => step.kernel === 'matmul')
    expect(folded.at(-1)?.scalars).toEqual([-1, 1])
    expect(folded.at(-1)?.inputs.length).toBe(3)
    expect(
      build(true)
        .steps.filter((step) => step.kernel === 'matmul')
        .every((step) => step.scalars[1] === 0),
    ).toBe(true)
  })

  it('updates each weight as soon as its gradient can be made, also where the rate is taken from its list in the end', () => {
    const layout = new StateLayout()
    for (const name of ['u', 'v', 'w']) layout.add(name, [4, 4], 'float32')
    const { program } = lowered(
      [input('x', [8, 4]), input('rates', [2])],
      (r) => {
        const weights = [0, 1, 2].map((slot) => r.state(slot))
        const loss = (...ws: Tensor[]) => sum(ws.reduce((x, w) => sigmoid(x.matmul(w)), r.input(0)))
        const gradients = grad(loss, { argnums: [0, 1, 2] })(...weights) as unknown as Tensor[]
        const rate = slice(r.input(1), 1)
        weights.forEach((w, slot) => {
          r.assign(slot, sub(w, mul(gradients[slot] as Tensor, rate)))
        })
      },
      layout,
    )
    const products = program.steps
      .filter((step) => step.kernel === 'matmul')
      .map(({ scalars }) => (scalars[1] === 1 ? 'update' : 'product'))
    expect(products.slice(3)).toEqual(['product', 'update', 'product', 'update', 'update'])
  })

  it('writes state only after every reader of its old value', () => {
    const layout = new StateLayout()
    layout.add('a', [2], 'float32')
    layout.add('b', [2], 'float32')
    const { program } = lowered(
      [],
      (r) => {
        // A swap: neither may be overwritten before the other has been read.
        r.assign(0, r.state(1))
        r.assign(1, r.state(0))
        r.report(0, sum(r.state(0)))
      },
      layout,
    )
    const state = jsBackend.createState(layout.bytes, [])
    state.write(0, new Float32Array([1, 2]))
    state.write(64, new Float32Array([3, 4]))
    const report = new Float64Array(1)
    jsBackend.compile(program).run(state, [], report)
    const [a, b] = [new Float32Array(2), new Float32Array(2)]
    state.read(0, a)
    state.read(64, b)
    expect([Array.from(a), Array.from(b), report[0]]).toEqual([[3, 4], [1, 2], 3])
  })

  it('shares the results of equal calls that have several', () => {
    const inputs = [
      input('z', [4, 3]),
      { ...input('label', [4]), dtype: 'int32' as const },
      input('a', [4, 3], true),
      input('b', [4, 3], true),
    ]
    const { program, constants } = lowered(inputs, (r) => {
      const g = full([4], 0.25)
      const gradient = () => vjp((z: Tensor) => softmaxCrossEntropy(z, r.input(1)), r.input(0))[1](g)[0]
      r.output(2, gradient())
      r.output(3, gradient().mul(2))
    })
    expect(kernels(program)).toEqual(['softmaxCrossEntropyGrad', 'elementwise'])
    const [a, b] = [new Float32Array(12), new Float32Array(12)]
    const given = [new Float32Array([1, 2, 3, 0, 0, 0, -1, 5, 2, 9, 1, 1]), new Int32Array([2, 0, 1, 1]), a, b]
    jsBackend.compile(program).run(undefined, [...given, ...constants])
    expect(b).toEqual(a.map((x) => 2 * x))
    expect(a.some((x) => x !== 0)).toBe(true)
  })

  it('makes the loss and its gradient in one call where neither waits for the other', () => {
    const { program } = lowered([input('z', [4, 3]), { ...input('label', [4]), dtype: 'int32' }, input('out', [4, 3], true)], (r) => {
      const losses = (z: Tensor) => softmaxCrossEntropy(z, r.input(1))
      const [value, pullback] = vjp(losses, r.input(0))
      r.report(0, value)
      r.output(2, pullback(full([4], 0.25))[0])
    })
    expect(kernels(program)).toEqual(['softmaxCrossEntropyGrad', 'accumulate'])
    const report = new Float64Array(1)
    const out = new Float32Array(12)
    const inputs = [
      new Float32Array([1, 2, 3, 0, 0, 0, -1, 5, 2, 9, 1, 1]),
      new Int32Array([2, 0, 1, 1]),
      out,
      new Float32Array(4).fill(0.25),
    ]
    jsBackend.compile(program).run(undefined, inputs, report)
    const z = tensor(inputs[0] as Float32Array, { shape: [4, 3] })
    expect(report[0]).toBeCloseTo(
      softmaxCrossEntropy(z, inputs[1] as Int32Array)
        .sum()
        .item(),
      5,
    )
    expect(out[0]).toBeCloseTo(Math.exp(1) / (Math.exp(1) + Math.exp(2) + Math.exp(3)) / 4, 6)
  })

  it('computes again what lies behind a barrier, after what the barrier waits for, without a copy', () => {
    const chain = (x: Tensor) => Array.from({ length: 6 }).reduce<Tensor>((y) => sigmoid(y.matmul(y)), x)
    const build = (held: boolean) =>
      lowered([input('x', [16, 16]), input('out', [16, 16], true)], (r) => {
        const x = r.input(0)
        const g = chain(x)
        const again = held ? optimizationBarrier(x, g) : x
        r.output(1, vjp(chain, again)[1](g)[0])
      }).program
    const shared = kernels(build(false)).filter((kernel) => kernel === 'matmul').length
    const held = build(true)
    expect(shared).toBe(6 + 12)
    expect(kernels(held).filter((kernel) => kernel === 'matmul').length).toBe(6 + 6 + 12)
    expect(kernels(held)).not.toContain('copy')
    const x = Float32Array.from({ length: 256 }, (_, i) => ((i * 7) % 11) / 50)
    const [a, b] = [new Float32Array(256), new Float32Array(256)]
    jsBackend.compile(build(false)).run(undefined, [x, a])
    jsBackend.compile(held).run(undefined, [x, b])
    expect(b).toEqual(a)
  })

  it('takes equal elements of a constant as one number', () => {
    const { program, constants } = lowered([input('x', [3, 2]), input('out', [3, 2], true)], (r) => {
      r.output(
        1,
        mul(
          r.input(0),
          tensor([
            [2, 2],
            [2, 2],
            [2, 2],
          ]),
        ),
      )
    })
    expect(constants).toEqual([])
    expect(program.steps[0]?.scalars).toEqual([2])
  })
})
