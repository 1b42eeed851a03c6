/**
 * Lowering: scheduled items become kernel calls over slots. Values live in the arena from the call that makes them to the
 * last that reads them; an elementwise call may take over the memory of an operand that dies with it.
 */

import { type Call, type Program, type Slot, type Step, spaces } from '../backend/program.js'
import { wordsOf } from '../primitives/micro-ops.js'
import type { FillCounters } from '../tensor/random.js'
import { bytesPerElement, type Dtype, type TypedArray } from '../util/dtype.js'
import { foldGrid, type Grid, sizeOf } from '../util/shape.js'
import { Arena } from './arena.js'
import { type Cluster, chainOfNode, operandsOf } from './fuse.js'
import { isOp, type Node, scalarConstant, sizeOfNode } from './graph.js'
import type { InputSpec } from './record.js'
import { type Destination, type Item, readsOf } from './schedule.js'
import type { StateLayout } from './state-layout.js'
import { baseOf, isView } from './views.js'

export interface Lowered {
  program: Program
  /** Arrays for the inputs that follow the caller's own. */
  constants: TypedArray[]
  /** Those of the constants that are counters of draws: filled before each run. */
  draws: { counter: Int32Array; fill: FillCounters }[]
  /** For each step, what it computes and where in the model it comes from. */
  labels: string[]
}

export function lower(
  items: readonly Item[],
  specs: readonly InputSpec[],
  layout: StateLayout,
  options: { dtype: 'float32' | 'float64'; report: number; atomic: boolean },
): Lowered {
  const slots: Slot[] = []
  const steps: Step[] = []
  const constants: TypedArray[] = []
  const draws: Lowered['draws'] = []
  const slotIds = new Map<string, number>()
  const slot = (space: number, offset: number, length: number, dtype: Dtype): number => {
    const key = `${space} ${offset} ${length} ${dtype}`
    let id = slotIds.get(key)
    if (id === undefined) {
      id = slots.push({ space, offset, length, dtype }) - 1
      slotIds.set(key, id)
    }
    return id
  }

  const lastUse = new Map<Node, number>()
  items.forEach((item, i) => {
    for (const node of readsOf(item)) lastUse.set(baseOf(node), i)
  })
  const arena = new Arena()
  /** Where each materialised value lies. */
  const places = new Map<Node, { space: number; offset: number; constant?: number }>()
  const place = (node: Node): { space: number; offset: number } => {
    const base = baseOf(node)
    let found = places.get(base)
    if (found) return found
    const { origin } = base
    if (origin.kind === 'input') found = { space: spaces.inputs + origin.index, offset: 0 }
    else if (origin.kind === 'state') found = { space: spaces.state, offset: layout.slots[origin.slot]?.offset as number }
    else if (origin.kind === 'draw') {
      const counter = origin.counter.data as Int32Array
      draws.push({ counter, fill: origin.fill })
      found = { space: spaces.inputs + specs.length + constants.push(counter) - 1, offset: 0 }
    } else if (origin.kind === 'constant')
      found = { space: spaces.inputs + specs.length + constants.push(origin.value.data) - 1, offset: 0 }
    else throw new Error(`plan: the value of ${origin.primitive.name} is read before it is made`)
    places.set(base, found)
    return found
  }
  const slotOf = (node: Node): number => {
    const { space, offset } = place(node)
    return slot(space, offset, sizeOfNode(node), node.dtype)
  }
  const destination = (to: Destination, node: Node): number => {
    const at =
      to.kind === 'state'
        ? { space: spaces.state, offset: layout.slots[to.slot]?.offset as number }
        : { space: spaces.inputs + to.input, offset: 0 }
    return slot(at.space, at.offset, sizeOfNode(node), node.dtype)
  }
  const labels: string[] = []
  const emit = (call: Call, outputs: number[], inputs: number[], from: readonly Node[]) => {
    steps.push({ ...call, outputs, inputs })
    labels.push(labelOf(from))
  }

  items.forEach((item, i) => {
    const dying = [...new Set(readsOf(item).map(baseOf))].filter(
      (base) => isOp(base) && lastUse.get(base) === i && places.get(base)?.space === spaces.arena,
    )
    switch (item.kind) {
      case 'cluster': {
        const [only] = item.cluster.nodes as [Node]
        if (isView(only)) {
          // A value that is only looked at again stays alive through its base; what a barrier waited for may end here.
          dying.forEach(release)
          return
        }
        const made = item.cluster.nodes.filter((node) => item.writes.has(node) || lastUse.has(node))
        const reusable = item.cluster.elementwise
          ? takeOver(
              item.cluster,
              dying,
              made.filter((node) => !item.writes.has(node)),
            )
          : new Map<Node, Node>()
        for (const node of made) {
          const to = item.writes.get(node)
          if (to) {
            const { space, offset } = slots[destination(to, node)] as Slot
            places.set(node, { space, offset })
            continue
          }
          const victim = reusable.get(node)
          const offset = victim ? (places.get(victim)?.offset as number) : arena.take(sizeOfNode(node) * bytesPerElement[node.dtype])
          places.set(node, { space: spaces.arena, offset })
        }
        if (item.cluster.elementwise) {
          const { call, operands } = elementwiseCall(item.cluster, made)
          emit(call, made.map(slotOf), operands.map(slotOf), item.cluster.nodes)
        } else if (isOp(only)) {
          const call = only.origin.primitive.lower(only.inputs, { shape: only.shape, dtype: only.dtype }, only.origin.params)
          emit(call, item.cluster.nodes.map(slotOf), only.inputs.map(slotOf), [only])
        }
        const kept = new Set(reusable.values())
        for (const base of dying) if (!kept.has(base)) release(base)
        for (const node of made) if (!lastUse.has(node) && !item.writes.has(node)) release(node)
        return
      }
      case 'accumulation': {
        const { value, call, scale, slot: target } = item.accumulation
        emit(call, [destination({ kind: 'state', slot: target }, value)], [...value.inputs, ...(scale ? [scale] : [])].map(slotOf), [value])
        break
      }
      case 'copy':
        emit(
          { kernel: 'copy', ints: [1, 0, sizeOfNode(item.value), 0, 1, 0, 1], scalars: [0] },
          [destination(item.to, item.value)],
          [slotOf(item.value)],
          [item.value],
        )
        break
      case 'report':
        emit(
          { kernel: 'accumulate', ints: [sizeOfNode(item.value)], scalars: [] },
          [slot(spaces.report, 8 * item.entry, 1, 'float64')],
          [slotOf(item.value)],
          [item.value],
        )
    }
    dying.forEach(release)
  })

  function release(base: Node): void {
    const at = places.get(base)
    if (at?.space === spaces.arena) arena.release(at.offset)
  }

  const program: Program = {
    dtype: options.dtype,
    arenaBytes: arena.bytes,
    stateBytes: layout.bytes,
    report: options.report,
    atomic: options.atomic,
    inputs: [
      ...specs.map(({ name, dtype, shape, advance = 0, writable = false }) => ({ name, dtype, length: sizeOf(shape), advance, writable })),
      ...constants.map((data, i) => ({ name: `constant ${i}`, dtype: constantType(data), length: data.length, advance: 0 })),
    ],
    slots,
    steps,
  }
  return { program, constants, draws, labels }
}

/** The ops of a step, and the scope of the last. */
function labelOf(nodes: readonly Node[]): string {
  const names = [...new Set(nodes.map((node) => (isOp(node) ? node.origin.primitive.name : node.origin.kind)))].join(', ')
  const scope = nodes.findLast((node) => node.scope !== '')?.scope
  return scope ? `${names} in ${scope}` : names
}

const constantType = (data: TypedArray): Dtype =>
  data instanceof Float32Array ? 'float32' : data instanceof Float64Array ? 'float64' : data instanceof Int32Array ? 'int32' : 'bool'

/** Pairs outputs with dying operands of the same size and type that are read point by point. */
function takeOver(cluster: Cluster, dying: readonly Node[], outputs: readonly Node[]): Map<Node, Node> {
  const size = sizeOf(cluster.shape)
  const operands = operandsOf(cluster)
  const free = dying.filter(
    (base) => base.dtype === cluster.compute && operands.every((node) => baseOf(node) !== base || sizeOfNode(node) === size),
  )
  const pairs = new Map<Node, Node>()
  for (const output of outputs) {
    if (output.dtype !== cluster.compute) continue
    const victim = free.pop()
    if (victim) pairs.set(output, victim)
  }
  return pairs
}

/** The micro-program of a cluster; `made` are the nodes whose values are written out. */
function elementwiseCall(cluster: Cluster, made: readonly Node[]): { call: Call; operands: Node[] } {
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
