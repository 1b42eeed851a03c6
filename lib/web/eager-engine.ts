/** Stands for the JavaScript engine in the bundle of `wengert/web/predict`: one call at a time, no programs. */

import { run } from '../backend/js/eager.js'
import type { jsBackend as whole } from '../backend/js/engine.js'
import { WengertError } from '../errors.js'

const refuse = (): never => {
  throw new WengertError('ERR_STATE', 'wengert/web/predict predicts only; import wengert/web to differentiate and to train')
}

export const jsBackend: typeof whole = {
  name: 'js',
  offThread: false,
  run,
  compile: refuse,
  createState: refuse,
  createRunner: refuse,
  permutations: refuse,
  info: () => ({ name: 'js', threads: 1 }),
  setThreads: () => {},
}
