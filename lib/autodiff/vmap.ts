/** `vmap`: a function of one sample becomes a function of a stack of samples, without a loop. */

import { WengertError } from '../errors.js'
import { moveAxis } from '../primitives/batching.js'
import { boundPlaces } from '../primitives/binding.js'
import { broadcastTo } from '../primitives/broadcast.js'
import { expandDims } from '../primitives/movement.js'
import { stack } from '../primitives/parts.js'
import { atNextLevel } from '../primitives/primitive.js'
import { drawnNow } from '../primitives/random.js'
import { type Draws, drawsNow, withDrawsFrom } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import { checkOptions, describe } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import { isPlainObject, mapTree } from '../util/tree.js'
import { type AnyFunction, checkFunction, isTensor, leaves } from './arguments.js'
import { Batched, BatchTrace, refuseKept } from './vmap-trace.js'

const op = 'vmap'

/**
 * Which axis of each tensor in a tree holds the samples: a number (−1 is the last) for all of them, null for none, or a tree of
 * these like the tensors' own.
 */
export type MappedAxes = number | null | readonly MappedAxes[] | { readonly [key: string]: MappedAxes }

/** What `vmap` maps over. */
export interface VmapOptions {
  /** For all arguments, or a list with one for each; 0 by default. Where it is null, every sample is given the same tensor. */
  inAxes?: MappedAxes | undefined
  /** Where the samples' axis goes in the results; 0 by default. Null for a result that is the same for all samples. */
  outAxes?: MappedAxes | undefined
}

/** Visits what a tree of axes says of the tensors in a tree; `at` is the way there. */
function walk(
  name: string,
  axes: unknown,
  tree: unknown,
  at: string,
  visit: (leaf: unknown, axis: number | null, at: string) => unknown,
): unknown {
  if (typeof axes === 'number' || axes === null) {
    const inside = (node: unknown, path: string): unknown => {
      if (node instanceof Tensor || typeof node === 'number') return visit(node, axes, path)
      if (Array.isArray(node)) return node.map((item, i) => inside(item, `${path}[${i}]`))
      if (isPlainObject(node)) return Object.fromEntries(Object.entries(node).map(([key, item]) => [key, inside(item, `${path}.${key}`)]))
      return node
    }
    return inside(tree, at)
  }
  if (Array.isArray(axes) && Array.isArray(tree)) {
    if (axes.length !== tree.length)
      throw new WengertError('ERR_OPTION', `${op}: ${name} lists ${axes.length} axes for the ${tree.length} of ${at}`, {
        expected: tree.length,
        actual: axes.length,
      })
    return tree.map((node, i) => walk(name, axes[i], node, `${at}[${i}]`, visit))
  }
  if (isPlainObject(axes) && isPlainObject(tree)) {
    const [given, wanted] = [Object.keys(axes), Object.keys(tree)]
    const wrong = given.find((key) => !wanted.includes(key)) ?? wanted.find((key) => !given.includes(key))
    if (wrong !== undefined)
      throw new WengertError(
        'ERR_OPTION',
        `${op}: ${name} and ${at} do not have the same names: ${describe(wrong)} is in one of them only`,
        {
          expected: wanted,
          actual: given,
        },
      )
    return Object.fromEntries(wanted.map((key) => [key, walk(name, axes[key], tree[key], `${at}.${key}`, visit)]))
  }
  throw new WengertError(
    'ERR_OPTION',
    `${op}: ${name} for ${at} is an axis, null, or a tree of these like ${at} itself, not ${describe(axes)}`,
    { actual: axes },
  )
}

function checkAxis(x: { shape: readonly number[] }, axis: number, rank: number, where: string): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank)
    throw new WengertError('ERR_AXIS', `${op}: ${where} of shape ${formatShape(x.shape)} has no axis ${axis} to map`, {
      expected: rank,
      actual: axis,
    })
  return axis < 0 ? axis + rank : axis
}

/** Draws of a mapped function: each is one of all samples at once, and every sample has its own. */
function drawsOf(trace: BatchTrace): Draws {
  const outer = drawsNow() ?? drawnNow
  return {
    random: (drawing, counter) => {
      if (counter) refuseLoop()
      const { request } = drawing
      // A permutation is of one sample; other draws are as many numbers as all samples have.
      const all =
        request.kind === 'permutation'
          ? stack(Array.from({ length: trace.size }, () => outer.random(drawing)))
          : outer.random({ ...drawing, request: { ...request, shape: [trace.size, ...request.shape] } })
      return new Batched(trace, all)
    },
    mask: (given) => {
      if (given) refuseLoop()
      const { counter, ...rest } = outer.mask()
      return { counter: new Batched(trace, trace.full(counter), undefined, counter), ...rest }
    },
    counters: refuseLoop,
  }
}

function refuseLoop(): never {
  throw new WengertError(
    'ERR_VALUE',
    `${op}: a loop inside of a mapped function cannot draw; draw the numbers before it, and hand them to it as xs`,
  )
}

/**
 * A function of stacks of samples from a function of one: `f` runs once, and every operation in it is applied to all samples.
 *
 *     vmap(f)(X)ᵢ = f(Xᵢ)
 *
 * Arguments and results are trees of tensors. It composes with `grad`, `jvp`, `vjp`, `jacobian`, `hessian`, `checkpoint`,
 * `customGradient` and itself, in any order. Draws of a `Random`, and masks, differ from sample to sample.
 *
 * @param options.inAxes the samples' axis in the arguments: 0 by default, null where all samples share a tensor, a list with one
 * entry for each argument, trees of these
 * @param options.outAxes the samples' axis in the results; 0 by default
 * @throws ERR_SHAPE where the mapped axes differ in length; ERR_AXIS for an axis that a tensor does not have; ERR_OPTION where
 * nothing is mapped; ERR_VALUE_NEEDED where `f` reads the values of a mapped tensor
 * @example
 * const gradients = vmap(grad(lossOf), { inAxes: [null, 0, 0] })(parameters, x, y)  // one gradient a sample
 */
export function vmap<A extends readonly Tensor[], const R>(f: (...args: A) => R, options?: VmapOptions): (...args: A) => R
export function vmap<A extends readonly unknown[], const R>(f: (...args: A) => R, options?: VmapOptions): (...args: A) => R
export function vmap(f: unknown, options: VmapOptions = {}): AnyFunction {
  const body = checkFunction(op, f)
  checkOptions(op, options, ['inAxes', 'outAxes'])
  const { inAxes = 0, outAxes = 0 } = options
  return (...args) => {
    const found: { length: number; axis: number; at: string }[] = []
    if (Array.isArray(inAxes) && inAxes.length !== args.length)
      throw new WengertError(
        'ERR_OPTION',
        `${op}: inAxes has ${inAxes.length} entries, but the function was called with ${args.length} arguments`,
        {
          expected: args.length,
          actual: inAxes.length,
        },
      )
    /** Each argument with `mapped` in the place of a mapped tensor, given its axis. */
    const placed = (mapped: (x: Tensor, axis: number) => unknown, check = false): unknown[] =>
      args.map((arg, i) =>
        walk('inAxes', Array.isArray(inAxes) ? inAxes[i] : inAxes, arg, `argument ${i}`, (leaf, axis, at) => {
          if (axis === null) return leaf
          if (typeof leaf === 'number')
            throw new WengertError('ERR_AXIS', `${op}: ${at} is a number and has no axis to map; give null for it in inAxes`, {
              actual: leaf,
            })
          const x = leaf as Tensor
          const own = checkAxis(x, axis, x.rank, at)
          if (check) found.push({ length: x.shape[own] as number, axis: own, at })
          return mapped(x, own)
        }),
      )
    placed((x) => x, true)
    const [head] = found
    if (head === undefined)
      throw new WengertError('ERR_OPTION', `${op}: no argument is mapped; give at least one tensor an axis in inAxes`, { actual: inAxes })
    const other = found.find(({ length }) => length !== head.length)
    if (other)
      throw new WengertError(
        'ERR_SHAPE',
        `${op}: the mapped axes differ in length: ${head.length} for axis ${head.axis} of ${head.at}, ${other.length} for axis ${other.axis} of ${other.at}`,
        { expected: head.length, actual: other.length },
      )
    return atNextLevel((level) => {
      const trace = new BatchTrace(level, head.length, op)
      const inner = placed((x, axis) => new Batched(trace, moveAxis(x.resolve(), axis, 0)))
      const result = withDrawsFrom(drawsOf(trace), () => body(...inner))
      if (boundPlaces().some(({ binding }) => binding && trace.owns(binding))) refuseKept()
      if (leaves(result).length === 0)
        throw new WengertError('ERR_VALUE', `${op}: the function must return a tensor or a tree of tensors, not ${describe(result)}`, {
          actual: result,
        })
      const settled = mapTree(result, isTensor, (y) => y.resolve())
      return walk('outAxes', outAxes, settled, 'the result', (leaf, axis, at) =>
        leaf instanceof Tensor ? taken(trace, leaf, axis, at) : leaf,
      )
    })
  }
}

/** A result with the samples' axis where it is wanted. */
function taken(trace: BatchTrace, y: Tensor, axis: number | null, at: string): Tensor {
  if (axis === null) {
    if (!trace.owns(y)) return y
    throw new WengertError('ERR_OPTION', `${op}: outAxes is null for ${at}, but each sample has a value of its own there`)
  }
  const place = checkAxis(y, axis, y.rank + 1, at)
  if (trace.owns(y)) return moveAxis(y.value, 0, place)
  return broadcastTo(expandDims(y, place), [...y.shape.slice(0, place), trace.size, ...y.shape.slice(place)])
}
