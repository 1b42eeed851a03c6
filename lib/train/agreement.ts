/** What the processes of a world agree on between the blocks of a fit: that all go on, with the same state and the same plans. */

import { exchange, exchangeTexts, nameOf, world } from '../distributed/world.js'
import { WengertError } from '../errors.js'
import type { Safetensors } from '../io/safetensors.js'
import type { TypedArray } from '../util/dtype.js'
import type { TrainingState } from './training-state.js'

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

export const failedElsewhere = (where: string, rank: number, message: string) =>
  new WengertError('ERR_DISTRIBUTED', `${where}: ${nameOf(rank)} failed: ${message}`, { actual: rank })

export const abortedElsewhere = (where: string, rank: number, message: string) =>
  new WengertError('ERR_CANCELLED', `${where}: ${nameOf(rank)} aborted it: ${message}`, { actual: rank })

/**
 * Runs something that may fail on one rank alone: it then fails on all.
 *
 * @param ranks whether there are others
 * @throws (rejects) its own error, or ERR_DISTRIBUTED with another's
 */
export async function inAgreement<T>(where: string, ranks: boolean, body: () => T | Promise<T>): Promise<T> {
  if (!ranks) return body()
  let made: T | undefined
  let failed: { error: unknown } | undefined
  try {
    made = await body()
  } catch (error) {
    failed = { error }
  }
  const { rank, size } = world()
  const flags = new Float64Array(size)
  flags[rank] = failed ? 1 : 0
  const all = await world().sum('control', flags)
  const first = all.indexOf(1)
  if (first >= 0) {
    const said = await exchangeTexts('control', failed ? messageOf(failed.error) : '')
    if (failed) throw failed.error
    throw failedElsewhere(where, first, said[first] as string)
  }
  return made as T
}

/** Refuses what is not the same on all ranks. Errors: ERR_DISTRIBUTED, naming the first that differs and in what. */
export async function checkSame(where: string, facts: Readonly<Record<string, unknown>>): Promise<void> {
  const all = (await exchangeTexts('control', JSON.stringify(facts))).map((text) => JSON.parse(text) as Record<string, unknown>)
  const own = all[0] as Record<string, unknown>
  for (const [rank, theirs] of all.entries()) {
    for (const name of Object.keys({ ...own, ...theirs })) {
      const [expected, actual] = [JSON.stringify(own[name]), JSON.stringify(theirs[name])]
      if (expected === actual) continue
      const brief = (text: string | undefined) => (text === undefined || text.length > 60 ? '' : ` (${text})`)
      throw new WengertError(
        'ERR_DISTRIBUTED',
        `${where}: ${nameOf(rank)} has another ${name}${brief(actual)} than ${nameOf(0)}${brief(expected)}; all ranks have to make the same calls with the same data`,
        { expected, actual },
      )
    }
  }
}

/** The first rank's number on all. */
export async function fromFirst(value: number): Promise<number> {
  const { rank } = world()
  return (await world().sum('control', Float64Array.of(rank === 0 ? value : 0)))[0] as number
}

/** Whether it is so on any rank. */
export async function anyRank(own: boolean): Promise<boolean> {
  return ((await world().sum('control', Float64Array.of(own ? 1 : 0)))[0] as number) > 0
}

/** What every rank knows, on all of them. */
export async function shared<T>(own: T): Promise<T[]> {
  return (await exchangeTexts('control', JSON.stringify(own))).map((text) => JSON.parse(text) as T)
}

/** What each rank has to say after a block. */
export interface Vote {
  readonly failed?: unknown
  readonly aborted?: AbortSignal | undefined
  readonly stop?: boolean
  readonly late?: boolean
}

/** What all of them decide. Errors: ERR_DISTRIBUTED where another has failed. */
export async function settle(
  where: string,
  { failed, aborted, stop = false, late = false }: Vote,
): Promise<{ aborted: WengertError | undefined; stop: boolean; late: boolean }> {
  const { rank, size } = world()
  const kinds = 4
  const votes = new Float64Array(kinds * size)
  votes.set([failed === undefined ? 0 : 1, aborted?.aborted ? 1 : 0, stop ? 1 : 0, late ? 1 : 0], kinds * rank)
  const all = await world().sum('control', votes)
  const first = (kind: number): number => {
    for (let r = 0; r < size; r++) if (all[kinds * r + kind] === 1) return r
    return -1
  }
  const [broken, ended] = [first(0), first(1)]
  if (broken >= 0 || ended >= 0) {
    const text = broken >= 0 ? (failed === undefined ? '' : messageOf(failed)) : aborted?.aborted ? messageOf(aborted.reason) : ''
    const said = await exchangeTexts('control', text)
    if (broken >= 0) {
      if (failed !== undefined) return { aborted: undefined, stop: false, late: false }
      throw failedElsewhere(where, broken, said[broken] as string)
    }
    return { aborted: abortedElsewhere(where, ended, said[ended] as string), stop: false, late: false }
  }
  return { aborted: undefined, stop: first(2) >= 0, late: first(3) >= 0 }
}

/** Everything that is trained as the first rank has it. */
export async function takeFromFirst(state: TrainingState): Promise<void> {
  const slots = state.slots()
  for (const { data } of Object.values(slots)) {
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength)
    bytes.set(await world().broadcast('control', bytes, 0))
  }
  state.restore(slots)
}

/** A short name for the state that a file holds. */
function digestOf({ tensors }: Safetensors): string {
  const hash = process.getBuiltinModule('node:crypto').createHash('sha256')
  for (const [name, { data }] of Object.entries(tensors)) {
    if (!name.startsWith('state.')) continue
    hash.update(name)
    hash.update(new Uint8Array((data as TypedArray).buffer as ArrayBuffer, data.byteOffset, data.byteLength))
  }
  return hash.digest('hex')
}

/** Has the first rank write a file of what all of them hold. Errors: ERR_DISTRIBUTED where they hold different states; the first's. */
export async function writeTogether(where: string, file: Safetensors, write: (file: Safetensors) => Promise<void>): Promise<void> {
  await checkSame(where, { state: digestOf(file) })
  await inAgreement(where, true, async () => {
    if (world().rank === 0) await write(file)
  })
}

/** The bytes that the first rank reads, on all. */
export async function readTogether(where: string, read: () => Promise<Uint8Array>): Promise<Uint8Array> {
  const own = await inAgreement(where, true, async () => (world().rank === 0 ? await read() : new Uint8Array(0)))
  return (await exchange('control', own))[0] as Uint8Array
}
