/** Stand-ins: tensors that are read in place of others while a function is differentiated or recorded. */

import type { TensorLike } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { below } from './primitive.js'

/** A tensor that another may stand in for, as for a parameter: its `resolve` gives the stand-in. */
export abstract class Bindable extends Tensor {
  /** What stands in for it. */
  binding: Tensor | undefined
  /** Excluded from differentiation. */
  abstract frozen: boolean

  /** What stands in for it now. Where a function is recorded that reads it at each run, that is never nothing. */
  protected get standIn(): Tensor | undefined {
    if (this.binding === undefined && meeting) bind(this, meeting.meet(this))
    return this.binding
  }

  /** Replaces the values. */
  abstract assign(values: TensorLike): void
  /** Throws where the values may not be replaced now. */
  abstract refuseWhileBusy(op: string): void
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

function bind(place: Bindable, tensor: Tensor): void {
  place.binding = tensor
  standing.set(tensor, [...(standing.get(tensor) ?? []), place])
}

/** What stands in for whatever has no stand-in, while a function is recorded. */
export interface Meeting {
  /** The level of the recording. */
  readonly level: number
  /** The same tensor each time that it is met. */
  meet(place: Bindable): Tensor
  /** What is recorded goes by this flag, and holds as long as it stays. */
  note(owner: Flagged, training: boolean): void
}

/** What behaves in one way in training and in another in use. */
export interface Flagged {
  readonly training: boolean
}

/** Whoever records learns how a flag was found, unless the recorded function has set it itself. */
export function noteFlag(owner: Flagged, training: boolean): void {
  if (meeting && !decided.has(owner)) meeting.note(owner, training)
}

/** Whoever records learns that the function sets a flag: from here on it decides it. */
export function noteDecision(owner: Flagged): void {
  if (meeting) decided.add(owner)
}

let meeting: Meeting | undefined
/** Flags that the recorded function has set. */
let decided = new Set<Flagged>()

/** Runs `body` with a stand-in for every bindable tensor from where it is first read; what stands in for any now does not count. */
export function withMeeting<T>(next: Meeting, body: () => T): T {
  const outer = meeting
  const bound = boundPlaces().map((place) => [place, place.binding] as const)
  const before = [...standing]
  for (const [place] of bound) place.binding = undefined
  standing.clear()
  meeting = next
  const outerDecided = decided
  decided = new Set()
  try {
    return body()
  } finally {
    meeting = outer
    decided = outerDecided
    for (const place of boundPlaces()) place.binding = undefined
    standing.clear()
    for (const [tensor, places] of before) standing.set(tensor, places)
    for (const [place, binding] of bound) place.binding = binding
  }
}

/** What a buffer takes for its next value: while a function is recorded, as the recording sees it, since statistics are not differentiated. */
export const kept = (value: Tensor): Tensor => (meeting ? below(value, meeting.level + 1) : value)
