/** What transforms have to do with whole data sets: fitted on one, applied to one. */

import type { Shard } from '../distributed/shard.js'
import { asTensor } from '../tensor/creation.js'
import type { Inputs } from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { type AnyData, carrying, checkData, Dataset, namesOf } from './dataset.js'
import { isData } from './is-data.js'

/** The set with `apply` of its x, and those of its names that `kept` gives. */
export function transformData(
  where: string,
  data: AnyData,
  apply: (x: Inputs) => Inputs,
  kept: (names: ReturnType<typeof namesOf>) => ReturnType<typeof namesOf>,
): Dataset {
  const { x, y, weights } = checkData(where, data)
  const shard = data instanceof Dataset ? data.shard : undefined
  return carrying(new Dataset(apply(x), y, { ...kept(namesOf(data)), shard }), weights) as Dataset
}

/** The features that a transform is fitted on: [m, …], finite; of several inputs each; and which of all they are. */
export function trainingFeatures(where: string, data: unknown): { x: Inputs; shard?: Shard | undefined } {
  const t = isData(data) || data instanceof Tensor ? data : asTensor(where, data)
  return { x: checkData(where, isData(t) ? t : { x: t, y: t }).x, shard: t instanceof Dataset ? t.shard : undefined }
}
