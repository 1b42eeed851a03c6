/** The pool: the same bits at one thread and at two, also when several trainings want it at once. */

import { afterAll, expect, test } from 'vitest'
import { type Call, elementwiseCodes } from '../../lib/backend/program.js'
import { allocate } from '../../lib/util/dtype.js'
import { Builder, call } from '../backend/engines.js'
import { Draw } from '../backend/reference.js'
import { onNative, unless } from './native.js'

const { exp, mul, sigmoid } = elementwiseCodes

// m, n, k: the networks' own products, and sizes that no tile divides
const products = [
  [128, 512, 784],
  [512, 784, 128],
  [256, 1024, 512],
  [128, 10, 512],
  [1797, 32, 64],
  [211, 173, 301],
  [1000, 1000, 7],
] as const

onNative('threads', (native) => {
  const { backend } = native
  const most = (() => {
    backend.setThreads(1024)
    return backend.info().threads
  })()
  afterAll(() => backend.setThreads(most))
  const counts = [1, 2, most]

  for (const dtype of ['float32', 'float64'] as const) {
    const f = dtype === 'float32' ? 0 : 1
    const draw = new Draw(5)
    /** The outputs of a call at each number of threads, several times over. */
    const outcomes = (what: Call, length: number, ...inputs: (Float32Array | Float64Array)[]) =>
      counts.flatMap((threads) => {
        backend.setThreads(threads)
        return Array.from({ length: 3 }, () => {
          const out = allocate(dtype, length)
          backend.run(what, [out], inputs)
          return Buffer.from(out.buffer).toString('base64')
        })
      })
    const one = (texts: readonly string[]) => new Set(texts).size

    test.each(products)(`${dtype} products of %i × %i × %i`, (m, n, k) => {
      for (const [transA, transB] of [
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
      ] as const) {
        const a = draw.array(dtype, m * k) as Float32Array
        const b = draw.array(dtype, k * n) as Float32Array
        expect(one(outcomes(call('matmul', [1, m, n, k, transA, transB, 0, 0], [1, 0]), m * n, a, b))).toBe(1)
      }
    })

    test(`${dtype} batches and large grids`, () => {
      const a = draw.array(dtype, 8 * 96 * 96) as Float32Array
      expect(one(outcomes(call('matmul', [8, 96, 96, 96, 0, 0, 9216, 9216], [1, 0]), 8 * 9216, a, a))).toBe(1)
      const grid = call('elementwise', [f, 700, 333, 2, 1, 0, 3, 333, 1, 0, 1, 4, exp, 1, 0, 0, mul, 0, 2, 0, sigmoid, 3, 0, 0])
      const x = draw.array(dtype, 700 * 333) as Float32Array
      expect(one(outcomes(grid, 700 * 333, x, x.subarray(0, 333)))).toBe(1)
    })

    test(`${dtype} convolutions and their transposes, of pooled gradients too`, () => {
      const [n, c, d] = [5, 24, 35]
      const ints = [n, 12, 11, c, 12, 11, d, 3, 3, 1, 1, 1, 1, 1, 1]
      const [x, w, y, g] = [n * 132 * c, 9 * c * d, n * 132 * d, n * 30 * d].map((size) => draw.array(dtype, size) as Float32Array) as [
        Float32Array,
        Float32Array,
        Float32Array,
        Float32Array,
      ]
      expect(one(outcomes(call('conv', [...ints, 1]), y.length, x, w))).toBe(1)
      expect(one(outcomes(call('convInput', [...ints, 1]), x.length, y, w))).toBe(1)
      expect(one(outcomes(call('convWeight', [...ints, 1]), w.length, x, y))).toBe(1)
      const pooled = [...ints, 6, 5, 2, 2, 2, 2]
      expect(one(outcomes(call('convInputPooled', pooled), x.length, g, y, w))).toBe(1)
      expect(one(outcomes(call('convWeightPooled', pooled), w.length, x, g, y))).toBe(1)
    })

    test(`${dtype} attention and its gradient`, () => {
      const [m, heads, T, d] = [3, 3, 150, 20]
      const [x, g] = [draw.array(dtype, 3 * m * T * heads * d) as Float32Array, draw.array(dtype, m * T * heads * d) as Float32Array]
      for (const causal of [0, 1]) {
        const ints = [m, heads, T, T, d, d, 1, causal, 0, 0, 0, 0]
        expect(one(outcomes(call('attention', ints, [0.2]), g.length, x))).toBe(1)
        expect(one(outcomes(call('attentionGrad', ints, [0.2]), x.length, x, g))).toBe(1)
      }
    })
  }

  // Cores on which products may be cut at multiples of twelve rows; on others the tiles are fixed.
  const twelves = /Haswell|Zen|SkylakeX|Cooperlake/.test(backend.info().blas ?? '')
  test.skipIf(!twelves)(`a product computed in stretches has the bits of its rows${unless(twelves, 'this core has fixed tiles')}`, () => {
    const [m, n, k] = [4200, 700, 700]
    const draw = new Draw(6)
    const [a, b] = [draw.array('float32', m * k) as Float32Array, draw.array('float32', k * n) as Float32Array]
    backend.setThreads(1)
    for (const transB of [0, 1]) {
      const whole = new Float32Array(m * n)
      backend.run(call('matmul', [1, m, n, k, 0, transB, 0, 0], [1, 0]), [whole], [a, b])
      const rows = 600
      for (let at = 0; at < m; at += rows) {
        const part = new Float32Array(rows * n)
        backend.run(call('matmul', [1, rows, n, k, 0, transB, 0, 0], [1, 0]), [part], [a.slice(at * k, (at + rows) * k), b])
        expect(Buffer.compare(Buffer.from(part.buffer), Buffer.from(whole.buffer, at * n * 4, rows * n * 4)), `rows from ${at}`).toBe(0)
      }
    }
  })

  test('several trainings and eager calls at once', async () => {
    const n = 192
    const b = new Builder('float32')
    const [s, t] = [b.stored(n * n), b.scratch(n * n)]
    b.step(call('matmul', [1, n, n, n, 0, 0, 0, 0], [0.01, 0]), [t], [s, s])
    b.step(call('elementwise', [0, n, n, 1, 1, 0, 1, n, 1, 1, sigmoid, 0, 0, 0]), [s], [t])
    const program = backend.compile(b.program())
    const start = new Draw(7).array('float32', n * n)
    const train = async () => {
      const state = backend.createState(4 * n * n, [])
      state.write(0, start)
      const runner = backend.createRunner(state, [program], [])
      await runner.run({ epochs: 5, segments: [{ program: 0, repeat: 40 }], windows: {} })
      const out = new Float32Array(n * n)
      state.read(0, out)
      runner.close()
      return Buffer.from(out.buffer).toString('base64')
    }
    backend.setThreads(1)
    const alone = await train()
    backend.setThreads(most)
    const together = [train(), train(), train()]
    for (let i = 0; i < 50; i++) {
      backend.run(call('matmul', [1, n, n, n, 0, 0, 0, 0], [1, 0]), [new Float32Array(n * n)], [start, start])
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(new Set([alone, ...(await Promise.all(together))]).size).toBe(1)
  })
})
