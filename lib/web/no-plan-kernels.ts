/** Stands for kernels that only compiled programs call, in the bundle of `wengert/web/predict`. */

import type { Prepare } from '../backend/js/kernels/kernel.js'
import { WengertError } from '../errors.js'

const refuse: Prepare = () => {
  throw new WengertError('ERR_STATE', 'wengert/web/predict predicts only; import wengert/web to differentiate and to train')
}

export { refuse as allReduce, refuse as convInputPooled, refuse as convWeightPooled, refuse as rowwise }
