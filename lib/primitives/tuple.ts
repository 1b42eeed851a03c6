/**
 * Tuples: the value of a primitive with several results, for interpreters one value like any other. Users never see one: whoever
 * applies such a primitive takes its elements at once (`elements.ts`). A row has several results where its `infer` gives a tuple.
 */

import { Tensor } from '../tensor/tensor.js'
import { type Dtype, isFloat } from '../util/dtype.js'
import type { Shape } from '../util/shape.js'

/** Several tensors as one. Among cotangents and tangents an absent part is 0. */
export class Tuple extends Tensor {
  constructor(readonly parts: readonly (Tensor | undefined)[]) {
    super([], parts.some((x) => x !== undefined && isFloat(x.dtype)) ? 'float64' : 'int32')
  }

  /** Part by part, the sum of two tuples of cotangents. */
  plus(other: Tuple, add: (a: Tensor, b: Tensor) => Tensor): Tuple {
    const count = Math.max(this.parts.length, other.parts.length)
    return new Tuple(
      Array.from({ length: count }, (_, i) => {
        const [a, b] = [this.parts[i], other.parts[i]]
        return a && b ? add(a, b) : (a ?? b)
      }),
    )
  }
}

/** What a row of several results infers: their shapes and types. */
export const tupleOf = (results: readonly { readonly shape: Shape; readonly dtype: Dtype }[]): Tuple =>
  new Tuple(results.map(({ shape, dtype }) => new Tensor(shape, dtype)))
