/** Stands for the native engine in the bundle of `wengert/web`. */

import { WengertError } from '../errors.js'

export function loadNativeBackend(): never {
  throw new WengertError('ERR_BACKEND', 'native: a browser runs no binaries; the JavaScript engine computes')
}
