/**
 * The graph that passes work on: one node an entry of the recorded tape, and the effects that make a program worth
 * running (state assigned, report added to, outputs written). A value without effect is dead.
 */

import type { Aval, Params, Primitive } from '../primitives/primitive.js'
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
  /** One of the results of its operand: an operation of several, or a loop. */
  | { kind: 'part'; index: number }
  | { kind: 'loop'; loop: Loop }
  /** In the body of a loop, the row of the iteration in one of the loop's operands. */
  | { kind: 'row'; index: number }

/** A body that is repeated. Results of the node are the last carries, then the stacks of rows. */
export interface Loop {
  readonly length: number
  /** From the last row to the first. */
  readonly reverse: boolean
  /**
   * One iteration. In it `input` is an operand of the loop as it is, `row` a row of one, `state` a carry; its effects assign carries and
   * put out rows of stacks.
   */
  readonly body: Graph
  carries: readonly Carry[]
  /** A row of each stack that is made; of one that nothing reads the body makes no row. */
  readonly rows: Aval[]
  /** What passes did to it, for people. */
  readonly notes: string[]
}

export interface Carry extends Aval {
  /** The operand that it begins with; −1 of one that is gone. */
  readonly first: number
}

export interface Node {
  readonly id: number
  origin: Origin
  inputs: Node[]
  shape: Shape
  dtype: Dtype
  /** The part of a model that it came from. */
  scope: string
  /** Of an operation: it has several results, which `part`s of it are. */
  several?: boolean
  /** Of one that is computed again: it joins no node before this one (see recompute.ts). */
  since?: number | undefined
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

export type LoopNode = Node & { origin: Extract<Origin, { kind: 'loop' }> }
export const isLoop = (node: Node): node is LoopNode => node.origin.kind === 'loop'

/** Whether a node has results for others to take apart, and no value of its own. */
export const hasParts = (node: Node): boolean => isLoop(node) || (isOp(node) && node.several === true)

/** Whether a node's value is made by a call. */
export const isMade = (node: Node): boolean => isOp(node) || node.origin.kind === 'part'

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

/** Puts one node in the place of another. */
export function replace(graph: Graph, node: Node, other: Node): void {
  for (const reader of graph.nodes) reader.inputs = reader.inputs.map((input) => (input === node ? other : input))
  for (const effect of graph.effects) if (effect.value === node) effect.value = other
}

/** Numbers the nodes of a graph in their order, as passes expect it. */
export function number(graph: Graph): void {
  graph.nodes.forEach((node, id) => {
    Object.assign(node, { id })
  })
}
