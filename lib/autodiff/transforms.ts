/**
 * The transforms: functions of tensors in, functions of tensors out, composable in any order and depth. Arguments and
 * results may be trees (plain objects and arrays) of tensors; an argument that is a parameter stands for that parameter
 * wherever the function reads it.
 */

import { WengertError } from '../errors.js'
import type { Bindable } from '../primitives/binding.js'
import { atNextLevel } from '../primitives/primitive.js'
import { ones, tensor, zeros } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import type { FloatDtype } from '../util/dtype.js'
import { checkOptions, describe } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import { mapTree } from '../util/tree.js'
import {
  type AllGiven,
  type AnyFunction,
  type Argnums,
  type Cotangent,
  callWatched,
  checkFunction,
  checkLike,
  type Gradient,
  type Gradients,
  isTensor,
  leaves,
  primals,
  refill,
} from './arguments.js'
import { Dual, ForwardTrace } from './forward.js'
import { checkDifferentiable, pullBack } from './reverse.js'
import { Tape } from './tape.js'

const zerosLike = (x: Tensor): Tensor => zeros(x.shape, { dtype: x.dtype })

/** Runs `f` on a tape that watches those of `args` at `watched`. */
function record(op: string, f: AnyFunction, args: readonly unknown[], watched: (i: number) => boolean) {
  return atNextLevel((level) => {
    const tape = new Tape(level, false, false, op)
    const result = callWatched(op, f, args, watched, (x) => tape.watch(x))
    const outputs = leaves(result).map((y) => y.resolve())
    if (outputs.length === 0)
      throw new WengertError('ERR_VALUE', `${op}: the function must return a tensor or a tree of tensors, got ${describe(result)}`, {
        actual: result,
      })
    return { tape, outputs, value: mapTree(result, isTensor, (x) => tape.lowerOf(x.resolve())) }
  })
}

/** The cotangents of a tape's inputs; zeros where nothing arrives. */
const cotangentsOf = (tape: Tape, outputs: readonly Tensor[], cotangents: readonly Tensor[]): Tensor[] =>
  pullBack(tape, outputs, cotangents).map((g, i) => g ?? zerosLike((tape.entries[i] as { output: Tensor }).output))

/**
 * The value of `f` and its pullback g ↦ Jᵀ g (reverse mode, 3.50 – 3.51): one backward sweep a call.
 *
 * @param primals tensors, trees of them, or numbers: these take the type of the tensors beside them, float64 where all are numbers
 * @returns [value, pullback]; the pullback takes a cotangent shaped like the value and gives one cotangent for each primal
 * @throws ERR_DTYPE for integer primals; ERR_SHAPE for a cotangent unlike the value
 * @example
 * const [y, pullback] = vjp((x) => x.sin(), tensor([1, 2]))
 * const [dx] = pullback(tensor([1, 0]))
 */
export function vjp<A extends readonly Tensor[], const R>(
  f: (...args: A) => R,
  ...primals: AllGiven<A>
): [value: R, pullback: (cotangent: Cotangent<R>) => { [K in keyof A]: Gradient<A[K]> }]
export function vjp<A extends readonly unknown[], const R>(
  f: (...args: A) => R,
  ...primals: AllGiven<A>
): [value: R, pullback: (cotangent: Cotangent<R>) => { [K in keyof A]: Gradient<A[K]> }]
export function vjp(f: unknown, ...given: unknown[]): [value: unknown, pullback: (cotangent: unknown) => unknown] {
  const op = 'vjp'
  const args = primals(op, given)
  const { tape, outputs, value } = record(op, checkFunction(op, f), args, () => true)
  const pullback = (cotangent: unknown) => {
    const seeds = leaves(typeof cotangent === 'number' ? tensor(cotangent, { dtype: (outputs[0] as Tensor).dtype }) : cotangent)
    checkLike(op, 'cotangent', seeds, outputs)
    return refill(args, cotangentsOf(tape, outputs, seeds))
  }
  return [value, pullback]
}

/** Tangents for primals; a number is one scalar of the primal's type. */
function tangentsLike(given: readonly unknown[], args: readonly unknown[]): unknown[] {
  return given.map((t, i) => {
    if (typeof t !== 'number') return t
    const like = args[i]
    return tensor(t, { dtype: like instanceof Tensor ? like.dtype : 'float32' })
  })
}

/**
 * The value of `f` and its directional derivative J t (forward mode, 3.48 – 3.49), in one pass.
 *
 * @param primals the arguments of f, as an array
 * @param tangents one for each primal, of the same shape and type; a number for a scalar
 * @returns [value, tangent]
 */
export function jvp<A extends readonly Tensor[], const R>(
  f: (...args: A) => R,
  primals: Readonly<AllGiven<A>>,
  tangents: { readonly [K in keyof A]: Gradient<A[K]> | number },
): [value: R, tangent: Gradient<R>]
export function jvp<A extends readonly unknown[], const R>(
  f: (...args: A) => R,
  primals: Readonly<AllGiven<A>>,
  tangents: { readonly [K in keyof A]: Gradient<A[K]> | number },
): [value: R, tangent: Gradient<R>]
export function jvp(f: unknown, given: readonly unknown[], tangents: readonly unknown[]): [value: unknown, tangent: unknown] {
  const op = 'jvp'
  const body = checkFunction(op, f)
  if (!Array.isArray(given) || !Array.isArray(tangents))
    throw new WengertError('ERR_VALUE', 'jvp: primals and tangents are two arrays: jvp(f, [x], [t])', { actual: [given, tangents] })
  const args = primals(op, given)
  const directions = leaves(tangentsLike(tangents, args))
  checkLike(op, 'tangent', directions, leaves(args))
  return atNextLevel((level) => {
    const trace = new ForwardTrace(level, op)
    let i = 0
    const result = callWatched(
      op,
      body,
      args,
      () => true,
      (x) => new Dual(trace, x.resolve(), (directions[i++] as Tensor).resolve()),
    )
    const parts = (part: (y: Tensor) => Tensor) => mapTree(result, isTensor, (y) => part(y.resolve()))
    return [parts((y) => (trace.owns(y) ? y.value : y)), parts((y) => (trace.owns(y) ? y.tangent : zerosLike(y)))]
  })
}

/** What is differentiated, and what comes along. */
export interface GradOptions<N extends Argnums = Argnums> {
  /** The function returns [scalar, aux]: aux (any tree) is handed through beside the value, not differentiated. */
  hasAux?: boolean | undefined
  /** Which arguments to differentiate by: a position (default 0) gives one gradient, a list gives a list. */
  argnums?: N | undefined
}

/** What has parameters by name: a module. */
export interface Parameterized {
  namedParameters(): [name: string, parameter: Bindable & { readonly frozen: boolean; readonly dtype: FloatDtype | Tensor['dtype'] }][]
}

/** Gradients of a module's parameters, named as in its `stateDict`. */
export type NamedGradients = Record<string, Tensor>

const isParameterized = (x: unknown): x is Parameterized =>
  typeof x === 'object' && x !== null && typeof (x as Partial<Parameterized>).namedParameters === 'function'

/**
 * A function that gives the value of `f` and its gradient: by its arguments, or by the parameters of a model that it calls.
 *
 * Arguments that are not differentiated reach `f` as they are; numbers, where there is nothing but numbers, are float64 tensors.
 *
 * @param model a module: the gradients are those of its parameters that are not frozen, named as in `stateDict`
 * @throws ERR_NOT_SCALAR where f gives anything but one element; ERR_VALUE for a model without parameters to differentiate by
 * @example
 * const [cost, dW] = valueAndGrad((W) => W.square().sum())(tensor([1, 2]))
 * @example
 * const [loss, gradients] = valueAndGrad(model, (x: Tensor, y: Tensor) => loss.mse(model.forward(x), y))(x, y)
 */
export function valueAndGrad<A extends readonly Tensor[], const R, const N extends Argnums = 0>(
  f: (...args: A) => R,
  options?: GradOptions<N>,
): (...args: AllGiven<A>) => [value: R, gradient: Gradients<A, N>]
export function valueAndGrad<A extends readonly unknown[], const R, const N extends Argnums = 0>(
  f: (...args: A) => R,
  options?: GradOptions<N>,
): (...args: AllGiven<A>) => [value: R, gradient: Gradients<A, N>]
export function valueAndGrad<A extends readonly Tensor[], const R>(
  model: Parameterized,
  f: (...args: A) => R,
  options?: { hasAux?: boolean | undefined },
): (...args: A) => [value: R, gradient: NamedGradients]
export function valueAndGrad<A extends readonly unknown[], const R>(
  model: Parameterized,
  f: (...args: A) => R,
  options?: { hasAux?: boolean | undefined },
): (...args: A) => [value: R, gradient: NamedGradients]
export function valueAndGrad(...given: unknown[]): AnyFunction {
  return differentiated('valueAndGrad', given)
}

/**
 * The gradient of a scalar function, as a function of the same arguments; or that of a model's parameters (see `valueAndGrad`).
 *
 * @throws ERR_NOT_SCALAR where f gives anything but one element
 * @example grad((x) => x.mul(x))(tensor(3)).item()  // 6
 */
export function grad<A extends readonly Tensor[], const N extends Argnums = 0>(
  f: (...args: A) => unknown,
  options?: GradOptions<N>,
): (...args: AllGiven<A>) => Gradients<A, N>
export function grad<A extends readonly unknown[], const N extends Argnums = 0>(
  f: (...args: A) => unknown,
  options?: GradOptions<N>,
): (...args: AllGiven<A>) => Gradients<A, N>
export function grad<A extends readonly Tensor[]>(
  model: Parameterized,
  f: (...args: A) => unknown,
  options?: { hasAux?: boolean | undefined },
): (...args: A) => NamedGradients
export function grad<A extends readonly unknown[]>(
  model: Parameterized,
  f: (...args: A) => unknown,
  options?: { hasAux?: boolean | undefined },
): (...args: A) => NamedGradients
export function grad(...given: unknown[]): AnyFunction {
  const both = differentiated('grad', given)
  return (...args) => both(...args)[1]
}

type Both = (...args: unknown[]) => [value: unknown, gradient: unknown]

function differentiated(op: string, given: readonly unknown[]): Both {
  const [first, second, third] = given
  if (isParameterized(first)) {
    checkOptions(op, third as object | undefined, ['hasAux'])
    return byParameters(op, first, checkFunction(op, second), third as GradOptions | undefined)
  }
  checkOptions(op, second as object | undefined, ['argnums', 'hasAux'])
  return byArguments(op, checkFunction(op, first), second as GradOptions | undefined)
}

function byArguments(op: string, f: AnyFunction, { argnums = 0, hasAux = false }: GradOptions = {}): Both {
  const list = typeof argnums === 'number' ? [argnums] : [...argnums]
  const positions = [...new Set(list)].sort((a, b) => a - b)
  return (...given) => {
    for (const i of list) {
      if (!Number.isInteger(i) || i < 0 || i >= given.length) {
        throw new WengertError('ERR_RANGE', `${op}: expected argnums among the ${given.length} arguments, got ${String(i)}`, {
          expected: given.length,
          actual: i,
        })
      }
    }
    const watched = (i: number) => list.includes(i)
    const args = primals(op, given, watched)
    const { tape, outputs, value } = record(op, f, args, watched)
    const y = outputs[0] as Tensor
    const cost: unknown = hasAux && Array.isArray(value) ? value[0] : value
    const single = hasAux || outputs.length === 1
    if (!single || y.size !== 1 || !(cost instanceof Tensor)) {
      const got = single ? `shape ${formatShape(y.shape)}` : `${outputs.length} tensors`
      throw new WengertError(
        'ERR_NOT_SCALAR',
        `${op}: expected a function with a scalar value, got ${got}; use jacobian for all derivatives or vjp for a product with them`,
        { expected: [], actual: y.shape },
      )
    }
    checkDifferentiable(op, y)
    const gradients = cotangentsOf(tape, [y], [ones(y.shape, { dtype: y.dtype })])
    // The tape watched the arguments in their own order; hand them back in the order asked for.
    let next = 0
    const byArgument = new Map<number, unknown>()
    for (const i of positions) {
      const n = leaves(args[i]).length
      byArgument.set(i, refill(args[i], gradients.slice(next, next + n)))
      next += n
    }
    return [value, typeof argnums === 'number' ? byArgument.get(argnums) : list.map((i) => byArgument.get(i))]
  }
}

function byParameters(op: string, model: Parameterized, f: AnyFunction, options: GradOptions = {}): Both {
  return (...args) => {
    const parameters = Object.fromEntries(model.namedParameters().filter(([, parameter]) => !parameter.frozen))
    if (Object.keys(parameters).length === 0)
      throw new WengertError('ERR_VALUE', `${op}: the model has no parameters to differentiate by, or all of them are frozen`)
    return byArguments(op, () => f(...args), options.hasAux ? { hasAux: true } : {})(parameters)
  }
}
