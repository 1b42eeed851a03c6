/** Gradient descent on a function of one or a few variables, the whole path kept (mathematics §5). */

import { valueAndGrad } from '../autodiff/transforms.js'
import { WengertError } from '../errors.js'
import { asTensor, full, type TensorLike, zeros } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { gradientDescent } from './gradient-descent.js'
import { checkOptimizer, type Optimizer, type Progress } from './optimizer.js'

/** Where a minimisation stands, for learning rates that follow the gradient or the value. */
export interface DescentProgress extends Progress {
  value: number
  gradientNorm: number
}

/** The learning rate of a step; every `optim.schedules.*` is one. */
export interface DescentSchedule {
  (progress: DescentProgress, learningRate: number): number
  /** Told the value before each step, by schedules that watch it. */
  observe?(cost: number): void
}

/** How `minimize` descends. */
export interface MinimizeOptions {
  /** α, per step, for plain gradient descent; or give `optimizer`. */
  learningRate?: number | undefined
  optimizer?: Optimizer | undefined
  /** The most steps; 100 by default. */
  steps?: number | undefined
  /** Converged when the gradient's norm is at most this; 1e-6 by default. */
  tolerance?: number | undefined
  /** The learning rate of each step, from { epoch, update, value, gradientNorm } and the optimiser's own. */
  schedule?: DescentSchedule | undefined
}

/** The way down: `points[k]` is where `values[k]` and `gradientNorms[k]` were taken; all are finite. */
export interface Path {
  readonly points: readonly Tensor[]
  readonly values: readonly number[]
  readonly gradientNorms: readonly number[]
  /** The gradient vanished: at a minimum, or at any other stationary point. */
  readonly converged: boolean
  /** The steps led away: the values rose to the end, or left the finite numbers. */
  readonly diverged: boolean
  /** ERR_DIVERGED with the numbers, where it diverged; it is not thrown. */
  readonly error: WengertError | undefined
}

/** So many rising steps in a row, ending above the start, are divergence. */
const risingSteps = 10

/**
 * Minimises a scalar function of one tensor by w ← w − α df/dw, or by any optimiser, and returns the whole path.
 *
 * Too large a rate ends as `diverged`, with the finite part of the path; too small a one as neither converged nor diverged.
 *
 * @param f a function of one tensor shaped like `start`, giving one element
 * @param start a number, an array (both taken as float64), or a floating tensor
 * @throws ERR_NOT_SCALAR; ERR_OPTION; ERR_RANGE; ERR_VALUE where not exactly one of learningRate and optimizer is given
 * @example
 * const { points, values, converged } = minimize((w) => w.square(), 3, { learningRate: 0.1 })
 */
export function minimize(f: (w: Tensor) => Tensor, start: TensorLike, options: MinimizeOptions): Path {
  const op = 'minimize'
  checkOptions(op, options, ['learningRate', 'optimizer', 'steps', 'tolerance', 'schedule'])
  const { learningRate, schedule } = options ?? {}
  if ((learningRate === undefined) === (options?.optimizer === undefined))
    throw new WengertError(
      'ERR_VALUE',
      `${op}: give either learningRate or optimizer, not ${learningRate === undefined ? 'neither' : 'both'}`,
    )
  const optimizer =
    options.optimizer === undefined ? gradientDescent({ learningRate: learningRate as number }) : checkOptimizer(op, options.optimizer)
  const steps = checkNumber(op, 'steps', options.steps ?? 100, { integer: true, min: 0 })
  const tolerance = checkNumber(op, 'tolerance', options.tolerance ?? 1e-6, { min: 0 })
  if (schedule !== undefined && typeof schedule !== 'function')
    throw new WengertError('ERR_OPTION', `${op}: expected schedule to be a function, got ${describe(schedule)}`, { actual: schedule })
  let point = asTensor(op, start, start instanceof Tensor ? {} : { dtype: 'float64' })
  const { dtype, shape } = point
  if (!isFloat(dtype))
    throw new WengertError('ERR_DTYPE', `${op}: expected a floating start, got ${dtype}`, { expected: 'float', actual: dtype })

  const differentiate = valueAndGrad(f)
  let slots: readonly Tensor[] = optimizer.slots(point).map((slot) => zeros(slot.shape, { dtype: slot.dtype }))
  const row = new Float64Array(optimizer.scalarCount)
  const points: Tensor[] = []
  const values: number[] = []
  const gradientNorms: number[] = []
  let rate = optimizer.learningRate
  let rising = 0
  const path = (converged: boolean, why?: string): Path => {
    const error = why
      ? new WengertError(
          'ERR_DIVERGED',
          `${op}: expected the value to fall from ${values[0] ?? 'the start'}, got ${why}; try a smaller learning rate (now ${rate})`,
          {
            actual: values.at(-1),
          },
        )
      : undefined
    return { points, values, gradientNorms, converged, diverged: error !== undefined, error }
  }
  for (let step = 0; ; step++) {
    const [y, gradient] = differentiate(point) as [Tensor, Tensor]
    const value = y.item()
    const norm = gradient.data.reduce((length, g) => Math.hypot(length, g), 0)
    if (!Number.isFinite(value) || !Number.isFinite(norm))
      return path(false, `${Number.isFinite(value) ? `a gradient of norm ${norm}` : value} after ${step} steps`)
    rising = value > (values.at(-1) ?? value) ? rising + 1 : 0
    points.push(point)
    values.push(value)
    gradientNorms.push(norm)
    if (norm <= tolerance) return path(true)
    const away = value > (values[0] as number) && rising >= Math.min(risingSteps, steps)
    if (away) return path(false, `${value}, risen for ${rising} steps`)
    if (step === steps) return path(false)
    rate = schedule ? schedule({ epoch: step, update: step, value, gradientNorm: norm }, optimizer.learningRate) : optimizer.learningRate
    schedule?.observe?.(value)
    checkNumber(op, 'the learning rate of the schedule', rate, { min: 0 })
    optimizer.scalars(row, 0, step + 1, rate)
    const scalars = Array.from(row, (s) => full([], s, { dtype }))
    const next = optimizer.update(point, gradient, slots, scalars)
    if (!next.parameter.data.every(Number.isFinite)) return path(false, `a point that is not finite after ${step + 1} steps`)
    point = new Tensor(shape, dtype, next.parameter.data)
    slots = next.slots
  }
}
