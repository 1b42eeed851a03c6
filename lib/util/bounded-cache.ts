/** Values that hold much memory, kept by key: the least recently used are freed when all together hold too much. */

/** What can be kept: how much it holds, and how that is freed at once. */
export interface Held {
  /** Bytes, those outside of JavaScript included. */
  readonly bytes: number
  release(): void
}

let total = 0
const collected = new FinalizationRegistry<{ bytes: number }>(({ bytes }) => {
  total -= bytes
})

/** Bytes in all caches of the process. */
export function cachedBytes(): number {
  return total
}

/** What one cache holds, counted among all until the cache is collected. */
export class Tally {
  readonly #held = { bytes: 0 }

  constructor() {
    collected.register(this, this.#held)
  }

  /** Notes how much the cache holds now. */
  set(bytes: number): void {
    total += bytes - this.#held.bytes
    this.#held.bytes = bytes
  }
}

export class BoundedCache<Value extends Held> {
  readonly #tally = new Tally()
  /** The most recently used come last. */
  readonly #entries = new Map<string, Value>()

  /** @param limit bytes of all values together; a single value may hold more */
  constructor(readonly limit: number) {}

  get size(): number {
    return this.#entries.size
  }

  get bytes(): number {
    let sum = 0
    for (const { bytes } of this.#entries.values()) sum += bytes
    return sum
  }

  /** All values, the least recently used first. */
  values(): IterableIterator<Value> {
    return this.#entries.values()
  }

  get(key: string): Value | undefined {
    const value = this.#entries.get(key)
    if (value === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, value)
    return value
  }

  /** Keeps a value, and frees those that have not been used for longest. */
  set<V extends Value>(key: string, value: V): V {
    const before = this.#entries.get(key)
    if (before !== value) before?.release()
    this.#entries.delete(key)
    this.#entries.set(key, value)
    let left = this.bytes
    for (const [oldest, { bytes }] of this.#entries) {
      if (left <= this.limit || oldest === key) break
      this.#entries.get(oldest)?.release()
      this.#entries.delete(oldest)
      left -= bytes
    }
    this.#tally.set(left)
    return value
  }

  delete(key: string): void {
    this.#entries.get(key)?.release()
    this.#entries.delete(key)
    this.#tally.set(this.bytes)
  }

  clear(): void {
    for (const value of this.#entries.values()) value.release()
    this.#entries.clear()
    this.#tally.set(0)
  }
}
