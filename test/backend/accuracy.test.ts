/**
 * The vectorised functions against float64, in units in the last place of float32: over a comb through all 2³² floats here, over
 * every one of them with WENGERT_SWEEP=1 (`npm run test:accuracy`, minutes).
 */

import { expect, test } from 'vitest'
import { type ElementwiseOp, elementwiseCodes } from '../../lib/backend/program.js'
import { call, onEveryEngine } from './engines.js'

/** A prime, so that the comb meets all exponents and mantissas. */
const stride = process.env.WENGERT_SWEEP ? 1 : 2003
const chunk = 1 << 20

const softplus = (x: number) => (x > 0 ? x : 0) + Math.log1p(Math.exp(-Math.abs(x)))
const functions: Partial<Record<ElementwiseOp, { exact: (x: number) => number; ulps: number }>> = {
  exp: { exact: Math.exp, ulps: 4 },
  tanh: { exact: Math.tanh, ulps: 4 },
  sigmoid: { exact: (x) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x))), ulps: 4 },
  log: { exact: Math.log, ulps: 4 },
  softplus: { exact: softplus, ulps: 4 },
}

/** The distance of two neighbouring floats at |x|, subnormals included. */
const ulp = (x: number): number => 2 ** Math.max(Math.floor(Math.log2(Math.abs(x))) - 23, -149)

onEveryEngine('accuracy over all of float32', (backend) => {
  test.each(Object.entries(functions))(
    '%s',
    (name, { exact, ulps }) => {
      const bits = new Uint32Array(chunk)
      const x = new Float32Array(bits.buffer)
      const y = new Float32Array(chunk)
      const what = call('elementwise', [0, 1, chunk, 1, 1, 0, 1, chunk, 1, 1, elementwiseCodes[name as ElementwiseOp], 0, 0, 0])
      let worst = 0
      let at = 0
      for (let from = 0; from < 2 ** 32; from += chunk * stride) {
        for (let i = 0; i < chunk; i++) bits[i] = from + i * stride
        backend.run(what, [y], [x])
        const count = Math.min(chunk, Math.ceil((2 ** 32 - from) / stride))
        for (let i = 0; i < count; i++) {
          const [input, result] = [x[i] as number, y[i] as number]
          const expected = exact(input)
          if (result === expected || result === Math.fround(expected)) continue
          if (Number.isNaN(expected) && Number.isNaN(result)) continue
          const off = Math.abs(result - expected) / ulp(expected)
          if (off <= worst) continue
          worst = off
          at = input
        }
      }
      expect(worst, `${worst} units in the last place at ${at}`).toBeLessThanOrEqual(ulps)
    },
    3_600_000,
  )
})
