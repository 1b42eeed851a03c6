/** What stops a run, as errors. */

import { WengertError } from '../errors.js'
import type { Failure } from './program.js'

/** A number that is no index of its axis: ERR_INDEX where it lies outside, ERR_RANGE where it is no whole number. */
export function indexError(
  where: string,
  bad: Pick<Extract<Failure, { kind: 'index' }>, 'position' | 'value' | 'size'>,
  of = '',
): WengertError {
  const { position, value, size } = bad
  const expected = size > 0 ? `an index in 0 … ${size - 1}` : 'no index into an empty axis'
  const whole = !Number.isNaN(value) && value === Math.floor(value)
  return new WengertError(whole ? 'ERR_INDEX' : 'ERR_RANGE', `${where}: expected ${expected}, got ${value} at position ${position}${of}`, {
    expected: size,
    actual: value,
  })
}
