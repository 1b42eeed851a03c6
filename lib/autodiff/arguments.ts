/** Arguments of transforms: trees of tensors, numbers and parameters, and the types of what comes back. */

import { WengertError } from '../errors.js'
import { type Bindable, boundAs, withBindings } from '../primitives/binding.js'
import { tensor } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { type FloatDtype, isFloat } from '../util/dtype.js'
import { describe } from '../util/options.js'
import { formatShape, sameShape } from '../util/shape.js'
import { leavesOf, mapTree } from '../util/tree.js'
import { checkDifferentiable } from './reverse.js'

/** A tree like T with a tensor in the place of each tensor. */
type Leaves<T> = T extends Tensor
  ? Tensor
  : T extends (...args: never[]) => unknown
    ? T
    : T extends object
      ? { [K in keyof T]: Leaves<T[K]> }
      : T

/** The gradient by an argument of type T: shaped like it. */
export type Gradient<T> = T extends number ? Tensor : Leaves<T>

/** What may be given for an argument of type T: a number wherever a tensor is taken. */
export type Given<T> = Tensor extends T ? T | number : T

/** What may be given for each of a function's arguments. */
export type AllGiven<A extends readonly unknown[]> = { [K in keyof A]: Given<A[K]> }

/** A cotangent of a value of type R: a number where that is one scalar. */
export type Cotangent<R> = R extends Tensor ? Tensor | number : Leaves<R>

/** Which arguments a gradient is by: a position gives one, a list gives a list. */
export type Argnums = number | readonly number[]

/** The gradients by the arguments that `argnums` names. */
export type Gradients<A extends readonly unknown[], N extends Argnums> = N extends readonly number[]
  ? { -readonly [K in keyof N]: N[K] extends number ? Gradient<A[N[K]]> : never }
  : N extends number
    ? Gradient<A[N]>
    : never

/** All derivatives of R by X: at each tensor of R a tree of X, whose tensors have the axes of both. */
export type Derivatives<R, X> = R extends Tensor ? Gradient<X> : { [K in keyof R]: Derivatives<R[K], X> }

/** A function of any arguments. */
export type Fn = (...args: never[]) => unknown
export type AnyFunction = (...args: unknown[]) => unknown

export const isTensor = (value: unknown): value is Tensor => value instanceof Tensor
export const leaves = (tree: unknown): Tensor[] => leavesOf(tree, isTensor)

export function checkFunction(op: string, f: unknown): AnyFunction {
  if (typeof f !== 'function')
    throw new WengertError('ERR_VALUE', `${op}: expected a function, got ${describe(f)}`, { expected: 'a function', actual: f })
  return f as AnyFunction
}

/** The type that numbers among these arguments take: that of the floating tensors beside them, float64 where all are numbers. */
function numbersAre(args: readonly unknown[]): FloatDtype {
  const found = leaves(args).flatMap(({ dtype }) => (isFloat(dtype) ? [dtype] : []))
  return found.length > 0 && !found.includes('float64') ? 'float32' : 'float64'
}

/**
 * The arguments of a function that is differentiated by those at `watched`: numbers among them become tensors, all numbers where
 * there is nothing but numbers. Errors: ERR_VALUE where one holds no tensor; ERR_DTYPE for one that is not floating.
 */
export function primals(op: string, given: readonly unknown[], watched: (i: number) => boolean = () => true): unknown[] {
  const dtype = numbersAre(given)
  const numbersAlone = given.every((x) => typeof x === 'number')
  return given.map((value, i) => {
    if (typeof value === 'number' && (watched(i) || numbersAlone)) return tensor(value, { dtype })
    if (!watched(i)) return value
    const found = leaves(value)
    if (found.length === 0)
      throw new WengertError('ERR_VALUE', `${op}: expected a tensor, or a tree of tensors, to differentiate, got ${describe(value)}`, {
        actual: value,
      })
    for (const x of found) checkDifferentiable(op, x)
    return value
  })
}

/** Replaces the leaves of a tree, in order, by those of a list. */
export function refill(tree: unknown, values: readonly Tensor[]): unknown {
  let i = 0
  return mapTree(tree, isTensor, () => values[i++])
}

export function checkLike(op: string, what: string, given: readonly Tensor[], like: readonly Tensor[]): void {
  if (given.length !== like.length)
    throw new WengertError('ERR_SHAPE', `${op}: expected ${like.length} ${what}s, got ${given.length}`, {
      expected: like.length,
      actual: given.length,
    })
  given.forEach((g, i) => {
    const x = like[i] as Tensor
    if (!sameShape(g.shape, x.shape) || g.dtype !== x.dtype) {
      throw new WengertError(
        'ERR_SHAPE',
        `${op}: expected a ${what} of ${x.dtype} ${formatShape(x.shape)}, got ${g.dtype} ${formatShape(g.shape)}`,
        { expected: x.shape, actual: g.shape },
      )
    }
  })
}

/**
 * Calls `f` with the tensors of its watched arguments replaced. A parameter among them (or what stands in for one) is replaced
 * for the whole call: a model that reads it is differentiated by it too. Errors: ERR_VALUE for a parameter that is there twice.
 */
export function callWatched(
  op: string,
  f: AnyFunction,
  args: readonly unknown[],
  watched: (i: number) => boolean,
  watch: (x: Tensor) => Tensor,
): unknown {
  const places: Bindable[] = []
  const standIns: Tensor[] = []
  const inner = args.map((arg, i) =>
    watched(i)
      ? mapTree(arg, isTensor, (x) => {
          const standIn = watch(x)
          for (const place of boundAs(x)) {
            if (places.includes(place))
              throw new WengertError('ERR_VALUE', `${op}: a parameter is among the arguments twice; its gradient would be in two parts`)
            places.push(place)
            standIns.push(standIn)
          }
          return standIn
        })
      : arg,
  )
  return places.length === 0 ? f(...inner) : withBindings(places, standIns, () => f(...inner))
}
