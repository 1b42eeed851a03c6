/**
 * The short way for single samples of a stream: numbers go straight into arrays kept for them, are checked in the same loop,
 * and one compiled update is run. Whatever it does not know (batches, tensors, wrong values) it leaves to the long way,
 * which checks everything and says what is wrong.
 */

import type { State } from '../backend/backend.js'
import { WengertError } from '../errors.js'
import { counterLength } from '../nn/dropout.js'
import type { Loss } from '../nn/loss.js'
import { allocate, type TypedArray } from '../util/dtype.js'
import type { Prepared } from './prepare.js'
import type { SingleSteps, Step } from './single-steps.js'
import type { StepParts } from './step-programs.js'

/** What it needs of a trainer. */
export interface QuickHost {
  readonly loss: Loss
  readonly steps: SingleSteps
  parts(): StepParts
  scalars(out: { scalars: Float64Array; counter: Int32Array }): void
}

interface Opened {
  readonly parts: StepParts
  readonly state: State
  readonly step: Step
  readonly run: NonNullable<Step['plan']>['executable']
  readonly x: TypedArray
  readonly y: TypedArray
  readonly arrays: readonly TypedArray[]
  /** Whether the loss takes the targets, as they stand in `y`. */
  readonly accepts: (y: TypedArray) => boolean
  readonly scalars: Float64Array
  readonly counter: Int32Array
}

/** Updates after which the model is looked through again: layers are seldom exchanged under a stream. */
const trust = 1024

const isRow = (value: unknown): value is ArrayLike<number> =>
  value instanceof Float32Array || value instanceof Float64Array || (Array.isArray(value) && typeof value[0] === 'number')

export class QuickSteps {
  #opened: Opened | undefined
  #left = 0

  constructor(readonly host: QuickHost) {}

  /** Prepares for further items like this one, which the long way has just learnt from. */
  open(item: unknown, data: Prepared): void {
    this.#opened = undefined
    const { x, y } = item as { x: unknown; y: unknown }
    const { targets } = this.host.loss
    const accepts = targets === 'classes' ? labels(data) : checks[targets ?? 'values']
    if (!accepts || data.weights || !isRow(x) || !(typeof y === 'number' || (isRow(y) && targets !== 'classes'))) return
    const parts = this.host.parts()
    const step = this.host.steps.of(parts, data)
    if (!step.plan) return
    const [xs, ys] = [allocate(data.x.dtype, data.x.size), allocate(data.y.dtype, data.y.size)]
    const counter = new Int32Array(counterLength)
    this.#opened = {
      parts,
      state: parts.state.claim(),
      step,
      run: step.plan.executable,
      x: xs,
      y: ys,
      arrays: [xs, ys, step.rates, ...(parts.state.draws ? [counter] : []), ...step.plan.lowered.constants],
      accepts,
      scalars: new Float64Array(parts.optimizer.scalarCount),
      counter,
    }
    this.#left = trust
  }

  /** One update: the cost before it, NaN where that was not finite and nothing was changed; undefined where it is not for this way. */
  learn(item: unknown): number | undefined {
    const opened = this.#opened
    if (!opened || typeof item !== 'object' || item === null) return undefined
    const { x, y, step, accepts, scalars } = opened
    const given = item as { x: unknown; y: unknown; weights?: unknown }
    if (given.weights !== undefined || !isRow(given.x) || !fill(x, given.x) || !this.#still(opened)) return undefined
    if (typeof given.y === 'number') {
      if (y.length !== 1) return undefined
      y[0] = given.y
      // An integer array takes any number and makes another of it.
      if (y instanceof Int32Array ? y[0] !== given.y : !Number.isFinite(y[0])) return undefined
    } else if (y instanceof Int32Array || !isRow(given.y) || !fill(y, given.y)) return undefined
    if (!accepts(y)) return undefined
    this.host.scalars(opened)
    step.rates.set(scalars)
    step.report[0] = 0
    try {
      opened.run.run(opened.state, opened.arrays, step.report)
    } catch (error) {
      if (error instanceof WengertError && error.code === 'ERR_DIVERGED') return NaN
      throw error
    }
    return step.report[0]
  }

  /** Whether the prepared update is still that of the model. */
  #still({ parts }: Opened): boolean {
    if (!parts.state.current) return false
    if (--this.#left > 0) return true
    this.#left = trust
    return this.host.parts().state === parts.state
  }
}

const every = (holds: (value: number) => boolean) => (y: TypedArray) => {
  for (let i = 0; i < y.length; i++) if (!holds(y[i] as number)) return false
  return true
}

/** What the long way refuses, by the kind of targets. */
const checks = {
  values: () => true,
  probabilities: every((p) => p >= 0 && p <= 1),
  signs: every((s) => s === 1 || s === -1),
}

/** Labels 0 … classes − 1; undefined where targets are distributions. */
function labels({ y, output }: Prepared): ((y: TypedArray) => boolean) | undefined {
  const classes = output[0] ?? 1
  return y.dtype === 'int32' ? every((label) => label >= 0 && label < classes) : undefined
}

/** Copies the numbers; false where they are not as many, or not finite in the type that holds them. */
function fill(out: TypedArray, values: ArrayLike<number>): boolean {
  const n = out.length
  if (values.length !== n) return false
  let sum = 0
  for (let i = 0; i < n; i++) {
    const value = values[i]
    if (typeof value !== 'number') return false
    out[i] = value
    // 0 for every finite number, NaN for all else.
    sum += (out[i] as number) - (out[i] as number)
  }
  return sum === 0
}
