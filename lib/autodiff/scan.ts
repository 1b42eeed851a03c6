/** `scan`: a loop that carries something on, reads a stack and makes one. What it is as a primitive stands in `loop-rules.ts`. */

import { WengertError } from '../errors.js'
import { boundPlaces } from '../primitives/binding.js'
import { Abstract, atNextLevel } from '../primitives/primitive.js'
import { bodyDraws } from '../primitives/random.js'
import { asTensor } from '../tensor/creation.js'
import { drawsNow, withDrawsFrom } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import { type FloatDtype, isFloat } from '../util/dtype.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape, sameShape } from '../util/shape.js'
import { mapTree, pathsOf } from '../util/tree.js'
import { checkFunction, isTensor, leaves, refill } from './arguments.js'
import { close } from './closed.js'
import { bind, like, type Role, rowOf } from './loop.js'
import { run } from './loop-rules.js'
import { Tape } from './tape.js'

/** How `scan` runs. */
export interface ScanOptions {
  /** From the last row to the first; the stack of results is in the order of the rows all the same. */
  reverse?: boolean | undefined
  /** How many iterations, where there are no rows to count. */
  length?: number | undefined
}

type Leaf = Tensor | number
const isLeaf = (x: unknown): x is Leaf => x instanceof Tensor || typeof x === 'number'

/** The type that numbers in trees take: that of the floating tensors beside them. */
export function numbersIn(...trees: readonly unknown[]): FloatDtype {
  const dtypes = leaves(trees).flatMap(({ dtype }) => (isFloat(dtype) ? [dtype] : []))
  return dtypes.includes('float64') ? 'float64' : 'float32'
}

/** A tree with tensors in the place of numbers. */
export const tensorsIn = (op: string, tree: unknown, dtype: FloatDtype): unknown =>
  mapTree(tree, isLeaf, (x) => (x instanceof Tensor ? x.resolve() : asTensor(op, x, { dtype })))

/** Refuses a tree of results that is not like the one handed in. Errors: ERR_VALUE, ERR_SHAPE, ERR_DTYPE. */
export function checkSameTree(op: string, what: string, tree: unknown, wanted: unknown): void {
  const [paths, expected] = [pathsOf(tree, isTensor), pathsOf(wanted, isTensor)]
  if (paths.length !== expected.length || paths.some((path, i) => path !== expected[i]))
    throw new WengertError('ERR_VALUE', `${op}: ${what} must keep its tree; expected ${treeOf(expected)}, got ${treeOf(paths)}`, {
      expected,
      actual: paths,
    })
  const before = leaves(wanted)
  leaves(tree).forEach((x, i) => {
    const { shape, dtype } = before[i] as Tensor
    const name = `${what}${paths[i]}`
    if (!sameShape(shape, x.shape))
      throw new WengertError(
        'ERR_SHAPE',
        `${op}: ${name} must keep its shape; expected ${formatShape(shape)}, got ${formatShape(x.shape)}`,
        {
          expected: shape,
          actual: x.shape,
        },
      )
    if (dtype !== x.dtype)
      throw new WengertError('ERR_DTYPE', `${op}: ${name} must keep its type; expected ${dtype}, got ${x.dtype}`, {
        expected: dtype,
        actual: x.dtype,
      })
  })
}

const treeOf = (paths: readonly string[]): string =>
  paths.length === 0
    ? 'no tensor'
    : paths.length === 1 && paths[0] === ''
      ? 'a tensor'
      : `tensors at ${paths.map((p) => p || '.').join(', ')}`

/** The number of iterations. */
function lengthOf(stacks: readonly Tensor[], paths: readonly string[], given: number | undefined): number {
  if (given !== undefined) checkNumber('scan', 'length', given, { integer: true, min: 0 })
  let length = given
  stacks.forEach((x, i) => {
    if (x.rank === 0)
      throw new WengertError('ERR_SHAPE', `scan: xs${paths[i]} must have a first axis to run over, got a scalar`, { actual: x.shape })
    const own = x.shape[0] as number
    if (length !== undefined && own !== length) {
      const others = i === 0 ? 'options.length' : given === undefined ? `xs${paths[0]}` : 'what is before it'
      throw new WengertError('ERR_SHAPE', `scan: expected ${length} rows in xs${paths[i]} as ${others} says, got ${own}`, {
        expected: length,
        actual: own,
      })
    }
    length = own
  })
  if (length === undefined)
    throw new WengertError('ERR_VALUE', 'scan: there is nothing to run over; give xs, or options.length', { expected: 'xs or length' })
  return length
}

/**
 * A loop: carryₜ₊₁, yₜ = f(carryₜ, xₜ) for each row xₜ of `xs`; the last carry, and the stack of the yₜ.
 *
 * Carry, rows and results are tensors or trees of them. `f` runs once, over tensors without values: what it does is recorded and
 * repeated, so that it cannot read values (write `where` or `cond`), and its derivatives of any order are such loops. It may use
 * any tensor from outside, parameters too; a `Random` that it draws from moves on in every iteration. What each iteration computes is
 * computed again in the backward pass, from the carry that entered it.
 *
 * @param f gives [the next carry, y]; the carry keeps its tree, shapes and types; y may be undefined
 * @param init the first carry
 * @param xs a tree of tensors [length, …]; null or undefined with `options.length`
 * @param options.reverse from the last row to the first (yₜ still stands beside xₜ); false by default
 * @returns [carry, ys], ys with one more, first, axis than y
 * @throws ERR_SHAPE, ERR_DTYPE, ERR_VALUE for a carry that changes, or rows of different counts; ERR_VALUE_NEEDED where f reads values
 * @example
 * const [total, sums] = scan((sum, x) => [sum.add(x), sum.add(x)], 0, tensor([1, 2, 3]))   // 6, [1, 3, 6]
 */
export function scan<Y>(
  f: (carry: Tensor, x: Tensor) => readonly [Tensor | number, Y],
  init: Tensor | number,
  xs: Tensor,
  options?: ScanOptions,
): [carry: Tensor, ys: Y]
export function scan<C, Y>(
  f: (carry: C, x: undefined) => readonly [C, Y],
  init: C,
  xs: null | undefined,
  options: ScanOptions,
): [carry: C, ys: Y]
export function scan<C, X, Y>(f: (carry: C, x: X) => readonly [C, Y], init: C, xs: X, options?: ScanOptions): [carry: C, ys: Y]
export function scan(f: unknown, init: unknown, xs: unknown, options: ScanOptions = {}): [unknown, unknown] {
  const op = 'scan'
  const body = checkFunction(op, f)
  checkOptions(op, options, ['reverse', 'length'])
  const { reverse = false } = options
  if (typeof reverse !== 'boolean')
    throw new WengertError('ERR_OPTION', `scan: expected true or false for reverse, got ${describe(reverse)}`, { actual: reverse })
  const dtype = numbersIn(init, xs)
  const carry = tensorsIn(op, init, dtype)
  const rows = tensorsIn(op, xs ?? undefined, dtype)
  const [carries, stacks] = [leaves(carry), leaves(rows)]
  const length = lengthOf(stacks, pathsOf(rows, isTensor), options.length)

  let results: [unknown, unknown] = [undefined, undefined]
  const recorded = atNextLevel((level) => {
    const counters = new Tape(level, true, false, op)
    const random = bodyDraws(drawsNow(), (shape) => counters.watch(new Abstract(shape, 'int32')))
    const places = boundPlaces()
    const before = places.map(({ binding }) => binding)
    const closed = close(
      op,
      (...inner) => {
        const result: unknown = withDrawsFrom(random.draws, () =>
          body(refill(carry, inner.slice(0, carries.length)), refill(rows, inner.slice(carries.length))),
        )
        if (!Array.isArray(result) || result.length !== 2)
          throw new WengertError('ERR_VALUE', `scan: the function must return [carry, y], got ${describe(result)}`, { actual: result })
        const next = tensorsIn(op, result[0], dtype)
        checkSameTree(op, 'the carry', next, carry)
        results = [next, tensorsIn(op, result[1], dtype)]
        return [...leaves(next), ...leaves(results[1])]
      },
      [...carries.map(like), ...stacks.map(rowOf)],
    )
    if (places.some(({ binding }, i) => binding !== before[i])) {
      places.forEach((place, i) => {
        place.binding = before[i]
      })
      throw new WengertError(
        'ERR_VALUE',
        'scan: the function assigns to a buffer (as BatchNorm does in training), which a loop does not; hand it on in the carry',
      )
    }
    return { closed, random }
  })

  const { closed, random } = recorded
  const counters = new Map(random.stacks(length, reverse).map(({ counter, stack }) => [counter, stack]))
  const roles: Role[] = [...carries.map((): Role => 'carry'), ...stacks.map((): Role => 'row')]
  const own = [...carries, ...stacks]
  const values = closed.inputs.map((x, i) => {
    if (i < own.length) return own[i] as Tensor
    const stack = counters.get(x)
    roles.push(stack ? 'row' : 'constant')
    return stack ? stack() : x
  })
  const made = run(bind(closed, roles, values, carries.length, { length, reverse, saving: false }))
  return [refill(results[0], made.slice(0, carries.length)), refill(results[1], made.slice(carries.length))]
}
