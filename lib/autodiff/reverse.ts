/** Reverse mode (3.50 – 3.51): one sweep from the outputs to the inputs, appending adjoint operations at the level below. */

import { WengertError } from '../errors.js'
import { sumTo } from '../primitives/broadcast.js'
import { add } from '../primitives/elementwise.js'
import type { Primitive } from '../primitives/primitive.js'
import { currentScope, replaceScope, withScope } from '../primitives/scope.js'
import { Tuple } from '../primitives/tuple.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import type { Entry, Tape } from './tape.js'

/** Called for each entry that the sweep visits, with the adjoint v̄ that arrived there. */
export type Visit = (index: number, adjoint: Tensor) => void

/**
 * Adjoints of all entries reached from the seeds. Entries on no path to a seed, or through which no derivative can come, are
 * never visited; a broadcast is summed away here, once, and not in the rules.
 */
export function sweep(tape: Tape, seeds: ReadonlyMap<number, Tensor>, visit?: Visit): (Tensor | undefined)[] {
  const adjoints: (Tensor | undefined)[] = []
  let last = -1
  for (const [index, seed] of seeds) {
    accumulate(adjoints, index, seed)
    last = Math.max(last, index)
  }
  const outer = swept
  const outerScope = currentScope()
  try {
    for (let index = last; index >= 0; index--) {
      const adjoint = adjoints[index]
      if (adjoint === undefined) continue
      const entry = tape.entries[index] as Entry
      if (!entry.active) continue
      visit?.(index, adjoint)
      if (entry.primitive === undefined) continue
      adjoints[index] = undefined
      swept = entry
      replaceScope(backward(entry.scope))
      const cotangents = contributions(tape, entry, adjoint)
      const { sources } = entry
      for (let i = 0; i < cotangents.length; i++) {
        const cotangent = cotangents[i]
        if (cotangent !== undefined) accumulate(adjoints, sources[i] as number, cotangent)
      }
    }
  } finally {
    swept = outer
    replaceScope(outerScope)
  }
  return adjoints
}

let swept: Entry | undefined

/** The entry whose derivative is being taken by the innermost sweep, for diagnosis. */
export const entryBeingSwept = (): Entry | undefined => swept

/** What an entry's adjoint contributes to each operand; undefined for constants and where no derivative can come through. */
export function pull(tape: Tape, entry: Entry, adjoint: Tensor): readonly (Tensor | undefined)[] {
  const outer = swept
  swept = entry
  try {
    return withScope(backward(entry.scope), () => contributions(tape, entry, adjoint), true)
  } finally {
    swept = outer
  }
}

const nothing: readonly undefined[] = []

function contributions(tape: Tape, entry: Entry, adjoint: Tensor): readonly (Tensor | undefined)[] {
  const { primitive, inputs, sources } = entry
  if (primitive === undefined) return nothing
  const { entries } = tape
  const wanted: boolean[] = new Array(sources.length)
  let any = false
  for (let i = 0; i < sources.length; i++) {
    wanted[i] = entries[sources[i] as number]?.active === true
    any ||= wanted[i] as boolean
  }
  if (!any) return nothing
  const given = cotangentsOf(primitive, adjoint, entry, wanted, tape.level)
  const result: (Tensor | undefined)[] = new Array(given.length)
  for (let i = 0; i < given.length; i++) {
    const g = given[i]
    result[i] = wanted[i] && g ? sumTo(g, (inputs[i] as Tensor).shape) : undefined
  }
  return result
}

/** The scope of an entry's adjoint operations. */
const backward = (scope: string): string => (scope === '' ? 'backward' : scope.endsWith('backward') ? scope : `${scope}, backward`)

function accumulate(adjoints: (Tensor | undefined)[], index: number, cotangent: Tensor): void {
  const before = adjoints[index]
  adjoints[index] = before === undefined ? cotangent : sumOf(before, cotangent)
}

const sumOf = (a: Tensor, b: Tensor): Tensor => (a instanceof Tuple && b instanceof Tuple ? a.plus(b, add) : add(a, b))

/** The cotangents of an entry's inputs, by the kind of its row. */
export function cotangentsOf(
  primitive: Primitive,
  g: Tensor,
  { inputs, output, params }: Pick<Entry, 'inputs' | 'output' | 'params'>,
  wanted: readonly boolean[],
  level = 0,
): readonly (Tensor | undefined)[] {
  switch (primitive.kind) {
    case 'elementwise':
      if (inputs.length === 1) return [primitive.derivatives[0]?.(g, inputs, output)]
      return inputs.map((_, i) => (wanted[i] ? primitive.derivatives[i]?.(g, inputs, output) : undefined))
    case 'linear':
      return inputs.map((_, i) => (wanted[i] ? primitive.transpose(g, i, inputs, params) : undefined))
    case 'general':
      return primitive.vjp(g, { inputs, output, params, level }, wanted)
    case 'nondifferentiable':
      return []
  }
}

/** The cotangents of a tape's inputs for given cotangents of its outputs; undefined where nothing arrives. */
export function pullBack(tape: Tape, outputs: readonly Tensor[], cotangents: readonly Tensor[]): (Tensor | undefined)[] {
  const seeds = new Map<number, Tensor>()
  outputs.forEach((y, i) => {
    const index = tape.indexOf(y.resolve())
    if (index < 0) return
    const before = seeds.get(index)
    const g = cotangents[i] as Tensor
    seeds.set(index, before ? add(before, g) : g)
  })
  const adjoints = sweep(tape, seeds)
  return Array.from({ length: tape.inputCount }, (_, i) => adjoints[i])
}

/** Refuses a tensor that cannot be differentiated. Errors: ERR_DTYPE. */
export function checkDifferentiable(op: string, x: Tensor): void {
  if (!isFloat(x.dtype))
    throw new WengertError('ERR_DTYPE', `${op}: expected a float32 or float64 tensor to differentiate, got ${x.dtype}`, {
      expected: 'float',
      actual: x.dtype,
    })
}
