/**
 * What need not be done iteration by iteration leaves its loop: before it, over the whole stack that the loop would read a row of; after
 * it, over the whole stack that the loop has made. One product over a stack runs many times faster than a small one for each row, and
 * that is what makes recurrent networks fast; nothing here knows of them.
 *
 * - before: what does not change at all; a product of a row, or of what is computed from rows alone, with what does not change
 * - after: a sum over the iterations of products, Σ aₜᵀ·bₜ, as one product of both stacks; the sum over rows of a stack; a product with
 *   what does not change that only a stack of results takes
 *
 * What lies behind a barrier stays: a stack of it is the memory that `checkpoint` is to save.
 *
 * To add a way out: a function here that says what leaves, called by `move`.
 */

import { barrierRow } from '../primitives/barrier.js'
import { broadcastRow, sumRow } from '../primitives/broadcast.js'
import { convInputRow, convRow, convWeightRow } from '../primitives/convolution.js'
import { add } from '../primitives/elementwise.js'
import { matmulRow } from '../primitives/linalg.js'
import { reshape, reshapeRow, transposeRow } from '../primitives/movement.js'
import { sliceRow } from '../primitives/parts.js'
import { apply } from '../primitives/primitive.js'
import { sum } from '../primitives/reduce.js'
import type { Tensor } from '../tensor/tensor.js'
import { bytesPerElement } from '../util/dtype.js'
import { sizeOf } from '../util/shape.js'
import { isElementwise } from './fuse.js'
import {
  type Carry,
  consumersOf,
  type Effect,
  type Graph,
  isOp,
  type Loop,
  type LoopNode,
  type Node,
  number,
  removeDead,
  replace,
} from './graph.js'
import { applies, microOf, type OpNode } from './patterns.js'
import { reapply, reapplyToStacks, splice } from './splice.js'
import { baseOf } from './views.js'

/** From what a value of a body is computed: from what does not change alone, from rows too, from carries too. */
type Motion = 'fixed' | 'row' | 'carried'

const products: readonly object[] = [matmulRow, convRow, convInputRow, convWeightRow]
const isProduct = (node: Node): node is OpNode => isOp(node) && products.includes(node.origin.primitive)
/** Rows that are as well applied to a stack as to each of its rows. */
const light: readonly object[] = [reshapeRow, transposeRow, broadcastRow, sumRow, sliceRow]
const movable = (node: Node): boolean => isElementwise(node) || isProduct(node) || (isOp(node) && light.includes(node.origin.primitive))

/** What each value of a body is computed from; what shall stay where it is counts as carried. */
export function motionsOf({ nodes }: Graph): Map<Node, Motion> {
  const motions = new Map<Node, Motion>()
  for (const node of nodes) {
    const { kind } = node.origin
    const given = node.inputs.map((input) => motions.get(input) as Motion)
    if (kind === 'input' || kind === 'constant') motions.set(node, 'fixed')
    else if (kind === 'row') motions.set(node, 'row')
    else if (kind !== 'op' || !movable(node) || given.includes('carried')) motions.set(node, 'carried')
    else motions.set(node, given.includes('row') ? 'row' : 'fixed')
  }
  return motions
}

/** Everything that leaves the loops of a graph. */
export function move(graph: Graph, node: LoopNode): void {
  moveBefore(graph, node)
  moveAfter(graph, node)
}

/** The value that a reshape looks at. */
const seen = (value: Node): Node => {
  let base = value
  while (applies(base, reshapeRow)) base = base.inputs[0] as Node
  return base
}

/** A value of the body as the loop's operand it is a reading of: itself, or its stack. */
function operandOf(node: LoopNode, inner: Node): Node {
  return node.inputs[(inner.origin as { index: number }).index] as Node
}

/** What the body computes of a value, down to what it reads from outside. */
function coneOf(body: Graph, results: readonly Node[]): { nodes: Node[]; leaves: Node[] } {
  const met = new Set<Node>()
  const stack = [...results]
  for (let inner = stack.pop(); inner !== undefined; inner = stack.pop()) {
    if (met.has(inner)) continue
    met.add(inner)
    stack.push(...inner.inputs)
  }
  const nodes = body.nodes.filter((inner) => met.has(inner))
  return { nodes, leaves: nodes.filter(({ origin }) => origin.kind === 'input' || origin.kind === 'row') }
}

function moveBefore(graph: Graph, node: LoopNode): void {
  const { loop } = node.origin
  const { body, length } = loop
  const motions = motionsOf(body)
  const canStack = stackable(loop)
  const fixed = new Set<Node>()
  const rows = new Set<Node>()
  // From the last to the first: what is read by something that stays either leaves or stays, too.
  const read = new Set(body.effects.map(({ value }) => value))
  for (const inner of body.nodes.slice().reverse()) {
    const motion = motions.get(inner)
    if (motion !== 'carried' && !read.has(inner)) continue
    // What repeats a smaller value, or only looks at it, stays with who reads it.
    const light = applies(inner, broadcastRow) || applies(inner, reshapeRow)
    if (isOp(inner) && motion === 'fixed' && !light) fixed.add(inner)
    else if (motion === 'row' && isProduct(inner) && inner.inputs.some((input) => motions.get(input) === 'fixed') && canStack(inner))
      rows.add(inner)
    else for (const input of inner.inputs) read.add(input)
  }
  const leaving = [...fixed, ...rows]
  if (leaving.length === 0) return
  const { nodes, leaves } = coneOf(body, leaving)
  const operands = leaves.map((leaf) => operandOf(node, leaf))
  const moved = splice(graph, graph.nodes.indexOf(node), operands, (xs) => {
    const values = new Map(leaves.map((leaf, i) => [leaf, xs[i] as Tensor]))
    const still = nodes.filter((inner) => motions.get(inner) === 'fixed')
    reapply(still, values)
    const moving = new Set(leaves.filter(({ origin }) => origin.kind === 'row'))
    const stacks = rows.size > 0 ? reapplyToStacks(nodes, values, moving, [...rows], length) : []
    return [...[...fixed].map((inner) => values.get(inner) as Tensor), ...stacks]
  })
  leaving.forEach((inner, i) => {
    Object.assign(inner, {
      origin: { kind: rows.has(inner) ? 'row' : 'input', index: node.inputs.push(moved[i] as Node) - 1 },
      inputs: [],
    })
  })
  note(loop, rows.size, 'product', 'over the whole stack before it')
  removeDead(body)
}

/** The stack of a value of the body, reshapes aside: one that is read, or one that the loop makes from now on. */
export function stackOf(graph: Graph, node: LoopNode, given: Node): Node {
  const { loop } = node.origin
  const value = seen(given)
  if (value.origin.kind === 'row') return operandOf(node, value)
  const made = loop.body.effects.find((effect) => effect.kind === 'output' && effect.value === value)
  const { shape, dtype } = value
  const row = made?.kind === 'output' ? made.input : loop.rows.push({ shape, dtype }) - 1
  if (!made) loop.body.effects.push({ kind: 'output', input: row, value })
  const index = loop.carries.length + row
  const known = partsIn(graph, node).find(({ origin }) => origin.kind === 'part' && origin.index === index)
  if (known) return known
  const part: Node = { id: 0, origin: { kind: 'part', index }, inputs: [node], shape: [loop.length, ...shape], dtype, scope: node.scope }
  graph.nodes.splice(graph.nodes.indexOf(node) + 1, 0, part)
  number(graph)
  return part
}

const partsIn = (graph: Graph, node: Node): Node[] =>
  graph.nodes.filter(({ origin, inputs }) => origin.kind === 'part' && inputs[0] === node)

/** Whether the stack of a value is there already. */
function isStacked({ body }: Loop, value: Node): boolean {
  const base = seen(value)
  return base.origin.kind === 'row' || body.effects.some((effect) => effect.kind === 'output' && effect.value === base)
}

/**
 * What a body computes from barriers and hands to no barrier that leaves them: it is to be computed again where it is needed (see
 * `checkpoint`), so no pass makes a stack of it.
 */
function heldIn({ nodes }: Graph): Set<Node> {
  const depths = new Map<Node, number>()
  const results = new Set<Node>()
  for (const node of nodes) {
    const depth = Math.max(0, ...node.inputs.map((input) => depths.get(input) as number))
    if (!applies(node, barrierRow)) depths.set(node, depth)
    else if (node.origin.params.leaves !== true) depths.set(node, depth + 1)
    else {
      depths.set(node, Math.max(0, depth - 1))
      if (depth <= 1) results.add(baseOf(node))
    }
  }
  return new Set(nodes.filter((node) => depths.get(node) !== 0 && !results.has(node)))
}

/** Bytes of a stack that passes add, at most. */
const mostStacked = 2 ** 28

/** Which values of a loop's body passes may make stacks of: small ones, and none that is to be computed again. */
export function stackable({ length, body }: Loop): (node: Node) => boolean {
  const held = heldIn(body)
  return (node) => length * sizeOf(node.shape) * bytesPerElement[node.dtype] <= mostStacked && !held.has(node)
}

/** Where what is made of the stacks of a loop can be put: behind all of its results. */
function behind(graph: Graph, node: LoopNode): number {
  const parts = partsIn(graph, node)
  const others = graph.nodes.filter((other) => !parts.includes(other))
  others.splice(others.indexOf(node) + 1, 0, ...parts)
  graph.nodes = others
  number(graph)
  return others.indexOf(node) + 1 + parts.length
}

/** A value as a chain of operations of one moving operand each, from what is at its start. */
interface Chain {
  readonly start: OpNode
  /** Operations after it, in order. */
  readonly then: readonly OpNode[]
}

/** Follows a value back through operations that pass on one operand, the others being fixed, to one that `wanted` fits. */
function chainTo(
  value: Node,
  wanted: (node: OpNode) => boolean,
  passes: (node: OpNode) => boolean,
  readers: (node: Node) => number,
  motions: ReadonlyMap<Node, Motion>,
): Chain | undefined {
  const then: OpNode[] = []
  for (let inner = value; isOp(inner) && readers(inner) === 1; ) {
    if (wanted(inner)) return { start: inner, then }
    const moving: Node[] = inner.inputs.filter((input) => motions.get(input) !== 'fixed')
    if (!passes(inner) || moving.length !== 1) return undefined
    then.unshift(inner)
    inner = moving[0] as Node
  }
  return undefined
}

const is: (node: Node, row: { readonly name: string }) => boolean = applies

/** Operations under which a sum of values is the sum of their results. */
const linear = (node: OpNode): boolean =>
  is(node, reshapeRow) || is(node, transposeRow) || microOf(node) === 'neg' || (microOf(node) === 'mul' && node.inputs.length === 2)

const isCarry = ({ origin }: Node, slot: number): boolean => origin.kind === 'state' && origin.slot === slot

/** Whether a carry becomes itself and something else. */
const addsUp = ({ slot, value }: Extract<Effect, { kind: 'assign' }>): boolean =>
  microOf(value) === 'add' && value.inputs.some((inner) => isCarry(inner, slot)) && value.inputs[0] !== value.inputs[1]

function moveAfter(graph: Graph, node: LoopNode): void {
  const { loop } = node.origin
  const { body, length } = loop
  const motions = motionsOf(body)
  const canStack = stackable(loop)
  const consumers = consumersOf(body)
  const sums = new Set(body.effects.flatMap((effect) => (effect.kind === 'assign' && addsUp(effect) ? [effect.value] : [])))
  /** Who reads a value; all sums that add it up count as one, since they leave together. */
  const readers = (inner: Node) => {
    const list = consumers.get(inner) ?? []
    const others = list.filter((reader) => !sums.has(reader)).length
    return others + (others < list.length ? 1 : 0) + body.effects.filter(({ value }) => value === inner).length
  }
  const isFixed = (inner: Node) => motions.get(inner) === 'fixed'
  const taken = new Set<Effect>()

  /** Puts what `build` makes of stacks, and of what does not change, in the place of a result of the loop. */
  const instead = (
    index: number,
    chain: Chain,
    stacked: readonly Node[],
    first: Node | undefined,
    build: (stacks: Tensor[], values: Map<Node, Tensor>) => Tensor,
  ) => {
    const part = partsIn(graph, node).find(({ origin }) => origin.kind === 'part' && origin.index === index)
    if (!part) return
    const { nodes, leaves } = coneOf(
      body,
      [chain.start, ...chain.then].flatMap((inner) => inner.inputs.filter(isFixed)),
    )
    const stacks = stacked.map((value) => stackOf(graph, node, value))
    const given = [...stacks, ...leaves.map((leaf) => operandOf(node, leaf)), ...(first ? [first] : [])]
    const [made] = splice(graph, behind(graph, node), given, (xs) => {
      const values = new Map(leaves.map((leaf, i) => [leaf, xs[stacks.length + i] as Tensor]))
      reapply(nodes, values)
      const rows = stacked.map((value, i) => reshape(xs[i] as Tensor, [length, ...value.shape]))
      const value = build(rows, values)
      return [first ? add(xs.at(-1) as Tensor, value) : value]
    })
    replace(graph, part, made as Node)
  }

  for (const effect of body.effects.slice()) {
    if (effect.kind !== 'assign' || microOf(effect.value) !== 'add' || readers(effect.value) !== 1) continue
    const { slot, value } = effect
    const own = (inner: Node) => inner.origin.kind === 'state' && inner.origin.slot === slot
    const at = value.inputs.findIndex(own)
    const [state, term] = [value.inputs[at], value.inputs[1 - at]]
    if (!state || !term || readers(state) !== 1 || body.nodes.filter(own).length !== 1 || sizeOf(term.shape) !== sizeOf(value.shape))
      continue
    const chain = chainTo(term, (inner) => applies(inner, matmulRow) || applies(inner, sumRow), linear, readers, motions)
    if (!chain) continue
    const { start } = chain
    const first = node.inputs[(loop.carries[slot] as Carry).first] as Node
    const begins = isZero(first) ? undefined : first
    const end = (result: Tensor, values: Map<Node, Tensor>) => {
      reapply(chain.then, values.set(start, result))
      return values.get(chain.then.at(-1) ?? start) as Tensor
    }
    if (is(start, sumRow)) {
      const [x] = start.inputs as [Node]
      if (!isStacked(loop, x)) continue
      const { first: from, last } = start.origin.params as { first: number; last: number }
      instead(slot, chain, [x], begins, ([rows], values) => end(sumOfRows(rows as Tensor, from, last), values))
    } else {
      const product = overBoth(start, length)
      const operands = start.inputs as [Node, Node]
      if (!product || operands.some(isFixed)) continue
      // What the loop makes anew is stored and read once more; that of the sum is saved.
      const stored = operands.filter((x) => !isStacked(loop, x)).reduce((size, x) => size + sizeOf(x.shape), 0)
      if (stored > 4 * sizeOf(start.shape) || !operands.every((x) => isStacked(loop, x) || canStack(x))) continue
      instead(slot, chain, operands, begins, ([a, b], values) => end(product(a as Tensor, b as Tensor), values))
    }
    taken.add(effect)
  }
  const summed = taken.size

  const stays = body.effects.flatMap((effect) => (effect.kind === 'assign' && !taken.has(effect) ? [effect.value] : []))
  const needed = new Set(coneOf(body, stays).nodes)
  const passes = (inner: OpNode) => isElementwise(inner) || (light.includes(inner.origin.primitive) && !applies(inner, sumRow))
  for (const effect of body.effects.slice()) {
    if (effect.kind !== 'output' || needed.has(effect.value)) continue
    const chain = chainTo(effect.value, (inner) => applies(inner, matmulRow), passes, readers, motions)
    const [a, b] = chain?.start.inputs ?? []
    if (!chain || !a || !b || isFixed(a) || !isFixed(b) || !(isStacked(loop, a) || canStack(a))) continue
    const all = [chain.start, ...chain.then]
    instead(
      loop.carries.length + effect.input,
      chain,
      [a],
      undefined,
      ([rows], values) => reapplyToStacks(all, values.set(a, rows as Tensor), new Set([a]), [all.at(-1) as Node], length)[0] as Tensor,
    )
    taken.add(effect)
  }
  body.effects = body.effects.filter((effect) => !taken.has(effect))
  note(loop, summed, 'sum', 'over the iterations after it')
  note(loop, taken.size - summed, 'product', 'over the whole stack after it')
}

const note = ({ notes }: Loop, count: number, what: string, where: string): void => {
  if (count > 0) notes.push(`${count === 1 ? `a ${what}` : `${count} ${what}s`} ${where}`)
}

const isZero = ({ origin }: Node): boolean => origin.kind === 'constant' && origin.value.data.every((x: number) => x === 0)

/** Σₜ aₜ·bₜ as one product of both stacks; undefined where their rows do not lie so that it is one. */
function overBoth(product: OpNode, length: number): ((a: Tensor, b: Tensor) => Tensor) | undefined {
  const [a, b] = product.inputs as [Node, Node]
  if (a.shape.length !== 2 || b.shape.length !== 2) return undefined
  const { transA, transB } = product.origin.params as { transA: boolean; transB: boolean }
  const [m, n] = product.shape as [number, number]
  const k = (transA ? a.shape[0] : a.shape[1]) as number
  // op(a) is [m, k] and op(b) [k, n]: the sum runs over k, which must come first in memory, or be alone there.
  const left = transA || k === 1 ? { shape: [length * k, m], trans: true } : m === 1 ? { shape: [1, length * k], trans: false } : undefined
  const right =
    !transB || k === 1 ? { shape: [length * k, n], trans: false } : n === 1 ? { shape: [1, length * k], trans: true } : undefined
  if (!left || !right) return undefined
  return (x, y) => apply(matmulRow, [reshape(x, left.shape), reshape(y, right.shape)], { transA: left.trans, transB: right.trans })
}

/** The sum of a stack over its rows and over the axes first … last of each row. */
function sumOfRows(stack: Tensor, first: number, last: number): Tensor {
  const axes = [0, ...Array.from({ length: last - first + 1 }, (_, i) => first + 1 + i)]
  return sum(stack, axes)
}
