/** Ranks on two hosts, each with a network of its own: `npm run test:distributed:slow`. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { follows, resultsOf } from './following.js'
import { ended, lacking, programOf } from './launching.js'
import { hostless, TwoHosts } from './two-hosts.js'

const slow = process.env.WENGERT_SLOW === '1'
const long = { timeout: 300_000 }

for (const launcher of ['openmpi', 'mpich'] as const) {
  const missing = slow ? (lacking(launcher) ?? hostless()) : 'of the slow suite, WENGERT_SLOW=1'
  describe.skipIf(missing !== undefined)(`${launcher} over two hosts${missing ? `, skipped: ${missing}` : ''}`, () => {
    let hosts: TwoHosts | undefined
    beforeAll(async () => {
      hosts = await TwoHosts.make()
    })
    afterAll(() => hosts?.close())
    const over = (name: string, ...args: readonly string[]) => {
      const { command, environment } = (hosts as TwoHosts).command(launcher)
      return ended([...command, ...programOf(name), ...args], environment)
    }

    test('a rank on each follows the trajectory of one process', long, async () => {
      await follows('all', 2, resultsOf(await over('trajectories.mjs', 'all', '2')))
    })

    // A killed process is named by MPI's launcher: Open MPI gives the rank, MPICH the process.
    const killed = launcher === 'openmpi' ? /rank 1 .*on node \S+ exited on signal 9/s : /PID \d+ RUNNING AT \S+\n.*(signal 9|CODE: 9)/s
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
      expect(since).toBeLessThan(12)
    })
  })
}
