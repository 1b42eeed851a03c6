/** Stands for what transforms do with whole data sets in the bundle of `wengert/web/predict`, which has none. */

import type * as shards from '../data/shards.js'
import type * as sets from '../data/transform-data.js'
import { WengertError } from '../errors.js'

const refuse = (where: string): never => {
  throw new WengertError('ERR_STATE', `${where}: wengert/web/predict transforms samples; wengert/web has data sets`)
}

export const transformData: typeof sets.transformData = refuse
export const trainingFeatures: typeof sets.trainingFeatures = refuse
export const wholeTensor: typeof shards.wholeTensor = refuse
/** A table of records is no shard. */
export const ownPositions: typeof shards.ownPositions = refuse
