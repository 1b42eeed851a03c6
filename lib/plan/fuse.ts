/**
 * Fusion: neighbouring elementwise nodes become one *cluster*, one elementwise kernel call over one grid. Everything else
 * is a cluster of its own. Clusters are then ordered so that each comes after what it reads, and writers of state after
 * every reader of the old value.
 *
 * A node joins a cluster if all operands of both still fold into one two-dimensional grid, both compute in one type, and
 * no path leads out of the cluster and back into it.
 */

import { type ElementwiseOp, elementwiseLimits } from '../backend/program.js'
import { chainOf, computesInFloat32, microOps } from '../primitives/micro-ops.js'
import { foldGrid, type Shape, sameShape } from '../util/shape.js'
import { consumersOf, type Graph, isLoop, isOp, type Node, scalarConstant } from './graph.js'

/** The grid of calls that sum rows: see rowwise.ts. */
export interface Rows {
  readonly rows: number
  readonly cols: number
}

export interface Cluster {
  /** In graph order; one node unless elementwise, and the results of one that has several. */
  nodes: Node[]
  elementwise: boolean
  /** Where it sums rows, too: a rowwise call, of whose nodes some have one element a row. */
  rows?: Rows
  shape: Shape
  compute: 'float32' | 'float64'
}

/** Whether a node is made of micro-operations of the elementwise kernel. */
export function isElementwise(node: Node): boolean {
  return isOp(node) && microOps.has(node.origin.primitive)
}

/** The micro-operations of a node. */
export function chainOfNode(node: Node): readonly ElementwiseOp[] {
  const chain = isOp(node) && chainOf(node.origin.primitive, (node.inputs.at(-1) as Node).dtype, node.dtype)
  return chain || []
}

const computeType = (node: Node): 'float32' | 'float64' => (computesInFloat32(node.inputs, node) ? 'float32' : 'float64')

/** Whether one has a node that is computed again later than what the other computes. */
export function apartInTime(a: Cluster, b: Cluster): boolean {
  const nodes = [...a.nodes, ...b.nodes]
  const since = nodes.reduce((latest, node) => Math.max(latest, node.since ?? -1), -1)
  return since >= 0 && nodes.some(({ id }) => id < since)
}

/** What a cluster reads from outside, without repetition. */
export function operandsOf(cluster: Cluster): Node[] {
  const own = new Set(cluster.nodes)
  return [...new Set(cluster.nodes.flatMap((node) => node.inputs))].filter((input) => !own.has(input))
}

/** Fuses the elementwise nodes of a graph; returns every operation's cluster. */
export function fuse(graph: Graph): Cluster[] {
  const clusterOf = new Map<Node, Cluster>()
  const consumers = consumersOf(graph)
  const kept = new Set(graph.effects.map((effect) => effect.value))

  /** Whether two clusters can be one kernel call: one grid, one compute type, within the kernel's limits. */
  const fits = (a: Cluster, b: Cluster): boolean => {
    if (!sameShape(a.shape, b.shape) || a.compute !== b.compute || apartInTime(a, b)) return false
    const nodes = [...a.nodes, ...b.nodes]
    const operands = operandsOf({ ...a, nodes })
    const arrays = operands.filter((node) => scalarConstant(node) === undefined)
    const outputs = nodes.filter((node) => kept.has(node) || consumers.get(node)?.some((reader) => !nodes.includes(reader))).length
    const within =
      arrays.length <= elementwiseLimits.inputs &&
      operands.length - arrays.length <= elementwiseLimits.constants &&
      outputs <= elementwiseLimits.outputs &&
      nodes.reduce((n, node) => n + chainOfNode(node).length, 0) <= elementwiseLimits.ops
    const shapes = arrays.map((node) => node.shape)
    return within && foldGrid(a.shape, shapes) !== undefined
  }

  const spans: Spans = new Map()
  for (const node of graph.nodes) {
    if (node.origin.kind === 'part') {
      // It lies where the call that makes it puts it.
      const whole = clusterOf.get(node.inputs[0] as Node) as Cluster
      whole.nodes.push(node)
      clusterOf.set(node, whole)
      spans.set(whole, spanOf(whole))
      continue
    }
    if (isLoop(node)) clusterOf.set(node, { nodes: [node], elementwise: false, shape: node.shape, compute: 'float32' })
    if (!isOp(node)) continue
    const cluster: Cluster = { nodes: [node], elementwise: isElementwise(node), shape: node.shape, compute: computeType(node) }
    clusterOf.set(node, cluster)
    if (!cluster.elementwise) continue
    for (const input of node.inputs) {
      const other = clusterOf.get(input)
      const own = clusterOf.get(node) as Cluster
      if (other === undefined || other === own || !other.elementwise || !fits(other, own)) continue
      // Once the node has joined a cluster, the next one may lie on either side of that.
      if (reaches(own, other, clusterOf, spans) || (own.nodes.length > 1 && reaches(other, own, clusterOf, spans))) continue
      for (const member of own.nodes) {
        other.nodes.push(member)
        clusterOf.set(member, other)
      }
      spans.set(other, spanOf(other))
      spans.delete(own)
    }
  }
  sink(graph, clusterOf, consumers, kept, fits)
  const clusters = [...new Set(clusterOf.values())].filter((cluster) => cluster.nodes.length > 0)
  for (const cluster of clusters) if (cluster.elementwise) cluster.nodes.sort((a, b) => a.id - b.id)
  return clusters
}

/**
 * Moves nodes down into the one cluster that reads them, where that stores no more values than before: a derivative such
 * as 1 − y² is then computed in the backward pass from the saved y, not stored beside it in the forward pass.
 */
function sink(
  graph: Graph,
  clusterOf: Map<Node, Cluster>,
  consumers: ReadonlyMap<Node, Node[]>,
  kept: ReadonlySet<Node>,
  fits: (a: Cluster, b: Cluster) => boolean,
): void {
  const stored = (node: Node) =>
    !clusterOf.has(node) || kept.has(node) || consumers.get(node)?.some((reader) => clusterOf.get(reader) !== clusterOf.get(node))
  for (const node of [...graph.nodes].reverse()) {
    const own = clusterOf.get(node)
    const readers = new Set(consumers.get(node)?.map((reader) => clusterOf.get(reader)))
    const [target] = readers
    if (!own?.elementwise || kept.has(node) || readers.size !== 1 || !target?.elementwise || target === own) continue
    const alone: Cluster = { ...own, nodes: [node] }
    const newlyStored = node.inputs.filter((input) => !stored(input) && scalarConstant(input) === undefined).length
    if (newlyStored > 1 || !fits(alone, target)) continue
    own.nodes = own.nodes.filter((member) => member !== node)
    target.nodes.push(node)
    clusterOf.set(node, target)
  }
}

/** The first and the last of the nodes of each cluster that has more than one. */
type Spans = Map<Cluster, readonly [first: number, last: number]>

export const spanOf = ({ nodes }: Cluster): readonly [number, number] =>
  nodes.reduce(([first, last], { id }) => [Math.min(first, id), Math.max(last, id)], [Infinity, -1])

/** Whether a path from `below` to `above` leaves `below`: merging the two would then close a circle. */
export function reaches(above: Cluster, below: Cluster, clusterOf: Map<Node, Cluster>, spans: Spans): boolean {
  const seen = new Set<Cluster>()
  // No cluster lies on both sides of this place: what stands before it reads nothing of `below`.
  let oldest = spanOf(below)[0]
  for (let before = Infinity; oldest < before; ) {
    before = oldest
    for (const [first, last] of spans.values()) if (last >= oldest && first < oldest) oldest = first
  }
  const stack: Cluster[] = []
  const expand = (cluster: Cluster, direct: boolean) => {
    // Looked at as they stand, without a list of them: this is the inner loop of compiling a deep network.
    for (const node of cluster.nodes) {
      for (const operand of node.inputs) {
        const next = clusterOf.get(operand)
        if (next === undefined || next === cluster || seen.has(next) || (direct && next === below)) continue
        seen.add(next)
        stack.push(next)
      }
    }
  }
  expand(above, true)
  for (let cluster = stack.pop(); cluster !== undefined; cluster = stack.pop()) {
    if (cluster === below) return true
    if (cluster.nodes.every((node) => node.id < oldest)) continue
    expand(cluster, false)
  }
  return false
}
