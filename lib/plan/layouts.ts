/**
 * Where elements lie: rows of images work channels last, users write channels first. This pass moves the transposes between
 * them down through what does not care (elementwise operations, sums, concatenation), until two meet and cancel, so that a
 * network of convolutions is transposed at its ends alone.
 *
 * Each rule rewrites one node y = f(T(x), …) into y = T(f(x, …)), T being a transpose of three or more axes. To add one: an
 * entry of `rules`.
 */

import { broadcastRow, sumRow } from '../primitives/broadcast.js'
import { reshape, reshapeRow, stopGradientRow, transpose, transposeRow } from '../primitives/movement.js'
import { concatRow } from '../primitives/parts.js'
import type { Params, Primitive } from '../primitives/primitive.js'
import { foldGrid, type Shape, sizeOf } from '../util/shape.js'
import { isElementwise } from './fuse.js'
import { type Graph, isOp, type Node, type Origin, removeDead } from './graph.js'
import { any, applies, either, type OpNode, op, type Pattern } from './patterns.js'

type Permutation = readonly number[]
const apply = (primitive: unknown, params: Params): OpNode['origin'] => ({ kind: 'op', primitive: primitive as Primitive, params })
/** Adds a node like `like` (its type and scope) before the one at hand. */
type Make = (origin: Origin, inputs: Node[], shape: Shape, like: Node) => Node
/** Rewrites the node in place, unless it does not fit after all, and says so. */
type Rewrite = (node: OpNode, make: Make) => boolean

const permutationOf = (node: Node): Permutation | undefined =>
  applies(node, transposeRow) ? ((node as OpNode).origin.params.permutation as Permutation) : undefined

const inverse = (p: Permutation): number[] => {
  const q = new Array<number>(p.length)
  for (const [i, axis] of p.entries()) q[axis] = i
  return q
}
const permuted = (shape: Shape, p: Permutation): number[] => p.map((axis) => shape[axis] as number)
const same = (p: Permutation, q: Permutation | undefined): boolean =>
  q !== undefined && p.length === q.length && p.every((a, i) => a === q[i])

/** The permutation that all inputs which hold as much as the result agree on, where at least one is transposed. */
function common(node: Node): Permutation | undefined {
  const found = node.inputs.map(permutationOf).find((p) => p !== undefined && p.length === node.shape.length && p.length >= 3)
  if (!found) return undefined
  const fits = node.inputs.every((input) => same(found, permutationOf(input)) || sizeOf(input.shape) === 1 || follows(input))
  return fits ? found : undefined

  /** What is constant, repeated along some axes, or written out small can be permuted for next to nothing. */
  function follows(input: Node): boolean {
    return input.origin.kind === 'constant' || applies(input, broadcastRow) || sizeOf(input.shape) * 8 <= sizeOf(node.shape)
  }
}

/** The operand as f(x) reads it where the node reads it beside T(x): its axes in the order of x. */
function beneath(input: Node, p: Permutation, make: Make): Node {
  if (same(p, permutationOf(input))) return input.inputs[0] as Node
  if (sizeOf(input.shape) === 1 && input.shape.length < p.length) return input
  if (applies(input, broadcastRow)) {
    const small = reordered(input.inputs[0] as Node, p, make)
    const shape = permuted(input.shape, inverse(p))
    return make(apply(broadcastRow, { shape }), [small], shape, input)
  }
  return reordered(input, p, make)
}

/** The operands, those written out whole that a kernel could not read in two dimensions: [N, 1, 1, C] beside [N, H, W, C]. */
function foldable(shape: Shape, inputs: readonly Node[], make: Make): Node[] {
  const read: Shape[] = []
  return inputs.map((input) => {
    if (foldGrid(shape, [...read, input.shape])) {
      read.push(input.shape)
      return input
    }
    read.push(shape)
    return make(apply(broadcastRow, { shape }), [input], shape, input)
  })
}

/** A small operand with all axes, in the order of x; a reshape where only axes of length 1 change places. */
function reordered(input: Node, p: Permutation, make: Make): Node {
  const full = [...new Array<number>(p.length - input.shape.length).fill(1), ...input.shape]
  if (input.origin.kind === 'constant') {
    const value = transpose(reshape(input.origin.value, full), inverse(p))
    return make({ kind: 'constant', value }, [], value.shape, input)
  }
  const wide = full.length === input.shape.length ? input : make(apply(reshapeRow, { shape: full }), [input], full, input)
  const order = inverse(p)
  return make(apply(transposeRow, { permutation: order }), [wide], permuted(full, order), input)
}

/** Makes `node` the transpose of a new node. */
function transposeOf(node: OpNode, below: Node, permutation: Permutation): true {
  node.origin = apply(transposeRow, { permutation: [...permutation] })
  node.inputs = [below]
  return true
}

const throughElementwise: Rewrite = (node, make) => {
  const p = common(node)
  if (!p) return false
  const shape = permuted(node.shape, inverse(p))
  const inputs = foldable(
    shape,
    node.inputs.map((input) => beneath(input, p, make)),
    make,
  )
  return transposeOf(node, make(node.origin, inputs, shape, node), p)
}

/** Σ over axes that lie together below the transpose too, the others keeping their order, needs no transpose at all. */
const throughSum: Rewrite = (node) => {
  const [input] = node.inputs as [Node]
  const p = permutationOf(input)
  if (!p || p.length < 3) return false
  const { first, last } = node.origin.params as { first: number; last: number }
  const summed = p.slice(first, last + 1)
  const others = [...p.slice(0, first), ...p.slice(last + 1)]
  const [low, high] = [Math.min(...summed), Math.max(...summed)]
  if (high - low !== last - first || others.some((axis, i) => i > 0 && axis < (others[i - 1] as number))) return false
  node.origin = { ...node.origin, params: { first: low, last: high } }
  node.inputs = [input.inputs[0] as Node]
  return true
}

const throughConcat: Rewrite = (node, make) => {
  const p = permutationOf(node.inputs[0] as Node)
  if (!p || p.length < 3 || !node.inputs.every((input) => same(p, permutationOf(input)))) return false
  const params = { ...node.origin.params, axis: p[node.origin.params.axis as number] as number }
  const inputs = node.inputs.map((input) => input.inputs[0] as Node)
  return transposeOf(node, make({ ...node.origin, params }, inputs, permuted(node.shape, inverse(p)), node), p)
}

/** A transpose of a transpose is one, or none; where only axes of length 1 change places it is a reshape. */
const throughTranspose: Rewrite = (node) => {
  const p = permutationOf(node) as Permutation
  const [input] = node.inputs as [Node]
  const q = permutationOf(input)
  const [source, order] = q ? [input.inputs[0] as Node, p.map((axis) => q[axis] as number)] : [input, p]
  const long = order.filter((axis) => source.shape[axis] !== 1)
  if (long.every((axis, i) => i === 0 || axis > (long[i - 1] as number))) {
    node.origin = apply(reshapeRow, { shape: node.shape })
    node.inputs = [source]
    return true
  }
  if (!q) return false
  return transposeOf(node, source, order)
}

const transposed = op(transposeRow, any('x'))
const elementwise: Pattern = (node) => isElementwise(node)

interface Rule {
  name: string
  pattern: Pattern
  rewrite: Rewrite
}

/** T, T₁, T₂ are transposes. */
const composed: Rule = { name: 'T₂(T₁(x)) → T(x), or x', pattern: transposed, rewrite: throughTranspose }
const rules: readonly Rule[] = [
  composed,
  { name: 'f(T(x), …) → T(f(x, …)), f point by point', pattern: either(elementwise, op(stopGradientRow)), rewrite: throughElementwise },
  { name: 'Σ(T(x)) → Σ(x), over axes that lie together', pattern: op(sumRow, transposed), rewrite: throughSum },
  { name: 'concat(T(a), T(b), …) → T(concat(a, b, …))', pattern: op(concatRow, transposed), rewrite: throughConcat },
]

/** Applies the first rule that fits. */
const rewrite = (node: OpNode, list: readonly Rule[], make: Make): boolean =>
  list.some((rule) => rule.pattern(node, {}) && rule.rewrite(node, make))

/** Moves transposes down and cancels them. Nodes are numbered anew. */
export function settleLayouts(graph: Graph): void {
  if (!graph.nodes.some((node) => (permutationOf(node)?.length ?? 0) >= 3)) return
  const nodes: Node[] = []
  const make: Make = (origin, inputs, shape, like) => {
    const node: Node = { id: 0, origin, inputs, shape, dtype: like.dtype, scope: like.scope }
    if (isOp(node)) rewrite(node, [composed], make)
    nodes.push(node)
    return node
  }
  for (const node of graph.nodes) {
    if (isOp(node)) rewrite(node, rules, make)
    nodes.push(node)
  }
  graph.nodes = nodes.map((node, id) => Object.assign(node, { id }))
  removeDead(graph)
}
