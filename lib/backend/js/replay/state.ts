/**
 * The state block of this engine, and its snapshot. While a runner works on a state, `read` sees the snapshot: made at the end
 * of an epoch, and only of a block whose floating ranges are finite, so that a failure can go back to it.
 */

import { WengertError } from '../../../errors.js'
import { bytesPerElement, type Dtype, isFloat, type TypedArray, viewOf } from '../../../util/dtype.js'
import type { State } from '../../backend.js'

/** A floating range of the block: what the finiteness test reads. */
export interface FloatRange {
  offset: number
  length: number
  dtype: Dtype
}

/** One view of a whole buffer for each element type; bound operands index into them. */
export type Views = Readonly<Record<Dtype, TypedArray>>

/** Zeroed memory of at least `bytes`, seen as each type. */
export function allocateViews(bytes: number, what: string): Views {
  try {
    const buffer = new ArrayBuffer(Math.ceil(bytes / 8) * 8)
    const view = (dtype: Dtype) => viewOf(dtype, buffer, 0, buffer.byteLength / bytesPerElement[dtype])
    return { float32: view('float32'), float64: view('float64'), int32: view('int32'), bool: view('bool') }
  } catch (cause) {
    throw new WengertError('ERR_MEMORY', `${what}: out of memory: ${bytes} bytes could not be had (${(cause as Error).message})`, { cause })
  }
}

export function allFinite(array: TypedArray, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (!Number.isFinite(array[i] as number)) return false
  return true
}

/** The bytes of a typed array; refused where its buffer was transferred away. */
function bytesOf(op: string, array: TypedArray): Uint8Array {
  try {
    return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
  } catch (cause) {
    throw new WengertError('ERR_DETACHED', `${op}: the array has no memory any more: its buffer was transferred; keep a copy`, { cause })
  }
}

export class JsState implements State {
  readonly views: Views
  /** The runner at work, if any. */
  worker: object | undefined
  #snapshot: Uint8Array | undefined
  #good = false
  #version = 0
  readonly #floats: readonly { view: TypedArray; from: number; to: number }[]

  constructor(
    readonly bytes: number,
    floats: readonly FloatRange[],
  ) {
    if (!(Number.isSafeInteger(bytes) && bytes >= 0))
      throw new WengertError('ERR_PROGRAM', `state: expected a size of 0 or more bytes, got ${bytes}`)
    for (const { offset, length, dtype } of floats) {
      const size = isFloat(dtype) ? bytesPerElement[dtype] : 0
      const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0
      if (!whole || size === 0 || offset % size !== 0 || offset + length * size > bytes) {
        throw new WengertError('ERR_PROGRAM', `state: expected floating ranges inside ${bytes} bytes, got ${length} ${dtype} at ${offset}`)
      }
    }
    const views = allocateViews(bytes, 'state')
    this.views = views
    this.#floats = floats.map(({ offset, length, dtype }) => {
      const from = offset / bytesPerElement[dtype]
      return { view: views[dtype], from, to: from + length }
    })
  }

  get version(): number {
    return this.#version
  }

  write(offset: number, source: TypedArray): void {
    if (this.worker) throw new WengertError('ERR_BUSY', 'state: cannot be written to while a runner works on it')
    const bytes = bytesOf('state', source)
    this.#checkRange('write', offset, bytes.byteLength)
    ;(this.views.bool as Uint8Array).set(bytes, offset)
    this.#good = false
    this.#version++
  }

  read(offset: number, target: TypedArray): void {
    const bytes = bytesOf('state', target)
    this.#checkRange('read', offset, bytes.byteLength)
    const from = (this.worker && this.#snapshot) || (this.views.bool as Uint8Array)
    bytes.set(from.subarray(offset, offset + bytes.byteLength))
  }

  readAll(offsets: readonly number[], targets: readonly TypedArray[]): number {
    targets.forEach((target, i) => {
      this.read(offsets[i] as number, target)
    })
    return this.#version
  }

  #checkRange(what: string, offset: number, bytes: number): void {
    if (!(Number.isSafeInteger(offset) && offset >= 0 && offset + bytes <= this.bytes)) {
      throw new WengertError('ERR_PROGRAM', `state: expected to ${what} inside ${this.bytes} bytes, got ${bytes} at ${offset}`)
    }
  }

  /** Typed arrays are the collector's, which frees them in any loop. */
  release(): void {}

  /** A run has changed the block. */
  changed(): void {
    this.#version++
  }

  /** Makes the block the snapshot if it is finite. Without any snapshot it is taken as it is, for `read`, but is not gone back to. */
  publish(): boolean {
    const finite = this.#floats.every(({ view, from, to }) => allFinite(view, from, to))
    if (!finite && this.#snapshot && this.#good) return false
    this.#snapshot ??= new Uint8Array(allocateViews(this.bytes, 'state').bool.buffer)
    this.#snapshot.set(this.views.bool)
    this.#good = finite
    this.#version++
    return finite
  }

  /** Goes back to the snapshot, where it is a good one. */
  restore(): void {
    if (this.#good) (this.views.bool as Uint8Array).set(this.#snapshot as Uint8Array)
  }
}
