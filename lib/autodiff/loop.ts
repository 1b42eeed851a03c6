/**
 * A loop as data: `scan`'s body is a graph, which is evaluated once an iteration, on values or as operations of a recording. What it
 * is as a primitive stands in `loop-rules.ts`.
 */

import { reshape } from '../primitives/movement.js'
import { slice, stack } from '../primitives/parts.js'
import { Abstract, type Aval, Traced } from '../primitives/primitive.js'
import { zeros } from '../tensor/creation.js'
import { emptyTensor, Tensor } from '../tensor/tensor.js'
import type { TypedArray } from '../util/dtype.js'
import { sizeOf } from '../util/shape.js'
import { type Closed, close, type Graph, replay } from './closed.js'

/** What an input of the body is: the same in every iteration, what the last one handed on, or a row of a stack. */
export type Role = 'constant' | 'carry' | 'row'

/** A body, and how often it runs. */
export interface Loop {
  /** Gives the next carries, then a row of each stacked result. */
  readonly graph: Graph
  /** Of each input of the graph. The loop's operands are the constants, the carries that enter, and the stacks. */
  readonly roles: readonly Role[]
  readonly carries: readonly Aval[]
  readonly rows: readonly Aval[]
  readonly length: number
  /** From the last row to the first. */
  readonly reverse: boolean
  /** Whether the carries that entered each iteration are results, too. */
  readonly saving: boolean
}

/** A loop and its operands. */
export interface Bound {
  readonly loop: Loop
  readonly operands: readonly Tensor[]
}

const stacked = ({ shape, dtype }: Aval, length: number): Aval => ({ shape: [length, ...shape], dtype })
const avalOf = ({ shape, dtype }: Aval): Aval => ({ shape, dtype })
export const zerosOf = ({ shape, dtype }: Aval): Tensor => zeros(shape, { dtype })
/** A row of a stack, without a value. */
export const rowOf = ({ shape, dtype }: Aval): Abstract => new Abstract(shape.slice(1), dtype)
export const like = ({ shape, dtype }: Aval): Abstract => new Abstract(shape, dtype)

/** The results of a loop: the last carries, the stacks, then (saving) the stacks of carries that entered. */
export function resultsOf({ carries, rows, length, saving }: Loop): Aval[] {
  const all = (list: readonly Aval[]) => list.map((aval) => stacked(aval, length))
  return [...carries.map(avalOf), ...all(rows), ...(saving ? all(carries) : [])]
}

/**
 * Makes a loop of a closed body.
 *
 * @param roles of the inputs of `closed`; those beyond are captured constants
 * @param values the operands in the order of those inputs: of a row its stack
 * @param carries how many of the outputs are carries
 */
export function bind(
  closed: Pick<Closed, 'graph' | 'outputs'>,
  roles: readonly Role[],
  values: readonly Tensor[],
  carries: number,
  { length, reverse, saving }: Pick<Loop, 'length' | 'reverse' | 'saving'>,
): Bound {
  const { steps, outputs } = closed.graph
  const read = new Set<number>(outputs.filter((y) => typeof y === 'number'))
  for (let i = steps.length - 1; i >= 0; i--) if (read.has(i)) for (const s of steps[i]?.sources ?? []) read.add(s)
  // What no result needs is no operand: its step goes, and those after it move up.
  const place = new Map<number, number>([[-1, -1]])
  const keptRoles: Role[] = []
  const keptValues: Tensor[] = []
  const kept = steps.filter((step, i) => {
    const input = step.primitive === undefined ? inputNumber(steps, i) : -1
    const role = input < 0 ? undefined : (roles[input] ?? 'constant')
    if (!read.has(i) && role !== 'carry') return false
    place.set(i, place.size - 1)
    if (role) {
      keptRoles.push(role)
      keptValues.push(values[input] as Tensor)
    }
    return true
  })
  const graph: Graph = {
    steps: kept.map((step) => ({ ...step, sources: step.sources.map((s) => place.get(s) as number) })),
    outputs: outputs.map((y) => (typeof y === 'number' ? (place.get(y) as number) : y)),
  }
  const of = (role: Role) => keptValues.filter((_, i) => keptRoles[i] === role)
  return {
    loop: {
      graph,
      roles: keptRoles,
      carries: closed.outputs.slice(0, carries).map(avalOf),
      rows: closed.outputs.slice(carries).map(avalOf),
      length,
      reverse,
      saving,
    },
    operands: [...of('constant'), ...of('carry'), ...of('row')],
  }
}

const inputNumbers = new WeakMap<Graph['steps'], Map<number, number>>()
function inputNumber(steps: Graph['steps'], index: number): number {
  let numbers = inputNumbers.get(steps)
  if (numbers === undefined) {
    numbers = new Map()
    for (let i = 0; i < steps.length; i++) if (steps[i]?.primitive === undefined) numbers.set(i, numbers.size)
    inputNumbers.set(steps, numbers)
  }
  return numbers.get(index) as number
}

/** Operands by role. */
export function parts<T>({ roles }: Loop, operands: readonly T[]): Record<Role, T[]> {
  const constants = roles.filter((role) => role === 'constant').length
  const carries = roles.filter((role) => role === 'carry').length
  return {
    constant: operands.slice(0, constants),
    carry: operands.slice(constants, constants + carries),
    row: operands.slice(constants + carries),
  }
}

/** Values of each role, in the order of the body's inputs. */
export function inOrder<T>({ roles }: Loop, values: Record<Role, readonly T[]>): T[] {
  const next = { constant: 0, carry: 0, row: 0 }
  return roles.map((role) => values[role][next[role]++] as T)
}

/** One iteration: of constants, carries and rows, in the order of a loop's operands, the next carries and a row of each stack. */
export function iterate(loop: Loop, given: Record<Role, readonly Tensor[]>): Tensor[] {
  const results = replay(loop.graph, inOrder(loop, given))
  return loop.saving ? [...results, ...given.carry] : results
}

export function evaluate(loop: Loop, operands: readonly Tensor[]): Tensor[] {
  if (operands.some((x) => x instanceof Traced)) return writtenOut(loop, operands)
  if (operands.some((x) => x instanceof Abstract)) return resultsOf(loop).map(like)
  return repeated(loop, operands)
}

/** One iteration after the other, as operations of a recording. */
function writtenOut(loop: Loop, operands: readonly Tensor[]): Tensor[] {
  const { graph, length, reverse, saving } = loop
  const { constant, carry, row } = parts(loop, operands)
  let now = carry
  const rows: Tensor[][] = loop.rows.map(() => [])
  const saved: Tensor[][] = loop.carries.map(() => [])
  for (let k = 0; k < length; k++) {
    const t = reverse ? length - 1 - k : k
    now.forEach((c, i) => {
      saved[i]?.push(c)
    })
    const at = row.map((x) => reshape(slice(x, [t, t + 1]), x.shape.slice(1)))
    const results = replay(graph, inOrder(loop, { constant, carry: now, row: at }))
    now = results.slice(0, carry.length)
    results.slice(carry.length).forEach((y, i) => {
      rows[i]?.push(y)
    })
  }
  const stackOf = (list: Tensor[], aval: Aval) => {
    if (length === 0) return zerosOf(stacked(aval, 0))
    return stack(reverse ? [...list].reverse() : list)
  }
  return [
    ...now,
    ...rows.map((list, i) => stackOf(list, loop.rows[i] as Aval)),
    ...(saving ? saved.map((list, i) => stackOf(list, loop.carries[i] as Aval)) : []),
  ]
}

/** One iteration after the other, on values. */
function repeated(loop: Loop, operands: readonly Tensor[]): Tensor[] {
  const { graph, length, reverse, saving } = loop
  const { constant, carry, row } = parts(loop, operands)
  const stacks = resultsOf(loop)
    .slice(carry.length)
    .map(({ shape, dtype }) => emptyTensor(shape, dtype))
  const read = row.map((x) => x.resolve())
  let now = carry
  for (let k = 0; k < length; k++) {
    const t = reverse ? length - 1 - k : k
    const at = read.map((x) => new Tensor(x.shape.slice(1), x.dtype, rowsOf(x, t)))
    const results = replay(graph, inOrder(loop, { constant, carry: now, row: at }))
    const made = [...results.slice(carry.length), ...(saving ? now : [])]
    made.forEach((y, i) => {
      rowsOf(stacks[i] as Tensor, t).set(y.data as never)
    })
    now = results.slice(0, carry.length)
  }
  // A carry may be a row as it was read: a result has memory of its own.
  const own = now.map((c) => (read.some((x) => x.data.buffer === c.data.buffer) ? new Tensor(c.shape, c.dtype, c.data.slice()) : c))
  return [...own, ...stacks]
}

function rowsOf(x: Tensor, t: number): TypedArray {
  const size = sizeOf(x.shape.slice(1))
  return x.data.subarray(t * size, (t + 1) * size)
}

/** The inputs of a new body, each with the operand that it stands for. */
export class Inputs {
  readonly placeholders: Tensor[] = []
  readonly roles: Role[] = []
  readonly values: Tensor[] = []

  /** Adds inputs, and gives what reads them in the body. */
  add(role: Role, values: readonly Tensor[]): <T>(inner: readonly T[]) => T[] {
    const start = this.roles.length
    for (const x of values) {
      this.placeholders.push(role === 'row' ? rowOf(x) : like(x))
      this.roles.push(role)
      this.values.push(x)
    }
    return (inner) => inner.slice(start, start + values.length)
  }

  bind(
    body: (inner: readonly Tensor[]) => readonly Tensor[],
    carries: number,
    options: Pick<Loop, 'length' | 'reverse' | 'saving'>,
  ): Bound {
    const closed = close('scan', (...inner) => body(inner), this.placeholders, true)
    return bind(closed, this.roles, [...this.values, ...closed.inputs.slice(this.values.length)], carries, options)
  }
}
