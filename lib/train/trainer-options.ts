/** What a trainer is told, and what of it is refused. */

import { WengertError } from '../errors.js'
import type { Loss } from '../nn/loss.js'
import * as losses from '../nn/loss.js'
import { Module } from '../nn/module.js'
import { gradientDescent } from '../optim/gradient-descent.js'
import { checkOptimizer, type Optimizer, type Schedule } from '../optim/optimizer.js'
import { checkNumber, checkOptions, describe, nearest } from '../util/options.js'
import type { Recipe } from './training.js'

/** What every trainer is told. */
export interface TrainerOptions {
  /**
   * (prediction, target, { reduction: 'none' }) → one value a sample (trailing axes are averaged). The cost of a batch is their
   * mean, with weights of samples or classes Σ wᵢ Lᵢ / Σ wᵢ.
   */
  loss: Loss
  /** α, per update, for plain gradient descent; or give `optimizer`. */
  learningRate?: number | undefined
  optimizer?: Optimizer | undefined
  /** The learning rate of each update, from the progress and the optimiser's own. */
  schedule?: Schedule | undefined
  /** Largest norm of an update's gradient over all parameters, > 0: a longer one is scaled down to it. */
  clipNorm?: number | undefined
  /** Largest absolute value of a gradient's element, > 0: applied before `clipNorm`. */
  clipValue?: number | undefined
  /**
   * Refuses (ERR_DATA) inputs of `step` and `fitStream` that lie farther than so many deviations from what was seen, > 0: from the
   * 30th sample on, a feature x with |x − mean| > maxDeviation · max(σ, s), s the root mean square of all features. The first fit's
   * data count as seen, and so does what was learnt from. Nothing is refused by default; 20 is far outside.
   */
  maxDeviation?: number | undefined
}

/**
 * What a trainer is made of.
 *
 * @param where the trainer's name
 * @param extra the options that it alone has
 * @throws ERR_VALUE for what is no module; ERR_OPTION, ERR_RANGE
 */
export function checkTrainer(
  where: string,
  model: Module,
  options: TrainerOptions,
  extra: readonly string[],
): Recipe & { readonly maxDeviation: number | undefined } {
  if (!(model instanceof Module))
    throw new WengertError('ERR_VALUE', `${where}: expected a Module, got ${describe(model)}`, { actual: model })
  if (where !== 'MBSGD' && typeof options === 'object' && options !== null && 'bucketByLength' in options) {
    const instead = where === 'SGD' ? 'MBSGD with batchSize: 1 makes the same updates' : 'one update sees all samples, of all lengths'
    throw new WengertError('ERR_OPTION', `${where}: bucketByLength is an option of MBSGD; ${instead}`)
  }
  checkOptions(where, options ?? {}, ['loss', 'learningRate', 'optimizer', 'schedule', 'clipNorm', 'clipValue', 'maxDeviation', ...extra])
  const { loss, learningRate, optimizer, schedule } = options ?? {}
  if (typeof loss !== 'function') {
    const named =
      typeof loss === 'string' ? `; the library's are functions, such as loss.${nearest(loss, Object.keys(losses)) ?? 'squaredError'}` : ''
    throw new WengertError('ERR_OPTION', `${where}: expected a loss function, got ${describe(loss)}${named}`, { actual: loss })
  }
  if ((learningRate === undefined) === (optimizer === undefined)) {
    throw new WengertError('ERR_OPTION', `${where}: give either learningRate or optimizer, not ${optimizer ? 'both' : 'neither'}`)
  }
  if (schedule !== undefined && typeof schedule !== 'function') {
    throw new WengertError('ERR_OPTION', `${where}: expected schedule to be a function, got ${describe(schedule)}`, { actual: schedule })
  }
  const bound = (name: 'learningRate' | 'clipNorm' | 'clipValue' | 'maxDeviation') =>
    checkNumber(where, name, options[name], { min: 0, exclusive: true })
  return {
    model,
    loss,
    optimizer: optimizer === undefined ? gradientDescent({ learningRate: bound('learningRate') }) : checkOptimizer(where, optimizer),
    schedule,
    clip: {
      ...(options.clipNorm === undefined ? {} : { norm: bound('clipNorm') }),
      ...(options.clipValue === undefined ? {} : { value: bound('clipValue') }),
    },
    maxDeviation: options.maxDeviation === undefined ? undefined : bound('maxDeviation'),
  }
}
