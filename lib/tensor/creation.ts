/** Making tensors out of values: the only place where JavaScript numbers become typed memory. */

import { WengertError } from '../errors.js'
import { allocate, type Dtype, dtypeOf, dtypes, isDetached, isFloat, type TypedArray } from '../util/dtype.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { checkShape, formatShape, type Shape, sizeOf } from '../util/shape.js'
import { emptyTensor, type NestedArray, Tensor } from './tensor.js'

/** What `tensor()` accepts. A `Uint8Array` counts as numbers unless `dtype: 'bool'` says otherwise. */
export type TensorLike = Tensor | TypedArray | NestedArray | readonly TensorLike[]

/** Shape and element type of a new tensor, where its values do not say them. */
export interface TensorOptions {
  /** Defaults to the nesting of arrays, `[length]` for a typed array. */
  shape?: Shape
  /** Defaults to float32; a `Float64Array` gives float64, an `Int32Array` int32, booleans bool. */
  dtype?: Dtype
}

export function checkDtype(where: string, dtype: unknown): Dtype {
  if (!dtypes.includes(dtype as Dtype)) {
    throw new WengertError(
      'ERR_DTYPE',
      `${where}: expected dtype to be ${dtypes.map((d) => `'${d}'`).join(' or ')}, got ${describe(dtype)}`,
      { expected: dtypes, actual: dtype },
    )
  }
  return dtype as Dtype
}

/** Writes `value` into `out` as `dtype` holds it. Errors: ERR_DTYPE for fractions in an integer tensor. */
function store(where: string, out: TypedArray, dtype: Dtype, i: number, value: number): void {
  if (dtype === 'bool') out[i] = value ? 1 : 0
  else {
    out[i] = value
    if (dtype === 'int32' && out[i] !== value) {
      throw new WengertError('ERR_DTYPE', `${where}: expected integers within int32, got ${value}`, { expected: 'int32', actual: value })
    }
  }
}

/** The nesting of arrays, checked for raggedness and foreign values; leaves are appended to `leaves`. */
function flatten(where: string, values: unknown, leaves: number[], sawBool: { yes: boolean; no: boolean }): number[] {
  if (typeof values === 'number' || typeof values === 'boolean') {
    sawBool[typeof values === 'boolean' ? 'yes' : 'no'] = true
    leaves.push(Number(values))
    return []
  }
  if (values instanceof Tensor) {
    for (const x of values.data) leaves.push(x)
    sawBool[values.dtype === 'bool' ? 'yes' : 'no'] = true
    return [...values.shape]
  }
  if (dtypeOf(values) !== undefined) {
    for (const x of values as TypedArray) leaves.push(x)
    sawBool.no = true
    return [(values as TypedArray).length]
  }
  if (!Array.isArray(values)) {
    throw new WengertError(
      'ERR_VALUE',
      `${where}: expected numbers, nested arrays of numbers, a typed array or a tensor, got ${describe(values)}`,
      { actual: values },
    )
  }
  let inner: number[] | undefined
  for (const value of values) {
    const shape = flatten(where, value, leaves, sawBool)
    if (inner !== undefined && (inner.length !== shape.length || inner.some((n, i) => n !== shape[i]))) {
      throw new WengertError('ERR_SHAPE', `${where}: expected rows of one shape, got ${formatShape(inner)} and ${formatShape(shape)}`, {
        expected: inner,
        actual: shape,
      })
    }
    inner = shape
  }
  return [values.length, ...(inner ?? [])]
}

/**
 * A tensor of the given values (copied).
 *
 * @param values a number, nested arrays, a typed array, or a tensor
 * @throws ERR_SHAPE for ragged rows or a shape of another size; ERR_VALUE for anything that is not numbers; ERR_DTYPE; ERR_DETACHED
 * @example
 * tensor([[1, 2], [3, 4]]).shape          // [2, 2]
 * tensor(new Float64Array([1, 2])).dtype  // 'float64'
 */
export function tensor(values: TensorLike, options: TensorOptions = {}): Tensor {
  checkOptions('tensor', options, ['shape', 'dtype'])
  return asTensor('tensor', values, options)
}

/** As `tensor`, naming `where` in errors. */
export function asTensor(where: string, values: unknown, { shape, dtype }: TensorOptions = {}): Tensor {
  if (shape !== undefined) checkShape(where, shape)
  if (dtype !== undefined) checkDtype(where, dtype)
  let source: ArrayLike<number>
  let natural: Shape
  let type: Dtype
  const own = dtypeOf(values)
  if (own !== undefined) {
    source = values as TypedArray
    if (isDetached(values as TypedArray)) {
      throw new WengertError('ERR_DETACHED', `${where}: expected a typed array, got one whose buffer was transferred away`)
    }
    natural = [source.length]
    type = dtype ?? (own === 'bool' ? 'float32' : own)
  } else {
    const leaves: number[] = []
    const sawBool = { yes: false, no: false }
    natural = flatten(where, values, leaves, sawBool)
    source = leaves
    type = dtype ?? (values instanceof Tensor ? values.dtype : sawBool.yes && !sawBool.no ? 'bool' : 'float32')
  }
  if (shape !== undefined && sizeOf(shape) !== source.length) {
    throw new WengertError(
      'ERR_SHAPE',
      `${where}: expected ${sizeOf(shape)} values for shape ${formatShape(shape)}, got ${source.length}`,
      {
        expected: sizeOf(shape),
        actual: source.length,
      },
    )
  }
  const data = allocate(type, source.length)
  if (isFloat(type)) data.set(source)
  else for (let i = 0; i < source.length; i++) store(where, data, type, i, source[i] as number)
  return new Tensor([...(shape ?? natural)], type, data)
}

interface DtypeOption {
  dtype?: Dtype
}

/** A tensor filled with one value. `full([2], 3)` is `[3, 3]`. */
export function full(shape: Shape, value: number, options: DtypeOption = {}): Tensor {
  checkShape('full', shape)
  checkOptions('full', options, ['dtype'])
  const type = checkDtype('full', options.dtype ?? 'float32')
  const out = emptyTensor([...shape], type)
  if (out.size > 0) {
    store('full', out.data, type, 0, value)
    out.data.fill(out.data[0] as number)
  }
  return out
}

/** A tensor of zeros. */
export function zeros(shape: Shape, options: DtypeOption = {}): Tensor {
  return full(shape, 0, options)
}

/** A tensor of ones. */
export function ones(shape: Shape, options: DtypeOption = {}): Tensor {
  return full(shape, 1, options)
}

/** The n × n identity matrix. */
export function eye(n: number, options: DtypeOption = {}): Tensor {
  checkNumber('eye', 'n', n, { integer: true, min: 0 })
  const out = zeros([n, n], options)
  for (let i = 0; i < n; i++) out.data[i * (n + 1)] = 1
  return out
}

/** start, start + step, … below stop. `arange(3)` is `[0, 1, 2]`; int32 unless a fraction appears. */
export function arange(start: number, stop?: number, step = 1, options: DtypeOption = {}): Tensor {
  const [from, to] = stop === undefined ? [0, start] : [start, stop]
  checkNumber('arange', 'start', from)
  checkNumber('arange', 'stop', to)
  checkNumber('arange', 'step', step)
  checkOptions('arange', options, ['dtype'])
  if (step === 0) throw new WengertError('ERR_RANGE', 'arange: expected a step other than 0, got 0', { actual: 0 })
  const n = Math.max(0, Math.ceil((to - from) / step))
  const type = options.dtype ?? ([from, to, step].every(Number.isInteger) ? 'int32' : 'float32')
  return asTensor(
    'arange',
    Float64Array.from({ length: n }, (_, i) => from + i * step),
    { dtype: type },
  )
}

/** `n` evenly spaced values from start to stop, both included. */
export function linspace(start: number, stop: number, n: number, options: DtypeOption = {}): Tensor {
  checkNumber('linspace', 'start', start)
  checkNumber('linspace', 'stop', stop)
  checkNumber('linspace', 'n', n, { integer: true, min: 0 })
  checkOptions('linspace', options, ['dtype'])
  const values = Float64Array.from({ length: n }, (_, i) =>
    i === n - 1 && n > 1 ? stop : start + ((stop - start) * i) / Math.max(1, n - 1),
  )
  return asTensor('linspace', values, { dtype: options.dtype ?? 'float32' })
}
