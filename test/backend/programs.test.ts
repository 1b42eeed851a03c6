/** The contract of programs: what compile refuses, and synchronous runs over state, windows and reports. */

import { expect, test } from 'vitest'
import type { Backend } from '../../lib/backend/backend.js'
import { elementwiseCodes, type Program, type Slot } from '../../lib/backend/program.js'
import { Builder, call, codeOf, compiled, difference, engines, f32, f64, i32, onEveryEngine, readState } from './engines.js'
import { trainingProgram } from './training.js'

/** y = a · x + b on `n` elements, as an elementwise call over (x, then a and b as constants). */
const affine = (n: number, a: number, b: number, compute = 1) =>
  call('elementwise', [compute, 1, n, 1, 1, 2, 2, n, 1, 4, elementwiseCodes.mul, 0, 1, 0, elementwiseCodes.add, 3, 2, 0], [a, b])

/** state ← 2 · state + x, then the report gets the sum of the state. */
function simple(): { builder: Builder; rest: Partial<Program> } {
  const builder = new Builder()
  const s = builder.stored(3)
  const x = builder.input(0, 3)
  const { mul, add } = elementwiseCodes
  builder.step(call('elementwise', [1, 1, 3, 2, 1, 1, 2, 3, 1, 3, 1, 4, mul, 0, 2, 0, add, 3, 1, 0], [2]), [s], [s, x])
  builder.step(call('accumulate', [3]), [builder.entry(0)], [s])
  return { builder, rest: { report: 2, inputs: [{ name: 'x', dtype: 'float64', length: 3, advance: 0 }] } }
}

onEveryEngine('programs', (backend) => {
  test('run over state, inputs and report', () => {
    const { builder, rest } = simple()
    const program = compiled(backend, builder, rest)
    const state = backend.createState(24, [{ offset: 0, length: 3, dtype: 'float64' }])
    expect(readState(state, 3)).toEqual([0, 0, 0])
    state.write(0, f64(1, 2, 3))
    const before = state.version
    const report = f64(100, 5)
    program.run(state, [f64(1, 1, 1)], report)
    expect(readState(state, 3)).toEqual([3, 5, 7])
    expect(Array.from(report)).toEqual([115, 5])
    expect(state.version).toBeGreaterThan(before)
    program.run(state, [f64(0, 0, 0)])
    expect(readState(state, 3)).toEqual([6, 10, 14])
    const other = backend.createState(64, [])
    program.run(other, [f64(1, 2, 3)], report)
    expect(readState(other, 3)).toEqual([1, 2, 3])
    expect(readState(state, 3)).toEqual([6, 10, 14])
    expect(report[0]).toBe(121)
  })

  test('the arena lies between steps, and inputs may be written where they are writable', () => {
    const builder = new Builder('float32')
    const [x, t, y] = [builder.input(0, 4), builder.scratch(4), builder.input(1, 4)]
    builder.step(affine(4, 3, 0, 0), [t], [x]).step(affine(4, 1, 1, 0), [y], [t])
    const inputs = [
      { name: 'x', dtype: 'float32', length: 4, advance: 0 },
      { name: 'y', dtype: 'float32', length: 4, advance: 0, writable: true },
    ] as const
    const program = compiled(backend, builder, { inputs })
    const out = new Float32Array(6)
    program.run(undefined, [f32(1, 2, 3, 4), out])
    expect(Array.from(out)).toEqual([4, 7, 10, 13, 0, 0])
    const shared = new Float32Array(6)
    expect(codeOf(() => program.run(undefined, [shared.subarray(0, 4), shared.subarray(2)]))).toBe('ERR_PROGRAM')
  })

  test('refuses inputs, states and reports that do not fit', () => {
    const { builder, rest } = simple()
    const program = compiled(backend, builder, rest)
    const state = backend.createState(24, [])
    expect(codeOf(() => program.run(undefined, [f64(1, 1, 1)]))).toBe('ERR_PROGRAM')
    expect(codeOf(() => program.run(backend.createState(16, []), [f64(1, 1, 1)]))).toBe('ERR_PROGRAM')
    expect(codeOf(() => program.run(state, []))).toBe('ERR_PROGRAM')
    expect(codeOf(() => program.run(state, [f64(1, 1)]))).toBe('ERR_PROGRAM')
    expect(codeOf(() => program.run(state, [f32(1, 1, 1)]))).toBe('ERR_PROGRAM')
    expect(codeOf(() => program.run(state, [f64(1, 1, 1)], f64(0)))).toBe('ERR_PROGRAM')
    const gone = f64(1, 1, 1)
    structuredClone(gone, { transfer: [gone.buffer as ArrayBuffer] })
    expect(codeOf(() => program.run(state, [gone]))).toBe('ERR_DETACHED')
    expect(readState(state, 3)).toEqual([0, 0, 0])
  })

  test('a bad index and a cost that is not finite are coded errors', () => {
    const builder = new Builder()
    builder.step(call('gather', [1, 3, 1, 2]), [builder.scratch(2)], [builder.input(0, 3), builder.input(1, 2, 'int32')])
    const inputs = [
      { name: 'x', dtype: 'float64', length: 3, advance: 0 },
      { name: 'i', dtype: 'int32', length: 2, advance: 0 },
    ] as const
    const program = compiled(backend, builder, { inputs })
    program.run(undefined, [f64(1, 2, 3), i32(0, 2)])
    expect(codeOf(() => program.run(undefined, [f64(1, 2, 3), i32(0, 3)]))).toBe('ERR_INDEX')
    const { builder: cost, rest } = simple()
    const diverging = compiled(backend, cost, rest)
    expect(codeOf(() => diverging.run(backend.createState(24, []), [f64(Number.NaN, 0, 0)]))).toBe('ERR_DIVERGED')
  })

  test('compile refuses what is malformed', () => {
    const { builder, rest } = simple()
    const good = builder.program(rest)
    expect(codeOf(() => backend.compile(good))).toBe('nothing')
    const refused = (change: Partial<Program>) =>
      expect(`${JSON.stringify(change)} ${codeOf(() => backend.compile({ ...good, ...change }))}`).toMatch(/ERR_PROGRAM$/)
    const slot = (index: number, change: Partial<Slot>) =>
      refused({ slots: good.slots.map((s, i) => (i === index ? { ...s, ...change } : s)) })
    const input = { name: 'x', dtype: 'float64', length: 3, advance: 0 } as const
    refused({ stateBytes: 16 })
    refused({ stateBytes: -1 })
    refused({ stateBytes: 24.5 })
    refused({ arenaBytes: 2 ** 60 })
    refused({ report: 0 })
    refused({ report: -1 })
    refused({ inputs: [] })
    refused({ inputs: [{ ...input, length: 2 }] })
    refused({ inputs: [{ ...input, dtype: 'float32' }] })
    refused({ inputs: [{ ...input, advance: -1 }] })
    refused({ inputs: [{ ...input, dtype: 'float16' as 'float32' }] })
    for (const change of [
      { space: 4 },
      { space: -1 },
      { space: 0.5 },
      { offset: 4 },
      { offset: -8 },
      { offset: 8 },
      { length: 4 },
      { length: -1 },
      { length: 2 ** 53 },
      { dtype: 'float16' as 'float32' },
    ] as const) {
      slot(0, change)
    }
    slot(1, { offset: 8 })
    slot(2, { dtype: 'int32' })
    slot(2, { offset: 16 })
    const steps = (index: number, change: object) => refused({ steps: good.steps.map((s, i) => (i === index ? { ...s, ...change } : s)) })
    steps(0, { kernel: 'nothing' })
    steps(0, { inputs: [0, 3] })
    steps(0, { inputs: [0, -1] })
    steps(0, { inputs: [0, 0.5] })
    // an input that is not writable
    steps(0, { outputs: [1] })
    steps(1, { outputs: [0] })
    steps(1, { ints: [4] })
    refused({ dtype: 'int32' as 'float32' })
  })

  test('operands may be the same memory in elementwise only, and then exactly', () => {
    const attempt = (offset: number, length: number, kernel: 'elementwise' | 'softmax') => {
      const builder = new Builder()
      const a = builder.scratch(4)
      builder.scratch(4)
      builder.slots.push({ space: 0, offset, length, dtype: 'float64' })
      builder.step(kernel === 'softmax' ? call('softmax', [1, 4, 1]) : affine(4, 1, 1), [2], [a])
      return codeOf(() => compiled(backend, builder))
    }
    expect(attempt(0, 4, 'elementwise')).toBe('nothing')
    expect(attempt(32, 4, 'softmax')).toBe('nothing')
    expect(attempt(0, 4, 'softmax')).toBe('ERR_PROGRAM')
    expect(attempt(8, 4, 'elementwise')).toBe('ERR_PROGRAM')
    expect(attempt(24, 4, 'softmax')).toBe('ERR_PROGRAM')
  })
})

onEveryEngine('states', (backend) => {
  test('read and write by bytes, inside the block', () => {
    const state = backend.createState(20, [{ offset: 0, length: 5, dtype: 'float32' }])
    expect(state.bytes).toBe(20)
    state.write(4, f32(1, 2))
    const out = new Float32Array(5)
    state.read(0, out)
    expect(Array.from(out)).toEqual([0, 1, 2, 0, 0])
    for (const offset of [-4, 16, 0.5, Number.NaN, 2 ** 53]) {
      expect(`${offset} ${codeOf(() => state.write(offset, f32(1, 2)))}`).toBe(`${offset} ERR_PROGRAM`)
      expect(`${offset} ${codeOf(() => state.read(offset, f32(1, 2)))}`).toBe(`${offset} ERR_PROGRAM`)
    }
  })

  test('refuses floating ranges outside the block', () => {
    for (const range of [
      { offset: 0, length: 3 },
      { offset: 4, length: 1 },
      { offset: -8, length: 1 },
      { offset: 8, length: -1 },
    ]) {
      expect(codeOf(() => backend.createState(16, [{ ...range, dtype: 'float64' }]))).toBe('ERR_PROGRAM')
    }
    expect(codeOf(() => backend.createState(-1, []))).toBe('ERR_PROGRAM')
  })
})

/** A hundred updates of a small network from one start. */
function trained(backend: Backend, dtype: 'float32' | 'float64'): Float32Array | Float64Array {
  const { builder, rest, parameters, start, inputs } = trainingProgram(dtype, { inputs: 6, hidden: 5, classes: 3, batch: 4 })
  const program = compiled(backend, builder, rest)
  const state = backend.createState(builder.state, [{ offset: 0, length: parameters, dtype }])
  state.write(0, start)
  for (let i = 0; i < 100; i++) program.run(state, inputs)
  const out = dtype === 'float32' ? new Float32Array(parameters) : new Float64Array(parameters)
  state.read(0, out)
  return out
}

test('the engines agree after a hundred updates', ({ skip }) => {
  const [one, other] = engines
  if (!one?.backend || !other?.backend) return skip(`only one engine: ${other?.reason}`)
  for (const dtype of ['float32', 'float64'] as const)
    expect(difference(trained(other.backend, dtype), trained(one.backend, dtype))).toBe('')
})
