/** Stands for the compiler of programs in the bundle of `wengert/web/predict`: each prediction runs operation by operation. */

import { WengertError } from '../errors.js'
import type * as plans from '../plan/plan.js'

/** What a forward function throws whose path depends on values: it is then run as it is. */
const refuse = (): never => {
  throw new WengertError('ERR_VALUE_NEEDED', 'predict: nothing is compiled here')
}

/** Compiles nothing. */
export const compile: typeof plans.compile = refuse

/** Part of what is compiled. */
export class StateLayout {
  readonly add = refuse
}
