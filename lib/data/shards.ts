/** Data sets of which each process holds a range of rows. */

import { gatherJsonNow, gatherNow } from '../distributed/now.js'
import { type Held, partOfOption, rangeOf, refuseAlone, type Shard, type ShardOption, startsOf } from '../distributed/shard.js'
import { together } from '../distributed/world.js'
import { WengertError } from '../errors.js'
import { asTensor, type TensorLike } from '../tensor/creation.js'
import { fieldsOf, type InputsLike, mapInputs, treeOf } from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, type FloatDtype, type TypedArray } from '../util/dtype.js'
import { checkNumber, checkOptions } from '../util/options.js'
import { sizeOf } from '../util/shape.js'
import { isPlainObject } from '../util/tree.js'

/** Of `Dataset`: what is given is the whole, of which a part is kept; or it is the part that begins at a row of so many. */
export type DatasetShard = ShardOption | Shard

interface Given {
  x: InputsLike
  y: TensorLike
  weights?: TensorLike | undefined
}

/** What of given data this process holds: one row, where its part has none, so that shapes are known. */
export interface OwnRows {
  readonly data: Given
  /** Undefined where it is all there is. */
  readonly shard?: Shard
  readonly rows?: number
}

const isShard = (option: unknown): option is Shard => isPlainObject(option) && ('start' in option || 'total' in option)

const rowsOf = (values: unknown): number | undefined =>
  values instanceof Tensor
    ? values.shape[0]
    : Array.isArray(values) || ArrayBuffer.isView(values)
      ? (values as unknown[]).length
      : undefined

/** Rows of a tensor, over the same memory. */
export function rowsBetween(t: Tensor, from: number, to: number): Tensor {
  const each = t.shape[0] === 0 ? 0 : t.size / (t.shape[0] as number)
  return new Tensor([to - from, ...t.shape.slice(1)], t.dtype, t.data.subarray(from * each, to * each) as TypedArray)
}

/** @throws ERR_OPTION, ERR_RANGE; ERR_DATA for numbers of rows that differ */
export function ownRows(where: string, given: Given, option: DatasetShard | undefined, dtype: FloatDtype): OwnRows {
  if (option === undefined) return { data: given }
  const counted = (name: string, values: unknown): unknown =>
    rowsOf(values) === undefined ? asTensor(`${where}: ${name}`, values, {}, dtype) : values
  const y = counted('y', given.y)
  const total = rowsOf(y) as number
  if (isShard(option)) {
    checkOptions(`${where}: shard`, option, ['start', 'total'])
    const all = checkNumber(where, 'shard.total', option.total, { integer: true, min: Math.max(1, total) })
    const start = checkNumber(where, 'shard.start', option.start, { integer: true, min: 0, max: all - total })
    // One rank may hold all rows of a part, and the others none of them.
    return { data: given, ...((all > total || together()) && { shard: { start, total: all }, rows: total }) }
  }
  const part = partOfOption(where, option)
  if (part.size === 1) return { data: given }
  const [from, to] = rangeOf(part, total)
  const kept = (name: string, values: unknown): unknown => {
    const all = counted(name, values)
    const rows = rowsOf(all)
    if (rows !== total)
      throw new WengertError('ERR_DATA', `${where}: expected as many rows of ${name} as of y, ${total}, got ${rows}`, {
        expected: total,
        actual: rows,
      })
    const [first, last] = to > from ? [from, to] : [0, Math.min(1, total)]
    if (all instanceof Tensor) return rowsBetween(all, first, last)
    return Array.isArray(all) ? all.slice(first, last) : (all as TypedArray).subarray(first, last)
  }
  const fields = fieldsOf(where, given.x).map(([name, values]) => [name, kept(name === '' ? 'x' : `x.${name}`, values)] as const)
  const x = fields[0]?.[0] === '' ? fields[0][1] : treeOf(fields as never)
  const data = { ...given, x, y: kept('y', y), ...(given.weights !== undefined && { weights: kept('weights', given.weights) }) }
  return { data: data as Given, shard: { start: from, total }, rows: to - from }
}

/** Of checked data, so many rows: none, where one stood for the shapes. */
export function cutTo<T extends { x: Tensor | object; y: Tensor; weights?: Tensor }>(data: T, rows: number | undefined): T {
  if (rows === undefined || data.y.shape[0] === rows) return data
  const cut = (t: Tensor) => rowsBetween(t, 0, rows)
  return { ...data, x: mapInputs(data.x as never, cut), y: cut(data.y), ...(data.weights && { weights: cut(data.weights) }) }
}

/** What a process holds of a set, for comparing with others'; undefined for all of it. */
export const heldOf = ({ shard, length }: { shard?: Shard; length: number }): Held | undefined => shard && { ...shard, rows: length }

/**
 * The positions of a whole that a process holds, as its own: those of a part stay one range of it, since they grow.
 *
 * @param positions of the whole, growing
 * @throws ERR_DISTRIBUTED for others
 */
export function ownPositions(
  where: string,
  { start, total }: Shard,
  rows: number,
  positions: ArrayLike<number>,
): { own: Uint32Array<ArrayBuffer>; shard: Shard } {
  for (let i = 0, before = -1; i < positions.length; i++) {
    const at = positions[i] as number
    if (Number.isInteger(at) && at > before && at < total) before = at
    else
      throw new WengertError(
        'ERR_DISTRIBUTED',
        `${where}: of a shard, positions are those of the whole, 0 … ${total - 1}, and have to grow, since rows stay where they are; ${at} comes after ${before}`,
        { actual: at },
      )
  }
  const find = (row: number) => {
    let [low, high] = [0, positions.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((positions[middle] as number) < row) low = middle + 1
      else high = middle
    }
    return low
  }
  const [from, to] = [find(start), find(start + rows)]
  const own = Uint32Array.from({ length: to - from }, (_, i) => (positions[from + i] as number) - start)
  return { own, shard: { start: from, total: positions.length } }
}

/**
 * All rows of a tensor, of which each rank has its shard's, on every rank. The thread waits until all have called it.
 *
 * @throws ERR_DISTRIBUTED for shards that are no whole
 */
export function wholeTensor(where: string, own: Tensor, shard: Shard | undefined): Tensor {
  if (!shard) return own
  refuseAlone(where, shard, own.shape[0] as number)
  startsOf(where, gatherJsonNow({ ...shard, rows: own.shape[0] as number }))
  const { buffer, byteOffset, byteLength } = own.data
  const parts = gatherNow(new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength))
  const shape = [shard.total, ...own.shape.slice(1)]
  const data = allocate(own.dtype, sizeOf(shape))
  const bytes = new Uint8Array(data.buffer as ArrayBuffer)
  let at = 0
  for (const part of parts) {
    if (at + part.length > bytes.length) break
    bytes.set(part, at)
    at += part.length
  }
  if (at !== bytes.length) throw new WengertError('ERR_DISTRIBUTED', `${where}: the ranks have shards of other shapes or types`)
  return new Tensor(shape, own.dtype, data)
}
