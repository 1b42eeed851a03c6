/**
 * The loop as a primitive: `scan`, whose body is a graph. Its tangent is a loop over values and tangents; its pullback is a loop
 * the other way round, which computes each iteration again from the carry that entered it: of a forward pass that is swept
 * later, those carries are a result like any other. Each is a `scan` in turn, so derivatives of any order are.
 */

import { WengertError } from '../errors.js'
import { moveAxis } from '../primitives/batching.js'
import { elements } from '../primitives/elements.js'
import { add } from '../primitives/elementwise.js'
import { apply, type Batch, type GeneralPrimitive, type Params, type Repetition } from '../primitives/primitive.js'
import { Tuple } from '../primitives/tuple.js'
import type { Tensor } from '../tensor/tensor.js'
import { type Dtype, isFloat } from '../util/dtype.js'
import { type Maybe, pullThrough, pushBoth } from './closed.js'
import { type Bound, evaluate, Inputs, inOrder, iterate, type Loop, like, parts, type Role, resultsOf, zerosOf } from './loop.js'
import { replayMapped } from './vmap-trace.js'

/** Runs a loop: its results. */
export function run({ loop, operands }: Bound): Tensor[] {
  return elements(apply(scanRow(loop), operands, {}), resultsOf(loop).length)
}

/** The primitive of a loop. */
export function scanRow(loop: Loop): GeneralPrimitive {
  return {
    kind: 'general',
    name: 'scan',
    doc: 'carryₜ₊₁, yₜ = f(carryₜ, xₜ): the last carry, and the stack of the yₜ',
    infer: () => new Tuple(resultsOf(loop).map(like)),
    lower: () => {
      throw new WengertError('ERR_PROGRAM', 'scan: cannot stand in a program as it is: it is evaluated')
    },
    samples: () => [],
    repeats: repetitionOf(loop),
    inProgram: () => loop.length > mostWritten,
    evaluate: (operands) => new Tuple(evaluate(loop, operands)),
    forReverse: () => (loop.saving ? scanRow(loop) : scanRow({ ...loop, saving: true })),
    jvp: (tangents, { inputs }) => pushForward(loop, inputs, tangents).tangent,
    both: (tangents, inputs) => pushForward(loop, inputs, tangents),
    batch: (batch) => overSamples(loop, batch),
    vjp: (g, { inputs, output }, wanted) => pullBackward(loop, inputs, output, g as Tuple, wanted),
  }
}

/**
 * Iterations that a program has written out, one after the other. The instruction takes less from two on: forward and gradient of an LSTM
 * 16 → 128 (batch 32) at lengths 2, 4 and 8, by it 633, 993 and 1,866 µs, written out 655, 1,232 and 2,593; of a GRU 4 → 16 9.2, 11.5
 * and 21 µs, 11.9, 17 and 30.
 */
const mostWritten = 1

/** The loop for a program, which repeats it by an instruction of its own. */
function repetitionOf(loop: Loop): Repetition {
  const { length, reverse, carries, saving } = loop
  const rows = saving ? [...loop.rows, ...carries] : loop.rows
  const constants = loop.roles.filter((role) => role === 'constant').length
  return { length, reverse, constants, carries, rows, body: (inputs) => iterate(loop, parts(loop, inputs)) }
}

const isFloating = ({ dtype }: { dtype: Dtype }): boolean => isFloat(dtype)

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
