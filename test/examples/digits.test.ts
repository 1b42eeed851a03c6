import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import { backend } from '../../lib/index.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const program = fileURLToPath(new URL('../../dist/examples/digits.js', import.meta.url))

interface Trained {
  name: string
  updates: number
  epochs: number
  cost: number
  trainAccuracy: number
  testAccuracy: number
  seconds: number
}

function run(args: string[], env: Record<string, string> = {}) {
  // From elsewhere: the data are found from the package, not from the working directory.
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { ...process.env, CI: '', ...env },
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

interface Compared {
  engine: string
  blas: string | null
  threads: number
  trainers: Trained[]
}
const compared = new Map<string, Compared>()

/** What an engine comes to; run once. */
function json(engine: string): Compared {
  let result = compared.get(engine)
  if (!result) {
    const { status, stdout, stderr } = run(['--json'], { WENGERT_BACKEND: engine })
    expect(stderr).toBe('')
    expect(status).toBe(0)
    expect(stdout.trimEnd().split('\n')).toHaveLength(1)
    result = JSON.parse(stdout) as Compared
    compared.set(engine, result)
  }
  return result
}

const engines = backend().name === 'native' ? (['native', 'js'] as const) : (['js'] as const)
if (engines.length === 1) console.warn(`skipped: digits on the native engine: ${backend().reason}`)

describe('digits', () => {
  beforeAll(() => {
    expect(existsSync(program), `compiled examples in ${root}dist: run npm test, or node scripts/setup.mjs`).toBe(true)
  })

  test.each(engines)('three trainers, one line of JSON: %s', (engine) => {
    const result = json(engine)
    expect(Object.keys(result)).toEqual(['engine', 'blas', 'threads', 'trainers'])
    expect(result.engine).toBe(engine)
    expect(result.trainers.map(({ name }) => name)).toEqual(['FBGD', 'SGD', 'MBSGD'])
    for (const trainer of result.trainers) {
      expect(Object.keys(trainer)).toEqual(['name', 'updates', 'epochs', 'cost', 'trainAccuracy', 'testAccuracy', 'seconds'])
    }
    const [fbgd, sgd, mbsgd] = result.trainers as [Trained, Trained, Trained]
    // 1,438 of 1,797 are left for training: updates an epoch are 1, m and ⌈m/32⌉.
    expect([fbgd, sgd, mbsgd].map(({ updates, epochs }) => updates / epochs)).toEqual([1, 1438, 45])
    expect(mbsgd.testAccuracy).toBeGreaterThanOrEqual(0.96)
    expect(sgd.testAccuracy).toBeGreaterThanOrEqual(0.95)
    expect(fbgd.cost).toBeGreaterThan(mbsgd.cost)
  })

  test.skipIf(engines.length === 1)('both engines come to the same costs', () => {
    const [a, b] = [json('native'), json('js')]
    a.trainers.forEach(({ cost }, i) => {
      expect(Math.abs(cost / (b.trainers[i] as Trained).cost - 1)).toBeLessThan(1e-3)
    })
  })

  test('ten splits, starts and orders', () => {
    const { status, stdout } = run(['--seeds', '--json'])
    expect(status).toBe(0)
    const { seeds, mean, least } = JSON.parse(stdout) as { seeds: { seed: number; testAccuracy: number }[]; mean: number; least: number }
    expect(seeds.map(({ seed }) => seed)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    expect(least).toBe(Math.min(...seeds.map(({ testAccuracy }) => testAccuracy)))
    expect(least).toBeGreaterThanOrEqual(0.94)
    expect(mean).toBeGreaterThanOrEqual(0.965)
  })

  test('people get a table, and few lines of progress where there is no terminal', () => {
    const { status, stdout, stderr } = run([])
    expect(status).toBe(0)
    for (const name of ['FBGD', 'SGD', 'MBSGD'])
      expect(stdout).toMatch(new RegExp(`^${name} +\\d+ +100 +0\\.\\d{5} +[\\d.]+ % +[\\d.]+ % +\\d`, 'm'))
    expect(stdout).toMatch(/^engine: (native|js)·/m)
    expect(stderr.trimEnd().split('\n').length).toBeGreaterThanOrEqual(12)
    expect(stderr.trimEnd().split('\n').length).toBeLessThan(40)
    expect(run([], { CI: 'true' }).stderr).toBe('')
  })

  test.each([
    [['--jason'], "Unknown option '--jason'"],
    [['all'], "Unexpected argument 'all'"],
    [['--json=yes'], "Option '--json' does not take an argument"],
  ])('refuses %j', (args, message) => {
    const { status, stdout, stderr } = run(args)
    expect(status).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toBe(`digits: ${message}. What there is: npm start -- --help\n`)
  })

  test('--help tells the options', () => {
    const { status, stdout } = run(['--help'])
    expect(status).toBe(0)
    for (const option of ['--seeds', '--json', '--help']) expect(stdout).toContain(option)
  })
})
