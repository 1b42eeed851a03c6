/**
 * The engine in pure TypeScript: `kernels/` is the readable definition of every kernel, `replay/` repeats programs.
 * The fallback where no binary fits, and the oracle of the native one. It runs on the calling thread; runners yield to the event loop every ten milliseconds.
 */

import { permutation } from '../../util/random.js'
import type { Backend } from '../backend.js'
import { run } from './eager.js'
import { malformed } from './kernels/kernel.js'
import { JsExecutable } from './replay/program.js'
import { JsRunner } from './replay/runner.js'
import { JsState } from './replay/state.js'

export const jsBackend: Backend = {
  name: 'js',
  offThread: false,
  run,
  compile: (program) => new JsExecutable(program),
  createState: (bytes, floats) => new JsState(bytes, floats),
  createRunner: (state, programs, inputs) => {
    if (!(state instanceof JsState)) throw malformed('runner', 'a state made by the JavaScript engine', 'another')
    return new JsRunner(state, programs, inputs)
  },
  permutations: (out, n, key) => {
    if (!(out instanceof Int32Array) || !(n > 0) || out.length % n !== 0) {
      throw malformed('permutations', `an Int32Array of a multiple of ${n} elements`, out.length)
    }
    for (let i = 0; i < out.length / n; i++) permutation(out.subarray(i * n, (i + 1) * n), { ...key, a: key.a + i })
  },
  info: () => ({ name: 'js', threads: 1 }),
  setThreads: () => {},
}
