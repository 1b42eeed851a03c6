/** Choices and open-ended loops by values: `cond`, `whileLoop`. */

import { WengertError } from '../errors.js'
import { single } from '../primitives/batching.js'
import { elements } from '../primitives/elements.js'
import { notEqual, where } from '../primitives/elementwise.js'
import { cast, reshape } from '../primitives/movement.js'
import { Abstract, type Aval, apply, type Batch, below, type GeneralPrimitive, type Params, Traced } from '../primitives/primitive.js'
import { Tuple } from '../primitives/tuple.js'
import { tensor, zeros } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import { type AnyFunction, checkFunction, leaves, refill } from './arguments.js'
import { close, type Graph, type Maybe, pullThrough, pushThrough, replay } from './closed.js'
import { like } from './loop.js'
import { checkSameTree, numbersIn, scan, tensorsIn } from './scan.js'
import { replayMapped } from './vmap-trace.js'

/** A function of which one of two graphs computes the value; each reads some of the operands. */
interface Choice {
  readonly branches: readonly [Branch, Branch]
  readonly results: readonly Aval[]
}

interface Branch {
  readonly graph: Graph
  /** Of each input of the graph, the operand. */
  readonly reads: readonly number[]
}

type Body = (...inner: Tensor[]) => readonly Tensor[]

/** Closes two functions of the same operands, and applies the one that `p` chooses; where p is a list, for each row by itself. */
function choose(p: Tensor, bodies: readonly [Body, Body], operands: readonly Tensor[]): Tensor[] {
  const all = [...operands]
  const closeOne = (body: Body) => {
    const closed = close('cond', body, operands.map(like), true)
    const reads = closed.inputs.map((x, i) => (i < operands.length ? i : all.push(x) - 1))
    return { branch: { graph: closed.graph, reads }, outputs: closed.outputs }
  }
  const [one, other] = [closeOne(bodies[0]), closeOne(bodies[1])]
  const results = one.outputs.map(({ shape, dtype }) => ({ shape, dtype }))
  return elements(apply(condRow({ branches: [one.branch, other.branch], results }), [p, ...all], {}), results.length)
}

const branchValues = ({ graph, reads }: Branch, operands: readonly Tensor[]): Tensor[] =>
  replay(
    graph,
    reads.map((i) => operands[i] as Tensor),
  )

function evaluate({ branches, results }: Choice, [p, ...operands]: readonly Tensor[]): Tensor[] {
  const chosen = below(p as Tensor)
  if (!(chosen instanceof Abstract) && chosen.rank === 0) return branchValues(branches[chosen.data[0] ? 0 : 1], operands)
  const all = [p as Tensor, ...operands]
  if (all.some((x) => x instanceof Abstract) && !all.some((x) => x instanceof Traced)) return results.map(like)
  // Both are computed, and one is taken: also of derivatives, so that what is not taken adds nothing, not even NaN.
  const [a, b] = branches.map((branch) => branchValues(branch, operands)) as [Tensor[], Tensor[]]
  return a.map((x, i) => {
    const taken = where(
      chosen.rank === 0 ? (p as Tensor) : reshape(p as Tensor, [...chosen.shape, ...single(x.rank - 1)]),
      x,
      b[i] as Tensor,
    )
    return taken.dtype === x.dtype ? taken : cast(taken, x.dtype)
  })
}

/** The choice of all samples at once: where each has a condition of its own, every operand becomes each sample's own. */
function overSamples({ branches }: Choice, { inputs: [p, ...operands], mapped: [apart, ...mapped], full, size }: Batch<Params>): Tuple {
  const own = operands.map((_, i) => apart === true || mapped[i] === true)
  const values = operands.map((x, i) => (own[i] ? full(i + 1) : x))
  const bodies = branches.map(
    ({ graph, reads }): Body =>
      (...inner) =>
        replayMapped(
          graph,
          reads.map((i) => inner[i] as Tensor),
          reads.map((i) => own[i] as boolean),
          size,
        ),
  )
  return new Tuple(choose(p as Tensor, bodies as [Body, Body], values))
}

function condRow(choice: Choice): GeneralPrimitive {
  const bothWays = (of: (branch: Branch, inner: Tensor[]) => readonly Tensor[]): [Body, Body] =>
    choice.branches.map(
      (branch): Body =>
        (...inner) =>
          of(branch, inner),
    ) as [Body, Body]
  return {
    kind: 'general',
    name: 'cond',
    doc: 'f(x) where p holds, else g(x)',
    infer: () => new Tuple(choice.results.map(like)),
    lower: () => {
      throw new WengertError('ERR_PROGRAM', 'cond: cannot stand in a program as it is: it is evaluated')
    },
    samples: () => [],
    evaluate: (operands) => new Tuple(evaluate(choice, operands)),
    batch: (batch) => overSamples(choice, batch),
    jvp: ([, ...tangents], { inputs: [p, ...operands] }) => {
      const present = tangents.filter((t) => t !== undefined)
      const floats = choice.results.map(({ dtype }) => isFloat(dtype))
      const made = choose(
        p as Tensor,
        bothWays(({ graph, reads }, inner) => {
          let next = operands.length
          const given = tangents.map((t) => (t ? inner[next++] : undefined))
          const values = reads.map((i) => inner[i] as Tensor)
          const found = pushThrough(
            graph,
            values,
            reads.map((i) => given[i]),
          )
          return found.flatMap((t, i) => (floats[i] ? [t ?? zerosOf(choice.results[i] as Aval)] : []))
        }),
        [...operands, ...present],
      )
      let next = 0
      return new Tuple(floats.map((yes) => (yes ? made[next++] : undefined)))
    },
    vjp: (g, { inputs: [p, ...operands] }, [, ...wanted]) => {
      const given = (g as Tuple).parts
      const seeded = given.flatMap((x, i) => (x ? [i] : []))
      const asked = operands.map((x, i) => wanted[i] === true && isFloat(x.dtype))
      const made = choose(
        p as Tensor,
        bothWays(({ graph, reads }, inner) => {
          const found = pullThrough(
            { ...graph, outputs: seeded.map((i) => graph.outputs[i] as number | Tensor) },
            reads.map((i) => inner[i] as Tensor),
            inner.slice(operands.length),
            reads.map((i) => asked[i] as boolean),
          )
          return operands.flatMap((x, i) => (asked[i] ? [found[reads.indexOf(i)] ?? zerosOf(x)] : []))
        }),
        [...operands, ...seeded.map((i) => given[i] as Tensor)],
      )
      let next = 0
      return [undefined, ...asked.map((yes): Maybe => (yes ? made[next++] : undefined))]
    },
  }
}

const zerosOf = ({ shape, dtype }: Aval): Tensor => zeros(shape, { dtype })

/** A condition as one truth value, or undefined where it has no value yet; `p` is then a bool tensor. */
function truth(op: string, what: string, given: unknown): { p: Tensor; holds: boolean | undefined } {
  if (typeof given === 'boolean') return { p: tensor(given, { dtype: 'bool' }), holds: given }
  if (typeof given === 'number') return { p: tensor(given !== 0, { dtype: 'bool' }), holds: given !== 0 }
  if (!(given instanceof Tensor) || given.size !== 1) {
    const got = given instanceof Tensor ? `shape ${formatShape(given.shape)}` : describe(given)
    throw new WengertError('ERR_VALUE', `${op}: ${what} must be one truth value, got ${got}`, { expected: 'a scalar', actual: given })
  }
  const x = given.resolve()
  const concrete = below(x)
  if (!(concrete instanceof Abstract)) {
    const holds = concrete.data[0] !== 0
    return { p: tensor(holds, { dtype: 'bool' }), holds }
  }
  const scalar = x.rank === 0 ? x : x.reshape([])
  return { p: scalar.dtype === 'bool' ? scalar : notEqual(scalar, 0), holds: undefined }
}

/**
 * f(…operands) where p holds, else g(…operands): one of them runs. The derivative is that of the one that ran.
 *
 * Where p has no value yet (in the body of a `scan`, in a program), both are recorded: they must then return trees, shapes and types
 * alike. A program computes both and takes the results of one; of the other nothing remains, in derivatives neither. Both draw from
 * a `Random` then.
 *
 * @param p one truth value: a boolean, a number, a tensor of one element (0 and NaN as in a comparison with 0)
 * @param operands any trees, handed to the function
 * @throws ERR_VALUE where p is no truth value; ERR_SHAPE, ERR_DTYPE, ERR_VALUE for results that differ
 * @example cond(x.greater(0), (x) => x.sqrt(), (x) => x.neg(), x)
 */
export function cond<A extends readonly unknown[], R>(
  p: Tensor | boolean | number,
  f: (...operands: A) => R,
  g: (...operands: A) => R,
  ...operands: A
): R {
  const op = 'cond'
  const branches = [f, g].map((branch) => checkFunction(op, branch)) as [AnyFunction, AnyFunction]
  const { p: chosen, holds } = truth(op, 'the condition', p)
  if (holds !== undefined) return branches[holds ? 0 : 1](...operands) as R
  const dtype = numbersIn(operands)
  const given = operands.map((x) => tensorsIn(op, x, dtype))
  const trees: unknown[] = []
  const bodies = branches.map(
    (branch, k): Body =>
      (...inner) => {
        const result = tensorsIn(op, branch(...(refill(given, inner) as unknown[])), dtype)
        if (k > 0) checkSameTree(op, 'the result of the second function', result, trees[0])
        trees[k] = result
        return leaves(result)
      },
  )
  const made = choose(chosen, bodies as [Body, Body], leaves(given))
  return refill(trees[0], made) as R
}

/**
 * Repeats carry ← body(carry) while condition(carry) holds.
 *
 * Where the condition has values (eagerly, also under `grad`), it is a loop of JavaScript, and derivatives of both modes are those of
 * the iterations that ran. Where it has none (in the body of a `scan`, in a program), it is a `scan` of `max` iterations, of which
 * those after the last hand the carry on: `max` must be given.
 *
 * @param init a tensor, a number or a tree; body keeps its tree, shapes and types
 * @param options.max iterations at most; after so many it ends whatever the condition says
 * @throws ERR_VALUE where the condition is no truth value; ERR_SHAPE, ERR_DTYPE, ERR_VALUE for a carry that changes; ERR_VALUE_NEEDED
 * without `max` where the condition has no value
 * @example whileLoop((x) => x.less(100), (x) => x.mul(2), tensor(3)).item()   // 192 ≥ 100: 3·2⁶
 */
export function whileLoop<C>(
  condition: (carry: C) => Tensor | boolean,
  body: (carry: C) => C,
  init: C,
  options: { max?: number | undefined } = {},
): C {
  const op = 'whileLoop'
  const [test, next] = [checkFunction(op, condition), checkFunction(op, body)]
  checkOptions(op, options, ['max'])
  const { max } = options
  if (max !== undefined) checkNumber(op, 'max', max, { integer: true, min: 0 })
  const dtype = numbersIn(init)
  const step = (carry: unknown): unknown => {
    const result = tensorsIn(op, next(carry), dtype)
    checkSameTree(op, 'the carry', result, carry)
    return result
  }
  let carry = tensorsIn(op, init, dtype)
  if (leaves(carry).length === 0)
    throw new WengertError('ERR_VALUE', `whileLoop: expected a tensor or a tree of tensors to begin with, got ${describe(init)}`, {
      actual: init,
    })
  for (let i = 0; max === undefined || i < max; i++) {
    const { p, holds } = truth(op, 'the condition', test(carry))
    if (holds === false) return carry as C
    if (holds === undefined) {
      if (max === undefined)
        throw new WengertError(
          'ERR_VALUE_NEEDED',
          'whileLoop: its condition has no value while a program or a loop is recorded; give options.max, the most iterations there can be',
        )
      const rest = max - i
      const [last] = scan(
        (state: { on: Tensor; carry: unknown }) => {
          const moved = cond(
            state.on,
            (now: unknown) => {
              const then = step(now)
              return { on: truth(op, 'the condition', test(then)).p, carry: then }
            },
            (now: unknown) => ({ on: state.on, carry: now }),
            state.carry,
          )
          return [moved, undefined] as const
        },
        { on: p, carry },
        null,
        { length: rest },
      )
      return last.carry as C
    }
    carry = step(carry)
  }
  return carry as C
}
