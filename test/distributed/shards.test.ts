/**
 * Data of which each rank holds a part: files read in parts, and streams. How fits on parts go is in distributed.test.ts. At two ranks
 * under Open MPI; `npm run test:distributed:slow` adds MPICH, and three and four ranks.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type LauncherName, lacking, long, printed, run } from './launching.js'
import { nastyFiles } from './nasty-csv.js'

const slow = process.env.WENGERT_SLOW === '1'
const folder = mkdtempSync(join(tmpdir(), 'wengert-shards-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What a program prints; it ends well. */
async function result<T>(launcher: LauncherName | undefined, ranks: number, name: string, ...args: readonly string[]): Promise<T> {
  const { code, out, err } = await run(launcher, ranks, name, ...args)
  expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' })
  return printed(out) as T
}

interface Learned {
  state: number[]
  same: boolean
  updates: number
  samples: number
}

for (const launcher of ['openmpi', ...(slow ? (['mpich'] as const) : [])] as const) {
  const missing = lacking(launcher)
  describe.skipIf(missing !== undefined)(`${launcher}${missing ? `, skipped: ${missing}` : ''}`, () => {
    for (const ranks of slow ? [2, 3, 4] : [2]) {
      test(`${ranks} ranks learn from streams of unequal lengths as one process does`, long, async () => {
        const one = await result<Record<string, Learned>>(undefined, ranks, 'streams.mjs', `${ranks}`)
        const many = await result<Record<string, Learned>>(launcher, ranks, 'streams.mjs', `${ranks}`)
        expect(Object.keys(many)).toEqual(Object.keys(one))
        for (const [name, { state, same, updates, samples }] of Object.entries(many)) {
          const expected = one[name] as Learned
          expect({ name, same, updates, samples }).toEqual({ name, same: true, updates: expected.updates, samples: expected.samples })
          for (const [i, value] of state.entries()) expect(Math.abs(value - (expected.state[i] as number)), name).toBeLessThan(1e-6)
        }
      })

      test(`${ranks} ranks read the rows of a CSV that one process reads, and refuse what it refuses`, long, async () => {
        const list = join(folder, `${launcher}-${ranks}.json`)
        writeFileSync(list, JSON.stringify(nastyFiles(folder, slow ? 400 : 120, ranks)))
        const { wrong, good, refused } = await result<{ wrong: unknown[]; good: number; refused: number }>(launcher, ranks, 'csv.mjs', list)
        expect(wrong).toEqual([])
        // Of both sorts there are enough.
        expect(Math.min(good, refused)).toBeGreaterThan(slow ? 100 : 30)
      })
    }
  })
}
