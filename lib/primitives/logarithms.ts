/**
 * Logarithms that are known without taking one: of a softmax the log-softmax, of e^(log-softmax) its argument. A loss of
 * probabilities that were made so takes these, which keep their digits and slopes where the probability is rounded to 0 or 1.
 * They follow the tensor as it is handed on, through casts between floating types and through reshapes; any other operation between
 * softmax and loss makes a foreign probability.
 */

import type { Tensor } from '../tensor/tensor.js'

const known = new WeakMap<Tensor, () => Tensor>()
const logarithms = new WeakSet<Tensor>()

/** Notes how ln `p` is made; gives `p` back. */
export function noteLogarithm(p: Tensor, logarithm: () => Tensor): Tensor {
  known.set(p, logarithm)
  return p
}

/** Notes that a tensor is itself such a logarithm: its exponential is then known. */
export function noteAsLogarithm(x: Tensor): Tensor {
  logarithms.add(x)
  return x
}

export const isKnownLogarithm = (x: unknown): boolean => logarithms.has(x as Tensor)

/** ln p, where it is known from what p was made of. */
export const knownLogarithm = (p: Tensor): Tensor | undefined => known.get(p)?.()

/** Hands on what is known of `x` to `y`, which `move` makes of it element by element. */
export function followLogarithm(y: Tensor, x: Tensor, move: (x: Tensor) => Tensor): Tensor {
  const logarithm = known.get(x)
  if (logarithm) known.set(y, () => move(logarithm()))
  if (logarithms.has(x)) logarithms.add(y)
  return y
}
