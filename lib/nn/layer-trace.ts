/** What backpropagation sees: the pre-activations, activations and errors of every layer for one sample. */

import { sweep } from '../autodiff/reverse.js'
import { Tape } from '../autodiff/tape.js'
import { WengertError } from '../errors.js'
import { add } from '../primitives/elementwise.js'
import { reshape } from '../primitives/movement.js'
import { atNextLevel } from '../primitives/primitive.js'
import { asTensor, ones, type TensorLike, zeros } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { describe } from '../util/options.js'
import { flattened } from './collapse.js'
import { Linear, Sequential } from './layers.js'
import { type Loss, squaredError } from './loss.js'
import { lossesOf } from './loss-use.js'
import type { Module } from './module.js'
import { outputOf } from './output.js'

/** One layer: the affine map and the activations after it, up to the next affine map. */
export interface TracedLayer {
  /** l, from 1. */
  readonly index: number
  readonly name: string
  /** The pre-activation zˡ. */
  readonly z: Tensor
  /** The activation aˡ. */
  readonly a: Tensor
  /** The error δˡ = ∂L/∂zˡ, Eq. (3.61). */
  readonly delta: Tensor
}

/** What one sample did in each layer. */
export interface LayerTrace {
  /** a⁰: what the first layer is given. */
  readonly input: Tensor
  readonly layers: readonly TracedLayer[]
  /** The loss L of the sample (of each sample of a batch). */
  readonly loss: Tensor
}

/** Layers cut before each Linear; those before the first are `head`. */
function cut(model: Module): { head: Module[]; groups: [Linear, ...Module[]][] } {
  const layers = model instanceof Sequential ? flattened(model) : [model]
  const head: Module[] = []
  const groups: [Linear, ...Module[]][] = []
  for (const layer of layers) {
    if (layer instanceof Linear) groups.push([layer])
    else (groups.at(-1) ?? head).push(layer)
  }
  if (groups.length === 0)
    throw new WengertError('ERR_VALUE', `layerTrace: expected a Sequential with Linear layers, got ${describe(model)}`, {
      expected: 'Sequential',
      actual: model,
    })
  return { head, groups }
}

/**
 * zˡ, aˡ and δˡ = ∂L/∂zˡ of every layer for a sample, by reverse mode. They satisfy the four equations of backpropagation:
 * (BP1) δᴸ = ∂L/∂aᴸ ⊙ σ′(zᴸ), (BP2) δˡ = (Wˡ⁺¹ᵀ δˡ⁺¹) ⊙ σ′(zˡ), (BP3) ∂L/∂bˡ = δˡ, (BP4) ∂L/∂Wˡ = δˡ aˡ⁻¹ᵀ.
 *
 * @param model a `Sequential` of `Linear` layers and activations (nested ones are opened)
 * @param sample one sample, [dIn], or a batch, [m, dIn]: the results have the same leading axis, δ each sample's own
 * @param target what the loss takes beside the prediction
 * @param loss as a trainer takes it: one value a sample, or one an element, of which a sample's loss is the mean; `squaredError`
 *   by default. A trainer's gradient is the mean of the samples': ∂J/∂Wˡ = (1/m) Σ δˡ aˡ⁻¹ᵀ.
 * @throws ERR_VALUE for a model without Linear layers; ERR_SHAPE
 * @example
 * const { layers } = layerTrace(model, [0.05, 0.1], [0.01])
 * layers[0]?.delta
 */
export function layerTrace(model: Module, sample: TensorLike, target: TensorLike, loss: Loss = squaredError): LayerTrace {
  const op = 'layerTrace'
  const { head, groups } = cut(model)
  const given = sample instanceof Tensor ? sample : asTensor(op, sample, { dtype: model.dtype })
  if (given.rank === 0)
    throw new WengertError('ERR_SHAPE', `${op}: expected a sample [dIn] or a batch [m, dIn], got shape []`, { actual: given.shape })
  const single = given.rank === 1
  const y = target instanceof Tensor ? target : asTensor(op, target, { dtype: model.dtype })
  const back = (x: Tensor): Tensor => (single ? reshape(x, x.shape.slice(1)) : x)

  return atNextLevel((level) => {
    const tape = new Tape(level)
    const pass = (layers: readonly Module[], x: Tensor) => layers.reduce((v, layer) => outputOf(layer, v), x)
    const input = pass(head, single ? reshape(given, [1, given.size]) : given)
    let a = input
    const kept = groups.map(([layer, ...rest]) => {
      const affine = outputOf(layer, a)
      // A zero to differentiate by: z then lies on the tape whatever comes before it.
      const z = add(affine, tape.watch(zeros(affine.shape, { dtype: affine.dtype })))
      a = pass(rest, z)
      return { layer, z, a }
    })
    // One sample's target gets the batch's axis: values like the prediction, or a class label.
    const batched = y.size === a.size ? a.shape : y.rank === 0 ? [1] : [1, ...y.shape]
    const losses = lossesOf(loss, a, single ? reshape(y, batched) : y)
    const deltas = new Map<number, Tensor>()
    sweep(tape, new Map([[tape.indexOf(losses), ones(losses.shape, { dtype: losses.dtype })]]), (index, adjoint) => {
      deltas.set(index, adjoint)
    })
    const layers = kept.map(({ layer, z, a: activation }, i) => {
      const value = tape.lowerOf(z)
      const delta = deltas.get(tape.indexOf(z)) ?? zeros(value.shape, { dtype: value.dtype })
      return { index: i + 1, name: layer.describe(), z: back(value), a: back(tape.lowerOf(activation)), delta: back(delta) }
    })
    return { input: back(input), layers, loss: back(tape.lowerOf(losses)) }
  })
}
