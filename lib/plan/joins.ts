/**
 * Values that lie beside each other because one call takes them together, as a sum over processes does: each is made where the
 * call wants it, and what is read of the call's value is read where it lies. Nothing is copied.
 */

import { sliceRow } from '../primitives/parts.js'
import { isOp, type Node, sizeOfNode } from './graph.js'
import { applies } from './patterns.js'
import type { Item } from './schedule.js'
import { baseOf, isView } from './views.js'

/** Whether a node's inputs may lie one after the other where its value will. */
export const joins = (node: Node): boolean => isOp(node) && node.origin.primitive.joins === true

/** Of a node that is a run of such a value's elements: that value, and where the run begins. */
export function runOf(node: Node): { whole: Node; start: number } | undefined {
  if (!applies(node, sliceRow)) return undefined
  const { starts, steps } = node.origin.params as unknown as { starts: readonly number[]; steps: readonly number[] }
  const whole = baseOf(node.inputs[0] as Node)
  return joins(whole) && starts.length === 1 && steps[0] === 1 ? { whole, start: starts[0] as number } : undefined
}

/** Values that are made where a later call wants them, one after the other, and that nothing reads after it. */
export function joinedIn(
  items: readonly Item[],
  lastUse: ReadonlyMap<Node, number>,
  written: ReadonlySet<Node>,
): ReadonlyMap<Node, { whole: Node; start: number }> {
  const found = new Map<Node, { whole: Node; start: number }>()
  const alone = new Set<Node>()
  for (const item of items) {
    if (item.kind !== 'cluster') continue
    const { cluster } = item
    const [only] = cluster.nodes as [Node]
    const { origin } = only
    if (cluster.elementwise || (origin.kind === 'op' && !only.several && !isView(only))) for (const node of cluster.nodes) alone.add(node)
  }
  items.forEach((item, i) => {
    const whole = item.kind === 'cluster' ? (item.cluster.nodes[0] as Node) : undefined
    if (!whole || !joins(whole) || written.has(whole)) return
    const bases = whole.inputs.map(baseOf)
    let start = 0
    for (const node of whole.inputs) {
      const base = baseOf(node)
      const once = bases.indexOf(base) === bases.lastIndexOf(base)
      const free = alone.has(base) && !written.has(base) && runOf(base) === undefined && !joins(base)
      if (once && free && lastUse.get(base) === i && sizeOfNode(base) > 0) found.set(base, { whole, start })
      start += sizeOfNode(node)
    }
  })
  return found
}
