/** What a fit leaves to look at. */

import type { MeanName, MetricName, MetricSpec, MetricValue } from './metrics.js'

/** The cost (mean of the samples' losses) and the metrics asked for, by name; those of a user's own stand in `custom`. */
export type Scores = { cost: number } & { [Name in MetricName]?: MetricValue<Name> } & { custom?: Record<string, number> }

/** Metrics as an option lists them. */
type Specs = readonly MetricSpec[]
/** The names in a list; none where its type does not say which. */
type NamesIn<M extends Specs> = MetricName extends M[number] ? never : Extract<M[number], MetricName>

/** `Scores` in which the metrics that were asked for by name are known to be there. */
export type ScoresOf<M extends Specs = Specs> = Scores & { [Name in NamesIn<M>]: MetricValue<Name> }

/** How one parameter's gradients and updates were over an epoch. */
export interface ParameterHealth {
  /** √(mean over the epoch's updates of ‖g‖²). */
  gradientNorm: number
  /** ‖Δθ‖/‖θ‖, both as root mean squares over the epoch's updates. */
  updateRatio: number
  /** The share of the gradient's elements that were exactly 0. */
  zeroShare: number
}

/** One finished epoch. `cost` is the mean of the samples' losses as met during the epoch; metrics likewise. */
export type EpochRecord<M extends Specs = Specs> = Scores & { [Name in NamesIn<M> & MeanName]: number } & {
  /** Counted from 1 over the trainer's life. */
  epoch: number
  /** Updates made in all. */
  updates: number
  /** Of the epoch's last update. */
  learningRate: number
  validation?: ScoresOf<M>
  /** By parameter, where `health` was asked for. */
  health?: Record<string, ParameterHealth>
  /** Since the fit began. */
  seconds: number
}

/** Why a fit ended. */
export type StopReason = 'epochs' | 'tolerance' | 'time' | 'callback'

/** What a `fit` did: one record an epoch, and how it ended. */
export interface History<M extends Specs = Specs> {
  trainer: string
  epochs: EpochRecord<M>[]
  /** The last epoch. */
  last: EpochRecord<M> | undefined
  updates: number
  seconds: number
  seed: number
  stopped: StopReason
}
