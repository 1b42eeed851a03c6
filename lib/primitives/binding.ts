/** Stand-ins: tensors that are read in place of others while a function is differentiated or recorded. */

import { Tensor } from '../tensor/tensor.js'

/** A tensor that another may stand in for, as for a parameter: its `resolve` gives the stand-in. */
export abstract class Bindable extends Tensor {
  /** What stands in for it. */
  binding: Tensor | undefined
}

/** Of each stand-in in use, what it stands in for. */
const standing = new Map<Tensor, Bindable[]>()

/** The bindable tensors that `x` is, or stands in for: whoever watches x watches them. */
export function boundAs(x: Tensor): readonly Bindable[] {
  return x instanceof Bindable ? [x] : (standing.get(x) ?? [])
}

/** All tensors that have a stand-in now. */
export const boundPlaces = (): Bindable[] => [...new Set([...standing.values()].flat())]

/** Runs `body` with each tensor replaced by another of the same shape and type. */
export function withBindings<T>(places: readonly Bindable[], tensors: readonly Tensor[], body: () => T): T {
  const outer = places.map((place) => place.binding)
  const before = tensors.map((x) => standing.get(x))
  places.forEach((place, i) => {
    const tensor = tensors[i] as Tensor
    place.binding = tensor
    standing.set(tensor, [...(standing.get(tensor) ?? []), place])
  })
  try {
    return body()
  } finally {
    places.forEach((place, i) => {
      place.binding = outer[i]
    })
    tensors.forEach((x, i) => {
      const list = before[i]
      if (list) standing.set(x, list)
      else standing.delete(x)
    })
  }
}
