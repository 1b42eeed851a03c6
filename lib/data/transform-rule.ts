/** What every transform is made of: a rule for one sample, called on batches, single samples and data sets. */

import { WengertError } from '../errors.js'
import { asTensor, type TensorLike } from '../tensor/creation.js'
import { type Inputs, type InputsLike, loneTensor, type TensorsOf } from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, isFloat, type TypedArray, withMemoryErrors } from '../util/dtype.js'
import { describe } from '../util/options.js'
import { checkShape, formatShape, type Shape, sameShape, sizeOf } from '../util/shape.js'
import { checkFinite } from './checks.js'
import type { DataLike, Dataset } from './dataset.js'
import { isData } from './is-data.js'
import { transformData } from './transform-data.js'

/** What `transformFromJSON` reads back. */
export interface TransformJSON {
  kind: string
  [field: string]: unknown
}

/** A fitted transform: called on a data set it gives one with new features; on x of shape [m, …] or one sample, a tensor; of several inputs it changes those that it was fitted on. */
export interface Transform {
  <X extends InputsLike>(data: DataLike<X>): Dataset<X>
  (x: TensorLike): Tensor
  <X extends InputsLike>(x: X): TensorsOf<X>
  readonly kind: string
  /** Back to the units before. */
  inverse(x: TensorLike): Tensor
  inverse<X extends InputsLike>(x: X): TensorsOf<X>
  /** What `transformFromJSON` makes the same transform of. */
  toJSON(): TransformJSON
}

/** How one kind computes: on a batch of `rows` rows of `shape`, in float64, one row at a time. */
export interface Rule {
  kind: string
  /** The shape of one sample before and after. */
  input: Shape
  output: Shape
  forward(from: TypedArray, at: number, to: TypedArray, position: number): void
  backward(from: TypedArray, at: number, to: TypedArray, position: number): void
  json: Record<string, unknown>
}

/** The rows of a batch, or one sample's values as one row. Errors: ERR_SHAPE, ERR_DATA, ERR_VALUE. */
function apply(where: string, values: unknown, from: Shape, to: Shape, row: Rule['forward']): Tensor {
  return withMemoryErrors('transform', () => {
    const t = values instanceof Tensor ? values : asTensor(where, values)
    const single = from.length > 0 && sameShape(t.shape, from)
    if (!single && (t.rank === 0 || !sameShape(t.shape.slice(1), from))) {
      throw new WengertError(
        'ERR_SHAPE',
        `${where}: expected x of shape ${formatShape(['m' as never, ...from])}, got ${formatShape(t.shape)}`,
        {
          expected: from,
          actual: t.shape,
        },
      )
    }
    checkFinite(where, 'x', single ? new Tensor([1, ...t.shape], t.dtype, t.data) : t)
    const dtype = isFloat(t.dtype) ? t.dtype : 'float32'
    const rows = single ? 1 : (t.shape[0] as number)
    const out = allocate(dtype, rows * sizeOf(to))
    for (let i = 0; i < rows; i++) row(t.data, i * sizeOf(from), out, i * sizeOf(to))
    return new Tensor(single ? to : [rows, ...to], dtype, out)
  })
}

/** The transform that a rule says. */
export function define(rule: Rule): Transform {
  const { kind, input, output } = rule
  const call = (values: unknown): unknown => {
    if (!isData(values)) return apply(kind, values, input, output, rule.forward)
    const applied = (x: Inputs) => apply(kind, loneTensor(kind, x), input, output, rule.forward)
    // Names of features stand for columns: they do not outlive them. An encoder gives the features before.
    return transformData(kind, values, applied, ({ features, encoder: _, ...names }) =>
      features && sameShape(input, output) ? { ...names, features } : names,
    )
  }
  return Object.assign(call as Transform, {
    kind,
    inverse: ((x: unknown) => apply(`${kind}.inverse`, x, output, input, rule.backward)) as Transform['inverse'],
    toJSON: () => ({ kind, ...rule.json }),
  })
}

/** A list of so many finite numbers, as a file holds it. Errors: ERR_VALUE. */
export function numbers(json: TransformJSON, field: string, length: number): number[] {
  const list = json[field]
  if (!Array.isArray(list) || list.length !== length || !list.every((v) => Number.isFinite(v)))
    throw new WengertError('ERR_VALUE', `transform: expected ${field} to be ${length} finite numbers, got ${describe(list)}`, {
      actual: list,
    })
  return list
}

/** The shape of a sample, as a file declares it: nothing is made of its size before lists of that length are there. */
export function sampleShape(json: TransformJSON): Shape {
  checkShape('transform', json.shape)
  if (!json.shape.every(Number.isSafeInteger) || !Number.isSafeInteger(sizeOf(json.shape)))
    throw new WengertError('ERR_VALUE', `transform: expected the shape of a sample, got ${formatShape(json.shape)}`, { actual: json.shape })
  return json.shape
}
