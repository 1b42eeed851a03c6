/**
 * An update folded into the operation that makes what is added: S ← S ± s·f(x) becomes one call that accumulates on S itself,
 * saving the buffer of f(x) and a pass over both. Which rows have that form, they say themselves (`accumulate`).
 *
 * It applies by dependence alone: where f(x) is read by nothing else (clipping, reports or tied weights read it), what is
 * assigned is S plus a multiple of it, and f reads no state that is assigned.
 */

import type { Call } from '../backend/program.js'
import { sameShape } from '../util/shape.js'
import { consumersOf, type Graph, isOp, type Node, removeDead, scalarConstant, sizeOfNode } from './graph.js'
import { any, type Bound, op, type Pattern, symmetric } from './patterns.js'
import { baseOf } from './views.js'

/** state[slot] += alpha · scale · (the value of `node`), by the accumulating form of its own kernel. */
export interface Accumulation {
  slot: number
  value: Node
  call: Call
  /** A run-time factor of one element: the last input of the call. */
  scale?: Node
}

/** A term while it is taken apart: what is added is alpha · scale · value. */
interface Term {
  value: Node
  alpha: number
  scale?: Node
}

const v = any('v')
const number: Pattern = (node, bound) => sizeOfNode(node) === 1 && scalarConstant(node) !== undefined && any('c')(node, bound)
const factor: Pattern = (node, bound) => sizeOfNode(node) === 1 && scalarConstant(node) === undefined && any('s')(node, bound)

/** S ← … : the sign with which v is added to the old state S. */
const updates = (old: Pattern): readonly { pattern: Pattern; sign: number }[] => [
  { pattern: symmetric('add', old, v), sign: 1 },
  { pattern: op('sub', old, v), sign: -1 },
]

/** Factors of a term, outermost first: what is left of it without them. */
const factors: readonly { pattern: Pattern; without(term: Term, bound: Bound<'v' | 'c' | 's'>): Term | undefined }[] = [
  { pattern: op('neg', v), without: (term, { v }) => ({ ...term, value: v, alpha: -term.alpha }) },
  {
    pattern: symmetric('mul', v, number),
    without: (term, { v, c }) => ({ ...term, value: v, alpha: term.alpha * (scalarConstant(c) as number) }),
  },
  {
    pattern: symmetric('mul', v, factor),
    without: (term, { v, s }) => (term.scale || s.dtype !== term.value.dtype ? undefined : { ...term, value: v, scale: s }),
  },
]

/** Takes the foldable assignments out of the graph's effects and returns them. */
export function foldUpdates(graph: Graph): Accumulation[] {
  const consumers = consumersOf(graph)
  const roots = new Set(graph.effects.map((effect) => effect.value))
  const assigned = new Set(graph.effects.flatMap((effect) => (effect.kind === 'assign' ? [effect.slot] : [])))
  // What is accumulated on is written while operands are read: none of them may lie in what this program assigns.
  const changes = (node: Node) => {
    const { origin } = baseOf(node)
    return origin.kind === 'state' && assigned.has(origin.slot)
  }
  const readOnce = (node: Node) => consumers.get(node)?.length === 1 && !roots.has(node)
  const folded: Accumulation[] = []
  graph.effects = graph.effects.filter((effect) => {
    if (effect.kind !== 'assign' || (consumers.get(effect.value)?.length ?? 0) > 0) return true
    if (graph.effects.some((other) => other !== effect && other.value === effect.value)) return true
    const found = accumulationOf(effect.value, effect.slot, readOnce)
    if (!found || [...found.value.inputs, ...(found.scale ? [found.scale] : [])].some(changes)) return true
    folded.push(found)
    return false
  })
  const values = graph.effects
  graph.effects = [
    ...values,
    ...folded.map(({ slot, value }) => ({ kind: 'assign' as const, slot, value })),
    ...folded.flatMap(({ slot, scale }) => (scale ? [{ kind: 'assign' as const, slot, value: scale }] : [])),
  ]
  removeDead(graph)
  graph.effects = values
  return folded
}

/** The assignment of `value` to a slot as an accumulation, where all between the state and f(x) is read once. */
function accumulationOf(value: Node, slot: number, readOnce: (node: Node) => boolean): Accumulation | undefined {
  const old: Pattern = ({ origin }) => origin.kind === 'state' && origin.slot === slot
  for (const { pattern, sign } of updates(old)) {
    const bound: Bound = {}
    if (!pattern(value, bound)) continue
    let term: Term | undefined = { value: bound.v as Node, alpha: sign }
    while (term && readOnce(term.value) && sameShape(term.value.shape, value.shape) && term.value.dtype === value.dtype) {
      const call = callOf(term)
      if (call) return { slot, value: term.value, call, ...(term.scale ? { scale: term.scale } : {}) }
      term = withoutFactor(term)
    }
  }
  return undefined
}

function withoutFactor(term: Term): Term | undefined {
  for (const { pattern, without } of factors) {
    const bound = {} as Bound<'v' | 'c' | 's'>
    if (pattern(term.value, bound)) return without(term, bound)
  }
  return undefined
}

/** The accumulating call of a term, where its row has one. */
function callOf({ value, alpha, scale }: Term): Call | undefined {
  if (!isOp(value)) return undefined
  const { primitive, params } = value.origin
  return primitive.accumulate?.(value.inputs, value, params, alpha, scale !== undefined)
}
