/** The contract of every engine: kernels by hand and at random, and malformed calls. Programs and runners: the files beside. */

import { expect, test } from 'vitest'
import type { Backend } from '../../lib/backend/backend.js'
import { jsBackend } from '../../lib/backend/js/engine.js'
import { type Call, type ElementwiseOp, elementwiseCodes, elementwiseOps, type KernelName, kernelNames } from '../../lib/backend/program.js'
import { allocate, type Dtype, dtypeOf, type TypedArray } from '../../lib/util/dtype.js'
import { call, codeOf, difference, engines, evaluate, f32, f64, i32, onEveryEngine, u8 } from './engines.js'
import { Draw, random } from './reference.js'

/** One micro-operation over a dense line. */
function unary(backend: Backend, op: ElementwiseOp, compute: 'float32' | 'float64', ...operands: number[][]): number[] {
  const n = (operands[0] as number[]).length
  const inputs = operands.map((x) => (compute === 'float32' ? Float32Array.from(x) : Float64Array.from(x)))
  const registers = [...operands.map((_, i) => i), 0, 0].slice(0, 3)
  const strides = operands.flatMap(() => [n, 1])
  const ints = [compute === 'float32' ? 0 : 1, 1, n, inputs.length, 1, 0, 1, ...strides, inputs.length, elementwiseCodes[op], ...registers]
  return evaluate(backend, call('elementwise', ints), compute, n, ...inputs)
}

const { NaN: nan, POSITIVE_INFINITY: inf } = Number

const unaries: Partial<Record<ElementwiseOp, [number[], number[]]>> = {
  copy: [
    [1, -2],
    [1, -2],
  ],
  neg: [
    [1, -2, nan],
    [-1, 2, nan],
  ],
  abs: [
    [1, -2, -inf],
    [1, 2, inf],
  ],
  sign: [
    [3, -2, 0, nan],
    [1, -1, 0, nan],
  ],
  floor: [
    [1.5, -1.5, 2],
    [1, -2, 2],
  ],
  ceil: [
    [1.5, -1.5, 2],
    [2, -1, 2],
  ],
  round: [
    [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.4, nan, inf],
    [0, 2, 2, -0, -2, -2, 0, nan, inf],
  ],
  square: [
    [3, -4],
    [9, 16],
  ],
  sqrt: [
    [4, -1, 0],
    [2, nan, 0],
  ],
  rsqrt: [
    [4, 0],
    [0.5, inf],
  ],
  reciprocal: [
    [4, -0.5, 0],
    [0.25, -2, inf],
  ],
  exp: [
    [0, 1, -1e4, 1e4, -inf, nan],
    [1, Math.E, 0, inf, 0, nan],
  ],
  expm1: [
    [0, 1, 1e-10],
    [0, Math.E - 1, 1e-10],
  ],
  log: [
    [1, Math.E, 0, -1],
    [0, 1, -inf, nan],
  ],
  log1p: [
    [0, 1, -1],
    [0, Math.LN2, -inf],
  ],
  // 2⁴⁰ and 2⁷⁰: of so far, a reduction by a π of some digits leaves none.
  sin: [
    [0, 1, 2 ** 40, 2 ** 70],
    [0, 0.8414709848078965, -0.40570501153282873, -0.9981794021933068],
  ],
  cos: [
    [0, 1, 2 ** 40, 2 ** 70],
    [1, 0.5403023058681398, -0.914004071991557, 0.060314849224819785],
  ],
  tan: [
    [0, 1, 2 ** 40, 2 ** 70],
    [0, 1.5574077246549023, 0.44387659088741604, -16.549480186424013],
  ],
  asin: [
    [0, 1, 2],
    [0, Math.PI / 2, nan],
  ],
  acos: [
    [1, 0],
    [0, Math.PI / 2],
  ],
  atan: [
    [0, 1, inf],
    [0, Math.PI / 4, Math.PI / 2],
  ],
  sinh: [
    [0, 1],
    [0, 1.1752011936438014],
  ],
  cosh: [
    [0, 1],
    [1, 1.5430806348152437],
  ],
  tanh: [
    [0, 1, 1e4, -1e4, nan],
    [0, 0.7615941559557649, 1, -1, nan],
  ],
  asinh: [
    [0, 1],
    [0, 0.881373587019543],
  ],
  acosh: [
    [1, 2, 0.5, -67100976, -5e7, -inf, inf, nan],
    [0, 1.3169578969248166, nan, nan, nan, nan, inf, nan],
  ],
  atanh: [
    [0, 0.5, 1],
    [0, 0.5493061443340548, inf],
  ],
  erf: [
    [0, 0.25, 1, 2, 5, -1, inf, nan],
    [0, 0.2763263901682369, 0.8427007929497149, 0.9953222650189527, 0.9999999999984626, -0.8427007929497149, 1, nan],
  ],
  sigmoid: [
    [0, 2, 1e4, -1e4, nan],
    [0.5, 0.8807970779778823, 1, 0, nan],
  ],
  logSigmoid: [
    [0, 1e4, -1e4],
    [-Math.LN2, 0, -1e4],
  ],
  softplus: [
    [0, 1e4, -1e4, nan],
    [Math.LN2, 1e4, 0, nan],
  ],
  relu: [
    [2, -2, 0, nan, inf],
    [2, 0, 0, nan, inf],
  ],
  logicalNot: [
    [0, 2, nan],
    [1, 0, 0],
  ],
  isFinite: [
    [0, nan, inf, -inf],
    [1, 0, 0, 0],
  ],
  toBool: [
    [0, -0, 0.3, -2, nan, inf],
    [0, 0, 1, 1, 1, 1],
  ],
  toInt32: [
    [1.7, -1.7, -0.2, nan, inf, -inf, -3e9, 16777216],
    [1, -1, 0, 0, 2147483647, -2147483648, -2147483648, 16777216],
  ],
  wrapInt32: [
    [3, -3, -0, 4294967296, 2147483648, -2147483648, nan],
    [3, -3, 0, 0, -2147483648, -2147483648, 0],
  ],
}

const binaries: Partial<Record<ElementwiseOp, [number[], number[], number[]]>> = {
  add: [
    [1, 2],
    [3, -5],
    [4, -3],
  ],
  sub: [
    [1, 2],
    [3, -5],
    [-2, 7],
  ],
  mul: [
    [1, 2],
    [3, -5],
    [3, -10],
  ],
  div: [
    [1, 2, 0],
    [4, 0, 0],
    [0.25, inf, nan],
  ],
  pow: [
    [2, 1, -1, -8, nan, 0],
    [3, nan, inf, 3, 0, -1],
    [8, 1, 1, -512, 1, inf],
  ],
  atan2: [
    [1, -1],
    [0, -1],
    [Math.PI / 2, (-3 * Math.PI) / 4],
  ],
  mod: [
    [5, -5, 5, -5, 4],
    [3, 3, -3, -3, 2],
    [2, 1, -1, -2, 0],
  ],
  maximum: [
    [1, nan, 2],
    [2, 1, nan],
    [2, nan, nan],
  ],
  minimum: [
    [1, nan, 2],
    [2, 1, nan],
    [1, nan, nan],
  ],
  equal: [
    [1, nan, 2],
    [1, nan, 3],
    [1, 0, 0],
  ],
  notEqual: [
    [1, nan, 2],
    [1, nan, 3],
    [0, 1, 1],
  ],
  less: [
    [1, 2, nan],
    [2, 2, 1],
    [1, 0, 0],
  ],
  lessEqual: [
    [1, 2, nan],
    [2, 2, 1],
    [1, 1, 0],
  ],
  greater: [
    [3, 2, nan],
    [2, 2, 1],
    [1, 0, 0],
  ],
  greaterEqual: [
    [3, 2, nan],
    [2, 2, 1],
    [1, 1, 0],
  ],
  logicalAnd: [
    [1, 0, nan, 0],
    [2, 1, 1, 0],
    [1, 0, 1, 0],
  ],
  logicalOr: [
    [1, 0, nan, 0],
    [2, 1, 1, 0],
    [1, 1, 1, 0],
  ],
  mulInt32: [
    [3, -3, 65536, 65536, -65536, 0],
    [5, 5, 65536, 32768, 32768, -2],
    [15, -15, 0, -2147483648, -2147483648, 0],
  ],
  powInt32: [
    [3, -2, 2, 2, -2, -1, 2, 0, 0],
    [4, 3, 31, 32, 31, -3, -1, 0, -1],
    [81, -8, -2147483648, 0, -2147483648, -1, 0, 1, 2147483647],
  ],
}

onEveryEngine('elementwise', (backend) => {
  for (const compute of ['float32', 'float64'] as const) {
    const array = (values: number[]) => (compute === 'float32' ? Float32Array.from(values) : Float64Array.from(values))
    for (const [op, [x, y]] of Object.entries(unaries)) {
      test(`${op} in ${compute}`, () => expect(difference(array(unary(backend, op as ElementwiseOp, compute, x)), array(y))).toBe(''))
    }
    for (const [op, [a, b, y]] of Object.entries(binaries)) {
      test(`${op} in ${compute}`, () => expect(difference(array(unary(backend, op as ElementwiseOp, compute, a, b)), array(y))).toBe(''))
    }
  }

  // An operation that has no case above is compared with its readable definition.
  const others = (Object.keys(elementwiseOps) as ElementwiseOp[]).filter((op) => !(op in unaries || op in binaries || op === 'where'))
  for (const op of others) {
    const points = [0, -0, 1, -1, 0.3, -0.7, 2.5, 30, -30, inf, -inf, nan]
    const grid = points.flatMap((x) => points.map((y) => [x, y] as const))
    const operands = [grid.map(([x]) => x), grid.map(([, y]) => y)].slice(0, elementwiseOps[op])
    test(`${op} as it is defined`, () => {
      expect(difference(f64(...unary(backend, op, 'float64', ...operands)), f64(...unary(jsBackend, op, 'float64', ...operands)))).toBe('')
    })
  }

  test('where', () => expect(unary(backend, 'where', 'float64', [1, 0, nan], [1, 2, 3], [4, 5, 6])).toEqual([1, 5, 3]))

  test('sigmoid(x · w + b) over a row, a column, a constant and an integer', () => {
    const { mul, add, sub } = elementwiseCodes
    // registers: x dense, w row, b column, k one integer, then the constant 10
    const ints = [1, 2, 3, 4, 1, 1, 4, 3, 1, 0, 1, 1, 0, 0, 0, 8, mul, 0, 1, 0, add, 5, 2, 0, add, 6, 3, 0, sub, 7, 4, 0]
    const out = evaluate(
      backend,
      call('elementwise', ints, [10]),
      'float64',
      6,
      f64(1, 2, 3, 4, 5, 6),
      f64(1, 10, 100),
      f64(0.5, 0.25),
      i32(7),
    )
    expect(out).toEqual([-1.5, 17.5, 297.5, 1.25, 47.25, 597.25])
  })

  test('several outputs, each in its own type', () => {
    const ints = [1, 1, 4, 1, 4, 0, 1, 4, 1, 0, 1, 1, 1, elementwiseCodes.neg, 0, 0, 0]
    const outs = [new Float64Array(4), new Int32Array(4), new Uint8Array(4), new Float32Array(4)]
    backend.run(call('elementwise', ints), outs, [f64(0, 2.9, nan, -1e12)])
    expect(outs.map((x) => Array.from(x))).toEqual([
      [0, 2.9, nan, -1e12],
      [0, -2, 0, 2147483647],
      [0, 1, 1, 1],
      [-0, Math.fround(-2.9), nan, 1e12].map(Math.fround),
    ])
  })

  test('float32 rounds every operation', () => {
    const ints = [0, 1, 1, 1, 1, 1, 2, 1, 1, 3, elementwiseCodes.add, 0, 1, 0, elementwiseCodes.sub, 2, 1, 0]
    expect(evaluate(backend, call('elementwise', ints, [16777216]), 'float32', 1, f32(1))).toEqual([0])
  })

  for (const compute of ['float32', 'float64'] as const) {
    test(`a micro-program in ${compute} gives the bits of its operations one at a time`, () => {
      const draw = new Draw(17)
      const n = 37
      const inners = ['add', 'sub', 'mul', 'div', 'maximum'] as const
      const outers = [...inners, 'sigmoid', 'tanh', 'relu', 'neg', 'square'] as const
      const array = (values: ArrayLike<number>) => Array.from(values)
      for (const inner of inners) {
        for (const outer of outers) {
          for (const order of [
            [3, 2, 0],
            [2, 3, 0],
          ]) {
            const [a, b, c] = [draw.array(compute, n), draw.array(compute, n), draw.array(compute, n)] as [
              TypedArray,
              TypedArray,
              TypedArray,
            ]
            const operands = elementwiseOps[outer] === 1 ? [3, 0, 0] : order
            const codes = [elementwiseCodes[inner], 0, 1, 0, elementwiseCodes[outer], ...operands]
            const ints = [compute === 'float32' ? 0 : 1, 1, n, 3, 1, 0, 2, n, 1, n, 1, n, 1, 4, ...codes]
            const middle = unary(backend, inner, compute, array(a), array(b))
            const pair = elementwiseOps[outer] === 1 ? [middle] : order[0] === 3 ? [middle, array(c)] : [array(c), middle]
            const whole = evaluate(backend, call('elementwise', ints), compute, n, a, b, c)
            expect(`${inner} ${outer} ${whole}`).toBe(`${inner} ${outer} ${unary(backend, outer, compute, ...pair)}`)
          }
        }
      }
    })
  }

  for (const n of [3, 2000]) {
    test(`in place over ${n}: an output may be its input's memory, however the program reads it later`, () => {
      const x = Float64Array.from({ length: n }, (_, i) => i)
      const z = Float64Array.from({ length: n }, (_, i) => -i)
      // r2 = x + z (an output over x), r3 = r2 + x (an output over z)
      const ints = [1, 1, n, 2, 2, 0, 2, n, 1, n, 1, 2, 3, elementwiseCodes.add, 0, 1, 0, elementwiseCodes.add, 2, 0, 0]
      backend.run(call('elementwise', ints), [x, z], [x, z])
      expect(Math.max(...x.map(Math.abs))).toBe(0)
      expect(Array.from(z)).toEqual(Array.from({ length: n }, (_, i) => i))
      // an exchange: outputs are the inputs themselves, crossed
      const [p, q] = [Float64Array.from(z), Float64Array.from(z, (v) => v + 0.5)]
      backend.run(call('elementwise', [1, 1, n, 2, 2, 0, 0, n, 1, n, 1, 1, 0]), [p, q], [p, q])
      expect([p[1], q[1], p[n - 1], q[n - 1]]).toEqual([1.5, 1, n - 0.5, n - 1])
    })
  }

  test('refuses malformed micro-programs', () => {
    const good = [1, 2, 3, 1, 1, 1, 1, 3, 1, 2, elementwiseCodes.add, 0, 1, 0]
    const attempt = (ints: number[], x: TypedArray = new Float64Array(6), out: TypedArray = new Float64Array(6), scalars = [1]) =>
      codeOf(() => backend.run(call('elementwise', ints, scalars), [out], [x]))
    expect(attempt(good)).toBe('nothing')
    const change = (at: number, value: number) => good.map((v, i) => (i === at ? value : v))
    // compute, grid, counts, strides, result, code, registers read ahead, unused operand
    const bad: [number, number][] = [
      [0, 2], [1, -1], [2, 4], [3, 2], [3, -1], [4, 17], [5, 0], [6, 129], [7, 2], [8, 2], [9, 3], [9, -1], [10, 999], [10, 1.5], [11, 2], [12, 2], [13, 1],
    ] // biome-ignore format: a table
    for (const [at, value] of bad) expect(`${at}=${value} ${attempt(change(at, value))}`).toBe(`${at}=${value} ERR_PROGRAM`)
    expect(attempt(good.slice(0, -1))).toBe('ERR_PROGRAM')
    expect(attempt([...good, 0])).toBe('ERR_PROGRAM')
    expect(attempt(good, new Float64Array(5))).toBe('ERR_PROGRAM')
    expect(attempt(good, new Float64Array(6), new Float64Array(7))).toBe('ERR_PROGRAM')
    expect(attempt(good, new Float64Array(6), new Float64Array(6), [])).toBe('ERR_PROGRAM')
    const memory = new Float64Array(7)
    expect(attempt(good, memory.subarray(1), memory.subarray(0, 6))).toBe('ERR_PROGRAM')
    expect(attempt([1, 2, 3, 1, 1, 1, 1, 0, 1, 2, elementwiseCodes.add, 0, 1, 0], memory.subarray(0, 3), memory.subarray(0, 6))).toBe(
      'ERR_PROGRAM',
    )
  })
})

onEveryEngine('kernels by hand', (backend) => {
  const x = f64(1, 5, 3, 4, 2, 6)
  const small = (kernel: KernelName, ints: number[], length: number, dtype: Dtype, ...inputs: TypedArray[]) =>
    evaluate(backend, call(kernel, ints), dtype, length, ...inputs)

  test('matmul', () => {
    const [a, b] = [f64(1, 2, 3, 4), f64(5, 6, 7, 8)]
    const mm = (transA: number, transB: number) =>
      evaluate(backend, call('matmul', [1, 2, 2, 2, transA, transB, 0, 0], [1, 0]), 'float64', 4, a, b)
    expect(mm(0, 0)).toEqual([19, 22, 43, 50])
    expect(mm(1, 0)).toEqual([26, 30, 38, 44])
    expect(mm(0, 1)).toEqual([17, 23, 39, 53])
    expect(mm(1, 1)).toEqual([23, 31, 34, 46])
    const c = f64(1, 1, 1, 1)
    backend.run(call('matmul', [1, 2, 2, 2, 0, 0, 0, 0], [2, -1]), [c], [a, b, f64(0.5)])
    expect(Array.from(c)).toEqual([18, 21, 42, 49])
    backend.run(call('matmul', [1, 2, 2, 0, 0, 0, 0, 0], [1, 2]), [c], [f64(), f64()])
    expect(Array.from(c)).toEqual([36, 42, 84, 98])
  })

  test('reductions', () => {
    expect(small('sum', [1, 2, 3], 3, 'float64', x)).toEqual([5, 7, 9])
    expect(small('sum', [2, 3, 1], 2, 'float64', x)).toEqual([9, 12])
    expect(small('prod', [2, 3, 1], 2, 'float64', x)).toEqual([15, 48])
    expect(small('max', [2, 3, 1], 2, 'float64', x)).toEqual([5, 6])
    expect(small('min', [1, 2, 3], 3, 'float64', x)).toEqual([1, 2, 3])
    expect(small('argmax', [2, 3, 1], 2, 'int32', x)).toEqual([1, 2])
    expect(small('argmin', [1, 2, 3], 3, 'int32', x)).toEqual([0, 1, 0])
    expect(small('cumsum', [2, 3, 1, 0], 6, 'float64', x)).toEqual([1, 6, 9, 4, 6, 12])
    expect(small('cumsum', [1, 2, 3, 1], 6, 'float64', x)).toEqual([5, 7, 9, 4, 2, 6])
    expect(small('any', [2, 2, 1], 2, 'bool', u8(0, 0, 0, 9))).toEqual([0, 1])
    expect(small('all', [2, 2, 1], 2, 'bool', u8(1, 3, 0, 9))).toEqual([1, 0])
  })

  test('reductions of nothing, of NaN, of equals, of integers that wrap', () => {
    expect(small('sum', [2, 0, 1], 2, 'float32', f32())).toEqual([0, 0])
    expect(small('prod', [2, 0, 1], 2, 'float32', f32())).toEqual([1, 1])
    expect(small('all', [1, 0, 1], 1, 'bool', u8())).toEqual([1])
    expect(small('logSumExp', [1, 0, 1], 1, 'float64', f64())).toEqual([-inf])
    for (const kernel of ['max', 'min', 'argmax', 'argmin'] as const) {
      expect(codeOf(() => small(kernel, [2, 0, 1], 2, kernel.startsWith('arg') ? 'int32' : 'float64', f64()))).toBe('ERR_PROGRAM')
      expect(small(kernel, [0, 0, 3], 0, kernel.startsWith('arg') ? 'int32' : 'float64', f64())).toEqual([])
    }
    expect(small('max', [1, 3, 1], 1, 'float64', f64(1, nan, 2))).toEqual([nan])
    expect(small('min', [1, 3, 1], 1, 'float32', f32(nan, 1, 2))).toEqual([nan])
    expect(small('argmax', [1, 4, 1], 1, 'int32', f64(1, nan, 9, nan))).toEqual([1])
    expect(small('argmin', [1, 3, 1], 1, 'int32', f64(1, 1, 2))).toEqual([0])
    expect(small('sum', [1, 2, 1], 1, 'int32', i32(2147483647, 1))).toEqual([-2147483648])
    expect(small('prod', [1, 2, 1], 1, 'int32', i32(65536, 65537))).toEqual([65536])
    // in float32 alone the ones would be lost beside 2²⁴
    expect(small('sum', [1, 5, 1], 1, 'float32', f32(16777216, 1, 1, 1, 1))).toEqual([16777220])
    expect(small('sum', [1, 5, 4], 4, 'float32', f32(16777216, 0, 0, 0, ...new Array(16).fill(1)))).toEqual([16777220, 4, 4, 4])
  })

  test('softmax and its kin neither overflow nor underflow', () => {
    expect(small('softmax', [1, 3, 1], 3, 'float64', f64(1e4, 1e4, -1e4))).toEqual([0.5, 0.5, 0])
    expect(small('logSumExp', [1, 2, 1], 1, 'float64', f64(-1e4, -inf))).toEqual([-1e4])
    expect(small('logSumExp', [1, 2, 1], 1, 'float64', f64(inf, 0))).toEqual([inf])
    expect(small('logSumExp', [1, 2, 1], 1, 'float64', f64(-inf, -inf))).toEqual([-inf])
    expect(small('logSoftmax', [1, 2, 1], 2, 'float64', f64(1e4, 0))).toEqual([0, -1e4])
    expect(small('softmaxCrossEntropy', [2, 2], 2, 'float64', f64(1e4, 0, 0, 0), i32(1, 0))).toEqual([1e4, Math.LN2])
    expect(small('softmaxCrossEntropyGrad', [2, 2], 4, 'float64', f64(1e4, 0, 0, 0), i32(1, 0), f64(2))).toEqual([2, -2, -1, 1])
    expect(small('softmaxCrossEntropyGrad', [2, 2], 4, 'float64', f64(0, 0, 0, 0), i32(1, 0), f64(2, 4))).toEqual([1, -1, -2, 2])
    const [dz, loss] = [new Float64Array(4), new Float64Array(2)]
    backend.run(call('softmaxCrossEntropyGrad', [2, 2]), [dz, loss], [f64(1e4, 0, 0, 0), i32(1, 0), f64(2)])
    expect([Array.from(dz), Array.from(loss)]).toEqual([
      [2, -2, -1, 1],
      [1e4, Math.LN2],
    ])
  })

  test('movement and indexing', () => {
    const copied = (ints: number[], scalars: number[], length: number, source: TypedArray) =>
      evaluate(backend, call('copy', ints, scalars), 'float64', length, source)
    // transpose, flip, pad, repeat, nothing but the fill
    expect(copied([2, 0, 3, 2, 0, 1, 3, 0, 2, 1], [0], 6, x)).toEqual([1, 4, 5, 2, 3, 6])
    expect(copied([1, 0, 6, 5, -1, 0, 1], [0], 6, x)).toEqual([6, 2, 4, 3, 5, 1])
    expect(copied([1, 1, 2, 0, 1, 1, 2], [-1], 5, x)).toEqual([-1, 1, -1, 5, -1])
    expect(copied([1, 0, 2, 0, 1, 1, 1], [-1], 4, x)).toEqual([77, 1, 5, 77])
    expect(copied([2, 0, 2, 2, 0, 0, 1, 0, 2, 1], [0], 4, x)).toEqual([1, 5, 1, 5])
    expect(copied([1, 1, 0, 99, 1, 99, 1], [3], 2, x)).toEqual([3, 3])
    expect(small('concat', [2, 1, 1, 2], 6, 'float64', f64(1, 2), f64(3, 4, 5, 6))).toEqual([1, 3, 4, 2, 5, 6])
    expect(small('gather', [1, 3, 2, 2], 4, 'float64', x, i32(2, 0))).toEqual([2, 6, 1, 5])
    expect(evaluate(backend, call('scatterAdd', [1, 2, 2, 3], [1, 0]), 'float64', 4, x, i32(1, 1, 0))).toEqual([2, 6, 4, 9])
    expect(small('takeAlong', [2, 3, 1, 1], 2, 'float64', x, i32(2, 0))).toEqual([3, 4])
    expect(small('putAlong', [2, 3, 1, 1], 6, 'float64', f64(7, 8), i32(2, 0))).toEqual([0, 0, 7, 8, 0, 0])
    expect(small('oneHot', [2, 3], 6, 'bool', i32(2, 0))).toEqual([0, 0, 1, 1, 0, 0])
    const r = f64(10)
    backend.run(call('accumulate', [3]), [r], [i32(1, 2, 3)])
    backend.run(call('accumulate', [3]), [r], [u8(1, 0, 1)])
    expect(r[0]).toBe(18)
  })

  test('a bad index is refused by name', () => {
    const bad = i32(0, 5, -1)
    const attempts: [KernelName, number[], Dtype, number, TypedArray[]][] = [
      ['gather', [1, 3, 2, 3], 'float64', 6, [x, bad]],
      ['scatterAdd', [1, 2, 2, 3], 'float64', 4, [x, bad]],
      ['takeAlong', [1, 6, 1, 3], 'float64', 3, [x, i32(0, 6, 0)]],
      ['putAlong', [1, 2, 1, 3], 'float64', 2, [f64(1, 2, 3), i32(0, -5, 0)]],
      ['oneHot', [3, 3], 'float32', 9, [bad]],
      ['softmaxCrossEntropy', [3, 2], 'float64', 3, [x, i32(0, 2, 9)]],
      ['softmaxCrossEntropyGrad', [3, 2], 'float64', 6, [x, i32(0, 2, 9), f64(1)]],
    ]
    for (const [kernel, ints, dtype, length, inputs] of attempts) {
      const attempt = () => evaluate(backend, call(kernel, ints, kernel === 'scatterAdd' ? [1, 0] : []), dtype, length, ...inputs)
      expect(`${kernel} ${codeOf(attempt)}`).toBe(`${kernel} ERR_INDEX`)
      expect(attempt).toThrow(/position 1/)
    }
  })
})

onEveryEngine('kernels at random', (backend) => {
  for (const kernel of kernelNames) {
    test(kernel, () => {
      const draw = new Draw(7)
      for (let i = 0; i < 150; i++) {
        const { name, call: what, inputs, before, expected, tolerance } = random(kernel, draw)
        const out = before.slice()
        backend.run(what, [out], inputs)
        expect(`${i}: ${name}: ${difference(out, expected, tolerance)}`).toBe(`${i}: ${name}: `)
      }
    })
  }

  test('malformed calls are refused, whatever is wrong', () => {
    const draw = new Draw(11)
    const junk = [-1, 0.5, nan, 2 ** 53, 1e300, 123456789]
    for (const kernel of kernelNames) {
      for (let i = 0; i < 20; i++) {
        const { call: what, inputs, before, name } = random(kernel, draw)
        const attempt = (change: Partial<Call>, outs: TypedArray[] = [before], ins: TypedArray[] = inputs) =>
          `${kernel} ${name} ${JSON.stringify(change)} ${codeOf(() => backend.run({ ...what, ...change }, outs, ins))}`
        const refused = (text: string) => expect(text).toMatch(/ERR_PROGRAM$/)
        refused(attempt({ ints: [...what.ints, 1] }))
        refused(attempt({ ints: what.ints.slice(1) }))
        refused(attempt({ scalars: [...what.scalars, 1] }))
        // Of two outputs one may be a legitimate second one (a loss beside its gradient), of three never.
        refused(attempt({}, [before, before.slice(), before.slice()]))
        refused(attempt({}, []))
        refused(attempt({}, [before], []))
        refused(attempt({}, [before], [...inputs, f64(1, 2, 3), f64(1, 2, 3)]))
        if (kernel !== 'copy') refused(attempt({}, [allocate(dtypeOf(before) as Dtype, before.length + 1)]))
        refused(attempt({ ints: what.ints.map((v, at) => (at === draw.int(0, 2) || at === 0 ? draw.of(junk.slice(0, 5)) : v)) }))
      }
    }
    expect(codeOf(() => backend.run(call('nonsense' as KernelName, []), [], []))).toBe('ERR_PROGRAM')
    expect(codeOf(() => backend.run(call('toString' as KernelName, []), [], []))).toBe('ERR_PROGRAM')
  })

  test('types that a kernel does not take, operands that overlap, reaches beyond the end', () => {
    const refused = (what: Call, outs: TypedArray[], ins: TypedArray[]) =>
      expect(codeOf(() => backend.run(what, outs, ins))).toBe('ERR_PROGRAM')
    const m = f64(1, 2, 3, 4)
    const product = call('matmul', [1, 2, 2, 2, 0, 0, 0, 0], [1, 0])
    refused(product, [m], [m, f64(1, 2, 3, 4)])
    refused(product, [f64(1, 2, 3, 4)], [m, f32(1, 2, 3, 4)])
    refused(product, [i32(1, 2, 3, 4)], [i32(1, 2, 3, 4), i32(1, 2, 3, 4)])
    refused(call('matmul', [1, 2, 2, 2, 2, 0, 0, 0], [1, 0]), [f64(1, 2, 3, 4)], [m, m])
    refused(call('matmul', [2, 1, 2, 2, 0, 0, 2, 4], [1, 0]), [f64(1, 2, 3, 4)], [m, m])
    refused(call('sum', [1, 4, 1]), [u8(0)], [u8(1, 2, 3, 4)])
    refused(call('any', [1, 4, 1]), [i32(0)], [i32(1, 2, 3, 4)])
    refused(call('softmax', [1, 4, 1]), [m], [m])
    refused(call('softmax', [1, 4, 1]), [i32(0, 0, 0, 0)], [i32(0, 0, 0, 0)])
    refused(call('gather', [1, 4, 1, 1]), [f64(0)], [m, f64(0)])
    refused(call('accumulate', [4]), [f32(0)], [m])
    refused(call('cumsum', [1, 4, 1, 2]), [f64(0, 0, 0, 0)], [m])
    // sources and destinations outside, destinations that coincide
    refused(call('copy', [1, 0, 4, 1, 1, 0, 1], [0]), [f64(0, 0, 0, 0)], [m])
    refused(call('copy', [1, 0, 4, 2, -1, 0, 1], [0]), [f64(0, 0, 0, 0)], [m])
    refused(call('copy', [1, 0, 4, 0, 1, 1, 1], [0]), [f64(0, 0, 0, 0)], [m])
    refused(call('copy', [1, 0, 4, 0, 1, 3, -1], [0]), [f64(0, 0, 0, 0)], [m])
    refused(call('copy', [1, 0, 4, 0, 1, 0, 0], [0]), [f64(0, 0, 0, 0)], [m])
    refused(call('copy', [2, 0, 2, 2, 0, 2, 1, 0, 1, 1], [0]), [f64(0, 0, 0, 0)], [m])
    refused(call('copy', [1, 2, 4, 0, 1, 0, 1], [0]), [f64(0, 0, 0, 0)], [m])
    refused(call('sum', [4503599627370496, 4503599627370496, 1]), [f64()], [f64()])
  })
})

test('the engines agree', ({ skip }) => {
  const [one, other] = engines
  if (!one?.backend || !other?.backend) return skip(`only one engine: ${other?.reason}`)
  const draw = new Draw(13)
  for (const kernel of kernelNames) {
    for (let i = 0; i < 100; i++) {
      const { name, call: what, inputs, before } = random(kernel, draw)
      const outs = [one.backend, other.backend].map((backend) => {
        const out = before.slice()
        backend.run(what, [out], inputs)
        return out
      }) as [TypedArray, TypedArray]
      expect(`${kernel} ${name} ${difference(outs[1], outs[0])}`).toBe(`${kernel} ${name} `)
    }
  }
})
