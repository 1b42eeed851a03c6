/** Whether what several processes trained is what one would have. */

import { expect } from 'vitest'
import { type Ended, type LauncherName, printed, run } from './launching.js'

/** Where MPI adds up, and begins while some gradients are still made: pieces of so many bytes at least, as small as these models need. */
export const pieceByPiece = { WENGERT_SHARED_MEMORY: '0', WENGERT_OVERLAP: '16' }

export interface Result {
  same: boolean
  state: number[]
  costs: number[]
  scores: Record<string, number>
}

/** The largest difference of two states, as a share of the states' root mean square. */
export function difference(a: readonly number[], b: readonly number[]): number {
  const size = Math.sqrt(a.reduce((sum, v) => sum + v * v, 0) / a.length)
  return a.reduce((most, v, i) => Math.max(most, Math.abs(v - (b[i] as number))), 0) / size
}

/** What trajectories.mjs printed. */
export function resultsOf({ code, out, err }: Ended): Record<string, Result> {
  expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' })
  return printed(out) as Record<string, Result>
}

export const trajectories = async (
  launcher: LauncherName | undefined,
  ranks: number,
  which: string,
  environment: Record<string, string> = {},
): Promise<Record<string, Result>> => resultsOf(await run(launcher, ranks, 'trajectories.mjs', which, String(ranks), environment))

/** Compares with one process; all ranks hold the same bits. */
export async function follows(which: string, ranks: number, many: Record<string, Result>): Promise<void> {
  const one = await trajectories(undefined, ranks, which)
  expect(Object.keys(many)).toEqual(Object.keys(one))
  for (const [name, { same, state, costs, scores }] of Object.entries(many)) {
    const expected = one[name] as Result
    expect({ name, same }).toEqual({ name, same: true })
    expect(difference(expected.state, state), name).toBeLessThan(3e-6)
    costs.forEach((cost, i) => {
      expect(Math.abs(cost / (expected.costs[i] as number) - 1), `${name}, epoch ${i + 1}`).toBeLessThan(1e-6)
    })
    expect(scores.accuracy, name).toBeCloseTo(expected.scores.accuracy as number, 1)
  }
}
