/**
 * What the numbers that go into a model and come out of it mean: known from the data and the loss that it was trained with,
 * saved with it, and asked for by what reads predictions.
 */

import type { OutputKind } from './loss-contract.js'

/** What is known of a model. */
export interface Meaning {
  /** The rank of one sample. */
  sample: number | undefined
  /** What its outputs mean; 'unknown' where it was trained with a loss that does not tell. */
  outputs: OutputKind | 'unknown' | undefined
}

const meanings = new WeakMap<object, Meaning>()

/** What is known of a model, to be read and to be written. */
export function meaningOf(model: object): Meaning {
  let meaning = meanings.get(model)
  if (!meaning) {
    meaning = { sample: undefined, outputs: undefined }
    meanings.set(model, meaning)
  }
  return meaning
}
