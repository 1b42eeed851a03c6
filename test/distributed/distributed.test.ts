/**
 * Several processes against one: the same trajectories, the same bits on every rank, and no rank left behind. At two ranks under
 * Open MPI; `npm run test:distributed:slow` adds MPICH, three and four ranks, and repeats each failure.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type LauncherName, lacking, run } from './launching.js'

const slow = process.env.WENGERT_SLOW === '1'

interface Result {
  same: boolean
  state: number[]
  costs: number[]
  scores: Record<string, number>
}

/** The largest difference of two states, as a share of the states' root mean square. */
function difference(a: readonly number[], b: readonly number[]): number {
  const size = Math.sqrt(a.reduce((sum, v) => sum + v * v, 0) / a.length)
  return a.reduce((most, v, i) => Math.max(most, Math.abs(v - (b[i] as number))), 0) / size
}

async function trajectories(launcher: LauncherName | undefined, ranks: number, which: string): Promise<Record<string, Result>> {
  const { code, out, err } = await run(launcher, ranks, 'trajectories.mjs', which, String(ranks))
  expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' })
  return JSON.parse(out) as Record<string, Result>
}

const long = { timeout: 300_000 }

for (const launcher of ['openmpi', ...(slow ? (['mpich'] as const) : [])] as const) {
  const missing = lacking(launcher)
  describe.skipIf(missing !== undefined)(`${launcher}${missing ? `, skipped: ${missing}` : ''}`, () => {
    for (const ranks of slow ? [2, 3, 4] : [2]) {
      for (const which of ['all', 'chunks']) {
        test(`${ranks} ranks follow the trajectory of one process (${which})`, long, async () => {
          const [one, many] = [await trajectories(undefined, ranks, which), await trajectories(launcher, ranks, which)]
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
        })
      }
    }

    /** What rank 1 does, and what the message says of it. */
    const ends: readonly (readonly [how: string, says: RegExp])[] = [
      // MPICH's launcher names the process and the host.
      ['kill', launcher === 'openmpi' ? /rank 1 .*signal 9/s : /PID \d+ RUNNING AT .*Killed \(signal 9\)/s],
      ['throw', /rank [01] on \S+ threw .*no more/],
      ['uncaught', /rank 1 on \S+ threw Error: out of the blue/],
      ['exit', /rank 1 on \S+ (exited|has come to its end)/],
      ['stall', /rank 1 on \S+ does something else/],
      ['loop', /rank 1 on \S+ does something else/],
      ['stop', /rank 1 on \S+ does not answer/],
      ['data', /rank 1 on \S+ has another data/],
    ]
    for (const [how, says] of ends) {
      test(`rank 1 fails (${how}): all end, in time and by name`, long, async () => {
        for (let i = 0; i < (slow ? 20 : 1); i++) {
          const { code, out, err, seconds, hung } = await run(launcher, 2, 'failing.mjs', how)
          expect(hung).toBe(false)
          expect(code).not.toBe(0)
          expect(out + err).toMatch(says)
          // Two seconds of waiting, five to end, and the start of two processes on a busy machine.
          expect(seconds).toBeLessThan(30)
        }
      })
    }

    test.each([
      ['abort', 'ERR_CANCELLED', /rank 1 on \S+ aborted it: enough/],
      ['diverge', 'ERR_DIVERGED', /update \d+ .*got NaN or Infinity/],
    ])('%s on one rank is agreed on by all', long, async (how, code, says) => {
      const ended = await run(launcher, 2, 'failing.mjs', how)
      expect({ code: ended.code, err: ended.err }).toEqual({ code: 0, err: '' })
      const said = ended.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { rank: number; code?: string; message: string; updates: number })
        .sort((a, b) => a.rank - b.rank)
      expect(said.length).toBe(2)
      expect(said[0]?.code).toBe(code)
      expect(said[0]?.message).toMatch(says)
      expect(said[1]?.message).toMatch(how === 'abort' ? /^enough$/ : says)
      expect(said[1]?.updates).toBe(said[0]?.updates)
    })

    test('a checkpoint is gone on from bit for bit at as many ranks, and to rounding at another number', long, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'wengert-distributed-'))
      try {
        const path = join(folder, 'run.ckpt')
        const of = async (ranks: number, how: string) => {
          const { code, out, err } = await run(ranks === 1 ? undefined : launcher, ranks, 'resuming.mjs', how, path)
          expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' })
          return JSON.parse(out) as Result
        }
        const whole = await of(2, 'whole')
        await of(2, 'half')
        const again = await of(2, 'resume')
        expect(again.same && whole.same).toBe(true)
        expect(again.state).toEqual(whole.state)
        expect(difference(whole.state, (await of(1, 'resume')).state)).toBeLessThan(3e-6)
        if (slow) expect(difference(whole.state, (await of(3, 'resume')).state)).toBeLessThan(3e-6)
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    })
  })
}
