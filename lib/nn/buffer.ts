/**
 * A buffer: a tensor that belongs to a module's state but is not trained by gradients, such as running statistics. It is
 * part of `stateDict` and, during a fit, of the trainer's state block.
 */

import { WengertError } from '../errors.js'
import { kept } from '../primitives/binding.js'
import { Traced } from '../primitives/primitive.js'
import type { TensorLike } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { formatShape, sameShape } from '../util/shape.js'
import { Parameter } from './parameter.js'

/** A tensor that belongs to a module and is saved with it, but is not trained: running statistics. */
export class Buffer extends Parameter {
  constructor(initial: Tensor) {
    super(initial)
    this.frozen = true
  }

  /**
   * Replaces the values. While the module is traced over a stand-in (see `withBindings`), the new value takes the stand-in's
   * place: whoever traces finds it there and records the assignment. Errors: ERR_SHAPE, ERR_DTYPE, ERR_BUSY.
   */
  override assign(given: TensorLike): void {
    const value = this.like('assign', given)
    if (this.standIn === undefined) {
      // Running statistics are no part of what is differentiated: their values are kept.
      super.assign(value instanceof Traced ? new Tensor(value.shape, value.dtype, value.data) : value)
      return
    }
    if (!sameShape(value.shape, this.shape) || value.dtype !== this.dtype) {
      throw new WengertError(
        value.dtype === this.dtype ? 'ERR_SHAPE' : 'ERR_DTYPE',
        `assign: expected ${this.dtype} ${formatShape(this.shape)}, got ${value.dtype} ${formatShape(value.shape)}`,
        { expected: this.shape, actual: value.shape },
      )
    }
    this.binding = kept(value)
  }
}
