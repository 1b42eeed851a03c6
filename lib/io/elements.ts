/**
 * Numbers as files hold them, little-endian, and as tensors do. Types that tensors lack are converted where nothing is
 * lost: half floats to float32, other integers to int32 where they fit.
 */

import { WengertError } from '../errors.js'
import { allocate, bytesPerElement, type Dtype, type TypedArray } from '../util/dtype.js'

/** How one type of a file's elements is read. */
export interface ElementKind {
  bytes: number
  dtype: Dtype
  /** Absent where the bytes are those of the tensor. */
  read?: (view: DataView, offset: number) => number
}

function half(view: DataView, offset: number): number {
  const bits = view.getUint16(offset, true)
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** The upper half of a float32. */
function brain(view: DataView, offset: number): number {
  widened.setUint32(0, view.getUint16(offset, true) << 16)
  return widened.getFloat32(0)
}
const widened = new DataView(new ArrayBuffer(4))

/** Integers that float64 cannot hold do not fit int32 either: they are refused below. */
const long = (view: DataView, offset: number) => Number(view.getBigInt64(offset, true))

export const elementKinds = {
  f16: { bytes: 2, dtype: 'float32', read: half },
  bf16: { bytes: 2, dtype: 'float32', read: brain },
  f32: { bytes: 4, dtype: 'float32' },
  f64: { bytes: 8, dtype: 'float64' },
  i8: { bytes: 1, dtype: 'int32', read: (view, offset) => view.getInt8(offset) },
  u8: { bytes: 1, dtype: 'int32', read: (view, offset) => view.getUint8(offset) },
  i16: { bytes: 2, dtype: 'int32', read: (view, offset) => view.getInt16(offset, true) },
  u16: { bytes: 2, dtype: 'int32', read: (view, offset) => view.getUint16(offset, true) },
  i32: { bytes: 4, dtype: 'int32' },
  u32: { bytes: 4, dtype: 'int32', read: (view, offset) => view.getUint32(offset, true) },
  i64: { bytes: 8, dtype: 'int32', read: long },
  u64: { bytes: 8, dtype: 'int32', read: (view, offset) => Number(view.getBigUint64(offset, true)) },
  bool: { bytes: 1, dtype: 'bool', read: (view, offset) => view.getUint8(offset) },
} satisfies Record<string, ElementKind>

export type ElementName = keyof typeof elementKinds

/** The type that a file keeps each of the tensors' types in. */
export const elementOf: Record<Dtype, ElementName> = { float32: 'f32', float64: 'f64', int32: 'i32', bool: 'bool' }

const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** Copies `count` elements out of `bytes`, which holds exactly them. Errors: ERR_FILE for values that the tensor's type lacks. */
export function decodeElements(where: string, kind: ElementKind, bytes: Uint8Array, count: number): TypedArray {
  const out = allocate(kind.dtype, count)
  if (!kind.read) {
    const copy = new Uint8Array(out.buffer)
    copy.set(bytes)
    if (!littleEndian) swap(copy, kind.bytes)
    return out
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let i = 0; i < count; i++) {
    const value = kind.read(view, i * kind.bytes)
    out[i] = value
    if (kind.dtype === 'float32') continue
    if (kind.dtype === 'bool' ? value > 1 : out[i] !== value) {
      const range = kind.dtype === 'bool' ? '0 or 1' : 'integers within int32'
      throw new WengertError('ERR_FILE', `${where}: expected ${range}, got ${value} at position ${i}`, { expected: range, actual: value })
    }
  }
  return out
}

/** The bytes of an array, little-endian: its own memory where the machine is. */
export function encodeElements(dtype: Dtype, data: TypedArray): Uint8Array {
  const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength)
  if (littleEndian) return bytes
  const copy = bytes.slice()
  swap(copy, bytesPerElement[dtype])
  return copy
}

function swap(bytes: Uint8Array, width: number): void {
  for (let i = 0; i < bytes.length; i += width) bytes.subarray(i, i + width).reverse()
}
