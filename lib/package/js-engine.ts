/**
 * Stands for `lib/backend/js/load.ts` in the package: the JavaScript engine is a tenth of the library, and where the native one loads nobody
 * needs it. So its file is read at the first use.
 */

import { createRequire } from 'node:module'
import type { Backend } from '../backend/backend.js'
import type * as load from '../backend/js/load.js'
import { WengertError } from '../errors.js'

let given: Backend | undefined

/** Hands over the engine, where it is at hand anyway: whole.ts. */
export function giveJsBackend(engine: Backend): void {
  given = engine
}

function read(): Backend {
  try {
    const { jsBackend } = createRequire(import.meta.url)('./js-engine.js') as { jsBackend: Backend }
    return jsBackend
  } catch (cause) {
    const remedy =
      'A bundler that joins wengert into a file should resolve it without the condition `node-addons`, or leave it outside; Node must be 20.19, 22.12 or later.'
    throw new WengertError('ERR_BACKEND', `js: the JavaScript engine could not be read: ${(cause as Error).message}. ${remedy}`, { cause })
  }
}

export const loadJsBackend: typeof load.loadJsBackend = () => {
  given ??= read()
  return given
}
