/** Which engine runs: the native one where its binary loads, else the JavaScript one, with the reason kept. */

import type { WengertError } from '../errors.js'
import { cachedBytes } from '../util/bounded-cache.js'
import { checkChoice, checkNumber } from '../util/options.js'
import type { Backend, BackendInfo, BackendName } from './backend.js'
import { loadJsBackend } from './js/load.js'
import { loadNativeBackend } from './native/engine.js'

let current: Backend | undefined
let reason: string | undefined
let threads: number | undefined
const threadRule = { integer: true, min: 1, max: 1024 }

function native(): Backend | WengertError {
  try {
    return loadNativeBackend()
  } catch (error) {
    return error as WengertError
  }
}

let warned = false

/** Once a process, where the native engine was wanted and is not to be had; `--disable-warning=WENGERT_JS` silences it. */
function warn(error: WengertError): void {
  if (warned) return
  warned = true
  // What was tried, and in the last line what to do on this platform.
  const lines = error.message.split('\n')
  const remedy = lines.pop()
  const message = `wengert: the native engine could not be loaded; the JavaScript engine runs instead, more slowly. ${remedy} \`npx wengert doctor\` says more.`
  process.emitWarning(message, { type: 'WengertWarning', code: 'WENGERT_JS', detail: lines.join('\n') })
}

/** Errors: ERR_RANGE for a WENGERT_THREADS that is no number of threads: the engines would take all processors instead. */
function checkThreads(): void {
  const { WENGERT_THREADS: wanted } = process.env
  if (wanted === undefined || wanted === '') return
  checkNumber('WENGERT_THREADS', 'the environment variable', /^\s*\d{1,4}\s*$/.test(wanted) ? Number(wanted) : wanted, threadRule)
}

function select(name: BackendName | undefined, why: string): Backend {
  checkThreads()
  const loaded = name === 'js' ? loadJsBackend() : native()
  if (loaded instanceof Error && name === 'native') throw loaded
  const chosen = loaded instanceof Error ? loadJsBackend() : loaded
  if (loaded instanceof Error) warn(loaded)
  reason = loaded instanceof Error ? loaded.message : name === 'js' ? why : undefined
  if (threads !== undefined) chosen.setThreads(threads)
  current = chosen
  return chosen
}

/** The engine in use; chosen at the first call: `WENGERT_BACKEND` (native or js), else native if it loads. */
export function engine(): Backend {
  if (current) return current
  const wanted = process.env.WENGERT_BACKEND
  if (wanted === undefined || wanted === '') return select(undefined, '')
  return select(checkChoice('WENGERT_BACKEND', 'the engine', wanted, ['native', 'js'] as const), 'WENGERT_BACKEND=js')
}

/**
 * What computes: `name` is 'native' or 'js'; `reason` says why it is not native; `blas` is the GEMM kernel; `threads` how many
 * a training may use; `cachedBytes` what is kept for calls of shapes that were seen before.
 */
export function backend(): BackendInfo {
  const info = { ...engine().info(), cachedBytes: cachedBytes() }
  return reason === undefined ? info : { ...info, reason }
}

/**
 * Chooses the engine for everything that starts from now on.
 *
 * @throws ERR_BACKEND where the native binary cannot be loaded, listing every attempt
 */
export function setBackend(name: BackendName): void {
  select(checkChoice('setBackend', 'the engine', name, ['native', 'js'] as const), "setBackend('js')")
}

/** How many threads one training may use (the same bits at any number). The environment variable WENGERT_THREADS sets the start. */
export function setThreads(n: number): void {
  threads = checkNumber('setThreads', 'threads', n, threadRule)
  engine().setThreads(threads)
}
