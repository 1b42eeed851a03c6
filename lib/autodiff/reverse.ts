/** Reverse mode (3.50 – 3.51): one sweep from the outputs to the inputs, appending adjoint operations at the level below. */

import { WengertError } from '../errors.js'
import { sumTo } from '../primitives/broadcast.js'
import { add } from '../primitives/elementwise.js'
import type { Primitive } from '../primitives/primitive.js'
import { withScope } from '../primitives/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import type { Entry, Tape } from './tape.js'

/** Called for each entry that the sweep visits, with the adjoint v̄ that arrived there. */
export type Visit = (index: number, adjoint: Tensor) => void

/**
 * Adjoints of all entries reached from the seeds. Entries on no path to a seed, or from no watched input, are never
 * visited; a broadcast is summed away here, once, and not in the rules.
 */
export function sweep(tape: Tape, seeds: ReadonlyMap<number, Tensor>, visit?: Visit): (Tensor | undefined)[] {
  const adjoints: (Tensor | undefined)[] = []
  let last = -1
  for (const [index, seed] of seeds) {
    accumulate(adjoints, index, seed)
    last = Math.max(last, index)
  }
  for (let index = last; index >= 0; index--) {
    const adjoint = adjoints[index]
    if (adjoint === undefined) continue
    visit?.(index, adjoint)
    const entry = tape.entries[index] as Entry
    if (entry.primitive === undefined) continue
    const wanted = entry.inputs.map((x, i) => (entry.sources[i] as number) >= 0 && isFloat(x.dtype))
    if (!wanted.includes(true)) continue
    const { primitive, scope } = entry
    const cotangents = withScope(backward(scope), () => pull(primitive, adjoint, entry, wanted), true)
    for (let i = 0; i < wanted.length; i++) {
      const cotangent = cotangents[i]
      if (wanted[i] && cotangent !== undefined)
        accumulate(adjoints, entry.sources[i] as number, sumTo(cotangent, (entry.inputs[i] as Tensor).shape))
    }
    if (index >= tape.inputCount) adjoints[index] = undefined
  }
  return adjoints
}

/** The scope of an entry's adjoint operations. */
const backward = (scope: string): string => (scope.endsWith('backward') ? scope : `${scope}${scope ? ', ' : ''}backward`)

function accumulate(adjoints: (Tensor | undefined)[], index: number, cotangent: Tensor): void {
  const before = adjoints[index]
  adjoints[index] = before === undefined ? cotangent : add(before, cotangent)
}

/** The cotangents of an entry's inputs, by the kind of its row. */
function pull(
  primitive: Primitive,
  g: Tensor,
  { inputs, output, params }: Entry,
  wanted: readonly boolean[],
): readonly (Tensor | undefined)[] {
  switch (primitive.kind) {
    case 'elementwise':
      return inputs.map((_, i) => (wanted[i] ? primitive.derivatives[i]?.(g, inputs, output) : undefined))
    case 'linear':
      return inputs.map((_, i) => (wanted[i] ? primitive.transpose(g, i, inputs, params) : undefined))
    case 'general':
      return primitive.vjp(g, { inputs, output, params }, wanted)
    case 'nondifferentiable':
      return []
  }
}

/** Refuses a tensor that cannot be differentiated. Errors: ERR_DTYPE. */
export function checkDifferentiable(op: string, x: Tensor): void {
  if (!isFloat(x.dtype))
    throw new WengertError('ERR_DTYPE', `${op}: expected a float32 or float64 tensor to differentiate, got ${x.dtype}`, {
      expected: 'float',
      actual: x.dtype,
    })
}
