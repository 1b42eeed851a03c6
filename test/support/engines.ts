/** The engines at hand by name, for tests that run whole functions on each; a missing one is named with its reason. */

import { setBackend } from '../../lib/backend/select.js'
import { engines } from '../backend/engines.js'

export type EngineName = 'js' | 'native'

export const present: readonly EngineName[] = engines.filter((e) => e.backend).map((e) => e.name as EngineName)

export const missing: readonly string[] = engines.filter((e) => !e.backend).map((e) => `${e.name}: ${e.reason?.split('\n')[0]}`)

/** Says once in a file's output what cannot run here. */
export function announce(suite: string): void {
  for (const reason of missing) console.warn(`skipped: ${suite} on ${reason}`)
}

/** Runs `body` with the engine chosen, until its promise settles where it gives one, and goes back to the first at hand. */
export function using<T>(name: EngineName, body: () => T): T {
  const back = () => setBackend(present.includes('native') ? 'native' : 'js')
  setBackend(name)
  let result: T
  try {
    result = body()
  } catch (error) {
    back()
    throw error
  }
  if (result instanceof Promise) return result.finally(back) as T
  back()
  return result
}

/** The same until the promise that `body` gives has settled. */
export async function during<T>(name: EngineName, body: () => Promise<T>): Promise<T> {
  setBackend(name)
  try {
    return await body()
  } finally {
    setBackend(present.includes('native') ? 'native' : 'js')
  }
}
