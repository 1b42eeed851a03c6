/**
 * Programs made at random: what the passes (simplify, fuse, schedule, lower) make of a function and its derivatives must
 * compute what the function does eagerly. Every program is drawn from its number, so a failing one can be run alone.
 */

import { describe, expect, test } from 'vitest'
import * as w from '../../lib/index.js'
import type { Tensor } from '../../lib/tensor/tensor.js'
import type { FloatDtype } from '../../lib/util/dtype.js'
import { Stream } from '../../lib/util/random.js'
import { announce, present, using } from '../support/engines.js'
import { floats } from '../support/models.js'
import { eager, replayed, type Subject } from '../support/prove.js'
import { farthest } from '../support/tolerance.js'

announce('random programs')

const rows = 6
const cols = 4

/** Bounded, smooth enough, and of every kind that a pass treats in its own way. All take and give [rows, cols]. */
const steps: ((a: Tensor, b: Tensor, small: Tensor, matrix: Tensor) => Tensor)[] = [
  (a) => a.tanh(),
  (a) => a.sigmoid(),
  (a) => a.relu(),
  (a) => a.neg().exp().add(1).reciprocal(),
  (a) => a.square().add(1).sqrt(),
  (a) => w.silu(a),
  (a) => a.sin().mul(a),
  (a, b) => a.add(b).mul(0.5),
  (a, b) => a.sub(b),
  (a, b) => a.mul(b).tanh(),
  (a, b) => w.maximum(a, b),
  (a, b) => w.where(w.greater(a, b), a.mul(0.5), b),
  (a, b) => a.div(b.square().add(1)),
  (a, _, small) => a.add(small),
  (a, _, small) => a.mul(small).tanh(),
  (a) => a.sub(a.mean(1, { keepDims: true })),
  (a) => a.add(a.sum(0).tanh()),
  (a) => a.sub(a.max(1, { keepDims: true })),
  (a) => w.softmax(a, 1).add(a.mul(0.25)),
  (a) => w.logSoftmax(a, 1).mul(0.25),
  (a, b, _, matrix) => w.matmul(a, matrix).mul(0.25).add(b),
  (a, _, small, matrix) => w.linear(a, matrix, small).tanh(),
  (a, b) => w.matmul(w.matmul(a, b.transpose()).mul(0.1), a).tanh(),
  (a) => a.transpose().reshape([rows, cols]).tanh(),
  (a, b) => w.concat([a.slice([0, 2]), b.slice([2, rows])]),
  (a) => w.flip(a, 0),
  (a) => w.gather(a, [5, 0, 0, 3, 2, 1]),
  (a) => w.cumsum(a, 1).mul(0.3),
  (a) =>
    w.pad(a.slice([1, null]), [
      [0, 1],
      [0, 0],
    ]),
  (a, b) => w.stopGradient(a).mul(b).tanh(),
  (a) => a.add(2).mul(3).sub(6).div(3),
  (a) => a.mul(0).add(a).mul(1),
]

/** A function of (x, y, small, matrix) made of `length` steps on earlier values. */
function draw(number: number, dtype: FloatDtype): Subject {
  const stream = new Stream({ seed: number, purpose: 0, a: 1, b: 0 })
  const length = 3 + stream.bounded(10)
  const plan = Array.from({ length }, (_, i) => ({
    step: stream.bounded(steps.length),
    from: [stream.bounded(i + 2), stream.bounded(i + 2)] as const,
  }))
  const values = (shape: number[]) =>
    w.tensor(
      Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (2 * stream.bounded(256) - 255) / 128),
      { shape, dtype },
    )
  const inputs = [values([rows, cols]), values([rows, cols]), values([cols]), values([cols, cols])]
  return {
    name: `program ${number}`,
    f: (x, y, small, matrix) => {
      const made = [x as Tensor, y as Tensor]
      for (const { step, from } of plan) {
        // The latest value is always used, so that nothing in front of it is dead.
        const latest = made[made.length - 1] as Tensor
        made.push((steps[step] as (typeof steps)[number])(latest, made[from[0]] as Tensor, small as Tensor, matrix as Tensor))
      }
      return (made[made.length - 1] as Tensor).add((made[2] as Tensor).mul(0.125))
    },
    inputs,
    golden: { shapes: [], inputs: [], value: [], g: Array.from({ length: rows * cols }, (_, i) => ((i * 7) % 11) / 8 - 0.5) },
    differentiable: true,
    smooth: false,
    slack: 1,
  }
}

const count = 150
const tolerance: Record<FloatDtype, number> = { float32: 5e-5, float64: 1e-11 }

describe.each(present)('on %s', (engine) => {
  test.each(floats)(`${count} programs and their derivatives, %s`, (dtype) => {
    const wrong: string[] = []
    for (let number = 0; number < count; number++) {
      using(engine, () => {
        const s = draw(number, dtype)
        const results = eager(s)
        try {
          replayed(s, results).forEach((y, i) => {
            const difference = farthest(y.data, results[i]?.data ?? [], tolerance[dtype])
            if (difference) wrong.push(`program ${number}, result ${i}: ${difference}`)
          })
        } catch (error) {
          wrong.push(`program ${number}: ${(error as Error).message}`)
        }
      })
    }
    expect(wrong).toEqual([])
  })

  test('integers keep their precision beside float32', () => {
    using(engine, () => {
      const s: Subject = {
        name: 'integers',
        // 2²⁴ + 1 is an int32, but no float32.
        f: (x, y) =>
          (x as Tensor)
            .cast('int32')
            .add(1)
            .sub(16777216)
            .cast('float32')
            .mul(y as Tensor),
        inputs: [w.tensor([16777216, -16777216, 3]), w.tensor([2, 0, 1])],
        golden: { shapes: [], inputs: [], value: [], g: [1, 1, 1] },
        differentiable: true,
        smooth: false,
        slack: 1,
      }
      const results = eager(s)
      expect(Array.from(results[0]?.data ?? [])).toEqual([2, -0, -16777212])
      expect(replayed(s, results).map((y) => Array.from(y.data))).toEqual(results.map((y) => Array.from(y.data)))
    })
  })
})
