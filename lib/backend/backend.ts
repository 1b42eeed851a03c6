/**
 * The contract that every engine keeps. `run` is eager execution; `compile` turns a validated program into something
 * that can be replayed over a state block, in one synchronous call or by a `Runner` off the main thread.
 * Both engines pass one contract suite (`test/backend/`).
 */

import type { Dtype, TypedArray } from '../util/dtype.js'
import type { StreamKey } from '../util/random.js'
import type { Block, BlockResult, Call, Program } from './program.js'

/** The engines by name. */
export type BackendName = 'native' | 'js'

/** What is running, for people: `blas` names the GEMM kernel in use. */
export interface BackendInfo {
  name: BackendName
  /** Why this engine and not the native one. */
  reason?: string
  blas?: string
  threads: number
  /** Bytes that compiled programs and their memory take which are kept for the next call of the same shape; bounded for each model and trainer. */
  cachedBytes?: number
}

/** A private block of bytes that holds parameters, optimiser state and running statistics; zeroed at birth. */
export interface State {
  readonly bytes: number
  /** Copies `source` to `offset` (bytes). Refused (ERR_BUSY) while a runner works on this state. */
  write(offset: number, source: TypedArray): void
  /**
   * Copies from `offset` (bytes) into `target`. While a runner works on this state, what is read is the last published
   * snapshot: a finished epoch, never torn.
   */
  read(offset: number, target: TypedArray): void
  /** Copies from each offset (bytes) into the target of its place, all of one snapshot; the version that they are of. */
  readAll(offsets: readonly number[], targets: readonly TypedArray[]): number
  /** Counts the versions that `read` can see; it grows when a snapshot is published or a synchronous run ends. */
  readonly version: number
  /** Frees the memory now: in a loop without `await` the collector frees nothing that lies outside of JavaScript. Not used afterwards. */
  release(): void
}

/** A compiled program. */
export interface Executable {
  readonly program: Program
  /** One run, in one call, on the calling thread. `report` receives the program's entries (added to). Throws coded errors. */
  run(state: State | undefined, inputs: readonly TypedArray[], report?: Float64Array): void
  /** Frees the memory now, as a state's `release`. Runners that were made with it go on. Not run afterwards. */
  release(): void
}

/** Repeats programs over one state and one set of inputs, off the main thread where the engine can. */
export interface Runner {
  /**
   * Runs a block. One block at a time; a second is refused with ERR_BUSY.
   * On a failure the state goes back to the last good snapshot (every value finite), else it is as of the last whole run.
   */
  run(block: Block): Promise<BlockResult>
  /** Asks the running block to stop before its next update. */
  cancel(): void
  /** Runs finished so far in the running block, for live progress. */
  readonly progress: { runs: number; epochs: number; cost: number }
  /** Cancels, waits, and frees the inputs' copies. The state lives on. */
  close(): void
}

export interface Backend {
  readonly name: BackendName
  /** Whether `Runner.run` leaves the event loop free. */
  readonly offThread: boolean
  /** Eager: one call on typed arrays. Throws ERR_PROGRAM for a malformed call, ERR_INDEX for a bad index value. */
  run(call: Call, outputs: readonly TypedArray[], inputs: readonly TypedArray[]): void
  /** Validates (ERR_PROGRAM) and prepares a program. */
  compile(program: Program): Executable
  /** `floats` lists the floating ranges of the block (byte offset, length, type): what a snapshot tests for NaN and Infinity. */
  createState(bytes: number, floats: readonly { offset: number; length: number; dtype: Dtype }[]): State
  /**
   * `programs` share one list of inputs (same names, types and order in each). Arrays over a SharedArrayBuffer are borrowed,
   * others are copied once. Inputs given as undefined come with each block's `windows`.
   */
  createRunner(state: State, programs: readonly Executable[], inputs: readonly (TypedArray | undefined)[]): Runner
  /** Fills `out` with permutations of 0 … n − 1, one after the other, drawn from `key` with a, a + 1, … (see util/random.ts). */
  permutations(out: Int32Array, n: number, key: StreamKey): void
  info(): BackendInfo
  setThreads(threads: number): void
}
