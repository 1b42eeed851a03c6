/**
 * The optimisation barrier: the value of x as a value of its own. No pass of a program looks through it, so that what is
 * computed from it a second time (a recomputation in the backward pass) is not shared with the first, and not before its time.
 */

import type { Tensor } from '../tensor/tensor.js'
import { sizeOf } from '../util/shape.js'
import { copyCall } from './movement.js'
import type { Written } from './notation.js'
import { Abstract, type Aval, apply, below, type GeneralPrimitive, type Params, type Primitive } from './primitive.js'

const [first, later] = [(inputs: readonly Aval[]) => inputs[0] as Aval, (inputs: readonly Tensor[]) => inputs.slice(1)]

interface BarrierParams extends Params {
  /** Whether x is a result of what is behind barriers, rather than what it is computed from. */
  leaves?: true
}

export const barrierRow: GeneralPrimitive<BarrierParams> = {
  name: 'optimizationBarrier',
  notation: { symbol: 'optimizationBarrier', write: ([x]) => x as Written, quiet: true },
  kind: 'general',
  doc: 'y = x, made after the other inputs; programs neither share, fuse nor move what lies on its two sides, and make no stack of it',
  rowwise: (_inputs, _output, _params, rows) => rows[0] === true,
  infer: first,
  eager: ([x]) => x as Tensor,
  lower: (inputs) => copyCall({ dims: [sizeOf(first(inputs).shape)] }),
  jvp: ([t], { inputs, params }) => t && (params.leaves ? behindBarrier(t) : optimizationBarrier(t, ...later(inputs))),
  vjp: (g) => [optimizationBarrier(g)],
  batch: ({ inputs: [x, ...after], mapped, params }) => {
    const y = params.leaves ? behindBarrier(x as Tensor) : optimizationBarrier(x as Tensor, ...after)
    return mapped[0] ? y : { same: y }
  },
  samples: () => [{ inputs: [{ shape: [3, 2] }] }, { inputs: [{ shape: [0] }] }, { inputs: [{ shape: [] }] }],
}

/**
 * The same values, behind a barrier to a program's passes: what is computed from them is computed where it stands, after `after`
 * is known. For recomputation: `f` of a barrier of its arguments, after the cotangent, holds no memory until then.
 */
export function optimizationBarrier(x: Tensor, ...after: readonly Tensor[]): Tensor {
  const inputs = [x, ...after].map((input) => input.resolve())
  // Eagerly there is nothing to hold apart.
  if (!inputs.some((input) => below(input) instanceof Abstract)) return x
  return apply(barrierRow, inputs, {})
}

/** The same values to a program's passes, as results of what is computed from an `optimizationBarrier`. */
export function behindBarrier(x: Tensor): Tensor {
  return below(x.resolve()) instanceof Abstract ? apply(barrierRow, [x], { leaves: true }) : x
}

export const barrierRows = [barrierRow] as unknown as readonly Primitive[]
