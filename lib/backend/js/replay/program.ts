/**
 * Programs in this engine. Compiling checks everything and prepares the kernels; a `Binding` ties them to memory (arena,
 * state, report, inputs), giving a list of closures; a run calls them in order.
 */

import { WengertError } from '../../../errors.js'
import { bytesPerElement, type Dtype, dtypeOf, dtypes, isDetached, isFloat, memoryError, type TypedArray } from '../../../util/dtype.js'
import type { Executable, State } from '../../backend.js'
import { indexError } from '../../failures.js'
import { type Call, flatSteps, type Loop, type Program, type ProgramInput, type Slot, type Step, spaces } from '../../program.js'
import { BadIndex, malformed, type Prepared, Ref, type Run } from '../kernels/kernel.js'
import { checkOverlap, type Span } from '../kernels/overlap.js'
import { registry } from '../kernels/registry.js'
import { allFinite, allocateViews, JsState, type Views } from './state.js'
import { type Stretch, type Stretches, stretches } from './stretches.js'

/** Above these a program is a mistake, not a plan. */
const MAX_BYTES = 2 ** 40
const MAX_REPORT = 2 ** 20

const count = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

function checkHeader(program: Program): void {
  if (program.dtype !== 'float32' && program.dtype !== 'float64') throw malformed('program', 'dtype float32 or float64', program.dtype)
  for (const name of ['arenaBytes', 'stateBytes'] as const) {
    if (!count(program[name]) || program[name] > MAX_BYTES) throw malformed('program', `${name} in 0 … ${MAX_BYTES}`, program[name])
  }
  if (!count(program.report) || program.report > MAX_REPORT) throw malformed('program', `report in 0 … ${MAX_REPORT}`, program.report)
  for (const { name, dtype, length, advance } of program.inputs) {
    if (!dtypes.includes(dtype)) throw malformed('program', `a known dtype for input ${name}`, dtype)
    if (!count(length) || !count(advance))
      throw malformed('program', `length and advance of 0 or more for input ${name}`, `${length} and ${advance}`)
  }
}

/** The bytes of a space, and its element type where it has only one. */
function spaceOf(program: Program, space: number): { bytes: number; dtype?: Dtype } {
  if (space === spaces.arena) return { bytes: program.arenaBytes }
  if (space === spaces.state) return { bytes: program.stateBytes }
  if (space === spaces.report) return { bytes: program.report * 8, dtype: 'float64' }
  const { dtype, length } = program.inputs[space - spaces.inputs] as ProgramInput
  return { bytes: length * bytesPerElement[dtype], dtype }
}

function checkSlot(program: Program, { space, offset, length, dtype }: Slot, index: number): Span {
  const last = spaces.inputs + program.inputs.length - 1
  if (!count(space) || space > last) throw malformed('program', `slot ${index} in a space of 0 … ${last}`, space)
  if (!dtypes.includes(dtype)) throw malformed('program', `slot ${index} of a known dtype`, dtype)
  const size = bytesPerElement[dtype]
  if (!count(offset) || offset % size !== 0) throw malformed('program', `slot ${index} at a multiple of ${size}`, offset)
  const { bytes, dtype: only } = spaceOf(program, space)
  if (only !== undefined && only !== dtype) throw malformed('program', `slot ${index} of type ${only}, as its space`, dtype)
  if (!count(length) || offset + length * bytesPerElement[dtype] > bytes) {
    throw malformed('program', `slot ${index} inside the ${bytes} bytes of space ${space}`, `${length} ${dtype} at ${offset}`)
  }
  return { base: space, start: offset, length, dtype }
}

/** Loops within loops, at most. */
const deepest = 16

/** Checks steps and prepares their kernels, in the order of `flatSteps`; for a loop there is none. */
function prepareSteps(
  program: Program,
  spans: readonly Span[],
  steps: readonly Step[],
  loops: readonly Loop[],
  prepared: (Prepared | undefined)[],
): void {
  for (const step of steps) {
    if (step.kernel !== 'loop') prepared.push(prepareStep(program, spans, { ...step, kernel: step.kernel }, loops, prepared.length))
    else {
      prepared.push(undefined)
      const loop = checkLoop(step, spans, prepared.length - 1)
      if (loops.length === deepest) throw malformed('loop', `${deepest} loops in each other at most`, 'more')
      prepareSteps(program, spans, loop.steps, [...loops, loop], prepared)
    }
  }
}

function checkLoop({ loop, outputs, inputs, ints, scalars }: Step, spans: readonly Span[], index: number): Loop {
  if (loop === undefined) throw malformed('loop', `the body of step ${index}`, 'none')
  if (outputs.length + inputs.length + ints.length + scalars.length > 0)
    throw malformed('loop', `step ${index} without operands and numbers of its own`, 'some')
  if (!count(loop.length)) throw malformed('loop', 'a length of 0 or more', loop.length)
  let last = -1
  for (const { slot, advance } of loop.windows) {
    if (!count(slot) || slot <= last || slot >= spans.length)
      throw malformed('loop', `windows in growing order among ${spans.length} slots`, slot)
    if (!Number.isSafeInteger(advance)) throw malformed('loop', 'windows that advance by safe integers', advance)
    if (spans[slot]?.base === spaces.report) throw malformed('loop', 'windows outside of the report', `slot ${slot}`)
    last = slot
  }
  return loop
}

/** An operand as loops move it. */
function movedBy(program: Program, loops: readonly Loop[], span: Span, slot: number): Span {
  const advances = loops.flatMap(({ length, windows }) => {
    const window = windows.find((own) => own.slot === slot)
    return window ? [window.advance * Math.max(0, length - 1) * bytesPerElement[span.dtype]] : []
  })
  if (advances.length === 0) return span
  const start = advances.reduce((sum, by) => sum + Math.min(0, by), span.start)
  const end = advances.reduce((sum, by) => sum + Math.max(0, by), span.start + span.length * bytesPerElement[span.dtype])
  const { bytes } = spaceOf(program, span.base as number)
  if (!(start >= 0 && end <= bytes))
    throw malformed('loop', `slot ${slot} inside the ${bytes} bytes of its space in every iteration`, `${start} … ${end}`)
  return { ...span, reach: { start, end, slot } }
}

function prepareStep(program: Program, spans: readonly Span[], step: Step & Call, loops: readonly Loop[], index: number): Prepared {
  const prepare = Object.hasOwn(registry, step.kernel) ? registry[step.kernel] : undefined
  if (!prepare) throw malformed('program', `step ${index} with a known kernel`, step.kernel)
  const at = (slot: number): Span => {
    const span = spans[slot]
    if (!span) throw malformed(step.kernel, `operands of step ${index} among ${spans.length} slots`, slot)
    return movedBy(program, loops, span, slot)
  }
  const outputs = step.outputs.map(at)
  const inputs = step.inputs.map(at)
  for (const { base } of outputs) {
    const input = program.inputs[(base as number) - spaces.inputs]
    if (input && !input.writable) throw malformed(step.kernel, `outputs of step ${index} in writable memory`, `input ${input.name}`)
  }
  const prepared = prepare(step, outputs, inputs)
  checkOverlap(step.kernel, prepared, outputs, inputs)
  return prepared
}

/** The memory of an array, for the overlap rule. */
export function spanOf(array: TypedArray, dtype: Dtype): Span {
  return { base: array.buffer, start: array.byteOffset, length: array.length, dtype }
}

/** Checks one array given for an input: its type, and that `length` elements of it can be seen. */
export function checkInput(input: ProgramInput, array: TypedArray | undefined): TypedArray {
  const dtype = dtypeOf(array)
  if (!array || dtype !== input.dtype) throw malformed('program', `a ${input.dtype} array for input ${input.name}`, dtype ?? typeof array)
  if (array.length < input.length) {
    if (array.length === 0 && isDetached(array)) {
      throw new WengertError('ERR_DETACHED', `program: input ${input.name} has no memory any more: its buffer was transferred; keep a copy`)
    }
    throw malformed('program', `${input.length} elements or more for input ${input.name}`, array.length)
  }
  return array
}

/** Refuses a writable input that shares memory with another input. */
export function checkWritable(inputs: readonly ProgramInput[], arrays: readonly TypedArray[]): void {
  for (const [w, input] of inputs.entries()) {
    if (!input.writable) continue
    const own = arrays[w] as TypedArray
    for (const [i, other] of arrays.entries()) {
      const apart = own.byteOffset >= other.byteOffset + other.byteLength || other.byteOffset >= own.byteOffset + own.byteLength
      if (i !== w && own.buffer === other.buffer && !apart) {
        throw malformed('program', `the writable input ${input.name} apart from the others`, `memory of ${inputs[i]?.name}`)
      }
    }
  }
}

/** An operand of a binding: its slot, and its first element before any cursor. */
interface Bound {
  readonly ref: Ref
  readonly slot: Slot
  readonly first: number
}

/** A program tied to memory. Several bindings of one program share its arena, since runs never interleave. */
export class Binding {
  /** The step being run, or the one that failed. */
  step = 0
  readonly row: Float64Array
  readonly #runs: readonly (Run | undefined)[]
  /** The same, very small neighbours taken together. */
  readonly #stretches: Stretches
  /** All steps, numbered; loops stand before what is in them. */
  readonly #steps: readonly Step[]
  /** Of each step the number of the next of its list. */
  readonly #after: readonly number[]
  readonly #bound: readonly Bound[]
  readonly #state: readonly Bound[]
  readonly #inputs: readonly Bound[]
  readonly #moving: readonly { ref: Ref; advance: number }[]
  readonly #outputs: readonly (readonly Bound[])[]
  /** Which steps write the cost. */
  readonly #costs: readonly boolean[]
  #attached: Views | undefined

  constructor(
    readonly program: Program,
    prepared: readonly (Prepared | undefined)[],
    arena: Views,
    row: Float64Array,
  ) {
    this.row = row
    const bound = program.slots.map((slot): Bound => {
      const first = slot.offset / bytesPerElement[slot.dtype]
      const array = slot.space === spaces.report ? row : arena[slot.dtype]
      return { ref: new Ref(array, first, slot.space, slot.offset), slot, first }
    })
    const at = (slot: number) => bound[slot] as Bound
    const refs = (slots: readonly number[]) => slots.map((slot) => at(slot).ref)
    this.#state = bound.filter(({ slot }) => slot.space === spaces.state)
    this.#inputs = bound.filter(({ slot }) => slot.space >= spaces.inputs)
    this.#moving = this.#inputs
      .map(({ ref, slot }) => ({ ref, advance: (program.inputs[slot.space - spaces.inputs] as ProgramInput).advance }))
      .filter(({ advance }) => advance > 0)
    this.#bound = bound
    this.#steps = flatSteps(program.steps)
    this.#runs = this.#steps.map((step, i) => prepared[i]?.bind(refs(step.outputs), refs(step.inputs)))
    this.#costs = this.#steps.map((step) => step.outputs.some((id) => at(id).slot.space === spaces.report && at(id).first === 0))
    this.#outputs = this.#steps.map((step) => step.outputs.map(at).filter(({ slot }) => isFloat(slot.dtype)))
    this.#after = this.#steps.map((step, i) => i + flatSteps([step]).length)
    // A loop is a run like any other, of the steps in it.
    let number = 0
    const whole = program.steps.map((step) => {
      const from = number
      number = this.#after[from] as number
      return { step, number: from, run: this.#runs[from] ?? (() => this.#loop(step.loop as Loop, from, false)) }
    })
    this.#stretches = stretches(whole, at, program.dtype)
  }

  attachState(views: Views): void {
    if (views === this.#attached) return
    this.#attached = views
    for (const { ref, slot } of this.#state) ref.array = views[slot.dtype]
  }

  /** Ties the inputs to arrays, each seen from its cursor. */
  attachInputs(arrays: readonly TypedArray[], cursors?: Float64Array): void {
    for (let i = 0; i < this.#inputs.length; i++) {
      const { ref, slot, first } = this.#inputs[i] as Bound
      const input = slot.space - spaces.inputs
      ref.array = arrays[input] as TypedArray
      ref.offset = cursors ? first + (cursors[input] as number) : first
    }
  }

  /** Moves the windows to the next run's. */
  advance(): void {
    for (let i = 0; i < this.#moving.length; i++) {
      const { ref, advance } = this.#moving[i] as { ref: Ref; advance: number }
      ref.offset += advance
    }
  }

  /** Before the first of some runs over the same state; `end` after the last, and before anybody reads the state. */
  begin(): void {
    this.#stretches.begin()
  }

  end(): void {
    this.#stretches.end()
  }

  /** One run, between `begin` and `end`; false where the cost became NaN or infinite. Throws `BadIndex`; `step` says where. */
  run(): boolean {
    const { list } = this.#stretches
    const costs = this.#costs
    for (let i = 0; i < list.length; i++) {
      const { run, step } = list[i] as Stretch
      this.step = step
      // A line never writes the report.
      if (run() === false || (costs[step] && !Number.isFinite(this.row[0]))) return false
    }
    return true
  }

  /** One run that tests each step's floating outputs, without `begin` and `end`; false at the first that is not finite, `step` then says where. */
  runChecked(): boolean {
    return this.#steps.length === 0 || this.#range(this.program.steps, 0, true)
  }

  /** Runs steps, the first of which has this number; false where the run shall end. */
  #range(steps: readonly Step[], first: number, checked: boolean): boolean {
    let i = first
    for (const { loop } of steps) {
      this.step = i
      const run = this.#runs[i]
      if (run === undefined) {
        if (!this.#loop(loop as Loop, i, checked)) return false
        i = this.#after[i] as number
        continue
      }
      run()
      if (checked) {
        for (const { ref, slot } of this.#outputs[i] as readonly Bound[])
          if (!allFinite(ref.array, ref.offset, ref.offset + slot.length)) return false
      }
      if (this.#costs[i] && !Number.isFinite(this.row[0])) return false
      i++
    }
    return true
  }

  /** Runs the body of a loop so many times, its windows moving on; they are back where they were when it ends, however it ends. */
  #loop({ length, windows, steps }: Loop, number: number, checked: boolean): boolean {
    const moving = windows.map(({ slot, advance }) => ({ ref: (this.#bound[slot] as Bound).ref, advance }))
    let done = 0
    try {
      while (done < length) {
        if (!this.#range(steps, number + 1, checked)) return false
        for (let i = 0; i < moving.length; i++) {
          const { ref, advance } = moving[i] as { ref: Ref; advance: number }
          ref.offset += advance
        }
        done++
      }
      return true
    } finally {
      for (const { ref, advance } of moving) ref.offset -= done * advance
    }
  }
}

export class JsExecutable implements Executable {
  readonly program: Program
  readonly #prepared: readonly (Prepared | undefined)[]
  readonly #writes: boolean
  #arena: Views | undefined
  #own: Binding | undefined

  constructor(source: Program) {
    checkHeader(source)
    const spans = source.slots.map((slot, i) => checkSlot(source, slot, i))
    const prepared: (Prepared | undefined)[] = []
    prepareSteps(source, spans, source.steps, [], prepared)
    this.#prepared = prepared
    this.#writes = source.inputs.some((input) => input.writable)
    this.program = source
  }

  release(): void {
    this.#arena = undefined
    this.#own = undefined
  }

  /** A binding that adds its report into `row`. */
  bind(row: Float64Array): Binding {
    this.#arena ??= allocateViews(this.program.arenaBytes, 'program')
    try {
      return new Binding(this.program, this.#prepared, this.#arena, row)
    } catch (error) {
      throw memoryError('program', error)
    }
  }

  run(state: State | undefined, inputs: readonly TypedArray[], report?: Float64Array): void {
    const { program } = this
    if (inputs.length !== program.inputs.length) throw malformed('program', `${program.inputs.length} inputs`, inputs.length)
    for (let i = 0; i < inputs.length; i++) checkInput(program.inputs[i] as ProgramInput, inputs[i])
    if (this.#writes) checkWritable(program.inputs, inputs)
    if (report && !(report instanceof Float64Array && report.length >= program.report)) {
      throw malformed('program', `a report of ${program.report} float64 entries`, report.length)
    }
    const block = checkState(program, state)
    if (block?.worker) throw new WengertError('ERR_BUSY', 'program: a runner is working on this state; wait until it has ended')
    this.#own ??= this.bind(new Float64Array(program.report))
    const own = this.#own
    if (block) own.attachState(block.views)
    own.attachInputs(inputs)
    const row = own.row
    for (let i = 0; i < row.length; i++) row[i] = 0
    let finite = true
    try {
      own.begin()
      finite = own.run()
    } catch (error) {
      throw error instanceof BadIndex
        ? indexError(`${(flatSteps(program.steps)[own.step] as Step).kernel} (step ${own.step})`, error)
        : memoryError('program', error)
    } finally {
      own.end()
      if (block) block.changed()
    }
    if (report) for (let i = 0; i < row.length; i++) report[i] = (report[i] as number) + (row[i] as number)
    if (!finite) {
      throw new WengertError('ERR_DIVERGED', `program: expected a finite cost, got ${row[0]}`, { actual: row[0] })
    }
  }
}

/** The state as this engine's own, large enough for the program. */
export function checkState(program: Program, state: State | undefined): JsState | undefined {
  if (state === undefined) {
    if (program.stateBytes > 0) throw malformed('program', `a state of ${program.stateBytes} bytes`, 'none')
    return undefined
  }
  if (!(state instanceof JsState)) throw malformed('program', 'a state made by the JavaScript engine', 'another')
  if (state.bytes < program.stateBytes) throw malformed('program', `a state of ${program.stateBytes} bytes or more`, state.bytes)
  return state
}
