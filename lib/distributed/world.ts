/**
 * The processes that train together, as the rest of the library sees them: this file needs neither Node nor the addon. Until
 * `init` has found a launcher there is one process.
 */

/** Which collectives do not meet: those of the library between blocks of a fit, and the user's own. */
export type Channel = 'control' | 'user'

/** What the processes have in common. Every rank has to make the same calls in the same order, each channel for itself. */
export interface World {
  readonly rank: number
  readonly size: number
  /** Of each rank. */
  readonly hosts: readonly string[]
  /** Σ over ranks. */
  sum(channel: Channel, values: Float64Array): Promise<Float64Array>
  /** The root's bytes; `bytes` has their length on every rank. */
  broadcast(channel: Channel, bytes: Uint8Array, root: number): Promise<Uint8Array>
  barrier(channel: Channel): Promise<void>
  /** Each rank's bytes for each: `bytes` are those for rank 0, 1, … in turn, as is what comes. Both counts of each rank are known to both sides. */
  allToAll(channel: Channel, bytes: Uint8Array, going: readonly number[], coming: readonly number[]): Promise<Uint8Array>
}

const one: World = {
  rank: 0,
  size: 1,
  hosts: [''],
  sum: async (_channel, values) => values,
  broadcast: async (_channel, bytes) => bytes,
  barrier: async () => {},
  allToAll: async (_channel, bytes) => bytes,
}

let current: World = one

/** Which of the processes this is, 0 … size − 1. */
export let rank = 0
/** How many processes there are; 1 outside of a launcher and before `init`. */
export let size = 1
/** The name of this process's machine; empty before `init`. */
export let host = ''

export const world = (): World => current

/** Takes part in a world from now on. */
export function enter(next: World): void {
  current = next
  rank = next.rank
  size = next.size
  host = next.hosts[rank] as string
}

let apart = 0

/** Whether trainings of this process have to do with those of others. */
export const together = (): boolean => current.size > 1 && apart === 0

/** Runs something whose trainings are this process's alone. */
export async function aloneIn<T>(body: () => Promise<T>): Promise<T> {
  apart++
  try {
    return await body()
  } finally {
    apart--
  }
}

/** `rank 2 on node-b`, for messages. */
export const nameOf = (which: number): string => `rank ${which}${current.hosts[which] ? ` on ${current.hosts[which]}` : ''}`

/** Every rank's bytes. */
export async function exchange(channel: Channel, bytes: Uint8Array): Promise<Uint8Array[]> {
  const { rank: own, size: ranks } = current
  const lengths = new Float64Array(ranks)
  lengths[own] = bytes.length
  const all: Uint8Array[] = []
  const known = await current.sum(channel, lengths)
  for (let root = 0; root < ranks; root++)
    all.push(await current.broadcast(channel, root === own ? bytes : new Uint8Array(known[root] as number), root))
  return all
}

/** Every rank's text. */
export async function exchangeTexts(channel: Channel, text: string): Promise<string[]> {
  const all = await exchange(channel, new TextEncoder().encode(text))
  return all.map((bytes) => new TextDecoder().decode(bytes))
}
