/** A cluster of elementwise nodes as one kernel call. */

import type { Call } from '../backend/program.js'
import { wordsOf } from '../primitives/micro-ops.js'
import { foldGrid, type Grid, sizeOf } from '../util/shape.js'
import { type Cluster, chainOfNode, operandsOf } from './fuse.js'
import { type Node, scalarConstant, sizeOfNode } from './graph.js'
import { baseOf } from './views.js'

/** Pairs outputs with dying operands of the same size and type that are read point by point. */
export function takeOver(cluster: Cluster, dying: readonly Node[], outputs: readonly Node[]): Map<Node, Node> {
  const size = sizeOf(cluster.shape)
  const operands = operandsOf(cluster)
  const free = dying.filter(
    (base) => base.dtype === cluster.compute && operands.every((node) => baseOf(node) !== base || sizeOfNode(node) === size),
  )
  const pairs = new Map<Node, Node>()
  for (const output of outputs) {
    if (output.dtype !== cluster.compute || sizeOfNode(output) !== size) continue
    const victim = free.pop()
    if (victim) pairs.set(output, victim)
  }
  return pairs
}

/** The micro-program of a cluster; `made` are the nodes whose values are written out. */
export function elementwiseCall(cluster: Cluster, made: readonly Node[]): { call: Call; operands: Node[] } {
  const outside = operandsOf(cluster)
  const scalars = outside.filter((node) => scalarConstant(node) !== undefined)
  const operands = outside.filter((node) => scalarConstant(node) === undefined)
  const grid = foldGrid(
    cluster.shape,
    operands.map((node) => node.shape),
  ) as Grid
  const registers = new Map<Node, number>()
  for (const node of [...operands, ...scalars]) registers.set(node, registers.size)
  let next = registers.size
  const ops = cluster.nodes.flatMap((node) => {
    const chain = chainOfNode(node)
    const read = node.inputs.map((input) => registers.get(input) as number)
    const words = wordsOf(chain, read, next)
    next += chain.length
    registers.set(node, next - 1)
    return words
  })
  const compute = cluster.compute === 'float32' ? 0 : 1
  const call: Call = {
    kernel: 'elementwise',
    ints: [
      compute,
      grid.rows,
      grid.cols,
      operands.length,
      made.length,
      scalars.length,
      ops.length / 4,
      ...grid.strides.flat(),
      ...made.map((node) => registers.get(node) as number),
      ...ops,
    ],
    scalars: scalars.map((node) => scalarConstant(node) as number),
  }
  return { call, operands }
}
