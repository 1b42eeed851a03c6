/** Where parameters, optimiser state and statistics lie in a state block. */

import { bytesPerElement, type Dtype, isFloat } from '../util/dtype.js'
import { type Shape, sizeOf } from '../util/shape.js'

export interface StateSlot {
  readonly name: string
  readonly shape: Shape
  readonly dtype: Dtype
  /** Bytes from the start of the block, a multiple of 64. */
  readonly offset: number
  /** Scratch that lives from run to run but is no part of what is trained (accumulators): never checked, never saved. */
  readonly transient: boolean
}

const align = (bytes: number): number => Math.ceil(bytes / 64) * 64

export class StateLayout {
  readonly slots: StateSlot[] = []
  bytes = 0

  /** Adds a slot and returns its index. */
  add(name: string, shape: Shape, dtype: Dtype, transient = false): number {
    this.slots.push({ name, shape, dtype, offset: this.bytes, transient })
    this.bytes += align(sizeOf(shape) * bytesPerElement[dtype])
    return this.slots.length - 1
  }

  /** The floating ranges that a snapshot must find finite. */
  floats(): { offset: number; length: number; dtype: Dtype }[] {
    return this.slots
      .filter((slot) => isFloat(slot.dtype) && !slot.transient)
      .map(({ offset, shape, dtype }) => ({ offset, length: sizeOf(shape), dtype }))
  }
}
