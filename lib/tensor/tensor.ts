/**
 * A tensor: a shape, an element type and a dense row-major typed array. Data only; the operations are rows of the op
 * table and are attached as methods in one place above it (`primitives/methods.ts`).
 */

import { WengertError } from '../errors.js'
import { allocate, type Dtype, dtypeOf, isDetached, type TypedArray } from '../util/dtype.js'
import { formatShape, type Shape, sizeOf } from '../util/shape.js'
import { printTensor } from './print.js'

/** Nested arrays of numbers, as deep as the rank; a number for a scalar. Bool tensors give booleans. */
export type NestedArray = number | boolean | NestedArray[]

/** What `toArray` gives where no type is asked for: to TypeScript a number and a list at once, since only the rank says which. */
export type Nested = number & NestedList
interface NestedList extends Array<Nested> {}

/** Typed arrays of kinds that tensors do not hold: their elements are copied where they fit. */
export type ForeignArray = Int8Array | Uint8ClampedArray | Int16Array | Uint16Array | Uint32Array | BigInt64Array | BigUint64Array

/** What `structuredClone` and `postMessage` make of a tensor. */
export interface ClonedTensor {
  readonly shape: Shape
  readonly dtype: Dtype
  readonly values: TypedArray
}

/** What `tensor()` accepts. A `Uint8Array` counts as numbers unless `dtype: 'bool'` says otherwise. */
export type TensorLike = Tensor | TypedArray | ForeignArray | NestedArray | ClonedTensor | readonly TensorLike[]

/** Shape and element type of a new tensor, where its values do not say them. */
export interface TensorOptions {
  /** Defaults to the nesting of arrays, `[length]` for a typed array. */
  shape?: Shape | undefined
  /**
   * Defaults to float32; a `Float64Array` gives float64, typed arrays of integers but bytes int32, booleans bool; rows of
   * several kinds the one that holds them all.
   */
  dtype?: Dtype | undefined
}

/** Values in row-major order with a shape and an element type. Every operation is a method too. */
export class Tensor {
  readonly shape: Shape
  readonly dtype: Dtype
  /** The elements, or none where only the shape is known. An own field, so that deep equality and structured cloning see it. */
  private readonly values: TypedArray | undefined

  /**
   * A tensor of the given values (copied), as `tensor(…)`; also of what `structuredClone` or `postMessage` made of one.
   *
   * @throws what `tensor` throws
   * @example worker.on('message', (message) => model.predict(Tensor.from(message)))
   */
  declare static from: (values: TensorLike, options?: TensorOptions) => Tensor

  /** Wraps `data` without copying; it must hold exactly the elements of `shape`. Users call `tensor(…)`. */
  constructor(shape: Shape, dtype: Dtype, data?: TypedArray) {
    this.shape = shape
    this.dtype = dtype
    this.values = data
    if (data !== undefined && (data.length !== sizeOf(shape) || dtypeOf(data) !== dtype)) {
      if (isDetached(data)) throw new WengertError('ERR_DETACHED', 'tensor: the buffer of its array was transferred away')
      throw new WengertError(
        'ERR_SHAPE',
        `tensor: expected ${sizeOf(shape)} elements of ${dtype} for shape ${formatShape(shape)}, got ${data.length} of ${dtypeOf(data)}`,
        { expected: sizeOf(shape), actual: data.length },
      )
    }
  }

  /** The elements, row-major: the tensor's own memory, not a copy. */
  get data(): TypedArray {
    if (this.values === undefined)
      throw new WengertError(
        'ERR_DONATED',
        `data: this ${this.dtype} tensor of shape ${formatShape(this.shape)} was donated to a compiled function, and a result has its memory: use the result, or call the function without donate`,
      )
    return this.values
  }

  /** The number of elements. */
  get size(): number {
    return sizeOf(this.shape)
  }

  /** The number of axes. */
  get rank(): number {
    return this.shape.length
  }

  /** What operations take in this tensor's place: itself, unless it is a parameter bound to a traced value. */
  resolve(): Tensor {
    return this
  }

  /** The single element as a number. Errors: ERR_SHAPE where there is not exactly one. */
  item(): number {
    if (this.size !== 1) {
      throw new WengertError('ERR_SHAPE', `item: expected a tensor of one element, got shape ${formatShape(this.shape)}`, {
        expected: 1,
        actual: this.size,
      })
    }
    return this.data[0] as number
  }

  /**
   * The values as nested arrays, a number for a scalar. Their type is the one asked for: `const rows: number[][] = t.toArray()`.
   */
  toArray<T extends NestedArray = Nested>(): T {
    const { data, shape, dtype } = this
    let position = 0
    const build = (axis: number): NestedArray => {
      if (axis === shape.length) {
        const value = data[position++] as number
        return dtype === 'bool' ? value !== 0 : value
      }
      return Array.from({ length: shape[axis] as number }, () => build(axis + 1))
    }
    return build(0) as T
  }

  /** What `JSON.stringify` writes: `toArray()`. `tensor(JSON.parse(text))` reads it back (JSON has no NaN and no Infinity: they become null). */
  toJSON(): NestedArray {
    return this.toArray()
  }

  /** The values as nested rows, shortened where there are many. */
  toString(): string {
    return printTensor(this)
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString()
  }
}

/** Takes a tensor's memory away from it, or gives it back: without, it has no values (ERR_DONATED). */
export function setMemory(x: Tensor, data: TypedArray | undefined): void {
  ;(x as unknown as { values: TypedArray | undefined }).values = data
}

/** A dense tensor of zeros. */
export function emptyTensor(shape: Shape, dtype: Dtype): Tensor {
  return new Tensor(shape, dtype, allocate(dtype, sizeOf(shape)))
}
