/**
 * Every kernel again, as its definition reads and as slowly: what the engines are compared with on random calls.
 * `random` gives calls whose operands come from a seeded stream.
 */

import {
  type Call,
  type ElementwiseOp,
  elementwiseCodes,
  elementwiseOps,
  type KernelName,
  rowLayouts,
  sumOfRow,
} from '../../lib/backend/program.js'
import { allocate, type Dtype, type TypedArray } from '../../lib/util/dtype.js'
import { type DrawKind, drawKinds, fillDraws, Stream } from '../../lib/util/random.js'
import { call } from './engines.js'
import { attentionCase } from './reference-attention.js'
import { convCase, poolCase, pooledCase } from './reference-windows.js'

/** A call with its inputs, the type and length of its output, and what the output should be. */
export interface Case {
  name: string
  call: Call
  inputs: TypedArray[]
  /** What the output holds before the call. */
  before: TypedArray
  expected: number[]
  tolerance?: number
}

export class Draw {
  readonly #stream: Stream
  constructor(seed: number) {
    this.#stream = new Stream({ seed, purpose: 0, a: 0, b: 0 })
  }
  int(low: number, high: number): number {
    return low + this.#stream.bounded(high - low + 1)
  }
  of<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)] as T
  }
  array(dtype: Dtype, length: number, low = -2, high = 2): TypedArray {
    const out = allocate(dtype, length)
    for (let i = 0; i < length; i++) {
      if (dtype === 'bool') out[i] = this.int(0, 1)
      else if (dtype === 'int32') out[i] = this.int(low, high)
      else out[i] = low + (high - low) * this.#stream.uniform()
    }
    return out
  }
}

const range = (n: number) => Array.from({ length: n }, (_, i) => i)
const at = (x: ArrayLike<number>, i: number) => x[i] as number

function matmulCase(draw: Draw, dtype: Dtype): Case {
  const batch = draw.int(1, 3)
  const [m, n, k] = [draw.of([0, 1, 2, 3, 5, 9, 17]), draw.of([1, 2, 3, 4, 7, 13, 30]), draw.of([0, 1, 2, 3, 8, 21, 65])]
  const [transA, transB, shared] = [draw.int(0, 1), draw.int(0, 1), draw.int(0, 1)]
  const [strideA, strideB] = [m * k, shared ? 0 : k * n]
  const [alpha, beta] = [draw.of([1, -0.5]), draw.of([0, 1, 0.25])]
  const a = draw.array(dtype, batch * m * k)
  const b = draw.array(dtype, shared ? k * n : batch * k * n)
  const s = draw.int(0, 1) ? draw.array(dtype, 1) : undefined
  const before = beta === 0 ? allocate(dtype, batch * m * n).fill(Number.NaN) : draw.array(dtype, batch * m * n)
  const expected: number[] = []
  for (const q of range(batch)) {
    for (const i of range(m)) {
      for (const j of range(n)) {
        let sum = 0
        for (const p of range(k)) {
          sum += at(a, q * strideA + (transA ? p * m + i : i * k + p)) * at(b, q * strideB + (transB ? j * k + p : p * n + j))
        }
        const old = beta === 0 ? 0 : beta * at(before, (q * m + i) * n + j)
        expected.push(alpha * (s ? at(s, 0) : 1) * sum + old)
      }
    }
  }
  const name = `[${batch}, ${m}, ${n}, ${k}]${transA ? ' aT' : ''}${transB ? ' bT' : ''} alpha ${alpha} beta ${beta}${s ? ' s' : ''}`
  const what = call('matmul', [batch, m, n, k, transA, transB, strideA, strideB], [alpha, beta])
  return { name, call: what, inputs: s ? [a, b, s] : [a, b], before, expected }
}

/** For each (outer, inner): the line of x along the axis. */
function linesOf(x: TypedArray, outer: number, n: number, inner: number): number[][] {
  return range(outer * inner).map((line) => range(n).map((r) => at(x, (Math.floor(line / inner) * n + r) * inner + (line % inner))))
}

const plus = (a: number, b: number) => a + b

const lineResults: Partial<Record<KernelName, (line: number[], dtype: Dtype) => number>> = {
  sum: (line, dtype) => (dtype === 'int32' ? line.reduce(plus, 0) | 0 : line.reduce(plus, 0)),
  prod: (line, dtype) => line.reduce((a, b) => (dtype === 'int32' ? Math.imul(a, b) : a * b), 1),
  max: (line) => line.reduce((a, b) => (a > b || Number.isNaN(a) ? a : b)),
  min: (line) => line.reduce((a, b) => (a < b || Number.isNaN(a) ? a : b)),
  any: (line) => Number(line.some((x) => x !== 0)),
  all: (line) => Number(line.every((x) => x !== 0)),
  argmax: (line) => line.indexOf(Math.max(...line)),
  argmin: (line) => line.indexOf(Math.min(...line)),
  logSumExp: (line) => Math.log(line.map(Math.exp).reduce(plus, 0)),
}

function reductionCase(draw: Draw, kernel: KernelName, dtype: Dtype): Case {
  const [outer, n, inner] = [draw.int(1, 4), draw.of([1, 2, 3, 4, 5, 9, 33]), draw.of([1, 1, 2, 4, 7, 70])]
  const float = dtype === 'float32' || dtype === 'float64'
  const type =
    kernel === 'any' || kernel === 'all' ? 'bool' : kernel === 'logSumExp' && !float ? 'float64' : dtype === 'bool' ? 'int32' : dtype
  const x = draw.array(type, outer * n * inner, type === 'int32' ? -50000 : -2, type === 'int32' ? 50000 : 2)
  const result = lineResults[kernel] as (line: number[], dtype: Dtype) => number
  const out: Dtype = kernel.startsWith('arg') ? 'int32' : type
  return {
    name: `${type} [${outer}, ${n}, ${inner}]`,
    call: call(kernel, [outer, n, inner]),
    inputs: [x],
    before: allocate(out, outer * inner),
    expected: linesOf(x, outer, n, inner).map((line) => result(line, type)),
  }
}

function lineCase(draw: Draw, kernel: 'softmax' | 'logSoftmax' | 'cumsum', dtype: Dtype): Case {
  const [outer, n, inner, reverse] = [draw.int(1, 4), draw.int(1, 12), draw.of([1, 3]), draw.int(0, 1)]
  const x = draw.array(dtype, outer * n * inner)
  const expected = new Array<number>(x.length).fill(0)
  for (const [line, values] of linesOf(x, outer, n, inner).entries()) {
    const total = values.map(Math.exp).reduce(plus, 0)
    for (const r of range(n)) {
      const v = at(values, r)
      const sums = (reverse ? values.slice(r) : values.slice(0, r + 1)).reduce(plus, 0)
      const y = kernel === 'softmax' ? Math.exp(v) / total : kernel === 'logSoftmax' ? v - Math.log(total) : sums
      expected[(Math.floor(line / inner) * n + r) * inner + (line % inner)] = y
    }
  }
  const ints = kernel === 'cumsum' ? [outer, n, inner, reverse] : [outer, n, inner]
  return { name: `${dtype} [${ints}]`, call: call(kernel, ints), inputs: [x], before: allocate(dtype, x.length), expected }
}

function copyCase(draw: Draw, dtype: Dtype): Case {
  const rank = draw.int(0, 4)
  const dims = range(rank).map(() => draw.int(1, 4))
  const size = dims.reduce((a, b) => a * b, 1)
  // a dense destination with its axes in a random order, spread by a gap; a source with any strides
  const order = range(rank).sort(() => draw.int(0, 1) - 0.5)
  const gap = draw.int(1, 2)
  const dst = new Array<number>(rank).fill(0)
  let step = gap
  for (const axis of order) {
    dst[axis] = step
    step *= dims[axis] as number
  }
  const src = range(rank).map(() => draw.int(-3, 4))
  const low = dims.reduce((sum, d, i) => sum + Math.min(0, (d - 1) * (src[i] as number)), 0)
  const high = dims.reduce((sum, d, i) => sum + Math.max(0, (d - 1) * (src[i] as number)), 0)
  const [srcOffset, dstOffset, fill] = [-low + draw.int(0, 2), draw.int(0, 2), draw.int(0, 1)]
  const x = draw.array(dtype, srcOffset + high + 1 + draw.int(0, 2), 0, 9)
  const before = draw.array(dtype, dstOffset + size * gap + draw.int(0, 2), 0, 9)
  const expected = fill ? new Array<number>(before.length).fill(1) : Array.from(before)
  for (const flat of range(size)) {
    let [rest, s, d] = [flat, srcOffset, dstOffset]
    for (let i = rank - 1; i >= 0; i--) {
      const digit = rest % (dims[i] as number)
      rest = Math.floor(rest / (dims[i] as number))
      s += digit * (src[i] as number)
      d += digit * (dst[i] as number)
    }
    expected[d] = at(x, s)
  }
  const ints = [rank, fill, ...dims, srcOffset, ...src, dstOffset, ...dst]
  return { name: `${dtype} [${ints}]`, call: call('copy', ints, [1]), inputs: [x], before, expected }
}

function concatCase(draw: Draw, dtype: Dtype): Case {
  const [outer, inner] = [draw.int(1, 3), draw.int(1, 3)]
  const sizes = range(draw.int(1, 4)).map(() => draw.int(0, 3))
  const inputs = sizes.map((n) => draw.array(dtype, outer * n * inner))
  const expected = range(outer).flatMap((o) =>
    inputs.flatMap((x, i) => Array.from(x.slice(o * (sizes[i] as number) * inner, (o + 1) * (sizes[i] as number) * inner))),
  )
  return {
    name: `${dtype} ${sizes}`,
    call: call('concat', [outer, inner, ...sizes]),
    inputs,
    before: allocate(dtype, expected.length),
    expected,
  }
}

function indexCase(draw: Draw, kernel: 'gather' | 'scatterAdd' | 'takeAlong' | 'putAlong', dtype: Dtype): Case {
  const [outer, n, inner, k] = [draw.int(1, 3), draw.int(1, 5), draw.int(1, 4), draw.int(0, 6)]
  const along = kernel === 'takeAlong' || kernel === 'putAlong'
  const adds = kernel === 'scatterAdd' || kernel === 'putAlong'
  const [big, small] = [outer * n * inner, outer * k * inner]
  const index = draw.array('int32', along ? small : k, 0, n - 1)
  const x = draw.array(dtype, adds ? small : big)
  const onto = kernel === 'scatterAdd' && draw.int(0, 1) === 1
  const before = allocate(dtype, adds ? big : small).fill(1)
  const alpha = kernel === 'scatterAdd' ? draw.of([-0.5, 0.25, 2]) : 1
  const scale = kernel === 'scatterAdd' && draw.int(0, 1) === 1 ? [allocate(dtype, 1).fill(-1.5)] : []
  const factor = scale.length > 0 ? -1.5 * alpha : alpha
  const expected = new Array<number>(adds ? big : small).fill(onto ? 1 : 0)
  for (const o of range(outer)) {
    for (const j of range(k)) {
      for (const i of range(inner)) {
        const one = (o * k + j) * inner + i
        const other = (o * n + at(index, along ? one : j)) * inner + i
        if (adds) expected[other] = (expected[other] as number) + factor * at(x, one)
        else expected[one] = at(x, other)
      }
    }
  }
  const ints = [outer, n, inner, k]
  return {
    name: `${dtype} [${ints}]`,
    call: call(kernel, ints, kernel === 'scatterAdd' ? [alpha, onto ? 1 : 0] : []),
    inputs: [x, index, ...scale],
    before,
    expected,
  }
}

function lossCase(draw: Draw, gradient: boolean, dtype: Dtype): Case {
  const [m, n] = [draw.int(1, 6), draw.int(1, 6)]
  const z = draw.array(dtype, m * n)
  const label = draw.array('int32', m, 0, n - 1)
  const g = draw.array(dtype, draw.of([1, m]))
  const expected = range(m).flatMap((i) => {
    const row = Array.from(z.slice(i * n, (i + 1) * n))
    const total = row.map(Math.exp).reduce(plus, 0)
    if (!gradient) return [Math.log(total) - (row[at(label, i)] as number)]
    const weight = at(g, g.length === 1 ? 0 : i)
    return row.map((v, j) => weight * (Math.exp(v) / total - Number(j === at(label, i))))
  })
  const kernel = gradient ? 'softmaxCrossEntropyGrad' : 'softmaxCrossEntropy'
  return {
    name: `${dtype} [${m}, ${n}]`,
    call: call(kernel, [m, n]),
    inputs: gradient ? [z, label, g] : [z, label],
    before: allocate(dtype, expected.length),
    expected,
  }
}

function oneHotCase(draw: Draw, dtype: Dtype): Case {
  const [k, n] = [draw.int(0, 6), draw.int(1, 6)]
  const index = draw.array('int32', k, 0, n - 1)
  const expected = range(k * n).map((i) => Number(i % n === at(index, Math.floor(i / n))))
  return { name: `${dtype} [${k}, ${n}]`, call: call('oneHot', [k, n]), inputs: [index], before: allocate(dtype, k * n).fill(1), expected }
}

function accumulateCase(draw: Draw, dtype: Dtype): Case {
  const x = draw.array(dtype, draw.int(0, 20))
  const before = draw.array('float64', 1)
  return {
    name: dtype,
    call: call('accumulate', [x.length]),
    inputs: [x],
    before,
    expected: [at(before, 0) + Array.from(x).reduce(plus, 0)],
  }
}

function dropoutCase(draw: Draw, dtype: Dtype): Case {
  const [rows, n, layer, first] = [draw.int(0, 5), draw.of([0, 1, 3, 8, 64, 65, 131]), draw.int(0, 3), draw.int(0, 100)]
  const [low, high, update, row] = [draw.int(0, 2 ** 31 - 1), draw.int(0, 2 ** 21 - 1), draw.int(0, 9999), draw.int(0, 99)]
  const rate = draw.of([0, 0.25, 0.5, 0.9, 1])
  const x = draw.array(dtype, rows * n)
  const expected = range(rows).flatMap((r) => {
    const stream = new Stream({ seed: low + high * 2 ** 32, purpose: 2 + 256 * layer, a: first + row + r, b: update })
    return range(n).map((j) => (stream.word() / 2 ** 32 >= rate ? at(x, r * n + j) / (1 - rate) : 0))
  })
  return {
    name: `${dtype} [${rows}, ${n}] rate ${rate}`,
    call: call('dropout', [rows, n, layer, first], [rate]),
    inputs: [x, Int32Array.of(low, high, update, row)],
    before: allocate(dtype, rows * n).fill(Number.NaN),
    expected,
  }
}

function toIndexCase(draw: Draw, dtype: Dtype): Case {
  const [k, n] = [draw.of([0, 1, 5, 33]), draw.int(1, 9)]
  const index = draw.array('int32', k, 0, n - 1)
  const x = allocate(dtype, k)
  x.set(index)
  return {
    name: `${dtype} [${k}, ${n}]`,
    call: call('toIndex', [k, n]),
    inputs: [x],
    before: allocate('int32', k),
    expected: Array.from(index),
  }
}

function randomCase(draw: Draw, dtype: Dtype): Case {
  const [kind, n, purpose, byRow] = [draw.int(0, 2), draw.of([0, 1, 2, 3, 8, 65]), draw.int(0, 9999), draw.int(0, 1)]
  const [low, high] = [draw.int(0, 2 ** 31 - 1), draw.int(0, 2 ** 31 - 1)]
  const counter = Int32Array.from({ length: 4 }, () => draw.int(-(2 ** 31), 2 ** 31 - 1))
  const [c0, c1, c2, c3] = counter as unknown as [number, number, number, number]
  const seed = ((c0 ^ low) >>> 0) + 2 ** 32 * ((c1 ^ high) & 0x1fffff)
  const expected = allocate(kind === 2 ? 'int32' : dtype, n)
  fillDraws(expected, drawKinds[kind] as DrawKind, { seed, purpose, a: c2 >>> 0, b: byRow ? c3 >>> 0 : 0 }, -2, 3)
  return {
    name: `${expected.constructor.name} [${n}] ${drawKinds[kind]}`,
    call: call('random', [n, kind, purpose, byRow, low, high], [-2, 3]),
    inputs: [counter],
    before: allocate(kind === 2 ? 'int32' : dtype, n),
    expected: Array.from(expected),
    tolerance: 0,
  }
}

/** Straight-line programs of these are exact enough to compare at any depth. */
const smooth: ElementwiseOp[] = [
  'add',
  'sub',
  'mul',
  'maximum',
  'minimum',
  'less',
  'where',
  'neg',
  'abs',
  'sigmoid',
  'tanh',
  'relu',
  'copy',
  'toBool',
  'toInt32',
  'wrapInt32',
  'mulInt32',
]
const define: Partial<Record<ElementwiseOp, (a: number, b: number, c: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  maximum: (a, b) => Math.max(a, b),
  minimum: (a, b) => Math.min(a, b),
  less: (a, b) => Number(a < b),
  where: (a, b, c) => (a !== 0 ? b : c),
  neg: (a) => -a,
  abs: (a) => Math.abs(a),
  sigmoid: (a) => 1 / (1 + Math.exp(-a)),
  tanh: (a) => Math.tanh(a),
  relu: (a) => Math.max(a, 0),
  copy: (a) => a,
  toBool: (a) => Number(a !== 0),
  toInt32: (a) => Math.max(-2147483648, Math.min(2147483647, Math.trunc(a))) + 0,
  wrapInt32: (a) => Math.trunc(a) | 0,
  mulInt32: (a, b) => Math.imul(Math.trunc(a), Math.trunc(b)),
}

function elementwiseCase(draw: Draw, dtype: 'float32' | 'float64'): Case {
  const [rows, cols] = [draw.of([1, 2, 3, 40, 130]), draw.of([1, 2, 5, 33, 300, 700])]
  const layouts = range(draw.int(1, 4)).map(
    () =>
      draw.of([
        [cols, 1],
        [cols, 1],
        [0, 1],
        [1, 0],
        [0, 0],
      ]) as [number, number],
  )
  const inputs = layouts.map(([r, c]) => {
    const length = r === 0 && c === 0 ? 1 : r === cols && c === 1 ? rows * cols : c === 1 ? cols : rows
    return draw.array(draw.of([dtype, dtype, dtype, 'int32', 'bool', 'float64'] as const), length)
  })
  const scalars = range(draw.int(0, 3)).map(() => draw.int(-2, 2) + 0.5)
  const first = inputs.length + scalars.length
  const ops = range(draw.int(1, 12)).map((i) => {
    const op = draw.of(smooth)
    const operands = range(3).map((slot) => (slot < elementwiseOps[op] ? draw.int(0, first + i - 1) : 0))
    return { op, operands }
  })
  const result = draw.int(0, 3) === 0 ? draw.int(0, first + ops.length - 1) : first + ops.length - 1
  const round = dtype === 'float32' ? Math.fround : (x: number) => x
  const expected = range(rows * cols).map((i) => {
    const [r, c] = [Math.floor(i / cols), i % cols]
    const registers = inputs.map((x, n) => round(at(x, r * (layouts[n] as [number, number])[0] + c * (layouts[n] as [number, number])[1])))
    registers.push(...scalars.map(round))
    for (const { op, operands } of ops) {
      const [x, y, z] = operands.map((register) => registers[register] as number) as [number, number, number]
      registers.push(round((define[op] as (a: number, b: number, c: number) => number)(x, y, z)))
    }
    return registers[result] as number
  })
  const ints = [dtype === 'float32' ? 0 : 1, rows, cols, inputs.length, 1, scalars.length, ops.length, ...layouts.flat(), result]
  for (const { op, operands } of ops) ints.push(elementwiseCodes[op], ...operands)
  const before = allocate(dtype, rows * cols)
  // a difference in the last place of a transcendental may grow through products: compare a little more loosely
  return {
    name: `${dtype} [${rows}, ${cols}] ${ops.length} ops`,
    call: call('elementwise', ints, scalars),
    inputs,
    before,
    expected,
    tolerance: dtype === 'float32' ? 1e-4 : 1e-11,
  }
}

/** Random ops on elements of rows and on numbers a row, with sums of rows between them. */
function rowwiseCase(draw: Draw, dtype: 'float32' | 'float64'): Case {
  const [rows, cols] = [draw.of([0, 1, 2, 3, 40, 130]), draw.of([1, 2, 5, 16, 33, 300, 700])]
  const lengths = { dense: rows * cols, row: cols, column: rows, single: 1 }
  const layouts = ['dense' as const, ...range(draw.int(0, 3)).map(() => draw.of(rowLayouts))]
  const inputs = layouts.map((layout) =>
    draw.array(draw.of([dtype, dtype, dtype, 'int32', 'bool', 'float64'] as const), lengths[layout], -1, 1),
  )
  const scalars = range(draw.int(0, 3)).map(() => draw.int(-2, 2) / 4)
  const first = inputs.length + scalars.length
  const wide = [...layouts.map((layout) => layout === 'dense' || layout === 'row'), ...scalars.map(() => false)]
  const ops = range(draw.int(1, 12)).map((i) => {
    const register = () => draw.int(0, first + i - 1)
    const sum = draw.int(0, 3) === 0
    const op = sum ? undefined : draw.of(['add', 'sub', 'mul', 'maximum', 'neg', 'where', 'tanh'] as const)
    let operands = range(3).map((slot) => (slot < (op ? elementwiseOps[op] : 1) ? register() : 0))
    if (sum && !wide[operands[0] as number]) operands = [0, 0, 0]
    wide.push(!sum && operands.slice(0, op ? elementwiseOps[op] : 1).some((r) => wide[r]))
    return { op, operands }
  })
  const result = first + draw.int(0, ops.length - 1)
  const round = dtype === 'float32' ? Math.fround : (x: number) => x
  const expected = range(rows).flatMap((r) => {
    const registers = inputs.map((x, n) => {
      const layout = layouts[n] as (typeof rowLayouts)[number]
      return range(cols).map((c) => round(at(x, layout === 'dense' ? r * cols + c : layout === 'row' ? c : layout === 'column' ? r : 0)))
    })
    for (const value of scalars) registers.push(new Array(cols).fill(round(value)))
    for (const { op, operands } of ops) {
      const [x, y, z] = operands.map((register) => registers[register] as number[]) as [number[], number[], number[]]
      const total = round(x.reduce((a, b) => a + b, 0))
      const f = op && (define[op] as (a: number, b: number, c: number) => number)
      registers.push(range(cols).map((c) => (f ? round(f(at(x, c), at(y, c), at(z, c))) : total)))
    }
    return (registers[result] as number[]).slice(0, wide[result] ? cols : 1)
  })
  const ints = [dtype === 'float32' ? 0 : 1, rows, cols, inputs.length, 1, scalars.length, ops.length]
  ints.push(...layouts.map((layout) => rowLayouts.indexOf(layout)), result)
  for (const { op, operands } of ops) ints.push(op ? elementwiseCodes[op] : sumOfRow, ...operands)
  const before = allocate(dtype, expected.length)
  const tolerance = dtype === 'float32' ? 1e-3 : 1e-10
  return {
    name: `${dtype} [${rows}, ${cols}] ${ops.length} ops`,
    call: call('rowwise', ints, scalars),
    inputs,
    before,
    expected,
    tolerance,
  }
}

function argsortCase(draw: Draw, dtype: Dtype): Case {
  const [outer, n, descending] = [draw.int(1, 4), draw.int(1, 40), draw.int(0, 1)]
  // Few values, so that there are ties.
  const x = draw.array(dtype, outer * n, -3, 3).map(Math.round) as TypedArray
  const expected = linesOf(x, outer, n, 1).flatMap((line) =>
    range(n).sort((a, b) => (descending ? -1 : 1) * ((line[a] as number) - (line[b] as number)) || a - b),
  )
  return {
    name: `${dtype} [${outer}, ${n}]${descending ? ' descending' : ''}`,
    call: call('argsort', [outer, n, descending]),
    inputs: [x],
    before: allocate('int32', outer * n),
    expected,
  }
}

/** Of one process, whose sums are its own values. */
function allReduceCase(draw: Draw, dtype: Dtype): Case {
  const vote = draw.int(0, 1)
  const sizes = range(draw.int(1, 4)).map(() => draw.int(0, 9))
  const inputs = [...sizes, ...(vote ? [1] : [])].map((n) => draw.array(dtype, n, -3, 3))
  const expected = inputs.flatMap((x, i) => (vote && i === inputs.length - 1 ? [0] : Array.from(x)))
  return {
    name: `${dtype} ${sizes}${vote ? ' and a vote' : ''}`,
    call: call('allReduce', [vote, ...inputs.map(({ length }) => length)]),
    inputs,
    before: allocate(dtype, expected.length),
    expected,
  }
}

/** A random case of a kernel. */
export function random(kernel: KernelName, draw: Draw): Case {
  const float = draw.of(['float32', 'float64'] as const)
  const any = draw.of(['float32', 'float64', 'int32', 'bool'] as const)
  switch (kernel) {
    case 'elementwise':
      return elementwiseCase(draw, float)
    case 'rowwise':
      return rowwiseCase(draw, float)
    case 'matmul':
      return matmulCase(draw, float)
    case 'softmax':
    case 'logSoftmax':
      return lineCase(draw, kernel, float)
    case 'cumsum':
      return lineCase(draw, kernel, draw.of(['float32', 'float64', 'int32'] as const))
    case 'copy':
      return copyCase(draw, any)
    case 'concat':
      return concatCase(draw, any)
    case 'gather':
    case 'takeAlong':
      return indexCase(draw, kernel, any)
    case 'scatterAdd':
    case 'putAlong':
      return indexCase(draw, kernel, float)
    case 'oneHot':
      return oneHotCase(draw, any)
    case 'softmaxCrossEntropy':
    case 'softmaxCrossEntropyGrad':
      return lossCase(draw, kernel === 'softmaxCrossEntropyGrad', float)
    case 'accumulate':
      return accumulateCase(draw, any)
    case 'toIndex':
      return toIndexCase(draw, float)
    case 'argsort':
      return argsortCase(draw, draw.of(['float32', 'float64', 'int32'] as const))
    case 'allReduce':
      return allReduceCase(draw, float)
    case 'random':
      return randomCase(draw, float)
    case 'dropout':
      return dropoutCase(draw, float)
    case 'conv':
    case 'convInput':
    case 'convWeight':
      return convCase(draw, kernel, float)
    case 'convInputPooled':
    case 'convWeightPooled':
      return pooledCase(draw, kernel, float)
    case 'attention':
    case 'attentionGrad':
      return attentionCase(draw, kernel, float)
    case 'maxPool':
    case 'poolTake':
    case 'poolPut':
      return poolCase(draw, kernel, float)
    default:
      return reductionCase(draw, kernel, any)
  }
}
