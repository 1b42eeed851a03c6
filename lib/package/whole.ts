/** The library with the JavaScript engine beside it, for whoever joins modules into one file: that is read from nowhere later. */

import { jsBackend } from '../backend/js/engine.js'
import { giveJsBackend } from './js-engine.js'

giveJsBackend(jsBackend)

export * from '../index.js'
