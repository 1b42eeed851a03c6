/** Convolution and pooling over PyTorch's grid of options: values and gradients of every operand, on both engines and in both precisions. */

import { describe, expect, test } from 'vitest'
import '../../lib/primitives/methods.js'
import { jvp, vjp } from '../../lib/autodiff/transforms.js'
import { setThreads } from '../../lib/backend/select.js'
import * as resample from '../../lib/primitives/resample.js'
import * as spatial from '../../lib/primitives/spatial.js'
import { tensor } from '../../lib/tensor/creation.js'
import type { Tensor } from '../../lib/tensor/tensor.js'
import type { FloatDtype } from '../../lib/util/dtype.js'
import { sizeOf } from '../../lib/util/shape.js'
import { announce, present, using } from '../support/engines.js'
import { golden, type Numbers, numbers } from '../support/golden.js'
import { farthest } from '../support/tolerance.js'

interface Summary {
  shape: number[]
  sums: Numbers
}
interface Case {
  op: string
  inputs: number[][]
  options: Record<string, unknown>
  y: Summary
  grads: Summary[]
}

/** As `fill` of scripts/golden/spatial.py. */
function fill(shape: readonly number[], salt: number, dtype: FloatDtype): Tensor {
  const n = sizeOf(shape)
  const values = Float64Array.from({ length: n }, (_, i) => Math.sin(i * 1.7 + salt * 0.61 + ((i * i) % 13)))
  return tensor(values, { shape: [...shape], dtype })
}

const sums = (v: Tensor): number[] => [1, 2, 3].map((k) => Array.from(v.data).reduce((s, x, i) => s + x * Math.cos(k * (i + 1)), 0))

function functionOf({ op, options }: Case): (...x: Tensor[]) => Tensor {
  const { size, ...rest } = options
  const f = ({ ...spatial, ...resample } as unknown as Record<string, (...args: unknown[]) => Tensor>)[op] as (...args: unknown[]) => Tensor
  if (op.startsWith('conv')) return (x, w, bias) => f(x, w, { ...rest, ...(bias && { bias }) })
  return op === 'upsample' ? (x) => f(x, options) : op.startsWith('adaptive') ? (x) => f(x, size) : (x) => f(x, size, rest)
}

function close(actual: Tensor, expected: Summary, tolerance: number): void {
  expect(actual.shape).toEqual(expected.shape)
  const scale = Math.max(1, ...Array.from(actual.data, Math.abs)) * Math.sqrt(Math.max(1, actual.size))
  const wanted = numbers(expected.sums)
  for (const [i, value] of sums(actual).entries()) expect(Math.abs(value - (wanted[i] as number)) / scale).toBeLessThan(tolerance)
}

const { cases } = golden<{ cases: Case[] }>('spatial')
announce('convolution and pooling')

for (const name of present) {
  describe(`${name} engine`, () => {
    test.each([
      ['float64', 1e-12],
      ['float32', 3e-6],
    ] as const)(`${cases.length} cases in %s: values and gradients are PyTorch's`, (dtype, tolerance) => {
      using(name, () => {
        for (const entry of cases) {
          const f = functionOf(entry)
          const operands = entry.inputs.map((shape, k) => fill(shape, k, dtype))
          const [y, pullback] = vjp(f, ...operands)
          try {
            close(y as Tensor, entry.y, tolerance)
            const grads = pullback(fill(entry.y.shape, 9, dtype)) as Tensor[] | Tensor
            for (const [i, g] of (Array.isArray(grads) ? grads : [grads]).entries()) close(g, entry.grads[i] as Summary, tolerance)
          } catch (error) {
            ;(error as Error).message += `\n${entry.op} ${JSON.stringify(entry.inputs)} ${JSON.stringify(entry.options)}`
            throw error
          }
        }
      })
    })

    test('forward mode is the transpose of reverse mode', () => {
      using(name, () => {
        for (const entry of cases) {
          const f = functionOf(entry)
          const operands = entry.inputs.map((shape, k) => fill(shape, k, 'float64'))
          const tangents = entry.inputs.map((shape, k) => fill(shape, k + 4, 'float64'))
          const [, t] = jvp(f as never, operands as never, tangents as never) as unknown as [Tensor, Tensor]
          const g = fill(entry.y.shape, 9, 'float64')
          const [, pullback] = vjp(f, ...operands)
          const back = pullback(g) as Tensor[] | Tensor
          const grads = Array.isArray(back) ? back : [back]
          const dot = (a: Tensor, b: Tensor) => a.mul(b).sum().item()
          const right = grads.reduce((s, v, i) => s + dot(v, tangents[i] as Tensor), 0)
          expect(Math.abs(dot(g, t) - right)).toBeLessThan(1e-9 * Math.max(1, Math.abs(right)))
        }
      })
    })

    test('the engines agree, and threads do not change a bit', () => {
      const shapes: [number[], number[], Record<string, unknown>][] = [
        [[7, 9, 17, 19], [13, 9, 3, 3], { padding: 1 }],
        [[5, 16, 20, 20], [32, 16, 3, 3], { stride: 2 }],
        [[3, 33, 12, 12], [65, 33, 1, 1], {}],
        [[4, 24, 15, 15], [24, 1, 3, 3], { groups: 24, padding: 'same' }],
        [[4, 12, 15, 15], [18, 6, 5, 5], { groups: 2, dilation: 2 }],
        [[2, 3, 4, 4], [2, 3, 2, 2], { dilation: 3 }],
        [[1, 1, 3, 3], [1, 1, 2, 2], { dilation: 2, padding: 40 }],
      ]
      for (const [x, w, options] of shapes) {
        const run = () => {
          const [y, pullback] = vjp((a: Tensor, b: Tensor) => spatial.conv2d(a, b, options), fill(x, 0, 'float32'), fill(w, 1, 'float32'))
          return [y, ...(pullback(fill((y as Tensor).shape, 2, 'float32')) as Tensor[])].map((v) => Array.from((v as Tensor).data))
        }
        const [one, two] = using(name, () => {
          setThreads(1)
          const first = run()
          setThreads(2)
          return [first, run()]
        })
        expect(two).toEqual(one)
        const other = using('js', run)
        other.forEach((values, i) => {
          expect(farthest((one as number[][])[i] as number[], values, 1e-4)).toBe('')
        })
      }
    }, 120_000)
  })
}
