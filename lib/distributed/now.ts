/** What ranks do in common within one call: the thread waits until all have come. For what is no promise. */

import { WengertError } from '../errors.js'
import { allReduce } from '../primitives/collective.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate } from '../util/dtype.js'
import { nameOf, world } from './world.js'

/** Σ over ranks. */
const sumNow = (values: Float64Array): Float64Array => allReduce(new Tensor([values.length], 'float64', values)).data as Float64Array

/** Every rank's bytes. All ranks have to call it. */
export function gatherNow(bytes: Uint8Array): Uint8Array[] {
  const { rank, size } = world()
  if (size === 1) return [bytes]
  const lengths = new Float64Array(size)
  lengths[rank] = bytes.length
  const counts = sumNow(lengths)
  const words = Array.from(counts, (count) => Math.ceil(count / 4))
  const at = (r: number) => words.slice(0, r).reduce((a, b) => a + b, 0)
  // A sum with zeros is exact for what has 32 bits.
  const own = new Uint32Array(words[rank] as number)
  new Uint8Array(own.buffer).set(bytes)
  const all = allocate('float64', at(size)) as Float64Array
  all.set(own, at(rank))
  const sums = sumNow(all)
  return words.map((n, r) => new Uint8Array(Uint32Array.from(sums.subarray(at(r), at(r) + n)).buffer, 0, counts[r]))
}

/** Every rank's value: what JSON holds. */
export function gatherJsonNow<T>(value: T): T[] {
  const all = gatherNow(new TextEncoder().encode(JSON.stringify(value)))
  return all.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as T)
}

/** Runs something that may fail on one rank alone: it then fails on all. Errors: its own, or ERR_DISTRIBUTED with another's. */
export function inAgreementNow<T>(where: string, body: () => T): T {
  let made: T | undefined
  let failed: { error: unknown } | undefined
  try {
    made = body()
  } catch (error) {
    failed = { error }
  }
  const own = failed && (failed.error instanceof Error ? failed.error.message : String(failed.error))
  const said = gatherJsonNow(own ?? null)
  if (failed) throw failed.error
  const first = said.findIndex((text) => text !== null)
  if (first >= 0) throw new WengertError('ERR_DISTRIBUTED', `${where}: ${nameOf(first)} failed: ${said[first]}`, { actual: first })
  return made as T
}
