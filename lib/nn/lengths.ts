/** How many elements of each sequence of a batch count: those after them are padding. */

import { WengertError } from '../errors.js'
import { add, less, sub } from '../primitives/elementwise.js'
import { toIndex } from '../primitives/indexing.js'
import { knownValues } from '../primitives/known-values.js'
import { cast, reshape } from '../primitives/movement.js'
import { arange, asTensor } from '../tensor/creation.js'
import { Tensor, type TensorLike } from '../tensor/tensor.js'
import { describe } from '../util/options.js'
import { formatShape } from '../util/shape.js'

/** One integer in 1 … T a sequence: a list, a typed array, or a tensor [m]; floating numbers as data sets hold them, too. */
export type Lengths = TensorLike

/**
 * Lengths as int32 [m], each in 1 … steps; in a program they are checked as it runs.
 *
 * @throws ERR_SHAPE, ERR_VALUE, ERR_RANGE naming the sequence
 */
export function checkLengths(where: string, given: Lengths, m: number, steps: number): Tensor {
  const x = given instanceof Tensor ? given.resolve() : asTensor(where, given)
  if (x.dtype === 'bool') throw new WengertError('ERR_DTYPE', `${where}: lengths are integers, got bool`, { actual: x.dtype })
  if (x.rank !== 1 || x.size !== m)
    throw new WengertError('ERR_SHAPE', `${where}: expected one length for each of ${m} sequences, got ${formatShape(x.shape)}`, {
      expected: [m],
      actual: x.shape,
    })
  const values = knownValues(x)
  const bad = values?.findIndex((n) => !(Number.isInteger(n) && n >= 1 && n <= steps)) ?? -1
  if (bad >= 0)
    throw new WengertError(
      'ERR_RANGE',
      `${where}: expected lengths in 1 … ${steps}, the steps of x, got ${describe(values?.[bad])} for sequence ${bad}`,
      { expected: steps, actual: values?.[bad] },
    )
  if (values) return cast(x, 'int32')
  // In a program, an index that is checked as it runs.
  return add(toIndex(sub(x.dtype === 'int32' ? cast(x, 'float32') : x, 1), steps), 1)
}

/** Which steps count: bool [steps, m]. */
export const stepsWithin = (lengths: Tensor, steps: number): Tensor =>
  less(arangeOf(steps, [steps, 1]), reshape(lengths, [1, lengths.size]))

/** Which steps count: bool [m, steps]. */
export const within = (lengths: Tensor, steps: number): Tensor => less(arangeOf(steps, [1, steps]), reshape(lengths, [lengths.size, 1]))

const arangeOf = (n: number, shape: number[]): Tensor => reshape(arange(n), shape)
