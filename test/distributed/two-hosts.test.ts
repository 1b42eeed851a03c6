/** Ranks on two hosts, each with a network of its own: `npm run test:distributed:slow`. */

import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { follows, resultsOf } from './following.js'
import { ended, environment, lacking, programOf, secondsAllowed } from './launching.js'
import { hostless, TwoHosts } from './two-hosts.js'

const slow = process.env.WENGERT_SLOW === '1'
const long = { timeout: 300_000 }
/** Of failing.mjs; what a rank does before it pulls the cable; and how long a launcher that does not end has before it is told to. */
const [stallSeconds, before, grace] = [2, 0.2, 5]

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Whether a process runs: one that nobody has asked after since it ended does not. */
const runs = (pid: string): boolean => existsSync(`/proc/${pid}`) && !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))

async function until(what: string, holds: () => boolean, seconds: number): Promise<void> {
  for (const start = performance.now(); !holds(); await wait(50))
    if (performance.now() - start > seconds * 1000) throw new Error(`${what}: not within ${seconds} s`)
}

for (const launcher of ['openmpi', 'mpich'] as const) {
  const missing = slow ? (lacking(launcher) ?? hostless()) : 'of the slow suite, WENGERT_SLOW=1'
  describe.skipIf(missing !== undefined)(`${launcher} over two hosts${missing ? `, skipped: ${missing}` : ''}`, () => {
    let hosts: TwoHosts | undefined
    beforeAll(async () => {
      hosts = await TwoHosts.make()
    })
    afterAll(() => hosts?.close())
    const overWith = (more: Record<string, string>, name: string, ...args: readonly string[]) => {
      const { command, environment } = (hosts as TwoHosts).command(launcher)
      return ended([...command, ...programOf(name), ...args], { ...environment, ...more })
    }

    const over = (name: string, ...args: readonly string[]) => overWith({}, name, ...args)

    test.each([
      ['in one', '0'],
      ['piece by piece', '16'],
      ['as by default', ''],
    ])('a rank on each follows the trajectory of one process, sums %s', long, async (_, WENGERT_OVERLAP) => {
      await follows('all', 2, resultsOf(await overWith({ WENGERT_OVERLAP }, 'trajectories.mjs', 'all', '2')))
    })

    // A killed process is named by MPI's launcher: Open MPI gives the rank, MPICH the process.
    const killed = launcher === 'openmpi' ? /rank 1 .*on node \S+ exited on signal 9/s : /PID \d+ RUNNING AT \S+\n.*(signal 9|CODE: 9)/s
    const waits = new Set(['stall', 'stop'])
    test.each([
      ['uncaught', /rank 1 on node-b threw Error: out of the blue/],
      ['stall', /rank 1 on node-b does something else/],
      ['stop', /rank 1 on node-b does not answer/],
      ['kill', killed],
    ])('rank 1 fails (%s): all end, in time and by name', long, async (how, says) => {
      const { code, out, err, since, hung } = await over('failing.mjs', how)
      expect(hung).toBe(false)
      expect(code).not.toBe(0)
      expect(out + err).toMatch(says)
      console.log(`${launcher} over two hosts, ${how}: ended after ${since.toFixed(1)} s`)
      expect(since - (waits.has(how) ? stallSeconds : 0)).toBeLessThan(secondsAllowed())
    })

    const launches = launcher === 'openmpi' ? ([launcher, 'launch openmpi'] as const) : ([launcher] as const)
    const cables = launches.flatMap((by) => [
      {
        by,
        how: 'cable',
        when: 'in a training',
        says: /rank 1 on node-b does not answer: .* cannot be reached \(rank 0 on node-a has waited/,
      },
      {
        by,
        how: 'end cable',
        when: 'while a rank waits at its end',
        says: /rank 1 on node-b does not answer: .* cannot be reached \(rank 0 on node-a has come to its end/,
      },
    ])
    test.each(cables)('$by: a cable pulled $when ends every rank, in time and by name', long, async ({ by, how, says }) => {
      const folder = mkdtempSync(join(tmpdir(), 'wengert-cable-'))
      const pids = join(folder, 'pids')
      const there = hosts as TwoHosts
      const { command, environment: more } = there.command(by)
      const program = by === launcher ? programOf('failing.mjs') : programOf('failing.mjs').slice(1)
      const [file, ...args] = [...command, ...program, how, there.pulling, pids]
      const child = spawn(file as string, args, { env: environment(more), stdio: ['ignore', 'ignore', 'pipe'] })
      let err = ''
      child.stderr.on('data', (piece) => {
        err += piece
      })
      const code = new Promise<number | null>((resolve) => child.once('exit', (code, signal) => resolve(signal ? 1 : code)))
      let ended = false
      void code.then(() => {
        ended = true
      })
      try {
        await until('failing', () => /failing at \d+\n/.test(err), 60)
        const ranks = readFileSync(pids, 'utf8').trim().split('\n')
        expect(ranks.length).toBe(2)
        // Who waits ends in time; the other, once it is done with what it does alone.
        const waiting = how === 'cable' ? 2 : 1
        await until('the end of who waits', () => says.test(err) && ranks.filter(runs).length <= ranks.length - waiting, 60)
        const since = (Date.now() - Number(/failing at (\d+)\n/.exec(err)?.[1])) / 1000 - before - stallSeconds
        console.log(`${by} over two hosts, ${how}: ended ${since.toFixed(1)} s after the limit`)
        expect(since).toBeLessThan(secondsAllowed())
        await until('the end of all ranks', () => !ranks.some(runs), 60)
        // Open MPI's own launcher waits for the other host for as long as TCP tries, unless it is told twice to end.
        for (let times = 0; by === 'openmpi' && times < 2 && !ended; times++) {
          child.kill('SIGTERM')
          await wait(1000)
        }
        await until('the end of the launcher', () => ended, grace + 3 * secondsAllowed())
        expect(await code).not.toBe(0)
      } finally {
        child.kill('SIGKILL')
        there.plug()
        rmSync(folder, { recursive: true, force: true })
      }
    })
  })
}
