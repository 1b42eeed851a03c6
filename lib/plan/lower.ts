/**
 * Lowering: scheduled items become kernel calls over slots. Values live in the arena from the call that makes them to the
 * last that reads them; an elementwise call may take over the memory of an operand that dies with it. The body of a loop is lowered
 * in turn, into the same arena: what it makes lives there while the loop runs.
 */

import { type Call, type Program, type Slot, type Step, spaces, type Window } from '../backend/program.js'
import type { Tuple } from '../primitives/tuple.js'
import type { FillCounters } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import { bytesPerElement, type Dtype, type TypedArray } from '../util/dtype.js'
import { type Shape, sizeOf } from '../util/shape.js'
import { Arena } from './arena.js'
import { arrange } from './arrange.js'
import { elementwiseCall, takeOver } from './elementwise-call.js'
import { isLoop, isMade, isOp, type Loop, type Node, sizeOfNode } from './graph.js'
import { joinedIn, joins, runOf } from './joins.js'
import type { InputSpec } from './record.js'
import { rowwiseCall } from './rowwise.js'
import { type Destination, type Item, readsOf } from './schedule.js'
import type { StateLayout } from './state-layout.js'
import { baseOf, isView } from './views.js'

export interface Lowered {
  program: Program
  /** Arrays for the inputs that follow the caller's own. */
  constants: TypedArray[]
  /** Those of the constants that are counters of draws: filled before each run. */
  draws: { counter: Int32Array; fill: FillCounters }[]
  /** For each step (`flatSteps`), what it computes and where in the model it comes from. */
  labels: string[]
}

/** Where a value lies; in loops it may move on with each iteration, by so many elements. */
interface Place {
  readonly space: number
  readonly offset: number
  readonly moves?: readonly { readonly frame: Frame; readonly advance: number }[]
}

/** A list of steps in the making: the program's own, or the body of a loop. */
interface Frame {
  readonly steps: Step[]
  /** Slots that move with the iterations. */
  readonly windows: Map<number, Window>
  /** Where what comes from outside of the list lies. */
  outside(node: Node): Place
  target(to: Destination): Place
}

/** What all lists of a program share. */
class Lowering {
  readonly slots: Slot[] = []
  readonly constants: TypedArray[] = []
  readonly draws: Lowered['draws'] = []
  readonly arena = new Arena()
  readonly #slotIds = new Map<string, number>()
  readonly #frames: Frame[] = []
  readonly #known = new Map<Tensor, Place>()

  constructor(
    readonly specs: readonly InputSpec[],
    readonly layout: StateLayout,
  ) {}

  slot({ space, offset, moves = [] }: Place, shape: Shape, dtype: Dtype): number {
    const length = sizeOf(shape)
    const motion = moves.map(({ frame, advance }) => `${this.#number(frame)}:${advance}`)
    const key = `${space} ${offset} ${length} ${dtype} ${motion}`
    let id = this.#slotIds.get(key)
    if (id === undefined) {
      id = this.slots.push({ space, offset, length, dtype }) - 1
      this.#slotIds.set(key, id)
      for (const { frame, advance } of moves) if (advance !== 0) frame.windows.set(id, { slot: id, advance })
    }
    return id
  }

  #number(frame: Frame): number {
    const known = this.#frames.indexOf(frame)
    return known < 0 ? this.#frames.push(frame) - 1 : known
  }

  take(shape: Shape, dtype: Dtype): Place {
    return { space: spaces.arena, offset: this.arena.take(sizeOf(shape) * bytesPerElement[dtype]) }
  }

  release(place: Place): void {
    this.arena.release(place.offset)
  }

  /** Where a constant lies, or the counters of draws: in an input of its own. */
  constant({ origin }: Node): Place | undefined {
    if (origin.kind !== 'constant' && origin.kind !== 'draw') return undefined
    const value = origin.kind === 'draw' ? origin.counter : origin.value
    let place = this.#known.get(value)
    if (place === undefined) {
      if (origin.kind === 'draw') this.draws.push({ counter: value.data as Int32Array, fill: origin.fill })
      place = { space: spaces.inputs + this.specs.length + this.constants.push(value.data) - 1, offset: 0 }
      this.#known.set(value, place)
    }
    return place
  }

  /** The program's own list. */
  root(): Frame {
    const { layout } = this
    const state = (slot: number): Place => ({ space: spaces.state, offset: layout.slots[slot]?.offset as number })
    const input = (index: number): Place => ({ space: spaces.inputs + index, offset: 0 })
    return {
      steps: [],
      windows: new Map(),
      outside: ({ origin }) => (origin.kind === 'input' ? input(origin.index) : state((origin as { slot: number }).slot)),
      target: (to) => (to.kind === 'state' ? state(to.slot) : input(to.input)),
    }
  }
}

export function lower(
  items: readonly Item[],
  specs: readonly InputSpec[],
  layout: StateLayout,
  options: { dtype: 'float32' | 'float64'; report: number; atomic: boolean },
): Lowered {
  const lowering = new Lowering(specs, layout)
  const root = lowering.root()
  const labels: string[] = []
  lowerItems(lowering, root, items, labels)
  const { constants, draws, slots, arena } = lowering
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
    steps: root.steps,
  }
  return { program, constants, draws, labels }
}

/** Adds the steps of some items to a list, and their labels. What they made and nobody reads later is let go. */
function lowerItems(lowering: Lowering, frame: Frame, items: readonly Item[], labels: string[]): void {
  const written = new Set(items.flatMap((item) => (item.kind === 'cluster' ? [...item.writes.keys()] : [])))
  /** The value in whose memory another lies, from which element on. */
  const homeOf = (node: Node): { base: Node; start: number } => {
    const base = baseOf(node)
    const run = written.has(base) ? undefined : runOf(base)
    return run && !written.has(run.whole) ? { base: run.whole, start: run.start } : { base, start: 0 }
  }
  const lastUse = new Map<Node, number>()
  items.forEach((item, i) => {
    for (const node of readsOf(item)) lastUse.set(homeOf(node).base, i)
  })
  const joined = joinedIn(items, lastUse, written)
  /** Where what is made of joined values will lie, from the first of them on. */
  const ahead = new Map<Node, Place>()
  /** Where each value lies, and which of those places were taken for it alone. */
  const places = new Map<Node, Place>()
  const taken = new Map<Node, Place>()
  const place = (node: Node): Place => {
    const { base, start } = homeOf(node)
    let found = places.get(base)
    if (found === undefined) {
      if (isMade(base)) throw new Error(`plan: the value of ${labelOf([base])} is read before it is made`)
      found = lowering.constant(base) ?? frame.outside(base)
      places.set(base, found)
    }
    return start === 0 ? found : { ...found, offset: found.offset + start * bytesPerElement[base.dtype] }
  }
  const slotOf = (node: Node): number => lowering.slot(place(node), node.shape, node.dtype)
  const emit = (call: Call, outputs: number[], inputs: number[], from: readonly Node[]) => {
    frame.steps.push({ ...call, outputs, inputs })
    labels.push(labelOf(from))
  }
  const copy = (value: Node, to: Place) => {
    const size = sizeOfNode(value)
    const call: Call = { kernel: 'copy', ints: [1, 0, size, 0, 1, 0, 1], scalars: [0] }
    emit(call, [lowering.slot(to, value.shape, value.dtype)], [slotOf(value)], [value])
  }
  const release = (base: Node) => {
    const at = taken.get(base)
    if (at) lowering.release(at)
  }

  items.forEach((item, i) => {
    const dying = [...new Set(readsOf(item).map((node) => homeOf(node).base))].filter((base) => lastUse.get(base) === i && taken.has(base))
    /** Gives values that are made their places: where they are written to, or in the arena. */
    const settle = (made: readonly Node[], writes: ReadonlyMap<Node, Destination>, reusable: ReadonlyMap<Node, Node>) => {
      for (const node of made) {
        const to = writes.get(node)
        const victim = reusable.get(node)
        const joint = joined.get(node)
        if (joint) {
          const { whole, start } = joint
          const begins = ahead.get(whole) ?? lowering.take(whole.shape, whole.dtype)
          ahead.set(whole, begins)
          places.set(node, { ...begins, offset: begins.offset + start * bytesPerElement[node.dtype] })
          continue
        }
        const at = to
          ? frame.target(to)
          : victim
            ? (taken.get(victim) as Place)
            : (ahead.get(node) ?? lowering.take(node.shape, node.dtype))
        places.set(node, at)
        if (!to) taken.set(node, at)
      }
    }
    switch (item.kind) {
      case 'cluster': {
        const { cluster, writes } = item
        const [only] = cluster.nodes as [Node]
        if (isView(only) || homeOf(only).base !== baseOf(only)) {
          // A value that is only looked at again stays alive through its base; what a barrier waited for may end here.
          dying.forEach(release)
          return
        }
        let reusable: ReadonlyMap<Node, Node> = new Map()
        const made = cluster.nodes.filter((node) => writes.has(node) || lastUse.has(node))
        if (cluster.elementwise) {
          const free = made.filter((node) => !writes.has(node) && !joined.has(node))
          // Where a value's parts are read, its memory is not taken over: they may lie elsewhere than what is written.
          const whole = dying.filter((base) => !joins(base))
          reusable = takeOver(cluster, whole, free)
          settle(made, writes, reusable)
          const { call, operands } = cluster.rows ? rowwiseCall(cluster, made) : elementwiseCall(cluster, made)
          emit(call, made.map(slotOf), operands.map(slotOf), cluster.nodes)
        } else if (isLoop(only)) {
          reusable = carriedOver(only, cluster.nodes, dying, writes)
          lowerLoop(only, cluster.nodes.slice(1), (carries) => settle(carries, writes, reusable))
        } else if (isOp(only)) {
          const { primitive, params } = only.origin
          const like = only.several ? primitive.infer(only.inputs, params) : { shape: only.shape, dtype: only.dtype }
          settle(made, writes, reusable)
          const spare: Place[] = []
          const outputs = only.several
            ? (like as Tuple).parts.map((part, k) => {
                const node = cluster.nodes.find(({ origin }) => origin.kind === 'part' && origin.index === k)
                if (node && places.has(node)) return slotOf(node)
                const { shape, dtype } = part as Tensor
                const own = lowering.take(shape, dtype)
                spare.push(own)
                return lowering.slot(own, shape, dtype)
              })
            : cluster.nodes.map(slotOf)
          emit(primitive.lower(only.inputs, like, params), outputs, only.inputs.map(slotOf), [only])
          for (const own of spare) lowering.release(own)
        }
        const kept = new Set(reusable.values())
        for (const base of dying) if (!kept.has(base)) release(base)
        for (const node of made) if (!lastUse.has(node) && !writes.has(node)) release(node)
        return
      }
      case 'accumulation': {
        const { value, call, scale, slot } = item.accumulation
        const to = lowering.slot(frame.target({ kind: 'state', slot }), value.shape, value.dtype)
        emit(call, [to], [...value.inputs, ...(scale ? [scale] : [])].map(slotOf), [value])
        break
      }
      case 'copy':
        copy(item.value, frame.target(item.to))
        break
      case 'report':
        emit(
          { kernel: 'accumulate', ints: [sizeOfNode(item.value)], scalars: [] },
          [lowering.slot({ space: spaces.report, offset: 8 * item.entry }, [], 'float64')],
          [slotOf(item.value)],
          [item.value],
        )
    }
    dying.forEach(release)
  })

  /** A loop: its carries are brought to where they stay, then its body is run over windows of the stacks. */
  function lowerLoop(node: Node, parts: readonly Node[], settle: (parts: readonly Node[]) => void): void {
    const { loop } = node.origin as { loop: Loop }
    const { carries, length, reverse } = loop
    const partOf = (index: number) => parts.find(({ origin }) => origin.kind === 'part' && origin.index === index)
    settle(parts)
    const spare: Place[] = []
    const carried = carries.map(({ shape, dtype, first }, s) => {
      if (first < 0) return undefined
      const part = partOf(s)
      const at = part ? (places.get(part) as Place) : lowering.take(shape, dtype)
      if (!part) spare.push(at)
      const begins = node.inputs[first] as Node
      if (place(begins) !== at) copy(begins, at)
      return at
    })
    /** The row of an iteration, in a stack. */
    const rowOf = ({ space, offset, moves = [] }: Place, shape: Shape, dtype: Dtype): Place => {
      const size = sizeOf(shape)
      const start = reverse ? (length - 1) * size * bytesPerElement[dtype] : 0
      return { space, offset: offset + start, moves: [...moves, { frame: body, advance: reverse ? -size : size }] }
    }
    const rows = new Map<number, Place>()
    const body: Frame = {
      steps: [],
      windows: new Map(),
      outside: (inner) => {
        const { origin } = inner
        if (origin.kind === 'state') return carried[origin.slot] as Place
        const outer = node.inputs[(origin as { index: number }).index] as Node
        return origin.kind === 'row' ? rowOf(place(outer), inner.shape, inner.dtype) : place(outer)
      },
      target: (to) => {
        if (to.kind === 'state') return carried[to.slot] as Place
        let found = rows.get(to.input)
        if (found === undefined) {
          const { shape, dtype } = loop.rows[to.input] as Node
          const part = partOf(carries.length + to.input)
          found = rowOf(places.get(part as Node) as Place, shape, dtype)
          rows.set(to.input, found)
        }
        return found
      },
    }
    const own: string[] = []
    lowerItems(lowering, body, arrange(loop.body), own)
    frame.steps.push({
      kernel: 'loop',
      outputs: [],
      inputs: [],
      ints: [],
      scalars: [],
      loop: { length, windows: [...body.windows.values()].sort((a, b) => a.slot - b.slot), steps: body.steps },
    })
    labels.push([labelOf([node]), ...loop.notes].join('; '), ...own)
    spare.forEach((at) => {
      lowering.release(at)
    })
  }
}

/** The ops of a step, and the scope of the last. */
function labelOf(nodes: readonly Node[]): string {
  const nameOf = (node: Node): string => {
    const { origin } = node
    return origin.kind === 'op' ? origin.primitive.name : origin.kind === 'part' ? nameOf(node.inputs[0] as Node) : origin.kind
  }
  const names = [...new Set(nodes.map(nameOf))].join(', ')
  const scope = nodes.findLast((node) => node.scope !== '')?.scope
  return scope ? `${names} in ${scope}` : names
}

const constantType = (data: TypedArray): Dtype =>
  data instanceof Float32Array ? 'float32' : data instanceof Float64Array ? 'float64' : data instanceof Int32Array ? 'int32' : 'bool'

/** The last carries of a loop that may stay where the first ones lay: in the arena, read by nothing else and nowhere later. */
function carriedOver(
  node: Node,
  parts: readonly Node[],
  dying: readonly Node[],
  writes: ReadonlyMap<Node, Destination>,
): ReadonlyMap<Node, Node> {
  const { carries } = (node.origin as { loop: Loop }).loop
  const pairs = new Map<Node, Node>()
  for (const part of parts) {
    if (part.origin.kind !== 'part' || writes.has(part)) continue
    const carry = carries[part.origin.index]
    if (carry === undefined) continue
    const first = node.inputs[carry.first] as Node
    const base = baseOf(first)
    const alone = node.inputs.filter((input) => baseOf(input) === base).length === 1
    if (alone && dying.includes(base) && base.dtype === part.dtype && sizeOfNode(base) === sizeOfNode(part)) pairs.set(part, base)
  }
  return pairs
}
