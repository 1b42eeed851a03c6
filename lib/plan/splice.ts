/** Rewrites that are easier to say as a function of tensors than as nodes: what the function applies becomes nodes of the graph. */

import { Batched, BatchTrace } from '../autodiff/vmap-trace.js'
import { broadcastTo } from '../primitives/broadcast.js'
import { apply, atNextLevel } from '../primitives/primitive.js'
import { withScope } from '../primitives/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { sameShape } from '../util/shape.js'
import { type Graph, isOp, type Node, number } from './graph.js'
import { record } from './record.js'
import { StateLayout } from './state-layout.js'

/**
 * Records `build` over some nodes of the graph and puts what it applies before the node at `index`. The nodes of its results.
 *
 * @param index in `graph.nodes`; what comes before it holds the operands
 */
export function splice(graph: Graph, index: number, operands: readonly Node[], build: (xs: Tensor[]) => readonly Tensor[]): Node[] {
  const specs = operands.map(({ shape, dtype }, i) => ({ name: `${i}`, shape, dtype }))
  const inner = record(
    specs,
    new StateLayout(),
    (r) => {
      build(specs.map((_, i) => r.input(i))).forEach((y, i) => {
        r.report(i, y)
      })
    },
    'a pass',
  )
  const outside = (node: Node): Node => (node.origin.kind === 'input' ? (operands[node.origin.index] as Node) : node)
  const own = inner.nodes.filter((node) => node.origin.kind !== 'input')
  for (const node of own) node.inputs = node.inputs.map(outside)
  graph.nodes.splice(index, 0, ...own)
  number(graph)
  return inner.effects.map((effect) => outside(effect.value))
}

/** Applies nodes again, to the values that are known of what they read, and adds theirs. */
export function reapply(nodes: readonly Node[], values: Map<Node, Tensor>): void {
  for (const node of nodes) {
    if (!isOp(node) || values.has(node)) continue
    const { primitive, params } = node.origin
    const operands = node.inputs.map((input) => values.get(input) ?? (input.origin as { value: Tensor }).value)
    const y = withScope(node.scope, () => apply(primitive, operands, params), true)
    // A rewrite may have left it to the kernel to repeat an operand.
    values.set(node, sameShape(y.shape, node.shape) ? y : broadcastTo(y, node.shape))
  }
}

/** The same for all iterations at once: of what is `stacked` the values are stacks along a new first axis, and so are the results. */
export function reapplyToStacks(
  nodes: readonly Node[],
  values: ReadonlyMap<Node, Tensor>,
  stacked: ReadonlySet<Node>,
  results: readonly Node[],
  length: number,
): Tensor[] {
  return atNextLevel((level) => {
    const trace = new BatchTrace(level, length, 'scan')
    const samples = new Map([...values].map(([node, x]) => [node, stacked.has(node) ? new Batched(trace, x) : x]))
    reapply(nodes, samples)
    return results.map((node) => trace.full((samples.get(node) as Tensor).resolve()))
  })
}
