/** Optimisers used by hand: one update of a model with gradients that someone else took, by the trainers' arithmetic. */

import { WengertError } from '../errors.js'
import { Buffer } from '../nn/buffer.js'
import type { Module } from '../nn/module.js'
import type { Parameter } from '../nn/parameter.js'
import { tensor, zeros } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape, sameShape } from '../util/shape.js'
import type { Optimizer } from './optimizer.js'

/** Of one update. */
export interface ApplyOptions {
  /** α of this update in place of the optimiser's own, as a schedule gives it; > 0. */
  learningRate?: number | undefined
}

/** An optimiser that can also be used by hand. */
export interface AppliedOptimizer extends Optimizer {
  /**
   * One update of a model: θ ← θ − …, by the same arithmetic as a trainer's. What the optimiser remembers (momentum, running means,
   * the number of updates) it keeps for each parameter, as long as the model lives.
   *
   * @param gradients by name, as `valueAndGrad(model, f)` gives them, or a list in the order of `model.parameters()`. A parameter without
   * a gradient, a frozen one and buffers stay as they are
   * @throws ERR_STATE for a gradient that belongs to no parameter; ERR_SHAPE; ERR_BUSY during a fit; ERR_DIVERGED where a parameter
   * would not be finite. Nothing is changed unless all of it is
   * @example
   * const optimizer = optim.adam({ learningRate: 0.01 })
   * const [cost, gradients] = valueAndGrad(model, () => loss.mse(model.forward(x), y))()
   * optimizer.apply(model, gradients)
   */
  apply(model: Module, gradients: Readonly<Record<string, Tensor>> | readonly Tensor[], options?: ApplyOptions): void
}

interface Memory {
  readonly slots: readonly Tensor[]
  readonly updates: number
}

/** The parameters that are to be updated, with their gradients. */
function pairs(op: string, model: Module, gradients: unknown): [name: string, parameter: Parameter, gradient: Tensor][] {
  const parameters = model.namedParameters()
  let named: [string, unknown][]
  if (Array.isArray(gradients)) {
    if (gradients.length !== parameters.length)
      throw new WengertError('ERR_STATE', `${op}: expected ${parameters.length} gradients, one a parameter, got ${gradients.length}`, {
        expected: parameters.length,
        actual: gradients.length,
      })
    named = parameters.map(([name], i) => [name, gradients[i]])
  } else if (typeof gradients === 'object' && gradients !== null) named = Object.entries(gradients)
  else throw new WengertError('ERR_VALUE', `${op}: expected gradients by name, got ${describe(gradients)}`, { actual: gradients })
  const own = new Map(model.namedState())
  return named.flatMap(([name, gradient]): [string, Parameter, Tensor][] => {
    const parameter = own.get(name)
    if (parameter === undefined)
      throw new WengertError('ERR_STATE', `${op}: ${model.describe()} has no parameter '${name}', only ${[...own.keys()].join(', ')}`, {
        expected: [...own.keys()],
        actual: name,
      })
    if (!(gradient instanceof Tensor) || !sameShape(gradient.shape, parameter.shape) || gradient.dtype !== parameter.dtype) {
      const got = gradient instanceof Tensor ? `${gradient.dtype} ${formatShape(gradient.shape)}` : describe(gradient)
      throw new WengertError(
        'ERR_SHAPE',
        `${op}: expected a gradient of ${parameter.dtype} ${formatShape(parameter.shape)} for ${name}, got ${got}`,
        {
          expected: parameter.shape,
          actual: gradient,
        },
      )
    }
    return parameter.frozen || parameter instanceof Buffer ? [] : [[name, parameter, gradient]]
  })
}

/**
 * Adds `apply` to a rule: optimisers of the library have it, one of your own gets it here.
 *
 * @example const optimizer = optim.applicable({ name: 'mine', learningRate: 0.1, slots: () => [], scalarCount: 1, … })
 */
export function applicable(rule: Optimizer): AppliedOptimizer {
  const op = `${rule.name}.apply`
  const memories = new WeakMap<Parameter, Memory>()
  const apply: AppliedOptimizer['apply'] = (model, gradients, options = {}) => {
    checkOptions(op, options, ['learningRate'])
    const rate = checkNumber(op, 'learningRate', options.learningRate ?? rule.learningRate, { min: 0, exclusive: true })
    const numbers = new Float64Array(rule.scalarCount)
    const updates = pairs(op, model, gradients).map(([name, parameter, gradient]) => {
      parameter.refuseWhileBusy(op)
      parameter.refuseWhileTraced(op, gradient.resolve())
      const { shape, dtype } = parameter
      const memory = memories.get(parameter) ?? { updates: 0, slots: rule.slots(parameter).map((s) => zeros(s.shape, { dtype: s.dtype })) }
      const t = memory.updates + 1
      rule.scalars(numbers, 0, t, rate)
      const scalars = Array.from(numbers, (value) => tensor(value, { dtype }))
      const next = rule.update(new Tensor(shape, dtype, parameter.peek()), gradient, memory.slots, scalars, parameter)
      for (const value of [next.parameter, ...next.slots]) {
        if (!value.data.every((x) => Number.isFinite(x)))
          throw new WengertError('ERR_DIVERGED', `${op}: update ${t} of ${name} is not finite; try a smaller learning rate (now ${rate})`)
      }
      return { parameter, values: next.parameter, memory: { slots: next.slots, updates: t } }
    })
    for (const { parameter, values, memory } of updates) {
      parameter.assign(values)
      memories.set(parameter, memory)
    }
  }
  return { ...rule, apply }
}
