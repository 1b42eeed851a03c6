/**
 * Several processes against one: the same trajectories, the same bits on every rank, and no rank left behind. At two ranks under
 * Open MPI; `npm run test:distributed:slow` adds MPICH, three and four ranks, and repeats each failure.
 */

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { difference, follows, pieceByPiece, type Result, trajectories } from './following.js'
import { lacking, long, printed, run, secondsAllowed } from './launching.js'

const slow = process.env.WENGERT_SLOW === '1'
const times = slow ? 20 : 1

/** Of failing.mjs; and the failures that only a rank's waiting brings to light. */
const stallSeconds = 2
const waits = new Set(['exit', 'stall', 'loop', 'stop'])

function report(what: string, took: readonly number[]): void {
  const [most, allowed] = [Math.max(...took), secondsAllowed()]
  if (slow) console.log(`${what}: ${took.length} of ${took.length} ended, the slowest after ${most.toFixed(1)} s of ${allowed.toFixed(1)}`)
  expect(most, what).toBeLessThan(allowed)
}

const compiler = spawnSync('cc', ['--version']).status === 0 && process.platform === 'linux' ? undefined : 'a C compiler on Linux is needed'
/** A library made of a file of this folder. */
async function withLibrary(source: string, more: readonly string[], body: (library: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'wengert-library-'))
  try {
    const library = join(folder, 'libmpi.so')
    execFileSync('cc', ['-shared', '-fPIC', '-w', '-o', library, fileURLToPath(new URL(source, import.meta.url)), ...more])
    await body(library)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

describe.skipIf(compiler !== undefined)(`an MPI that does not answer${compiler ? `, skipped: ${compiler}` : ''}`, () => {
  test('a rank that waits ends by itself where MPI can neither send nor abort', long, async () => {
    await withLibrary('stuck-mpi.c', [], async (library) => {
      const { code, err, seconds } = await run(undefined, 1, 'failing.mjs', 'none', { WENGERT_MPI: library, OMPI_COMM_WORLD_SIZE: '2' })
      expect(err).toMatch(/^wengert: rank 1 does not answer: .* \(rank 0 has waited for \d+ s\); all 2 ranks are ended\n$/)
      expect(code).toBe(1)
      expect(seconds - stallSeconds).toBeLessThan(secondsAllowed())
    })
  })

  const missing = lacking('mpich')
  test.skipIf(missing !== undefined)(
    `ranks that are done end where MPI does not finalize${missing ? `, skipped: ${missing}` : ''}`,
    long,
    async () => {
      await withLibrary('stuck-finalize.c', ['-l:libmpich.so.12'], async (library) => {
        const { code, out, err, hung } = await run('mpich', 2, 'trajectories.mjs', 'chunks', '2', { WENGERT_MPI: library })
        expect({ code, hung }, err).toEqual({ code: 0, hung: false })
        expect(err).toMatch(/^(wengert: rank [01] on \S+ leaves without MPI, which does not finalize; all ranks had come to their end\n)+$/)
        expect(printed(out)).toBeDefined()
      })
    },
  )
})

for (const launcher of ['openmpi', ...(slow ? (['mpich'] as const) : [])] as const) {
  const missing = lacking(launcher)
  describe.skipIf(missing !== undefined)(`${launcher}${missing ? `, skipped: ${missing}` : ''}`, () => {
    for (const ranks of slow ? [2, 3, 4] : [2]) {
      for (const which of ['all', 'chunks', 'shards', 'shards chunks', 'shards uneven', 'shards uneven chunks']) {
        test(`${ranks} ranks follow the trajectory of one process (${which})`, long, async () => {
          await follows(which, ranks, await trajectories(launcher, ranks, which))
        })
      }
      test(`${ranks} ranks follow it where MPI adds up instead of memory that they share`, long, async () => {
        await follows('all', ranks, await trajectories(launcher, ranks, 'all', { WENGERT_SHARED_MEMORY: '0' }))
      })
      for (const which of ['all', 'chunks', ...(slow ? ['shards uneven'] : [])]) {
        test(`${ranks} ranks follow it where sums begin piece by piece (${which})`, long, async () => {
          await follows(which, ranks, await trajectories(launcher, ranks, which, pieceByPiece))
        })
      }
    }

    /** What rank 1 does, and what the message says of it. */
    const ends: readonly (readonly [how: string, says: RegExp])[] = [
      ['kill', launcher === 'openmpi' ? /rank 1 .* on node \S+ exited on signal 9/s : /rank 1 on \S+: Killed \(signal 9\)/],
      ['throw', /rank [01] on \S+ threw .*no more/],
      ['uncaught', /rank 1 on \S+ threw Error: out of the blue/],
      ['exit', /rank 1 on \S+ (exited|has come to its end)/],
      ['stall', /rank 1 on \S+ does something else/],
      ['loop', /rank 1 on \S+ does something else/],
      ['stop', /rank 1 on \S+ does not answer/],
      ['data', /rank 1 on \S+ has another data/],
    ]
    /** As the sums are made by default, and where they begin piece by piece. */
    const sums = [
      ['', {}],
      [', piece by piece', pieceByPiece],
    ] as const
    for (const [[how, says], [way, environment]] of ends.flatMap((end) => sums.map((way) => [end, way] as const))) {
      test(`rank 1 fails (${how}${way}): all end, in time and by name`, long, async () => {
        const took: number[] = []
        for (let i = 0; i < times; i++) {
          // Of a killed process MPICH's own launcher names the host and the process alone.
          const { code, out, err, since, hung } = await run(
            how === 'kill' ? `launch ${launcher}` : launcher,
            2,
            'failing.mjs',
            how,
            environment,
          )
          expect(hung).toBe(false)
          expect(code).not.toBe(0)
          expect(out + err).toMatch(says)
          if (how !== 'data') took.push(since - (waits.has(how) ? stallSeconds : 0))
        }
        if (took.length > 0) report(`${launcher}, ${how}${way}`, took)
      })
    }

    const first = /^update \d+ .*got NaN or Infinity; first made by .*square.* in loss.squaredError, backward, on /
    const agreed: readonly (readonly [how: string, code: string, says: RegExp, saysItself?: RegExp])[] = [
      ['abort', 'ERR_CANCELLED', /^fit: rank 1 on \S+ aborted it: enough$/, /^enough$/],
      ['diverge', 'ERR_DIVERGED', new RegExp(`${first.source}all ranks; `)],
      ['overflow', 'ERR_DIVERGED', new RegExp(`${first.source}rank 1 on `)],
      [
        'index',
        'ERR_DISTRIBUTED',
        /^fit: rank 1 on \S+ failed: fit: expected an index in 0 … 7, got 9/,
        /^fit: expected an index in 0 … 7, got 9/,
      ],
    ]
    for (const [[how, code, says, saysItself = says], [way, environment]] of agreed.flatMap((one) =>
      sums.map((way) => [one, way] as const),
    )) {
      test(`${how} on one rank is agreed on by all${way}`, long, async () => {
        const took: number[] = []
        for (let i = 0; i < times; i++) {
          const ended = await run(launcher, 2, 'failing.mjs', how, environment)
          expect({ code: ended.code, err: ended.err }).toEqual({ code: 0, err: '' })
          const said = ended.out
            .trim()
            .split('\n')
            .map((line) => JSON.parse(line) as { rank: number; code?: string; message: string; updates: number })
            .sort((a, b) => a.rank - b.rank)
          expect(said.length).toBe(2)
          expect(said[0]?.code).toBe(code)
          expect(said[0]?.message).toMatch(says)
          expect(said[1]?.message).toMatch(saysItself)
          expect(said[1]?.updates).toBe(said[0]?.updates)
          took.push(ended.since)
        }
        report(`${launcher}, ${how}${way}`, took)
      })
    }

    test('a launcher of the other library is noticed and named', long, async () => {
      const [own, other, file] =
        launcher === 'openmpi' ? ["Open MPI's mpirun", 'MPICH', 'libmpich.so.12'] : ["MPICH's mpirun", 'Open MPI', 'libmpi.so.40']
      const { code, err } = await run(launcher, 2, 'failing.mjs', 'kill', { WENGERT_MPI: file })
      expect(code).not.toBe(0)
      // Where the other is not installed, that is what is said.
      const alone = `${own} started 2 processes, but ${other} (${file}) sees 1: each would train alone; WENGERT_MPI names that library`
      const none = `${own} started this process, but its MPI library could not be loaded (${file}`
      expect(
        [alone, none].some((text) => err.includes(text)),
        err,
      ).toBe(true)
    })

    test('a checkpoint is gone on from bit for bit at as many ranks, and to rounding at another number', long, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'wengert-distributed-'))
      try {
        const path = join(folder, 'run.ckpt')
        const of = async (ranks: number, how: string) => {
          const { code, out, err } = await run(ranks === 1 ? undefined : launcher, ranks, 'resuming.mjs', how, path)
          expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' })
          return printed(out) as Result
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
