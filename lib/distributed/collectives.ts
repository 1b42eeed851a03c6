/** What programs of the user's own do with the other ranks. */

import { WengertError } from '../errors.js'
import { allReduce as sumOver } from '../primitives/collective.js'
import { Tensor } from '../tensor/tensor.js'
import type { Dtype, TypedArray } from '../util/dtype.js'
import { checkNumber } from '../util/options.js'
import type { Shape } from '../util/shape.js'
import { mapTree } from '../util/tree.js'
import { type Channel, exchange, world } from './world.js'

/** A tensor on its way. */
class Parcel {
  constructor(
    readonly shape: Shape,
    readonly dtype: Dtype,
    readonly data: TypedArray,
  ) {}
}

const codec = () => process.getBuiltinModule('node:v8')
const tag = '\u0000tensor'

function pack(value: unknown): Uint8Array {
  const isTensor = (x: unknown): x is Tensor => x instanceof Tensor
  const plain = mapTree(value, isTensor, ({ shape, dtype, data }) => ({
    [tag]: { ...new Parcel([...shape], dtype, data.slice() as TypedArray) },
  }))
  return new Uint8Array(codec().serialize(plain))
}

function unpack(bytes: Uint8Array): unknown {
  const isParcel = (x: unknown): x is { [tag]: Parcel } => typeof x === 'object' && x !== null && tag in x
  const restore = (x: { [tag]: Parcel }) => new Tensor(x[tag].shape, x[tag].dtype, x[tag].data)
  return mapTree(codec().deserialize(bytes), isParcel, restore)
}

/** Waits until all ranks have come. */
export function barrier(): Promise<void> {
  return world().barrier('user')
}

/**
 * One rank's value on all of them: tensors, numbers, strings, typed arrays, and arrays and plain objects of these. What the
 * others give is not looked at.
 *
 * @param from the rank whose value it is
 * @throws (rejects) ERR_RANGE for a rank that there is not
 * @example const vocabulary = await distributed.broadcast(distributed.rank === 0 ? await read() : undefined)
 */
export async function broadcast<T>(value: T, { from = 0 }: { from?: number } = {}): Promise<T> {
  const { size } = world()
  checkNumber('distributed.broadcast', 'from', from, { integer: true, min: 0, max: size - 1 })
  return size === 1 ? value : broadcastOn('user', value, from)
}

/** As `broadcast`, on a channel. */
export async function broadcastOn<T>(channel: Channel, value: T, from: number): Promise<T> {
  const own = world().rank === from ? pack(value) : undefined
  const length = await world().sum(channel, Float64Array.of(own?.length ?? 0))
  const bytes = await world().broadcast(channel, own ?? new Uint8Array(length[0] as number), from)
  return own ? value : (unpack(bytes) as T)
}

/**
 * The values of all ranks, in their order, on all of them; values as for `broadcast`.
 *
 * @example const seconds = await distributed.gather(performance.now() - start)
 */
export async function gather<T>(value: T): Promise<T[]> {
  if (world().size === 1) return [value]
  const all = await exchange('user', pack(value))
  return all.map((bytes) => unpack(bytes) as T)
}

/**
 * Σ over ranks of x, an operation like others: it may stand in a model, a loss or a compiled function, and its gradient is the
 * sum of the ranks' gradients. All ranks have to call it, in the same order and with the same shape; they get the same bits.
 * It holds the thread until all have come.
 *
 * @param x float32 or float64
 * @throws ERR_DTYPE, ERR_VALUE
 * @example const mean = distributed.allReduce(x).div(distributed.size)
 */
export function allReduce(x: Tensor): Tensor {
  if (!(x instanceof Tensor)) throw new WengertError('ERR_VALUE', 'distributed.allReduce: give it a tensor', { actual: x })
  return sumOver(x)
}
