/**
 * The update of a weight folded into the product that makes its gradient: S ← S ± s·(A·B) becomes one accumulating product
 * on S itself, saving the gradient's buffer and a pass over both. It applies by dependence alone: where the product is
 * read by nothing else (clipping, reports or tied weights read it), what is assigned is S plus a multiple of it, and the
 * product reads no state that is assigned.
 */

import { matmulRow } from '../primitives/linalg.js'
import { microOps } from '../primitives/micro-ops.js'
import { sameShape } from '../util/shape.js'
import { consumersOf, type Graph, isOp, type Node, removeDead, scalarConstant, sizeOfNode } from './graph.js'
import { applies } from './simplify.js'
import { baseOf } from './views.js'

/** state[slot] += alpha · scale · (the product `value`), by the product's own kernel. */
export interface Accumulation {
  slot: number
  value: Node
  alpha: number
  /** A run-time factor of one element. */
  scale?: Node
}

/** Takes the foldable assignments out of the graph's effects and returns them. */
export function foldUpdates(graph: Graph): Accumulation[] {
  const consumers = consumersOf(graph)
  const roots = new Set(graph.effects.map((effect) => effect.value))
  const assigned = new Set(graph.effects.flatMap((effect) => (effect.kind === 'assign' ? [effect.slot] : [])))
  // What a product accumulates on is written while its operands are read: none of them may lie in what this program assigns.
  const keeps = (node: Node) => {
    const { origin } = baseOf(node)
    return origin.kind === 'state' && assigned.has(origin.slot)
  }
  const single = (node: Node) => consumers.get(node)?.length === 1 && !roots.has(node)
  const folded: Accumulation[] = []
  graph.effects = graph.effects.filter((effect) => {
    if (effect.kind !== 'assign' || (consumers.get(effect.value)?.length ?? 0) > 0) return true
    const found = match(effect.value, effect.slot)
    if (!found || graph.effects.some((other) => other !== effect && other.value === effect.value)) return true
    // Everything between the product and the assignment is read by nobody else.
    if (!found.path.every(single)) return true
    if ([...found.product.inputs, ...(found.scale ? [found.scale] : [])].some(keeps)) return true
    folded.push({ slot: effect.slot, value: found.product, alpha: found.alpha, ...(found.scale ? { scale: found.scale } : {}) })
    return false
  })
  const values = graph.effects
  graph.effects = [
    ...values,
    ...folded.map(({ slot, value }) => ({ kind: 'assign' as const, slot, value })),
    ...folded.flatMap(({ slot, scale }) => (scale ? [{ kind: 'assign' as const, slot, value: scale }] : [])),
  ]
  removeDead(graph)
  graph.effects = values
  return folded
}

interface Match {
  product: Node
  alpha: number
  scale?: Node
  path: Node[]
}

function match(value: Node, slot: number): Match | undefined {
  const op = microOf(value)
  if (op !== 'add' && op !== 'sub') return undefined
  const [left, right] = value.inputs as [Node, Node]
  const isOld = (node: Node) => node.origin.kind === 'state' && node.origin.slot === slot
  if (isOld(left) && !isOld(right)) return scaled(right, op === 'sub' ? -1 : 1, value)
  if (op === 'add' && isOld(right) && !isOld(left)) return scaled(left, 1, value)
  return undefined
}

/** Recognises s·(A·B), s being a product of constants and at most one run-time scalar. */
function scaled(term: Node, alpha: number, target: Node): Match | undefined {
  const path: Node[] = []
  let factor = alpha
  let scale: Node | undefined
  for (let node = term; ; ) {
    if (!sameShape(node.shape, target.shape) || node.dtype !== target.dtype) return undefined
    path.push(node)
    if (applies(node, matmulRow))
      return node.shape.length === 2 ? { product: node, alpha: factor, path, ...(scale ? { scale } : {}) } : undefined
    const op = microOf(node)
    if (op === 'neg') {
      factor = -factor
      node = node.inputs[0] as Node
      continue
    }
    if (op !== 'mul') return undefined
    const [a, b] = node.inputs as [Node, Node]
    const [big, small] = sizeOfNode(b) === 1 ? [a, b] : [b, a]
    if (sizeOfNode(small) !== 1) return undefined
    const constant = scalarConstant(small)
    if (constant !== undefined) factor *= constant
    else if (scale === undefined && small.dtype === target.dtype) scale = small
    else return undefined
    node = big
  }
}

const microOf = (node: Node) => (isOp(node) ? microOps.get(node.origin.primitive) : undefined)
