/**
 * Data of which each rank holds a part: files read in parts, and streams. How fits on parts go is in distributed.test.ts. At two ranks
 * under Open MPI; `npm run test:distributed:slow` adds MPICH, and three and four ranks.
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type LauncherName, lacking, long, printed, run } from './launching.js'
import { nastyFiles } from './nasty-csv.js'
import { tableFiles } from './table-files.js'

const slow = process.env.WENGERT_SLOW === '1'
const folder = mkdtempSync(join(tmpdir(), 'wengert-shards-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What a program prints; it ends well. */
async function result<T>(launcher: LauncherName | undefined, ranks: number, name: string, ...args: readonly string[]): Promise<T> {
  const { code, out, err } = await run(launcher, ranks, name, ...args)
  expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' })
  return printed(out) as T
}

interface Fitted {
  /** Whether all ranks say the same. */
  same: boolean
  out: Record<string, { state?: number[]; refused?: string[] } & Record<string, unknown>>
  /** By rank. */
  held: Record<string, { rows: number; bytes: number; total: number; decoded?: number }[]>
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
    test('shards that are no whole are refused by all ranks, by the name of one', long, async () => {
      const said = await result<Record<string, string[]>>(launcher, 2, 'refusals.mjs')
      const expected: Record<string, RegExp> = {
        gap: /rank 1 on \S+ has rows 10 … 19 of 20, and rank 0 on \S+ ends before row 8/,
        overlap: /rank 1 on \S+ has rows 10 … 19 of 20, and rank 0 on \S+ ends before row 12/,
        end: /rank 1 on \S+ has rows 10 … 17 of 20, and nobody has those from row 18 on/,
        totals: /rank 1 on \S+ has a shard of 30 rows, and rank 0 on \S+ one of 20/,
        whole: /rank 1 on \S+ has the whole data set and others have a shard of it/,
        columns: /rank 1 on \S+ has a shard of the training data of other columns than rank 0/,
        windows: /^ERR_DISTRIBUTED$/,
      }
      for (const [name, says] of Object.entries(expected)) {
        const all = said[name] as string[]
        expect(all.length).toBe(2)
        for (const one of all) {
          expect(one, name).toMatch(/^ERR_DISTRIBUTED/)
          expect(one, name).toMatch(says)
        }
      }
    })

    test('a checkpoint within an epoch is gone on from with shards, without them, and by one process', long, async () => {
      const path = join(folder, `${launcher}.ckpt`)
      const of = async (ranks: number, how: string, parted: string) => {
        const { code, out, err } = await run(ranks === 1 ? undefined : launcher, ranks, 'resuming.mjs', how, path, parted)
        // An epoch that is begun anew would be told of.
        expect({ code, err }).toEqual({ code: 0, err: '' })
        return printed(out) as Learned
      }
      const whole = await of(1, 'whole', '')
      const close = ({ state, same }: Learned) => {
        expect(same).toBe(true)
        for (const [i, value] of state.entries()) expect(Math.abs(value - (whole.state[i] as number))).toBeLessThan(3e-6)
      }
      close(await of(2, 'whole', 'shards'))
      await of(2, 'cut', 'shards')
      close(await of(2, 'resume', 'shards'))
      await of(2, 'cut', 'shards')
      close(await of(1, 'resume', ''))
      await of(1, 'cut', '')
      close(await of(2, 'resume', 'shards'))
    })

    for (const ranks of slow ? [2, 3, 4] : [2]) {
      test(`${ranks} ranks fit tables, records and images on all rows, of which each holds its part`, long, async () => {
        const files = join(folder, `${launcher}-tables-${ranks}`)
        mkdirSync(files)
        tableFiles(files)
        const one = await result<Fitted>(undefined, 1, 'tables.mjs', files)
        const many = await result<Fitted>(launcher, ranks, 'tables.mjs', files)
        expect(many.same).toBe(true)
        expect(one.out['dates.csv']).toMatchObject({ says: expect.stringContaining('dates as DD/MM/YYYY') })
        for (const [name, { state = [], refused, ...rest }] of Object.entries(many.out)) {
          const { state: expected = [], ...whole } = one.out[name] as Fitted['out'][string]
          // Medians, categories, words and what is said of them: the same, not nearly.
          expect(rest, name).toEqual(whole)
          expect(state.length, name).toBe(expected.length)
          for (const [i, value] of state.entries()) expect(Math.abs(value - (expected[i] as number)), name).toBeLessThan(3e-6)
          if (refused) expect(refused, name).toEqual(new Array(ranks).fill('ERR_DISTRIBUTED'))
        }
        for (const [name, held] of Object.entries(many.held)) {
          const [{ bytes: all, total }] = one.held[name] as [Fitted['held'][string][number]]
          expect(
            held.reduce((n, { rows }) => n + rows, 0),
            name,
          ).toBe(total)
          if (name === 'few.csv') continue
          for (const { rows, bytes, decoded } of held) {
            expect(Math.abs(rows - total / ranks), name).toBeLessThanOrEqual(name === 'stream' ? 3 : 1)
            // What all ranks have besides is the dictionary of a column's texts.
            if (name !== 'mixed.csv' && name !== 'dates.csv') expect(bytes / all, name).toBeLessThan(1.25 / ranks + 0.05)
            if (decoded !== undefined) expect(decoded).toBe(rows)
          }
        }
      })

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
        // More ranks than processors take turns, many times a file.
        const many = slow && ranks <= availableParallelism()
        writeFileSync(list, JSON.stringify(nastyFiles(folder, many ? 400 : 120, ranks)))
        const { wrong, good, refused } = await result<{ wrong: unknown[]; good: number; refused: number }>(launcher, ranks, 'csv.mjs', list)
        expect(wrong).toEqual([])
        // Of both sorts there are enough.
        expect(Math.min(good, refused)).toBeGreaterThan(many ? 100 : 30)
      })
    }
  })
}
