/**
 * What a loop that goes back needs of the one forward. As recorded, the loop back computes each iteration again from the carry that
 * entered it. This pass finds what both compute alike, and has the loop forward make a stack of it where that is less than computing it
 * again; `describe` says what was chosen.
 */

import type { elementwiseOps } from '../backend/program.js'
import { matmulRow } from '../primitives/linalg.js'
import { sizeOf } from '../util/shape.js'
import { type Graph, isLoop, isOp, type LoopNode, type Node, scalarConstant } from './graph.js'
import { motionsOf, stackable, stackOf } from './loop-motion.js'
import { applies, microOf } from './patterns.js'
import { isView } from './views.js'

/** Operations of one or two instructions; any other is a function, and takes about eight. */
const cheap: ReadonlySet<string> = new Set<keyof typeof elementwiseOps>([
  'copy',
  'neg',
  'abs',
  'sign',
  'floor',
  'ceil',
  'round',
  'square',
  'reciprocal',
  'relu',
  'logicalNot',
  'isFinite',
  'toBool',
  'toInt32',
  'wrapInt32',
  'add',
  'sub',
  'mul',
  'div',
  'maximum',
  'minimum',
  'equal',
  'notEqual',
  'less',
  'lessEqual',
  'greater',
  'greaterEqual',
  'logicalAnd',
  'logicalOr',
  'where',
])

/** What it takes to compute a value, in elements moved. A product does about six multiplications in the time of one. */
function work(node: Node): number {
  const size = sizeOf(node.shape)
  if (isView(node)) return 0
  const micro = microOf(node)
  if (micro !== undefined) return cheap.has(micro) ? size : 8 * size
  if (applies(node, matmulRow)) {
    const [a] = node.inputs as [Node]
    const { transA } = node.origin.params as { transA: boolean }
    return (size * (a.shape.at(transA ? -2 : -1) as number)) / 6
  }
  return 2 * (size + node.inputs.reduce((sum, input) => sum + sizeOf(input.shape), 0))
}

/** Has loops forward make what loops back would compute again, where that is less. */
export function share(graph: Graph): void {
  for (const back of graph.nodes.filter(isLoop)) {
    const read = new Set(back.inputs.flatMap((input) => (input.origin.kind === 'part' ? input.inputs : [])))
    for (const ahead of read) if (isLoop(ahead) && ahead.origin.loop.length === back.origin.loop.length) shareBetween(graph, ahead, back)
  }
}

/** For values of the loop back, those of the loop forward that are the same in the iteration of the same row. */
function alike(ahead: LoopNode, back: LoopNode): Map<Node, Node> {
  const [forward, backward] = [ahead.origin.loop, back.origin.loop]
  const ids = new Map<object, number>()
  const idOf = (row: object): number => {
    const id = ids.get(row) ?? ids.size
    ids.set(row, id)
    return id
  }
  const constantKey = (node: Node): string | undefined => {
    if (node.origin.kind !== 'constant') return undefined
    const number = scalarConstant(node)
    return number === undefined
      ? `constant ${idOf(node.origin.value)}`
      : `${node.dtype} ${node.shape} ${Object.is(number, -0) ? '-0' : number}`
  }
  const opKey = (node: Node, inputs: readonly Node[]): string => {
    const { origin } = node
    const what =
      origin.kind === 'op'
        ? `${idOf(origin.primitive)} ${JSON.stringify(origin.params)}`
        : `${origin.kind} ${(origin as { index?: number }).index}`
    return `${what} ${node.shape} ${node.dtype} ${inputs.map(({ id }) => id)}`
  }
  /** What stands for an operand in the loop forward: by what it is there, and how it is read. */
  const known = new Map<string, Node>()
  for (const node of forward.body.nodes) {
    const { origin } = node
    if (origin.kind === 'input' || origin.kind === 'row') known.set(`${origin.kind} ${idOf(ahead.inputs[origin.index] as Node)}`, node)
    else if (origin.kind === 'constant') known.set(constantKey(node) as string, node)
    else if (origin.kind === 'op' || origin.kind === 'part') known.set(opKey(node, node.inputs), node)
  }
  for (const effect of forward.body.effects) {
    if (effect.kind !== 'output') continue
    const part = graphPart(back.inputs, ahead, forward.carries.length + effect.input)
    if (part) known.set(`row ${idOf(part)}`, effect.value)
  }
  const same = new Map<Node, Node>()
  for (const node of backward.body.nodes) {
    const { origin } = node
    let key: string | undefined
    if (origin.kind === 'input' || origin.kind === 'row') key = `${origin.kind} ${idOf(back.inputs[origin.index] as Node)}`
    else if (origin.kind === 'constant') key = constantKey(node)
    else if (origin.kind === 'op' || origin.kind === 'part') {
      const inputs = node.inputs.map((input) => same.get(input))
      if (inputs.every((input) => input !== undefined)) key = opKey(node, inputs as Node[])
    }
    const found = key === undefined ? undefined : known.get(key)
    if (found) same.set(node, found)
  }
  return same
}

const graphPart = (inputs: readonly Node[], loop: Node, index: number): Node | undefined =>
  inputs.find(({ origin, inputs: from }) => origin.kind === 'part' && origin.index === index && from[0] === loop)

/** With commas. The first `toLocaleString` of a process reads a language, for longer than all of this takes. */
const thousands = (n: number): string => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ',')

function shareBetween(graph: Graph, ahead: LoopNode, back: LoopNode): void {
  const { body } = back.origin.loop
  const same = alike(ahead, back)
  const motions = motionsOf(ahead.origin.loop.body)
  /** Whether the loop back computes it again, and would do so in each iteration. */
  const again = (node: Node) =>
    (isOp(node) || node.origin.kind === 'part') && same.has(node) && motions.get(same.get(node) as Node) === 'carried'
  const base = (node: Node): Node => (isView(node) ? base(node.inputs[0] as Node) : node)
  const readers = body.nodes.filter((node) => !again(node)).flatMap((node) => node.inputs)
  const frontier = new Set([...readers, ...body.effects.map(({ value }) => value)].map(base).filter(again))
  if (frontier.size === 0) return

  /** What is computed again where those of `stacked` are read, and what of them is. */
  const without = (stacked: ReadonlySet<Node>) => {
    const computed = new Set<Node>()
    const used = new Set<Node>()
    const left = [...frontier]
    for (let node = left.pop(); node !== undefined; node = left.pop()) {
      if (!again(node) || computed.has(node)) continue
      if (stacked.has(node)) used.add(node)
      else {
        computed.add(node)
        left.push(...node.inputs)
      }
    }
    return { computed, used }
  }
  const all = without(new Set()).computed
  const kernels = new Set([...all].filter((node) => !isView(node) && microOf(node) === undefined && !(isOp(node) && node.several)))
  const cost = ({ computed, used }: { computed: ReadonlySet<Node>; used: ReadonlySet<Node> }) =>
    [...computed].reduce((sum, node) => sum + work(node), 0) + [...used].reduce((sum, node) => sum + 2 * sizeOf(node.shape), 0)
  // Computed again all of it, all but what is no elementwise operation, or nothing.
  const canStack = stackable(ahead.origin.loop)
  const small = (nodes: Iterable<Node>) => new Set([...nodes].filter((node) => canStack(same.get(node) as Node)))
  const ways = [new Set<Node>(), small(kernels), small(frontier)].map(without)
  const [recomputed, ...others] = ways.map(cost) as [number, number, number]
  const least = Math.min(recomputed, ...others)
  const chosen = ways[[recomputed, ...others].indexOf(least)] as ReturnType<typeof without>
  const names = (nodes: Iterable<Node>) =>
    [...new Set([...nodes].filter((node) => !isView(node)).map((node) => (isOp(node) ? node.origin.primitive.name : 'part')))].join(', ')
  const { computed, used } = chosen
  const what = [
    ...(used.size > 0 ? [`reads stacks of ${names(used)}`] : []),
    ...(computed.size > 0 ? [`computes again ${names(computed)}`] : []),
  ]
  if (what.length > 0)
    back.origin.loop.notes.push(
      `of the loop forward ${what.join(', ')} (about ${thousands(least)} elements moved an iteration; all again ${thousands(recomputed)})`,
    )
  for (const node of used) {
    const stack = stackOf(graph, ahead, same.get(node) as Node)
    Object.assign(node, { origin: { kind: 'row', index: back.inputs.push(stack) - 1 }, inputs: [] })
  }
}
