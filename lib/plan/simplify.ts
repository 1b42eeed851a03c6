/**
 * Passes that make the graph smaller before anything is fused: equal entries are shared, copies that move nothing vanish,
 * transposes move into the products that read them, broadcasts into the elementwise operations. Each keeps the values' bits.
 */

import { broadcastRow, sumRow } from '../primitives/broadcast.js'
import { matmulRow } from '../primitives/linalg.js'
import { microOps } from '../primitives/micro-ops.js'
import { reshapeRow, stopGradientRow, transposeRow } from '../primitives/movement.js'
import { full } from '../tensor/creation.js'
import { foldGrid, sameShape, sizeOf } from '../util/shape.js'
import { consumersOf, type Graph, isOp, type Node, removeDead, scalarConstant } from './graph.js'

type Row = { readonly name: string }
export type OpNode = Node & { origin: Extract<Node['origin'], { kind: 'op' }> }

/** Whether a node applies this row. */
export function applies(node: Node, row: Row): boolean {
  return isOp(node) && (node.origin.primitive as Row) === row
}

export function simplify(graph: Graph): void {
  removeDead(graph)
  const replaced = new Map<Node, Node>()
  const known = new Map<string, Node>()
  const rowIds = new Map<object, number>()
  const consumers = consumersOf(graph)
  for (const node of graph.nodes) {
    node.inputs = node.inputs.map((input) => replaced.get(input) ?? input)
    if (!isOp(node)) continue
    transposeProduct(node, consumers)
    absorbTransposes(node)
    absorbBroadcasts(node)
    shrinkConstants(node)
    skipReshapes(node)
    const same = shortcut(node)
    if (same) {
      replaced.set(node, same)
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
}

/** The input that a node merely repeats, if it does. */
function shortcut(node: OpNode): Node | undefined {
  const [x] = node.inputs
  if (x === undefined) return undefined
  if (applies(node, stopGradientRow)) return x
  if ((applies(node, reshapeRow) || applies(node, broadcastRow)) && sameShape(x.shape, node.shape)) return x
  if (microOps.get(node.origin.primitive) === 'mul') {
    for (const [one, other] of [node.inputs, [...node.inputs].reverse()] as [Node, Node][]) {
      if (scalarConstant(one) === 1 && sameShape(other.shape, node.shape) && other.dtype === node.dtype) return other
    }
  }
  return undefined
}

/** Reshapes of reshapes read the first; a sum over one element is a reshape. */
function skipReshapes(node: OpNode): void {
  const [x] = node.inputs as [Node]
  if (applies(node, sumRow)) {
    const { first, last } = node.origin.params as { first: number; last: number }
    if (sizeOf(x.shape.slice(first, last + 1)) === 1)
      node.origin = { kind: 'op', primitive: reshapeRow as never, params: { shape: node.shape } }
  }
  while (applies(node, reshapeRow) && applies(node.inputs[0] as Node, reshapeRow))
    node.inputs = [(node.inputs[0] as Node).inputs[0] as Node]
}

/** Whether a node transposes the last two axes and no others. */
function swapsLast(node: Node): boolean {
  if (!applies(node, transposeRow)) return false
  const { permutation } = (node as OpNode).origin.params as { permutation: readonly number[] }
  const rank = permutation.length
  return permutation.every((axis, k) => axis === (k === rank - 1 ? rank - 2 : k === rank - 2 ? rank - 1 : k))
}

/** (A·B)ᵀ is made as Bᵀ·Aᵀ, where nothing else reads A·B. */
function transposeProduct(node: OpNode, consumers: ReadonlyMap<Node, readonly Node[]>): void {
  const [product] = node.inputs as [Node]
  if (!swapsLast(node) || !applies(product, matmulRow) || consumers.get(product)?.length !== 1) return
  const { primitive, params } = (product as OpNode).origin
  node.origin = { kind: 'op', primitive, params: { transA: !params.transB, transB: !params.transA } }
  node.inputs = [...product.inputs].reverse()
}

/** A product that reads a matrix transposed in its last two axes reads the matrix itself instead. */
function absorbTransposes(node: OpNode): void {
  if (!applies(node, matmulRow)) return
  const flags = ['transA', 'transB'] as const
  flags.forEach((flag, i) => {
    for (let input = node.inputs[i] as Node; swapsLast(input); input = node.inputs[i] as Node) {
      node.inputs = node.inputs.map((own, k) => (k === i ? (input.inputs[0] as Node) : own))
      node.origin = { ...node.origin, params: { ...node.origin.params, [flag]: !node.origin.params[flag] } }
    }
  })
}

/** An elementwise operation reads a constant of equal elements as one number. */
function shrinkConstants(node: OpNode): void {
  if (!microOps.has(node.origin.primitive)) return
  node.inputs = node.inputs.map((input) => {
    if (input.origin.kind !== 'constant' || sizeOf(input.shape) < 2) return input
    const { data } = input.origin.value
    if (!data.every((x: number) => x === data[0])) return input
    const value = full([], data[0] as number, { dtype: input.dtype })
    return { ...input, shape: [], origin: { kind: 'constant', value } }
  })
}

/** An elementwise operation reads what was broadcast, where its grid can still be folded into two dimensions. */
function absorbBroadcasts(node: OpNode): void {
  if (!microOps.has(node.origin.primitive)) return
  node.inputs.forEach((input, i) => {
    if (!applies(input, broadcastRow)) return
    const inputs = node.inputs.map((own, k) => (k === i ? (input.inputs[0] as Node) : own))
    const shapes = inputs.map((own) => own.shape)
    if (foldGrid(node.shape, shapes)) node.inputs = inputs
  })
}
