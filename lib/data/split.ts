/** Cutting a data set into training and test parts. */

import { WengertError } from '../errors.js'
import type { InputsLike } from '../tensor/inputs.js'
import { allocate, type FloatDtype } from '../util/dtype.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { permutation, purposes } from '../util/random.js'
import { isPlainObject } from '../util/tree.js'
import { type DataLike, Dataset, namesOf } from './dataset.js'
import { isData } from './is-data.js'
import { wholeTensor } from './shards.js'

/** How a data set is parted. */
export interface SplitOptions {
  /** The share of the test part, in (0, 1). */
  test: number
  /** The same seed gives the same split. */
  seed: number
  /** Keep the proportions of the classes (targets must be class indices). */
  stratify?: boolean | undefined
  /** What numbers in plain arrays become: 'float32' by default; 'float64' keeps them exactly. */
  dtype?: FloatDtype | undefined
}

/** Random orders of disjoint groups of positions, one stream a group. */
function shuffled(positions: readonly number[], seed: number, group: number): number[] {
  const order = allocate('int32', positions.length) as Int32Array
  permutation(order, { seed, purpose: purposes.split, a: group, b: 0 })
  return Array.from(order, (i) => positions[i] as number)
}

/**
 * A random training and test part, disjoint, together the whole; weights and names go with the samples.
 *
 * @returns [train, test]
 * @throws ERR_RANGE for a share outside (0, 1) or one that leaves a part empty; ERR_OPTION
 * @example const [train, test] = split(data, { test: 0.2, seed: 1, stratify: true })
 */
export function split<X extends InputsLike>(data: DataLike<X>, options: SplitOptions): [train: Dataset<X>, test: Dataset<X>] {
  if (!(data instanceof Dataset) && !isData(data)) {
    const list = Array.isArray(data) ? '; Dataset.fromRecords and readTable take lists of records' : ''
    throw new WengertError('ERR_VALUE', `split: expected a data set { x, y } or rows of readTable, got ${describe(data)}${list}`, {
      actual: data,
    })
  }
  if (isPlainObject(options) && 'parts' in options)
    throw new WengertError(
      'ERR_OPTION',
      'split: parts are for rows of readTable; of a data set say the share of the test part, such as { test: 0.2 }',
    )
  checkOptions('split', options, ['test', 'seed', 'stratify', 'dtype'])
  const share = checkNumber('split', 'test', options?.test, { min: 0, max: 1, exclusive: true })
  const seed = checkNumber('split', 'seed', options.seed, { integer: true, min: 0, max: Number.MAX_SAFE_INTEGER })
  const set: Dataset<X> =
    data instanceof Dataset
      ? (data as Dataset<X>)
      : new Dataset(data.x, data.y, {
          ...namesOf(data),
          ...(data.weights !== undefined && { weights: data.weights }),
          ...(options.dtype !== undefined && { dtype: options.dtype }),
        })
  const groups = new Map<number, number[]>()
  // Of a shard, positions are of the whole.
  const length = set.shard?.total ?? set.length
  const y = options.stratify ? wholeTensor('split', set.y, set.shard) : undefined
  for (let i = 0; i < length; i++) {
    const label = y ? (y.data[i * (y.size / length)] as number) : 0
    if (!Number.isInteger(label) || (y && y.size !== length)) {
      throw new WengertError('ERR_LABEL', `split: expected class indices to stratify by, got ${label} for sample ${i}`, { actual: label })
    }
    const group = groups.get(label)
    if (group) group.push(i)
    else groups.set(label, [i])
  }
  const train: number[] = []
  const test: number[] = []
  for (const [label, positions] of [...groups].sort(([a], [b]) => a - b)) {
    const order = shuffled(positions, seed, label >>> 0)
    const n = Math.round(share * order.length)
    order.forEach((position, i) => {
      ;(i < n ? test : train).push(position)
    })
  }
  if (train.length === 0 || test.length === 0) {
    throw new WengertError('ERR_RANGE', `split: a share of ${share} of ${length} samples leaves one part empty`, {
      actual: share,
    })
  }
  for (const part of [train, test]) part.sort((a, b) => a - b)
  return [set.take(train), set.take(test)]
}
