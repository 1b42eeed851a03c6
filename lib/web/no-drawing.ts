/** Stands for the drawing of networks in the bundle of `wengert/web/predict`. */

import { WengertError } from '../errors.js'
import type * as drawing from '../nn/network-svg.js'

export const networkSvg: typeof drawing.networkSvg = () => {
  throw new WengertError('ERR_STATE', 'toSvg: wengert/web/predict predicts only; wengert/web draws')
}
