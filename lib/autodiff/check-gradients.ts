/** Derivatives against central differences: for the tests of ops, and for users' own. */

import { WengertError } from '../errors.js'
import { asTensor } from '../tensor/creation.js'
import { Random } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import { isFloat, type TypedArray } from '../util/dtype.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape, stridesOf } from '../util/shape.js'
import { leavesOf, mapTree, pathsOf } from '../util/tree.js'
import { jvp, vjp } from './transforms.js'

/** How `checkGradients` measures. */
export interface CheckOptions {
  /** How many random directions; 3 by default. */
  directions?: number | undefined
  /** Also each element of each input by itself: two evaluations an element. */
  perElement?: boolean | undefined
  /** The largest error that passes; 1e-6 by default. */
  tolerance?: number | undefined
  /** Half the distance of a difference, as a part of the inputs' size (at least 1); 6e-6, the cube root of the precision, by default. */
  step?: number | undefined
  /** Of the random directions; 0 by default. */
  seed?: number | undefined
}

/** The comparison with the largest error. */
export interface WorstGradient {
  /** Position among the arguments; undefined for a direction through all of them. */
  readonly input: number | undefined
  /** The way to the tensor within that argument (`.weight`), empty where the argument is the tensor. */
  readonly path: string
  /** The element's index along each axis; undefined for a direction. */
  readonly element: readonly number[] | undefined
  readonly mode: 'forward' | 'reverse'
  /** What differentiation gave. */
  readonly value: number
  /** What the difference gave. */
  readonly expected: number
  /** |value − expected|, relative to the size of the derivative. */
  readonly error: number
}

/** What `checkGradients` found; printed, it is one line or the worst gradient. */
export interface GradientReport {
  readonly ok: boolean
  readonly worst: WorstGradient
  /** Numbers compared. */
  readonly checks: number
  /** The report as text. */
  toString(): string
}

const isTensor = (x: unknown): x is Tensor => x instanceof Tensor
const float64 = (x: Tensor, values: (i: number) => number): Tensor =>
  new Tensor(
    x.shape,
    'float64',
    Float64Array.from({ length: x.size }, (_, i) => values(i)),
  )
const dot = (a: readonly TypedArray[], b: readonly TypedArray[]): number =>
  a.reduce((sum, xs, k) => sum + (xs as Float64Array).reduce((s, x, i) => s + x * (b[k]?.[i] as number), 0), 0)

/** Numbers and arrays become float64; float tensors must be. */
function prepare(input: unknown, i: number): unknown {
  const value = typeof input === 'number' ? asTensor('checkGradients', input, { dtype: 'float64' }) : input
  const found = leavesOf(value, isTensor)
  if (found.length === 0)
    throw new WengertError(
      'ERR_VALUE',
      `checkGradients: expected tensors, trees of tensors or numbers, got ${describe(input)} as input ${i}`,
      {
        actual: input,
      },
    )
  if (found.some((x) => x.dtype === 'float32'))
    throw new WengertError(
      'ERR_DTYPE',
      `checkGradients: expected float64 inputs, got float32 as input ${i}; its rounding hides the difference: convert it with .cast('float64')`,
      { expected: 'float64', actual: 'float32' },
    )
  return value
}

/**
 * Compares the derivatives of `f` in both modes with central differences, (f(x + hu) − f(x − hu))/2h, along random
 * directions u, and on request (or after a failure, to name the culprit) along each element.
 *
 * The error of a comparison is |value − expected| over the larger of the two's largest elements, and at least 1e−4 of the
 * largest |f|, below which a difference is rounding. Differences across a kink are wrong: keep inputs away from kinks.
 *
 * @param f any function of tensors (or trees of them), giving a tensor or a tree of them; it must be deterministic
 * @param inputs its arguments: float64 tensors, numbers (taken as float64), integer tensors (held fixed)
 * @throws ERR_DTYPE for float32 inputs or results; ERR_VALUE
 * @example
 * const report = checkGradients((x: Tensor) => x.sin().mul(x), [tensor([1, 2], { dtype: 'float64' })])
 * report.ok         // true
 * report.toString() // checkGradients: ok, …
 */
// biome-ignore lint/suspicious/noExplicitAny: user functions take trees of tensors whose shape only they know
export function checkGradients(f: (...args: any[]) => unknown, inputs: readonly unknown[], options: CheckOptions = {}): GradientReport {
  const op = 'checkGradients'
  if (typeof f !== 'function')
    throw new WengertError('ERR_VALUE', `${op}: expected a function, got ${describe(f)}`, { expected: 'a function', actual: f })
  if (!Array.isArray(inputs))
    throw new WengertError('ERR_VALUE', `${op}: expected an array of inputs, got ${describe(inputs)}`, {
      expected: 'an array',
      actual: inputs,
    })
  checkOptions(op, options, ['directions', 'perElement', 'tolerance', 'step', 'seed'])
  const directions = checkNumber(op, 'directions', options.directions ?? 3, { integer: true, min: 0 })
  const tolerance = checkNumber(op, 'tolerance', options.tolerance ?? 1e-6, { min: 0 })
  const step = checkNumber(op, 'step', options.step ?? 6e-6, { min: 0, exclusive: true })
  const rng = new Random(checkNumber(op, 'seed', options.seed ?? 0, { integer: true, min: 0 }))

  const args = inputs.map(prepare)
  const places = args.flatMap((arg, input) => pathsOf(arg, isTensor).map((path) => ({ input, path })))
  const all = leavesOf(args, isTensor)
  const moving = all.flatMap((x, i) => (isFloat(x.dtype) ? [i] : []))
  const primals = moving.map((i) => all[i] as Tensor)
  /** The function of the float64 leaves alone, giving the leaves of its result. */
  const g = (...leaves: Tensor[]): Tensor[] => {
    let next = 0
    const filled = mapTree(args, isTensor, (x) => (isFloat(x.dtype) ? leaves[next++] : x)) as unknown[]
    const results = leavesOf(f(...filled), isTensor).filter((y) => isFloat(y.dtype))
    const low = results.find((y) => y.dtype !== 'float64')
    if (results.length === 0 || low)
      throw new WengertError('ERR_DTYPE', `${op}: expected the function to give float64 tensors, got ${low ? low.dtype : 'none'}`, {
        expected: 'float64',
        actual: low?.dtype,
      })
    return results
  }
  const values = g(...primals)
  const largest = values.reduce((m, y) => y.data.reduce((n, v) => Math.max(n, Math.abs(v)), m), 0)
  const weights = values.map((y) => rng.normal(y.shape, { dtype: 'float64' }))
  const gradients = vjp(g, ...primals)[1](weights) as Tensor[]

  let checks = 0
  let worst: WorstGradient | undefined
  const along = (u: readonly Tensor[], h: number, where: Pick<WorstGradient, 'input' | 'path' | 'element'>): void => {
    const moved = (sign: number) =>
      g(...primals.map((x, k) => float64(x, (i) => (x.data[i] as number) + sign * h * (u[k]?.data[i] as number)))).map((y) => y.data)
    const [up, down] = [moved(1), moved(-1)]
    const difference = up.map((y, k) => Float64Array.from(y as Float64Array, (v, i) => (v - (down[k]?.[i] as number)) / (2 * h)))
    const tangent = (jvp(g, primals, u)[1] as Tensor[]).map((t) => t.data)
    compare(
      'forward',
      tangent.flatMap((t) => [...t]),
      difference.flatMap((d) => [...d]),
      where,
    )
    const [pulled, expected] = [
      dot(
        gradients.map((t) => t.data),
        u.map((t) => t.data),
      ),
      dot(
        weights.map((t) => t.data),
        difference,
      ),
    ]
    compare('reverse', [pulled], [expected], where)
  }
  const compare = (
    mode: WorstGradient['mode'],
    got: number[],
    expected: number[],
    where: Pick<WorstGradient, 'input' | 'path' | 'element'>,
  ) => {
    const size = [...got, ...expected].reduce((m, v) => Math.max(m, Math.abs(v)), Math.max(1e-4 * largest, Number.MIN_VALUE))
    got.forEach((value, i) => {
      checks++
      const e = expected[i] as number
      const raw = value === e ? 0 : Math.abs(value - e) / size
      const error = Number.isNaN(raw) ? Infinity : raw
      if (worst === undefined || error > worst.error) worst = { ...where, mode, value, expected: e, error }
    })
  }
  const sizeOf = (xs: readonly Tensor[]) => xs.reduce((m, x) => x.data.reduce((n, v) => Math.max(n, Math.abs(v)), m), 1)
  const elements = () => {
    primals.forEach((x, k) => {
      const { input, path } = places[moving[k] as number] as { input: number; path: string }
      const strides = stridesOf(x.shape)
      for (let j = 0; j < x.size; j++) {
        const unit = primals.map((p, q) => float64(p, (i) => (q === k && i === j ? 1 : 0)))
        const element = x.shape.map((n, axis) => Math.floor(j / (strides[axis] as number)) % n)
        along(unit, step * Math.max(1, Math.abs(x.data[j] as number)), { input, path, element })
      }
    })
  }
  for (let d = 0; d < directions; d++) {
    const u = primals.map((x) => rng.normal(x.shape, { dtype: 'float64' }))
    along(u, step * sizeOf(primals), { input: undefined, path: '', element: undefined })
  }
  const failed = () => (worst?.error ?? 0) > tolerance
  if (options.perElement) elements()
  else if (failed()) {
    // Per element the culprit has a name; should every element pass, the direction's failure stands.
    const first = worst as WorstGradient | undefined
    worst = undefined
    elements()
    if (!failed()) worst = first
  }
  const found: WorstGradient = worst ?? { input: undefined, path: '', element: undefined, mode: 'reverse', value: 0, expected: 0, error: 0 }
  const ok = !failed()
  const count = checks
  return { ok, worst: found, checks: count, toString: () => sentence(ok, found, count, tolerance) }
}

function sentence(ok: boolean, worst: WorstGradient, checks: number, tolerance: number): string {
  const where =
    worst.input === undefined
      ? 'along a random direction'
      : `input ${worst.input}${worst.path}${worst.element?.length ? ` at ${formatShape(worst.element)}` : ''}`
  return `checkGradients: ${ok ? 'ok' : 'FAILED'}, ${checks} checks in forward and reverse mode; worst: ${where}, ${worst.mode} mode: value ${worst.value}, expected ${worst.expected}, error ${worst.error.toExponential(1)} (tolerance ${tolerance})`
}
