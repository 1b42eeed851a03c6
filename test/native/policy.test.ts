/**
 * How many threads there are: never more than processors or quota, none for small work, shared by trainings at once, and none of
 * libuv's. Threads are counted by their names, in child processes; the quota is read from folders that stand for the system's.
 */

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { elementwiseCodes } from '../../lib/backend/program.js'
import { Builder, call } from '../backend/engines.js'
import { onNative, unless, wordsOf } from './native.js'

const linux = process.platform === 'linux'
const two = linux && availableParallelism() >= 2

/** state ← state + 1, then products of n × n. */
function endless(n: number, products: number) {
  const b = new Builder()
  const s = b.stored(1)
  b.step(call('elementwise', [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, elementwiseCodes.add, 0, 1, 0], [1]), [s], [s])
  const [x, y] = [b.scratch(n * n), b.scratch(n * n)]
  for (let i = 0; i < products; i++) b.step(call('matmul', [1, n, n, n, 0, 0, 0, 0], [1, 0]), [y], [x, x])
  return b.program()
}

/** What the children begin with. */
const prelude = `
  const { readdirSync, readFileSync } = require('node:fs')
  const { file, small, large } = JSON.parse(process.argv[1])
  const addon = require(file)
  /** Processor time in ticks of each thread whose name begins so. */
  const threads = (name) => readdirSync('/proc/self/task').flatMap((id) => {
    try {
      if (!readFileSync('/proc/self/task/' + id + '/comm', 'utf8').startsWith(name)) return []
      const numbers = readFileSync('/proc/self/task/' + id + '/stat', 'utf8').replace(/^.*\\) /, '').split(' ')
      return [Number(numbers[11]) + Number(numbers[12])]
    } catch { return [] }
  })
  const wait = (ms) => new Promise((done) => setTimeout(done, ms))
  const until = async (holds) => { while (!holds()) await wait(5) }
  const progress = Float64Array.of(0, 0, 0)
  class Training {
    constructor(words) {
      this.runner = addon.createRunner(addon.createState(8, Float64Array.of(0, 1, 1)), [addon.compile(Float64Array.from(words))])
    }
    start(runs) { this.done = addon.runBlock(this.runner, Float64Array.of(1, 0, 0, runs)); return this }
    get runs() { addon.runnerProgress(this.runner, progress); return progress[0] }
    async more(runs) { const from = this.runs; await until(() => this.runs >= from + runs) }
    async end() { addon.cancelRunner(this.runner); const result = await this.done; addon.closeRunner(this.runner); return result }
  }
  const print = (value) => console.log(JSON.stringify(value));
`

onNative('thread policy', (native) => {
  const { addon, file } = native
  const folder = mkdtempSync(join(tmpdir(), 'wengert-policy-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const words = (n: number, products: number) => Array.from(wordsOf(native, endless(n, products)))

  /** Runs a script and gives what it prints; on so many processors where that is said. */
  function child(body: string, { env = {}, processors }: { env?: NodeJS.ProcessEnv; processors?: string | undefined } = {}): unknown {
    const given = JSON.stringify({ file, small: words(16, 2), large: words(256, 2) })
    const args = ['-e', `${prelude}\n(async () => { ${body} })()`, '--', given]
    const command = processors === undefined ? [process.execPath] : ['taskset', '-c', processors, process.execPath]
    const [program, ...before] = command as [string, ...string[]]
    const { WENGERT_THREADS: _, ...own } = process.env
    const options = { encoding: 'utf8', timeout: 50_000, env: { ...own, ...env } } as const
    const { status, signal, stdout, stderr } = spawnSync(program, [...before, ...args], options)
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' })
    return JSON.parse(stdout)
  }

  test('no more than processors, whatever is asked for', () => {
    const { processors } = addon.describe()
    expect(processors).toBeLessThanOrEqual(availableParallelism())
    const before = addon.threads()
    for (const [asked, got] of [
      [1, 1],
      [2, Math.min(2, processors)],
      [100_000, processors],
    ] as const) {
      addon.setThreads(asked)
      expect(addon.threads()).toBe(got)
    }
    addon.setThreads(before)
  })

  const system = (files: Record<string, string>) => {
    const root = mkdtempSync(join(folder, 'system-'))
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true })
      writeFileSync(join(root, name), text)
    }
    return addon.processorQuota(root)
  }
  const groups = 'proc/self/cgroup'
  const at = 'sys/fs/cgroup'

  test('the quota of a control group, version 2', () => {
    expect(system({ [groups]: '0::/\n', [`${at}/cpu.max`]: '150000 100000\n' })).toBe(1.5)
    expect(system({ [groups]: '0::/\n', [`${at}/cpu.max`]: 'max 100000\n' })).toBe(0)
    expect(system({ [groups]: '0::/a/b\n', [`${at}/a/b/cpu.max`]: '400000 100000\n', [`${at}/a/cpu.max`]: '200000 100000\n' })).toBe(2)
    expect(system({ [groups]: '0::/a/b\n', [`${at}/a/b/cpu.max`]: '100000 100000\n', [`${at}/a/cpu.max`]: 'max 100000\n' })).toBe(1)
    // A container that sees the host's path, with its own group mounted as the root.
    expect(system({ [groups]: '0::/../../host/path\n', [`${at}/cpu.max`]: '50000 100000\n' })).toBe(0.5)
  })

  test('the quota of a control group, version 1, and of both', () => {
    const one = (folder: string, quota: number, period = 100_000) => ({
      [`${at}/${folder}/cpu.cfs_quota_us`]: `${quota}\n`,
      [`${at}/${folder}/cpu.cfs_period_us`]: `${period}\n`,
    })
    expect(system({ [groups]: '4:memory:/x\n3:cpu:/x\n', ...one('cpu/x', 300_000) })).toBe(3)
    expect(system({ [groups]: '3:cpu,cpuacct:/x\n', ...one('cpu,cpuacct/x', 50_000, 25_000) })).toBe(2)
    expect(system({ [groups]: '3:cpuacct,cpu:/host/x\n', ...one('cpu', 100_000) })).toBe(1)
    expect(system({ [groups]: '3:cpu:/x\n', ...one('cpu/x', 300_000), ...one('cpu', 200_000) })).toBe(2)
    expect(system({ [groups]: '3:cpu:/\n', ...one('cpu', -1) })).toBe(0)
    expect(system({ [groups]: '3:cpuset:/x\n', ...one('cpuset/x', 100_000) })).toBe(0)
    expect(system({ [groups]: '3:cpu:/x\n0::/y\n', ...one('cpu/x', 300_000), [`${at}/unified/y/cpu.max`]: '200000 100000' })).toBe(2)
  })

  test('no quota where there is nothing to read, or nonsense', () => {
    expect(system({})).toBe(0)
    for (const text of ['', '\n', '0\n', '::\n', 'a:b', '0::', '0::noslash\n', '1:cpu:x:y\n']) expect(system({ [groups]: text })).toBe(0)
    expect(system({ [groups]: '0::/\n', [`${at}/cpu.max`]: 'x y\n' })).toBe(0)
    expect(system({ [groups]: '0::/\n', [`${at}/cpu.max`]: '100000 0\n' })).toBe(0)
    expect(addon.processorQuota('')).toBeGreaterThanOrEqual(0)
  })

  const taskset = linux && spawnSync('taskset', ['--version']).status === 0
  const allowed = linux ? /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] : undefined

  test.skipIf(!taskset)(`the affinity mask counts, and WENGERT_THREADS is cut${unless(taskset, 'needs taskset')}`, () => {
    const one = 'print([addon.threads(), addon.describe().processors])'
    expect(child(one, { processors: allowed, env: { WENGERT_THREADS: '8' } })).toEqual([1, 1])
  })

  test('WENGERT_THREADS sets the start', () => {
    expect(child('print(addon.threads())', { env: { WENGERT_THREADS: '1' } })).toBe(1)
    expect(child('print(addon.threads())', { env: { WENGERT_THREADS: 'many' } })).toBe(addon.describe().processors)
  })

  test.skipIf(!two)(`small work starts no worker, large work as many as it may use${unless(two, 'needs two processors of Linux')}`, () => {
    const body = `
      addon.setThreads(2)
      await new Training(small).start(1000).done
      const none = threads('wengert-pool').length
      await new Training(large).start(20).done
      const one = threads('wengert-pool').length
      addon.setThreads(1)
      const trimmed = threads('wengert-pool').length
      await new Training(large).start(20).done
      const alone = threads('wengert-pool').length
      addon.setThreads(2)
      await new Training(large).start(20).done
      print([none, one, trimmed, alone, threads('wengert-pool').length])`
    expect(child(body)).toEqual([0, 1, 0, 0, 1])
  })

  test.skipIf(!two)(`many trainings at once have one pool of processors − 1 workers${unless(two, 'needs two processors of Linux')}`, () => {
    const body = `
      addon.setThreads(100000)
      const all = Array.from({ length: 6 }, () => new Training(large).start(1e9))
      let most = 0
      for (let i = 0; i < 20; i++) {
        for (const one of all) await one.more(1)
        most = Math.max(most, threads('wengert-pool').length)
      }
      const trainings = threads('wengert-train').length
      for (const one of all) await one.end()
      print([most < addon.describe().processors, trainings])`
    expect(child(body)).toEqual([true, 6])
  })

  // On two processors exactly: alone a training has the worker's help, a second one takes its processor.
  const pair = linux
    ? spawnSync('taskset', ['-cp', String(process.pid)], { encoding: 'utf8' })
        .stdout?.match(/\d+/g)
        ?.slice(1)
    : undefined
  test.skipIf(!two || !taskset)(
    `two trainings at once share two processors${unless(two && taskset, 'needs taskset and two processors')}`,
    () => {
      const body = `
      const ticks = () => threads('wengert-pool').reduce((sum, one) => sum + one, 0)
      const first = new Training(large).start(1e12)
      await until(() => ticks() >= 5)
      const second = new Training(large).start(1e12)
      await Promise.all([first.more(2), second.more(2)])
      const before = ticks()
      await Promise.all([first.more(200), second.more(200)])
      const during = ticks() - before
      await second.end()
      const from = ticks()
      await until(() => ticks() >= from + 5)
      await first.end()
      print(during)`
      const last = pair?.at(-1) as string
      expect(child(body, { processors: `${allowed},${last}` })).toBeLessThanOrEqual(1)
    },
  )

  test("libuv's pool is left alone: its only thread serves files, names and keys while trainings run", () => {
    const body = `
      const all = [new Training(large).start(1e12), new Training(large).start(1e12)]
      await Promise.all(all.map((one) => one.more(1)))
      const { readFile } = require('node:fs/promises')
      const { lookup } = require('node:dns/promises')
      const { promisify } = require('node:util')
      const pbkdf2 = promisify(require('node:crypto').pbkdf2)
      for (let i = 0; i < 5; i++) await Promise.all([readFile(file), lookup('localhost').catch(() => {}), pbkdf2('a', 'b', 1000, 32, 'sha256')])
      await Promise.all(all.map((one) => one.more(1)))
      const results = await Promise.all(all.map((one) => one.end()))
      print(results.map((result) => result.status))`
    expect(child(body, { env: { UV_THREADPOOL_SIZE: '1' } })).toEqual(['cancelled', 'cancelled'])
  })
})
