/**
 * Extremes of windows, channels last: the row that gives them, and two linear ones that read or write at the places where
 * they stand. Places are found anew from x, which costs a few comparisons and saves storing them.
 *
 * Averages of windows need no row: they are convolutions of each channel by equal weights (spatial.ts).
 */

import type { KernelName } from '../backend/program.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Shape } from '../util/shape.js'
import { overRows } from './batching.js'
import type { Windows } from './convolution.js'
import { type Aval, apply, type GeneralPrimitive, type Primitive, type Sample } from './primitive.js'

interface PoolParams extends Windows {
  /** Rows and columns of a window. */
  window: Shape
  /** Rows and columns of windows. */
  size: Shape
}

const head = (inputs: readonly Aval[]): Aval => inputs[0] as Aval

function lowered(kernel: KernelName, x: Shape, { window, stride, padding, dilation, size }: PoolParams) {
  return { kernel, ints: [...x, ...size, ...window, ...stride, ...padding, ...dilation], scalars: [] }
}

const pooled = (x: Shape, { size }: PoolParams): Shape => [x[0] as number, ...size, x[3] as number]

const geometries = (): { x: Shape; params: PoolParams }[] => {
  const at = (x: Shape, window: Shape, size: Shape, stride: number, padding: number, dilation = 1) => ({
    x,
    params: { window, size, stride: [stride, stride], padding: [padding, padding], dilation: [dilation, dilation] },
  })
  return [
    at([2, 4, 6, 3], [2, 2], [2, 3], 2, 0),
    at([1, 5, 5, 9], [3, 3], [3, 3], 2, 1),
    at([1, 5, 4, 2], [2, 3], [4, 2], 1, 0),
    at([1, 6, 5, 2], [2, 2], [2, 2], 2, 0, 2),
    at([1, 1, 7, 1], [1, 3], [1, 3], 3, 0),
    at([0, 4, 4, 2], [2, 2], [2, 2], 2, 0),
  ]
}

/** Values of a sample, more of them than the usual range holds. */
const wide = (shape: Shape) => ({ shape, low: -4, high: 4 })

/** PyTorch's: the first of equals in row-major order; NaN is the greatest of all. */
export const maxPoolRow: GeneralPrimitive<PoolParams> = {
  name: 'maxPool',
  kind: 'general',
  doc: 'y = the largest of each window of x [N, H, W, C]; NaN where any is',
  rowwise: () => true,
  infer: (inputs, params) => ({ shape: pooled(head(inputs).shape, params), dtype: head(inputs).dtype }),
  lower: (inputs, _output, params) => lowered('maxPool', head(inputs).shape, params),
  jvp: ([t], { inputs, params }) => apply(poolTakeRow, [t as Tensor, inputs[0] as Tensor], params),
  vjp: (g, { inputs, params }) => [apply(poolPutRow, [g, inputs[0] as Tensor], params)],
  batch: overRows,
  samples: () => geometries().map(({ x, params }): Sample => ({ inputs: [wide(x)], params })),
}

export const poolTakeRow: GeneralPrimitive<PoolParams> = {
  name: 'poolTake',
  kind: 'general',
  doc: 'y = t where x is the largest of its window; linear in t, constant in x',
  rowwise: () => true,
  infer: (inputs, params) => ({ shape: pooled(head(inputs).shape, params), dtype: head(inputs).dtype }),
  lower: (inputs, _output, params) => lowered('poolTake', head(inputs).shape, params),
  jvp: ([t], { inputs, params }) => t && apply(poolTakeRow, [t, inputs[1] as Tensor], params),
  vjp: (g, { inputs, params }, [wanted]) => [wanted ? apply(poolPutRow, [g, inputs[1] as Tensor], params) : undefined],
  batch: overRows,
  samples: () => geometries().map(({ x, params }): Sample => ({ inputs: [wide(x), wide(x)], params })),
}

export const poolPutRow: GeneralPrimitive<PoolParams> = {
  name: 'poolPut',
  kind: 'general',
  doc: 'adds g where x is the largest of its window, else 0: the transpose of poolTake',
  rowwise: () => true,
  infer: (inputs) => ({ shape: (inputs[1] as Aval).shape, dtype: head(inputs).dtype }),
  lower: (inputs, _output, params) => lowered('poolPut', (inputs[1] as Aval).shape, params),
  jvp: ([t], { inputs, params }) => t && apply(poolPutRow, [t, inputs[1] as Tensor], params),
  vjp: (z, { inputs, params }, [wanted]) => [wanted ? apply(poolTakeRow, [z, inputs[1] as Tensor], params) : undefined],
  batch: overRows,
  samples: () => geometries().map(({ x, params }): Sample => ({ inputs: [wide(pooled(x, params)), wide(x)], params })),
}

export const poolingRows = [maxPoolRow, poolTakeRow, poolPutRow] as unknown as readonly Primitive[]
