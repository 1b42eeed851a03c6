/**
 * What goes into a model: one tensor, or several by name, also nested: { ids, features }. Within the library a tree of them is a
 * list of fields, sorted by their dotted names, so that the order in which somebody wrote them says nothing; the field of a lone
 * tensor has the name ''.
 */

import { WengertError } from '../errors.js'
import { type Dtype, isFloat } from '../util/dtype.js'
import { describe, listed, short } from '../util/options.js'
import { formatShape, type Shape, sameShape } from '../util/shape.js'
import { isPlainObject } from '../util/tree.js'
import { asTensor, isClone } from './creation.js'
import { Tensor, type TensorLike } from './tensor.js'

/** What a model's `forward` takes: a tensor, or tensors by name. */
export type Inputs = Tensor | { readonly [name: string]: Inputs }

/** What is made into them: all that `tensor()` takes, alone or by name. */
export type InputsLike = TensorLike | { readonly [name: string]: InputsLike }

/** The tensors that such values become: `{ ids: Int32Array }` gives `{ ids: Tensor }`. */
export type TensorsOf<X> = X extends TensorLike ? Tensor : { readonly [K in keyof X]: TensorsOf<X[K]> }

/** One field's name and what stands there. */
export type Named<T> = readonly [name: string, value: T]

/** The shape and the type of one field. */
export interface FieldSpec {
  readonly name: string
  readonly shape: Shape
  readonly dtype: Dtype
}

/** Whether a value holds fields by name, and is no tensor. */
export const hasFields = (x: unknown): x is Readonly<Record<string, unknown>> => isPlainObject(x) && !isClone(x)

const deepest = 8

/** What stands at each name, in the order of names; ['', x] for a lone value. Errors: ERR_VALUE for no fields, names with dots, or a tree without end. */
export function fieldsOf<T = unknown>(where: string, x: unknown): Named<T>[] {
  if (!hasFields(x)) return [['', x as T]]
  const found: Named<T>[] = []
  const visit = (node: Readonly<Record<string, unknown>>, prefix: string, depth: number) => {
    const names = Object.keys(node)
    if (names.length === 0 || depth > deepest)
      throw new WengertError(
        'ERR_VALUE',
        `${where}: expected x to be a tensor or tensors by name, got ${describe(depth > deepest ? x : node)}`,
      )
    for (const name of names) {
      if (name === '' || name.includes('.'))
        throw new WengertError('ERR_VALUE', `${where}: a field of x cannot be called '${short(name)}': give it a name without dots`, {
          actual: name,
        })
      const value = node[name]
      if (hasFields(value)) visit(value, `${prefix}${name}.`, depth + 1)
      else found.push([prefix + name, value as T])
    }
  }
  visit(x, '', 1)
  return found.sort(([a], [b]) => (a < b ? -1 : 1))
}

/** The tensors of inputs that were checked. */
export const tensorsOf = (x: Inputs): readonly Named<Tensor>[] => (x instanceof Tensor ? [['', x]] : fieldsOf<Tensor>('x', x))

/** The tree of fields. */
export function treeOf(fields: readonly Named<Tensor>[]): Inputs {
  const [first] = fields
  if (first?.[0] === '') return first[1]
  const tree: Record<string, unknown> = {}
  for (const [name, value] of fields) {
    const path = name.split('.')
    const last = path.pop() as string
    let node = tree
    for (const part of path) {
      if (!Object.hasOwn(node, part)) define(node, part, {})
      node = node[part] as Record<string, unknown>
    }
    define(node, last, value)
  }
  return tree as Inputs
}

/** Also under names such as `__proto__`, which an assignment would not make a field of. */
const define = (node: object, name: string, value: unknown) =>
  Object.defineProperty(node, name, { value, enumerable: true, configurable: true, writable: true })

/** The same tree of other tensors. */
export const mapInputs = (x: Inputs, f: (t: Tensor, name: string) => Tensor): Inputs =>
  x instanceof Tensor ? f(x, '') : treeOf(tensorsOf(x).map(([name, t]) => [name, f(t, name)]))

/** What a message calls a field: `x`, `x.ids`. */
export const fieldName = (name: string, of = 'x'): string => (name === '' ? of : `${of}.${name}`)

/** Shapes and types, of all or of one sample (without the first axis). */
export function specsOf(x: Inputs, { sample = false } = {}): FieldSpec[] {
  return tensorsOf(x).map(([name, { shape, dtype }]) => ({ name, shape: sample ? shape.slice(1) : shape, dtype }))
}

/** Whether two samples are alike. */
export const sameFields = (a: readonly FieldSpec[], b: readonly FieldSpec[]): boolean =>
  a.length === b.length &&
  a.every(({ name, shape, dtype }, i) => {
    const other = b[i] as FieldSpec
    return name === other.name && dtype === other.dtype && sameShape(shape, other.shape)
  })

/** Fields in a message: `[4]`, or `ids: int32 [3], features: float32 [4]`. */
export const formatFields = (fields: readonly FieldSpec[]): string =>
  fields.map(({ name, shape, dtype }) => (name === '' ? formatShape(shape) : `${short(name)}: ${dtype} ${formatShape(shape)}`)).join(', ')

/** The one tensor of inputs. Errors: ERR_VALUE for several. */
export function loneTensor(where: string, x: Inputs): Tensor {
  if (x instanceof Tensor) return x
  const names = tensorsOf(x).map(([name]) => name)
  throw new WengertError('ERR_VALUE', `${where}: expected x to be one tensor, got ${said(names)}`, { actual: names })
}

const said = (names: readonly string[]) => (names[0] === '' ? 'one tensor' : `the fields ${listed(names)}`)

/** Refuses fields that are not exactly the expected ones, naming what is missing or too many. Errors: ERR_DATA. */
export function checkNames(where: string, expected: readonly string[], actual: readonly string[]): void {
  const missing = expected.filter((name) => !actual.includes(name))
  const extra = actual.filter((name) => !expected.includes(name))
  if (missing.length + extra.length === 0) return
  const both = expected[0] !== '' && actual[0] !== ''
  const wrong = [missing.length > 0 ? `missing ${listed(missing)}` : '', extra.length > 0 ? `unexpected ${listed(extra)}` : '']
  throw new WengertError(
    'ERR_DATA',
    `${where}: expected x to be ${said(expected)}, as the model was trained with, got ${said(actual)}${both ? `; ${wrong.filter(Boolean).join(', ')}` : ''}`,
    { expected, actual },
  )
}

/**
 * One field as a tensor. Integers and truth values stay what they are; all else becomes `dtype`, or what is `wanted`.
 *
 * @throws what `asTensor` throws; ERR_DTYPE for a fraction where integers are wanted, a number other than 0 and 1 for a truth value
 */
export function fieldTensor(where: string, value: unknown, dtype: Dtype, wanted?: Dtype): Tensor {
  const t = value instanceof Tensor ? value : asTensor(where, value, {}, dtype)
  if (wanted === 'bool' && t.dtype !== 'bool') {
    const odd = t.data.find((v) => v !== 0 && v !== 1)
    if (odd !== undefined)
      throw new WengertError('ERR_DTYPE', `${where}: expected true or false, got ${odd}`, { expected: 'bool', actual: odd })
  }
  const type = wanted ?? (isFloat(t.dtype) ? dtype : t.dtype)
  return t.dtype === type ? t : asTensor(where, t, { dtype: type })
}
