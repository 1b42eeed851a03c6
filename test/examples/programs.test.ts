/** The examples run as a user would run them, and their figures are what they claim. */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { backend } from '../../lib/index.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'wengert-examples-'))
afterAll(() => rmSync(folder, { recursive: true }))

const engines = backend().name === 'native' ? (['native', 'js'] as const) : (['js'] as const)
if (engines.length === 1) console.warn(`skipped: the examples on the native engine: ${backend().reason}`)

/** Runs a compiled example from elsewhere: its data are found from the package, not from the working directory. */
function run(name: string, args: readonly string[], engine: string) {
  const program = join(root, 'dist', 'examples', `${name}.js`)
  expect(existsSync(program), `compiled examples in ${root}dist: run npm test, or node scripts/setup.mjs`).toBe(true)
  return spawnSync(process.execPath, [program, ...args], {
    cwd: folder,
    env: { ...process.env, WENGERT_BACKEND: engine },
    encoding: 'utf8',
  })
}

function json<Result>(name: string, engine: string, args: readonly string[] = []): Result {
  const { status, stdout, stderr } = run(name, ['--json', ...args], engine)
  expect(stderr).toBe('')
  expect(status).toBe(0)
  expect(stdout.trimEnd().split('\n')).toHaveLength(1)
  const result = JSON.parse(stdout) as Result & { engine: string }
  expect(result.engine).toBe(engine)
  return result
}

/** The text that people get, on the engine at hand. */
function text(name: string): string {
  const { status, stdout, stderr } = run(name, [], engines[0])
  expect(stderr).toBe('')
  expect(status).toBe(0)
  return stdout
}

test('online-server: its help, and wrong arguments', () => {
  const asked = run('online-server', ['--help'], 'js')
  expect([asked.status, asked.stderr]).toEqual([0, ''])
  expect(asked.stdout).toMatch(/PORT.*FILE.*\/predict/s)
  for (const args of [['--port'], ['abc'], ['99999'], ['0', 'file', 'more']]) {
    const { status, stdout, stderr } = run('online-server', args, 'js')
    expect([status, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/^online-server: .* --help\n$/)
  }
})

describe.each(engines)('on the %s engine', (engine) => {
  test('kalman-filter: the noise of the track is found', { timeout: 60_000 }, () => {
    const { truth, rows } = json<{
      truth: { motion: number; measurement: number }
      rows: { cost: number; motion: number; measurement: number }[]
    }>('kalman-filter', engine)
    const last = rows.at(-1)
    expect(rows.length).toBeLessThan(15)
    rows.slice(1).forEach(({ cost }, i) => {
      expect(cost).toBeLessThanOrEqual((rows[i]?.cost as number) + 1e-9)
    })
    expect(last?.measurement).toBeGreaterThan(0.8 * truth.measurement)
    expect(last?.measurement).toBeLessThan(1.25 * truth.measurement)
    expect(last?.motion).toBeGreaterThan(0.3 * truth.motion)
    expect(last?.motion).toBeLessThan(3 * truth.motion)
  })

  test('xor: the truth table', () => {
    const { rows, cost } = json<{ cost: number; rows: { a: number; b: number; probability: number; answer: number }[] }>('xor', engine)
    expect(rows.map(({ a, b, answer }) => [a, b, answer])).toEqual([
      [0, 0, 0],
      [0, 1, 1],
      [1, 0, 1],
      [1, 1, 0],
    ])
    for (const { answer, probability } of rows) expect(Math.abs(probability - answer)).toBeLessThan(0.01)
    expect(cost).toBeLessThan(0.01)
  })

  test('iris: a model from a table, and a flower by name', () => {
    const path = join(folder, `${engine}.model`)
    const result = json<{
      samples: number[]
      epochs: number
      bestEpoch: number
      stopped: string
      trainAccuracy: number
      testAccuracy: number
      confusion: number[][]
      classes: string[]
      species: string
      probabilities: number[]
    }>('iris', engine, ['--out', path])
    expect(result.samples).toEqual([78, 21, 51])
    expect(result.stopped).toBe('callback')
    expect(result.epochs - result.bestEpoch).toBe(20)
    expect(result.trainAccuracy).toBeGreaterThan(0.97)
    expect(result.testAccuracy).toBeGreaterThan(0.93)
    expect(result.classes).toEqual(['setosa', 'versicolor', 'virginica'])
    // Stratified: as many of each.
    expect(result.confusion.map((row) => row.reduce((a, b) => a + b))).toEqual([17, 17, 17])
    expect(result.species).toBe('versicolor')
    expect(result.probabilities[1]).toBeGreaterThan(0.8)
    expect(existsSync(path)).toBe(true)
  })

  test('diabetes: robust losses win where targets are wrong, and lose nothing where they are right', () => {
    const { results } = json<{ results: { targets: string; loss: string; mae: number; rmse: number; r2: number }[] }>('diabetes', engine)
    const of = (targets: string, loss: string) => {
      const found = results.find((r) => r.targets === targets && r.loss.startsWith(loss))
      expect(found, `${loss}, ${targets}`).toBeDefined()
      return found as (typeof results)[number]
    }
    expect(results).toHaveLength(6)
    for (const loss of ['squared', 'Huber', 'Tukey']) expect(of('clean', loss).r2).toBeGreaterThan(0.5)
    const squared = of('with outliers', 'squared')
    expect(squared.r2).toBeLessThan(0)
    for (const loss of ['Huber', 'Tukey']) {
      const robust = of('with outliers', loss)
      expect(robust.mae).toBeLessThan(squared.mae / 2)
      expect(robust.rmse).toBeLessThan(squared.rmse / 2)
      expect(robust.mae).toBeLessThan(1.1 * of('clean', loss).mae)
      expect(robust.r2).toBeGreaterThan(0.5)
    }
  })

  test('clipped gradients: wrong labels far outside lose their pull', () => {
    const { wrong, samples, results } = json<{
      samples: number
      wrong: number
      results: { most: number | null; accuracy: number; longest: number; cut: number }[]
    }>('clipped-gradients', engine)
    expect([samples, wrong]).toEqual([99, 10])
    const [plain, clipped] = results as [(typeof results)[0], (typeof results)[0]]
    expect([plain.most, clipped.most]).toEqual([null, 1])
    expect(plain.longest).toBeGreaterThan(50)
    expect(plain.cut).toBe(0)
    expect(clipped.cut).toBeCloseTo(0.1, 1)
    expect(plain.accuracy).toBeLessThan(0.5)
    expect(clipped.accuracy).toBeGreaterThan(0.9)
  })

  test('learning rates: what falls comes closer than what is fixed', () => {
    const path = join(folder, `${engine}-rates.svg`)
    const { schedules, least } = json<{ least: number; schedules: { name: string; cost: number; excess: number; learningRate: number }[] }>(
      'learning-rates',
      engine,
      ['--out', path],
    )
    // The normal equations, solved by another program, give this.
    expect(least).toBeCloseTo(0.2411257, 6)
    expect(schedules).toHaveLength(8)
    const [large, small, ...falling] = schedules as [(typeof schedules)[0], (typeof schedules)[0], ...typeof schedules]
    expect(large.learningRate).toBe(0.03)
    for (const { name, excess, cost, learningRate } of falling) {
      expect(excess, name).toBeGreaterThan(0)
      expect(excess, name).toBeLessThan(Math.min(large.excess, small.excess) / 50)
      expect(cost, name).toBeCloseTo(least + excess, 12)
      expect(learningRate, name).toBeLessThan(large.learningRate / 10)
    }
    expect(readFileSync(path, 'utf8')).toMatch(/^<svg [\s\S]*plateau[\s\S]*<\/svg>\n$/)
  })

  test('batch sizes: the variance falls as 1/m′', () => {
    const path = join(folder, `${engine}-sizes.svg`)
    const { samples, epochs, slope, sizes } = json<{
      samples: number
      epochs: number
      slope: number
      sizes: { batchSize: number; variance?: number; expected: number; updates: number; cost: number }[]
    }>('batch-sizes', engine, ['--out', path])
    expect(slope).toBeGreaterThan(-1.15)
    expect(slope).toBeLessThan(-0.85)
    for (const { batchSize, variance, expected, updates } of sizes) {
      expect(updates).toBe(epochs * Math.ceil(samples / batchSize))
      if (batchSize === samples) expect(variance).toBeUndefined()
      else expect((variance as number) / expected, `${batchSize}`).toBeCloseTo(1, 1)
    }
    // At one rate, fewer updates an epoch get less far.
    expect(sizes[sizes.length - 1]?.cost).toBeGreaterThan(5 * (sizes.find((s) => s.batchSize === 32)?.cost as number))
    expect(readFileSync(path, 'utf8')).toContain('measured')
  })

  test('adam-by-hand: the costs of the library’s own Adam, by one program', () => {
    const { cost, twinCost, programs } = json<{ cost: number; twinCost: number; programs: number }>('adam-by-hand', engine)
    expect(cost).toBeLessThan(1e-4)
    expect(Math.abs(cost / twinCost - 1)).toBeLessThan(1e-3)
    expect(programs).toBe(1)
  })

  test('gan: points on both moons', () => {
    const { distance, upper, programs } = json<{ distance: number; upper: number; programs: number }>('gan', engine)
    expect(distance).toBeLessThan(0.1)
    expect(Math.abs(upper - 0.5)).toBeLessThan(0.25)
    expect(programs).toBe(1)
  }, 120_000)

  test('cartpole: the pole stays up', () => {
    const { first, last, programs } = json<{ first: number; last: number; programs: number[] }>('cartpole', engine)
    expect(first).toBeLessThan(60)
    expect(last).toBeGreaterThan(150)
    expect(programs).toEqual([1, 1])
  }, 120_000)

  test('descent: the full batch stays on the saddle, single samples and batches leave it', () => {
    const { ends, figures } = json<{ ends: Record<string, [number, number]>; figures: string[] }>('gradient-descent-figures', engine, [
      '--out',
      join(folder, engine),
    ])
    expect(ends.FBGD?.[1]).toBe(0)
    for (const name of ['SGD', 'MBSGD']) expect(Math.abs(ends[name]?.[1] as number)).toBeGreaterThan(0.5)
    for (const name of figures) expect(readFileSync(join(folder, engine, `${name}.svg`), 'utf8')).toMatch(/^<svg /)
  })
})

describe.each(engines)('convolutions on %s', (engine) => {
  test('digits as images: what a dense network gets wrong too often', { timeout: 180_000 }, () => {
    const path = join(folder, `${engine}-images.html`)
    const { testAccuracy } = json<{ testAccuracy: number }>('digit-images', engine, ['--report', path])
    expect(testAccuracy).toBeGreaterThanOrEqual(0.98)
    const page = readFileSync(path, 'utf8')
    for (const shown of ['Samples', 'Filters of the first layer', 'Wrong answers: ', 'Conv2d 1 → 16']) expect(page).toContain(shown)
  })

  test('hourly-load: forecasts better than the seasonal-naive ones', { timeout: 120_000 }, () => {
    const { model, sameHourYesterday, sameHourLastWeek } = json<Record<'model' | 'sameHourYesterday' | 'sameHourLastWeek', number>>(
      'hourly-load',
      engine,
    )
    expect(model).toBeLessThan(0.7 * Math.min(sameHourYesterday, sameHourLastWeek))
  })

  test('writer: knows more of letters than their frequencies, and writes', { timeout: 180_000 }, () => {
    const { cost, baseline, written } = json<{ cost: number; baseline: number; written: string }>('writer', engine)
    expect(cost).toBeLessThan(0.6 * baseline)
    expect(written).toHaveLength(165)
    expect(written.startsWith('Once ')).toBe(true)
    expect(written).toMatch(/ the | and | he /)
  })

  test('stream-anomalies: each fault is found, and nothing else', { timeout: 120_000 }, () => {
    const { found, falseAlarms } = json<{ found: { score: number; after: number }[]; falseAlarms: number }>('stream-anomalies', engine)
    expect(falseAlarms).toBe(0)
    expect(found).toHaveLength(3)
    for (const { score, after } of found) {
      expect(score).toBeGreaterThan(6)
      expect(after).toBeLessThan(10)
    }
  })

  test('heartbeats: signals along time', { timeout: 120_000 }, () => {
    const { testAccuracy, confusionMatrix } = json<{ testAccuracy: number; confusionMatrix: number[][] }>('heartbeats', engine)
    expect(testAccuracy).toBeGreaterThanOrEqual(0.96)
    expect(confusionMatrix.flat().reduce((a, b) => a + b, 0)).toBe(200)
  })
})

test('digits: the three trainers on one page', () => {
  const path = join(folder, 'digits.html')
  const { status, stdout } = run('digits', ['--json', '--report', path], engines[0])
  expect(status).toBe(0)
  // Watching changes nothing of what is learnt, but for rounding: sums of health need gradients that are otherwise folded away.
  const plain = JSON.parse(run('digits', ['--json'], engines[0]).stdout) as { trainers: { cost: number }[] }
  const watched = JSON.parse(stdout) as typeof plain
  expect(watched.trainers).toHaveLength(3)
  watched.trainers.forEach(({ cost }, i) => {
    expect(Math.abs(cost / (plain.trainers[i]?.cost as number) - 1)).toBeLessThan(1e-3)
  })
  const page = readFileSync(path, 'utf8')
  for (const shown of ['FBGD', 'SGD', 'MBSGD', 'Gradient norm', 'Confusion matrix', '64→32→10']) expect(page).toContain(shown)
  const both = run('digits', ['--seeds', '--report', path], engines[0])
  expect([both.status, both.stdout]).toEqual([2, ''])
})

test('people get tables', () => {
  expect(text('xor')).toMatch(/^0 +1 +1 +0\.99/m)
  expect(text('iris')).toMatch(/is a versicolor \(/)
  expect(text('clipped-gradients')).toMatch(/^1 +9\d\.\d+ % +66\.5/m)
  expect(text('diabetes')).toMatch(/^with outliers +Tukey's bisquare, c = 4\.685 +\d+\.\d +\d+\.\d +0\.5/m)
  expect(text('learning-rates')).toMatch(/^cosine with warm-up +[\d.]+ +0\.24/m)
})

test('a wrong flag is refused with what there is', () => {
  const { status, stdout, stderr } = run('iris', ['--jason'], engines[0])
  expect([status, stdout]).toEqual([2, ''])
  expect(stderr).toBe("iris: Unknown option '--jason'. What there is: node dist/examples/iris.js --help\n")
  expect(run('iris', ['--help'], engines[0]).stdout).toContain('--out')
})

test.each(engines)(
  'churn: the leak is found, and the network is better than chance on later customers (%s)',
  (engine) => {
    const result = json<{ engine: string; leaks: string[]; scores: { rocAuc: number; logLoss: number }; answer: Record<string, unknown> }>(
      'churn',
      engine,
    )
    expect(result.leaks).toEqual(['refund_paid'])
    expect(result.scores.rocAuc).toBeGreaterThan(0.8)
    expect(result.scores.logLoss).toBeLessThan(0.28)
    expect(['yes', 'no']).toContain(result.answer.churned)
  },
  180_000,
)
