/**
 * Elementwise rows where they are most easily wrong: kinks, both zeros, tiny and large magnitudes, infinities, NaN. The
 * values are PyTorch's of the same type; where this library differs on purpose, `differences` says why.
 */

import { describe, expect, test } from 'vitest'
import '../../lib/primitives/methods.js'
import { vjp } from '../../lib/autodiff/transforms.js'
import * as elementwise from '../../lib/primitives/elementwise.js'
import { elementwiseRows } from '../../lib/primitives/table.js'
import { ones, tensor } from '../../lib/tensor/creation.js'
import type { Tensor } from '../../lib/tensor/tensor.js'
import { announce, present, using } from '../support/engines.js'
import { golden, type Numbers, numbers } from '../support/golden.js'
import { farthestEach } from '../support/tolerance.js'

interface Probe {
  value: Numbers
  grads?: Numbers[]
}
const { points, rows } = golden<{ points: Record<1 | 2, Numbers[]>; rows: Record<string, Record<'float32' | 'float64', Probe>> }>('probes')

announce('probes')

/** Relative, and below that size absolute: PyTorch's float32 functions are good to a few units in the last place. */
const closeness = { float32: { relative: 1e-6, floor: 1e-37 }, float64: { relative: 1e-14, floor: 1e-300 } } as const

const functions = new Map(Object.entries(elementwise) as [string, unknown][])

interface Difference {
  op: string
  what: 'value' | 'derivative 0' | 'derivative 1'
  at: (...x: number[]) => boolean
  why: string
}
const infinite = (...x: number[]) => x.some((v) => Math.abs(v) === Infinity)
const differences: Difference[] = [
  { op: 'sign', what: 'value', at: Number.isNaN, why: 'NaN stays NaN, as in NumPy, so that it is not lost on the way' },
  { op: 'softplus', what: 'derivative 0', at: (x) => x === 100, why: "PyTorch's own overflows in float32 without its threshold" },
  { op: 'mod', what: 'derivative 1', at: infinite, why: '−floor(a/b) as it stands; PyTorch rounds the quotient of an infinity otherwise' },
]

describe.each(present)('probes on %s', (engine) => {
  for (const row of elementwiseRows) {
    if (row.name === 'where') continue
    test(row.name, () => {
      const probe = rows[row.name] as Record<'float32' | 'float64', Probe>
      expect(probe, 'run scripts/golden/make.sh').toBeDefined()
      const op = functions.get(row.name) as (...x: Tensor[]) => Tensor
      const arity = row.samples()[0]?.inputs.length as 1 | 2
      const grid = points[arity].map(numbers)
      const wrong: string[] = []
      for (const dtype of ['float32', 'float64'] as const) {
        const x = grid.map((values) => tensor(values, { dtype }))
        const results = using(engine, () => {
          if (row.kind === 'nondifferentiable') return [op(...x)]
          const [value, pullback] = vjp(op, ...x)
          return [value, ...pullback(ones(value.shape, { dtype }))] as Tensor[]
        })
        const { value, grads = [] } = probe[dtype]
        const { relative, floor } = closeness[dtype]
        const look = (what: Difference['what'], actual: Tensor, expected: Numbers, least: number, skip: (at: number[]) => boolean) => {
          for (const text of farthestEach(actual.data, numbers(expected), relative * (row.tolerance ?? 1), least)) {
            const at = grid.map((values) => values[Number(/\d+/.exec(text)?.[0])] as number)
            if (skip(at) || differences.some((d) => d.op === row.name && d.what === what && d.at(...at))) continue
            wrong.push(`${dtype} ${what} at (${at.map((v) => (Object.is(v, -0) ? '-0' : v)).join(', ')}) ${text}`)
          }
        }
        look('value', results[0] as Tensor, value, floor, () => false)
        // A derivative at NaN means nothing; where derivatives cancel (1 − y²) they are good to the type's own precision.
        results.slice(1).forEach((d, i) => {
          look(`derivative ${i as 0 | 1}`, d, grads[i] ?? [], 1, (at) => at.some(Number.isNaN))
        })
      }
      expect(wrong).toEqual([])
    })
  }
})

test('every probed row is in the table', () => {
  const names = elementwiseRows.map((row) => row.name).filter((name) => name !== 'where')
  expect(Object.keys(rows).sort()).toEqual([...names].sort())
})
