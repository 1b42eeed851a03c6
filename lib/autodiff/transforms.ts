/**
 * The transforms: functions of tensors in, functions of tensors out, composable in any order and depth. Arguments and
 * results may be trees (plain objects and arrays) of tensors.
 */

import { WengertError } from '../errors.js'
import { concat, reshape, stack } from '../primitives/movement.js'
import { atNextLevel, Traced } from '../primitives/primitive.js'
import { ones, tensor, zeros } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { checkChoice, checkOptions, describe } from '../util/options.js'
import { formatShape, sameShape } from '../util/shape.js'
import { leavesOf, mapTree } from '../util/tree.js'
import { Dual, ForwardTrace } from './forward.js'
import { checkDifferentiable, sweep } from './reverse.js'
import { Tape } from './tape.js'

// biome-ignore lint/suspicious/noExplicitAny: user functions take and give trees of tensors whose shape only they know
export type AnyTree = any
export type Fn = (...args: AnyTree[]) => AnyTree

const isTensor = (value: unknown): value is Tensor => value instanceof Tensor
const leaves = (tree: unknown): Tensor[] => leavesOf(tree, isTensor)

function checkFunction(op: string, f: unknown): void {
  if (typeof f !== 'function')
    throw new WengertError('ERR_VALUE', `${op}: expected a function, got ${describe(f)}`, { expected: 'a function', actual: f })
}

/** Numbers become tensors; every tensor in a differentiated argument must be floating. */
function primal(op: string, value: unknown): unknown {
  if (typeof value === 'number') return tensor(value)
  const found = leaves(value)
  if (found.length === 0)
    throw new WengertError('ERR_VALUE', `${op}: expected a tensor, or a tree of tensors, to differentiate, got ${describe(value)}`, {
      actual: value,
    })
  for (const x of found) checkDifferentiable(op, x)
  return value
}

/** Replaces the leaves of a tree, in order, by those of a list. */
function refill(tree: unknown, values: readonly Tensor[]): unknown {
  let i = 0
  return mapTree(tree, isTensor, () => values[i++])
}

function checkLike(op: string, what: string, given: readonly Tensor[], like: readonly Tensor[]): void {
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

/** Runs `f` on a tape that watches `watched` (positions of `args`). */
function record(f: Fn, args: readonly unknown[], watched: ReadonlySet<number>) {
  return atNextLevel((level) => {
    const tape = new Tape(level)
    const inner = args.map((arg, i) => (watched.has(i) ? mapTree(arg, isTensor, (x) => tape.watch(x)) : arg))
    const result = f(...inner)
    const outputs = leaves(result)
    if (outputs.length === 0)
      throw new WengertError('ERR_VALUE', `expected the function to return a tensor or a tree of tensors, got ${describe(result)}`, {
        actual: result,
      })
    return { tape, outputs, value: mapTree(result, isTensor, (x) => tape.lowerOf(x)) }
  })
}

/** The cotangents of a tape's inputs for given cotangents of its outputs; zeros where nothing arrives. */
function pullBack(tape: Tape, outputs: readonly Tensor[], cotangents: readonly Tensor[]): Tensor[] {
  const seeds = new Map<number, Tensor>()
  outputs.forEach((y, i) => {
    const index = tape.indexOf(y)
    if (index < 0) return
    const before = seeds.get(index)
    const g = cotangents[i] as Tensor
    seeds.set(index, before ? before.add(g) : g)
  })
  const adjoints = sweep(tape, seeds)
  return tape.entries.slice(0, tape.inputCount).map(({ output: x }, i) => adjoints[i] ?? zeros(x.shape, { dtype: x.dtype }))
}

/**
 * The value of `f` and its pullback g ↦ Jᵀ g (reverse mode, 3.50 – 3.51): one backward sweep a call.
 *
 * @returns [value, pullback]; the pullback takes a cotangent shaped like the value and gives one cotangent for each primal
 * @throws ERR_DTYPE for integer primals; ERR_SHAPE for a cotangent unlike the value
 * @example
 * const [y, pullback] = vjp((x) => x.sin(), tensor([1, 2]))
 * const [dx] = pullback(tensor([1, 0]))
 */
export function vjp(f: Fn, ...primals: unknown[]): [value: AnyTree, pullback: (cotangent: unknown) => AnyTree[]] {
  checkFunction('vjp', f)
  const args = primals.map((x) => primal('vjp', x))
  const { tape, outputs, value } = record(f, args, new Set(args.keys()))
  const pullback = (cotangent: unknown) => {
    const given = leaves(typeof cotangent === 'number' ? tensor(cotangent, { dtype: (outputs[0] as Tensor).dtype }) : cotangent)
    checkLike('vjp', 'cotangent', given, outputs)
    return refill(args, pullBack(tape, outputs, given)) as unknown[]
  }
  return [value, pullback]
}

/**
 * The value of `f` and its directional derivative J t (forward mode, 3.48 – 3.49), in one pass.
 *
 * @param primals the arguments of f, as an array
 * @param tangents one for each primal, of the same shape and type
 * @returns [value, tangent]
 */
export function jvp(f: Fn, primals: readonly unknown[], tangents: readonly unknown[]): [value: AnyTree, tangent: AnyTree] {
  checkFunction('jvp', f)
  if (!Array.isArray(primals) || !Array.isArray(tangents))
    throw new WengertError('ERR_VALUE', 'jvp: expected arrays of primals and of tangents', { actual: [primals, tangents] })
  const args = primals.map((x) => primal('jvp', x))
  const seeds = tangents.map((t) => (typeof t === 'number' ? tensor(t) : t))
  checkLike('jvp', 'tangent', leaves(seeds), leaves(args))
  return atNextLevel((level) => {
    const trace = new ForwardTrace(level)
    const directions = leaves(seeds)
    let i = 0
    const duals = mapTree(args, isTensor, (x) => new Dual(trace, x.resolve(), directions[i++] as Tensor)) as unknown[]
    const result = f(...duals)
    const own = (y: Tensor): y is Dual => y instanceof Dual && y.trace === trace
    return [
      mapTree(result, isTensor, (y) => (own(y) ? y.value : y)),
      mapTree(result, isTensor, (y) => (own(y) ? y.tangent : zeros(y.shape, { dtype: y.dtype }))),
    ]
  })
}

/** What is differentiated, and what comes along. */
export interface GradOptions {
  /** The function returns [scalar, aux]: aux (any tree) is handed through beside the value, not differentiated. */
  hasAux?: boolean
  /** Which arguments to differentiate by: a position (default 0) gives one gradient, a list gives a list. */
  argnums?: number | readonly number[]
}

/**
 * A function that gives the value of `f` and its gradient.
 *
 * @throws ERR_NOT_SCALAR where f gives anything but one element
 * @example
 * const [cost, dW] = valueAndGrad((W) => W.square().sum())(tensor([1, 2]))
 */
export function valueAndGrad(f: Fn, options: GradOptions = {}): (...args: unknown[]) => [value: AnyTree, gradient: AnyTree] {
  checkFunction('valueAndGrad', f)
  checkOptions('grad', options, ['argnums', 'hasAux'])
  const { argnums = 0 } = options
  const list = typeof argnums === 'number' ? [argnums] : [...argnums]
  return (...given) => {
    for (const i of list) {
      if (!Number.isInteger(i) || i < 0 || i >= given.length) {
        throw new WengertError('ERR_RANGE', `grad: expected argnums among the ${given.length} arguments, got ${String(i)}`, {
          expected: given.length,
          actual: i,
        })
      }
    }
    const args = given.map((x, i) => (list.includes(i) ? primal('grad', x) : x))
    const { tape, outputs, value } = record(f, args, new Set(list))
    const y = outputs[0] as Tensor
    const cost: unknown = options.hasAux ? (value as unknown[])[0] : value
    const single = options.hasAux || outputs.length === 1
    if (!single || y.size !== 1 || !(cost instanceof Tensor)) {
      const got = single ? `shape ${formatShape(y.shape)}` : `${outputs.length} tensors`
      throw new WengertError(
        'ERR_NOT_SCALAR',
        `grad: expected a function with a scalar value, got ${got}; use jacobian for all derivatives or vjp for a product with them`,
        { expected: [], actual: y.shape },
      )
    }
    checkDifferentiable('grad', y)
    const gradients = pullBack(tape, [y], [ones(y.shape, { dtype: y.dtype })])
    // The tape watched the arguments in their own order; hand them back in the order asked for.
    let next = 0
    const byArgument = new Map<number, unknown>()
    for (const i of [...new Set(list)].sort((a, b) => a - b)) {
      const n = leaves(args[i]).length
      byArgument.set(i, refill(args[i], gradients.slice(next, next + n)))
      next += n
    }
    return [value, typeof argnums === 'number' ? byArgument.get(argnums) : list.map((i) => byArgument.get(i))]
  }
}

/**
 * The gradient of a scalar function, as a function of the same arguments.
 *
 * @throws ERR_NOT_SCALAR where f gives anything but one element
 * @example grad((x) => x.mul(x))(tensor(3)).item()  // 6
 */
export function grad(f: Fn, options: GradOptions = {}): (...args: unknown[]) => AnyTree {
  const both = valueAndGrad(f, options)
  return (...args) => both(...args)[1]
}

/** What `jacobian` may choose by. */
export type JacobianMode = 'forward' | 'reverse' | 'auto'

/** The basis of a tensor's space: one tensor a unit vector. */
function* basis(x: Tensor): Generator<Tensor> {
  for (let i = 0; i < x.size; i++) {
    const e = zeros(x.shape, { dtype: x.dtype })
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
export function jacobian(f: Fn, options: { mode?: JacobianMode } = {}): (...args: unknown[]) => AnyTree {
  checkFunction('jacobian', f)
  checkOptions('jacobian', options, ['mode'])
  const mode = checkChoice('jacobian', 'mode', options.mode ?? 'auto', ['forward', 'reverse', 'auto'] as const)
  return (first, ...rest) => {
    const x = primal('jacobian', first)
    const at = (value: unknown) => f(value, ...rest)
    const inputs = leaves(x)
    if (mode === 'forward') return columns(at, x, inputs)
    const [value, pullback] = vjp(at, x)
    const outputs = leaves(value)
    const count = (list: readonly Tensor[]) => list.reduce((n, t) => n + t.size, 0)
    if (mode === 'auto' && count(inputs) < count(outputs)) return columns(at, x, inputs)
    return rows(value, outputs, x, inputs, pullback)
  }
}

function columns(f: Fn, x: unknown, inputs: readonly Tensor[]): unknown {
  let value: unknown
  // parts[o][i]: the columns of output o by input i
  const parts: Tensor[][][] = []
  inputs.forEach((input, i) => {
    for (const e of basis(input)) {
      const direction = inputs.map((t, k) => (k === i ? e : zeros(t.shape, { dtype: t.dtype })))
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
  pullback: (g: unknown) => unknown[],
): unknown {
  let o = 0
  return mapTree(value, isTensor, (y) => {
    const position = o++
    const parts: Tensor[][] = inputs.map(() => [])
    for (const e of basis(y)) {
      const cotangent = outputs.map((t, k) => (k === position ? e : zeros(t.shape, { dtype: t.dtype })))
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
export function hessian(f: Fn): (...args: unknown[]) => AnyTree {
  return jacobian(grad(f), { mode: 'forward' })
}

/**
 * The Hessian of a scalar function times a vector (forward over reverse), without forming the Hessian.
 *
 * @param x the point, a tensor or tree; @param v the direction, shaped like x
 */
export function hvp(f: Fn, x: unknown, v: unknown): AnyTree {
  return jvp(grad(f), [x], [v])[1]
}

/** A user's rule: the value, and the cotangents of the arguments given that of the value. */
export type CustomRule = (...args: Tensor[]) => [value: Tensor, pullback: (g: Tensor) => Tensor | readonly (Tensor | undefined)[]]

/**
 * A function with a derivative rule of its own.
 *
 * Forward mode takes its tangent from the transpose of the pullback, which must be linear in `g`. In a compiled program
 * the function is traced like any other, its rule included.
 *
 * @example
 * const clipped = customGradient((x) => [x, (g) => g.clip(-1, 1)])
 */
export function customGradient(rule: CustomRule): (...args: Tensor[]) => Tensor {
  checkFunction('customGradient', rule)
  const call = (...given: Tensor[]): Tensor => {
    const args = given.map((x) => x.resolve())
    let top: Tape | ForwardTrace | undefined
    for (const x of args) {
      if (!(x instanceof Traced)) continue
      const trace = x.trace as Tape | ForwardTrace
      if (trace instanceof Tape && trace.inlining) continue
      if (top === undefined || trace.level > top.level) top = trace
    }
    if (top === undefined) return rule(...args)[0]
    return top instanceof Tape ? onTape(top, args) : forward(top, args)
  }

  const cotangents = (pullback: ReturnType<CustomRule>[1], g: Tensor) => {
    const result = pullback(g)
    return result instanceof Tensor ? [result] : result
  }

  /** The tangent of the value: the pullback is linear in g, so its own pullback at any g maps tangents forward. */
  function transposed(pullback: ReturnType<CustomRule>[1], args: readonly Tensor[], tangents: readonly (Tensor | undefined)[], y: Tensor) {
    const present = tangents.flatMap((t, i) => (t ? [i] : []))
    const zero = (x: Tensor) => zeros(x.shape, { dtype: x.dtype })
    const [, transpose] = vjp((g: Tensor) => {
      const given = cotangents(pullback, g)
      return present.map((i) => given[i] ?? zero(args[i] as Tensor))
    }, zero(y))
    return transpose(present.map((i) => tangents[i]))[0] as Tensor
  }

  function onTape(tape: Tape, args: readonly Tensor[]): Tensor {
    const lower = args.map((x) => tape.lowerOf(x))
    let saved: ReturnType<CustomRule>[1] = () => []
    const lowered = lower.some((x) => x instanceof Traced)
    const [output, pullback] = lowered ? [call(...lower), (g: Tensor) => rule(...lower)[1](g)] : rule(...lower)
    saved = pullback
    return tape.push({
      primitive: {
        kind: 'general',
        name: 'custom',
        doc: 'a rule given by the user',
        infer: () => output,
        lower: () => {
          throw new WengertError('ERR_PROGRAM', 'customGradient: expected to be traced, not lowered')
        },
        samples: () => [],
        jvp: (tangents, { output: y }) => transposed(saved, lower, tangents, y),
        vjp: (g) => cotangents(saved, g),
      },
      params: {},
      inputs: lower,
      sources: args.map((x) => tape.indexOf(x)),
      output,
    })
  }

  function forward(trace: ForwardTrace, args: readonly Tensor[]): Tensor {
    const own = (x: Tensor): x is Dual => x instanceof Dual && x.trace === trace
    const lower = args.map((x) => (own(x) ? x.value : x))
    const output = call(...lower)
    const tangents = args.map((x) => (own(x) ? x.tangent : undefined))
    return new Dual(
      trace,
      output,
      transposed((g) => rule(...lower)[1](g), lower, tangents, output),
    )
  }

  return call
}

/**
 * The same function, but its intermediates are computed again in the backward pass instead of being kept: less memory,
 * one more forward evaluation.
 */
export function checkpoint(f: (...args: Tensor[]) => Tensor): (...args: Tensor[]) => Tensor {
  checkFunction('checkpoint', f)
  return customGradient((...args) => [f(...args), (g) => vjp(f, ...args)[1](g)])
}
