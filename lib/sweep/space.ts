/** What a sweep tries: a value of each setting for each trial, drawn from the seed and the trial's number alone. */

import { WengertError } from '../errors.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { purposes, Stream } from '../util/random.js'

/** A range of numbers: uniform in min … max, with `log` in its logarithm, with `integer` over the integers. */
export interface SweepRange {
  min: number
  max: number
  log?: boolean | undefined
  integer?: boolean | undefined
}

/** The settings by name: a list of choices, or a range. */
export type SweepSpace = Readonly<Record<string, readonly unknown[] | SweepRange>>

/** One trial's settings: a choice has the type of its list's elements, a range gives a number. */
export type SweepConfig<Space extends SweepSpace> = {
  readonly [Name in keyof Space]: Space[Name] extends readonly (infer Choice)[] ? Choice : number
}

/** Errors: ERR_VALUE, ERR_OPTION, ERR_RANGE. */
export function checkSpace(space: unknown): asserts space is SweepSpace {
  if (typeof space !== 'object' || space === null || Array.isArray(space) || Object.keys(space).length === 0)
    throw new WengertError('ERR_VALUE', `sweep: expected a space of settings by name, got ${describe(space)}`, { actual: space })
  for (const [name, one] of Object.entries(space)) {
    const where = `sweep: ${name}`
    if (Array.isArray(one)) {
      if (one.length === 0) throw new WengertError('ERR_VALUE', `${where}: there is nothing to choose from`)
      continue
    }
    checkOptions(where, one, ['min', 'max', 'log', 'integer'])
    const { min, max, log = false, integer = false } = (one ?? {}) as SweepRange
    checkNumber(where, 'min', min, { integer, ...(log && { min: 0, exclusive: true }) })
    checkNumber(where, 'max', max, { integer, min })
  }
}

/** The settings of a trial. */
export function drawn<Space extends SweepSpace>(space: Space, seed: number, trial: number): SweepConfig<Space> {
  const stream = new Stream({ seed, purpose: purposes.sweep, a: trial, b: 0 })
  return Object.fromEntries(
    Object.entries(space).map(([name, one]) => {
      const u = stream.uniform()
      if (Array.isArray(one)) return [name, one[Math.floor(u * one.length)]]
      const { min, max, log = false, integer = false } = one as SweepRange
      const room = integer ? 1 : 0
      const value = log ? min * ((max + room) / min) ** u : min + (max + room - min) * u
      return [name, integer ? Math.min(max, Math.floor(value)) : value]
    }),
  ) as SweepConfig<Space>
}

/** What a trial is told besides its settings. */
export interface SweepContext {
  readonly trial: number
  /** How much it may do, in the unit of `halving`, such as epochs; 1 without. */
  readonly budget: number
  /** Of this trial alone, the same at every budget. */
  readonly seed: number
}

/** What a trial gives: what is to be small, alone or as `cost` beside other numbers. */
export type SweepOutcome = number | ({ readonly cost: number } & Readonly<Record<string, number>>)

/** Trains with some settings. */
export type SweepTrain<Config> = (config: Config, context: SweepContext) => SweepOutcome | Promise<SweepOutcome>
