/** Making tensors out of values: the only place where JavaScript numbers become typed memory. */

import { WengertError } from '../errors.js'
import { allocate, type Dtype, dtypeOf, dtypes, isDetached, isFloat, promote, type TypedArray } from '../util/dtype.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { checkShape, formatShape, type Shape, sizeOf } from '../util/shape.js'
import { isPlainObject } from '../util/tree.js'
import { type ClonedTensor, emptyTensor, Tensor, type TensorLike, type TensorOptions } from './tensor.js'

export type { TensorLike, TensorOptions }

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
      const remedy = Number.isInteger(value) ? "; dtype: 'float64' holds integers up to 2^53" : ''
      throw new WengertError('ERR_DTYPE', `${where}: expected integers within int32, got ${value}${remedy}`, {
        expected: 'int32',
        actual: value,
      })
    }
  }
}

/** Elements, and the type that holds them where none is asked for. */
interface Elements {
  source: ArrayLike<number>
  natural: Dtype
}

/** Whether a value is an array of numbers in memory of its own kind. */
export const isTypedArray = (value: unknown): value is ArrayBufferView & ArrayLike<number | bigint> =>
  ArrayBuffer.isView(value) && !(value instanceof DataView)

/** The elements of a typed array of any kind. Errors: ERR_DETACHED; ERR_RANGE for 64-bit integers that no number holds. */
function elementsOf(where: string, array: ArrayBufferView & ArrayLike<number | bigint>, dtype: Dtype | undefined): Elements {
  if (isDetached(array))
    throw new WengertError('ERR_DETACHED', `${where}: the buffer of the typed array was transferred away: transfer a copy of it instead`)
  const own = dtypeOf(array)
  // Bytes are pixels and counts more often than truth values.
  if (own !== undefined) return { source: array as ArrayLike<number>, natural: own === 'bool' ? 'float32' : own }
  if (array instanceof BigInt64Array || array instanceof BigUint64Array) {
    const source = Float64Array.from(array as BigInt64Array, (value, i) => {
      const number = Number(value)
      const held = Number.isSafeInteger(number) && (dtype !== 'float32' || Math.fround(number) === number)
      if (held) return number
      const limit = dtype === 'float32' ? "float32 holds exactly (dtype: 'float64' goes to 2^53)" : 'a number holds exactly, up to 2^53'
      throw new WengertError('ERR_RANGE', `${where}: expected 64-bit integers that ${limit}, got ${value} at position ${i}`, {
        expected: limit,
        actual: value,
      })
    })
    return { source, natural: 'int32' }
  }
  const integers = array instanceof Int8Array || array instanceof Int16Array || array instanceof Uint16Array || array instanceof Uint32Array
  return { source: array as ArrayLike<number>, natural: integers ? 'int32' : 'float32' }
}

/** The leaves of nested arrays, and the type that holds all of them. */
interface Leaves {
  numbers: number[]
  natural: Dtype | undefined
  /** The type of numbers that stand alone. */
  plain: Dtype
}

/** The nesting of arrays, checked for raggedness and foreign values; leaves are appended. */
function flatten(where: string, values: unknown, leaves: Leaves, dtype: Dtype | undefined): number[] {
  const put = (natural: Dtype, source?: ArrayLike<number>): void => {
    leaves.natural = leaves.natural === undefined ? natural : promote(leaves.natural, natural)
    if (source) for (let i = 0; i < source.length; i++) leaves.numbers.push(source[i] as number)
  }
  if (typeof values === 'number' || typeof values === 'boolean') {
    put(typeof values === 'boolean' ? 'bool' : leaves.plain)
    leaves.numbers.push(Number(values))
    return []
  }
  if (values instanceof Tensor || isClone(values)) {
    const t = values instanceof Tensor ? values : restored(where, values)
    put(t.dtype, t.data)
    return [...t.shape]
  }
  if (isTypedArray(values)) {
    const { source, natural } = elementsOf(where, values, dtype)
    put(natural, source)
    return [source.length]
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
    const shape = flatten(where, value, leaves, dtype)
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

export const isClone = (value: unknown): value is ClonedTensor =>
  isPlainObject(value) && 'shape' in value && 'dtype' in value && 'values' in value

/** The tensor that was cloned. Errors: ERR_SHAPE, ERR_DTYPE, ERR_VALUE for a tensor without values. */
function restored(where: string, { shape, dtype, values }: ClonedTensor): Tensor {
  checkShape(where, shape)
  checkDtype(where, dtype)
  if (dtypeOf(values) === undefined)
    throw new WengertError('ERR_VALUE', `${where}: expected the values of a cloned tensor, got ${describe(values)}`, { actual: values })
  return new Tensor(shape, dtype, values)
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

/** As `tensor`, naming `where` in errors; numbers in plain arrays become `plain` where no type is asked for. */
export function asTensor(where: string, values: unknown, { shape, dtype }: TensorOptions = {}, plain: Dtype = 'float32'): Tensor {
  if (shape !== undefined) checkShape(where, shape)
  if (dtype !== undefined) checkDtype(where, dtype)
  let source: ArrayLike<number>
  let nesting: Shape
  let type: Dtype
  if (isTypedArray(values)) {
    const elements = elementsOf(where, values, dtype)
    source = elements.source
    nesting = [source.length]
    type = dtype ?? elements.natural
  } else if (values instanceof Tensor || isClone(values)) {
    const t = values instanceof Tensor ? values : restored(where, values)
    source = t.data
    nesting = t.shape
    type = dtype ?? t.dtype
  } else {
    const leaves: Leaves = { numbers: [], natural: undefined, plain }
    nesting = flatten(where, values, leaves, dtype)
    source = leaves.numbers
    type = dtype ?? leaves.natural ?? plain
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
  return new Tensor([...(shape ?? nesting)], type, data)
}

Tensor.from = (values, options = {}) => {
  checkOptions('Tensor.from', options, ['shape', 'dtype'])
  return asTensor('Tensor.from', values, options)
}

interface DtypeOption {
  dtype?: Dtype | undefined
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
  if (step === 0) throw new WengertError('ERR_RANGE', 'arange: the step must not be 0', { actual: 0 })
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
