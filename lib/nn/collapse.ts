/** Theorem 3.1: layers without a nonlinearity between them are one layer. */

import { WengertError } from '../errors.js'
import { add, mul } from '../primitives/elementwise.js'
import { matmul } from '../primitives/linalg.js'
import { cast } from '../primitives/movement.js'
import { Tensor } from '../tensor/tensor.js'
import type { FloatDtype, TypedArray } from '../util/dtype.js'
import { describe } from '../util/options.js'
import { Identity, Linear, Sequential } from './layers.js'
import type { Module } from './module.js'
import type { Parameter } from './parameter.js'

/** An affine map being composed, in float64: y = s·(W x + b), W absent while only identities were met. */
interface Affine {
  weight: Tensor | undefined
  bias: Tensor | undefined
  slope: number
  dtype: FloatDtype
  frozen: boolean
}

const none = (): Affine => ({ weight: undefined, bias: undefined, slope: 1, dtype: 'float32', frozen: true })
const values = (p: Parameter): Tensor => cast(new Tensor(p.shape, p.dtype, p.peek().slice() as TypedArray), 'float64')

// A subclass may compute something else: only the classes themselves are folded.
const isLinear = (layer: Module): layer is Linear => layer.constructor === Linear
const isIdentity = (layer: Module): layer is Identity => layer.constructor === Identity

/** Layers in order, nested sequences opened. */
export function flattened(model: Sequential): Module[] {
  return model.layers.flatMap((layer) => (layer.constructor === Sequential ? flattened(layer as Sequential) : [layer]))
}

function append(map: Affine, layer: Linear | Identity): Affine {
  if (isIdentity(layer)) return { ...map, slope: map.slope * layer.slope }
  const w = values(layer.weight)
  const b = layer.bias && values(layer.bias)
  const before = (x: Tensor | undefined) => x && mul(x, map.slope)
  const weight = map.weight ? matmul(w, before(map.weight) as Tensor) : mul(w, map.slope)
  const carried = map.bias && matmul(w, before(map.bias) as Tensor)
  const bias = carried && b ? add(carried, b) : (carried ?? b)
  const frozen = map.frozen && layer.parameters().every((p) => p.frozen)
  return { weight, bias, slope: 1, dtype: layer.weight.dtype as FloatDtype, frozen }
}

/** The layer that a composed map is; none for the identity itself. */
function layerOf({ weight, bias, slope, dtype, frozen }: Affine): Module[] {
  if (!weight) return slope === 1 ? [] : [new Identity(slope)]
  const [dOut, dIn] = weight.shape as [number, number]
  const layer = new Linear(dIn, dOut, { bias: bias !== undefined, init: () => cast(mul(weight, slope), dtype), dtype })
  if (bias) layer.bias?.assign(cast(mul(bias, slope), dtype))
  return [frozen ? layer.freeze() : layer]
}

/**
 * Folds every run of adjacent `Linear` and `Identity` layers into one `Linear` (Theorem 3.1), with the same outputs to rounding:
 * W̄ = W⁽ᴸ⁺¹⁾ … W⁽¹⁾ and b̄ = b⁽ᴸ⁺¹⁾ + Σᵢ (W⁽ᴸ⁺¹⁾ … W⁽ⁱ⁺¹⁾) b⁽ⁱ⁾, composed in float64. Without a bias in the run there is none after it.
 *
 * @param model a `Sequential` (nested ones are opened) or a `Linear`; it is not changed
 * @returns a new model; its `Linear` layers are new, its other layers those of `model`
 * @throws ERR_VALUE for another kind of module
 * @example collapseLinear(new nn.Sequential(new nn.Linear(4, 8), new nn.Linear(8, 2)))  // one Linear 4 → 2
 */
export function collapseLinear(model: Module): Sequential {
  if (!(model instanceof Sequential) && !(model instanceof Linear))
    throw new WengertError('ERR_VALUE', `collapseLinear: expected a Sequential or a Linear, got ${describe(model)}`, {
      expected: 'Sequential',
      actual: model,
    })
  const folded: Module[] = []
  let run = none()
  for (const layer of model instanceof Sequential ? flattened(model) : [model]) {
    if (isLinear(layer) || isIdentity(layer)) run = append(run, layer)
    else {
      folded.push(...layerOf(run), layer)
      run = none()
    }
  }
  folded.push(...layerOf(run))
  return new Sequential(...(folded.length > 0 ? folded : [new Identity()]))
}
