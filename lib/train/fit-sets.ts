/** The data of a fit, prepared before it begins. */

import type { AnyData } from '../data/dataset.js'
import type { FitOptions } from './fit-options.js'
import { checkAlike, type Prepared } from './prepare.js'

/** What a fit is made of, prepared: everything that is wrong with the data has been refused. */
export interface FitSets {
  readonly set: Prepared
  readonly validation: Prepared | undefined
}

/** Errors: those of data that does not suit the model and the loss; ERR_SHAPE for validation of other samples. */
export function prepareSets(host: { prepare(where: string, data: AnyData): Prepared }, data: AnyData, { validation }: FitOptions): FitSets {
  const set = host.prepare('fit', data)
  if (validation === undefined) return { set, validation: undefined }
  const other = host.prepare('fit: validation', validation)
  checkAlike(set, other)
  return { set, validation: other }
}
