/**
 * Sums of rows and the elementwise calls before and after them, along the same rows, become one call: a normalisation with its
 * statistics, or its gradient. An operand is read and a result written once; what is between them, the mean of a row and its
 * centred elements, never leaves the cache. It comes after `fuse`, and matches clusters by the grid that they share.
 */

import type { Call } from '../backend/program.js'
import { elementwiseLimits, rowLayouts, sumOfRow } from '../backend/program.js'
import { sumRow } from '../primitives/broadcast.js'
import { wordsOf } from '../primitives/micro-ops.js'
import { reshapeRow } from '../primitives/movement.js'
import { isFloat } from '../util/dtype.js'
import { around, foldGrid } from '../util/shape.js'
import { apartInTime, type Cluster, chainOfNode, isElementwise, type Rows, reaches, spanOf } from './fuse.js'
import { consumersOf, type Graph, type Node, scalarConstant, sizeOfNode } from './graph.js'
import { applies } from './patterns.js'

/** Elements of a row at most: some of them have to fit into a cache. And of a grid at least: below, other ways are faster. */
const longestRow = 4096
const smallestGrid = 1024
const fewestRows = 8

type Layout = (typeof rowLayouts)[number]

/** What a member of a call reads, and how it lies on the grid. */
interface Read {
  readonly node: Node
  readonly layout: Layout
}

const isView = (node: Node) => applies(node, reshapeRow)

/** The rows that a node sums, where it does and this is worth it. */
function rowsOf(node: Node): Rows | undefined {
  if (!applies(node, sumRow) || !isFloat(node.dtype)) return undefined
  const { first, last } = node.origin.params as { first: number; last: number }
  const [rows, cols, inner] = around((node.inputs[0] as Node).shape, first, last)
  const worth = inner === 1 && cols > 1 && cols <= longestRow && rows >= fewestRows && rows * cols >= smallestGrid
  return worth ? { rows, cols } : undefined
}

/** How a member reads its operands on a grid, or undefined where it has no place on it. */
function readsOn({ rows, cols }: Rows, node: Node): readonly Read[] | undefined {
  if (isView(node)) return []
  if (!isElementwise(node)) return node.inputs.map((input) => ({ node: input, layout: 'dense' }))
  const size = sizeOfNode(node)
  const grid = foldGrid(
    node.shape,
    node.inputs.map(({ shape }) => shape),
  )
  if (grid === undefined || (size !== rows && size !== rows * cols)) return undefined
  if (grid.rows > 1 && (size === rows || grid.cols !== cols)) return undefined
  return node.inputs.map((input, i) => {
    const [row, col] = grid.strides[i] as readonly [number, number]
    if (row === 0 && col === 0) return { node: input, layout: 'single' }
    if (row === 0) return { node: input, layout: 'row' }
    return { node: input, layout: col === 0 || size === rows ? 'column' : 'dense' }
  })
}

/** What members read from outside of them, each way of reading once; undefined where they do not fit on one grid together. */
function operandsOn(grid: Rows, nodes: readonly Node[]): Read[] | undefined {
  const own = new Set(nodes)
  const outside = new Map<Node, Map<Layout, Read>>()
  for (const node of nodes) {
    const reads = readsOn(grid, node)
    if (reads === undefined) return undefined
    for (const read of reads) {
      if (own.has(read.node)) {
        if (read.layout !== (sizeOfNode(read.node) === grid.rows ? 'column' : 'dense')) return undefined
        continue
      }
      const ways = outside.get(read.node) ?? new Map<Layout, Read>()
      if (!ways.has(read.layout)) ways.set(read.layout, read)
      outside.set(read.node, ways)
    }
  }
  return [...outside.values()].flatMap((ways) => [...ways.values()])
}

/** Joins clusters around sums of rows; returns those that are left. */
export function joinRows(graph: Graph, clusters: readonly Cluster[]): Cluster[] {
  const sums = graph.nodes.filter((node) => rowsOf(node))
  if (sums.length === 0) return [...clusters]
  const consumers = consumersOf(graph)
  const kept = new Set(graph.effects.map(({ value }) => value))
  const clusterOf = new Map(clusters.flatMap((cluster) => cluster.nodes.map((node) => [node, cluster] as const)))
  const spans = new Map(clusters.flatMap((cluster) => (cluster.nodes.length > 1 ? [[cluster, spanOf(cluster)] as const] : [])))

  /** Views of members belong to them: nothing is done for them, and what reads them reads a member. */
  const withViews = (nodes: readonly Node[]): Node[] => {
    const all = [...nodes]
    for (const node of all) for (const reader of consumers.get(node) ?? []) if (isView(reader) && !all.includes(reader)) all.push(reader)
    return all
  }
  const within = (grid: Rows, nodes: readonly Node[]): boolean => {
    const operands = operandsOn(grid, nodes)
    if (operands === undefined) return false
    const own = new Set(nodes)
    const constants = operands.filter(({ node }) => scalarConstant(node) !== undefined).length
    const outputs = nodes.filter((node) => !isView(node) && (kept.has(node) || consumers.get(node)?.some((reader) => !own.has(reader))))
    const ops = nodes.reduce((n, node) => n + (isElementwise(node) ? chainOfNode(node).length : 1), 0)
    return (
      operands.length - constants <= elementwiseLimits.inputs &&
      constants <= elementwiseLimits.constants &&
      outputs.length <= elementwiseLimits.outputs &&
      ops <= elementwiseLimits.ops
    )
  }
  /** Puts what `above` computes into the call of `below`, which it reads, where no other way leads from one to the other. */
  const join = (below: Cluster, above: Cluster, grid: Rows): boolean => {
    if (below === above || below.compute !== above.compute || (above.rows && !sameRows(above.rows, grid))) return false
    if (apartInTime(below, above)) return false
    const nodes = withViews([...below.nodes, ...above.nodes])
    if (!within(grid, nodes)) return false
    absorb(below, withViews(below.nodes))
    if (reaches(above, below, clusterOf, spans)) return false
    absorb(below, nodes)
    Object.assign(below, { elementwise: true, rows: grid, shape: [grid.rows, grid.cols] })
    return true
  }
  const absorb = (cluster: Cluster, nodes: Node[]): void => {
    for (const node of nodes) {
      const other = clusterOf.get(node)
      if (other && other !== cluster) {
        other.nodes = other.nodes.filter((member) => member !== node)
        spans.delete(other)
        if (other.nodes.length > 1) spans.set(other, spanOf(other))
      }
      clusterOf.set(node, cluster)
    }
    cluster.nodes = nodes
    if (nodes.length > 1) spans.set(cluster, spanOf(cluster))
  }

  for (const sum of sums) {
    const grid = rowsOf(sum) as Rows
    let whole = clusterOf.get(sum) as Cluster
    Object.assign(whole, { compute: sum.dtype })
    const source = clusterOf.get(sourceOf(sum.inputs[0] as Node))
    if (source?.elementwise && (source.rows === undefined || sameRows(source.rows, grid)) && join(source, whole, grid)) whole = source
    for (let grown = true; grown; ) {
      const readers = new Set(withViews(whole.nodes).flatMap((node) => (consumers.get(node) ?? []).map((reader) => clusterOf.get(reader))))
      grown = [...readers].some((reader) => reader?.elementwise && join(whole, reader, grid))
    }
  }
  return [...new Set(clusterOf.values())].filter(({ nodes }) => nodes.length > 0).map(inOrder)
}

const sameRows = (a: Rows, b: Rows) => a.rows === b.rows && a.cols === b.cols

const inOrder = (cluster: Cluster): Cluster => {
  if (cluster.rows) cluster.nodes.sort((a, b) => a.id - b.id)
  return cluster
}

function sourceOf(node: Node): Node {
  let source = node
  while (isView(source)) source = source.inputs[0] as Node
  return source
}

/** The call of a cluster with rows; `made` are the nodes whose values are written out. */
export function rowwiseCall(cluster: Cluster, made: readonly Node[]): { call: Call; operands: Node[] } {
  const grid = cluster.rows as Rows
  const outside = operandsOn(grid, cluster.nodes) as Read[]
  const scalars = outside.filter(({ node }) => scalarConstant(node) !== undefined)
  const operands = outside.filter(({ node }) => scalarConstant(node) === undefined)
  const registers = new Map<string, number>()
  const key = ({ node, layout }: Read) => `${node.id} ${layout}`
  for (const read of [...operands, ...scalars]) registers.set(key(read), registers.size)
  const own = new Map<Node, number>()
  let next = registers.size
  const ops: number[] = []
  for (const node of cluster.nodes) {
    if (isView(node)) {
      own.set(node, own.get(node.inputs[0] as Node) as number)
      continue
    }
    const from = (readsOn(grid, node) as Read[]).map((read) => own.get(read.node) ?? (registers.get(key(read)) as number))
    const words = isElementwise(node) ? wordsOf(chainOfNode(node), from, next) : [sumOfRow, from[0] as number, 0, 0]
    ops.push(...words)
    next += words.length / 4
    own.set(node, next - 1)
  }
  const call: Call = {
    kernel: 'rowwise',
    ints: [
      cluster.compute === 'float32' ? 0 : 1,
      grid.rows,
      grid.cols,
      operands.length,
      made.length,
      scalars.length,
      ops.length / 4,
      ...operands.map(({ layout }) => rowLayouts.indexOf(layout)),
      ...made.map((node) => own.get(node) as number),
      ...ops,
    ],
    scalars: scalars.map(({ node }) => scalarConstant(node) as number),
  }
  return { call, operands: operands.map(({ node }) => node) }
}
