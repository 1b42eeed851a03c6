/** Several inputs by name on their way into a model: what it was trained with says what they must be, and `forward` is told of a name that is not there. */

import { WengertError } from '../errors.js'
import { asTensor } from '../tensor/creation.js'
import { checkNames, fieldName, fieldsOf, fieldTensor, hasFields, type Inputs, treeOf } from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { type FloatDtype, isDetached } from '../util/dtype.js'
import { listed, short } from '../util/options.js'
import { meaningOf } from './meaning.js'

/** Inputs as a forward function sees them: a name that is not there is an error. */
export const seenBy = (x: Inputs): Inputs => (x instanceof Tensor ? x : (guarded(x, 'x') as Inputs))

/** A tree whose missing names are errors, as the keys of a dictionary are; `'name' in x` asks without one. */
function guarded(tree: object, path: string): object {
  return new Proxy(tree, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      if (Object.hasOwn(target, name)) return value instanceof Tensor ? value : guarded(value as object, `${path}.${String(name)}`)
      if (typeof name !== 'string' || name in target || name === 'toJSON' || name === 'then') return value
      throw new WengertError('ERR_DATA', `forward: ${path} has no field '${short(name)}', only ${listed(Object.keys(target))}`, {
        expected: name,
        actual: Object.keys(target),
      })
    },
  })
}

/** Values to predict from, as the model, of this floating type, was trained with; a tensor that fits is taken as it is. Errors: ERR_DATA for other fields; what `tensor` throws. */
export function inputsFor(where: string, model: object, dtype: FloatDtype, x: unknown): Inputs {
  const { fields } = meaningOf(model)
  if (!fields && !hasFields(x)) return x instanceof Tensor && x.dtype === dtype ? x : asTensor(where, x, { dtype })
  const given = fieldsOf(where, x)
  if (fields)
    checkNames(
      where,
      fields.map(({ name }) => name),
      given.map(([name]) => name),
    )
  return treeOf(
    given.map(([name, value], i) => {
      const at = `${where}: ${fieldName(name)}`
      const t = fieldTensor(at, value, dtype, fields?.[i]?.dtype)
      if (isDetached(t.data)) throw new WengertError('ERR_DETACHED', `${at}: the buffer of its array was transferred away`)
      return [name, t] as const
    }),
  )
}
