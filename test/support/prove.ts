/**
 * What is demanded of a differentiable function at a point, written once for rows of the op table and for functions that
 * compose them: agreement with a peer, with central differences, of both modes with each other, and of a replayed program.
 */

import { scan } from '../../lib/autodiff/scan.js'
import { grad, jvp, vjp } from '../../lib/autodiff/transforms.js'
import { compile as compileForUse } from '../../lib/compile/compile.js'
import { add, mul } from '../../lib/primitives/elementwise.js'
import { stack } from '../../lib/primitives/parts.js'
import { sum } from '../../lib/primitives/reduce.js'
import { tensor, zeros } from '../../lib/tensor/creation.js'
import type { Tensor } from '../../lib/tensor/tensor.js'
import { type FloatDtype, isFloat } from '../../lib/util/dtype.js'
import { Stream } from '../../lib/util/random.js'
import { sizeOf } from '../../lib/util/shape.js'
import { type GoldenCase, numbers } from './golden.js'
import { replay } from './replay.js'
import { farthest, tolerances } from './tolerance.js'

/** A function of all its inputs, of which the floating ones can be differentiated. */
export interface Subject {
  name: string
  f: (...x: Tensor[]) => Tensor
  inputs: Tensor[]
  golden: GoldenCase
  differentiable: boolean
  smooth: boolean
  /** Multiplies the tolerances of its type. */
  slack: number
}

/** What went wrong, and how many comparisons were made. */
export class Findings {
  checks = 0
  readonly wrong: string[] = []

  note(what: string, difference: string): void {
    this.checks++
    if (difference) this.wrong.push(`${what} ${difference}`)
  }
}

const floats = (s: Subject): number[] => s.inputs.flatMap((x, i) => (isFloat(x.dtype) ? [i] : []))

/** `f` as a function of its floating inputs alone. */
function ofFloats(s: Subject): (...x: Tensor[]) => Tensor {
  const positions = floats(s)
  return (...given) => {
    const all = [...s.inputs]
    positions.forEach((position, k) => {
      all[position] = given[k] as Tensor
    })
    return s.f(...all)
  }
}

const points = (s: Subject): Tensor[] => floats(s).map((i) => s.inputs[i] as Tensor)

function cotangent(s: Subject, y: Tensor): Tensor {
  return tensor(Float64Array.from(numbers(s.golden.g ?? [])), { shape: y.shape, dtype: y.dtype })
}

/** Value and derivatives at the point, eagerly: the value first, then the cotangent of each floating input. */
export function eager(s: Subject): Tensor[] {
  if (!s.differentiable) return [s.f(...s.inputs)]
  const [value, pullback] = vjp(ofFloats(s), ...points(s))
  return [value, ...pullback(cotangent(s, value))]
}

/** The same by a compiled program. */
export function replayed(s: Subject, like: readonly Tensor[]): Tensor[] {
  const given = s.differentiable ? [...s.inputs, cotangent(s, like[0] as Tensor)] : s.inputs
  const dtype = ([...given, ...like].find((x) => isFloat(x.dtype))?.dtype ?? 'float32') as FloatDtype
  const results = (...x: Tensor[]): Tensor[] => {
    const traced: Subject = { ...s, inputs: x.slice(0, s.inputs.length) }
    if (!s.differentiable) return [traced.f(...traced.inputs)]
    const [value, pullback] = vjp(ofFloats(traced), ...points(traced))
    return [value, ...pullback(x.at(-1) as Tensor)]
  }
  return replay(results, given, like, dtype)
}

/** The same by `compile`, called twice: the second time there is nothing left to record. */
export function compiled(s: Subject): Tensor[] {
  const g = s.differentiable ? [cotangent(s, s.f(...s.inputs))] : []
  const step = compileForUse((...given: Tensor[]): Tensor[] => {
    const inputs = given.slice(0, s.inputs.length)
    const traced: Subject = { ...s, inputs }
    if (!s.differentiable) return [s.f(...inputs)]
    const [value, pullback] = vjp(ofFloats(traced), ...points(traced))
    return [value, ...pullback(given.at(-1) as Tensor)]
  })
  step(...s.inputs, ...g)
  return step(...s.inputs, ...g)
}

/** Value and derivatives of the compiled function, taken outside. */
export function ofCompiled(s: Subject): Tensor[] {
  return eager({ ...s, f: compileForUse(s.f) })
}

/**
 * Value and derivatives as the body of a loop of three iterations makes them: with operands that are rows of stacks, or that depend on
 * the carry, so that nothing of it can leave the loop; eagerly, or compiled. The results of the middle iteration come first.
 */
export function inLoop(s: Subject, carried: boolean, compiling: boolean): Tensor[][] {
  const g = s.differentiable ? [cotangent(s, s.f(...s.inputs))] : []
  const given = [...s.inputs, ...g]
  const step = (...stacks: Tensor[]): Tensor[] => {
    const zero = zeros([], { dtype: 'float64' })
    const [, ys] = scan(
      (carry: Tensor, rows: Tensor[]) => {
        const own = rows.map((x) => (carried && isFloat(x.dtype) ? x.add(carry.cast(x.dtype)) : x))
        const inputs = own.slice(0, s.inputs.length)
        const traced: Subject = { ...s, inputs }
        const next = carry.mul(0.5)
        if (!s.differentiable) return [next, [s.f(...inputs)] as Tensor[]] as const
        const [value, pullback] = vjp(ofFloats(traced), ...points(traced))
        return [next, [value, ...pullback(own.at(-1) as Tensor)] as Tensor[]] as const
      },
      zero,
      stacks,
    )
    return ys as Tensor[]
  }
  const run = compiling ? compileForUse(step) : step
  const ys = run(...given.map((x) => stack([x, x, x])))
  return [1, 0, 2].map((t) => ys.map((y) => y.slice(t)))
}

/** The derivatives of the sum of three such iterations, each a third of it, by the loop that goes back. */
export function throughLoop(s: Subject, compiling: boolean): Tensor[] {
  const g = cotangent(s, s.f(...s.inputs))
  const run = (...given: Tensor[]): Tensor[] => {
    const [value, pullback] = vjp(
      (...x: Tensor[]) =>
        scan(
          (sum: Tensor, _: undefined) => {
            const y = ofFloats(s)(...x)
            return [sum.add(y.mul(1 / 3).cast(sum.dtype)), undefined] as const
          },
          zeros(g.shape, { dtype: g.dtype as FloatDtype }),
          undefined,
          { length: 3 },
        )[0],
      ...given,
    )
    return [value, ...pullback(g)]
  }
  return (compiling ? compileForUse(run) : run)(...points(s))
}

/** Against the peer. */
export function againstPeer(s: Subject, results: readonly Tensor[], found: Findings): void {
  const tolerance = (y: Tensor) => tolerances[y.dtype].peer * s.slack
  const [value, ...grads] = results as [Tensor, ...Tensor[]]
  found.note('value', farthest(value.data, numbers(s.golden.value), tolerance(value)))
  const expected = (s.golden.grads ?? []).filter((d) => d !== null)
  if (grads.length !== expected.length) found.note('derivatives', `${grads.length} for the peer's ${expected.length}`)
  grads.forEach((d, i) => {
    found.note(`derivative ${i}`, farthest(d.data, numbers(expected[i] ?? []), tolerance(d)))
  })
}

/** One set of results against another, by the engines' tolerance. */
export function against(what: string, results: readonly Tensor[], others: readonly Tensor[], found: Findings): void {
  results.forEach((y, i) => {
    const other = others[i] as Tensor
    const shape =
      `${y.dtype} [${y.shape}]` === `${other.dtype} [${other.shape}]` ? '' : `${y.dtype} [${y.shape}] for ${other.dtype} [${other.shape}]`
    found.note(`${what}, result ${i}`, shape || farthest(y.data, other.data, tolerances[y.dtype].engines))
  })
}

const inner = (a: readonly Tensor[], b: readonly Tensor[]): number =>
  a.reduce((total, x, i) => total + sum(mul(x, b[i] as Tensor)).item(), 0)

const near = (actual: number, expected: number, tolerance: number, scale = 1): string =>
  Math.abs(actual - expected) <= tolerance * Math.max(scale, Math.abs(expected)) ? '' : `${actual} for ${expected}`

/** In float64: both modes against central differences along random directions, against each other, and the second derivative. */
export function differentiate(s: Subject, found: Findings): void {
  const f = ofFloats(s)
  const x = points(s)
  if (x.reduce((n, p) => n + p.size, 0) === 0) return
  const stream = new Stream({ seed: s.name.length + 17, purpose: 0, a: 0, b: 0 })
  const random = (shape: readonly number[]) =>
    tensor(
      Float64Array.from({ length: sizeOf(shape) }, () => 2 * stream.uniform() - 1),
      { shape },
    )
  const h = 1e-5
  const { differences } = tolerances.float64
  for (let k = 0; k < 2; k++) {
    const t = x.map((p) => random(p.shape))
    const moved = (by: number) => x.map((p, i) => add(p, mul(t[i] as Tensor, by)))
    const [value, tangent] = jvp((...at: Tensor[]) => f(...at), x, t) as [Tensor, Tensor]
    const g = random(value.shape)
    const [, pullback] = vjp(f, ...x)
    const forward = inner([g], [tangent])
    const reverse = inner(pullback(g), t)
    found.note('⟨g, J t⟩ = ⟨Jᵀ g, t⟩', near(forward, reverse, 1e-12 * s.slack))
    if (!s.smooth) continue
    const slope = (inner([g], [f(...moved(h))]) - inner([g], [f(...moved(-h))])) / (2 * h)
    found.note('forward mode against differences', near(forward, slope, differences * s.slack))
    found.note('reverse mode against differences', near(reverse, slope, differences * s.slack))
    const c = x.map((p) => random(p.shape))
    const once = (...at: Tensor[]): Tensor =>
      (vjp(f, ...at)[1](g) as Tensor[]).reduce<Tensor>(
        (total, d, i) => add(total, sum(mul(d, c[i] as Tensor))),
        tensor(0, { dtype: 'float64' }),
      )
    const twice = grad(once, { argnums: x.map((_, i) => i) })(...x) as Tensor[]
    const bend = (once(...moved(h)).item() - once(...moved(-h)).item()) / (2 * h)
    found.note('second derivative against differences', near(inner(twice, t), bend, differences * s.slack * 5))
    // Forward over reverse gives the same.
    const [, overReverse] = jvp((...at: Tensor[]) => once(...at), x, t) as [Tensor, Tensor]
    found.note('second derivative, forward over reverse', near(overReverse.item(), inner(twice, t), 1e-10 * s.slack))
  }
}
