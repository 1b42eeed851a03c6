/** The contract of runners: blocks, cursors, reports, cancellation, failure, snapshots. */

import { expect, test } from 'vitest'
import type { Executable, State } from '../../lib/backend/backend.js'
import { elementwiseCodes, type Program } from '../../lib/backend/program.js'
import { Builder, call, codeOf, compiled, f32, f64, i32, onEveryEngine, readState } from './engines.js'
import { trainingProgram } from './training.js'

const { add, mul } = elementwiseCodes
const x = { name: 'x', dtype: 'float64', length: 1, advance: 1 } as const

/** state ← state + x, with x a window of one element; the report gets the new state. */
function counting(change: Partial<Program> = {}, factor = 1): { builder: Builder; rest: Partial<Program> } {
  const builder = new Builder()
  const s = builder.stored(1)
  const input = builder.input(0, 1)
  builder.step(call('elementwise', [1, 1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 4, mul, 1, 2, 0, add, 0, 3, 0], [factor]), [s], [s, input])
  builder.step(call('accumulate', [1]), [builder.entry(0)], [s])
  return { builder, rest: { report: 2, inputs: [x], ...change } }
}

const floats = [{ offset: 0, length: 1, dtype: 'float64' }] as const
const rejection = async (promise: Promise<unknown>) =>
  promise.then(() => 'nothing').catch((error: { code?: string }) => error.code ?? String(error))
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

onEveryEngine('runners', (backend) => {
  const make = (state: State, ...programs: { builder: Builder; rest: Partial<Program> }[]) => {
    const executables = programs.map(({ builder, rest }) => compiled(backend, builder, rest))
    return { executables, runner: backend.createRunner(state, executables, [undefined]) }
  }

  test('a block: epochs of segments, cursors that move, a report for each epoch', async () => {
    const state = backend.createState(8, floats)
    const { runner } = make(state, counting(), counting({ inputs: [{ ...x, length: 1, advance: 2 }] }, 10))
    const segments = [
      { program: 0, repeat: 2 },
      { program: 1, repeat: 1 },
      { program: 0, repeat: 0 },
    ]
    const result = await runner.run({ epochs: 2, segments, windows: { 0: f64(1, 2, 3, 99, 5, 6, 7, 99) } })
    // epoch 1: 1, 3, 33; epoch 2: 38, 44, 114
    expect({ ...result, report: Array.from(result.report) }).toEqual({
      status: 'done',
      epochs: 2,
      kept: 2,
      runs: 6,
      report: [37, 0, 196, 0],
    })
    expect(readState(state, 1)).toEqual([114])
    expect(runner.progress).toEqual({ runs: 6, epochs: 2, cost: 196 })
    // cursors restart with each block
    const again = await runner.run({ epochs: 1, segments: [{ program: 0, repeat: 1 }], windows: { 0: f64(1) } })
    expect(Array.from(again.report)).toEqual([115, 0])
    const none = await runner.run({ epochs: 0, segments, windows: { 0: f64(1) } })
    expect(none).toMatchObject({ status: 'done', epochs: 0, runs: 0 })
    runner.close()
    expect(readState(state, 1)).toEqual([115])
  })

  test('cursors of inputs bound with the runner return to 0 with each epoch', async () => {
    const state = backend.createState(8, floats)
    const { builder, rest } = counting()
    const runner = backend.createRunner(state, [compiled(backend, builder, rest)], [f64(1, 10)])
    const result = await runner.run({ epochs: 3, segments: [{ program: 0, repeat: 2 }], windows: {} })
    expect([result.status, readState(state, 1)[0]]).toEqual(['done', 33])
    expect(await rejection(runner.run({ epochs: 1, segments: [{ program: 0, repeat: 3 }], windows: {} }))).toBe('ERR_PROGRAM')
    runner.close()
  })

  test('no step after the cost sees one that is not finite', async () => {
    const builder = new Builder()
    const [s, input] = [builder.stored(1), builder.input(0, 1)]
    builder.step(call('accumulate', [1]), [builder.entry(0)], [input])
    builder.step(call('elementwise', [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, add, 0, 1, 0], [1]), [s], [s])
    const program = compiled(backend, builder, { report: 1, inputs: [x] })
    const state = backend.createState(8, [])
    expect(codeOf(() => program.run(state, [f64(Number.NaN)]))).toBe('ERR_DIVERGED')
    expect(readState(state, 1)).toEqual([0])
    const runner = backend.createRunner(state, [program], [undefined])
    const result = await runner.run({ epochs: 1, segments: [{ program: 0, repeat: 2 }], windows: { 0: f64(1, Number.NaN) } })
    expect(result).toMatchObject({ status: 'failed', runs: 1, failure: { kind: 'nonfinite', run: 1, step: 0 } })
    runner.close()
  })

  test('a state that is not finite when the block ends is a failure of no step', async () => {
    const state = backend.createState(8, floats)
    const builder = new Builder()
    const s = builder.stored(1)
    builder.step(call('elementwise', [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, mul, 0, 1, 0], [1e200]), [s], [s])
    const growing = backend.createRunner(state, [compiled(backend, builder)], [])
    state.write(0, f64(1e200))
    const result = await growing.run({ epochs: 1, segments: [{ program: 0, repeat: 1 }], windows: {} })
    expect(result).toMatchObject({ status: 'failed', epochs: 1, kept: 0, failure: { kind: 'nonfinite', step: -1 } })
    expect(readState(state, 1)).toEqual([1e200])
    growing.close()
  })

  test('windows are copied before run returns', async () => {
    const state = backend.createState(8, floats)
    const { runner } = make(state, counting())
    const window = f64(1, 2)
    const done = runner.run({ epochs: 1, segments: [{ program: 0, repeat: 2 }], windows: { 0: window } })
    window.fill(1000)
    await done
    expect(readState(state, 1)).toEqual([3])
    runner.close()
  })

  test('arrays are copied once, shared memory is borrowed', async () => {
    const builder = new Builder()
    const [s, a, b, out] = [builder.stored(1), builder.input(0, 1), builder.input(1, 1), builder.input(2, 1)]
    const sum = call('elementwise', [1, 1, 1, 2, 1, 0, 1, 1, 1, 1, 1, 2, add, 0, 1, 0])
    builder.step(sum, [s], [a, b]).step(sum, [out], [a, b])
    const inputs = ['a', 'b', 'out'].map((name) => ({ name, dtype: 'float64', length: 1, advance: 0, writable: name === 'out' }) as const)
    const program = compiled(backend, builder, { inputs })
    const state = backend.createState(8, floats)
    const plain = f64(1)
    const shared = new Float64Array(new SharedArrayBuffer(8))
    const result = new Float64Array(new SharedArrayBuffer(8))
    const runner = backend.createRunner(state, [program], [plain, shared, result])
    plain[0] = 50
    shared[0] = 7
    await runner.run({ epochs: 1, segments: [{ program: 0, repeat: 1 }], windows: {} })
    expect([readState(state, 1)[0], result[0]]).toEqual([8, 8])
    runner.close()
    const two = new Float64Array(new SharedArrayBuffer(24))
    const over = backend.createRunner(state, [program], [two.subarray(0, 2), two.subarray(2), two.subarray(1, 2)])
    expect(await rejection(over.run({ epochs: 1, segments: [{ program: 0, repeat: 1 }], windows: {} }))).toBe('ERR_PROGRAM')
    over.close()
  })

  test('refuses blocks that do not fit, before anything changes', async () => {
    const state = backend.createState(8, floats)
    const { runner } = make(state, counting())
    const segment = { program: 0, repeat: 3 }
    const good = { epochs: 2, segments: [segment], windows: { 0: new Float64Array(6).fill(1) } }
    const bad: object[] = [
      { windows: {} },
      { windows: { 0: new Float64Array(5).fill(1) } },
      { windows: { 0: new Float32Array(6) } },
      { windows: { 1: new Float64Array(6), 0: new Float64Array(6) } },
      { epochs: -1 },
      { epochs: 1.5 },
      { epochs: 2 ** 53 },
      { segments: [{ program: 1, repeat: 1 }] },
      { segments: [{ program: -1, repeat: 1 }] },
      { segments: [{ program: 0, repeat: -1 }] },
      { segments: [{ program: 0, repeat: 2 ** 53 }] },
      { segments: [{ program: 0, repeat: Number.NaN }] },
    ]
    for (const change of bad)
      expect(`${JSON.stringify(change)} ${await rejection(runner.run({ ...good, ...change }))}`).toMatch(/ERR_PROGRAM$/)
    expect(readState(state, 1)).toEqual([0])
    expect(await runner.run(good)).toMatchObject({ status: 'done', runs: 6 })
    runner.close()
  })

  test('refuses programs and inputs that do not fit together', () => {
    const state = backend.createState(8, floats)
    const one = compiled(backend, counting().builder, counting().rest)
    const named = counting({ inputs: [{ ...x, name: 'y' }] })
    const other = compiled(backend, named.builder, named.rest)
    const attempt = (programs: Executable[], inputs: (Float64Array | Float32Array | undefined)[], on = state) =>
      codeOf(() => backend.createRunner(on, programs, inputs))
    expect(attempt([one, other], [undefined])).toBe('ERR_PROGRAM')
    expect(attempt([], [])).toBe('ERR_PROGRAM')
    expect(attempt([one], [])).toBe('ERR_PROGRAM')
    expect(attempt([one], [f32(1)])).toBe('ERR_PROGRAM')
    expect(attempt([one], [undefined], backend.createState(0, []))).toBe('ERR_PROGRAM')
  })

  test('while a block runs: the state is busy, the event loop turns, and reads see finished epochs', async () => {
    // every epoch adds 1 to all of four numbers, in four runs: a torn or unfinished epoch would show
    const builder = new Builder()
    const step = call('elementwise', [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, add, 0, 1, 0], [1])
    const [a, b, c, d] = [builder.stored(1), builder.stored(1), builder.stored(1), builder.stored(1)]
    const programs = [a, b, c, d].map((slot) => {
      const part = new Builder()
      part.slots.push(...builder.slots)
      part.state = builder.state
      return compiled(backend, part.step(step, [slot], [slot]))
    })
    const state = backend.createState(32, [{ offset: 0, length: 4, dtype: 'float64' }])
    const runner = backend.createRunner(state, programs, [])
    const segments = programs.map((_, program) => ({ program, repeat: 7 }))
    let running = true
    const done = runner.run({ epochs: 1e9, segments, windows: {} }).finally(() => {
      running = false
    })
    expect(codeOf(() => state.write(0, f64(1)))).toBe('ERR_BUSY')
    expect(await rejection(runner.run({ epochs: 1, segments, windows: {} }))).toBe('ERR_BUSY')
    expect(codeOf(() => (programs[0] as Executable).run(state, []))).toBe('ERR_BUSY')
    const seen = new Set<number>()
    const versions = new Set<number>()
    for (let i = 0; i < 40; i++) {
      await pause(5)
      const values = readState(state, 4)
      expect(new Set(values).size).toBe(1)
      expect((values[0] as number) % 7).toBe(0)
      const halves = [new Float64Array(3), new Float64Array(1)] as const
      const version = state.readAll([0, 24], halves)
      expect(new Set([...halves[0], ...halves[1]]).size).toBe(1)
      expect([...versions].every((before) => before <= version)).toBe(true)
      seen.add(values[0] as number)
      versions.add(state.version)
    }
    expect(running).toBe(true)
    expect(seen.size).toBeGreaterThan(2)
    expect(versions.size).toBeGreaterThan(2)
    expect(runner.progress.epochs).toBeGreaterThan(0)
    runner.cancel()
    const result = await done
    expect(result.status).toBe('cancelled')
    expect(readState(state, 4).reduce((p, q) => p + q)).toBe(result.runs)
    runner.close()
  })

  test('cancel stops before an update that is atomic, not before what must follow it', async () => {
    const builder = new Builder()
    const step = call('elementwise', [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, add, 0, 1, 0], [1])
    const [chunks, updates] = [builder.stored(1), builder.stored(1)]
    const first = compiled(backend, builder.step(step, [chunks], [chunks]))
    const second = new Builder()
    second.slots.push(...builder.slots)
    second.state = builder.state
    const final = compiled(backend, second.step(step, [updates], [updates]), { atomic: false })
    const state = backend.createState(16, [{ offset: 0, length: 2, dtype: 'float64' }])
    const runner = backend.createRunner(state, [first, final], [])
    const done = runner.run({
      epochs: 1e9,
      segments: [
        { program: 0, repeat: 1 },
        { program: 1, repeat: 1 },
      ],
      windows: {},
    })
    await pause(20)
    runner.cancel()
    expect((await done).status).toBe('cancelled')
    const [c, u] = readState(state, 2)
    expect(c).toBe(u)
    runner.close()
  })

  test('a cost that is not finite: the failure is named and the last good snapshot comes back', async () => {
    const state = backend.createState(8, floats)
    state.write(0, f64(5))
    const { runner } = make(state, counting())
    const windows = { 0: f64(1, 1, 1, 1, Number.POSITIVE_INFINITY, 1) }
    const result = await runner.run({ epochs: 3, segments: [{ program: 0, repeat: 2 }], windows })
    expect(result).toMatchObject({
      status: 'failed',
      epochs: 2,
      runs: 4,
      failure: { kind: 'nonfinite', program: 0, epoch: 2, run: 0, step: 1 },
    })
    expect(Array.from(result.report.subarray(0, 4))).toEqual([13, 0, 17, 0])
    // A slow machine has taken a snapshot after an epoch or two by then: of each, 2 were added.
    const good = 5 + 2 * result.kept
    expect(readState(state, 1)).toEqual([good])
    const checked = await runner.run({ epochs: 3, segments: [{ program: 0, repeat: 2 }], windows, checked: true })
    expect(checked).toMatchObject({ status: 'failed', epochs: 2, runs: 4, failure: { kind: 'nonfinite', step: 0 } })
    const left = good + 2 * checked.kept
    expect(readState(state, 1)).toEqual([left])
    // the runner is as good as new
    expect(await runner.run({ epochs: 1, segments: [{ program: 0, repeat: 1 }], windows: { 0: f64(1) } })).toMatchObject({ status: 'done' })
    expect(readState(state, 1)).toEqual([left + 1])
    runner.close()
  })

  test('a bad index: the failure names step, position, value and size', async () => {
    const builder = new Builder()
    const [s, data, index] = [builder.stored(2), builder.input(0, 3), builder.input(1, 2, 'int32')]
    // the state is overwritten before the index is met: going back must undo it
    builder.step(call('elementwise', [1, 1, 2, 0, 1, 1, 0, 0], [77]), [s], [])
    builder.step(call('gather', [1, 3, 1, 2]), [s], [data, index])
    const inputs = [
      { name: 'data', dtype: 'float64', length: 3, advance: 0 },
      { name: 'index', dtype: 'int32', length: 2, advance: 2 },
    ] as const
    const program = compiled(backend, builder, { inputs })
    const state = backend.createState(16, [{ offset: 0, length: 2, dtype: 'float64' }])
    state.write(0, f64(8, 9))
    const runner = backend.createRunner(state, [program], [f64(1, 2, 3), undefined])
    const block = { epochs: 1, segments: [{ program: 0, repeat: 3 }], windows: { 1: i32(0, 1, 2, 0, 1, 3) } }
    const { status, runs, failure } = await runner.run(block)
    expect({ status, runs, failure }).toEqual({
      status: 'failed',
      runs: 2,
      failure: { kind: 'index', program: 0, epoch: 0, run: 2, step: 1, position: 1, value: 3, size: 3 },
    })
    expect(readState(state, 2)).toEqual([8, 9])
    runner.close()
  })

  test('close in the middle', async () => {
    const state = backend.createState(8, floats)
    const endless = counting({ inputs: [{ ...x, advance: 0 }] })
    const { runner } = make(state, endless)
    const done = runner.run({ epochs: 1e8, segments: [{ program: 0, repeat: 1 }], windows: { 0: f64(0) } })
    await pause(15)
    runner.close()
    expect((await done).status).toBe('cancelled')
    expect(codeOf(() => state.write(0, f64(1)))).toBe('nothing')
    expect(await rejection(runner.run({ epochs: 1, segments: [], windows: {} }))).not.toBe('nothing')
  })

  test('replay over windows is the synchronous run over the same windows', async () => {
    for (const dtype of ['float32', 'float64'] as const) {
      const { builder, rest, parameters, start, inputs } = trainingProgram(dtype, { inputs: 6, hidden: 5, classes: 3, batch: 4 })
      const program = compiled(backend, builder, rest)
      const ranges = [{ offset: 0, length: parameters, dtype }]
      const states = [0, 1].map(() => backend.createState(builder.state, ranges)) as [State, State]
      for (const state of states) state.write(0, start)
      const order = Int32Array.from({ length: 48 }, (_, i) => i)
      const [data, labels, , rate] = inputs
      const runner = backend.createRunner(states[0], [program], [data, labels, undefined, rate])
      const result = await runner.run({ epochs: 3, segments: [{ program: 0, repeat: 4 }], windows: { 2: order } })
      const report = new Float64Array(1)
      for (let i = 0; i < 12; i++) program.run(states[1], [data, labels, order.subarray(i * 4, i * 4 + 4), rate] as Float64Array[], report)
      const [one, other] = states.map((state) => {
        const out = start.slice()
        state.read(0, out)
        return Array.from(out)
      })
      expect(one).toEqual(other)
      expect(result.report.reduce((p, q) => p + q)).toBeCloseTo(report[0] as number, 10)
      runner.close()
    }
  })
})
