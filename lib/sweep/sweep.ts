/**
 * Many small trainings instead of one large one: independent trials, spread over the ranks of a world, over worker threads, or
 * within this thread, whose trainings run beside it anyway. A trial that fails is a row of the result.
 */

import { aloneIn, exchangeTexts, nameOf, world } from '../distributed/world.js'
import { WengertError } from '../errors.js'
import { nextSeed } from '../tensor/random.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { SweepResult, type SweepTrial } from './result.js'
import { checkSpace, drawn, type SweepConfig, type SweepContext, type SweepSpace, type SweepTrain } from './space.js'

/** Of `sweep`. */
export interface SweepOptions {
  /** How many settings are tried, >= 1. */
  trials: number
  /** Of the settings and of the trials' own seeds; the same seed tries the same. */
  seed?: number | undefined
  /** Trials at a time on this process, >= 1; as many as processors by default, and one for each of several ranks. */
  workers?: number | undefined
  /**
   * Successive halving: all trials are given `min`; the best 1/`factor` of them go on to a budget `factor` times as large, from the
   * beginning, until `max`. `factor` >= 2, 3 by default.
   */
  halving?: { min: number; max: number; factor?: number | undefined } | undefined
  /** Ends the sweep: no further trial begins, and the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined
}

/** The budgets of a sweep's rounds. */
function budgetsOf(halving: SweepOptions['halving']): { budgets: number[]; factor: number } {
  if (halving === undefined) return { budgets: [1], factor: 1 }
  const where = 'sweep: halving'
  checkOptions(where, halving, ['min', 'max', 'factor'])
  const factor = checkNumber(where, 'factor', halving.factor ?? 3, { min: 2 })
  const min = checkNumber(where, 'min', halving.min, { min: 0, exclusive: true })
  const max = checkNumber(where, 'max', halving.max, { min })
  const budgets = [max]
  // Counted from the largest, which is always given.
  for (let b = max / factor; b >= min; b /= factor) budgets.unshift(Math.max(min, Math.round(b)))
  return { budgets, factor }
}

/** Each task, so many at a time, in this thread. */
async function pooled<T, R>(tasks: readonly T[], workers: number, run: (task: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(tasks.length)
  let next = 0
  const line = async () => {
    while (next < tasks.length) {
      const at = next++
      results[at] = await run(tasks[at] as T)
    }
  }
  await Promise.all(Array.from({ length: Math.min(workers, tasks.length) }, line))
  return results
}

interface Pool {
  run(task: unknown): Promise<unknown>
  destroy(): Promise<void>
}

/** A module whose default export is the training, on threads of its own. */
async function threads(file: string, workers: number): Promise<Pool> {
  // Fetched when used, as a value alone.
  const { Tinypool } = (await import('tinypool' as string)) as { Tinypool: new (options: object) => Pool }
  return new Tinypool({
    filename: new URL('./worker.js', import.meta.url).href,
    minThreads: workers,
    maxThreads: workers,
    workerData: { file },
  })
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? `${(error as { code?: string }).code ?? error.name}: ${error.message}` : String(error)

/** Errors: ERR_VALUE for what is no outcome. */
function checkOutcome(outcome: unknown): { cost: number; numbers: Record<string, number> } {
  const all = typeof outcome === 'number' ? { cost: outcome } : ((outcome ?? {}) as Record<string, unknown>)
  const { cost, ...rest } = all
  if (typeof cost !== 'number' || Number.isNaN(cost))
    throw new WengertError('ERR_VALUE', `sweep: a trial gives its cost, alone or as { cost }, not ${describe(outcome)}`, {
      actual: outcome,
    })
  return {
    cost,
    numbers: Object.fromEntries(Object.entries(rest).filter((entry): entry is [string, number] => typeof entry[1] === 'number')),
  }
}

/** The lowest cost first; failures last. */
const byCost = (a: { cost: number }, b: { cost: number }): number =>
  Number.isNaN(a.cost) || Number.isNaN(b.cost) ? Number(Number.isNaN(a.cost)) - Number(Number.isNaN(b.cost)) : a.cost - b.cost

/**
 * Tries settings: each trial draws its own from `space` and trains by itself. Under a launcher, after `distributed.init()`, the
 * trials are spread over the ranks and all of them get the result; trainings within a trial are then of their rank alone.
 * Otherwise `train` runs `workers` at a time: a function in this thread, beside which native trainings run; or a module, by
 * its URL or path, whose default export is the function, on a pool of worker threads.
 *
 * @param space settings by name: lists to choose from, or ranges { min, max, log?, integer? }
 * @param train (settings, { trial, budget, seed }) → the cost, or { cost, ... } with other numbers
 * @throws (rejects) ERR_VALUE, ERR_OPTION, ERR_RANGE; the signal's reason; what a trial throws is its row's `error`
 * @example
 * const result = await sweep({ learningRate: { min: 1e-4, max: 1, log: true }, hidden: [16, 64] }, train, { trials: 32, seed: 1, halving: { min: 3, max: 27 } })
 * console.log(String(result), result.best?.config)
 */
export async function sweep<const Space extends SweepSpace>(
  space: Space,
  train: SweepTrain<SweepConfig<Space>> | URL | string,
  options: SweepOptions,
): Promise<SweepResult<SweepConfig<Space>>> {
  type Config = SweepConfig<Space>
  checkSpace(space)
  checkOptions('sweep', options ?? {}, ['trials', 'seed', 'workers', 'halving', 'signal'])
  const trials = checkNumber('sweep', 'trials', options?.trials, { integer: true, min: 1 })
  if (typeof train !== 'function' && typeof train !== 'string' && !(train instanceof URL))
    throw new WengertError('ERR_VALUE', `sweep: expected a function that trains, or a module's path, got ${describe(train)}`, {
      actual: train,
    })
  const { rank, size } = world()
  const processors = process.getBuiltinModule('node:os').availableParallelism()
  const workers = checkNumber('sweep', 'workers', options.workers ?? (size > 1 ? 1 : processors), { integer: true, min: 1 })
  const { budgets, factor } = budgetsOf(options.halving)
  const { signal } = options
  const own =
    options.seed === undefined
      ? nextSeed()
      : checkNumber('sweep', 'seed', options.seed, { integer: true, min: 0, max: Number.MAX_SAFE_INTEGER })
  const seed = size > 1 ? (JSON.parse((await exchangeTexts('control', JSON.stringify(own)))[0] as string) as number) : own
  signal?.throwIfAborted()

  const file = typeof train === 'function' ? undefined : moduleOf(train)
  const pool = file === undefined ? undefined : await threads(file, workers)
  const attempt = async (trial: number, budget: number): Promise<SweepTrial<Config>> => {
    const config = drawn(space, seed, trial)
    const context: SweepContext = { trial, budget, seed: (seed + trial) % Number.MAX_SAFE_INTEGER }
    const started = performance.now()
    const row = { trial, config, budget, rank }
    const seconds = () => (performance.now() - started) / 1000
    try {
      const outcome = await (pool ? pool.run({ config, context }) : (train as SweepTrain<Config>)(config, context))
      return { ...row, ...checkOutcome(outcome), seconds: seconds() }
    } catch (error) {
      return { ...row, cost: NaN, numbers: {}, seconds: seconds(), error: messageOf(error) }
    }
  }
  const last = new Map<number, SweepTrial<Config>>()
  let going = Array.from({ length: trials }, (_, trial) => trial)
  try {
    for (const [round, budget] of budgets.entries()) {
      const mine = going.filter((_, i) => i % size === rank)
      const made = await aloneIn(() => pooled(mine, workers, async (trial) => (signal?.aborted ? undefined : attempt(trial, budget))))
      const rows = made.filter((row) => row !== undefined)
      const all = size > 1 ? await gathered(rows, signal) : rows
      signal?.throwIfAborted()
      // NaN is nothing that JSON knows.
      for (const one of all) last.set(one.trial, { ...one, cost: one.cost ?? NaN })
      const ranked = going.map((trial) => last.get(trial) as SweepTrial<Config>).filter(({ error }) => error === undefined)
      if (round < budgets.length - 1)
        going = ranked
          .sort(byCost)
          .slice(0, Math.max(1, Math.ceil(going.length / factor)))
          .map(({ trial }) => trial)
    }
  } finally {
    await pool?.destroy()
  }
  const failed = (one: SweepTrial<Config>) => Number(one.error !== undefined)
  const sorted = [...last.values()].sort((a, b) => failed(a) - failed(b) || b.budget - a.budget || byCost(a, b) || a.trial - b.trial)
  return new SweepResult(sorted, seed)
}

/** The rows of all ranks. Errors: the signal's reason, or ERR_CANCELLED with another rank's. */
async function gathered<Config>(rows: readonly SweepTrial<Config>[], signal: AbortSignal | undefined): Promise<SweepTrial<Config>[]> {
  const own = { rows, ...(signal?.aborted && { aborted: messageOf(signal.reason) }) }
  const all = (await exchangeTexts('control', JSON.stringify(own))).map(
    (text) => JSON.parse(text) as { rows: SweepTrial<Config>[]; aborted?: string },
  )
  signal?.throwIfAborted()
  const ended = all.findIndex(({ aborted }) => aborted !== undefined)
  if (ended >= 0) throw new WengertError('ERR_CANCELLED', `sweep: ${nameOf(ended)} aborted it: ${all[ended]?.aborted}`, { actual: ended })
  return all.flatMap((one) => one.rows)
}

function moduleOf(train: URL | string): string {
  const { pathToFileURL } = process.getBuiltinModule('node:url')
  return train instanceof URL ? train.href : train.startsWith('file:') ? train : pathToFileURL(train).href
}
