/**
 * Where the items of a stream come from: iterables, async iterables, Node's streams and the web's, as one sort of iterator
 * that an aborted signal wakes while it waits, and that lets go of what the source holds.
 */

import { WengertError } from '../errors.js'
import { describe } from '../util/options.js'

type Step = IteratorResult<unknown>

/** What `consume` takes items from. */
export interface Source {
  /** The next item: at once where the source has it, else a promise that rejects with the signal's reason when it is aborted. */
  next(): Step | Promise<Step>
  /** Tells the source that no more is wanted; waits for it to end, unless an item is still awaited: that may never come. */
  close(): Promise<void>
  /** The source has ended by itself. */
  done(): void
}

interface Feed {
  next(): Step | PromiseLike<Step>
  /** Ends the source; the second way ends it also while an item is awaited. */
  end?(): unknown
  break?(): unknown
}

/** Errors: ERR_VALUE. */
export function openSource(source: unknown, signal: AbortSignal | undefined): Source {
  const feed = feedOf(source)
  /** Ends the wait for an item; undefined where none is awaited. */
  let wake: ((reason: unknown) => void) | undefined
  const abort = () => wake?.(signal?.reason)
  signal?.addEventListener('abort', abort, { once: true })
  /** Raced by hand: reactions on one long-lived promise of the signal would pile up. */
  const awaited = <T>(promise: PromiseLike<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      wake = reject
      promise.then(
        (value) => {
          wake = undefined
          resolve(value)
        },
        (error) => {
          wake = undefined
          reject(error)
        },
      )
      if (signal?.aborted) abort()
    })
  return {
    next() {
      const step = feed.next()
      // Nothing but a signal ends the wait.
      if (isPromise(step)) return signal ? awaited(step) : Promise.resolve(step)
      // Without `await` for items that are there already: it costs as much as the update of a small network.
      if (!isPromise(step.value)) return step
      return awaited(step.value).then((value) => ({ done: false, value }))
    },
    async close() {
      signal?.removeEventListener('abort', abort)
      if (!wake) await feed.end?.()
      else for (const end of [feed.break, feed.end]) Promise.resolve(end?.()).catch(() => undefined)
    },
    done() {
      signal?.removeEventListener('abort', abort)
    },
  }
}

const isPromise = <T>(value: T | PromiseLike<T>): value is PromiseLike<T> =>
  typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'

function feedOf(source: unknown): Feed {
  const given = (typeof source === 'object' && source !== null ? source : {}) as Partial<
    AsyncIterable<unknown> & Iterable<unknown> & { destroy(): unknown; getReader(): WebReader }
  >
  // The iterator of a web stream ends only after the item that it waits for.
  if (typeof given.getReader === 'function') {
    const reader = given.getReader()
    const end = () => reader.cancel()
    return { next: () => reader.read(), end, break: end }
  }
  const iterator = given[Symbol.asyncIterator]?.() ?? given[Symbol.iterator]?.()
  if (iterator)
    return {
      next: () => iterator.next(),
      end: () => iterator.return?.(),
      ...(typeof given.destroy === 'function' && { break: () => given.destroy?.() }),
    }
  throw new WengertError('ERR_VALUE', `fitStream: expected an iterable or async iterable of { x, y }, got ${describe(source)}`, {
    actual: source,
  })
}

interface WebReader {
  read(): Promise<Step>
  cancel(): Promise<void>
}
