/** Time series as samples: a stretch of the past in x, what comes after it in y. */

import { type DataLike, Dataset } from '../data/dataset.js'
import { WengertError } from '../errors.js'
import { asTensor } from '../tensor/creation.js'
import { loneTensor } from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { bytesPerElement, isFloat, type TypedArray, viewOf, withMemoryErrors } from '../util/dtype.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { sizeOf } from '../util/shape.js'

/** How a series is cut. */
export interface WindowOptions {
  /** Steps of the past that a sample sees. */
  length: number
  /** How many steps ahead are predicted, the one right after the window first; 1 by default. */
  horizon?: number | undefined
  /** Steps between the beginnings of two windows; 1 by default. */
  stride?: number | undefined
  /** Whether past targets are features of the window too; true by default. Future ones never are. */
  history?: boolean | undefined
  /** One value a row: windows lie within rows of one value, which must follow each other (several series one after the other). */
  groups?: ArrayLike<unknown> | undefined
}

/** Where windows begin: each within one run of equal groups. */
function beginnings(rows: number, span: number, stride: number, groups: ArrayLike<unknown> | undefined): number[] {
  const found: number[] = []
  for (let from = 0; from < rows; ) {
    let to = groups ? from + 1 : rows
    while (groups && to < rows && groups[to] === groups[from]) to++
    for (let at = from; at + span <= to; at += stride) found.push(at)
    from = to
  }
  return found
}

/**
 * Windows of a series whose rows are in the order of time: x [n, length, features], y [n, horizon, …targets] (numbers a step
 * as they come; one step and one number a target: [n, 1]). Fit scales on the past alone: split by time first, then cut each part.
 *
 * @param data rows in the order of time, such as `table(train)` of a table split with `by`
 * @throws ERR_RANGE where no window fits; ERR_OPTION
 * @example const past = windows(table(train), { length: 24, horizon: 1 })   // x [m, 24, features], y [m, 1]
 */
export function windows(data: DataLike, options: WindowOptions): Dataset {
  return withMemoryErrors('windows', () => {
    checkOptions('windows', options ?? {}, ['length', 'horizon', 'stride', 'history', 'groups'])
    const length = checkNumber('windows', 'length', options?.length, { integer: true, min: 1 })
    const horizon = checkNumber('windows', 'horizon', options.horizon ?? 1, { integer: true, min: 1 })
    const stride = checkNumber('windows', 'stride', options.stride ?? 1, { integer: true, min: 1 })
    const { history = true, groups } = options
    if (typeof history !== 'boolean')
      throw new WengertError('ERR_OPTION', `windows: expected history to be true or false, got ${describe(history)}`)
    const set = data instanceof Dataset ? data : new Dataset(data.x, data.y)
    if (set.shard)
      throw new WengertError(
        'ERR_DISTRIBUTED',
        "windows: the rows are a shard, and windows at its ends need rows of other ranks: cut the whole series into windows, and give new Dataset(x, y, { shard: 'auto' }) those",
        { actual: set.shard },
      )
    const rows = set.length
    if (groups !== undefined && groups.length !== rows)
      throw new WengertError('ERR_OPTION', `windows: expected groups to hold one value for each of ${rows} rows, got ${groups.length}`)
    const one = loneTensor('windows', set.x)
    const x = asTensor('windows', one, isFloat(one.dtype) ? {} : { dtype: 'float32' })
    const [width, outputs] = [sizeOf(x.shape.slice(1)), sizeOf(set.y.shape.slice(1))]
    // Class indices are names: as features of the past they would be taken for amounts.
    const past = history && isFloat(set.y.dtype) ? outputs : 0
    const starts = beginnings(rows, length + horizon, stride, groups)
    const n = starts.length
    if (n === 0)
      throw new WengertError(
        'ERR_RANGE',
        `windows: no run of ${length + horizon} rows (length ${length}, horizon ${horizon}) among the ${rows} rows`,
        { actual: rows },
      )
    const shared = (like: Tensor, size: number): TypedArray =>
      viewOf(like.dtype, new SharedArrayBuffer(size * bytesPerElement[like.dtype]), 0, size)
    const outX = shared(x, n * length * (width + past))
    const outY = shared(set.y, n * horizon * outputs)
    let [atX, atY] = [0, 0]
    for (const start of starts) {
      for (let t = start; t < start + length; t++) {
        outX.set(x.data.subarray(t * width, (t + 1) * width), atX)
        atX += width
        for (let k = 0; k < past; k++) outX[atX++] = set.y.data[t * outputs + k] as number
      }
      const from = (start + length) * outputs
      outY.set(set.y.data.subarray(from, from + horizon * outputs), atY)
      atY += horizon * outputs
    }
    const shapeY = isFloat(set.y.dtype)
      ? horizon === 1
        ? [n, outputs]
        : outputs === 1
          ? [n, horizon]
          : [n, horizon, outputs]
      : horizon === 1
        ? [n]
        : [n, horizon]
    const y = new Tensor(shapeY, set.y.dtype, outY)
    return new Dataset(new Tensor([n, length, width + past], x.dtype, outX), y, set.classes ? { classes: set.classes } : {})
  })
}
