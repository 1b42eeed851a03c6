/** Finding the operation that made the first NaN or Infinity, and the user's line that called it. */

import { WengertError } from '../errors.js'
import { observing, type Primitive, Traced } from '../primitives/primitive.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { describe } from '../util/options.js'
import { userLine } from '../util/place.js'
import { formatShape, stridesOf } from '../util/shape.js'
import { entryBeingSwept } from './reverse.js'

const firstBad = (x: Tensor): number => (isFloat(x.dtype) ? x.data.findIndex((v) => !Number.isFinite(v)) : -1)

function position(x: Tensor, flat: number): string {
  if (x.rank === 0) return ''
  const strides = stridesOf(x.shape)
  return ` at ${formatShape(x.shape.map((n, axis) => Math.floor(flat / (strides[axis] as number)) % n))}`
}

/** What was computed, below all traces. */
function concrete(x: Tensor): Tensor {
  let inner = x
  while (inner instanceof Traced) inner = inner.value
  return inner
}

/**
 * Runs `body` and stops at the first operation that makes NaN or Infinity, in the evaluation or in a backward sweep.
 *
 * Every operation applied one by one is tested, and its stack kept: for finding a fault, not for production. What a fit or
 * `predict` replays as a program is not seen here; a fit names the operation that diverged by itself.
 *
 * @param body synchronous
 * @returns what `body` returns
 * @throws ERR_ANOMALY naming the operation, the element, forward or backward, and the user's line of the forward operation;
 * `actual` holds { op, phase, value, line }; ERR_VALUE for an asynchronous body
 * @example detectAnomaly(() => grad((x: Tensor) => x.log().sum())(tensor([1, 0])))
 */
export function detectAnomaly<T>(body: () => T): T {
  if (typeof body !== 'function')
    throw new WengertError('ERR_VALUE', `detectAnomaly: expected a function, got ${describe(body)}`, {
      expected: 'a function',
      actual: body,
    })
  const lines = new WeakMap<Tensor, string>()
  const watch = (primitive: Primitive, inputs: readonly Tensor[], output: Tensor): void => {
    const swept = entryBeingSwept()
    const bad = firstBad(output)
    if (bad < 0) {
      if (swept === undefined) lines.set(output, userLine())
      return
    }
    const value = String(output.data[bad])
    const from = inputs.findIndex((x) => firstBad(x) >= 0)
    const cause =
      from < 0
        ? 'from finite operands'
        : `from operand ${from}, which held ${String(inputs[from]?.data[firstBad(inputs[from] as Tensor)])} before`
    const forward = swept?.primitive?.name
    const line = (swept && lines.get(concrete(swept.output))) ?? userLine()
    const where =
      forward === undefined
        ? `made by ${primitive.name}`
        : `made by ${primitive.name} in the backward pass of ${forward}${swept?.scope ? ` in ${swept.scope}` : ''}`
    throw new WengertError(
      'ERR_ANOMALY',
      `detectAnomaly: expected finite values, got ${value}${position(output, bad)} ${where}, ${cause}; ${line}`,
      {
        expected: 'finite values',
        actual: { op: forward ?? primitive.name, by: primitive.name, phase: forward === undefined ? 'forward' : 'backward', value, line },
      },
    )
  }
  const result = observing(watch, body)
  if (result instanceof Promise) {
    // The body goes on unwatched: its outcome is no longer of interest.
    result.catch(() => {})
    throw new WengertError(
      'ERR_VALUE',
      'detectAnomaly: the function returns a promise, after which nothing is watched; give a synchronous one',
    )
  }
  return result
}
