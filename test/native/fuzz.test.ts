/**
 * Nothing that JavaScript passes may crash the process or reach outside its memory. Ten thousand programs, each a good one with
 * some of its words changed, are compiled, and run where they pass; the arrays given to them lie between canaries. To look
 * closer, build with sanitizers (scripts/build-native.mjs) and run this file with that binary.
 */

import { expect, test } from 'vitest'
import { type Call, elementwiseCodes, type Program, type Step } from '../../lib/backend/program.js'
import { errorCodes } from '../../lib/errors.js'
import { bytesPerElement, type TypedArray, viewOf } from '../../lib/util/dtype.js'
import { Stream } from '../../lib/util/random.js'
import { Builder, call } from '../backend/engines.js'
import { trainingProgram } from '../backend/training.js'
import { onNative, wordsOf } from './native.js'

const { add, mul, exp } = elementwiseCodes

/** One program with every kernel in it, over all four spaces. */
function everyKernel(dtype: 'float32' | 'float64'): Program {
  const b = new Builder(dtype)
  const f = dtype === 'float32' ? 0 : 1
  const [x, index, out] = [b.input(0, 24), b.input(1, 4, 'int32'), b.input(2, 24)]
  const s = b.stored(24)
  const t = () => b.scratch(24)
  b.step(
    call('elementwise', [f, 4, 6, 2, 1, 1, 3, 6, 1, 0, 1, 5, mul, 0, 2, 0, exp, 3, 0, 0, add, 4, 1, 0], [0.5]),
    [t()],
    [x, b.stored(6)],
  )
  b.step(call('matmul', [1, 4, 4, 6, 0, 1, 0, 0], [1, 0]), [b.scratch(16)], [x, s])
  b.step(call('matmul', [2, 2, 2, 3, 1, 0, 6, 0], [2, 1]), [b.stored(8)], [b.scratch(12), b.scratch(6)])
  for (const kernel of ['sum', 'prod', 'max', 'min'] as const) b.step(call(kernel, [2, 3, 4]), [b.scratch(8)], [x])
  for (const kernel of ['any', 'all'] as const) b.step(call(kernel, [2, 3, 4]), [b.scratch(8, 'bool')], [b.scratch(24, 'bool')])
  for (const kernel of ['argmax', 'argmin'] as const) b.step(call(kernel, [2, 3, 4]), [b.scratch(8, 'int32')], [x])
  b.step(call('cumsum', [2, 3, 4, 1]), [t()], [x])
  for (const kernel of ['softmax', 'logSoftmax'] as const) b.step(call(kernel, [4, 6, 1]), [t()], [x])
  b.step(call('logSumExp', [4, 6, 1]), [b.scratch(4)], [x])
  b.step(call('copy', [2, 1, 4, 6, 0, 1, 4, 0, 6, 1], [3]), [out], [x])
  b.step(call('copy', [2, 0, 2, 3, 23, -6, -2, 1, 3, 1], [0]), [s], [x])
  b.step(call('concat', [2, 2, 3, 1]), [b.scratch(16)], [b.scratch(12), b.scratch(4)])
  b.step(call('gather', [2, 3, 4, 4]), [b.scratch(32)], [x, index])
  b.step(call('scatterAdd', [1, 6, 4, 4], [0.5, 1]), [t()], [b.scratch(16), index])
  b.step(call('takeAlong', [1, 6, 4, 1]), [b.scratch(4)], [x, index])
  b.step(call('putAlong', [1, 6, 4, 1]), [t()], [b.scratch(4), index])
  b.step(call('oneHot', [4, 6]), [t()], [index])
  b.step(call('softmaxCrossEntropy', [4, 6]), [b.scratch(4)], [x, index])
  b.step(call('softmaxCrossEntropyGrad', [4, 6]), [t()], [x, index, b.scratch(1)])
  const windows = [1, 3, 4, 2, 2, 3, 3, 2, 2, 1, 1, 0, 0, 1, 1, 1]
  b.step(call('conv', windows), [b.scratch(18)], [x, t()])
  b.step(call('convInput', windows), [t()], [b.scratch(18), s])
  b.step(call('convWeight', windows), [t()], [x, b.scratch(18)])
  const pools = [1, 3, 4, 2, 1, 2, 2, 2, 2, 2, 0, 0, 1, 1]
  b.step(call('maxPool', pools), [b.scratch(4)], [x])
  b.step(call('poolTake', pools), [b.scratch(4)], [t(), x])
  b.step(call('poolPut', pools), [t()], [b.scratch(4), x])
  const pooled = [...windows.slice(0, -1), 1, 1, 2, 2, 2, 2]
  b.step(call('convInputPooled', pooled), [t()], [b.scratch(3), b.scratch(18), s])
  b.step(call('convWeightPooled', pooled), [t()], [x, b.scratch(3), b.scratch(18)])
  const attended = [1, 2, 2, 2, 2, 2, 1, 1, 0, 0, 0, 0]
  b.step(call('attention', attended, [0.5]), [b.scratch(8)], [t()])
  b.step(call('attentionGrad', attended, [0.5]), [t()], [b.scratch(24), b.scratch(8)])
  b.step(call('accumulate', [24]), [b.entry(0)], [x])
  b.step(call('dropout', [4, 6, 1, 0], [0.5]), [t()], [x, index])
  b.step(call('toIndex', [4, 6]), [b.scratch(4, 'int32')], [b.scratch(4)])
  // Small steps of the other type among those of this one: what becomes a line, and what must not.
  const other = dtype === 'float32' ? 'float64' : 'float32'
  const small = b.scratch(4, other)
  const elsewhere = [1 - f, 1, 4, 1, 1, 0, 1, 4, 1, 1, elementwiseCodes.copy, 0, 0, 0]
  b.step(call('elementwise', [1, ...elsewhere.slice(1)]), [small], [b.scratch(4)])
  b.step(call('matmul', [1, 2, 2, 2, 0, 0, 4, 4], [1, 0]), [b.scratch(4, other)], [small, b.stored(4, other)])
  b.step(call('sum', [2, 2, 1]), [b.stored(2, other)], [small])
  b.step(call('gather', [1, 2, 2, 1]), [b.scratch(2, other)], [small, b.scratch(1, 'int32')])
  b.step(call('elementwise', elsewhere), [b.scratch(4, other)], [small])
  b.step(call('accumulate', [4]), [b.entry(0)], [small])
  b.step(call('elementwise', [1, ...elsewhere.slice(1)]), [b.scratch(4)], [small])
  const inputs = [
    { name: 'x', dtype, length: 24, advance: 1 },
    { name: 'index', dtype: 'int32', length: 4, advance: 4 },
    { name: 'out', dtype, length: 24, advance: 0, writable: true },
  ] as const
  return b.program({ report: 2, inputs })
}

/** Loops, one in another, over windows of inputs, of the state and of scratch. */
function loops(dtype: 'float32' | 'float64'): Program {
  const b = new Builder(dtype)
  const f = dtype === 'float32' ? 0 : 1
  const [x, index, out, s, t, c] = [b.input(0, 4), b.input(1, 1, 'int32'), b.input(2, 4), b.stored(24), b.scratch(24), b.scratch(4)]
  const piece = b.slots.push({ space: 1, offset: 0, length: 2, dtype }) - 1
  const row = b.slots.push({ space: 0, offset: 0, length: 4, dtype }) - 1
  const two = (op: number) => call('elementwise', [f, 1, 4, 2, 1, 0, 1, 4, 1, 4, 1, 2, op, 0, 1, 0])
  const loop = (length: number, windows: [number, number][], steps: Step[]): Step => ({
    ...{ kernel: 'loop', outputs: [], inputs: [], ints: [], scalars: [] },
    loop: { length, windows: windows.map(([slot, advance]) => ({ slot, advance })), steps },
  })
  const step = (what: Call, outputs: number[], inputs: number[]): Step => ({ ...what, outputs, inputs })
  b.step(call('copy', [1, 1, 0, 0, 1, 0, 1], [0.5]), [c], [x])
  b.steps.push(
    loop(
      6,
      [
        [x, 4],
        [out, 4],
        [row, 4],
      ],
      [
        step(two(add), [c], [c, x]),
        step(two(mul), [row], [c, x]),
        loop(
          4,
          [
            [index, 1],
            [piece, 2],
          ],
          [step(call('gather', [1, 2, 2, 1]), [piece], [c, index]), step(call('sum', [2, 2, 1]), [piece], [c])],
        ),
        step(two(add), [out], [c, row]),
      ],
    ),
  )
  b.steps.push(
    loop(3, [[t, 0]], [step(call('copy', [1, 0, 24, 0, 1, 0, 1], [0]), [t], [s]), step(call('accumulate', [24]), [b.entry(0)], [t])]),
  )
  const inputs = [
    { name: 'x', dtype, length: 24, advance: 1 },
    { name: 'index', dtype: 'int32', length: 4, advance: 4 },
    { name: 'out', dtype, length: 24, advance: 0, writable: true },
  ] as const
  return b.program({ report: 2, inputs })
}

const interesting = [
  -1,
  0,
  1,
  2,
  3,
  4,
  5,
  7,
  8,
  9,
  16,
  64,
  255,
  256,
  1e6,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 40,
  2 ** 53 - 1,
  2 ** 53,
  1e308,
]
const odd = [0.5, -0.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -(2 ** 31), -(2 ** 53)]

class Chance {
  readonly #stream: Stream
  constructor(a: number) {
    this.#stream = new Stream({ seed: 17, purpose: 0, a, b: 9 })
  }
  below(n: number): number {
    return this.#stream.bounded(n)
  }
  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T
  }
  number(): number {
    const kind = this.below(10)
    return kind === 0 ? this.of(odd) : kind < 6 ? this.of(interesting) : this.below(40)
  }
}

/** Changes some words: other numbers, words one off or exchanged, now and then some lost or doubled. */
function mutate(words: Float64Array, chance: Chance): Float64Array {
  let out = Array.from(words)
  for (let n = Math.max(1, chance.below(6) - 2); n > 0; n--) {
    const at = chance.below(out.length)
    const kind = chance.below(12)
    if (kind < 5) out[at] = chance.number()
    else if (kind < 9) out[at] = (out[at] as number) + chance.of([-8, -4, -1, 1, 4, 8])
    else if (kind === 9) out[at] = out[chance.below(out.length)] as number
    else if (kind === 10) out.splice(at, 1 + chance.below(3))
    else out = out.slice(0, chance.below(3) === 0 ? at : out.length)
    if (out.length === 0) out = [0]
  }
  return Float64Array.from(out)
}

/** An array between two canaries. */
function guarded(dtype: 'float32' | 'float64' | 'int32' | 'bool', length: number): { array: TypedArray; whole: () => boolean } {
  const size = bytesPerElement[dtype]
  const bytes = new Uint8Array(length * size + 128).fill(0xa5)
  const array = viewOf(dtype, bytes.buffer, 64, length)
  return {
    array,
    whole: () => bytes.subarray(0, 64).every((v) => v === 0xa5) && bytes.subarray(64 + length * size).every((v) => v === 0xa5),
  }
}

const allowed = (codes: readonly string[]) => (error: unknown) => {
  const { code, message } = error as { code?: string; message: string }
  if (code === undefined || !codes.includes(code)) throw new Error(`not a code to be expected: ${code}: ${message}`)
}

onNative('fuzz', (native) => {
  test('ten thousand malformed programs', () => {
    const { addon } = native
    const training = trainingProgram('float32', { inputs: 6, hidden: 5, classes: 3, batch: 4 })
    const looping = [loops('float32'), loops('float64')]
    const sources = [everyKernel('float32'), everyKernel('float64'), training.builder.program(training.rest), ...looping, ...looping]
    const originals = sources.map((program) => wordsOf(native, program))
    for (const words of originals) addon.compile(words)
    const dtypes = ['float32', 'float64', 'int32', 'bool'] as const
    const refused = allowed(['ERR_PROGRAM', 'ERR_MEMORY'])
    const stopped = allowed(['ERR_PROGRAM', 'ERR_MEMORY', 'ERR_INDEX', 'ERR_DIVERGED'])
    let passed = 0
    for (let i = 0; i < 10_000; i++) {
      const chance = new Chance(i)
      const original = chance.of(originals)
      const words = mutate(original, chance)
      let program: ReturnType<typeof addon.compile>
      try {
        program = addon.compile(words)
      } catch (error) {
        refused(error)
        continue
      }
      passed++
      // A loop over nothing that moves may be as long as one likes: it is not waited for.
      if (originals.indexOf(original) > 2 && words.some((word, at) => word > 1000 && word !== original[at])) continue
      const [, , stateBytes, , , count] = words as unknown as [number, number, number, number, number, number]
      const inputs = Array.from({ length: count }, (_, input) => {
        const [dtype, length] = words.subarray(8 + 4 * input) as unknown as [number, number]
        const { array, whole } = guarded(dtypes[dtype] as 'float32', Math.min(length, 4096))
        for (let at = 0; at < array.length; at++) array[at] = dtype === 2 ? chance.below(8) - 1 : chance.below(100) / 10 - 5
        return { array, whole }
      })
      const report = guarded('float64', Math.min(words[3] as number, 4096))
      const arrays = inputs.map(({ array }) => array)
      try {
        const state = addon.createState(Math.min(stateBytes, 1e6), new Float64Array(0))
        addon.run(program, state, report.array as Float64Array, ...arrays)
        addon.run(program, state, undefined, ...arrays)
      } catch (error) {
        stopped(error)
      }
      expect(`${i} ${[report, ...inputs].every(({ whole }) => whole())}`).toBe(`${i} true`)
    }
    // neither all refused nor all let through: both halves of the test did something
    expect(passed).toBeGreaterThan(500)
    expect(passed).toBeLessThan(7000)
  })

  test('malformed single calls', () => {
    const { addon } = native
    const f32 = guarded('float32', 24)
    const i32 = guarded('int32', 24)
    const out = guarded('float32', 24)
    const calls = everyKernel('float32').steps.map(({ kernel, ints, scalars, outputs, inputs }) => [
      native.numbers.get(kernel as string) as number,
      outputs.length,
      inputs.length,
      ints.length,
      scalars.length,
      ...ints,
      ...scalars,
    ])
    const stopped = allowed(['ERR_PROGRAM', 'ERR_MEMORY', 'ERR_INDEX'])
    for (let i = 0; i < 10_000; i++) {
      const chance = new Chance(100_000 + i)
      const words = mutate(Float64Array.from(chance.of(calls)), chance)
      for (let at = 0; at < 24; at++) i32.array[at] = chance.below(8) - 1
      const operand = () => {
        const { array } = chance.of([f32, i32, out])
        const from = chance.below(25)
        return chance.below(2) === 0 ? array : array.subarray(from, from + chance.below(25))
      }
      try {
        addon.call(words, ...Array.from({ length: chance.below(5) }, operand))
      } catch (error) {
        stopped(error)
      }
    }
    expect([f32, i32, out].map(({ whole }) => whole())).toEqual([true, true, true])
  })

  test('good programs over malformed indices', () => {
    const { addon } = native
    const program = addon.compile(wordsOf(native, everyKernel('float64')))
    const state = addon.createState(4096, new Float64Array(0))
    const x = guarded('float64', 24)
    const index = guarded('int32', 4)
    const out = guarded('float64', 24)
    const values = [0, 1, 2, 3, 4, 5, -1, 6, 100, 2 ** 31 - 1, -(2 ** 31)]
    let good = 0
    for (let i = 0; i < 5000; i++) {
      const chance = new Chance(200_000 + i)
      const bad = chance.below(3) > 0
      for (let at = 0; at < 4; at++) index.array[at] = bad ? chance.of(values) : chance.below(3)
      for (let at = 0; at < 24; at++) x.array[at] = chance.below(9) - 4
      try {
        addon.run(program, state, undefined, x.array, index.array, out.array)
        good++
        expect(Array.from(index.array).every((value) => value >= 0 && value < 3)).toBe(true)
      } catch (error) {
        allowed(['ERR_INDEX'])(error)
        expect(Array.from(index.array).every((value) => value >= 0 && value < 3)).toBe(false)
      }
    }
    expect(good).toBeGreaterThan(1000)
    expect([x, index, out].map(({ whole }) => whole())).toEqual([true, true, true])
  })

  test('blocks over malformed indices and blocks of malformed words', async () => {
    const { addon } = native
    const program = addon.compile(wordsOf(native, everyKernel('float64')))
    const state = addon.createState(4096, new Float64Array(0))
    const x = new Float64Array(1000).fill(1)
    const runner = addon.createRunner(state, [program], x, undefined, new Float64Array(24))
    for (let i = 0; i < 300; i++) {
      const chance = new Chance(300_000 + i)
      const index = Int32Array.from({ length: 40 }, () => (chance.below(60) === 0 ? chance.number() : chance.below(3)))
      const good = Float64Array.of(2, 0, 0, 3, 0, 2)
      const words = chance.below(2) === 0 ? good : mutate(good, chance)
      // what passes is short: its windows bound it, but for runs of nothing
      if (words.some((word) => word > 1000)) words.fill(0)
      try {
        const { status, failure } = await addon.runBlock(runner, words, undefined, index, undefined)
        expect(['done', 'failed']).toContain(status)
        if (failure?.kind === 'index') expect(index[failure.run * 4 + (failure.position as number)]).toBeDefined()
      } catch (error) {
        allowed(['ERR_PROGRAM', 'ERR_MEMORY'])(error)
      }
    }
    addon.closeRunner(runner)
  })

  test('whatever is passed to any function', async () => {
    const { addon } = native
    const state = addon.createState(64, new Float64Array(0))
    const program = addon.compile(wordsOf(native, everyKernel('float64')))
    const gone = new Float64Array(8)
    structuredClone(gone, { transfer: [gone.buffer] })
    const values: unknown[] = [
      undefined,
      null,
      true,
      -1,
      0,
      1,
      3,
      0.5,
      Number.NaN,
      2 ** 53,
      10n,
      'text',
      Symbol('s'),
      {},
      [],
      [program, state],
      () => 1,
      new Date(),
      gone,
      new Float64Array(8),
      new Float64Array(0),
      new Float32Array(3),
      new Int32Array(4),
      new Uint8Array(9),
      new BigInt64Array(2),
      new Uint8ClampedArray(3),
      new DataView(new ArrayBuffer(8)),
      new ArrayBuffer(8),
      new SharedArrayBuffer(8),
      new Float64Array(new SharedArrayBuffer(64)),
      Buffer.alloc(8),
      state,
      program,
      new Proxy({}, {}),
    ]
    const codes = new Set<string>(Object.keys(errorCodes))
    for (const [name, f] of Object.entries(addon) as [string, (...args: unknown[]) => unknown][]) {
      for (let i = 0; i < 2000; i++) {
        const chance = new Chance(400_000 + i)
        const args = Array.from({ length: chance.below(8) }, () => chance.of(values))
        try {
          const result = f.apply(chance.of(values), args)
          if (result instanceof Promise) await result.catch(() => {})
        } catch (error) {
          const { code } = error as { code?: string }
          if (code === undefined || !codes.has(code)) throw new Error(`${name}: ${error}`)
        }
      }
    }
    addon.setThreads(1024)
  })
})
