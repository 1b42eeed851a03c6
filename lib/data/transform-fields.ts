/** Transforms of several inputs: one for each field that has any; the others pass as they are. */

import { WengertError } from '../errors.js'
import { fieldName, fieldsOf, fieldTensor, type Inputs, type Named, treeOf } from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { describe, listed } from '../util/options.js'
import { isPlainObject } from '../util/tree.js'
import { isData } from './is-data.js'
import { transformData } from './transform-data.js'
import type { Transform, TransformJSON } from './transform-rule.js'

/** The transform that applies each of `parts` to the field of its name. */
export function fieldsTransform(parts: readonly Named<Transform>[]): Transform {
  const known = new Map(parts)
  const names = [...known.keys()]
  const map = (where: string, x: unknown, apply: (transform: Transform, t: Tensor) => Tensor): Inputs => {
    const fields = fieldsOf(where, x)
    const missing = names.filter((name) => !fields.some(([given]) => given === name))
    if (missing.length > 0)
      throw new WengertError(
        'ERR_DATA',
        `${where}: x has no ${missing.length > 1 ? 'fields' : 'field'} ${listed(missing)}, on which the transform was fitted`,
        {
          expected: names,
          actual: fields.map(([name]) => name),
        },
      )
    return treeOf(
      fields.map(([name, value]) => {
        const transform = known.get(name)
        const t = fieldTensor(
          `${where}: ${fieldName(name)}`,
          value,
          value instanceof Tensor && isFloat(value.dtype) ? value.dtype : 'float32',
        )
        return [name, transform ? apply(transform, t) : t] as const
      }),
    )
  }
  const call = (values: unknown): unknown => {
    if (!isData(values)) return map('transform', values, (transform, t) => transform(t))
    const applied = (x: Inputs) => map('transform', x, (transform, t) => transform(t))
    return transformData('transform', values, applied, (names) => names)
  }
  return Object.assign(call as Transform, {
    kind: 'fields',
    inverse: ((x: unknown) => map('transform.inverse', x, (transform, t) => transform.inverse(t))) as Transform['inverse'],
    toJSON: () => ({ kind: 'fields', fields: parts.map(([name, transform]) => ({ name, transform: transform.toJSON() })) }),
  })
}

/** One transform for all, or one for each field of floating numbers: integers name things. */
export function byField(where: string, x: Inputs, fitOn: (t: Tensor) => Transform): Transform {
  if (x instanceof Tensor) return fitOn(x)
  const fields = fieldsOf<Tensor>(where, x).filter(([, t]) => isFloat(t.dtype))
  if (fields.length === 0) throw new WengertError('ERR_DATA', `${where}: x has no field of floating numbers`, { actual: x })
  return fieldsTransform(fields.map(([name, t]) => [name, fitOn(t)]))
}

/** Reads back what its `toJSON` gave. Errors: ERR_VALUE. */
export function fieldsFromJSON(json: TransformJSON, read: (json: unknown) => Transform): Transform {
  const { fields } = json
  const sound = (field: unknown): field is { name: string; transform: TransformJSON } =>
    isPlainObject(field) && typeof field.name === 'string' && isPlainObject(field.transform) && field.transform.kind !== 'fields'
  if (!Array.isArray(fields) || fields.length === 0 || !fields.every(sound))
    throw new WengertError('ERR_VALUE', `transform: expected a transform for each field, got ${describe(fields)}`, { actual: fields })
  return fieldsTransform(fields.map(({ name, transform }) => [name, read(transform)]))
}
