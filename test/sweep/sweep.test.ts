import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { nn } from '../../lib/index.js'
import { squaredError } from '../../lib/nn/loss.js'
import { drawn, type SweepContext } from '../../lib/sweep/space.js'
import { sweep } from '../../lib/sweep/sweep.js'
import { Random } from '../../lib/tensor/random.js'
import { MBSGD } from '../../lib/train/trainers.js'

const space = { learningRate: { min: 1e-3, max: 1, log: true }, hidden: [4, 8], layers: { min: 1, max: 3, integer: true } } as const
const bowl = ({ learningRate }: { learningRate: number }) => (Math.log10(learningRate) + 1.5) ** 2

describe('sweep', () => {
  test('the same seed tries the same settings, within their ranges', async () => {
    const [a, b, other] = [
      await sweep(space, bowl, { trials: 40, seed: 3 }),
      await sweep(space, bowl, { trials: 40, seed: 3, workers: 1 }),
      await sweep(space, bowl, { trials: 40, seed: 4 }),
    ]
    const of = ({ trials }: typeof a) => trials.map(({ trial, config, cost }) => [trial, config, cost])
    expect(of(a)).toEqual(of(b))
    expect(of(a)).not.toEqual(of(other))
    for (const { config } of a.trials) {
      expect(config.learningRate).toBeGreaterThanOrEqual(1e-3)
      expect(config.learningRate).toBeLessThanOrEqual(1)
      expect([4, 8]).toContain(config.hidden)
      expect([1, 2, 3]).toContain(config.layers)
    }
    // Half of the draws of a logarithmic range lie below its geometric mean.
    const below = Array.from({ length: 400 }, (_, i) => drawn(space, 1, i).learningRate).filter((rate) => rate < 10 ** -1.5).length
    expect(Math.abs(below - 200)).toBeLessThan(60)
    expect(a.best?.cost).toBe(Math.min(...a.trials.map(({ cost }) => cost)))
  })

  test('halving gives the best of each round more, and all of it from the beginning', async () => {
    const given: SweepContext[] = []
    const train = (config: { learningRate: number }, context: SweepContext) => {
      given.push(context)
      return { cost: bowl(config) / context.budget, epochs: context.budget }
    }
    const result = await sweep(space, train, { trials: 18, seed: 1, halving: { min: 3, max: 27, factor: 3 } })
    const count = (budget: number) => given.filter((one) => one.budget === budget).length
    expect([count(3), count(9), count(27)]).toEqual([18, 6, 2])
    expect(result.trials.map(({ budget }) => budget)).toEqual([27, 27, 9, 9, 9, 9, ...new Array(12).fill(3)])
    expect(result.best?.numbers.epochs).toBe(27)
  })

  test('a failed trial is a row, last', async () => {
    const train = ({ hidden, learningRate }: { hidden: number; learningRate: number }) => {
      if (hidden === 4) throw new RangeError('too small')
      return bowl({ learningRate })
    }
    const { trials, best } = await sweep(space, train, { trials: 12, seed: 1 })
    expect(trials.length).toBe(12)
    const failed = trials.filter(({ error }) => error !== undefined)
    expect(failed.length).toBeGreaterThan(0)
    expect(failed[0]?.error).toBe('RangeError: too small')
    expect(trials.slice(-failed.length)).toEqual(failed)
    expect(best?.config.hidden).toBe(8)
    const none = await sweep(space, () => NaN, { trials: 2, seed: 1 })
    expect(none.best).toBeUndefined()
    expect(none.trials[0]?.error).toContain('a trial gives its cost')
  })

  test('trainings of a trial run beside each other, and give what they give alone', async () => {
    const rng = new Random(1)
    const [x, y] = [rng.normal([64, 3]), rng.normal([64, 1])]
    const train = async ({ hidden, learningRate }: { hidden: number; learningRate: number }, { seed, budget }: SweepContext) => {
      const own = new Random(seed)
      const model = new nn.Sequential(new nn.Linear(3, hidden, { rng: own }), new nn.Tanh(), new nn.Linear(hidden, 1, { rng: own }))
      const trainer = new MBSGD(model, { loss: squaredError, batchSize: 16, learningRate: learningRate / 10 })
      return (await trainer.fit({ x, y }, { epochs: budget, seed })).last?.cost as number
    }
    const options = { trials: 6, seed: 2, halving: { min: 2, max: 4, factor: 2 } }
    const [many, one] = [await sweep(space, train, { ...options, workers: 4 }), await sweep(space, train, { ...options, workers: 1 })]
    expect(many.trials.map(({ cost }) => cost)).toEqual(one.trials.map(({ cost }) => cost))
    const folder = mkdtempSync(join(tmpdir(), 'wengert-sweep-'))
    try {
      await many.page(join(folder, 'sweep.html'))
      expect(readFileSync(join(folder, 'sweep.html'), 'utf8')).toContain('<td>')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
    expect(String(many).split('\n').length).toBe(7)
  })

  const pool = (() => {
    try {
      return createRequire(import.meta.url).resolve('tinypool') !== ''
    } catch {
      return false
    }
  })()

  test.skipIf(!pool)(`a module is tried on worker threads${pool ? '' : ', skipped: tinypool is not installed; run npm ci'}`, async () => {
    const { sweep: built } = (await import('../../dist/lib/index.js' as string)) as { sweep: typeof sweep }
    const result = await built(space, new URL('./training.mjs', import.meta.url), { trials: 4, seed: 1, workers: 2 })
    expect(result.trials.map(({ error }) => error)).toEqual([undefined, undefined, undefined, undefined])
    expect(result.trials.every(({ numbers }) => (numbers.thread as number) > 0)).toBe(true)
    expect(result.best?.cost).toBeGreaterThan(0)
  })

  test('an abort ends it', async () => {
    const stop = new AbortController()
    const train = (_: unknown, { trial }: SweepContext) => {
      if (trial === 2) stop.abort(new Error('enough'))
      return 1
    }
    await expect(sweep(space, train, { trials: 50, seed: 1, workers: 1, signal: stop.signal })).rejects.toThrow('enough')
  })

  test.each([
    [{}, { trials: 1 }, 'a space of settings'],
    [{ rate: [] }, { trials: 1 }, 'nothing to choose from'],
    [{ rate: { min: 0, max: 1, log: true } }, { trials: 1 }, 'rate'],
    [{ rate: { min: 2, max: 1 } }, { trials: 1 }, 'max'],
    [{ rate: { low: 2 } }, { trials: 1 }, "unknown option 'low'"],
    [space, { trials: 0 }, 'trials'],
    [space, { trials: 1, worker: 2 }, "did you mean 'workers'?"],
    [space, { trials: 1, halving: { min: 3, max: 1 } }, 'max'],
  ])('refuses %j, %j', async (given, options, says) => {
    await expect(sweep(given as never, () => 0, options as never)).rejects.toThrow(says)
  })
})
