/** Parameter groups: parameters with a learning rate or a weight decay of their own. */

import { WengertError } from '../errors.js'
import { Module } from '../nn/module.js'
import { Parameter } from '../nn/parameter.js'
import { add, mul } from '../primitives/elementwise.js'
import type { Aval } from '../primitives/primitive.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import type { OptimizerSlot } from './optimizer.js'

/** Parameters that are trained differently. A schedule scales every group's learning rate alike. */
export interface ParameterGroup {
  /** A module stands for its parameters. */
  parameters: Parameter | Module | readonly (Parameter | Module)[]
  /** Per update, in place of the optimiser's; > 0. */
  learningRate?: number | undefined
  /** In place of the optimiser's; >= 0. */
  weightDecay?: number | undefined
}

/** Options that every optimiser has. */
export interface CommonOptions {
  /** λ >= 0: gradients become g + λθ (adamW: θ shrinks by the factor 1 − αλ instead). */
  weightDecay?: number | undefined
  /** Parameters with settings of their own; all others have the optimiser's. */
  groups?: readonly ParameterGroup[] | undefined
}

/** What holds for one parameter: its rate relative to the optimiser's, and its decay. */
export interface Settings {
  readonly factor: number
  readonly weightDecay: number
}

/** The settings of each parameter. Errors: ERR_RANGE, ERR_OPTION for a parameter that is in two groups, ERR_VALUE. */
export function settingsOf(
  where: string,
  learningRate: number,
  { weightDecay, groups = [] }: CommonOptions,
  defaultDecay = 0,
): (of: Parameter | undefined) => Settings {
  const common = { factor: 1, weightDecay: checkNumber(where, 'weightDecay', weightDecay ?? defaultDecay, { min: 0 }) }
  if (!Array.isArray(groups))
    throw new WengertError('ERR_OPTION', `${where}: expected groups to be a list, got ${describe(groups)}`, { actual: groups })
  const own = new Map<Parameter, Settings>()
  groups.forEach((group: ParameterGroup, i) => {
    const name = `${where}: groups[${i}]`
    checkOptions(name, group, ['parameters', 'learningRate', 'weightDecay'])
    const rate =
      group.learningRate === undefined ? learningRate : checkNumber(name, 'learningRate', group.learningRate, { min: 0, exclusive: true })
    const settings = {
      factor: rate / learningRate,
      weightDecay: checkNumber(name, 'weightDecay', group.weightDecay ?? common.weightDecay, { min: 0 }),
    }
    for (const parameter of parametersOf(name, group.parameters)) {
      if (own.has(parameter)) throw new WengertError('ERR_OPTION', `${name}: a parameter stands in two groups; leave it in one`)
      own.set(parameter, settings)
    }
  })
  return (of) => (of && own.get(of)) || common
}

function parametersOf(where: string, given: ParameterGroup['parameters']): Parameter[] {
  const list = Array.isArray(given) ? (given as readonly unknown[]) : [given]
  return list.flatMap((item) => {
    if (item instanceof Module) return item.parameters()
    if (item instanceof Parameter) return [item]
    throw new WengertError('ERR_VALUE', `${where}: expected parameters and modules, got ${describe(item)}`, { actual: item })
  })
}

/** A slot like the parameter itself. */
export const slotLike = (name: string, { shape, dtype }: Aval): OptimizerSlot => ({ name, shape, dtype })

/** x times a number, x itself where that is 1. */
export const times = (x: Tensor, factor: number): Tensor => (factor === 1 ? x : mul(x, factor))

/** g + λθ. */
export const decayed = (gradient: Tensor, parameter: Tensor, weightDecay: number): Tensor =>
  weightDecay === 0 ? gradient : add(gradient, mul(parameter, weightDecay))
