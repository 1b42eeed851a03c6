/**
 * Schedules, as `optim.schedules.*`: the learning rate of each update as a function of the progress and of the optimiser's
 * own rate α. Times are counted in epochs or in updates from 0, over the trainer's life. Any function of the same kind
 * is a schedule: `({ epoch, update }, rate) => rate / (1 + epoch)`.
 */

import { WengertError } from '../errors.js'
import { checkChoice, checkNumber, checkOptions } from '../util/options.js'
import type { Progress, Schedule } from './optimizer.js'

/** What a schedule counts time in. */
export type TimeUnit = 'epoch' | 'update'

interface Timed {
  /** The unit of time: 'epoch' by default (the first update of an epoch already has its rate). */
  per?: TimeUnit | undefined
}

function clock(where: string, options: Timed, otherwise: TimeUnit = 'epoch'): (progress: Progress) => number {
  const unit = checkChoice(where, 'per', options.per ?? otherwise, ['epoch', 'update'] as const)
  return (progress) => progress[unit]
}

/** α throughout. */
export function constant(): Schedule {
  return (_progress, rate) => rate
}

/**
 * α γ^⌊t/every⌋: times `factor` (γ, 0.1 by default) after every so many units of time.
 *
 * @example optim.schedules.step({ every: 30 })
 */
export function step(options: { every: number; factor?: number | undefined } & Timed): Schedule {
  checkOptions('step', options, ['every', 'factor', 'per'])
  const every = checkNumber('step', 'every', options?.every, { integer: true, min: 1 })
  const factor = checkNumber('step', 'factor', options.factor ?? 0.1, { min: 0 })
  const time = clock('step', options)
  return (progress, rate) => rate * factor ** Math.floor(time(progress) / every)
}

/** α γᵗ, γ being `factor` per unit of time. */
export function exponential(options: { factor: number } & Timed): Schedule {
  checkOptions('exponential', options, ['factor', 'per'])
  const factor = checkNumber('exponential', 'factor', options?.factor, { min: 0 })
  const time = clock('exponential', options)
  return (progress, rate) => rate * factor ** time(progress)
}

/** α/(1 + γt), γ being `decay` per unit of time; time is counted in updates by default. */
export function inverseTime(options: { decay: number } & Timed): Schedule {
  checkOptions('inverseTime', options, ['decay', 'per'])
  const decay = checkNumber('inverseTime', 'decay', options?.decay, { min: 0 })
  const time = clock('inverseTime', options, 'update')
  return (progress, rate) => rate / (1 + decay * time(progress))
}

/** Of `cosine`. */
export interface CosineOptions extends Timed {
  /** Units of time from the start to the minimum, warm-up included. */
  total: number
  /** Units of time over which the rate rises evenly, from α/(warmup + 1); 0 by default. */
  warmup?: number | undefined
  /** The rate at the end, and after it; 0 by default. */
  minimum?: number | undefined
}

/**
 * Half a cosine from α to `minimum`: min + (α − min)(1 + cos(πs))/2, s being the share of the time after the warm-up that
 * has passed; during the warm-up α(t + 1)/(warmup + 1).
 *
 * @example optim.schedules.cosine({ total: 100, warmup: 5 })
 */
export function cosine(options: CosineOptions): Schedule {
  checkOptions('cosine', options, ['total', 'warmup', 'minimum', 'per'])
  const total = checkNumber('cosine', 'total', options?.total, { integer: true, min: 1 })
  const warmup = checkNumber('cosine', 'warmup', options.warmup ?? 0, { integer: true, min: 0, max: total - 1 })
  const minimum = checkNumber('cosine', 'minimum', options.minimum ?? 0, { min: 0 })
  const time = clock('cosine', options)
  return (progress, rate) => {
    const t = time(progress)
    return t < warmup ? (rate * (t + 1)) / (warmup + 1) : between(rate, minimum, Math.min(1, (t - warmup) / (total - warmup)))
  }
}

/** Half a cosine from `from` to `to`. */
const between = (from: number, to: number, share: number): number => to + ((from - to) * (1 + Math.cos(Math.PI * share))) / 2

/** Of `oneCycle`. */
export interface OneCycleOptions extends Timed {
  /** Units of time of the cycle; time is counted in updates by default. */
  total: number
  /** The share of them during which the rate rises; 0.3 by default. */
  rise?: number | undefined
  /** The rate starts from α/startFactor; 25 by default. */
  startFactor?: number | undefined
  /** And ends at α/(startFactor · endFactor); 10,000 by default. */
  endFactor?: number | undefined
}

/** One cycle: half a cosine up to α, the largest rate, then half a cosine down to nearly 0 (PyTorch's OneCycleLR). */
export function oneCycle(options: OneCycleOptions): Schedule {
  checkOptions('oneCycle', options, ['total', 'rise', 'startFactor', 'endFactor', 'per'])
  const total = checkNumber('oneCycle', 'total', options?.total, { integer: true, min: 2 })
  const rise = checkNumber('oneCycle', 'rise', options.rise ?? 0.3, { min: 0, max: 1 })
  const startFactor = checkNumber('oneCycle', 'startFactor', options.startFactor ?? 25, { min: 0, exclusive: true })
  const endFactor = checkNumber('oneCycle', 'endFactor', options.endFactor ?? 1e4, { min: 0, exclusive: true })
  const time = clock('oneCycle', options, 'update')
  const top = rise * total - 1
  return (progress, rate) => {
    const t = Math.min(time(progress), total - 1)
    const start = rate / startFactor
    return t <= top ? between(start, rate, top <= 0 ? 1 : t / top) : between(rate, start / endFactor, (t - top) / (total - 1 - top))
  }
}

/** Of `plateau`. */
export interface PlateauOptions {
  /** What the rate is multiplied by; in (0, 1); 0.1 by default. */
  factor?: number | undefined
  /** Epochs without improvement that are waited for; 10 by default. */
  patience?: number | undefined
  /** The relative improvement that counts; 1e−4 by default. */
  threshold?: number | undefined
  /** Epochs after a reduction during which nothing is counted; 0 by default. */
  cooldown?: number | undefined
  /** The smallest rate; 0 by default. */
  minimum?: number | undefined
}

/**
 * α times `factor` whenever the validation cost (the cost, where there is none) has not improved for more than `patience`
 * epochs. It remembers, so that one schedule serves one trainer; trainers feed it after every epoch, each epoch then
 * being one crossing.
 *
 * @throws ERR_RANGE
 */
export function plateau(options: PlateauOptions = {}): Schedule & Required<Pick<Schedule, 'observe' | 'state' | 'restore'>> {
  checkOptions('plateau', options, ['factor', 'patience', 'threshold', 'cooldown', 'minimum'])
  const factor = checkNumber('plateau', 'factor', options.factor ?? 0.1, { min: 0, max: 1, exclusive: true })
  const patience = checkNumber('plateau', 'patience', options.patience ?? 10, { integer: true, min: 0 })
  const threshold = checkNumber('plateau', 'threshold', options.threshold ?? 1e-4, { min: 0, max: 1 })
  const cooldown = checkNumber('plateau', 'cooldown', options.cooldown ?? 0, { integer: true, min: 0 })
  const minimum = checkNumber('plateau', 'minimum', options.minimum ?? 0, { min: 0 })
  // JSON has no Infinity: before the first epoch there is no best.
  const now: { best?: number; bad: number; wait: number; reductions: number } = { bad: 0, wait: 0, reductions: 0 }
  const schedule = (_progress: Progress, rate: number) => Math.min(rate, Math.max(rate * factor ** now.reductions, minimum))
  return Object.assign(schedule, {
    observe: (cost: number) => {
      const better = now.best === undefined || cost < now.best - threshold * Math.abs(now.best)
      if (better) now.best = cost
      now.bad = better ? 0 : now.bad + 1
      if (now.wait > 0) {
        now.wait--
        now.bad = 0
      }
      if (now.bad > patience) {
        now.reductions++
        now.wait = cooldown
        now.bad = 0
      }
    },
    state: () => ({ ...now }),
    restore: (state: Record<string, number>) => {
      const { best, bad = 0, wait = 0, reductions = 0 } = state
      const counts = [bad, wait, reductions]
      if (!counts.every((n) => Number.isInteger(n) && n >= 0) || (best !== undefined && typeof best !== 'number'))
        throw new WengertError('ERR_STATE', 'plateau: this state is not one that plateau gave', { actual: state })
      delete now.best
      Object.assign(now, { bad, wait, reductions }, best === undefined ? {} : { best })
    },
  })
}
