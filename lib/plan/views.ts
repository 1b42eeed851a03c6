/** Nodes that need no work: the same bytes under another shape, or behind a barrier. */

import { barrierRow } from '../primitives/barrier.js'
import { reshapeRow } from '../primitives/movement.js'
import type { Node } from './graph.js'
import { applies } from './patterns.js'

/** Whether a node needs no work: its value lies where its input's does. */
export function isView(node: Node): boolean {
  return applies(node, reshapeRow) || applies(node, barrierRow)
}

/** The node whose memory a node's value lies in. */
export function baseOf(node: Node): Node {
  let base = node
  while (isView(base)) base = base.inputs[0] as Node
  return base
}
