/** Models and their gradients for tests: a model's cost differentiated by its parameters, eagerly. */

import { valueAndGrad } from '../../lib/autodiff/transforms.js'
import type { Loss } from '../../lib/nn/loss-contract.js'
import type { Module } from '../../lib/nn/module.js'
import { type Parameter, withBindings } from '../../lib/nn/parameter.js'
import { mul, sub } from '../../lib/primitives/elementwise.js'
import { mean } from '../../lib/primitives/reduce.js'
import { tensor } from '../../lib/tensor/creation.js'
import type { Tensor } from '../../lib/tensor/tensor.js'
import type { FloatDtype } from '../../lib/util/dtype.js'

/** The mean of the samples' losses, and its gradient by each parameter, by name. */
export function costAndGradients(model: Module, loss: Loss, x: Tensor, y: Tensor): { cost: number; gradients: Record<string, Tensor> } {
  const named = model.namedParameters()
  const parameters = named.map(([, p]) => p)
  const values = parameters.map((p) => tensor(p.peek(), { shape: p.shape, dtype: p.dtype }))
  const [cost, gradients] = valueAndGrad((weights: Tensor[]) =>
    withBindings(parameters, weights, () => mean(loss(model.forward(x), y, { reduction: 'none' }))),
  )(values) as [Tensor, Tensor[]]
  return { cost: cost.item(), gradients: Object.fromEntries(named.map(([name], i) => [name, gradients[i] as Tensor])) }
}

/** One step of plain gradient descent, eagerly; the cost before it. */
export function descend(model: Module, loss: Loss, x: Tensor, y: Tensor, rate: number): number {
  const { cost, gradients } = costAndGradients(model, loss, x, y)
  for (const [name, p] of model.namedParameters()) {
    p.assign(sub(tensor(p.peek(), { shape: p.shape, dtype: p.dtype }), mul(gradients[name] as Tensor, rate)))
  }
  return cost
}

/** Sets a module's parameters, in registration order, from nested arrays. */
export function setParameters(model: Module, values: readonly unknown[]): void {
  model.parameters().forEach((p: Parameter, i) => {
    p.assign(tensor(values[i] as number[], { dtype: p.dtype }))
  })
}

/** A module's parameters as plain copies, by name. */
export const snapshot = (model: Module): Record<string, number[]> =>
  Object.fromEntries(model.namedParameters().map(([name, p]) => [name, Array.from(p.peek())]))

/** The start of Example 3.1: its weights and its one sample. */
export const example31 = {
  parameters: [
    [
      [0.15, 0.2],
      [0.25, 0.3],
    ],
    [0.35, 0.35],
    [[0.4, 0.45]],
    [0.6],
  ],
  x: [[0.05, 0.1]],
  y: [[0.01]],
}

export const floats: readonly FloatDtype[] = ['float32', 'float64']
