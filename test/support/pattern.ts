/** Given numbers of golden cases that a formula makes here and in the script (`pattern` there): (i · factor mod 31 − 15)/scale. */

import { type FloatDtype, type Tensor, tensor } from '../../lib/index.js'

export function pattern(shape: readonly number[], factor: number, scale = 32, dtype: FloatDtype = 'float64'): Tensor {
  const size = shape.reduce((a, b) => a * b, 1)
  return tensor(
    Float64Array.from({ length: size }, (_, i) => (((i * factor) % 31) - 15) / scale),
    { shape, dtype },
  )
}
