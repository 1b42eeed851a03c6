/**
 * Calls every function of the addon with whatever JavaScript can pass: wrong types, detached, resizable, shared, misaligned and
 * huge arrays, handles of other kinds, programs with changed words, blocks left running. A call may be refused with one of the
 * library's codes and nothing else; a crash ends the process.
 *
 *   node test/fuzz/addon-fuzz.mjs [--calls 20000] [--seed 1]
 *
 * It runs on the compiled library (npm run build); WENGERT_ADDON names another binary. The last line is JSON.
 */
import { parseArgs } from 'node:util'
import { errorCodes } from '../../dist/lib/errors.js'
import { loadAddon } from '../../dist/lib/native/load.js'

const { values } = parseArgs({ options: { calls: { type: 'string', default: '20000' }, seed: { type: 'string', default: '1' } } })
const calls = Number(values.calls)
let addon
try {
  addon = loadAddon()
} catch (error) {
  console.log(`skipped: ${error.message}`)
  process.exit(0)
}

/** A small generator (mulberry32): a seed repeats a run. */
let state = Number(values.seed) >>> 0
function next() {
  state = (state + 0x6d2b79f5) >>> 0
  let t = state
  t = Math.imul(t ^ (t >>> 15), t | 1)
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}
const below = (n) => Math.floor(next() * n)
const of = (list) => list[below(list.length)]

const numbers = [0, 1, 2, 3, 4, 5, 7, 8, 16, 63, 64, 255, 1e3, 65536, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 40, 2 ** 53 - 1, 2 ** 53, 1e308]
const oddities = [-1, -0, 0.5, Number.NaN, Infinity, -Infinity, -(2 ** 31), -(2 ** 53)]
const number = () => (below(6) === 0 ? of(oddities) : of(numbers))
const arrays = [Float32Array, Float64Array, Int32Array, Uint8Array, Int8Array, Uint16Array, BigInt64Array, Uint8ClampedArray, DataView]

/** A typed array of some kind over memory of some kind. */
function array() {
  const Type = below(4) === 0 ? of(arrays) : of(arrays.slice(0, 4))
  const size = Type.BYTES_PER_ELEMENT ?? 1
  const length = below(40)
  const kind = below(10)
  if (kind === 0) {
    const gone = new Type(new ArrayBuffer(length * size))
    structuredClone(gone.buffer, { transfer: [gone.buffer] })
    return gone
  }
  if (kind === 1) return new Type(new SharedArrayBuffer(length * size))
  if (kind === 2 || kind === 3) {
    const buffer = new ArrayBuffer(length * size + 64, { maxByteLength: 4096 })
    const view = kind === 2 ? new Type(buffer) : new Type(buffer, 0, length)
    buffer.resize(below(512) * 8)
    return view
  }
  // In the midst of a buffer; its start lies at a multiple of the element alone.
  if (kind === 4) return new Type(new ArrayBuffer(1024), size * (1 + below(7)), length)
  // Much larger than anything that is asked for: untouched memory costs nothing.
  if (kind === 5 && below(4000) === 0) return new Type(new ArrayBuffer(2 ** 28))
  const made = new Type(new ArrayBuffer(length * size))
  if (Type !== DataView && Type !== BigInt64Array) for (let i = 0; i < length; i++) made[i] = below(8) === 0 ? number() : below(6)
  return made
}

/** Programs that are right, as words: an empty one, a copy with a state, a product with an input. */
const kernel = Object.fromEntries(addon.describe().kernels.map((name, i) => [name, i]))
const seeds = [
  [1, 0, 0, 0, 0, 0, 0, 0],
  [1, 64, 128, 1, 0, 1, 3, 2, 1, 16, 0, 0, 3, 0, 16, 1, 1, 0, 16, 1, 2, 0, 1, 1].concat(
    [kernel.matmul, 1, 2, 8, 2, 1, 0, 0, 1, 4, 4, 4, 0, 0, 0, 0, 1, 0],
    [kernel.accumulate, 1, 1, 1, 0, 2, 1, 16],
  ),
  [0, 128, 0, 0, 0, 1, 2, 1, 0, 24, 1, 0, 3, 0, 24, 0, 0, 0, 24, 0, kernel.softmax, 1, 1, 3, 0, 1, 0, 4, 6, 1],
]

/** A right program of several small steps, each of a type of its own: what becomes lines, and what must not. */
function mixed() {
  const slots = []
  const ends = [0, 0]
  const slot = (dtype, length) => {
    // The state of a program fits into those that are at hand; the last slot ends where the memory does.
    const bytes = length * [4, 8, 4, 1][dtype]
    const space = below(2) === 0 && ends[1] + bytes <= 128 ? 1 : 0
    slots.push([space, ends[space], length, dtype])
    ends[space] += Math.ceil(bytes / 8) * 8
    return slots.length - 1
  }
  const known = []
  const operand = (dtype, length) => {
    const fitting = known.filter((id) => slots[id][2] === length && slots[id][3] === dtype)
    return fitting.length > 0 && below(3) > 0 ? of(fitting) : slot(dtype, length)
  }
  const result = (dtype, length) => {
    known.push(slot(dtype, length))
    return known.at(-1)
  }
  const step = (name, outs, ins, ints, scalars = []) => [
    kernel[name],
    outs.length,
    ins.length,
    ints.length,
    scalars.length,
    ...outs,
    ...ins,
    ...ints,
    ...scalars,
  ]
  const kinds = [
    (t) => {
      const [m, n, k] = [1 + below(3), 1 + below(3), 1 + below(3)]
      const ins = [operand(t, m * k), operand(t, k * n)]
      return step('matmul', [result(t, m * n)], ins, [1, m, n, k, 0, 0, m * k, k * n], [1, 0])
    },
    (t) => {
      const [outer, n, inner] = [1 + below(3), 1 + below(4), 1 + below(3)]
      const ins = [operand(t, outer * n * inner)]
      return step(of(['sum', 'max', 'prod']), [result(t, outer * inner)], ins, [outer, n, inner])
    },
    (t) => {
      const n = 1 + below(4)
      const [from, to] = [of([t, t, below(4)]), of([t, t, below(4)])]
      const ins = [operand(from, n), operand(t, n)]
      const micro = below(addon.describe().elementwise.length)
      // Of one operand, two or three: a wrong count is refused.
      const words = of([
        [micro, 0, 0, 0],
        [micro, 0, 1, 0],
        [micro, 0, 1, 1],
      ])
      return step('elementwise', [result(to, n)], ins, [below(2), 1, n, 2, 1, 0, 1, n, 1, n, 1, 2, ...words])
    },
    (t) => {
      const [n, inner] = [1 + below(3), 1 + below(4)]
      return step('gather', [result(t, inner)], [operand(t, n * inner), operand(2, 1)], [1, n, inner, 1])
    },
    (t) => step('argsort', [result(6, 2)], [operand(t, 6)], [2, 3, below(2)]),
    (t) => step('toIndex', [result(2, 2)], [operand(t, 2)], [2, 1 + below(5)]),
    (t) => step('accumulate', [-1], [operand(t, 3)], [3]),
  ]
  const steps = Array.from({ length: 2 + below(6) }, () => of(kinds)(below(2)))
  slots.push([2, 0, 1, 1])
  const report = slots.length - 1
  for (const words of steps) if (words[0] === kernel.accumulate) words[5] = report
  return [below(2), ends[0], ends[1], 1, below(2), 0, slots.length, steps.length, ...slots.flat(), ...steps.flat()]
}

function words() {
  if (below(3) === 0) return Float64Array.from(mixed())
  const list = below(4) === 0 ? mixed() : [...of(seeds)]
  for (let n = below(5); n > 0; n--) {
    const at = below(list.length)
    const kind = below(4)
    if (kind === 0) list[at] = number()
    else if (kind === 1) list[at] += of([-8, -1, 1, 4, 8])
    else if (kind === 2) list.splice(at, 1 + below(3))
    else list.splice(at, 0, number())
  }
  return Float64Array.from(list)
}
const numberWords = () => Float64Array.from({ length: below(24) }, () => number())
const blockWords = () => Float64Array.of(below(3), below(2), ...(below(3) === 0 ? [number()] : []), 0, below(50))

/** Handles that calls gave, the newest ones; what others are then called with. */
const handles = { programs: [], states: [], runners: [] }
function keep(list, value) {
  if (list.length < 32) list.push(value)
  else list[below(32)] = value
}
const junk = () =>
  of([
    undefined,
    null,
    true,
    10n,
    'text',
    Symbol('s'),
    {},
    [],
    () => 1,
    new Date(),
    new Proxy({}, {}),
    new ArrayBuffer(8),
    Promise.resolve(1),
    number(),
  ])
const handle = () => of([...handles.programs, ...handles.states, ...handles.runners, {}])
const argument = () => [array, array, number, junk, handle, words, numberWords][below(7)]()

/** Arguments that are nearly right, so that calls come beyond the first check. */
const near = {
  call: () => [numberWords(), ...Array.from({ length: below(5) }, array)],
  compile: () => [words()],
  run: () => [
    of(handles.programs),
    of([undefined, of(handles.states), of(handles.states)]),
    of([undefined, new Float64Array(below(4)), new Float64Array(1)]),
    ...Array.from({ length: below(3) }, array),
  ],
  createState: () => [of([0, 8, 128, 1000, number()]), below(2) === 0 ? Float64Array.of(0, below(20), 1) : numberWords()],
  writeState: () => [of(handles.states), number(), array()],
  readState: () => [of(handles.states), Array.from({ length: below(5) }, (_, i) => (i % 2 === 0 ? number() : array()))],
  stateVersion: () => [of(handles.states)],
  createRunner: () => [
    of(handles.states),
    Array.from({ length: below(3) }, () => of(handles.programs)),
    ...Array.from({ length: below(3) }, array),
  ],
  runBlock: () => [of(handles.runners), blockWords(), ...Array.from({ length: below(3) }, () => of([undefined, array()]))],
  cancelRunner: () => [of(handles.runners)],
  runnerProgress: () => [of(handles.runners), new Float64Array(3)],
  closeRunner: () => [of(handles.runners)],
  permutations: () => [new Int32Array(below(100)), below(20), number(), number(), number(), number(), number()],
}
/** What a call may do for long on purpose: a repeat count that passes is a promise to run so often. */
const patient = (name, [, block]) =>
  name === 'runBlock' && block instanceof Float64Array && Array.from({ ...block, length: block.length }).some((word) => word > 1e4)

const codes = new Set(Object.keys(errorCodes))
const count = { calls: 0, passed: 0, refused: {} }
// abandonAll is for a process that exits: blocks under way never settle after it. It comes last.
const names = Object.keys(addon).filter((name) => name !== 'abandonAll')
const pending = new Set()

function told(name, error) {
  const code = error?.code
  if (!codes.has(code)) {
    console.log(JSON.stringify({ ...count, failed: `${name}: ${error?.stack ?? error}` }))
    process.exit(1)
  }
  count.refused[code] = (count.refused[code] ?? 0) + 1
}

for (; count.calls < calls; count.calls++) {
  const name = of(names)
  const args = below(3) > 0 && near[name] ? near[name]() : Array.from({ length: below(8) }, argument)
  if (below(10) === 0) args.push(argument())
  if (patient(name, args)) continue
  try {
    const result = addon[name].apply(of([addon, undefined, null, {}]), args)
    count.passed++
    if (name === 'compile') keep(handles.programs, result)
    // A state of gigabytes is had for nothing, but each block over it would copy it.
    if (name === 'createState' && args[0] < 2 ** 20) keep(handles.states, result)
    if (name === 'createRunner') keep(handles.runners, result)
    if (result instanceof Promise) {
      const settled = result.catch((error) => told(name, error)).finally(() => pending.delete(settled))
      pending.add(settled)
    }
  } catch (error) {
    told(name, error)
  }
  // Blocks overlap with other calls, but not without end.
  if (pending.size > 16 || count.calls % 512 === 0) await Promise.all(pending)
}
await Promise.all(pending)
addon.abandonAll(...Array.from({ length: 3 }, argument))
console.log(JSON.stringify(count))
