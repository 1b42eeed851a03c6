/**
 * Recording: a function runs once over abstract tensors, everything it applies (differentiation included) lands on one
 * tape, and the tape becomes a graph.
 */

import { Tape, Variable } from '../autodiff/tape.js'
import { WengertError } from '../errors.js'
import { Abstract, atNextLevel, type GeneralPrimitive, type Repetition, refuseLeaked, Traced } from '../primitives/primitive.js'
import { calledDraws } from '../primitives/random.js'
import { Tuple } from '../primitives/tuple.js'
import { withDrawsFrom } from '../tensor/random.js'
import { emptyTensor, type Tensor } from '../tensor/tensor.js'
import type { Dtype } from '../util/dtype.js'
import { formatShape, type Shape, sameShape, sizeOf } from '../util/shape.js'
import { type Effect, type Graph, type Loop, type Node, removeDead } from './graph.js'
import { StateLayout } from './state-layout.js'

/** An array that the program reads (or writes): what one run sees of it, and how far it moves on after each run. */
export interface InputSpec {
  name: string
  shape: Shape
  dtype: Dtype
  /** Elements; 0 by default. */
  advance?: number
  writable?: boolean
}

/** What the recorded function is given: names for the outside, and the effects. */
export interface Recorder {
  /** Inputs may be added to the list while the function is recorded. */
  input(index: number): Tensor
  state(slot: number): Tensor
  /** The state slot holds `value` after the run. */
  assign(slot: number, value: Tensor): void
  /** Adds the sum of `value` to an entry of the report. */
  report(entry: number, value: Tensor): void
  /** Writes `value` to a writable input. */
  output(input: number, value: Tensor): void
}

/**
 * Records `build` over inputs and a state block. Errors: ERR_VALUE_NEEDED where its path depends on values; ERR_LEAKED for a tensor
 * of a function that has returned.
 *
 * @param name what records, for messages
 */
export function record(
  inputs: readonly InputSpec[],
  layout: StateLayout,
  build: (recorder: Recorder) => void,
  name = 'a recording',
): Graph {
  return atNextLevel((level) => {
    const tape = new Tape(level, true, true, name)
    const nodes: Node[] = []
    const effects: Effect[] = []
    const constants = new Map<Tensor, Node>()
    const origins = new Map<number, Node['origin']>()
    const add = (origin: Node['origin'], from: Node[], shape: Shape, dtype: Dtype, scope = ''): Node => {
      const node = { id: nodes.length, origin, inputs: from, shape, dtype, scope }
      nodes.push(node)
      return node
    }
    const outside = (origin: Node['origin'], shape: Shape, dtype: Dtype): Tensor => {
      const variable = tape.watch(new Abstract(shape, dtype))
      origins.set(variable.index, origin)
      return variable
    }
    const inputTensors: Tensor[] = []
    const input = (index: number): Tensor => {
      const { shape, dtype } = inputs[index] as InputSpec
      inputTensors[index] ??= outside({ kind: 'input', index }, shape, dtype)
      return inputTensors[index] as Tensor
    }
    for (const index of inputs.keys()) input(index)
    const stateTensors = layout.slots.map((slot, index) => outside({ kind: 'state', slot: index }, slot.shape, slot.dtype))
    const pending: { effect: Effect['kind']; target: number; value: Tensor }[] = []
    const keep = (effect: Effect['kind'], target: number, value: Tensor, like?: { shape: Shape; dtype: Dtype; name: string }) => {
      if (like && (!sameShape(like.shape, value.shape) || like.dtype !== value.dtype)) {
        throw new WengertError(
          'ERR_SHAPE',
          `program: expected ${like.dtype} ${formatShape(like.shape)} for ${like.name}, got ${value.dtype} ${formatShape(value.shape)}`,
          { expected: like.shape, actual: value.shape },
        )
      }
      pending.push({ effect, target, value: value.resolve() })
    }
    const draws = calledDraws((shape, fill) => {
      const counter = emptyTensor(shape, 'int32')
      return outside({ kind: 'draw', counter, fill }, counter.shape, counter.dtype)
    })
    const recorder: Recorder = {
      input,
      state: (slot) => stateTensors[slot] as Tensor,
      assign: (slot, value) => keep('assign', slot, value, layout.slots[slot]),
      report: (entry, value) => keep('report', entry, value),
      output: (index, value) => keep('output', index, value, inputs[index]),
    }
    withDrawsFrom(draws, () => build(recorder))

    const byEntry: Node[] = []
    const nodeOf = (x: Tensor, source: number): Node => {
      if (source >= 0) return byEntry[source] as Node
      if (x instanceof Traced && !x.trace.open) refuseLeaked(name, x)
      if (x instanceof Abstract)
        throw new WengertError(
          'ERR_VALUE_NEEDED',
          'program: a value comes from another recording; compute it inside of the recorded function',
        )
      let node = constants.get(x)
      if (node === undefined) {
        node = add({ kind: 'constant', value: x }, [], x.shape, x.dtype)
        constants.set(x, node)
      }
      return node
    }
    const known = new Map<string, Node>()
    tape.entries.forEach(({ primitive, params, inputs: operands, sources, output, scope }, index) => {
      const from = operands.map((x, i) => nodeOf(x, sources[i] as number))
      const { part, repeats } = (primitive?.kind === 'general' ? primitive : {}) as Partial<GeneralPrimitive>
      if (part !== undefined) {
        // Results are asked for more than once; they are there once.
        const key = `${from[0]?.id} ${part}`
        byEntry[index] = known.get(key) ?? add({ kind: 'part', index: part }, from, output.shape, output.dtype, scope)
        known.set(key, byEntry[index] as Node)
      } else if (repeats) byEntry[index] = add({ kind: 'loop', loop: loopOf(repeats, from) }, from, [], 'bool', scope)
      else {
        const origin: Node['origin'] = primitive ? { kind: 'op', primitive, params } : (origins.get(index) as Node['origin'])
        const node = add(origin, from, output.shape, output.dtype, scope)
        if (output instanceof Tuple) Object.assign(node, { several: true, dtype: 'bool' })
        byEntry[index] = node
      }
    })
    for (const { effect, target, value } of pending) {
      const node = nodeOf(value, value instanceof Variable && value.trace === tape ? value.index : -1)
      if (effect === 'assign') effects.push({ kind: effect, slot: target, value: node })
      else if (effect === 'report') effects.push({ kind: effect, entry: target, value: node })
      else effects.push({ kind: effect, input: target, value: node })
    }
    return { nodes, effects }
  })
}

/** A loop over these operands, its body recorded. */
function loopOf({ length, reverse, constants, carries, rows, body }: Repetition, operands: readonly Node[]): Loop {
  const layout = new StateLayout()
  for (const { shape, dtype } of carries) layout.add('carry', shape, dtype)
  const stacks = constants + carries.length
  const isCarry = (index: number) => index >= constants && index < stacks
  const specs = operands.map(({ shape, dtype }, i): InputSpec => ({ name: `${i}`, shape: i < stacks ? shape : shape.slice(1), dtype }))
  specs.push(...rows.map(({ shape, dtype }): InputSpec => ({ name: 'row', shape, dtype, writable: true })))
  const graph = record(
    specs,
    layout,
    (r) => {
      const results = body(operands.map((_, i) => (isCarry(i) ? r.state(i - constants) : r.input(i))))
      results.forEach((y, i) => {
        if (i < carries.length) r.assign(i, y)
        else r.output(operands.length + i - carries.length, y)
      })
    },
    'scan',
  )
  for (const node of graph.nodes)
    if (node.origin.kind === 'input' && node.origin.index >= stacks) node.origin = { kind: 'row', index: node.origin.index }
  for (const effect of graph.effects) if (effect.kind === 'output') effect.input -= operands.length
  removeDead(graph)
  return {
    length,
    reverse,
    body: graph,
    carries: carries.map(({ shape, dtype }, i) => ({ shape, dtype, first: constants + i })),
    rows: rows.map(({ shape, dtype }) => ({ shape, dtype })),
    notes: [],
  }
}

/** The elements of an input that one run sees. */
export const lengthOf = (spec: InputSpec): number => sizeOf(spec.shape)
