/**
 * A stream on every process of a world: an update is of one item of each. A process whose stream has ended, or has nothing yet,
 * takes part in it with what counts nothing, until all streams have ended. What fails on one process ends all.
 */

import { exchangeTexts, world } from '../distributed/world.js'
import { WengertError } from '../errors.js'
import { abortedElsewhere, checkSame, failedElsewhere, inAgreement, messageOf } from './agreement.js'
import type { Prepared } from './prepare.js'
import { blamed, checkStreamOptions, type StreamOptions, type StreamProgress } from './stream.js'
import { openSource, type Source } from './stream-source.js'

/** What is done with items: all processes learn at once. */
export interface Partner {
  /** Looks at an item, so that learning from it does not fail on one process alone. */
  take(item: unknown): Prepared
  /** One update of all processes' items, of which this one's may count nothing; the cost is all samples'. */
  learn(data: Prepared, idle: boolean): number
  /** What all processes have to have in common. */
  readonly facts: Readonly<Record<string, unknown>>
  /** A batch of another process, where this one has none to compute with. */
  receive(data: Prepared | undefined, from: number): Promise<Prepared>
}

/** How long the others wait for a process whose stream has nothing yet, in milliseconds. */
const patience = 1000

/** What each process says before an update. */
const says = { failed: 0, aborted: 1, has: 2, samples: 3, open: 4, lacks: 5 } as const
const kinds = Object.keys(says).length

/** Items of a source that wait for nobody longer than `patience`. */
class Items {
  #awaited: Promise<IteratorResult<unknown>> | undefined
  #seen = 0
  ended = false

  constructor(
    readonly source: Source,
    /** Which of the items are this process's: each of so many. */
    readonly part: { readonly rank: number; readonly size: number },
  ) {}

  /** The next item in a list; an empty one where there is none, or none yet. */
  async next(): Promise<readonly unknown[]> {
    while (!this.ended) {
      const step = this.#awaited ?? this.source.next()
      const next = step instanceof Promise ? await this.#soon(step) : step
      if (!next) return []
      if (next.done) {
        this.ended = true
        this.source.done()
      } else if (this.#seen++ % this.part.size === this.part.rank) return [next.value]
    }
    return []
  }

  async #soon(step: Promise<IteratorResult<unknown>>): Promise<IteratorResult<unknown> | undefined> {
    this.#awaited = step
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), patience)
    })
    try {
      const next = await Promise.race([step, late])
      if (next) this.#awaited = undefined
      return next
    } catch (error) {
      this.#awaited = undefined
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Feeds all processes' items to `partner`, one of each an update. Every process has to call it. */
export async function consumeTogether(source: unknown, options: StreamOptions, partner: Partner): Promise<StreamProgress> {
  const { signal, onUpdate, onError, most, part } = await inAgreement('fitStream', true, () => checkStreamOptions(options))
  const { rank, size } = world()
  const started = performance.now()
  const progress: StreamProgress = { updates: 0, samples: 0, skipped: 0, cost: NaN, seconds: 0 }
  await checkSame('fitStream', { ...partner.facts, maxUpdates: `${most}`, onError: onError === 'throw' ? 'throw' : 'skip' })
  let items: Items | undefined
  let failed: { error: unknown } | undefined
  /** The item of the next update, and what is computed with where there is none. */
  let taken: Prepared | undefined
  let stand: Prepared | undefined
  const attempt = async (body: () => void | Promise<void>): Promise<void> => {
    try {
      await body()
    } catch (error) {
      failed ??= { error }
    }
  }
  const blame = (error: unknown, item: unknown): void => {
    if (onError === 'throw' || !(error instanceof WengertError && blamed.has(error.code))) throw error
    progress.skipped++
    if (onError !== 'skip') onError(error, item)
  }
  const fetch = async (): Promise<void> => {
    signal?.throwIfAborted()
    items ??= new Items(openSource(source, signal), part)
    while (!taken) {
      const next = await items.next()
      if (next.length === 0) return
      try {
        taken = stand = partner.take(next[0])
      } catch (error) {
        blame(error, next[0])
      }
    }
  }
  try {
    for (;;) {
      if (!failed && progress.updates < most) await attempt(fetch)
      const votes = new Float64Array(kinds * size)
      const own = signal?.aborted
        ? [0, 1, 0, 0, 0, 0]
        : [failed ? 1 : 0, 0, taken ? 1 : 0, taken?.samples ?? 0, items?.ended ? 0 : 1, stand ? 0 : 1]
      votes.set(own, kinds * rank)
      const all = await world().sum('control', votes)
      const of = (kind: keyof typeof says) => Array.from({ length: size }, (_, r) => all[kinds * r + says[kind]] as number)
      const [broken, ended] = [of('failed').indexOf(1), of('aborted').indexOf(1)]
      if (broken >= 0 || ended >= 0) {
        const said = await exchangeTexts('control', signal?.aborted ? messageOf(signal.reason) : failed ? messageOf(failed.error) : '')
        signal?.throwIfAborted()
        if (failed) throw failed.error
        if (broken >= 0) throw failedElsewhere('fitStream', broken, said[broken] as string)
        throw abortedElsewhere('fitStream', ended, said[ended] as string)
      }
      if (progress.updates >= most) break
      const from = of('has').indexOf(1)
      if (from < 0) {
        if (!of('open').includes(1)) break
        continue
      }
      if (of('lacks').includes(1)) {
        const received = await partner.receive(rank === from ? taken : undefined, from)
        stand ??= received
      }
      const samples = of('samples').reduce((a, b) => a + b, 0)
      const data = taken
      taken = undefined
      await attempt(() => {
        try {
          progress.cost = partner.learn(data ?? (stand as Prepared), data === undefined)
          progress.updates++
          progress.samples += samples
        } catch (error) {
          blame(error, data)
          return
        }
        progress.seconds = (performance.now() - started) / 1000
        onUpdate?.({ ...progress })
      })
    }
  } finally {
    const { source: open, ended = true } = items ?? {}
    if (!ended) await open?.close().catch(() => undefined)
  }
  progress.seconds = (performance.now() - started) / 1000
  return progress
}
