/** Passes over loops. */

import { type Carry, type Effect, type Graph, isLoop, type Loop, type Node, removeDead, replace } from './graph.js'
import { settleLayouts } from './layouts.js'
import { move } from './loop-motion.js'
import { share } from './loop-sharing.js'
import { simplify } from './simplify.js'

/** Layouts and rewrites of a graph and of the bodies in it. */
export function tidy(graph: Graph): void {
  settleLayouts(graph)
  simplify(graph)
  for (const node of graph.nodes) if (isLoop(node)) tidy(node.origin.loop.body)
}

/** What passes make of the loops of a graph, the inner ones first. */
export function settleLoops(graph: Graph): void {
  if (!graph.nodes.some(isLoop)) return
  for (const node of graph.nodes) if (isLoop(node)) settleLoops(node.origin.loop.body)
  pruneAll(graph)
  share(graph)
  pruneAll(graph)
  for (const node of graph.nodes.filter(isLoop)) move(graph, node)
  pruneAll(graph)
  tidy(graph)
}

/** The parts of a loop's results that are read, by index. */
export function partsOf(graph: Graph, node: Node): Map<number, Node> {
  const parts = new Map<number, Node>()
  for (const part of graph.nodes) if (part.origin.kind === 'part' && part.inputs[0] === node) parts.set(part.origin.index, part)
  return parts
}

/** Lets go what no result that is read needs: stacks, carries, operands. A carry that does not change is an operand. */
export function prune(graph: Graph, node: Node): void {
  const { loop } = node.origin as { loop: Loop }
  const { body, carries } = loop
  const parts = partsOf(graph, node)
  body.effects = body.effects.filter((effect) => {
    if (effect.kind !== 'assign') return true
    const { slot, value } = effect
    if (value.origin.kind !== 'state' || value.origin.slot !== slot) return true
    const { first } = carries[slot] as Carry
    for (const { origin } of body.nodes)
      if (origin.kind === 'state' && origin.slot === slot) Object.assign(origin, { kind: 'input', index: first })
    const part = parts.get(slot)
    if (part) replace(graph, part, node.inputs[first] as Node)
    parts.delete(slot)
    return false
  })
  const needed = new Set<Node>()
  const carried = new Set<number>()
  const visit = (value: Node): void => {
    const stack = [value]
    for (let inner = stack.pop(); inner !== undefined; inner = stack.pop()) {
      if (needed.has(inner)) continue
      needed.add(inner)
      if (inner.origin.kind === 'state') carried.add(inner.origin.slot)
      stack.push(...inner.inputs)
    }
  }
  const kept = new Set<Effect>()
  for (let before = -1; before < kept.size; ) {
    before = kept.size
    for (const effect of body.effects) {
      const read =
        effect.kind === 'assign'
          ? carried.has(effect.slot) || parts.has(effect.slot)
          : effect.kind === 'output' && parts.has(carries.length + effect.input)
      if (kept.has(effect) || !read) continue
      kept.add(effect)
      visit(effect.value)
    }
  }
  body.effects = body.effects.filter((effect) => kept.has(effect))
  const live = new Set(body.effects.flatMap((effect) => (effect.kind === 'assign' ? [effect.slot] : [])))
  loop.carries = carries.map((carry, slot) => (live.has(slot) ? carry : { ...carry, first: -1 }))
  removeDead(body)
  pruneAll(body)
  renumber(node)
}

/** Prunes the loops of a graph, the last first: what a later one does not read, an earlier one need not make. */
function pruneAll(graph: Graph): void {
  for (const node of graph.nodes.filter(isLoop).reverse()) {
    prune(graph, node)
    removeDead(graph)
  }
}

/** Lets go the operands of a loop that its body does not read. */
function renumber(node: Node): void {
  const { loop } = node.origin as { loop: Loop }
  const places = new Map<number, number>()
  const inputs: Node[] = []
  const kept = (index: number): number => {
    const place = places.get(index) ?? inputs.push(node.inputs[index] as Node) - 1
    places.set(index, place)
    return place
  }
  for (const inner of loop.body.nodes) {
    const { origin } = inner
    if (origin.kind === 'input' || origin.kind === 'row') inner.origin = { kind: origin.kind, index: kept(origin.index) }
  }
  loop.carries = loop.carries.map((carry) => (carry.first < 0 ? carry : { ...carry, first: kept(carry.first) }))
  node.inputs = inputs
}
