/**
 * The loop as a primitive: `scan`, whose body is a graph. Its tangent is a loop over values and tangents; its pullback is a loop
 * the other way round, which computes each iteration again from the carry that entered it: of a forward pass that is swept
 * later, those carries are a result like any other. Each is a `scan` in turn, so derivatives of any order are.
 */

import { WengertError } from '../errors.js'
import { moveAxis } from '../primitives/batching.js'
import { add } from '../primitives/elementwise.js'
import { reshape } from '../primitives/movement.js'
import { slice, stack } from '../primitives/parts.js'
import { Abstract, type Aval, apply, type Batch, type GeneralPrimitive, type Params, Traced } from '../primitives/primitive.js'
import { elements, Tuple } from '../primitives/tuple.js'
import { zeros } from '../tensor/creation.js'
import { emptyTensor, Tensor } from '../tensor/tensor.js'
import { type Dtype, isFloat, type TypedArray } from '../util/dtype.js'
import { sizeOf } from '../util/shape.js'
import { type Closed, close, type Graph, type Maybe, pullThrough, pushBoth, replay } from './closed.js'
import { replayMapped } from './vmap-trace.js'

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
const zerosOf = ({ shape, dtype }: Aval): Tensor => zeros(shape, { dtype })
/** A row of a stack, without a value. */
export const rowOf = ({ shape, dtype }: Aval): Abstract => new Abstract(shape.slice(1), dtype)
export const like = ({ shape, dtype }: Aval): Abstract => new Abstract(shape, dtype)

/** The results of a loop: the last carries, the stacks, then (saving) the stacks of carries that entered. */
function resultsOf({ carries, rows, length, saving }: Loop): Aval[] {
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

/** Runs a loop: its results. */
export function run({ loop, operands }: Bound): Tensor[] {
  return elements(apply(scanRow(loop), operands, {}), resultsOf(loop).length)
}

/** Operands by role. */
function parts<T>({ roles }: Loop, operands: readonly T[]): Record<Role, T[]> {
  const constants = roles.filter((role) => role === 'constant').length
  const carries = roles.filter((role) => role === 'carry').length
  return {
    constant: operands.slice(0, constants),
    carry: operands.slice(constants, constants + carries),
    row: operands.slice(constants + carries),
  }
}

/** Values of each role, in the order of the body's inputs. */
function inOrder<T>({ roles }: Loop, values: Record<Role, readonly T[]>): T[] {
  const next = { constant: 0, carry: 0, row: 0 }
  return roles.map((role) => values[role][next[role]++] as T)
}

/** The primitive of a loop. */
export function scanRow(loop: Loop): GeneralPrimitive {
  return {
    kind: 'general',
    name: 'scan',
    doc: 'carryₜ₊₁, yₜ = f(carryₜ, xₜ): the last carry, and the stack of the yₜ',
    infer: () => new Tuple(resultsOf(loop).map(like)),
    lower: () => {
      throw new WengertError('ERR_PROGRAM', 'scan: expected to be evaluated, not lowered')
    },
    samples: () => [],
    evaluate: (operands) => new Tuple(evaluate(loop, operands)),
    forReverse: () => (loop.saving ? scanRow(loop) : scanRow({ ...loop, saving: true })),
    jvp: (tangents, { inputs }) => pushForward(loop, inputs, tangents).tangent,
    both: (tangents, inputs) => pushForward(loop, inputs, tangents),
    batch: (batch) => overSamples(loop, batch),
    vjp: (g, { inputs, output }, wanted) => pullBackward(loop, inputs, output, g as Tuple, wanted),
  }
}

function evaluate(loop: Loop, operands: readonly Tensor[]): Tensor[] {
  if (operands.some((x) => x instanceof Traced)) return writtenOut(loop, operands)
  if (operands.some((x) => x instanceof Abstract)) return resultsOf(loop).map(like)
  return repeated(loop, operands)
}

/** Entries of a recording that a loop may be written out to. */
const mostWritten = 20_000

/** One iteration after the other, as operations of a recording. */
function writtenOut(loop: Loop, operands: readonly Tensor[]): Tensor[] {
  const { graph, length, reverse, saving } = loop
  const size = length * graph.steps.length
  if (size > mostWritten)
    throw new WengertError(
      'ERR_VALUE_NEEDED',
      `scan: ${length} iterations of ${graph.steps.length} operations are too many to be written out in a program (${mostWritten} at most); such a function runs eagerly`,
      { expected: mostWritten, actual: size },
    )
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

const isFloating = ({ dtype }: { dtype: Dtype }): boolean => isFloat(dtype)

/** The inputs of a new body, each with the operand that it stands for. */
class Inputs {
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

/** Values and tangents, in one loop. */
function pushForward(loop: Loop, operands: readonly Tensor[], tangents: readonly Maybe[]): { output: Tuple; tangent: Tuple } {
  const { constant, carry, row } = parts(loop, operands)
  const moving = parts(loop, tangents)
  const inputs = new Inputs()
  const present = (list: readonly Maybe[]) => list.filter((t) => t !== undefined)
  const readConstants = inputs.add('constant', constant)
  const readConstantTangents = inputs.add('constant', present(moving.constant))
  const readCarries = inputs.add('carry', carry)
  const readCarryTangents = inputs.add(
    'carry',
    carry.flatMap((c, i) => (isFloating(c) ? [moving.carry[i] ?? zerosOf(c)] : [])),
  )
  const readRows = inputs.add('row', row)
  const readRowTangents = inputs.add('row', present(moving.row))

  const count = carry.length
  let moved: boolean[] = []
  const bound = inputs.bind(
    (inner) => {
      const values = inOrder(loop, { constant: readConstants(inner), carry: readCarries(inner), row: readRows(inner) })
      const next = { constant: readConstantTangents(inner), carry: readCarryTangents(inner), row: readRowTangents(inner) }
      const spread = (role: 'constant' | 'row') => {
        let i = 0
        return moving[role].map((t) => (t ? next[role][i++] : undefined))
      }
      let i = 0
      const carried = carry.map((c) => (isFloating(c) ? next.carry[i++] : undefined))
      const pairs = pushBoth(loop.graph, values, inOrder<Maybe>(loop, { constant: spread('constant'), carry: carried, row: spread('row') }))
      const [carries, rows] = [pairs.slice(0, count), pairs.slice(count)]
      moved = rows.map(({ tangent }) => tangent !== undefined)
      return [
        ...carries.map(({ value }) => value),
        ...carries.flatMap(({ value, tangent }) => (isFloating(value) ? [tangent ?? zerosOf(value)] : [])),
        ...rows.map(({ value }) => value),
        ...rows.flatMap(({ tangent }) => (tangent ? [tangent] : [])),
      ]
    },
    count + loop.carries.filter(isFloating).length,
    loop,
  )
  const results = run(bound)
  let at = 0
  const take = (n: number): Tensor[] => {
    at += n
    return results.slice(at - n, at)
  }
  const floats = loop.carries.filter(isFloating).length
  const ofCarries = (list: readonly Tensor[]): Maybe[] => {
    let i = 0
    return loop.carries.map((c) => (isFloating(c) ? list[i++] : undefined))
  }
  const ofRows = (list: readonly Tensor[]): Maybe[] => {
    let i = 0
    return moved.map((yes) => (yes ? list[i++] : undefined))
  }
  const [last, lastTangents] = [take(count), ofCarries(take(floats))]
  const [stacks, stackTangents] = [take(loop.rows.length), ofRows(take(moved.filter(Boolean).length))]
  const [saved, savedTangents] = loop.saving ? [take(count), ofCarries(take(floats))] : [[], []]
  return {
    output: new Tuple([...last, ...stacks, ...saved]),
    tangent: new Tuple([...lastTangents, ...stackTangents, ...savedTangents]),
  }
}

/** The loop of all samples at once: its carries and what it makes are each sample's own, the axis of the samples first. */
function overSamples(loop: Loop, { inputs: operands, mapped, full, size }: Batch<Params>): Tuple {
  const given = parts(
    loop,
    operands.map((x, i) => ({ x, i })),
  )
  const inputs = new Inputs()
  const readConstants = inputs.add(
    'constant',
    given.constant.map(({ x }) => x),
  )
  const readCarries = inputs.add(
    'carry',
    given.carry.map(({ i }) => full(i)),
  )
  const readRows = inputs.add(
    'row',
    given.row.map(({ x, i }) => (mapped[i] ? moveAxis(x, 0, 1) : x)),
  )
  const own = inOrder(loop, {
    constant: given.constant.map(({ i }) => mapped[i] === true),
    carry: given.carry.map(() => true),
    row: given.row.map(({ i }) => mapped[i] === true),
  })
  const bound = inputs.bind(
    (inner) => {
      const values = inOrder(loop, { constant: readConstants(inner), carry: readCarries(inner), row: readRows(inner) })
      return replayMapped(loop.graph, values, own, size)
    },
    loop.carries.length,
    loop,
  )
  return new Tuple(run(bound).map((y, i) => (i < loop.carries.length ? y : moveAxis(y, 1, 0))))
}

/** The cotangents of a loop's operands: a loop from the last iteration to the first. */
function pullBackward(loop: Loop, operands: readonly Tensor[], output: Tensor, g: Tuple, wanted: readonly boolean[]): Maybe[] {
  const { constant, carry, row } = parts(loop, operands)
  const asked = parts(loop, wanted)
  const [count, stacks] = [carry.length, loop.rows.length]
  const results = resultsOf(loop)
  const saved = loop.saving
    ? elements(output, results.length).slice(count + stacks)
    : run({ loop: { ...loop, saving: true }, operands }).slice(count + stacks)
  const [ofLast, ofStacks, ofSaved] = [g.parts.slice(0, count), g.parts.slice(count, count + stacks), g.parts.slice(count + stacks)]
  const isMoving = (x: Tensor, i: number, role: Role) => isFloating(x) && (role === 'carry' || asked[role][i] === true)
  const movingConstants = constant.filter((x, i) => isMoving(x, i, 'constant'))
  const movingRows = row.map((x, i) => isMoving(x, i, 'row'))
  const present = (list: readonly Maybe[]) => list.filter((x) => x !== undefined)

  const inputs = new Inputs()
  const readConstants = inputs.add('constant', constant)
  const readCotangents = inputs.add(
    'carry',
    carry.flatMap((c, i) => (isFloating(c) ? [ofLast[i] ?? zerosOf(c)] : [])),
  )
  const readSums = inputs.add('carry', movingConstants.map(zerosOf))
  const readCarries = inputs.add('row', saved)
  const readRows = inputs.add('row', row)
  const readStackCotangents = inputs.add('row', present(ofStacks))
  const readSavedCotangents = inputs.add('row', present(ofSaved))

  let rowsReached: boolean[] = []
  let constantsReached: boolean[] = []
  const bound = inputs.bind(
    (inner) => {
      const values = inOrder(loop, { constant: readConstants(inner), carry: readCarries(inner), row: readRows(inner) })
      const spread = (list: readonly Maybe[], inside: readonly Tensor[]): Maybe[] => {
        let i = 0
        return list.map((x) => (x ? inside[i++] : undefined))
      }
      let next = 0
      const cotangents = readCotangents(inner)
      const seeds: Maybe[] = [
        ...loop.carries.map((c) => (isFloating(c) ? cotangents[next++] : undefined)),
        ...spread(ofStacks, readStackCotangents(inner)).concat(new Array(stacks - ofStacks.length).fill(undefined)),
      ]
      const seeded = seeds.flatMap((seed, i) => (seed ? [i] : []))
      const found = pullThrough(
        { ...loop.graph, outputs: seeded.map((i) => loop.graph.outputs[i] as number | Tensor) },
        values,
        seeded.map((i) => seeds[i] as Tensor),
        inOrder(loop, {
          constant: constant.map((x, i) => isMoving(x, i, 'constant')),
          carry: carry.map(isFloating),
          row: movingRows,
        }),
      )
      const byRole: Record<Role, Maybe[]> = { constant: [], carry: [], row: [] }
      loop.roles.forEach((role, i) => {
        byRole[role].push(found[i])
      })
      const extra = spread(ofSaved, readSavedCotangents(inner))
      const back = carry.flatMap((c, i) => {
        if (!isFloating(c)) return []
        const [a, b] = [byRole.carry[i], extra[i]]
        return [a && b ? add(a, b) : (a ?? b ?? zerosOf(c))]
      })
      const sums = readSums(inner)
      const ofConstants = byRole.constant.filter((_, i) => isMoving(constant[i] as Tensor, i, 'constant'))
      constantsReached = ofConstants.map((c) => c !== undefined)
      rowsReached = byRole.row.map((c) => c !== undefined)
      return [
        ...back,
        ...sums.map((sum, i) => (ofConstants[i] ? add(sum, ofConstants[i] as Tensor) : sum)),
        ...byRole.row.flatMap((c) => (c ? [c] : [])),
      ]
    },
    carry.filter(isFloating).length + movingConstants.length,
    { length: loop.length, reverse: !loop.reverse, saving: false },
  )
  const made = run(bound)
  let at = 0
  const ofCarries = carry.map((c) => (isFloating(c) ? made[at++] : undefined))
  const sums = constantsReached.map((yes) => {
    const sum = made[at++]
    return yes ? sum : undefined
  })
  let next = 0
  const ofConstants = constant.map((x, i) => (isMoving(x, i, 'constant') ? sums[next++] : undefined))
  const ofRows = rowsReached.map((yes) => (yes ? made[at++] : undefined))
  return [...ofConstants, ...ofCarries, ...ofRows]
}
