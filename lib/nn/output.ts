/** What a forward function hands on to the next layer, to a loss, or as a prediction. */

import { WengertError } from '../errors.js'
import type { Inputs } from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { describe } from '../util/options.js'
import { seenBy } from './inputs.js'
import type { Lengths } from './lengths.js'

/** What is needed of a module to run it. */
interface Runnable {
  describe(): string
  // biome-ignore lint/suspicious/noExplicitAny: see Module
  forward(x: any, inputs?: any): any
  readonly takesLengths?: boolean
}

/** What containers hand on to those of their modules that take it. */
export interface HandedOn {
  lengths?: Lengths | undefined
}

/** Sequences with their lengths, as a data set holds them: { x, lengths }, and nothing else. */
function padded(tree: object): { x: Tensor; lengths: Tensor } | undefined {
  const { x, lengths } = tree as { x?: unknown; lengths?: unknown }
  return x instanceof Tensor && lengths instanceof Tensor && Object.keys(tree).length === 2 ? { x, lengths } : undefined
}

/**
 * The tensor that a module makes of x: what its `forward` gives, or the `output` of that.
 *
 * @throws ERR_VALUE for anything else; ERR_DATA for a field that it reads and x does not have
 */
export function outputOf(module: Runnable, x: Inputs, inputs?: HandedOn): Tensor {
  const apart = x instanceof Tensor || !module.takesLengths ? undefined : padded(x)
  if (apart) return outputOf(module, apart.x, { ...inputs, lengths: apart.lengths })
  const given = seenBy(x)
  const made: unknown = inputs?.lengths !== undefined && module.takesLengths ? module.forward(given, inputs) : module.forward(given)
  if (made instanceof Tensor) return made
  const { output } = (made ?? {}) as { output?: unknown }
  if (output instanceof Tensor) return output
  throw new WengertError(
    'ERR_VALUE',
    `${module.describe()}: its forward gave ${describe(made)}; it must give a tensor, or { output } with one`,
    {
      expected: 'a tensor',
      actual: made,
    },
  )
}
