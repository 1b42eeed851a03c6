/** Attention's kernels on every engine: operands apart or side by side, what is hidden, and calls that are refused. */

import { expect, test } from 'vitest'
import { allocate, type TypedArray } from '../../lib/util/dtype.js'
import { call, codeOf, difference, f64, onEveryEngine } from './engines.js'
import { Draw } from './reference.js'
import { beside, drawn, expectedOf, intsOf } from './reference-attention.js'

onEveryEngine('attention', (backend) => {
  test('operands of their own, keys beside values, all side by side: the same bits, and all gradients', () => {
    const draw = new Draw(3)
    for (let i = 0; i < 84; i++) {
      const dtype = draw.of(['float32', 'float64'] as const)
      // The last heads are of 80, which leaves a remainder behind every width of columns.
      const it = drawn(draw, dtype, i % 2 === 0, i < 60 ? undefined : 80)
      const { m, T, S, apart, g, mask, scale } = it
      const [q, k, v] = apart as [TypedArray, TypedArray, TypedArray]
      const of = (values: readonly number[]) => allocate(dtype, values.length).map((_, j) => values[j] as number) as TypedArray
      const layouts = [apart, [q, of(beside([k, v], m * S))], ...(i % 2 === 0 ? [[of(beside(apart, m * T))]] : [])]
      const [y, ...gradients] = expectedOf(it) as [number[], ...number[][]]
      let first: string | undefined
      for (const operands of layouts) {
        const ints = intsOf(it, operands.length)
        const rest = mask ? [mask] : []
        const out = allocate(dtype, y.length).fill(Number.NaN)
        backend.run(call('attention', ints, [scale]), [out], [...operands, ...rest])
        expect(`${ints} ${difference(out, y)}`).toBe(`${ints} `)
        const outs = operands.map((x) => allocate(dtype, x.length).fill(Number.NaN))
        backend.run(call('attentionGrad', ints, [scale]), outs, [...operands, ...rest, g])
        const [dq, dk, dv] = gradients as [number[], number[], number[]]
        const wanted = [gradients, [dq, beside([dk, dv], m * S)], [beside(gradients, m * T)]][3 - operands.length] as number[][]
        outs.forEach((x, j) => {
          expect(`${ints} gradient ${j}: ${difference(x, wanted[j] as number[])}`).toBe(`${ints} gradient ${j}: `)
        })
        const bits = Buffer.from(out.buffer).toString('base64')
        first ??= bits
        expect(bits === first, `${ints}: other bits`).toBe(true)
      }
    }
  })

  test('a query that may look nowhere gives 0, by bool or −∞; NaN gives NaN; large scores do not overflow', () => {
    const run = (mask: TypedArray | undefined, q: TypedArray, k: TypedArray, keys = 2, causal = 0) => {
      const out = new Float64Array(4)
      const ints = [1, 1, 2, 2, 2, 2, 3, causal, ...(mask ? [1, 1, 2, keys] : [0, 0, 0, 0])]
      const operands = [q, k, f64(1, 2, 3, 4), ...(mask ? [mask] : [])]
      backend.run(call('attention', ints, [1]), [out], operands)
      const gradients = [1, 2, 3].map(() => f64(9, 9, 9, 9))
      backend.run(call('attentionGrad', ints, [1]), gradients, [...operands, f64(1, 1, 1, 1)])
      if (gradients.some((g) => g.some(Number.isNaN)) !== out.some(Number.isNaN)) return 'gradients of NaN'
      return Array.from(out)
    }
    const [q, k] = [f64(1, 0, 0, 1), f64(1, 0, 0, 1)]
    expect(run(Uint8Array.of(0, 0, 0, 1), q, k)).toEqual([0, 0, 3, 4])
    expect(run(f64(-Infinity, -Infinity, -Infinity, 0), q, k)).toEqual([0, 0, 3, 4])
    expect(run(f64(-Infinity, 0), q, k, 1)).toEqual([0, 0, ...run(undefined, q, k).slice(2)])
    expect(run(f64(-Infinity, 0, 0, -Infinity), q, k, 2, 1)).toEqual([0, 0, 1, 2])
    expect(run(f64(NaN, 0, 0, -Infinity), q, k)).toEqual([NaN, NaN, 1, 2])
    expect([...run(undefined, f64(NaN, 0, 0, 1e4), k)].map(Number.isNaN)).toEqual([true, true, false, false])
    expect(run(undefined, f64(1e4, 0, 0, -1e4), k)).toEqual([1, 2, 1, 2])
  })

  test('no queries, no samples: no results, and gradients of 0', () => {
    const [dq, dk, dv] = [f64(), f64(7, 7), f64(7, 7)]
    backend.run(call('attentionGrad', [1, 1, 0, 2, 1, 1, 3, 0, 0, 0, 0, 0], [1]), [dq, dk, dv], [f64(), f64(1, 2), f64(1, 2), f64()])
    expect([...dk, ...dv]).toEqual([0, 0, 0, 0])
    expect(codeOf(() => backend.run(call('attention', [0, 1, 2, 2, 1, 1, 3, 0, 0, 0, 0, 0], [1]), [f64()], [f64(), f64(), f64()]))).toBe(
      'nothing',
    )
  })

  test('misuse', () => {
    const attempt = (ints: readonly number[], mask?: TypedArray) =>
      codeOf(() => backend.run(call('attention', ints, [1]), [f64(0, 0)], [f64(1, 2), f64(1, 2), f64(1, 2), ...(mask ? [mask] : [])]))
    expect(attempt([1, 1, 2, 2, 1, 1, 3, 0, 0, 0, 0, 0])).toBe('nothing')
    for (const ints of [
      [1, 1, 2, 2, 1, 1, 4, 0, 0, 0, 0, 0],
      [1, 1, 2, 2, 1, 1, 3, 2, 0, 0, 0, 0],
      [1, 1, 2, 0, 1, 1, 3, 0, 0, 0, 0, 0],
      [1, 1, 2, 2, 1, 1, 1, 0, 0, 0, 0, 0],
      [1, 1, 2, 2, 1, 1, 3, 0, 1, 1, 2, 2],
    ])
      expect(`${ints} ${attempt(ints)}`).toBe(`${ints} ERR_PROGRAM`)
    const masked = [1, 1, 2, 2, 1, 1, 3, 0, 1, 1, 1, 2]
    expect(attempt(masked, f64(0, 0))).toBe('nothing')
    expect(attempt(masked, Uint8Array.of(1, 1))).toBe('nothing')
    expect(attempt(masked, Float32Array.of(0, 0))).toBe('ERR_PROGRAM')
    expect(attempt(masked, Int32Array.of(0, 0))).toBe('ERR_PROGRAM')
    expect(attempt([1, 1, 2, 2, 1, 1, 3, 0, 1, 1, 3, 2], f64(0, 0, 0, 0, 0, 0))).toBe('ERR_PROGRAM')
  })
})
