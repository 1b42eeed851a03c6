/** Where the JavaScript engine comes from, in a place of its own: the package reads it when it computes (lib/package/js-engine.ts). */

import type { Backend } from '../backend.js'
import { jsBackend } from './engine.js'

export const loadJsBackend = (): Backend => jsBackend
