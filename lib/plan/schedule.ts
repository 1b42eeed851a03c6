/**
 * The order of a program's items: every item after what it reads, writers of state after the readers of its old value and after
 * the test of the cost, and otherwise as recorded.
 */

import { stopGradientRow } from '../primitives/movement.js'
import { sliceRow } from '../primitives/parts.js'
import type { Accumulation } from './fold-updates.js'
import { type Cluster, operandsOf } from './fuse.js'
import { type Effect, type Graph, isLoop, type Node, sizeOfNode } from './graph.js'
import { applies } from './patterns.js'
import { baseOf, isView } from './views.js'

/** One kernel call to be, or a view (no call). `writes` maps values to the state slots or outputs they are written to directly. */
export type Item =
  | { kind: 'cluster'; cluster: Cluster; writes: Map<Node, Destination> }
  | { kind: 'accumulation'; accumulation: Accumulation }
  | { kind: 'copy'; value: Node; to: Destination }
  | { kind: 'report'; value: Node; entry: number }

export type Destination = { kind: 'state'; slot: number } | { kind: 'output'; input: number }

/** What an item reads. */
export function readsOf(item: Item): Node[] {
  switch (item.kind) {
    case 'cluster':
      return operandsOf(item.cluster)
    case 'accumulation':
      return [...item.accumulation.value.inputs, ...(item.accumulation.scale ? [item.accumulation.scale] : [])]
    default:
      return [item.value]
  }
}

export function schedule(graph: Graph, clusters: readonly Cluster[], accumulations: readonly Accumulation[]): Item[] {
  const folded = new Set(accumulations.map((a) => a.value))
  const items: Item[] = []
  const itemOf = new Map<Node, Item>()
  for (const cluster of clusters) {
    if (cluster.nodes.some((node) => folded.has(node))) continue
    const item: Item = { kind: 'cluster', cluster, writes: new Map() }
    items.push(item)
    for (const node of cluster.nodes) itemOf.set(node, item)
  }
  for (const accumulation of accumulations) items.push({ kind: 'accumulation', accumulation })

  const after = new Map<Item, Set<Item>>()
  const edge = (before: Item, later: Item) => {
    if (before === later) return
    const set = after.get(before) ?? new Set()
    set.add(later)
    after.set(before, set)
  }
  const readers = new Map<number, Set<Item>>()
  const link = (item: Item) => {
    for (const node of readsOf(item)) {
      const producer = itemOf.get(node)
      if (producer) edge(producer, item)
      const base = baseOf(node)
      if (base.origin.kind === 'state') {
        const set = readers.get(base.origin.slot) ?? new Set()
        set.add(item)
        readers.set(base.origin.slot, set)
      }
    }
  }
  items.forEach(link)

  const leads = (from: Item, to: Item): boolean => {
    const seen = new Set<Item>([from])
    const stack = [from]
    for (let item = stack.pop(); item !== undefined; item = stack.pop()) {
      if (item === to) return true
      for (const next of after.get(item) ?? []) {
        if (seen.has(next)) continue
        seen.add(next)
        stack.push(next)
      }
    }
    return false
  }

  // A value that is another slot's old one is taken aside first: two slots may be exchanged.
  const assigned = new Set(graph.effects.flatMap((effect) => (effect.kind === 'assign' ? [effect.slot] : [])))
  for (const effect of graph.effects) {
    const { origin } = baseOf(effect.value)
    if (effect.kind !== 'assign' || origin.kind !== 'state' || origin.slot === effect.slot || !assigned.has(origin.slot)) continue
    const { value } = effect
    const node: Node = { ...value, origin: { kind: 'op', primitive: stopGradientRow, params: {} }, inputs: [value] }
    const item: Item = {
      kind: 'cluster',
      cluster: { nodes: [node], elementwise: false, shape: node.shape, compute: 'float32' },
      writes: new Map(),
    }
    items.push(item)
    itemOf.set(node, item)
    link(item)
    effect.value = node
  }

  const writers: { item: Item; slot: number }[] = accumulations.map((accumulation) => ({
    item: items.find((item) => item.kind === 'accumulation' && item.accumulation === accumulation) as Item,
    slot: accumulation.slot,
  }))
  // Costs add up in their order; the last of them was tested when state is written. What a cost is made of cannot write it.
  const costs: Item[] = []
  for (const effect of graph.effects) {
    if (effect.kind !== 'report') continue
    const item: Item = { kind: 'report', value: effect.value, entry: effect.entry }
    items.push(item)
    link(item)
    if (effect.entry !== 0) continue
    const before = costs.at(-1)
    if (before) edge(before, item)
    costs.push(item)
  }
  const tested = costs.at(-1)
  const partOfCost = ancestors(costs, itemOf)
  const outsideValues = new Set<Node>()
  const place = (effect: Exclude<Effect, { kind: 'report' }>) => {
    const to: Destination = effect.kind === 'assign' ? { kind: 'state', slot: effect.slot } : { kind: 'output', input: effect.input }
    const base = baseOf(effect.value)
    const producer = itemOf.get(base)
    const direct =
      producer?.kind === 'cluster' &&
      // A loop that stops half way leaves the state as it was.
      !(to.kind === 'state' && (isLoop(producer.cluster.nodes[0] as Node) || partOfCost.has(producer))) &&
      !outsideValues.has(base) &&
      (to.kind === 'output' ||
        [...(readers.get(to.slot) ?? [])].every((reader) =>
          reader === producer ? readsInPlace(producer.cluster, to.slot) : !leads(producer, reader),
        ))
    if (direct && producer.kind === 'cluster') {
      producer.writes.set(base, to)
      outsideValues.add(base)
      if (to.kind === 'state') {
        writers.push({ item: producer, slot: to.slot })
        for (const reader of readers.get(to.slot) ?? []) edge(reader, producer)
      }
      return
    }
    const item: Item = { kind: 'copy', value: effect.value, to }
    items.push(item)
    link(item)
    if (to.kind === 'state') writers.push({ item, slot: to.slot })
  }
  for (const effect of graph.effects) if (effect.kind !== 'report') place(effect)
  for (const { item, slot } of writers) {
    for (const reader of readers.get(slot) ?? []) edge(reader, item)
    if (tested) edge(tested, item)
  }
  return sort(items, after)
}

/** The items that make what some items read, and they themselves. */
function ancestors(of: readonly Item[], itemOf: ReadonlyMap<Node, Item>): Set<Item> {
  const found = new Set(of)
  for (const item of found)
    for (const node of readsOf(item)) {
      const producer = itemOf.get(node)
      if (producer) found.add(producer)
    }
  return found
}

/** Whether an elementwise cluster reads a state slot only point by point, so that it may overwrite it. */
function readsInPlace(cluster: Cluster, slot: number): boolean {
  if (!cluster.elementwise) return false
  const size = (node: Node) => node.shape.reduce((a, b) => a * b, 1)
  const grid = cluster.shape.reduce((a, b) => a * b, 1)
  return operandsOf(cluster).every((node) => {
    const base = baseOf(node)
    return base.origin.kind !== 'state' || base.origin.slot !== slot || size(node) === grid
  })
}

/**
 * Whether a cluster is a view or makes one number, which takes no memory worth saving, and may come at any time: it draws nothing, since
 * draws come in their order.
 */
const isSmall = ({ nodes, elementwise }: Cluster): boolean =>
  nodes.every((node) => isView(node) || (sizeOfNode(node) <= 1 && (elementwise || applies(node, sliceRow))))

/**
 * Topological, the smallest recorded position first. What is small comes as early as it can: the learning rate of an update is taken
 * from its list when the whole backward pass has been recorded, and the update would wait for it with all that it reads.
 */
function sort(items: readonly Item[], after: ReadonlyMap<Item, ReadonlySet<Item>>): Item[] {
  const position = (item: Item): number => {
    switch (item.kind) {
      case 'cluster':
        return isSmall(item.cluster) ? -1 : (item.cluster.nodes[item.cluster.nodes.length - 1] as Node).id
      case 'accumulation':
        return item.accumulation.value.id
      default:
        return baseOf(item.value).id + 0.5
    }
  }
  const waiting = new Map<Item, number>(items.map((item) => [item, 0]))
  for (const set of after.values()) for (const item of set) waiting.set(item, (waiting.get(item) as number) + 1)
  const ready = items.filter((item) => waiting.get(item) === 0).sort((a, b) => position(b) - position(a))
  const order: Item[] = []
  for (let item = ready.pop(); item !== undefined; item = ready.pop()) {
    order.push(item)
    for (const next of after.get(item) ?? []) {
      const left = (waiting.get(next) as number) - 1
      waiting.set(next, left)
      if (left > 0) continue
      const at = position(next)
      let i = ready.length
      while (i > 0 && position(ready[i - 1] as Item) < at) i--
      ready.splice(i, 0, next)
    }
  }
  if (order.length !== items.length) throw new Error('plan: the calls depend on each other in a circle')
  return order
}
