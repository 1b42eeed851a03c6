/** What `fit` is asked for, checked before anything is changed. */

import type { AnyData } from '../data/dataset.js'
import { WengertError } from '../errors.js'
import type { Module } from '../nn/module.js'
import { nextSeed } from '../tensor/random.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { type Callback, checkCallbacks, type FitOutline } from './callbacks.js'
import { type CheckpointOptions, checkCheckpoint } from './checkpoint-policy.js'
import type { EpochRecord } from './history.js'
import { checkMetrics, isNamed, type MetricSpec } from './metrics.js'
import type { Divergence } from './policies.js'

/** Of `fit` and `epochs`. */
export interface FitOptions<M extends readonly MetricSpec[] = readonly MetricSpec[]> {
  /** How many more epochs to train. */
  epochs: number
  /** Stop when the relative change of the cost stays below this for two epochs running. */
  tolerance?: number | undefined
  /** Samples to evaluate after each epoch. */
  validation?: AnyData | undefined
  /**
   * Of the training samples as they are met (means over samples: accuracy, top3, top5, top(k), mae, mse, rmse), and of the
   * validation set. Those that need all predictions at once (precision, recall, f1, rocAuc, prAuc, logLoss, brier, confusionMatrix, r2, functions)
   * are the validation's alone, and make each epoch one crossing.
   */
  metrics?: M | undefined
  /** Called after each epoch, with the parameters as of that epoch: a synchronisation point, each epoch one crossing. */
  onEpoch?: ((epoch: EpochRecord) => void | Promise<void>) | undefined
  /** Watch the fit and may stop it, such as `earlyStopping`; those with `onEpoch` are synchronisation points as well. */
  callbacks?: readonly Callback[] | undefined
  /** Ends the fit with the running step whole; the promise rejects with the signal's reason. The next fit on the same data goes on within the epoch. */
  signal?: AbortSignal | undefined
  /** Of the order of samples and of random draws; the same seed, data and start give the same bits. After `resume`, the saved one by default. */
  seed?: number | undefined
  /** Stop after the epoch during which so many seconds have passed. */
  maxSeconds?: number | undefined
  /** Report each parameter's gradient norm and update-to-weight ratio, and warn of layers that do not learn; false by default. */
  health?: boolean | undefined
  /** When a cost counts as run away (ERR_DIVERGED; the last good parameters stand): above 100 times the first for three epochs by default. */
  divergence?: Partial<Divergence> | false | undefined
  /** Write the whole training state to a file now and then. */
  checkpoint?: CheckpointOptions | undefined
}

const names = [
  'epochs',
  'tolerance',
  'validation',
  'metrics',
  'onEpoch',
  'callbacks',
  'signal',
  'seed',
  'maxSeconds',
  'health',
  'divergence',
  'checkpoint',
] as const

function checkDivergence(given: FitOptions['divergence']): Divergence | undefined {
  if (given === false) return undefined
  checkOptions('fit: divergence', given, ['factor', 'epochs'])
  return {
    factor: checkNumber('fit: divergence', 'factor', given?.factor ?? 100, { min: 1 }),
    epochs: checkNumber('fit: divergence', 'epochs', given?.epochs ?? 3, { integer: true, min: 1 }),
  }
}

/** @param seed what it is where none is given */
export function checkFitOptions(options: FitOptions, seed: number | undefined) {
  checkOptions('fit', options ?? {}, names)
  const { tolerance, maxSeconds, onEpoch, signal, health = false } = options ?? {}
  if (onEpoch !== undefined && typeof onEpoch !== 'function')
    throw new WengertError('ERR_OPTION', `fit: expected onEpoch to be a function, got ${describe(onEpoch)}`, { actual: onEpoch })
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new WengertError('ERR_OPTION', `fit: expected signal to be an AbortSignal, got ${describe(signal)}`, { actual: signal })
  if (typeof health !== 'boolean')
    throw new WengertError('ERR_OPTION', `fit: expected health to be true or false, got ${describe(health)}`, { actual: health })
  const callbacks = checkCallbacks(options?.callbacks)
  return {
    epochs: checkNumber('fit', 'epochs', options?.epochs, { integer: true, min: 0 }),
    tolerance: tolerance === undefined ? undefined : checkNumber('fit', 'tolerance', tolerance, { min: 0 }),
    maxSeconds: maxSeconds === undefined ? Infinity : checkNumber('fit', 'maxSeconds', maxSeconds, { min: 0 }),
    metrics: checkMetrics('fit', options.metrics),
    callbacks: onEpoch
      ? [...callbacks, { name: 'onEpoch', onEpoch: async (record: EpochRecord) => void (await onEpoch(record)) }]
      : callbacks,
    seed:
      options.seed === undefined
        ? (seed ?? nextSeed())
        : checkNumber('fit', 'seed', options.seed, { integer: true, min: 0, max: Number.MAX_SAFE_INTEGER }),
    signal,
    health,
    divergence: checkDivergence(options.divergence),
    checkpoint: checkCheckpoint(options.checkpoint),
  }
}

export type FitSettings = ReturnType<typeof checkFitOptions>

/** What callbacks are told before a fit of the model begins. */
export function outlineOf({ epochs, metrics, health }: FitSettings, { validation }: FitOptions, model: Module): FitOutline {
  const named = ({ name }: { name: string }) => (isNamed(name) ? name : `custom.${name}`)
  const means = ['cost', ...metrics.means.map(named)]
  const wholes = [...metrics.wholes, ...metrics.custom].filter(({ name }) => name !== 'confusionMatrix').map(named)
  const trained = health ? model.namedParameters().filter(([, { frozen }]) => !frozen) : []
  return {
    epochs,
    numbers: [
      ...means,
      ...(validation === undefined ? [] : [...means, ...wholes].map((name) => `validation.${name}`)),
      ...['learningRate', 'seconds', 'epoch', 'updates'],
      ...trained.flatMap(([name]) => ['gradientNorm', 'updateRatio', 'zeroShare'].map((of) => `health.${name}.${of}`)),
    ],
  }
}
