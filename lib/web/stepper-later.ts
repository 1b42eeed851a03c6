/** Stands for steppers in the bundle of `wengert/web/predict`: they come with the layers over sequences of a model. */

import { WengertError } from '../errors.js'
import type { makeStepper as whole } from '../nn/stepper.js'

let brought: typeof whole | undefined

/** Takes what was fetched. */
export const bringStepper = (fetched: typeof whole): void => {
  brought = fetched
}

/** As the library's, once it is here. */
export const makeStepper: typeof whole = (module, options) => {
  if (brought) return brought(module, options)
  throw new WengertError('ERR_STATE', 'stepper: no model with layers over sequences was loaded by `await loadModel(bytes)`')
}
