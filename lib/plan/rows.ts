/** Whether a function of a batch treats its rows apart, as the rows of the op table declare. */

import { type Graph, isOp, type Node } from './graph.js'

/**
 * Whether every effect of the graph depends on each row of the given inputs alone up to a final sum over rows. `batched`
 * are the inputs that hold one row a sample, `values` the nodes that must still have one row a sample.
 */
export function rowsApart(graph: Graph, batched: ReadonlySet<number>, values: readonly Node[]): boolean {
  const rows = new Set<Node>()
  const mixed = new Set<Node>()
  for (const node of graph.nodes) {
    if (node.origin.kind === 'input' && batched.has(node.origin.index)) rows.add(node)
    if (node.origin.kind === 'part' && rows.has(node.inputs[0] as Node)) rows.add(node)
    // A loop runs over another axis, and what it does with that of the samples is not looked at.
    if (!isOp(node) && node.inputs.some((input) => rows.has(input) || mixed.has(input)) && !rows.has(node)) mixed.add(node)
    if (!isOp(node)) continue
    if (node.inputs.some((input) => mixed.has(input))) mixed.add(node)
    const own = node.inputs.map((input) => rows.has(input))
    if (!own.includes(true)) continue
    const { primitive, params } = node.origin
    if (primitive.rowwise?.(node.inputs, node, params, own)) rows.add(node)
    else mixed.add(node)
  }
  return values.every((node) => rows.has(node) && !mixed.has(node))
}
