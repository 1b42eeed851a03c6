/**
 * What the processes of a world tell each other of data sets of which each holds a part: that the parts are a whole, what has to
 * be known of all rows, and a row for those that have none.
 */

import { rowsBetween } from '../data/shards.js'
import { startsOf } from '../distributed/shard.js'
import { exchange, exchangeTexts, nameOf, world } from '../distributed/world.js'
import { WengertError } from '../errors.js'
import type { Loss } from '../nn/loss.js'
import { type Inputs, mapInputs, specsOf, tensorsOf } from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { allocateShared, type FloatDtype, type TypedArray } from '../util/dtype.js'
import { sizeOf } from '../util/shape.js'
import { nameOfSums, rowSums } from './fingerprint.js'
import { alikeWeighted, normalized, ownWeightOf, type Prepared, rowsHere } from './prepare.js'

/** Columns that have to be known of all rows. */
export type WholeColumn = 'y' | 'lengths'
export const wholeColumns: readonly WholeColumn[] = ['y', 'lengths']

/** A data set with what is wanted of all of it. */
export interface Given {
  readonly name: string
  readonly data: Prepared
  readonly wants: readonly WholeColumn[]
}

interface Facts {
  readonly held?: { start: number; rows: number; total: number }
  readonly columns: string
}

const bytesOf = ({ data }: Tensor): Uint8Array => new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength)

/** All ranks' rows of a column. */
async function wholeOf(own: Tensor, rows: number, total: number): Promise<Tensor> {
  const parts = await exchange('control', bytesOf(rowsBetween(own, 0, rows)))
  const shape = [total, ...own.shape.slice(1)]
  const data = allocateShared(own.dtype, sizeOf(shape))
  const bytes = new Uint8Array(data.buffer as unknown as ArrayBuffer)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return new Tensor(shape, own.dtype, data)
}

/** The same data with other arrays. */
const mapped = (data: Prepared, f: (t: Tensor) => Tensor): Prepared => ({
  ...data,
  x: mapInputs(data.x, f) as Inputs,
  y: f(data.y),
  ...(data.weights && { weights: f(data.weights) }),
})

const partsOf = ({ x, y, weights }: Prepared): Tensor[] => [...tensorsOf(x).map(([, t]) => t), y, ...(weights ? [weights] : [])]

/** Gives ranks without rows one that counts nothing: the whole's first. */
async function withOneRow(data: Prepared, starts: readonly number[]): Promise<Prepared> {
  const rows = (r: number) => (starts[r + 1] as number) - (starts[r] as number)
  const ranks = starts.length - 1
  const all = Array.from({ length: ranks }, (_, r) => rows(r))
  if (!all.includes(0)) return data
  const owner = all.findIndex((n) => n > 0)
  const given = new Map<Tensor, Tensor>()
  for (const t of partsOf(data)) {
    const shape = [1, ...t.shape.slice(1)]
    const row = allocateShared(t.dtype, sizeOf(shape))
    if (world().rank === owner) row.set(t.data.subarray(0, row.length))
    const bytes = new Uint8Array(row.buffer as ArrayBuffer)
    bytes.set(await world().broadcast('control', bytes, owner))
    given.set(t, new Tensor(shape, t.dtype, row))
  }
  return rows(world().rank) > 0 ? data : mapped(data, (t) => given.get(t) as Tensor)
}

/** Weights with a mean of 1 over all rows. */
async function withWeights(where: string, data: Prepared, dtype: FloatDtype): Promise<Prepared> {
  const { weights, shard, samples } = data
  if (!weights || !shard) return data
  const { start, rows } = shard
  const all = await wholeOf(weights, rows, samples)
  // The row of a rank without any weighs what it likes.
  const range = rows > 0 ? ([start, start + rows] as const) : ([0, rowsHere(data)] as const)
  return { ...data, weights: normalized(where, all, dtype, range), ...(all.rank > 1 && { shard: { ...shard, weights: all } }) }
}

/** What has to be known of all rows, once their weights are. */
async function completed({ data, wants }: Given, loss: Loss, dtype: FloatDtype): Promise<Prepared> {
  const { shard, samples, x, y } = data
  if (!shard) return data
  const sums = await world().sum('control', Float64Array.of(...rowSums(data), ownWeightOf(data, loss, dtype)))
  const totalWeight = sums[sums.length - 1] as number
  const lengths = tensorsOf(x).find(([name]) => name === 'lengths')?.[1]
  const columns = {
    ...(wants.includes('y') && { y: await wholeOf(y, shard.rows, samples) }),
    ...(wants.includes('lengths') && lengths && { lengths: await wholeOf(lengths, shard.rows, samples) }),
  }
  return { ...data, shard: { ...shard, totalWeight, fingerprint: nameOfSums(data, sums.subarray(0, -1)), ...columns } }
}

/**
 * Data sets that all ranks have prepared, each its own part or the whole: as they are of a whole. All ranks have to call it.
 *
 * @param sets that are trained on and evaluated together: both have weights or neither
 * @throws (rejects) ERR_DISTRIBUTED, on all ranks, for parts that are no whole
 */
export async function meetShards(where: string, sets: readonly Given[], loss: Loss, dtype: FloatDtype): Promise<Prepared[]> {
  const facts = sets.map(({ data }): Facts => {
    const { shard, samples } = data
    const columns = JSON.stringify([specsOf(data.x, { sample: true }), data.y.shape.slice(1), data.y.dtype, data.weights !== undefined])
    return { columns, ...(shard && { held: { start: shard.start, rows: shard.rows, total: samples } }) }
  })
  const all = (await exchangeTexts('control', JSON.stringify(facts))).map((text) => JSON.parse(text) as Facts[])
  const met: Prepared[] = []
  for (const [i, { data, name }] of sets.entries()) {
    const held = all.map((one) => one[i]?.held)
    if (held.every((one) => one === undefined)) {
      met.push(data)
      continue
    }
    const other = all.findIndex((one) => one[i]?.columns !== all[0]?.[i]?.columns)
    if (other >= 0)
      throw new WengertError(
        'ERR_DISTRIBUTED',
        `${where}: ${nameOf(other)} has ${name} of other columns than ${nameOf(0)}: ${all[other]?.[i]?.columns ?? 'none'}, not ${all[0]?.[i]?.columns}`,
        { actual: other },
      )
    const starts = startsOf(`${where}: ${name}`, held)
    const { shard } = data as { shard: NonNullable<Prepared['shard']> }
    met.push(await withWeights(where, await withOneRow({ ...data, shard: { ...shard, starts } }, starts), dtype))
  }
  const [set, validation] = met as [Prepared, Prepared?]
  const alike = validation ? alikeWeighted(set, validation) : [set]
  const done: Prepared[] = []
  for (const [i, data] of alike.entries()) done.push(await completed({ ...(sets[i] as Given), data }, loss, dtype))
  return done
}

/** The targets of all rows. */
export const wholeTargets = ({ shard, y }: Prepared): Tensor => shard?.y ?? y

/** The rows of a set that this process evaluates: its own, or none. */
export function ownRowsOf({ shard: _, ...data }: Prepared, shard: NonNullable<Prepared['shard']>): Prepared {
  if (shard.rows === rowsHere(data)) return { ...data, samples: shard.rows }
  return { ...mapped(data, (t) => new Tensor([0, ...t.shape.slice(1)], t.dtype, t.data.subarray(0, 0) as TypedArray)), samples: 0 }
}
