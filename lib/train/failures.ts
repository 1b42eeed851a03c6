/** What stops a training, as errors that say where and what to do. */

import { indexError } from '../backend/failures.js'
import type { BlockResult, Failure } from '../backend/program.js'
import { WengertError } from '../errors.js'

/** A cost or parameters that are not finite, first seen at `when`, made by `label` (and on which rank) where it is known. */
export function notFinite(when: string, label: string | undefined, kept: string, rate: number): WengertError {
  const first = label === undefined ? '' : `; first made by ${label}`
  return new WengertError(
    'ERR_DIVERGED',
    `${when}: expected a finite cost and finite parameters, got NaN or Infinity${first}; ${kept}\n  try a smaller learning rate (now ${rate}), clipNorm, or standardize()`,
    { expected: 'finite' },
  )
}

/** An epoch's cost that ran away. */
export function ranAway(epoch: number, cost: number, limit: number, epochs: number, kept: string, rate: number): WengertError {
  return new WengertError(
    'ERR_DIVERGED',
    `epoch ${epoch}: expected a cost below ${limit.toPrecision(3)}, got ${cost.toPrecision(3)}, above it for ${epochs} epochs running; ${kept}\n  try a smaller learning rate (now ${rate}) or clipNorm; { divergence: false } lets it go on`,
    { expected: limit, actual: cost },
  )
}

/** An index in the data that its axis does not have. */
export const badIndex = (failure: Extract<Failure, { kind: 'index' }>, where = 'fit'): WengertError =>
  indexError(where, failure, ' of a batch')

/** A failed evaluation. */
export function evaluationFailure({ failure }: BlockResult, label: string | undefined, rate: number): WengertError {
  return failure?.kind === 'index' ? badIndex(failure, 'evaluate') : notFinite('evaluate', label, 'nothing was changed', rate)
}
