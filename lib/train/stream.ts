/**
 * Online learning: an endless stream, each sample used once and thrown away. Updates are synchronous and take
 * microseconds; the event loop gets its turn by time, also where the source never waits.
 */

import type { DataLike } from '../data/dataset.js'
import { WengertError } from '../errors.js'
import { isTypedArray, type TensorLike } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'

/** How long `fitStream` learns, and who is told. */
export interface StreamOptions {
  /** Ends the stream after the running update; the promise rejects with the signal's reason. */
  signal?: AbortSignal
  /** Called after every update. */
  onUpdate?: (progress: StreamProgress) => void
  /** End after so many updates of this call. */
  maxUpdates?: number
}

/** How far a stream has come. */
export interface StreamProgress {
  /** Of this call. */
  updates: number
  samples: number
  /** The cost of the last update's samples, before the update. */
  cost: number
  seconds: number
}

/** One sample ({ x: features, y: target }) or a batch of them (one row a sample), and the weights of its samples. */
export type StreamItem = Pick<DataLike, 'x' | 'y' | 'weights'>

/** Turns an item into a batch: a flat x with a target of its own is one sample. */
export function asBatch(item: unknown): StreamItem {
  if (typeof item !== 'object' || item === null || !('x' in item) || !('y' in item)) {
    throw new WengertError('ERR_VALUE', `fitStream: expected items of the form { x, y }, got ${describe(item)}`, { actual: item })
  }
  const { x, y, weights } = item as StreamItem
  const more = weights === undefined ? {} : { weights }
  const flat = x instanceof Tensor ? x.rank === 1 : isTypedArray(x) || (Array.isArray(x) && typeof x[0] === 'number')
  if (!flat) return { x, y, ...more }
  return {
    x: x instanceof Tensor ? x.reshape([1, x.size]) : ([x] as TensorLike),
    y: y instanceof Tensor ? y.reshape([1, ...(y.size === 1 ? [] : y.shape)]) : ([y] as TensorLike),
    ...more,
  }
}

/** Short enough that a busy stream delays what else the event loop does by a few milliseconds at the 99th percentile. */
const sliceMilliseconds = 2

/** What is done with an item: one update. The cost is its samples'. */
export interface Learned {
  cost: number
  samples: number
}

/** Feeds `learn` from the source, one item at a time. */
export async function consume(source: unknown, options: StreamOptions, learn: (item: unknown) => Learned): Promise<StreamProgress> {
  checkOptions('fitStream', options, ['signal', 'onUpdate', 'maxUpdates'])
  const { signal, onUpdate } = options
  const most =
    options.maxUpdates === undefined ? Infinity : checkNumber('fitStream', 'maxUpdates', options.maxUpdates, { integer: true, min: 0 })
  if (typeof source !== 'object' || source === null || !(Symbol.asyncIterator in source || Symbol.iterator in source)) {
    throw new WengertError('ERR_VALUE', `fitStream: expected an iterable or async iterable of { x, y }, got ${describe(source)}`, {
      actual: source,
    })
  }
  if (onUpdate !== undefined && typeof onUpdate !== 'function')
    throw new WengertError('ERR_OPTION', `fitStream: expected onUpdate to be a function, got ${describe(onUpdate)}`)
  signal?.throwIfAborted()
  const started = performance.now()
  const progress: StreamProgress = { updates: 0, samples: 0, cost: NaN, seconds: 0 }
  let since = started
  if (most === 0) return progress
  /** Whether it is time to let the event loop turn. */
  const take = (item: unknown): boolean => {
    signal?.throwIfAborted()
    const { cost, samples } = learn(item)
    progress.updates++
    progress.samples += samples
    progress.cost = cost
    // The clock is read every few updates: it costs a fair part of a small one.
    if (!onUpdate && (progress.updates & 15) !== 0) return false
    const now = performance.now()
    progress.seconds = (now - started) / 1000
    onUpdate?.({ ...progress })
    return now - since > sliceMilliseconds
  }
  const turn = async () => {
    await new Promise((resolve) => setImmediate(resolve))
    since = performance.now()
  }
  if (Symbol.asyncIterator in source) {
    for await (const item of source as AsyncIterable<unknown>) {
      if (take(item)) await turn()
      if (progress.updates >= most) break
    }
  } else {
    // Without `await` for items that are there already: it costs as much as the update of a small network.
    for (const item of source as Iterable<unknown>) {
      if (take(item instanceof Promise ? await item : item)) await turn()
      if (progress.updates >= most) break
    }
  }
  progress.seconds = (performance.now() - started) / 1000
  return progress
}
