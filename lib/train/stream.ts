/**
 * Online learning: an endless stream, each sample used once and thrown away. Updates are synchronous and take
 * microseconds; the event loop gets its turn by time, also where the source never waits.
 */

import type { AnyData } from '../data/dataset.js'
import { partOfOption, type ShardOption } from '../distributed/shard.js'
import { type ErrorCode, WengertError } from '../errors.js'
import { inputsFor } from '../nn/inputs.js'
import { type FieldForm, meaningOf } from '../nn/meaning.js'
import type { Module } from '../nn/module.js'
import { isTypedArray, type TensorLike } from '../tensor/creation.js'
import { formatFields, hasFields, type Inputs, mapInputs, specsOf, tensorsOf } from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { openSource } from './stream-source.js'

/** How long `fitStream` learns, and who is told. */
export interface StreamOptions {
  /**
   * Ends the stream after the running update, or while it waits for an item; the source is closed (`return`, `destroy` or
   * `cancel`), and the promise rejects with the signal's reason.
   */
  signal?: AbortSignal | undefined
  /**
   * What becomes of an item that nothing can be learnt from (no { x, y }, of another shape, NaN, a label outside the classes, a
   * cost that is not finite): 'throw', the default, ends the stream; 'skip' goes on and counts it; a function is told of each
   * and the stream goes on.
   */
  onError?: ('throw' | 'skip' | ((error: WengertError, item: unknown) => void)) | undefined
  /** Called after every update. */
  onUpdate?: ((progress: StreamProgress) => void) | undefined
  /** End after so many updates of this call. */
  maxUpdates?: number | undefined
  /**
   * Of one stream that several processes all read: 'auto' leaves this rank each R-th item of R ranks' (and all of them outside of a
   * launcher); { rank, size } a part by its number. By default all items of the source are this process's.
   */
  shard?: ShardOption | undefined
}

/** How far a stream has come. */
export interface StreamProgress {
  /** Of this call. */
  updates: number
  samples: number
  /** Items left out as bad, where `onError` lets the stream go on. */
  skipped: number
  /** The cost of the last update's samples, before the update. */
  cost: number
  seconds: number
}

/** One sample ({ x: features, y: target }) or a batch of them (one row a sample), and the weights of its samples. */
export type StreamItem = Pick<AnyData, 'x' | 'y' | 'weights'>

/** Turns an item into a batch: a flat x with a target of its own is one sample; of several inputs, what the model was trained with tells. */
export function asBatch(item: unknown, model: Module): StreamItem {
  if (typeof item !== 'object' || item === null || !('x' in item) || !('y' in item)) {
    throw new WengertError('ERR_VALUE', `fitStream: expected items of the form { x, y }, got ${describe(item)}`, { actual: item })
  }
  const { x, y, weights } = item as StreamItem
  const more = weights === undefined ? {} : { weights }
  const y1 = () => (y instanceof Tensor ? y.reshape([1, ...(y.size === 1 ? [] : y.shape)]) : ([y] as TensorLike))
  if (hasFields(x)) {
    const inputs = inputsFor('fitStream', model, model.dtype, x)
    if (!isSample(inputs, y, meaningOf(model).fields)) return { x: inputs, y, ...more }
    return { x: mapInputs(inputs, (t) => t.reshape([1, ...t.shape])), y: y1(), ...more }
  }
  const flat = x instanceof Tensor ? x.rank === 1 : isTypedArray(x) || (Array.isArray(x) && typeof x[0] === 'number')
  if (!flat) return { x, y, ...more }
  return {
    x: x instanceof Tensor ? x.reshape([1, x.size]) : ([x] as TensorLike),
    y: y1(),
    ...more,
  }
}

/** Whether several inputs are those of one sample. Errors: ERR_SHAPE where some are and others are not. */
function isSample(x: Inputs, y: unknown, known: readonly FieldForm[] | undefined): boolean {
  const fields = tensorsOf(x)
  if (known) {
    const more = fields.map(([, { rank }], i) => rank - (known[i] as FieldForm).rank)
    if (more.every((n) => n === 0)) return true
    if (more.every((n) => n === 1)) return false
    const got = formatFields(specsOf(x))
    throw new WengertError(
      'ERR_SHAPE',
      `fitStream: expected x of one sample, ${known.map(({ name, rank }) => `${name} of ${rank} axes`).join(', ')}, or an axis more each for a batch, got ${got}`,
      { expected: known, actual: specsOf(x) },
    )
  }
  const [rows] = (fields[0] as (typeof fields)[number])[1].shape
  return typeof y === 'number' || fields.every(([, { rank }]) => rank < 2) || fields.some(([, { shape }]) => shape[0] !== rows)
}

/** Short enough that a busy stream delays what else the event loop does by a few milliseconds at the 99th percentile. */
const sliceMilliseconds = 2

/** What is done with an item: one update. The cost is its samples'. */
export interface Learned {
  cost: number
  samples: number
}

/** The errors that an item can be to blame for; they leave everything as it was. */
export const blamed: ReadonlySet<string> = new Set<ErrorCode>([
  'ERR_VALUE',
  'ERR_DATA',
  'ERR_LABEL',
  'ERR_SHAPE',
  'ERR_DTYPE',
  'ERR_RANGE',
  'ERR_INDEX',
  'ERR_DETACHED',
  'ERR_DIVERGED',
])

export function checkStreamOptions(options: StreamOptions) {
  checkOptions('fitStream', options, ['signal', 'onUpdate', 'onError', 'maxUpdates', 'shard'])
  const { signal, onUpdate, onError = 'throw', maxUpdates } = options
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new WengertError('ERR_OPTION', `fitStream: expected signal to be an AbortSignal, got ${describe(signal)}`, { actual: signal })
  if (onUpdate !== undefined && typeof onUpdate !== 'function')
    throw new WengertError('ERR_OPTION', `fitStream: expected onUpdate to be a function, got ${describe(onUpdate)}`)
  if (typeof onError !== 'function' && onError !== 'throw' && onError !== 'skip')
    throw new WengertError('ERR_OPTION', `fitStream: expected onError to be 'throw', 'skip' or a function, got ${describe(onError)}`, {
      actual: onError,
    })
  const most = maxUpdates === undefined ? Infinity : checkNumber('fitStream', 'maxUpdates', maxUpdates, { integer: true, min: 0 })
  return { signal, onUpdate, onError, most, part: partOfOption('fitStream', options.shard) }
}

/** Feeds `learn` from the source, one item at a time. */
export async function consume(source: unknown, options: StreamOptions, learn: (item: unknown) => Learned): Promise<StreamProgress> {
  const { signal, onUpdate, onError, most, part } = checkStreamOptions(options)
  signal?.throwIfAborted()
  const items = openSource(source, signal)
  const started = performance.now()
  const progress: StreamProgress = { updates: 0, samples: 0, skipped: 0, cost: NaN, seconds: 0 }
  let since = started
  let seen = 0
  let came = 0
  const learnt = (item: unknown): boolean => {
    try {
      const { cost, samples } = learn(item)
      progress.updates++
      progress.samples += samples
      progress.cost = cost
      return true
    } catch (error) {
      if (onError === 'throw' || !(error instanceof WengertError && blamed.has(error.code))) throw error
      progress.skipped++
      if (onError !== 'skip') onError(error, item)
      return false
    }
  }
  /** Whether it is time to let the event loop turn. */
  const take = (item: unknown): boolean => {
    signal?.throwIfAborted()
    const told = learnt(item) ? onUpdate : undefined
    // The clock is read every few items: it costs a fair part of a small update.
    if (!told && (++seen & 15) !== 0) return false
    const now = performance.now()
    progress.seconds = (now - started) / 1000
    told?.({ ...progress })
    return now - since > sliceMilliseconds
  }
  // Of which nothing is asked: it is left alone.
  let [ended, failed] = [most === 0, true]
  try {
    while (progress.updates < most) {
      const next = items.next()
      const { done, value } = next instanceof Promise ? await next : next
      if (done) {
        ended = true
        break
      }
      // Items of other processes are passed over.
      if (came++ % part.size === part.rank ? !take(value) : (came & 1023) !== 0) continue
      await new Promise((resolve) => setImmediate(resolve))
      since = performance.now()
    }
    failed = false
  } finally {
    // As `for await` does: an error of its own is thrown rather than what closing then says.
    if (ended) items.done()
    else await (failed ? items.close().catch(() => undefined) : items.close())
  }
  progress.seconds = (performance.now() - started) / 1000
  return progress
}
