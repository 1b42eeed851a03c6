/**
 * What the numbers that go into a model and come out of it mean: known from the data and the loss that it was trained with,
 * saved with it, and asked for by what reads predictions.
 */

import type { Dtype } from '../util/dtype.js'
import type { OutputKind } from './loss-contract.js'

/** One of several inputs: its dotted name, the rank of one sample of it, and its type. */
export interface FieldForm {
  readonly name: string
  readonly rank: number
  readonly dtype: Dtype
}

/** What is known of a model. */
export interface Meaning {
  /** The rank of one sample, of a model of one input. */
  sample: number | undefined
  /** Of a model of several inputs, in the order of their names. */
  fields: readonly FieldForm[] | undefined
  /** What its outputs mean; 'unknown' where it was trained with a loss that does not tell. */
  outputs: OutputKind | 'unknown' | undefined
}

const meanings = new WeakMap<object, Meaning>()

/** What is known of a model, to be read and to be written. */
export function meaningOf(model: object): Meaning {
  let meaning = meanings.get(model)
  if (!meaning) {
    meaning = { sample: undefined, fields: undefined, outputs: undefined }
    meanings.set(model, meaning)
  }
  return meaning
}
