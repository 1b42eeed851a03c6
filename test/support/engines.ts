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

/** Runs `body` with the engine chosen, and goes back to the first at hand. */
export function using<T>(name: EngineName, body: () => T): T {
  setBackend(name)
  try {
    return body()
  } finally {
    setBackend(present.includes('native') ? 'native' : 'js')
  }
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
