/**
 * Repeats programs over one state. This engine has one thread, the caller's: a block is worked off in slices of at most 10 ms,
 * between which the event loop turns. A run is never interrupted, so a slice ends between two runs, and JavaScript sees the
 * last snapshot.
 */

import { WengertError } from '../../../errors.js'
import { dtypeOf, memoryError, type TypedArray } from '../../../util/dtype.js'
import type { Executable, Runner } from '../../backend.js'
import type { Block, BlockResult, Failure, Program, ProgramInput } from '../../program.js'
import { BadIndex, malformed } from '../kernels/kernel.js'
import { thresholds } from '../thresholds.js'
import { type Binding, checkInput, checkState, checkWritable, JsExecutable } from './program.js'
import type { JsState } from './state.js'

/** A block being worked off, between slices. */
interface Job {
  readonly block: Block
  readonly bindings: readonly Binding[]
  readonly arrays: readonly TypedArray[]
  readonly cursors: Float64Array
  /** The inputs bound with the runner: their cursors return to 0 with each epoch. */
  readonly bound: readonly number[]
  readonly report: Float64Array
  epoch: number
  segment: number
  /** Runs made of the segment. */
  index: number
  runs: number
  snapshotAt: number
  /** Epochs of the last accepted snapshot. */
  kept: number
  /** Runs between two looks at the clock, and until the next. */
  stride: number
  countdown: number
  clock: number
}

type Stop = 'done' | 'cancelled' | 'pause' | Failure

export class JsRunner implements Runner {
  readonly #state: JsState
  readonly #executables: readonly JsExecutable[]
  readonly #inputs: (TypedArray | undefined)[]
  readonly #row: Float64Array
  #bindings: readonly Binding[] | undefined
  #cancelled = false
  #closed = false
  #working = false
  #progress = { runs: 0, epochs: 0, cost: Number.NaN }

  constructor(state: JsState, programs: readonly Executable[], inputs: readonly (TypedArray | undefined)[]) {
    if (programs.length === 0) throw malformed('runner', '1 or more programs', 0)
    this.#state = state
    this.#executables = programs.map((executable) => {
      if (!(executable instanceof JsExecutable)) throw malformed('runner', 'programs compiled by the JavaScript engine', 'another')
      checkState(executable.program, state)
      return executable
    })
    this.#checkSameInputs(inputs.length)
    this.#inputs = inputs.map((array, i) => {
      if (array === undefined) return undefined
      for (const input of this.#inputsAt(i)) checkInput(input, array)
      return array.buffer instanceof SharedArrayBuffer ? array : array.slice()
    })
    this.#row = new Float64Array(Math.max(...this.#executables.map(({ program }) => program.report)))
  }

  get progress(): { runs: number; epochs: number; cost: number } {
    return { ...this.#progress }
  }

  cancel(): void {
    this.#cancelled = true
  }

  close(): void {
    this.#closed = true
    this.#cancelled = true
    if (!this.#working) this.#free()
  }

  async run(block: Block): Promise<BlockResult> {
    if (this.#closed) throw malformed('runner', 'an open runner', 'a closed one')
    if (this.#state.worker) throw new WengertError('ERR_BUSY', 'runner: another runner is working on this state; wait until it has ended')
    const job = this.#begun(block)
    this.#cancelled = false
    this.#working = true
    this.#progress = { runs: 0, epochs: 0, cost: Number.NaN }
    this.#state.worker = this
    try {
      this.#state.publish()
      for (;;) {
        const stop = this.#slice(job)
        if (stop !== 'pause') return this.#finish(job, stop)
        await new Promise((resolve) => setImmediate(resolve))
      }
    } catch (error) {
      // A kernel found no memory in the middle of an update: none of it stands.
      this.#state.restore()
      throw memoryError('runner', error)
    } finally {
      this.#working = false
      this.#state.worker = undefined
      this.#state.changed()
      if (this.#closed) this.#free()
    }
  }

  #begun(block: Block): Job {
    try {
      return this.#begin(block)
    } catch (error) {
      throw memoryError('runner', error)
    }
  }

  #free(): void {
    this.#inputs.fill(undefined)
    this.#bindings = undefined
  }

  /** The i-th input as each program declares it. */
  #inputsAt(i: number): ProgramInput[] {
    return this.#executables.map(({ program }) => program.inputs[i] as ProgramInput)
  }

  #checkSameInputs(given: number): void {
    const first = (this.#executables[0] as JsExecutable).program.inputs
    if (given !== first.length) throw malformed('runner', `${first.length} inputs`, given)
    for (const { program } of this.#executables) {
      const same =
        program.inputs.length === first.length && program.inputs.every((x, i) => x.name === first[i]?.name && x.dtype === first[i]?.dtype)
      if (!same) throw malformed('runner', 'programs with one list of inputs', 'lists that differ')
    }
  }

  /** Checks a block against the inputs, and copies its windows. Nothing has changed yet when it throws. */
  #begin(block: Block): Job {
    const programs = this.#executables.map(({ program }) => program)
    checkBlock(block, programs)
    const arrays = this.#inputs.map((own, i) => {
      const window = block.windows[i]
      if (window === undefined) {
        if (own === undefined) throw malformed('runner', `a window for input ${this.#inputsAt(i)[0]?.name}`, 'none')
        return own
      }
      const { dtype, name } = this.#inputsAt(i)[0] as ProgramInput
      if (dtypeOf(window) !== dtype) throw malformed('runner', `a ${dtype} window for input ${name}`, dtypeOf(window) ?? typeof window)
      return window.slice()
    })
    checkReach(block, programs, arrays)
    for (const { inputs } of programs) checkWritable(inputs, arrays)
    this.#bindings ??= this.#executables.map((executable) => executable.bind(this.#row))
    for (const binding of this.#bindings) binding.attachState(this.#state.views)
    this.#row.fill(0)
    const now = performance.now()
    return {
      block,
      bindings: this.#bindings,
      arrays,
      cursors: new Float64Array(arrays.length),
      bound: [...arrays.keys()].filter((i) => block.windows[i] === undefined),
      report: allocateReport((block.epochs + 1) * this.#row.length),
      epoch: 0,
      segment: 0,
      index: 0,
      runs: 0,
      snapshotAt: now,
      kept: 0,
      stride: 1,
      countdown: 1,
      clock: now,
    }
  }

  /** Works until the block stops, or ten milliseconds have passed. */
  #slice(job: Job): Stop {
    const { block, cursors } = job
    const { epochs, segments } = block
    job.clock = performance.now()
    const until = job.clock + thresholds.sliceMilliseconds
    while (job.epoch < epochs) {
      while (job.segment < segments.length) {
        const { program, repeat } = segments[job.segment] as Block['segments'][number]
        const binding = job.bindings[program] as Binding
        const { atomic } = binding.program
        binding.attachInputs(job.arrays, cursors)
        const checked = block.checked === true
        if (!checked) binding.begin()
        const from = job.index
        let stop: Stop | undefined
        while (job.index < repeat) {
          if (this.#cancelled && atomic) {
            stop = 'cancelled'
            break
          }
          if (--job.countdown <= 0 && look(job) > until) {
            stop = 'pause'
            break
          }
          const failure = this.#once(binding, checked)
          if (failure) {
            stop = { ...failure, program, epoch: job.epoch, run: job.index } as Failure
            break
          }
          binding.advance()
          job.index++
          job.runs++
          this.#progress.runs++
        }
        if (!checked) binding.end()
        const { inputs } = binding.program
        for (let i = 0; i < inputs.length; i++)
          cursors[i] = (cursors[i] as number) + (job.index - from) * (inputs[i] as ProgramInput).advance
        if (stop) return stop
        job.index = 0
        job.segment++
      }
      this.#endEpoch(job)
    }
    return 'done'
  }

  #once(binding: Binding, checked: boolean): object | undefined {
    try {
      const finite = checked ? binding.runChecked() : binding.run()
      if (!finite) return { kind: 'nonfinite', step: binding.step }
    } catch (error) {
      if (!(error instanceof BadIndex)) throw error
      const { position, value, size } = error
      return { kind: 'index', step: binding.step, position, value, size }
    }
    return undefined
  }

  #endEpoch(job: Job): void {
    const row = this.#row
    for (let i = 0, at = job.epoch * row.length; i < row.length; i++) {
      job.report[at + i] = row[i] as number
      row[i] = 0
    }
    if (row.length > 0) this.#progress.cost = job.report[job.epoch * row.length] as number
    job.epoch++
    job.segment = 0
    for (const i of job.bound) job.cursors[i] = 0
    this.#progress.epochs = job.epoch
    if (job.clock - job.snapshotAt < thresholds.snapshotMilliseconds) return
    if (this.#state.publish()) job.kept = job.epoch
    job.snapshotAt = performance.now()
  }

  #finish(job: Job, reason: Exclude<Stop, 'pause'>): BlockResult {
    const entries = this.#row.length
    const bad = typeof reason !== 'object' && !this.#state.publish()
    const stop: typeof reason = bad ? { kind: 'nonfinite', program: 0, epoch: job.epoch, run: job.index, step: -1 } : reason
    const failed = typeof stop === 'object'
    const begun = job.segment > 0 || job.index > 0 || typeof reason === 'object'
    if (begun) job.report.set(this.#row, job.epoch * entries)
    if (failed) this.#state.restore()
    const report = job.report.slice(0, (job.epoch + (begun ? 1 : 0)) * entries)
    const result = {
      status: failed ? 'failed' : stop,
      epochs: job.epoch,
      kept: failed ? job.kept : job.epoch,
      runs: job.runs,
      report,
    } as const
    return typeof stop === 'object' ? { ...result, failure: stop } : result
  }
}

function allocateReport(entries: number): Float64Array {
  try {
    return new Float64Array(entries)
  } catch (cause) {
    throw new WengertError('ERR_MEMORY', `runner: expected room for a report of ${entries} entries, got ${(cause as Error).message}`, {
      cause,
    })
  }
}

/** Reads the clock, and sets how many runs go by until the next look: a quarter to one millisecond of them. */
function look(job: Job): number {
  const now = performance.now()
  const passed = now - job.clock
  if (passed < 0.25) job.stride = Math.min(job.stride * 2, 65536)
  else if (passed > 1) job.stride = Math.max(1, job.stride >> 1)
  job.clock = now
  job.countdown = job.stride
  return now
}

function checkBlock(block: Block, programs: readonly Program[]): void {
  const whole = (value: number) => Number.isSafeInteger(value) && value >= 0
  if (!whole(block.epochs)) throw malformed('runner', 'epochs of 0 or more', block.epochs)
  for (const { program, repeat } of block.segments) {
    if (!whole(program) || program >= programs.length) throw malformed('runner', `segments of programs below ${programs.length}`, program)
    if (!whole(repeat)) throw malformed('runner', 'repeats of 0 or more', repeat)
  }
  const { length } = (programs[0] as Program).inputs
  for (const key of Object.keys(block.windows)) {
    if (!(Number(key) < length)) throw malformed('runner', `windows for inputs below ${length}`, key)
  }
}

/** Every run of the block must see its inputs inside the arrays. Cursors of windows only grow, so the last epoch reaches farthest; bound inputs see every epoch alike. */
function checkReach(block: Block, programs: readonly Program[], arrays: readonly TypedArray[]): void {
  if (block.epochs === 0) return
  for (const [i, array] of arrays.entries()) {
    const input = (program: number) => (programs[program] as Program).inputs[i] as ProgramInput
    const epoch = block.segments.reduce((sum, { program, repeat }) => sum + repeat * input(program).advance, 0)
    let cursor = block.windows[i] === undefined ? 0 : (block.epochs - 1) * epoch
    for (const { program, repeat } of block.segments) {
      if (repeat === 0) continue
      const { advance, length, name } = input(program)
      const reach = cursor + (repeat - 1) * advance + length
      if (!(reach <= array.length))
        throw malformed('runner', `${reach} elements or more of input ${name} for ${block.epochs} epochs`, array.length)
      cursor += repeat * advance
    }
  }
}
