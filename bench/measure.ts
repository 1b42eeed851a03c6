/**
 * Timing contestants side by side: each in turn, over and over, so that what changes on the machine in the meantime meets
 * all of them; ratios are taken within a turn, and medians over the turns.
 */

/** Something that makes updates (or whatever else is counted). */
export interface Contestant {
  readonly name: string
  /** Makes about so many updates, at least one; returns how many, and the seconds that they took. */
  run(updates: number): Promise<{ updates: number; seconds: number }>
  close?(): void
}

/** Microseconds an update, in each turn. */
export type Times = Readonly<Record<string, readonly number[]>>

export interface RaceOptions {
  /** Turns. */
  repetitions: number
  /** What one contestant's part of a turn aims at; a single update may take longer. */
  seconds: number
}

export async function race(contestants: readonly Contestant[], { repetitions, seconds }: RaceOptions): Promise<Times> {
  const amounts = new Map<Contestant, number>()
  const slow = new Set<Contestant>()
  for (const contestant of contestants) {
    const amount = await calibrated(contestant, seconds)
    amounts.set(contestant, amount ?? 1)
    if (amount === undefined) slow.add(contestant)
  }
  const times: Record<string, number[]> = Object.fromEntries(contestants.map(({ name }) => [name, []]))
  for (let turn = 0; turn < repetitions; turn++) {
    for (const contestant of contestants) {
      if (turn >= slowTurns && slow.has(contestant)) continue
      globalThis.gc?.()
      const { updates, seconds: taken } = await contestant.run(amounts.get(contestant) as number)
      times[contestant.name]?.push((1e6 * taken) / updates)
    }
  }
  return times
}

/**
 * What a run costs once (a fit prepares) is not to be taken for the cost of its updates: there are at least so many, unless
 * they take so many times a turn's part.
 */
const leastUpdates = 8
const patience = 4

/** A contestant of which a single update takes so many times a turn's part runs in the first turns only. */
const slowTimes = 8
const slowTurns = 2

/**
 * How many updates take so long, once the code is warm: a long run counts only when a second one is as long. Undefined where
 * a single one takes far longer.
 */
async function calibrated(contestant: Contestant, seconds: number): Promise<number | undefined> {
  let amount = 1
  for (let long = 0; ; ) {
    const { updates, seconds: taken } = await contestant.run(amount)
    if (updates === 1 && taken > slowTimes * seconds) return undefined
    long = taken >= seconds / 2 ? long + 1 : 0
    if (long === 2) {
      const some = Math.min(leastUpdates, Math.floor((patience * seconds * updates) / taken))
      return Math.max(1, some, Math.round((updates * seconds) / taken))
    }
    if (long === 0) amount = Math.ceil(updates * Math.min(16, Math.max(2, (0.7 * seconds) / taken)))
  }
}

/** The p-quantile, between neighbours in proportion. */
export function quantile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const at = p * (sorted.length - 1)
  const low = sorted[Math.floor(at)] ?? NaN
  const high = sorted[Math.ceil(at)] ?? NaN
  return low + (high - low) * (at - Math.floor(at))
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** Half the distance of the quartiles, as a share of the median. */
export const spread = (values: readonly number[]): number => (quantile(values, 0.75) - quantile(values, 0.25)) / (2 * median(values))

/** The median of a/b over the turns of both. */
export const ratio = (a: readonly number[], b: readonly number[]): number =>
  median(Array.from({ length: Math.min(a.length, b.length) }, (_, turn) => (a[turn] as number) / (b[turn] as number)))
