/**
 * The gradients of a convolution whose result is pooled by windows that lie apart: what flows back stands at the largest of each
 * window alone, so most of it is 0 and is not multiplied. Recorded functions never hold these rows: a pass puts them in the place
 * of poolPut and what reads it, once all derivatives are taken (plan/pooled-gradients.ts).
 */

import type { Shape } from '../util/shape.js'
import type { Windows } from './convolution.js'
import type { Aval, NondifferentiablePrimitive, Primitive, Sample } from './primitive.js'

export interface PooledParams extends Windows {
  /** The two spatial sizes of the result, which the operands leave open. */
  size: Shape
  /** Rows and columns of a window of pooling, and steps from window to window. */
  window: Shape
  steps: Shape
}

const shapeOf = (aval: Aval | undefined): Shape => (aval as Aval).shape

/** The integers of both kernels, from the shapes of x, w, y and g. */
function intsOf(x: Shape, w: Shape, y: Shape, g: Shape, { stride, padding, dilation, window, steps }: PooledParams): number[] {
  return [...x, ...y.slice(1), ...w.slice(0, 2), ...stride, ...padding, ...dilation, ...g.slice(1, 3), ...window, ...steps]
}

/** Samples by geometry: x, w, y, g and how the windows lie. */
function geometries(): { x: Shape; w: Shape; y: Shape; g: Shape; params: Omit<PooledParams, 'size'> }[] {
  const at = (x: Shape, w: Shape, y: Shape, g: Shape, [stride, padding, dilation, window, steps]: readonly number[]) => {
    const pair = (v: number | undefined) => [v as number, v as number]
    return {
      x,
      w,
      y,
      g,
      params: { stride: pair(stride), padding: pair(padding), dilation: pair(dilation), window: pair(window), steps: pair(steps) },
    }
  }
  return [
    at([2, 4, 5, 3], [3, 2, 3, 2], [2, 2, 4, 2], [2, 1, 2, 2], [1, 0, 1, 2, 2]),
    at([1, 5, 6, 8], [3, 3, 8, 9], [1, 5, 6, 9], [1, 2, 2, 9], [1, 1, 1, 2, 3]),
    at([1, 7, 7, 31], [3, 3, 31, 3], [1, 3, 3, 3], [1, 1, 1, 3], [2, 0, 1, 3, 3]),
    at([0, 4, 4, 2], [3, 3, 2, 3], [0, 2, 2, 3], [0, 1, 1, 3], [1, 0, 1, 2, 2]),
  ]
}

/** Values of a sample, more of them than the usual range holds. */
const wide = (shape: Shape) => ({ shape, low: -4, high: 4 })

export const convInputPooledRow: NondifferentiablePrimitive<PooledParams> = {
  name: 'convInputPooled',
  kind: 'nondifferentiable',
  madeByPasses: true,
  doc: 'convInput of the gradient that poolPut gives of g [N, P′, Q′, D] and y [N, P, Q, D]',
  rowwise: (_inputs, _output, _params, [, , weightHasRows]) => !weightHasRows,
  infer: ([g, , w], { size }) => ({ shape: [shapeOf(g)[0] as number, ...size, shapeOf(w)[2] as number], dtype: (g as Aval).dtype }),
  lower: ([g, y, w], x, params) => ({
    kernel: 'convInputPooled',
    ints: intsOf(x.shape, shapeOf(w), shapeOf(y), shapeOf(g), params),
    scalars: [],
  }),
  samples: () =>
    geometries().map(
      ({ x, w, y, g, params }): Sample => ({ inputs: [wide(g), wide(y), wide(w)], params: { ...params, size: x.slice(1, 3) } }),
    ),
}

export const convWeightPooledRow: NondifferentiablePrimitive<PooledParams> = {
  name: 'convWeightPooled',
  kind: 'nondifferentiable',
  madeByPasses: true,
  doc: 'convWeight of x and the gradient that poolPut gives of g [N, P′, Q′, D] and y [N, P, Q, D]',
  infer: ([x, g], { size }) => ({ shape: [...size, shapeOf(x)[3] as number, shapeOf(g)[3] as number], dtype: (x as Aval).dtype }),
  lower: ([x, g, y], w, params) => ({
    kernel: 'convWeightPooled',
    ints: intsOf(shapeOf(x), w.shape, shapeOf(y), shapeOf(g), params),
    scalars: [],
  }),
  samples: () =>
    geometries().map(
      ({ x, w, y, g, params }): Sample => ({ inputs: [wide(x), wide(g), wide(y)], params: { ...params, size: w.slice(0, 2) } }),
    ),
}

export const pooledRows = [convInputPooledRow, convWeightPooledRow] as unknown as readonly Primitive[]
