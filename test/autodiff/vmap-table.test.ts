/**
 * Every row of the op table under `vmap` against a loop over the samples: each set of mapped operands, along each axis, on
 * both engines; values, the gradient of the mapped function, the mapped gradient, and the same replayed by a program.
 */

import { afterAll, describe, expect, test } from 'vitest'
import '../../lib/primitives/methods.js'
import { grad, jvp } from '../../lib/autodiff/transforms.js'
import { vmap } from '../../lib/autodiff/vmap.js'
import * as elementwise from '../../lib/primitives/elementwise.js'
import { microOps } from '../../lib/primitives/micro-ops.js'
import { stack } from '../../lib/primitives/parts.js'
import type { Primitive, Sample } from '../../lib/primitives/primitive.js'
import { elementwiseRows, opTable } from '../../lib/primitives/table.js'
import { Tensor } from '../../lib/tensor/tensor.js'
import { allocate, isFloat } from '../../lib/util/dtype.js'
import { Stream } from '../../lib/util/random.js'
import { sizeOf } from '../../lib/util/shape.js'
import { type Composite, composites } from '../support/composites.js'
import { announce, present, using } from '../support/engines.js'
import { replay } from '../support/replay.js'
import { resultOf } from '../support/rows.js'
import { farthest, tolerances } from '../support/tolerance.js'

const size = 3
const total = { rows: 0, cases: 0, checks: 0 }
announce('the op suite under vmap')

type Spec = Sample['inputs'][number] | Composite['inputs'][number]
const functions = new Map(Object.entries(elementwise) as [string, (...x: Tensor[]) => Tensor][])
const pointwise = new Set<Primitive>(elementwiseRows)

/** A tensor as the row's sample asks for, in float64 where the type is open. */
function draw(spec: Spec, stream: Stream): Tensor {
  // Kinks and ties, in another order for each sample.
  if (!(spec instanceof Tensor) && 'values' in spec) {
    const chosen = Float64Array.from(spec.values, () => spec.values[stream.bounded(spec.values.length)] as number)
    return new Tensor(spec.shape, 'float64', chosen)
  }
  const dtype = spec instanceof Tensor ? spec.dtype : (spec.dtype ?? (spec.below === undefined ? 'float64' : 'int32'))
  const values = allocate(dtype, sizeOf(spec.shape))
  for (let i = 0; i < values.length; i++) {
    if (spec instanceof Tensor) values[i] = spec.data[stream.bounded(values.length)] as number
    else if (spec.below !== undefined) values[i] = stream.bounded(spec.below)
    else if (dtype === 'bool') values[i] = stream.bounded(2)
    else values[i] = (spec.low ?? -2) + ((spec.high ?? 2) - (spec.low ?? -2)) * stream.uniform()
  }
  return new Tensor(spec.shape, dtype, values)
}

const subsets = (n: number): boolean[][] =>
  Array.from({ length: 2 ** n - 1 }, (_, bits) => Array.from({ length: n }, (_, i) => (((bits + 1) >> i) & 1) === 1))

class Case {
  readonly f: (...x: Tensor[]) => Tensor
  /** Of each sample, its operands: the unmapped ones are the same in all. */
  readonly samples: Tensor[][]
  readonly axes: (number | null)[]
  readonly stacks: Tensor[]
  readonly floats: number[]
  readonly differentiable: boolean

  constructor(
    readonly row: Primitive,
    readonly sample: Sample,
    readonly mapped: boolean[],
    axis: number,
  ) {
    const op = pointwise.has(row) ? functions.get(row.name) : undefined
    this.f = op ?? ((...x) => resultOf(row, x, sample.params ?? {}))
    const stream = new Stream({ seed: row.name.length + 5, purpose: 0, a: axis, b: sample.inputs.length })
    const common = sample.inputs.map((spec) => draw(spec, stream))
    this.samples = Array.from({ length: size }, () =>
      sample.inputs.map((spec, i) => (mapped[i] ? draw(spec, stream) : (common[i] as Tensor))),
    )
    this.axes = sample.inputs.map((x, i) => (mapped[i] ? Math.min(axis, x.shape.length) : null))
    this.stacks = this.axes.map((at, i) =>
      at === null
        ? (common[i] as Tensor)
        : stack(
            this.samples.map((xs) => xs[i] as Tensor),
            at,
          ),
    )
    this.differentiable = row.kind !== 'nondifferentiable' && isFloat(this.f(...(this.samples[0] as Tensor[])).dtype)
    this.floats = this.differentiable ? common.flatMap((x, i) => (isFloat(x.dtype) ? [i] : [])) : []
  }

  /** Values, then the gradients of Σ w·y² by the operands, with all samples in one function. */
  vmapped(given: readonly Tensor[]): Tensor[] {
    const f = vmap(this.f, { inAxes: this.axes })
    const y = f(...given)
    if (this.floats.length === 0) return [y]
    const whole = (...x: Tensor[]) => cost(f(...x), y.shape.slice(1))
    const each = vmap(
      grad((...x: Tensor[]) => cost(this.f(...x)), { argnums: this.floats }),
      { inAxes: this.axes },
    )
    return [y, ...grad(whole, { argnums: this.floats })(...given), ...(each(...given) as Tensor[]), ...this.tangents(given)]
  }

  /** Forward mode through the mapped function, along the operands themselves. */
  tangents(given: readonly Tensor[]): Tensor[] {
    const f = vmap(this.f, { inAxes: this.axes })
    const at = (...x: Tensor[]) => f(...given.map((old, i) => x[this.floats.indexOf(i)] ?? old))
    const points = this.floats.map((i) => given[i] as Tensor)
    return [jvp(at, points, points)[1] as Tensor]
  }

  looped(): Tensor[] {
    const y = stack(this.samples.map((x) => this.f(...x)))
    if (this.floats.length === 0) return [y]
    const each = this.samples.map((x) => grad((...at: Tensor[]) => cost(this.f(...at)), { argnums: this.floats })(...x) as Tensor[])
    const whole = this.floats.map((i, k) => {
      const parts = each.map((g) => g[k] as Tensor)
      const axis = this.axes[i] ?? null
      return axis === null ? stack(parts).sum(0) : stack(parts, axis)
    })
    const tangents = this.samples.map((x) => {
      const at = (...given: Tensor[]) => this.f(...x.map((old, i) => given[this.floats.indexOf(i)] ?? old))
      const points = this.floats.map((i) => x[i] as Tensor)
      return jvp(at, points, points)[1] as Tensor
    })
    return [y, ...whole, ...this.floats.map((_, k) => stack(each.map((g) => g[k] as Tensor))), stack(tangents)]
  }

  replayed(like: readonly Tensor[]): Tensor[] {
    const dtype = [...this.stacks, ...like].some((x) => x.dtype === 'float32') ? 'float32' : 'float64'
    return replay((...stacks) => this.vmapped(stacks), this.stacks, like, dtype)
  }
}

/** A scalar of any value, with another slope at each element of a sample. */
const cost = (y: Tensor, shape = y.shape): Tensor => {
  const slopes = Float64Array.from({ length: sizeOf(shape) }, (_, i) => 0.5 + (i % 7) / 7)
  return y
    .mul(y)
    .add(y)
    .mul(new Tensor(shape, 'float64', slopes).cast(y.dtype))
    .sum()
}

/** Every row that a function can apply. */
const rows = opTable.filter((row) => !row.madeByPasses)

describe('rows of the op table under vmap', () => {
  test('no row is without a rule', () => {
    expect(rows.filter((row) => !row.batch && !microOps.has(row)).map(({ name }) => name)).toEqual([])
  })

  for (const row of rows) {
    test(row.name, () => {
      const wrong: string[] = []
      for (const [k, sample] of row.samples().entries()) {
        const ranks = sample.inputs.map((x) => x.shape.length)
        for (const mapped of subsets(ranks.length)) {
          const most = Math.max(...ranks.filter((_, i) => mapped[i]))
          for (let axis = 0; axis <= most; axis++) {
            const c = new Case(row, sample, mapped, axis)
            total.cases++
            for (const name of present) {
              // Both engines for the first axis: what differs by axis is above them.
              if (axis > 0 && name !== present.at(-1)) continue
              using(name, () => {
                const expected = c.looped()
                const compare = (what: string, results: readonly Tensor[]) =>
                  results.forEach((y, i) => {
                    total.checks++
                    const other = expected[i] as Tensor
                    const difference =
                      `${y.dtype} [${y.shape}]` === `${other.dtype} [${other.shape}]`
                        ? farthest(y.data, other.data, tolerances[y.dtype].engines * (row.tolerance ?? 1))
                        : `is ${y.dtype} [${y.shape}] for ${other.dtype} [${other.shape}]`
                    if (difference) wrong.push(`${name}, sample ${k}, mapped ${mapped}, axis ${axis}, ${what} ${i}: ${difference}`)
                  })
                compare('result', c.vmapped(c.stacks))
                const types = new Set([...c.stacks, ...expected].map((x) => x.dtype).filter(isFloat))
                // A program holds one floating type.
                if (types.size <= 1 && name === present.at(-1)) compare('replayed result', c.replayed(expected))
              })
            }
          }
        }
      }
      expect(wrong.slice(0, 12)).toEqual([])
      total.rows++
    })
  }
})

describe('functions composed of rows under vmap', () => {
  for (const { name, f, inputs, slack = 1 } of composites)
    test(name, () => {
      const stream = new Stream({ seed: name.length, purpose: 0, a: 1, b: 0 })
      const samples = Array.from({ length: size }, () => inputs.map((spec) => draw(spec, stream)))
      const stacks = inputs.map((_, i) => stack(samples.map((x) => x[i] as Tensor)))
      const floats = inputs.flatMap((_, i) => (isFloat((stacks[i] as Tensor).dtype) ? [i] : []))
      const gradient = grad((...x: Tensor[]) => cost(f(...x)), { argnums: floats })
      const each = samples.map((x) => gradient(...x) as Tensor[])
      const expected = [stack(samples.map((x) => f(...x))), ...floats.map((_, k) => stack(each.map((g) => g[k] as Tensor)))]
      const whole = grad((...x: Tensor[]) => cost(vmap(f)(...x), expected[0]?.shape.slice(1)), { argnums: floats })
      const found = [vmap(f)(...stacks), ...(vmap(gradient)(...stacks) as Tensor[])]
      for (const results of [found, [found[0] as Tensor, ...whole(...stacks)]])
        results.forEach((y, i) => {
          expect(y.shape).toEqual(expected[i]?.shape)
          expect(farthest(y.data, (expected[i] as Tensor).data, tolerances[y.dtype].engines * slack)).toBe('')
        })
    })
})

afterAll(() => {
  console.log(`vmap: ${total.rows} of ${rows.length} rows, ${total.cases} cases, ${total.checks} checks on ${present.join(' and ')}`)
})
