/** Sums of rows with what is computed around them, as one call: what is joined, and that the numbers are those of the calls by themselves. */

import { describe, expect, it } from 'vitest'
import type { Program } from '../../lib/backend/program.js'
import {
  add,
  compile,
  grad,
  mean,
  mul,
  nn,
  Random,
  type Random as RandomType,
  relu,
  rsqrt,
  setThreads,
  square,
  sub,
  sum,
  type Tensor,
} from '../../lib/index.js'
import { lowerFunction } from '../../lib/plan/plan.js'
import type { InputSpec, Recorder } from '../../lib/plan/record.js'
import { StateLayout } from '../../lib/plan/state-layout.js'
import { announce, present, using } from '../support/engines.js'

const kernels = (program: Program) => program.steps.map((step) => step.kernel)
const input = (name: string, shape: number[], writable = false): InputSpec => ({ name, shape, dtype: 'float32', writable })
const lowered = (inputs: InputSpec[], build: (r: Recorder) => void) =>
  lowerFunction(inputs, new StateLayout(), { dtype: 'float32', report: 1 }, build).program

function normalised(x: Tensor, weight: Tensor, bias: Tensor): Tensor {
  const centred = sub(x, mean(x, -1, { keepDims: true }))
  const y = mul(centred, rsqrt(add(mean(square(centred), -1, { keepDims: true }), 1e-5)))
  return add(mul(y, weight), bias)
}

describe('calls along rows', () => {
  it('a normalisation is one call, with a residual and a bias in front of it under other shapes', () => {
    const program = lowered([input('x', [8, 16, 12]), input('w', [12, 12]), input('b', [12]), input('out', [8, 16, 12], true)], (r) => {
      const x = r.input(0)
      const product = add(x.reshape([128, 12]).matmul(r.input(1)), r.input(2))
      r.output(3, normalised(add(x, product.reshape([8, 16, 12])), r.input(2), r.input(2)))
    })
    expect(kernels(program)).toEqual(['matmul', 'rowwise'])
  })

  it('small grids, sums of other axes and a sum by itself stay as they are', () => {
    const small = lowered([input('x', [4, 4]), input('out', [4], true)], (r) => r.output(1, sum(square(r.input(0)), 1)))
    expect(kernels(small)).toEqual(['elementwise', 'sum'])
    const first = lowered([input('x', [64, 64]), input('out', [64], true)], (r) => r.output(1, sum(square(r.input(0)), 0)))
    expect(kernels(first)).toEqual(['elementwise', 'sum'])
    const alone = lowered([input('x', [64, 64]), input('out', [64], true)], (r) => r.output(1, sum(r.input(0), 1)))
    expect(kernels(alone)).toEqual(['sum'])
  })

  it('what leads out of the call and back into it is not joined: no circle of calls', () => {
    const program = lowered([input('x', [64, 64]), input('w', [1, 64]), input('out', [64, 64], true)], (r) => {
      const x = square(r.input(0))
      const total = sum(x, 1, { keepDims: true })
      r.output(2, add(mul(x, total), total.matmul(r.input(1))))
    })
    expect(kernels(program)).toEqual(['rowwise', 'matmul', 'elementwise'])
  })
})

announce('calls along rows')
for (const engine of present) {
  describe(`calls along rows, on ${engine}`, () => {
    const shapes = [
      [64, 17],
      [9, 130],
      [3, 11, 64],
      [2, 8, 4, 33],
      [1025, 2],
    ]
    const random = (rng: RandomType, shape: number[], dtype: 'float32' | 'float64') => rng.normal(shape, { dtype })

    for (const dtype of ['float32', 'float64'] as const) {
      it(`the bits are those of the calls by themselves, values and gradients, ${dtype}`, () =>
        using(engine, () => {
          const rng = new Random(3)
          for (const shape of shapes) {
            const n = shape.at(-1) as number
            const rows = shape.slice(0, -1).reduce((a, b) => a * b, 1)
            const [x, r] = [random(rng, shape, dtype), random(rng, [rows, n], dtype)]
            const [w, b, c] = [random(rng, [n], dtype), random(rng, [n], dtype), random(rng, [...shape.slice(0, -1), 1], dtype)]
            const functions: Record<string, (...operands: Tensor[]) => Tensor> = {
              normalised: (x, r, w, b) => normalised(add(x, add(r as Tensor, b as Tensor).reshape(shape)), w as Tensor, b as Tensor),
              'root mean square': (x, _r, w) =>
                mul(mul(x as Tensor, rsqrt(add(mean(square(x as Tensor), -1, { keepDims: true }), 1e-6))), w as Tensor),
              'of a column': (x, _r, _w, _b, c) =>
                sub(x as Tensor, mul(c as Tensor, sum(mul(x as Tensor, c as Tensor), -1, { keepDims: true }))),
              'without its axis': (x) => relu(sum(mul(x as Tensor, x as Tensor), -1)),
            }
            for (const [name, f] of Object.entries(functions)) {
              const slope = (...operands: Tensor[]) =>
                grad((x: Tensor) => sum(mul(f(x, ...operands.slice(1)), f(x, ...operands.slice(1)))))(operands[0] as Tensor)
              for (const [way, g] of Object.entries({ value: f, gradient: slope })) {
                const operands = [x, r, w, b, c]
                expect(`${name}, ${way} ${shape}: ${compile(g)(...operands).data}`).toBe(`${name}, ${way} ${shape}: ${g(...operands).data}`)
              }
            }
          }
        }))
    }

    it('rows with NaN and infinities keep them to themselves', () =>
      using(engine, () => {
        const x = new Random(5).normal([64, 32])
        x.data[32 * 3] = Number.NaN
        x.data[32 * 5 + 7] = Infinity
        const [one, zero] = [new Random(6).normal([32]), new Random(7).normal([32])]
        const y = compile(normalised)(x, one, zero)
        expect([...y.data]).toEqual([...normalised(x, one, zero).data])
        expect([...y.data].filter(Number.isNaN).length).toBe(64)
      }))

    it('any number of threads gives the same bits', () =>
      using(engine, () => {
        const rng = new Random(8)
        const layer = new nn.LayerNorm(96)
        const x = rng.normal([4096, 96])
        const of = (threads: number) => {
          setThreads(threads)
          return compile((x: Tensor) => grad((x: Tensor) => sum(square(layer.forward(x))))(x))(x).data
        }
        const one = of(1)
        expect(of(4)).toEqual(one)
        setThreads(1)
      }))
  })
}
