/** Watching a fit from outside, and stopping it: what is called after each epoch. */

import { WengertError } from '../errors.js'
import type { Module } from '../nn/module.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkChoice, checkNumber, checkOptions, describe, listed, nearest, short } from '../util/options.js'
import type { EpochRecord, History } from './history.js'
import type { BlockRecords } from './records.js'

/** The trainer as a callback sees it. Its parameters may be read, and are those of the epoch. */
export interface Watched {
  readonly name: string
  readonly model: Module
  readonly epoch: number
  readonly updates: number
}

/** What a callback is told of the fit before it begins. */
export interface FitOutline {
  /** How many epochs it will make, unless it is stopped. */
  readonly epochs: number
  /** The numbers that each epoch's record will have: 'cost', 'accuracy', 'validation.cost', 'validation.custom.mine', … */
  readonly numbers: readonly string[]
}

/** What a callback remembers, for checkpoints: JSON values and tensors by name. */
export interface CallbackState {
  values: Record<string, unknown>
  /** Not changed afterwards: what changes is given as a copy. */
  tensors?: Record<string, Tensor>
}

/**
 * Something that watches a fit. One with `onEpoch` makes each epoch a crossing of its own (a synchronisation point): for
 * networks whose epochs take microseconds, that is what the time goes to.
 */
export interface Callback {
  /** How a checkpoint calls it; its place in the list by default. */
  readonly name?: string
  /** Called once before the first epoch; what it throws ends the fit before anything has changed. */
  onStart?(trainer: Watched, fit: FitOutline): void | Promise<void>
  /**
   * Called after each epoch, awaited; `false` ends the fit (`history.stopped` is 'callback'). What it throws ends the fit too, when
   * all have been told of the epoch.
   */
  onEpoch?(record: EpochRecord, trainer: Watched): unknown
  /**
   * Called once when the fit is over, where `onStart` went well; without a history where it failed or was aborted. What it throws
   * never stands in the way of the others, nor of the fit's own error.
   */
  onEnd?(history: History | undefined, trainer: Watched): void | Promise<void>
  /** What a checkpoint keeps of the callback: asked for after each epoch, and what a failed or aborted fit goes back to. */
  state?(): CallbackState
  /** Takes back what `state` gave, when a training is resumed. */
  restore?(state: CallbackState): void
}

/** The callbacks, if they are such. Errors: ERR_OPTION. */
export function checkCallbacks(callbacks: unknown): readonly Callback[] {
  if (callbacks === undefined) return []
  const hooks = ['onStart', 'onEpoch', 'onEnd', 'state', 'restore'] as const
  const list = Array.isArray(callbacks) ? callbacks : [undefined]
  for (const callback of list) {
    const holds = (typeof callback === 'object' && callback !== null) || typeof callback === 'function'
    const given = holds ? (callback as Record<string, unknown>) : {}
    const known = hooks.filter((hook) => given[hook] !== undefined)
    if (known.length > 0 && known.every((hook) => typeof given[hook] === 'function')) continue
    throw new WengertError(
      'ERR_OPTION',
      `fit: expected callbacks as a list of objects with ${hooks.join(', ')}, got ${Array.isArray(callbacks) ? `${describe(callback)} among them` : describe(callbacks)}${typeof callback === 'function' ? '; a function alone is given as onEpoch' : ''}`,
      {
        expected: hooks,
        actual: callback,
      },
    )
  }
  return list as Callback[]
}

/** What came of telling everyone. */
export interface Told {
  /** Somebody wants the fit to end. */
  readonly stop: boolean
  /** Somebody threw, and what. */
  readonly failed: boolean
  readonly error: unknown
}

/** Of errors beside the one that is thrown. */
export function warnOf(hook: string, errors: readonly unknown[]): void {
  for (const error of errors) {
    const text = error instanceof Error ? error.message : describe(error)
    process.emitWarning(`fit: a callback failed in ${hook}: ${text}`, { type: 'WengertCallback' })
  }
}

/** Those who watch one fit. */
export class Watchers {
  #started = 0

  constructor(
    readonly callbacks: readonly Callback[],
    readonly trainer: Watched,
  ) {}

  /** @param memory what callbacks of an earlier fit remembered, by their names */
  async start(fit: FitOutline, memory: readonly ({ name: string } & CallbackState)[] = []): Promise<void> {
    for (const [i, callback] of this.callbacks.entries()) {
      await callback.onStart?.(this.trainer, fit)
      this.#started = i + 1
      const own = memory.find(({ name }) => name === (callback.name ?? `${i}`))
      if (own) callback.restore?.(own)
    }
  }

  /** Hands on finished epochs to all, also where one of them fails: all remember the same epochs. */
  async tell(records: BlockRecords): Promise<Told> {
    let stop = false
    const errors: unknown[] = []
    for (const callback of this.callbacks) {
      if (!callback.onEpoch) continue
      try {
        for (const record of records.all) if ((await callback.onEpoch(record, this.trainer)) === false) stop = true
      } catch (error) {
        errors.push(error)
      }
    }
    warnOf('onEpoch', errors.slice(1))
    return { stop, failed: errors.length > 0, error: errors[0] }
  }

  /**
   * Tells all who were told of the start that the fit is over, whatever the others do. Of a fit that went well the first error is
   * thrown; else the fit's own error stands, and these are warnings.
   */
  async end(history: History | undefined): Promise<void> {
    const errors: unknown[] = []
    for (const callback of this.callbacks.slice(0, this.#started)) {
      try {
        await callback.onEnd?.(history, this.trainer)
      } catch (error) {
        errors.push(error)
      }
    }
    warnOf('onEnd', history ? errors.slice(1) : errors)
    if (history && errors.length > 0) throw errors[0]
  }
}

/** When `earlyStopping` stops, and what it leaves. */
export interface EarlyStoppingOptions {
  /**
   * What is watched: 'cost', 'validation.cost', 'validation.accuracy', 'validation.custom.mine', …; the validation cost by
   * default, the cost where there is no validation.
   */
  monitor?: string | undefined
  /** Epochs without improvement after which the fit ends; an integer >= 1. */
  patience: number
  /** How much better counts as an improvement; >= 0; 0 by default. */
  minDelta?: number | undefined
  /** Whether small or large is good; large by default for accuracies, topK, precision, recall, f1, rocAuc, prAuc and r2. */
  mode?: 'min' | 'max' | undefined
  /**
   * Go back to the parameters of the best epoch at the end of the fit; true by default. A fit that fails or is aborted may be gone
   * on with and keeps the newest ones; the best stand in `bestParameters`.
   */
  restoreBest?: boolean | undefined
}

/** What `earlyStopping` knows of the fit so far. */
export interface EarlyStopping extends Callback {
  /** What was watched, at its best. */
  readonly best: number | undefined
  /** The epoch of that; 0 before the first. */
  readonly bestEpoch: number
  /** Its parameters and buffers, for `loadStateDict`; undefined with `restoreBest: false`. */
  readonly bestParameters: Record<string, Tensor> | undefined
}

const growing = /(accuracy|top\d+|precision|recall|f1|rocAuc|prAuc|r2)$/

/** The number that a path such as 'validation.cost' names; names on the way may have dots of their own. */
function lookUp(record: object, path: string): number | undefined {
  for (const [key, value] of Object.entries(record)) {
    if (key === path) return typeof value === 'number' ? value : undefined
    if (path.startsWith(`${key}.`) && typeof value === 'object' && value !== null) return lookUp(value, path.slice(key.length + 1))
  }
  return undefined
}

function noNumber(path: string, numbers: readonly string[]): WengertError {
  const near = nearest(path, numbers)
  return new WengertError(
    'ERR_OPTION',
    `earlyStopping: expected monitor to name a number of each epoch, got '${short(path)}'${near ? `; did you mean '${near}'?` : `; epochs have ${listed(numbers)}`}`,
    { expected: numbers, actual: path },
  )
}

/**
 * Ends a fit when what it watches has not improved for `patience` epochs, and restores the best epoch's parameters.
 *
 * @throws ERR_OPTION, ERR_RANGE
 * @example await trainer.fit(train, { epochs: 500, validation, callbacks: [earlyStopping({ patience: 10 })] })
 */
export function earlyStopping(options: EarlyStoppingOptions): EarlyStopping {
  checkOptions('earlyStopping', options, ['monitor', 'patience', 'minDelta', 'mode', 'restoreBest'])
  const patience = checkNumber('earlyStopping', 'patience', options?.patience, { integer: true, min: 1 })
  const minDelta = checkNumber('earlyStopping', 'minDelta', options.minDelta ?? 0, { min: 0 })
  const mode = options.mode === undefined ? undefined : checkChoice('earlyStopping', 'mode', options.mode, ['min', 'max'] as const)
  const { monitor, restoreBest = true } = options
  if (monitor !== undefined && typeof monitor !== 'string')
    throw new WengertError('ERR_OPTION', `earlyStopping: expected monitor to be a name, got ${describe(monitor)}`, { actual: monitor })
  let best: number | undefined
  let bestEpoch = 0
  let waited = 0
  let parameters: Record<string, Tensor> | undefined
  return {
    name: 'earlyStopping',
    get best() {
      return best
    },
    get bestEpoch() {
      return bestEpoch
    },
    get bestParameters() {
      return parameters && { ...parameters }
    },
    onStart: (_trainer, { numbers }) => {
      if (monitor !== undefined && !numbers.includes(monitor)) throw noNumber(monitor, numbers)
      best = undefined
      bestEpoch = waited = 0
      parameters = undefined
    },
    onEpoch: (record, { model }) => {
      const path = monitor ?? (record.validation ? 'validation.cost' : 'cost')
      const value = lookUp(record, path)
      if (value === undefined) throw noNumber(path, Object.keys(record))
      const sign = (mode ?? (growing.test(path) ? 'max' : 'min')) === 'max' ? -1 : 1
      if (best === undefined || sign * (best - value) > minDelta) {
        best = value
        bestEpoch = record.epoch
        waited = 0
        if (restoreBest) parameters = model.stateDict()
      } else waited++
      return waited < patience
    },
    onEnd: (history, { model }) => {
      if (history && parameters) model.loadStateDict(parameters)
    },
    state: () => ({
      values: { ...(best === undefined ? {} : { best }), bestEpoch, waited },
      ...(parameters ? { tensors: parameters } : {}),
    }),
    restore: ({ values, tensors }) => {
      const { best: value, bestEpoch: epoch, waited: count } = values
      if ((value !== undefined && typeof value !== 'number') || !Number.isInteger(epoch) || !Number.isInteger(count))
        throw new WengertError('ERR_STATE', 'earlyStopping: this state is not one that earlyStopping gave', { actual: values })
      best = value
      bestEpoch = epoch as number
      waited = count as number
      parameters = tensors
    },
  }
}
