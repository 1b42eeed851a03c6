/**
 * One grid for elementwise nodes that work on the same elements under several shapes, as a layer of rows and a residual of
 * sequences do: they take one shape of two axes, and reshapes stand only where other operations read them. So they can become
 * one call. A node joins those that make its operands if what it repeats can be repeated on their grid.
 */

import { reshapeRow } from '../primitives/movement.js'
import type { Primitive } from '../primitives/primitive.js'
import { foldGrid, type Grid, type Shape, sameShape } from '../util/shape.js'
import { isElementwise } from './fuse.js'
import { type Graph, type Node, number, sizeOfNode } from './graph.js'
import { applies } from './patterns.js'

interface Group {
  readonly size: number
  /** Of nodes that repeat rows or columns: their length. */
  cols: number | undefined
  nodes: Node[]
}

/** The node whose elements these are, under whatever shape. */
function sourceOf(node: Node): Node {
  let source = node
  while (applies(source, reshapeRow)) source = source.inputs[0] as Node
  return source
}

/** Elementwise nodes by what they work on, with the grid of each. */
function groupsOf(graph: Graph): { groupOf: Map<Node, Group>; grids: Map<Node, Grid> } {
  const groupOf = new Map<Node, Group>()
  const grids = new Map<Node, Grid>()
  for (const node of graph.nodes) {
    const size = sizeOfNode(node)
    if (size < 2 || !isElementwise(node)) continue
    const shapes = node.inputs.map(({ shape }) => shape)
    const grid = foldGrid(node.shape, shapes)
    if (grid === undefined) continue
    grids.set(node, grid)
    let own: Group = { size, cols: grid.rows > 1 ? grid.cols : undefined, nodes: [node] }
    groupOf.set(node, own)
    for (const input of node.inputs) {
      const other = groupOf.get(sourceOf(input))
      if (other === undefined || other === own || other.size !== size) continue
      if (own.cols !== undefined && other.cols !== undefined && own.cols !== other.cols) continue
      other.cols ??= own.cols
      for (const member of own.nodes) {
        other.nodes.push(member)
        groupOf.set(member, other)
      }
      own = other
    }
  }
  return { groupOf, grids }
}

/** Gives every group of several shapes one. */
export function unifyGrids(graph: Graph): void {
  const { groupOf, grids } = groupsOf(graph)
  const targets = new Map<Group, Shape>()
  for (const group of new Set(groupOf.values())) {
    const [first] = group.nodes as [Node]
    if (group.nodes.every(({ shape }) => sameShape(shape, first.shape))) continue
    targets.set(group, group.cols === undefined ? [group.size] : [group.size / group.cols, group.cols])
  }
  if (targets.size === 0) return
  const targetOf = (node: Node) => targets.get(groupOf.get(node) as Group)

  const nodes: Node[] = []
  const seenAs = (node: Node, shape: Shape): Node => {
    const source = sourceOf(node)
    if (sameShape(source.shape, shape)) return source
    const { dtype, scope } = source
    const primitive = reshapeRow as unknown as Primitive
    const view: Node = { id: -1, origin: { kind: 'op', primitive, params: { shape } }, inputs: [source], shape, dtype, scope }
    nodes.push(view)
    return view
  }
  /** What others read of nodes that have changed their shape. */
  const restored = new Map<Node, Node>()
  for (const node of graph.nodes) {
    const target = targetOf(node)
    if (target === undefined) {
      if (!applies(node, reshapeRow)) node.inputs = node.inputs.map((input) => restored.get(input) ?? input)
      nodes.push(node)
      continue
    }
    const { strides } = grids.get(node) as Grid
    const [rows, cols] = target.length === 2 ? (target as [number, number]) : [1, target[0] as number]
    node.inputs = node.inputs.map((input, i) => {
      const [row, col] = strides[i] as readonly [number, number]
      if (row === 0 && col === 0) return input
      return seenAs(input, row === 0 ? [cols] : col === 0 ? [rows, 1] : target)
    })
    const before = node.shape
    node.shape = target
    nodes.push(node)
    if (!sameShape(before, target)) restored.set(node, seenAs(node, before))
  }
  // Views that nothing reads would count as readers themselves.
  const views = new Set(restored.values())
  const read = new Set(nodes.flatMap(({ inputs }) => inputs))
  graph.nodes = nodes.filter((node) => !views.has(node) || read.has(node))
  number(graph)
}
