/** All derivatives of a function: Jacobians and Hessians, row by row or column by column. */

import { reshape } from '../primitives/movement.js'
import { concat, stack } from '../primitives/parts.js'
import { zeros } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkChoice, checkOptions } from '../util/options.js'
import { mapTree } from '../util/tree.js'
import {
  type AllGiven,
  type AnyFunction,
  checkFunction,
  type Derivatives,
  type Gradient,
  isTensor,
  leaves,
  primals,
  refill,
} from './arguments.js'
import { grad, jvp, vjp } from './transforms.js'

/** What `jacobian` may choose by. */
export type JacobianMode = 'forward' | 'reverse' | 'auto'

const zerosLike = (x: Tensor): Tensor => zeros(x.shape, { dtype: x.dtype })

/** The basis of a tensor's space: one tensor a unit vector. */
function* basis(x: Tensor): Generator<Tensor> {
  for (let i = 0; i < x.size; i++) {
    const e = zerosLike(x)
    e.data[i] = 1
    yield e
  }
}

/**
 * All first derivatives of `f` by its first argument: for y of shape [..m] and x of shape [..n], a tensor [..m, ..n].
 * Where y or x are trees, the result is the tree of y with a tree of x at each leaf.
 *
 * @param options.mode 'forward' takes one pass an input element, 'reverse' one an output element; 'auto' the fewer
 */
export function jacobian<A extends readonly Tensor[], const R>(
  f: (...args: A) => R,
  options?: { mode?: JacobianMode | undefined },
): (...args: AllGiven<A>) => Derivatives<R, A[0]>
export function jacobian<A extends readonly unknown[], const R>(
  f: (...args: A) => R,
  options?: { mode?: JacobianMode | undefined },
): (...args: AllGiven<A>) => Derivatives<R, A[0]>
export function jacobian(f: unknown, options: { mode?: JacobianMode | undefined } = {}): AnyFunction {
  const body = checkFunction('jacobian', f)
  checkOptions('jacobian', options, ['mode'])
  const mode = checkChoice('jacobian', 'mode', options.mode ?? 'auto', ['forward', 'reverse', 'auto'] as const)
  return (...given) => {
    const [x, ...rest] = primals('jacobian', given, (i) => i === 0)
    const at = (value: unknown) => body(value, ...rest)
    const inputs = leaves(x)
    if (mode === 'forward') return columns(at, x, inputs)
    const [value, pullback] = vjp(at, x)
    const outputs = leaves(value)
    const count = (list: readonly Tensor[]) => list.reduce((n, t) => n + t.size, 0)
    if (mode === 'auto' && count(inputs) < count(outputs)) return columns(at, x, inputs)
    return rows(value, outputs, x, inputs, pullback)
  }
}

function columns(f: (x: unknown) => unknown, x: unknown, inputs: readonly Tensor[]): unknown {
  let value: unknown
  // parts[o][i]: the columns of output o by input i
  const parts: Tensor[][][] = []
  inputs.forEach((input, i) => {
    for (const e of basis(input)) {
      const direction = inputs.map((t, k) => (k === i ? e : zerosLike(t)))
      const [y, tangent] = jvp(f, [x], [refill(x, direction)])
      value = y
      leaves(tangent).forEach((t, o) => {
        parts[o] ??= inputs.map(() => [])
        parts[o]?.[i]?.push(reshape(t, [t.size, 1]))
      })
    }
  })
  if (value === undefined) value = f(x)
  let o = 0
  return mapTree(value, isTensor, (y) => {
    const own = parts[o++] ?? []
    let i = 0
    return mapTree(x, isTensor, (input) => {
      const list = own[i++] ?? []
      return list.length === 0
        ? zeros([...y.shape, ...input.shape], { dtype: y.dtype })
        : reshape(concat(list, 1), [...y.shape, ...input.shape])
    })
  })
}

function rows(
  value: unknown,
  outputs: readonly Tensor[],
  x: unknown,
  inputs: readonly Tensor[],
  pullback: (g: unknown) => readonly unknown[],
): unknown {
  let o = 0
  return mapTree(value, isTensor, (y) => {
    const position = o++
    const parts: Tensor[][] = inputs.map(() => [])
    for (const e of basis(y)) {
      const cotangent = outputs.map((t, k) => (k === position ? e : zerosLike(t)))
      leaves(pullback(refill(value, cotangent))).forEach((g, i) => {
        parts[i]?.push(g)
      })
    }
    let i = 0
    return mapTree(x, isTensor, (input) => {
      const list = parts[i++] as Tensor[]
      return list.length === 0
        ? zeros([...y.shape, ...input.shape], { dtype: y.dtype })
        : reshape(stack(list), [...y.shape, ...input.shape])
    })
  })
}

/** All second derivatives of a scalar function by its first argument (forward over reverse): [..n, ..n]. */
export function hessian<A extends readonly Tensor[]>(
  f: (...args: A) => unknown,
): (...args: AllGiven<A>) => Derivatives<Gradient<A[0]>, A[0]>
export function hessian<A extends readonly unknown[]>(
  f: (...args: A) => unknown,
): (...args: AllGiven<A>) => Derivatives<Gradient<A[0]>, A[0]>
export function hessian(f: unknown): AnyFunction {
  return jacobian(grad(checkFunction('hessian', f)), { mode: 'forward' }) as AnyFunction
}

/**
 * The Hessian of a scalar function times a vector (forward over reverse), without forming the Hessian.
 *
 * @param x the point, a tensor or tree; @param v the direction, shaped like x
 */
export function hvp<X extends Tensor>(f: (x: X) => unknown, x: X | number, v: Tensor | number): Tensor
export function hvp<X>(f: (x: X) => unknown, x: X, v: Gradient<X>): Gradient<X>
export function hvp(f: unknown, x: unknown, v: unknown): unknown {
  return jvp(grad(checkFunction('hvp', f)) as AnyFunction, [x], [v])[1]
}
