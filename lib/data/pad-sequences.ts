/** Sequences of different lengths as one tensor, with how many steps of each count. */

import { WengertError } from '../errors.js'
import { asTensor, type TensorLike } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { allocateShared, type Dtype } from '../util/dtype.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape, sameShape, sizeOf } from '../util/shape.js'

/** Of `padSequences`. */
export interface PadOptions {
  /** What stands behind a sequence's end; 0 by default. */
  value?: number | undefined
  /** The steps of the result; those of the longest by default. */
  steps?: number | undefined
  /** 'float32' by default, or the type of the tensors given. */
  dtype?: Dtype | undefined
}

/**
 * Sequences of different lengths as one batch: { x: [m, T, …], lengths: [m] }, which models whose layers take lengths are trained on and
 * predict from as it is.
 *
 * @param sequences one [Tᵢ, …] each, tensors or arrays; Tᵢ ≥ 1
 * @throws ERR_DATA for no sequences, or an empty one; ERR_SHAPE for elements that differ, or a sequence longer than `steps`; ERR_OPTION
 * @example
 * const { x, lengths } = padSequences([[[1], [2]], [[3]]])   // x [2, 2, 1], lengths [2, 1]
 * await trainer.fit({ x: padSequences(rows), y }, { epochs: 10 })
 */
export function padSequences(sequences: Iterable<TensorLike>, options: PadOptions = {}): { x: Tensor; lengths: Tensor } {
  const op = 'padSequences'
  checkOptions(op, options, ['value', 'steps', 'dtype'])
  if (typeof sequences !== 'object' || sequences === null || !(Symbol.iterator in sequences))
    throw new WengertError('ERR_VALUE', `${op}: expected a list of sequences, got ${describe(sequences)}`, { actual: sequences })
  const rows = [...sequences].map((one) => asTensor(op, one, options.dtype === undefined ? {} : { dtype: options.dtype }))
  const [first] = rows
  if (!first) throw new WengertError('ERR_DATA', `${op}: there are no sequences; give at least one sequence`)
  const element = first.shape.slice(1)
  const dtype = first.dtype
  let longest = 0
  rows.forEach((row, i) => {
    if (row.rank === 0 || row.shape[0] === 0)
      throw new WengertError('ERR_DATA', `${op}: sequence ${i} has no steps; leave it out`, { actual: row.shape })
    if (!sameShape(row.shape.slice(1), element) || row.dtype !== dtype)
      throw new WengertError(
        'ERR_SHAPE',
        `${op}: expected elements of ${dtype} ${formatShape(element)} as in sequence 0, got ${row.dtype} ${formatShape(row.shape.slice(1))} in sequence ${i}`,
        { expected: element, actual: row.shape.slice(1) },
      )
    longest = Math.max(longest, row.shape[0] as number)
  })
  const steps = options.steps === undefined ? longest : checkNumber(op, 'steps', options.steps, { integer: true, min: 1 })
  if (longest > steps)
    throw new WengertError('ERR_SHAPE', `${op}: a sequence has ${longest} steps, more than ${steps}; cut it before`, {
      expected: steps,
      actual: longest,
    })
  const width = sizeOf(element)
  const data = allocateShared(dtype, rows.length * steps * width)
  data.fill(checkNumber(op, 'value', options.value ?? 0))
  const lengths = allocateShared('int32', rows.length)
  rows.forEach((row, i) => {
    data.set(row.data as never, i * steps * width)
    lengths[i] = row.shape[0] as number
  })
  return { x: new Tensor([rows.length, steps, ...element], dtype, data), lengths: new Tensor([rows.length], 'int32', lengths) }
}
