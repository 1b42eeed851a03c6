/**
 * Every row of the op table and every composite, generated: values and derivatives against PyTorch, both modes against
 * central differences and each other, second derivatives, engines against each other, eager against replayed.
 * A new row brings its own samples; run scripts/golden/make.sh for its golden values.
 */

import { afterAll, describe, expect, test } from 'vitest'
import '../../lib/primitives/methods.js'
import * as elementwise from '../../lib/primitives/elementwise.js'
import type { Primitive, Sample } from '../../lib/primitives/primitive.js'
import { elementwiseRows, opTable } from '../../lib/primitives/table.js'
import { tensor } from '../../lib/tensor/creation.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import { type FloatDtype, isFloat } from '../../lib/util/dtype.js'
import { type Composite, composites } from '../support/composites.js'
import { announce, present, using } from '../support/engines.js'
import { type GoldenCase, golden, numbers } from '../support/golden.js'
import {
  against,
  againstPeer,
  compiled,
  differentiate,
  eager,
  Findings,
  inLoop,
  ofCompiled,
  replayed,
  type Subject,
  throughLoop,
} from '../support/prove.js'
import { resultOf } from '../support/rows.js'

const { rows } = golden<{ rows: Record<string, GoldenCase[]> }>('ops')
const { functions: composedGolden } = golden<{ functions: Record<string, GoldenCase> }>('composites')
const regenerate = 'run scripts/golden/make.sh'
const functions = new Map(Object.entries(elementwise) as [string, (...x: Tensor[]) => Tensor][])
const pointwise = new Set(elementwiseRows)
const total = { rows: 0, functions: 0, cases: 0, checks: 0 }

announce('the op suite')

type Spec = Sample['inputs'][number] | { shape: readonly number[]; values: readonly number[] }

function input(spec: Spec, values: readonly number[], dtype: FloatDtype): Tensor {
  if (spec instanceof Tensor) return spec
  const own = 'dtype' in spec && spec.dtype !== undefined ? spec.dtype : 'below' in spec && spec.below !== undefined ? 'int32' : dtype
  return tensor(Float64Array.from(values), { shape: spec.shape, dtype: own })
}

const inputs = (specs: readonly Spec[], c: GoldenCase, dtype: FloatDtype) =>
  specs.map((spec, i) => input(spec, numbers(c.inputs[i] ?? []), dtype))

function subject(row: Primitive, sample: Sample, c: GoldenCase, dtype: FloatDtype): Subject {
  const params = sample.params ?? {}
  // An elementwise row takes operands that its function has made fit for a two-dimensional grid.
  const op = pointwise.has(row) ? functions.get(row.name) : undefined
  return {
    name: row.name,
    f: op ?? ((...x) => resultOf(row, x, params)),
    inputs: inputs(sample.inputs, c, dtype),
    golden: c,
    differentiable: row.kind !== 'nondifferentiable',
    smooth: true,
    slack: row.tolerance ?? 1,
  }
}

const composed = ({ name, f, inputs: specs, smooth = true, slack = 1 }: Composite, c: GoldenCase, dtype: FloatDtype): Subject => ({
  name,
  f,
  inputs: inputs(specs, c, dtype),
  golden: c,
  differentiable: true,
  smooth,
  slack,
})

/** A program holds one floating type; a cast between two is run eagerly only. */
const oneType = (s: Subject, results: readonly Tensor[]) => new Set([...s.inputs, ...results].map((x) => x.dtype).filter(isFloat)).size <= 1

/** All proofs of one function at one point. */
function prove(make: (dtype: FloatDtype) => Subject): void {
  const found = new Findings()
  for (const dtype of ['float32', 'float64'] as const) {
    const s = make(dtype)
    total.cases++
    const byEngine = present.map((name) =>
      using(name, () => {
        const results = eager(s)
        againstPeer(s, results, found)
        if (oneType(s, results)) against(`${name}: replayed against eager`, replayed(s, results), results, found)
        against(`${name}: compiled against eager`, compiled(s), results, found)
        against(`${name}: derivatives of what is compiled`, ofCompiled(s), results, found)
        for (const compiling of [false, true]) {
          const how = compiling ? 'compiled' : 'eager'
          for (const carried of [false, true])
            for (const ys of inLoop(s, carried, compiling))
              against(`${name}: in a loop, ${how}${carried ? ', by the carry' : ''}`, ys, results, found)
          if (s.differentiable) against(`${name}: back through a loop, ${how}`, throughLoop(s, compiling), results, found)
        }
        if (dtype === 'float64' && s.differentiable) differentiate(s, found)
        return results
      }),
    )
    const [first, ...others] = byEngine as [Tensor[], ...Tensor[][]]
    for (const other of others) against(`${present[1]} against ${present[0]}`, other, first, found)
  }
  total.checks += found.checks
  expect(found.wrong).toEqual([])
  expect(found.checks).toBeGreaterThan(0)
}

describe('rows of the op table', () => {
  test('every elementwise operation but where, whose condition comes first, is a method listed by name', () => {
    const missing = [...functions].filter(([name]) => name !== 'where' && typeof Reflect.get(Tensor.prototype, name) !== 'function')
    expect(missing.map(([name]) => name)).toEqual([])
    const x = tensor([0.5, -0.25])
    const y = tensor([0.25, 0.75])
    for (const [name, f] of functions) {
      if (name === 'where') continue
      const method = Reflect.get(x, name) as (...rest: Tensor[]) => Tensor
      expect(method.call(x, y).toArray(), name).toEqual(f(x, y).toArray())
    }
  })

  test('golden values are of the rows and samples at hand', () => {
    expect(Object.keys(rows), regenerate).toEqual(opTable.map((row) => row.name))
    for (const row of opTable) {
      const samples = row.samples()
      expect(samples.length, `${row.name} has no samples`).toBeGreaterThan(0)
      const described = samples.map((s) => ({ params: s.params ?? {}, shapes: s.inputs.map((x) => x.shape) }))
      expect(
        rows[row.name]?.map(({ params, shapes }) => ({ params, shapes })),
        `${row.name}: ${regenerate}`,
      ).toEqual(described)
    }
  })

  for (const row of opTable) {
    test(row.name, () => {
      const cases = rows[row.name] ?? []
      const samples = row.samples()
      expect(cases.length, regenerate).toBe(samples.length)
      samples.forEach((sample, i) => {
        prove((dtype) => subject(row, sample, cases[i] as GoldenCase, dtype))
      })
      total.rows++
    })
  }
})

describe('functions composed of rows', () => {
  test('golden values are of the functions at hand', () => {
    expect(Object.keys(composedGolden), regenerate).toEqual(composites.map(({ name }) => name))
  })
  for (const composite of composites) {
    test(composite.name, () => {
      const c = composedGolden[composite.name] as GoldenCase
      expect(c.shapes, regenerate).toEqual(composite.inputs.map((x) => x.shape))
      prove((dtype) => composed(composite, c, dtype))
      total.functions++
    })
  }
})

afterAll(() => {
  console.log(
    `op suite: ${total.rows} of ${opTable.length} rows, ${total.functions} of ${composites.length} composed functions, ${total.cases} cases, ${total.checks} checks on ${present.join(' and ')}`,
  )
})
