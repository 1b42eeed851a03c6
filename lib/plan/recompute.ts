/**
 * Large values that are computed again where the backward pass reads them, rather than kept from the forward pass until then: what
 * cheap elementwise operations make of values that are kept anyway. Of x·Φ(x) the x stays, and not Φ(x), nor x·Φ(x) for the weights
 * behind it; of a normalisation its centred rows, and not what they become. The operations are the same, and so are the bits.
 *
 * A value is computed again if its readers stand in two groups with much between them, and all that it is made of is there when
 * the later group comes, or is itself made so. `since` keeps `fuse` from joining such a node with what stands before it.
 */

import type { ElementwiseOp } from '../backend/program.js'
import { reshapeRow } from '../primitives/movement.js'
import { bytesPerElement } from '../util/dtype.js'
import { sameShape } from '../util/shape.js'
import { chainOfNode, isElementwise } from './fuse.js'
import { type Graph, isMade, type Node, number, sizeOfNode } from './graph.js'
import { applies } from './patterns.js'
import { isView } from './views.js'

/** From where on it pays. */
export const worth = {
  /** Bytes of a value: less may stay in a cache until then. */
  leastBytes: 1 << 20,
  /** Calls that are no elementwise ones between its readers: where there are fewer, nothing else needs its memory. */
  farApart: 8,
}
/** Operations for a value computed again, at most. */
const mostOps = 12
/** What is so much smaller than a value made of it is kept. */
const small = 8

/** What takes longer than writing and reading a value; of the second list, in double precision alone. */
const dear: ReadonlySet<ElementwiseOp> = new Set<ElementwiseOp>([
  'log1p',
  'sin',
  'cos',
  'tan',
  'asin',
  'acos',
  'atan',
  'asinh',
  'acosh',
  'atanh',
  'sinh',
  'cosh',
  'pow',
  'atan2',
  'mod',
  'powInt32',
])
const dearInDouble: ReadonlySet<ElementwiseOp> = new Set<ElementwiseOp>(['erf', 'expm1', 'tanh', 'softplus', 'logSigmoid'])

/** Decides and rewrites; nodes are numbered anew where one is computed again. */
export function recompute(graph: Graph): void {
  if (graph.nodes.every((node) => !isLarge(node))) return
  const { readers, timeOf, callsBefore } = look(graph)
  const kept = new Set(graph.effects.map(({ value }) => value))
  /** Copies, by the number of the node that they come before. */
  const ahead = new Map<number, Node[]>()

  /** What reads a value, views of it left out. */
  const usesOf = (node: Node): Node[] => [...(readers.get(node) ?? [])].flatMap((reader) => (isReshape(reader) ? usesOf(reader) : [reader]))
  const lastUse = (node: Node): number =>
    Math.max(...[...(readers.get(node) ?? [])].map((reader) => (isView(reader) ? lastUse(reader) : timeOf(reader))), -1)

  /** The operations that make a node again at a time, all that is missing included. */
  const opsFor = (node: Node, at: number): number => {
    if (!isElementwise(node) || !isCheap(node)) return Infinity
    let ops = chainOfNode(node).length
    for (const input of node.inputs) {
      const source = sourceOf(input)
      if (!isMade(source) || sizeOfNode(source) * small <= sizeOfNode(node) || lastUse(source) >= at) continue
      ops += opsFor(source, at)
      if (ops > mostOps) return Infinity
    }
    return ops
  }
  /** The later group of a node's readers, where it is far away. */
  const lateUses = (node: Node): Node[] => {
    const uses = usesOf(node).sort((a, b) => timeOf(a) - timeOf(b))
    let [widest, from] = [worth.farApart - 1, uses.length]
    for (let i = 1; i < uses.length; i++) {
      const between = callsBefore(uses[i] as Node) - callsBefore(uses[i - 1] as Node)
      if (between > widest) [widest, from] = [between, i]
    }
    return uses.slice(from)
  }
  const copyOf = (node: Node, inputs: readonly Node[], at: number): Node => {
    const copy: Node = { ...node, inputs: [...inputs], since: at }
    for (const input of new Set(inputs)) readers.get(input)?.add(copy)
    readers.set(copy, new Set())
    return copy
  }
  /** Lets a reader read the copy of a node where it read the node, under the same shape. */
  const redirect = (reader: Node, node: Node, copy: Node, views: Node[], at: number): void => {
    reader.inputs = reader.inputs.map((input) => {
      if (sourceOf(input) !== node) return input
      readers.get(input)?.delete(reader)
      let seen = copy
      if (input !== node) {
        const known = views.find(({ shape }) => sameShape(shape, input.shape))
        seen = known ?? copyOf(input, [copy], at)
        if (known === undefined) views.push(seen)
      }
      readers.get(seen)?.add(reader)
      return seen
    })
  }

  // Readers first: what they are made of is then read where they are computed again.
  for (const node of [...graph.nodes].reverse()) {
    if (!isLarge(node) || kept.has(node) || usesOf(node).some(isView)) continue
    const late = lateUses(node)
    const [first] = late
    if (first === undefined) continue
    const at = timeOf(first)
    if (opsFor(node, at) > mostOps) continue
    const copy = copyOf(node, node.inputs, at)
    const views: Node[] = []
    for (const reader of late) redirect(reader, node, copy, views, at)
    ahead.set(at, [copy, ...views, ...(ahead.get(at) ?? [])])
  }
  if (ahead.size === 0) return
  const nodes = graph.nodes.flatMap((node) => [...(ahead.get(node.id) ?? []), node])
  // What views of a value were for may have moved to its copy.
  graph.nodes = nodes.filter((node) => !isReshape(node) || kept.has(node) || readers.get(node)?.size !== 0)
  const firstAt = new Map<number, number>()
  graph.nodes.forEach((node, id) => {
    if (node.since !== undefined && !firstAt.has(node.since)) firstAt.set(node.since, id)
  })
  for (const node of graph.nodes) if (node.since !== undefined) node.since = firstAt.get(node.since)
  number(graph)
}

const isReshape = (node: Node): boolean => applies(node, reshapeRow)
const isLarge = (node: Node): boolean => isElementwise(node) && sizeOfNode(node) * bytesPerElement[node.dtype] >= worth.leastBytes
const isCheap = (node: Node): boolean =>
  chainOfNode(node).every((op) => !dear.has(op) && (node.dtype !== 'float64' || !dearInDouble.has(op)))

function sourceOf(node: Node): Node {
  let source = node
  while (isReshape(source)) source = source.inputs[0] as Node
  return source
}

/** Readers, the time of each node (of a copy, that of the reader it is made for), and how many calls come before it. */
function look(graph: Graph) {
  const readers = new Map<Node, Set<Node>>(graph.nodes.map((node) => [node, new Set()]))
  for (const node of graph.nodes) for (const input of node.inputs) readers.get(input)?.add(node)
  const calls: number[] = []
  let count = 0
  for (const node of graph.nodes) {
    calls[node.id] = count
    if (isMade(node) && node.origin.kind === 'op' && !isElementwise(node) && !isView(node)) count++
  }
  const timeOf = (node: Node): number => node.since ?? node.id
  return { readers, timeOf, callsBefore: (node: Node): number => calls[timeOf(node)] as number }
}
