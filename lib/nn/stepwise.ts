/** Layers that treat every step of a sequence by itself: a stepper runs them as they are. */

import type { Tensor } from '../tensor/tensor.js'
import { Module } from './module.js'

/** A layer whose `forward` does to each step what it would do to that step alone. */
export abstract class Stepwise extends Module {
  override stepForward(x: Tensor): Tensor {
    return this.forward(x)
  }
}
