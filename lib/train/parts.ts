/** What training's programs are made of, and where they leave what they report. */

import type { Loss } from '../nn/loss.js'
import type { Module } from '../nn/module.js'
import type { Ranks } from '../nn/ranks.js'
import type { Optimizer } from '../optim/optimizer.js'
import { div, maximum, mul } from '../primitives/elementwise.js'
import { reshape } from '../primitives/movement.js'
import { sum } from '../primitives/reduce.js'
import type { FieldSpec } from '../tensor/inputs.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Dtype, FloatDtype } from '../util/dtype.js'
import type { Shape } from '../util/shape.js'
import { type Counting, stepsAsSamples } from './counting.js'
import type { MeanMetric } from './metrics.js'
import type { Signature } from './signature.js'
import type { TrainingState } from './training-state.js'

/** What a step is made of. */
export interface StepParts {
  readonly model: Module
  readonly loss: Loss
  readonly optimizer: Optimizer
  /** Whether every update of a fit has the same scalars. */
  readonly steady: boolean
  readonly state: TrainingState
  /** The model's, at the time when the programs are made. */
  readonly signature: Signature
  /** Means over samples, computed by the programs. */
  readonly metrics: readonly MeanMetric[]
  /** The report's entry at which the sums of gradient health begin; none by default. */
  readonly health?: number
  readonly dtype: FloatDtype
  readonly clip?: Clipping
  /** The processes that make each update together; none where one makes it. */
  readonly ranks?: Ranks | undefined
}

/** Bounds of the gradient of an update: of its norm over all parameters, and of each element. */
export interface Clipping {
  readonly norm?: number
  readonly value?: number
}

/** A sample's fields and shape, and the targets' type. */
export interface SampleSpec extends Counting {
  readonly x: readonly FieldSpec[]
  readonly y: Shape
  readonly yDtype: Dtype
}

/** Sums of health for each trained parameter: Σ‖g‖², Σ‖Δθ‖², Σ‖θ‖², and how many elements of g were 0. */
export const healthEntries = 4

/**
 * Where things stand in the report: the sum of the losses, then of each metric, then, where metrics do not count all, how much they count;
 * validation's follow, then health's.
 */
export interface ReportLayout {
  /** Whether the report says how much metrics count. */
  readonly counted: boolean
  readonly validation: number
  readonly health: number
  readonly length: number
}

/** @param count metrics; @param trained parameters whose health is reported */
export function reportLayout(count: number, training: boolean, validation: boolean, trained: number, counted = false): ReportLayout {
  const group = 1 + count + (counted ? 1 : 0)
  const first = training ? group : 0
  const health = first + (validation ? group : 0)
  return { counted, validation: first, health, length: health + healthEntries * trained }
}

/** All samples of an update or an evaluation that is made in parts, and what their mean divides by. */
export interface Whole {
  readonly samples: number
  readonly totalWeight: number
}

/** What each loss counts in the mean over an update's samples: Σ weight · loss · factor is the cost. */
export interface Share {
  /** [samples at hand], or [samples at hand, steps]; 1 where there are none. */
  weights?: Tensor | undefined
  /** One by what the mean divides by. */
  factor: Tensor | number
  /** Samples of the update. */
  samples: number
  /** What the mean divides by beside the factor, as far as the samples at hand make it up: the rest is other processes'. */
  counts?: Tensor | undefined
}

/** What each sample counts, [m]: of steps that count differently the sum of theirs; undefined where all count alike. */
export function countsOf(loss: Loss, dtype: FloatDtype, targets: () => Tensor, weights: Tensor | undefined): Tensor | undefined {
  if (weights === undefined || weights.rank < 2) {
    const own = loss.weightsOf?.(targets(), dtype)
    return own && weights ? mul(own, weights) : (own ?? weights)
  }
  const own = loss.weightsOf?.(stepsAsSamples(targets()), dtype)
  return sum(own ? mul(reshape(own, weights.shape), weights) : weights, 1)
}

/** The share of each sample where all of the update are at hand. An update of samples that count nothing changes nothing. */
export function shareOf({ loss, dtype }: StepParts, samples: number, targets: () => Tensor, weights: Tensor | undefined): Share {
  const counts = countsOf(loss, dtype, targets, weights)
  return { weights, samples, factor: counts ? div(1, maximum(sum(counts), least)) : 1 / samples }
}

/** Below any sum of weights but 0, in either precision. */
export const least = 1e-30

/** The share of each sample where what the mean divides by is known ahead. */
export const knownShare = ({ samples, totalWeight }: Whole, weights: Tensor | undefined): Share => ({
  weights,
  samples,
  factor: 1 / Math.max(totalWeight, least),
})

/** Losses times weights so that their sum is the number of samples times the cost: an epoch's cost is the batches' weighted by size. */
export function reported(weighted: Tensor, { factor, samples, counts }: Share): Tensor {
  // Divided and multiplied when all processes' are known.
  if (counts) return weighted
  return factor === 1 / samples ? weighted : mul(weighted, typeof factor === 'number' ? factor * samples : mul(factor, samples))
}
