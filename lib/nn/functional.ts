/** A module as a pure function of its parameters. */

import { WengertError } from '../errors.js'
import type { TensorLike } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import { describe } from '../util/options.js'
import { formatShape, sameShape } from '../util/shape.js'
import { Module } from './module.js'
import { type Parameter, withBindings } from './parameter.js'

/**
 * The output of a module with other parameters than its own: y = forward(θ, x). The module keeps its values, and the result is
 * differentiable by those given.
 *
 * @param parameters values by name, as in `stateDict`, buffers too; what is not named is the module's own. Running statistics that
 * are named are not moved
 * @param inputs the arguments of `forward`
 * @throws ERR_STATE for a name that the module does not have, or values of another shape or type
 * @example
 * const f = (parameters: Record<string, Tensor>) => loss.mse(functionalCall(model, parameters, x), y)
 * const gradients = grad(f)(model.stateDict())
 */
export function functionalCall<M extends Module>(
  model: M,
  parameters: Readonly<Record<string, TensorLike>>,
  ...inputs: Parameters<M['forward']>
): ReturnType<M['forward']> {
  const op = 'functionalCall'
  if (!(model instanceof Module))
    throw new WengertError('ERR_VALUE', `${op}: expected a module, got ${describe(model)}`, { expected: 'a module', actual: model })
  const own = new Map<string, Parameter>(model.namedState())
  const places: Parameter[] = []
  const values: Tensor[] = []
  for (const [name, given] of Object.entries(parameters)) {
    const place = own.get(name)
    if (place === undefined)
      throw new WengertError('ERR_STATE', `${op}: ${model.describe()} has no parameter '${name}', only ${[...own.keys()].join(', ')}`, {
        expected: [...own.keys()],
        actual: name,
      })
    const value = place.like(op, given)
    if (!sameShape(value.shape, place.shape) || value.dtype !== place.dtype)
      throw new WengertError(
        'ERR_STATE',
        `${op}: expected ${place.dtype} ${formatShape(place.shape)} for ${name}, got ${value.dtype} ${formatShape(value.shape)}`,
        { expected: place.shape, actual: value.shape },
      )
    places.push(place)
    values.push(value)
  }
  return withBindings(places, values, () => model.forward(...(inputs as unknown as [Tensor]))) as ReturnType<M['forward']>
}
