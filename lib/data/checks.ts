/** What is asked of data before anything is done with it. */

import { WengertError } from '../errors.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { sizeOf } from '../util/shape.js'

/** Refuses NaN and Infinity, naming the sample, of which this is the `first`. Errors: ERR_DATA. */
export function checkFinite(where: string, name: string, t: Tensor, first = 0): void {
  if (!isFloat(t.dtype)) return
  const data = t.data
  for (let i = 0; i < data.length; i++) {
    if (Number.isFinite(data[i])) continue
    const width = sizeOf(t.shape.slice(1))
    const feature = width > 1 ? `, feature ${i % width}` : ''
    throw new WengertError(
      'ERR_DATA',
      `${where}: expected finite numbers, got ${data[i]} in ${name} of sample ${first + Math.floor(i / width)}${feature}`,
      { expected: 'finite', actual: data[i] },
    )
  }
}
