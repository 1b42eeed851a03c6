/** Rows as functions of tensors. */

import { elements } from '../../lib/primitives/elements.js'
import { apply, type Params, type Primitive } from '../../lib/primitives/primitive.js'
import { Tuple } from '../../lib/primitives/tuple.js'
import type { Tensor } from '../../lib/tensor/tensor.js'

/** The result of a row, the first where it has several. */
export function resultOf(row: Primitive, x: readonly Tensor[], params: Params): Tensor {
  const y = apply(row, x, params)
  return row.infer(x, params) instanceof Tuple ? (elements(y, 1)[0] as Tensor) : y
}
