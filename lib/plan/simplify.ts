/**
 * Passes that make the graph smaller before anything is fused: `rules` rewrites what it matches, equal entries are shared.
 * Each keeps the values' bits, but for the sign of a zero that zeros are added to. To add one: an entry of `rules`.
 */

import { broadcastRow, sumRow } from '../primitives/broadcast.js'
import { matmulRow } from '../primitives/linalg.js'
import { reshapeRow, stopGradientRow, transposeRow } from '../primitives/movement.js'
import { concatRow, placeRow } from '../primitives/parts.js'
import type { Params, Primitive } from '../primitives/primitive.js'
import { softmaxCrossEntropyGradRow, softmaxCrossEntropyRow } from '../primitives/softmax.js'
import { full } from '../tensor/creation.js'
import { foldGrid, sameShape, sizeOf } from '../util/shape.js'
import { consumersOf, type Graph, isOp, type Node, number, removeDead } from './graph.js'
import { any, applies, type Bound, constant, microOf, type OpNode, op, type Pattern, symmetric, where } from './patterns.js'

/** What a node becomes: another node, or an operation of its own shape and type. */
type Rewritten = Node | { row?: unknown; params?: Params; inputs: Node[] }

interface Rule {
  name: string
  pattern: Pattern
  /** Undefined where the rule does not apply after all. */
  rewrite(bound: Bound, node: OpNode, readers: (node: Node) => number): Rewritten | undefined
}

/** A transpose of the last two axes and no others. */
const swapped = (inner: Pattern): Pattern =>
  where(op(transposeRow, inner), (node) => {
    const { permutation } = (node as OpNode).origin.params as { permutation: readonly number[] }
    const rank = permutation.length
    return permutation.every((axis, k) => axis === (k === rank - 1 ? rank - 2 : k === rank - 2 ? rank - 1 : k))
  })

const x = any('x')
const [a, b] = [any('a'), any('b')]
const flags = ({ origin }: OpNode) => origin.params as { transA: boolean; transB: boolean }
const elementwise: Pattern = (node) => microOf(node) !== undefined
const sameAs = (node: Node, other: Node) => sameShape(node.shape, other.shape) && node.dtype === other.dtype

const rules: readonly Rule[] = [
  {
    name: '(A·B)ᵀ → Bᵀ·Aᵀ, where nothing else reads A·B',
    pattern: swapped(where(op(matmulRow, a, b), (node) => node.inputs.length === 2)),
    rewrite: ({ a, b }, node, readers) => {
      const product = node.inputs[0] as OpNode
      if (readers(product) !== 1) return undefined
      const { transA, transB } = flags(product)
      return { row: matmulRow, params: { transA: !transB, transB: !transA }, inputs: [b as Node, a as Node] }
    },
  },
  {
    name: 'Aᵀ·B → a product that reads A transposed',
    pattern: op(matmulRow, swapped(a), b),
    rewrite: ({ a, b }, node) => ({ params: { ...flags(node), transA: !flags(node).transA }, inputs: [a as Node, b as Node] }),
  },
  {
    name: 'A·Bᵀ → a product that reads B transposed',
    pattern: op(matmulRow, a, swapped(b)),
    rewrite: ({ a, b }, node) => ({ params: { ...flags(node), transB: !flags(node).transB }, inputs: [a as Node, b as Node] }),
  },
  {
    name: 'f(broadcast(x), …) → f(x, …), where its grid still folds into two dimensions',
    pattern: elementwise,
    rewrite: (_, node) => {
      const at = node.inputs.findIndex((input, i) => applies(input, broadcastRow) && foldGrid(node.shape, shapesWithout(node, i)))
      return at < 0 ? undefined : { inputs: node.inputs.map((input, i) => (i === at ? (input.inputs[0] as Node) : input)) }
    },
  },
  {
    name: 'f(constant of equal elements, …) → f(number, …)',
    pattern: elementwise,
    rewrite: (_, node) => {
      const inputs = node.inputs.map(asNumber)
      return inputs.some((input, i) => input !== node.inputs[i]) ? { inputs } : undefined
    },
  },
  {
    name: 'sum over one element → reshape',
    pattern: op(sumRow, x),
    rewrite: ({ x }, node) => {
      const { first, last } = node.origin.params as { first: number; last: number }
      const { shape } = x as Node
      return sizeOf(shape.slice(first, last + 1)) === 1
        ? { row: reshapeRow, params: { shape: node.shape }, inputs: node.inputs }
        : undefined
    },
  },
  {
    name: 'sum of regions that together are the whole → concat',
    pattern: op('add', a, b),
    rewrite: (_, node, readers) => joined(node, readers),
  },
  { name: 'reshape(reshape(x)) → reshape(x)', pattern: op(reshapeRow, op(reshapeRow, x)), rewrite: ({ x }) => ({ inputs: [x as Node] }) },
  { name: 'stopGradient(x) → x', pattern: op(stopGradientRow, x), rewrite: ({ x }) => x },
  { name: 'reshape(x) → x, of that shape already', pattern: op(reshapeRow, x), rewrite: ({ x }, node) => repeated(x, node) },
  { name: 'broadcast(x) → x, of that shape already', pattern: op(broadcastRow, x), rewrite: ({ x }, node) => repeated(x, node) },
  { name: '1·x → x, of that shape already', pattern: symmetric('mul', constant(1), x), rewrite: ({ x }, node) => repeated(x, node) },
]

/** Regions in zeros, added up: where they cover an axis, one after the other, nothing is added. */
function joined(node: OpNode, readers: (node: Node) => number): Rewritten | undefined {
  const regions: OpNode[] = []
  const gather = (input: Node, top: boolean): boolean => {
    if (!sameAs(input, node)) return false
    if (applies(input, placeRow)) return regions.push(input) > 0
    return (top || readers(input) === 1) && microOf(input) === 'add' && input.inputs.every((part) => gather(part, false))
  }
  if (!gather(node, true)) return undefined
  const [first] = regions as [OpNode]
  const axis = node.shape.findIndex((n, i) => (first.inputs[0] as Node).shape[i] !== n)
  const start = (region: OpNode) => (region.origin.params as { starts: readonly number[] }).starts[axis] as number
  regions.sort((a, b) => start(a) - start(b))
  let end = 0
  for (const region of regions) {
    const { starts, steps } = region.origin.params as { starts: readonly number[]; steps: readonly number[] }
    const { shape } = region.inputs[0] as Node
    const whole = shape.every((n, i) => steps[i] === 1 && (i === axis ? starts[i] === end : starts[i] === 0 && n === node.shape[i]))
    if (axis < 0 || !whole) return undefined
    end += shape[axis] as number
  }
  return end === node.shape[axis]
    ? { row: concatRow, params: { axis }, inputs: regions.map((region) => region.inputs[0] as Node) }
    : undefined
}

const repeated = (input: Node | undefined, node: Node) => (input && sameAs(input, node) ? input : undefined)

/** The shapes that a node reads where what was broadcast at `at` is read itself. */
const shapesWithout = (node: Node, at: number) => node.inputs.map((input, i) => (i === at ? (input.inputs[0] as Node) : input).shape)

function asNumber(input: Node): Node {
  if (input.origin.kind !== 'constant' || sizeOf(input.shape) < 2) return input
  const { data } = input.origin.value
  if (!data.every((value: number) => value === data[0])) return input
  return { ...input, shape: [], origin: { kind: 'constant', value: full([], data[0] as number, { dtype: input.dtype }) } }
}

export function simplify(graph: Graph): void {
  removeDead(graph)
  const replaced = new Map<Node, Node>()
  const known = new Map<string, Node>()
  const rowIds = new Map<object, number>()
  const consumers = consumersOf(graph)
  const readers = (node: Node) => consumers.get(node)?.length ?? 0
  for (const node of graph.nodes) {
    node.inputs = node.inputs.map((input) => replaced.get(input) ?? input)
    if (node.origin.kind === 'part') {
      const key = `part ${node.origin.index} ${node.inputs[0]?.id}`
      const earlier = known.get(key)
      if (earlier) replaced.set(node, earlier)
      else known.set(key, node)
    }
    if (!isOp(node)) continue
    const other = rewrite(node, readers)
    if (other) {
      replaced.set(node, other)
      continue
    }
    const { primitive, params } = node.origin
    if (!rowIds.has(primitive)) rowIds.set(primitive, rowIds.size)
    const key = `${rowIds.get(primitive)} ${JSON.stringify(params)} ${node.shape} ${node.inputs.map((input) => input.id)}`
    const earlier = known.get(key)
    if (earlier) replaced.set(node, earlier)
    else known.set(key, node)
  }
  for (const effect of graph.effects) effect.value = replaced.get(effect.value) ?? effect.value
  removeDead(graph)
  takeWithGradient(graph)
}

/** A cross-entropy whose gradient is asked for, too, is a result of the same call, unless the gradient waits for it. */
function takeWithGradient(graph: Graph): void {
  let moved = false
  for (const gradient of graph.nodes) {
    if (!applies(gradient, softmaxCrossEntropyGradRow)) continue
    const [z, labels, g] = gradient.inputs as [Node, Node, Node]
    const value = graph.nodes.find((node) => applies(node, softmaxCrossEntropyRow) && node.inputs[0] === z && node.inputs[1] === labels)
    if (value === undefined || reads(g, value)) continue
    Object.assign(value, { origin: { kind: 'part', index: 1 }, inputs: [gradient] })
    moved = true
  }
  if (moved) order(graph)
}

/** Whether a node is computed from another. */
function reads(node: Node, other: Node): boolean {
  const met = new Set<Node>()
  const left = [node]
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (next === other) return true
    // What is older than the other does not read it.
    if (met.has(next) || next.id < other.id) continue
    met.add(next)
    left.push(...next.inputs)
  }
  return false
}

/** Puts every node after what it reads, and otherwise leaves them in their order. */
function order(graph: Graph): void {
  const placed = new Set<Node>()
  const nodes: Node[] = []
  for (const node of graph.nodes) {
    const left = [node]
    for (let next = left.at(-1); next !== undefined; next = left.at(-1)) {
      const missing = placed.has(next) ? undefined : next.inputs.find((input) => !placed.has(input))
      if (missing) {
        left.push(missing)
        continue
      }
      left.pop()
      if (placed.has(next)) continue
      placed.add(next)
      nodes.push(next)
    }
  }
  graph.nodes = nodes
  number(graph)
}

/** Rewrites a node until no rule applies; gives the node that it repeats, where it comes to that. */
function rewrite(node: OpNode, readers: (node: Node) => number): Node | undefined {
  for (let i = 0; i < rules.length; i++) {
    const { pattern, rewrite: apply } = rules[i] as Rule
    const bound: Bound = {}
    const found = pattern(node, bound) ? apply(bound, node, readers) : undefined
    if (found === undefined) continue
    if ('origin' in found) return found
    const { row = node.origin.primitive, params = node.origin.params, inputs } = found
    node.origin = { kind: 'op', primitive: row as Primitive, params }
    node.inputs = inputs
    i = -1
  }
  return undefined
}
