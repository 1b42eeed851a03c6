/** What can be read of a tensor while a function of it is recorded or traced. */

import type { Tensor } from '../tensor/tensor.js'
import type { TypedArray } from '../util/dtype.js'
import { Abstract, Traced } from './primitive.js'

/** The values of a tensor, inside of `vmap` those of all samples; undefined where only its shape is known. */
export function knownValues(x: Tensor): TypedArray | undefined {
  let inner = x.resolve()
  while (inner instanceof Traced) inner = inner.value
  return inner instanceof Abstract ? undefined : inner.data
}
