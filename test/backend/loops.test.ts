/** The loop instruction, on every engine: what it does by hand-made programs, and what is refused. */

import { describe, expect, test } from 'vitest'
import { elementwiseCodes, flatSteps, type Loop, type Program, type Step } from '../../lib/backend/program.js'
import { Builder, call, codeOf, f64, i32, onEveryEngine } from './engines.js'

const { add, mul } = elementwiseCodes
/** out = a · b or a + b over n numbers. */
const binary = (op: number, n: number) => call('elementwise', [1, 1, n, 2, 1, 0, 1, n, 1, n, 1, 2, op, 0, 1, 0])
const copyOf = (n: number) => call('copy', [1, 0, n, 0, 1, 0, 1], [0])
const loop = (length: number, windows: Loop['windows'], steps: readonly Step[]): Step => ({
  kernel: 'loop',
  outputs: [],
  inputs: [],
  ints: [],
  scalars: [],
  loop: { length, windows, steps },
})
const step = (what: ReturnType<typeof call>, outputs: number[], inputs: number[]): Step => ({ ...what, outputs, inputs })

/** c ← c + xₜ, yₜ = c: sums of rows of two numbers, from the first or from the last. */
function sums(reverse: boolean, length = 4): Program {
  const b = new Builder()
  const carry = b.scratch(2)
  const from = reverse ? (length - 1) * 16 : 0
  const [x, y, last] = [b.input(0, 2, 'float64', from), b.input(1, 2, 'float64', from), b.input(2, 2)]
  const advance = reverse ? -2 : 2
  b.step(call('elementwise', [1, 1, 2, 0, 1, 1, 0, 0], [0]), [carry], [])
  b.steps.push(
    loop(
      length,
      [
        { slot: x, advance },
        { slot: y, advance },
      ],
      [step(binary(add, 2), [carry], [carry, x]), step(copyOf(2), [y], [carry])],
    ),
  )
  b.step(copyOf(2), [last], [carry])
  const inputs = [
    { name: 'x', dtype: 'float64', length: 2 * length, advance: 0 },
    { name: 'y', dtype: 'float64', length: 2 * length, advance: 0, writable: true },
    { name: 'last', dtype: 'float64', length: 2, advance: 0, writable: true },
  ] as const
  return b.program({ inputs })
}

onEveryEngine('loops', (backend) => {
  test.each([
    [false, [1, 10, 3, 30, 6, 60, 10, 100]],
    [true, [10, 100, 9, 90, 7, 70, 4, 40]],
  ])('windows move over stacks, backwards: %s', (reverse, expected) => {
    const program = backend.compile(sums(reverse))
    const [y, last] = [f64(...new Array(8).fill(7)), f64(0, 0)]
    // Twice: the windows are back where they were.
    for (let run = 0; run < 2; run++) program.run(undefined, [f64(1, 10, 2, 20, 3, 30, 4, 40), y, last])
    expect(Array.from(y)).toEqual(expected)
    expect(Array.from(last)).toEqual([10, 100])
  })

  test('a loop in a loop reads rows of rows', () => {
    const b = new Builder()
    const [carry, x, out] = [b.scratch(1), b.input(0, 1), b.input(1, 1)]
    b.step(call('elementwise', [1, 1, 1, 0, 1, 1, 0, 0], [1]), [carry], [])
    b.steps.push(
      loop(
        2,
        [
          { slot: x, advance: 3 },
          { slot: out, advance: 1 },
        ],
        [loop(3, [{ slot: x, advance: 1 }], [step(binary(mul, 1), [carry], [carry, x])]), step(copyOf(1), [out], [carry])],
      ),
    )
    const inputs = [
      { name: 'x', dtype: 'float64', length: 6, advance: 0 },
      { name: 'out', dtype: 'float64', length: 2, advance: 0, writable: true },
    ] as const
    const out2 = f64(0, 0)
    backend.compile(b.program({ inputs })).run(undefined, [f64(1, 2, 3, 4, 5, 6), out2])
    expect(Array.from(out2)).toEqual([6, 720])
  })

  test('a bad index in a body ends the run, names the step, and leaves the windows in place', () => {
    const b = new Builder()
    const [x, index, out] = [b.input(0, 3), b.input(1, 1, 'int32'), b.input(2, 1)]
    const windows = [
      { slot: index, advance: 1 },
      { slot: out, advance: 1 },
    ]
    b.steps.push(loop(3, windows, [step(call('gather', [1, 3, 1, 1]), [out], [x, index])]))
    const inputs = [
      { name: 'x', dtype: 'float64', length: 3, advance: 0 },
      { name: 'index', dtype: 'int32', length: 3, advance: 0 },
      { name: 'out', dtype: 'float64', length: 3, advance: 0, writable: true },
    ] as const
    const program = backend.compile(b.program({ inputs }))
    const y = f64(0, 0, 0)
    const run = (...at: number[]) => program.run(undefined, [f64(5, 6, 7), i32(...at), y])
    expect(() => run(0, 9, 1)).toThrow(/gather \(step 1\)/)
    expect(codeOf(() => run(0, 9, 1))).toBe('ERR_INDEX')
    run(2, 0, 1)
    expect(Array.from(y)).toEqual([7, 5, 6])
  })

  test('a runner: state in a body, a cost that is not finite, steps by their numbers', async () => {
    const b = new Builder()
    const [w, cost, x] = [b.stored(1), b.entry(0), b.input(0, 1)]
    b.steps.push(loop(4, [{ slot: x, advance: 1 }], [step(binary(mul, 1), [w], [w, x]), step(call('accumulate', [1]), [cost], [w])]))
    const inputs = [{ name: 'x', dtype: 'float64', length: 4, advance: 4 }] as const
    const state = backend.createState(8, [{ offset: 0, length: 1, dtype: 'float64' }])
    state.write(0, f64(1))
    const runner = backend.createRunner(state, [backend.compile(b.program({ inputs, report: 1 }))], [undefined])
    const good = await runner.run({ epochs: 1, segments: [{ program: 0, repeat: 2 }], windows: { 0: f64(1, 2, 3, 4, 1, 1, 1, 2) } })
    expect([good.status, Array.from(good.report)]).toEqual(['done', [1 + 2 + 6 + 24 + 24 + 24 + 24 + 48]])
    for (const checked of [false, true]) {
      const windows = { 0: f64(1, 2, Number.POSITIVE_INFINITY, 1) }
      const bad = await runner.run({ epochs: 1, segments: [{ program: 0, repeat: 1 }], windows, checked })
      expect([bad.status, bad.failure]).toMatchObject(['failed', { kind: 'nonfinite', step: checked ? 1 : 2 }])
    }
    runner.close()
  })

  test('no iteration, one iteration, and a very long loop', () => {
    for (const length of [1, 100_000]) {
      const [y, last] = [new Float64Array(2 * length), f64(0, 0)]
      backend.compile(sums(false, length)).run(undefined, [new Float64Array(2 * length).fill(1), y, last])
      expect(Array.from(last)).toEqual([length, length])
    }
    const none = sums(false, 1)
    const own = none.steps[1] as Step
    const last = f64(9, 9)
    backend
      .compile({ ...none, steps: [none.steps[0] as Step, { ...own, loop: { ...(own.loop as Loop), length: 0 } }, none.steps[2] as Step] })
      .run(undefined, [f64(1, 2), f64(0, 0), last])
    expect(Array.from(last)).toEqual([0, 0])
  })

  describe('malformed loops are refused', () => {
    const changed = (change: (own: Loop, program: Program) => Partial<Step>) => () => {
      const program = sums(false)
      const steps = program.steps.map((own) => (own.loop ? { ...own, ...change(own.loop, program) } : own))
      backend.compile({ ...program, steps })
    }
    const windows = (...list: Loop['windows'][number][]) => changed((own) => ({ loop: { ...own, windows: list } }))
    test.each([
      ['a window beyond its array', windows({ slot: 1, advance: 3 }, { slot: 2, advance: 2 })],
      ['a window before its array', windows({ slot: 1, advance: -2 }, { slot: 2, advance: 2 })],
      ['a window that runs far', windows({ slot: 1, advance: 2 ** 53 - 2 }, { slot: 2, advance: 2 })],
      ['an advance that is no integer', windows({ slot: 1, advance: 0.5 }, { slot: 2, advance: 2 })],
      ['windows out of order', windows({ slot: 2, advance: 2 }, { slot: 1, advance: 2 })],
      ['a slot twice', windows({ slot: 1, advance: 1 }, { slot: 1, advance: 1 })],
      ['a slot that is none', windows({ slot: 99, advance: 0 })],
      ['a length below none', changed((own) => ({ loop: { ...own, length: -1 } }))],
      ['a length that is no integer', changed((own) => ({ loop: { ...own, length: 2.5 } }))],
      ['too many iterations', changed((own) => ({ loop: { ...own, length: 5 } }))],
      ['operands of its own', changed(() => ({ outputs: [0] }))],
      ['scalars of its own', changed(() => ({ scalars: [1] }))],
      ['a body that writes what is not writable', changed((own) => ({ loop: { ...own, steps: [step(copyOf(2), [1], [0])] } }))],
      [
        'rows that come over each other',
        changed((own) => ({ loop: { ...own, windows: [{ slot: 1, advance: 2 }], steps: [step(copyOf(2), [2], [2])] } })),
      ],
      ['too deep', changed((own) => ({ loop: Array.from({ length: 20 }).reduce<Loop>((inner) => loop1(inner), own) }))],
    ])('%s', (_, body) => {
      expect(codeOf(body)).toBe('ERR_PROGRAM')
    })
  })

  test('a row is not overwritten while another is read', () => {
    const b = new Builder()
    const [x, y] = [b.scratch(2), b.scratch(2)]
    b.arena = 64
    // y begins where x ends, and both move: in the second iteration x lies where y lay.
    b.steps.push(
      loop(
        2,
        [
          { slot: x, advance: 2 },
          { slot: y, advance: 2 },
        ],
        [step(copyOf(2), [y], [x])],
      ),
    )
    expect(codeOf(() => backend.compile(b.program()))).toBe('ERR_PROGRAM')
  })
})

const loop1 = (inner: Loop): Loop => ({ length: 1, windows: [], steps: [loop(inner.length, inner.windows, inner.steps)] })

test('steps are numbered with those of loops after the loop', () => {
  expect(flatSteps(sums(false).steps).map(({ kernel }) => kernel)).toEqual(['elementwise', 'loop', 'elementwise', 'copy', 'copy'])
})
