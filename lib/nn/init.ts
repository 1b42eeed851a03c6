/** Initial values of weights. Variances keep signals of one size from layer to layer, for the activations named. */

import { WengertError } from '../errors.js'
import { zeros } from '../tensor/creation.js'
import type { Random } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import type { FloatDtype } from '../util/dtype.js'
import { checkChoice } from '../util/options.js'
import { formatShape, sameShape } from '../util/shape.js'

/** Makes the initial weights of shape [fanOut, fanIn]. */
export type Initializer = (shape: readonly [fanOut: number, fanIn: number], rng: Random, dtype: FloatDtype) => Tensor

const uniform =
  (variance: (fanIn: number, fanOut: number) => number): Initializer =>
  (shape, rng, dtype) => {
    const bound = Math.sqrt(3 * variance(shape[1], shape[0]))
    return rng.uniform(shape, -bound, bound, { dtype })
  }

const normal =
  (variance: (fanIn: number, fanOut: number) => number): Initializer =>
  (shape, rng, dtype) => {
    const deviation = Math.sqrt(variance(shape[1], shape[0]))
    const w = rng.normal(shape, { dtype })
    for (let i = 0; i < w.size; i++) w.data[i] = (w.data[i] as number) * deviation
    return w
  }

const fanInOnly = (gain: number) => (fanIn: number) => gain / Math.max(1, fanIn)
const both = (fanIn: number, fanOut: number) => 2 / Math.max(1, fanIn + fanOut)

/**
 * By name: `glorot` (variance 2/(fanIn + fanOut), for tanh and sigmoid), `he` (2/fanIn, for ReLU), `lecun` (1/fanIn, for
 * SELU), each uniform or normal; `fanIn`, the default, is uniform in ±1/√fanIn (PyTorch's).
 */
export const initializers = {
  fanIn: uniform(fanInOnly(1 / 3)),
  glorot: uniform(both),
  glorotUniform: uniform(both),
  glorotNormal: normal(both),
  he: uniform(fanInOnly(2)),
  heUniform: uniform(fanInOnly(2)),
  heNormal: normal(fanInOnly(2)),
  lecun: uniform(fanInOnly(1)),
  lecunUniform: uniform(fanInOnly(1)),
  lecunNormal: normal(fanInOnly(1)),
  /** All zero: for biases. */
  zeros: (shape, _rng, dtype) => zeros(shape, { dtype }),
} satisfies Record<string, Initializer>

/** The initialisers by name. */
export type InitName = keyof typeof initializers

/** Initial weights by name or by the user's own function. Errors: ERR_OPTION; ERR_SHAPE for a function that returns another shape. */
export function initialWeights(
  where: string,
  init: InitName | Initializer,
  shape: readonly [number, number],
  rng: Random,
  dtype: FloatDtype,
): Tensor {
  if (typeof init !== 'function')
    return initializers[checkChoice(where, 'init', init, Object.keys(initializers) as InitName[])](shape, rng, dtype)
  const made: unknown = init(shape, rng, dtype)
  if (!(made instanceof Tensor) || !sameShape(made.shape, shape) || made.dtype !== dtype) {
    const got = made instanceof Tensor ? `${made.dtype} ${formatShape(made.shape)}` : String(made)
    throw new WengertError('ERR_SHAPE', `${where}: expected init to return ${dtype} ${formatShape(shape)}, got ${got}`, {
      expected: shape,
      actual: made,
    })
  }
  return made
}
