/** Element types and the typed arrays that hold them. Adding one means a line in each table here and a case in each engine. */

import { WengertError } from '../errors.js'

/** The element types of tensors. */
export type Dtype = 'float32' | 'float64' | 'int32' | 'bool'
/** The element types in which gradients exist. */
export type FloatDtype = 'float32' | 'float64'
/** What TypeScript cannot call on a union of typed arrays, since each declares it for itself. */
interface Foldable {
  reduce(f: (before: number, value: number, index: number) => number): number
  reduce<T>(f: (before: T, value: number, index: number) => T, initial: T): T
}
/** The arrays behind tensors: float32, float64, int32, and bool as bytes 0 and 1. */
export type TypedArray = (Float32Array | Float64Array | Int32Array | Uint8Array) & Foldable

/** The order of promotion: of two operands the later one wins. */
export const dtypes = ['bool', 'int32', 'float32', 'float64'] as const

export const bytesPerElement: Record<Dtype, number> = { float32: 4, float64: 8, int32: 4, bool: 1 }

const constructors = { float32: Float32Array, float64: Float64Array, int32: Int32Array, bool: Uint8Array } as const

/** Bytes that may still be allocated within `withAllocationLimit`. */
let room = Infinity

/** A zeroed array of `length` elements. Errors: ERR_MEMORY beyond the limit of `withAllocationLimit`, or where there is no memory. */
export function allocate(dtype: Dtype, length: number): TypedArray {
  const bytes = length * bytesPerElement[dtype]
  if (room < Infinity) {
    if (!(bytes <= room))
      throw new WengertError('ERR_MEMORY', `allocate: expected at most ${room} further bytes, got ${bytes}`, {
        expected: room,
        actual: bytes,
      })
    room -= bytes
  }
  return obtained(bytes, () => new constructors[dtype](length))
}

/** As `allocate`, in memory that a training thread borrows. */
export function allocateShared(dtype: Dtype, length: number): TypedArray {
  const bytes = Math.max(1, length) * bytesPerElement[dtype]
  return viewOf(
    dtype,
    obtained(bytes, () => new SharedArrayBuffer(bytes)),
    0,
    length,
  )
}

/** What `make` allocates; a refusal of the system's as ERR_MEMORY. */
export function obtained<T>(bytes: number, make: () => T): T {
  try {
    return make()
  } catch (error) {
    throw memoryError(`allocate: there is no room for ${bytes} bytes`, error)
  }
}

/** JavaScript says by a RangeError that it has no memory for an array: that as ERR_MEMORY, any other error as it is. */
export function memoryError(where: string, error: unknown): unknown {
  if (
    !(error instanceof RangeError) ||
    !/allocation|(array|string) (buffer )?length|ArrayBuffer|(map|set) maximum size|create a Buffer/i.test(error.message)
  )
    return error
  return new WengertError('ERR_MEMORY', `${where}: ${error.message}`, { cause: error })
}

/** Runs `body`, of which a refusal of the system's to give memory is ERR_MEMORY. */
export function withMemoryErrors<T>(where: string, body: () => T): T {
  const failed = (error: unknown): never => {
    throw memoryError(where, error)
  }
  try {
    const made = body()
    return made instanceof Promise ? (made.catch(failed) as T) : made
  } catch (error) {
    return failed(error)
  }
}

/** Runs `body`, in which tensors of `bytes` bytes in all may be made: what a file describes must not cost more than the file can fill. */
export function withAllocationLimit<T>(bytes: number, body: () => T): T {
  const outer = room
  room = Math.min(outer, bytes)
  try {
    return body()
  } finally {
    room = outer
  }
}

/** A view of `length` elements of `dtype` at `byteOffset` of `buffer`. */
export function viewOf(dtype: Dtype, buffer: ArrayBufferLike, byteOffset: number, length: number): TypedArray {
  return new constructors[dtype](buffer as ArrayBuffer, byteOffset, length)
}

export function isFloat(dtype: Dtype): dtype is FloatDtype {
  return dtype === 'float32' || dtype === 'float64'
}

/** The element type of a typed array, or undefined for one that tensors do not hold. */
export function dtypeOf(array: unknown): Dtype | undefined {
  if (array instanceof Float32Array) return 'float32'
  if (array instanceof Float64Array) return 'float64'
  if (array instanceof Int32Array) return 'int32'
  if (array instanceof Uint8Array) return 'bool'
  return undefined
}

/** The type that an operation on both gives (PyTorch's promotion within these four). */
export function promote(a: Dtype, b: Dtype): Dtype {
  return dtypes[Math.max(dtypes.indexOf(a), dtypes.indexOf(b))] as Dtype
}

/** Whether the memory under a typed array was transferred away. */
export function isDetached(array: ArrayBufferView): boolean {
  if (array.buffer.byteLength > 0) return false
  try {
    new Uint8Array(array.buffer as ArrayBuffer)
    return false
  } catch {
    return true
  }
}
