/** What makes one row of a sequence of them: for a head behind a recurrent layer or an encoder. */

import { WengertError } from '../errors.js'
import { broadcastTo } from '../primitives/broadcast.js'
import { add, div, sub, where } from '../primitives/elementwise.js'
import { takeAlong } from '../primitives/indexing.js'
import { cast, expandDims, reshape } from '../primitives/movement.js'
import { slice } from '../primitives/parts.js'
import { mean, sum } from '../primitives/reduce.js'
import { zeros } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { checkOptions } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import { batchesOnly } from './batches.js'
import { checkLengths, type Lengths, within } from './lengths.js'
import { Module } from './module.js'
import type { StepMemory } from './step-memory.js'

/** What a layer over sequences is run with. */
export interface SequenceInputs {
  /** How many steps of each sequence count: 1 … T; all by default. */
  lengths?: Lengths | undefined
}

/** A sequence [T, F] as a batch of one. Errors: ERR_SHAPE. */
function asBatch(where: string, x: Tensor): Tensor {
  if ((x.rank !== 3 && (x.rank !== 2 || batchesOnly())) || x.shape[x.rank - 2] === 0)
    throw new WengertError('ERR_SHAPE', `${where}: expected x of shape [m, T, features], got ${formatShape(x.shape)}`, {
      expected: '[m, T, features]',
      actual: x.shape,
    })
  return x.rank === 2 ? expandDims(x, 0) : x
}

/**
 * The last step of each sequence, that of its length where lengths are given: [m, T, F] → [m, F]. Of a layer of two directions the
 * second half of the features has seen that one step alone: take its `state`, or `MeanOverTime`.
 *
 * @throws (forward) ERR_SHAPE; ERR_RANGE for lengths outside 1 … T
 * @example new nn.Sequential(new nn.LSTM(16, 128), new nn.LastStep(), new nn.Linear(128, 10))
 */
export class LastStep extends Module {
  override get takesLengths(): boolean {
    return true
  }

  override forward(x: Tensor, options: SequenceInputs = {}): Tensor {
    checkOptions('LastStep.forward', options, ['lengths'])
    const batch = asBatch('LastStep', x)
    const [m, T, features] = batch.shape as [number, number, number]
    const out = x.rank === 2 ? [features] : [m, features]
    if (options.lengths === undefined) return reshape(slice(batch, null, [T - 1, T]), out)
    const last = sub(checkLengths('LastStep.forward', options.lengths, m, T), 1)
    return reshape(takeAlong(batch, broadcastTo(reshape(last, [m, 1, 1]), [m, 1, features]), 1), out)
  }

  override stepForward(x: Tensor): Tensor {
    return x
  }
}

/**
 * The mean of the steps of each sequence, of those within its length where lengths are given: [m, T, F] → [m, F].
 *
 * @throws (forward) ERR_SHAPE; ERR_RANGE for lengths outside 1 … T
 * @example new nn.MeanOverTime().forward(x, { lengths: [5, 2] })
 */
export class MeanOverTime extends Module {
  override get takesLengths(): boolean {
    return true
  }

  override forward(x: Tensor, options: SequenceInputs = {}): Tensor {
    checkOptions('MeanOverTime.forward', options, ['lengths'])
    const batch = asBatch('MeanOverTime', x)
    const [m, T, features] = batch.shape as [number, number, number]
    const out = x.rank === 2 ? [features] : [m, features]
    if (options.lengths === undefined) return reshape(mean(batch, 1), out)
    const lengths = checkLengths('MeanOverTime.forward', options.lengths, m, T)
    const total = sum(where(expandDims(within(lengths, T), 2), batch, 0), 1)
    return reshape(div(total, reshape(cast(lengths, batch.dtype), [m, 1])), out)
  }

  /** The mean of the steps so far. */
  override stepForward(x: Tensor, memory: StepMemory): Tensor {
    const dtype = isFloat(x.dtype) ? x.dtype : 'float32'
    const first = [zeros(x.shape, { dtype }), zeros([], { dtype })]
    const [total, count] = memory.carry(first, ([t, n]) => [add(t as Tensor, x), add(n as Tensor, 1)]) as [Tensor, Tensor]
    return div(total, count)
  }
}
