/**
 * What the numbers that go into a model and come out of it mean: known from the data and the loss that it was trained with,
 * saved with it, and asked for by what reads predictions.
 */

/** What a model's outputs are, as its loss takes them. */
export type OutputKind = 'values' | 'probabilities' | 'logits' | 'logProbabilities' | 'scores'

export const outputKinds: readonly OutputKind[] = ['values', 'probabilities', 'logits', 'logProbabilities', 'scores']

export interface Meaning {
  /** The rank of one sample. */
  sample: number | undefined
  outputs: OutputKind | undefined
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
