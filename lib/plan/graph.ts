/**
 * The graph that passes work on: one node an entry of the recorded tape, and the effects that make a program worth
 * running (state assigned, report added to, outputs written). A value without effect is dead.
 */

import type { Params, Primitive } from '../primitives/primitive.js'
import type { FillCounters } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Dtype } from '../util/dtype.js'
import { type Shape, sizeOf } from '../util/shape.js'

/** Where a node's value comes from. */
export type Origin =
  | { kind: 'op'; primitive: Primitive; params: Params }
  | { kind: 'input'; index: number }
  | { kind: 'state'; slot: number }
  | { kind: 'constant'; value: Tensor }
  /** The counters of draws: others at each run. */
  | { kind: 'draw'; counter: Tensor; fill: FillCounters }

export interface Node {
  readonly id: number
  origin: Origin
  inputs: Node[]
  shape: Shape
  dtype: Dtype
  /** The part of a model that it came from. */
  scope: string
}

/** What a program leaves behind. */
export type Effect =
  | { kind: 'assign'; slot: number; value: Node }
  | { kind: 'report'; entry: number; value: Node }
  | { kind: 'output'; input: number; value: Node }

export interface Graph {
  /** In an order in which every node comes after its inputs. */
  nodes: Node[]
  effects: Effect[]
}

export const isOp = (node: Node): node is Node & { origin: Extract<Origin, { kind: 'op' }> } => node.origin.kind === 'op'

export const sizeOfNode = (node: Node): number => sizeOf(node.shape)

/** The value of a node that is one constant number. */
export function scalarConstant(node: Node): number | undefined {
  return node.origin.kind === 'constant' && sizeOfNode(node) === 1 ? (node.origin.value.data[0] as number) : undefined
}

/** Drops every node that no effect depends on. */
export function removeDead(graph: Graph): void {
  const live = new Set<Node>()
  const stack = graph.effects.map((effect) => effect.value)
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (live.has(node)) continue
    live.add(node)
    for (const input of node.inputs) stack.push(input)
  }
  graph.nodes = graph.nodes.filter((node) => live.has(node))
}

/** Every node's consumers, effects aside. */
export function consumersOf(graph: Graph): Map<Node, Node[]> {
  const consumers = new Map<Node, Node[]>(graph.nodes.map((node) => [node, []]))
  for (const node of graph.nodes) for (const input of new Set(node.inputs)) consumers.get(input)?.push(node)
  return consumers
}
