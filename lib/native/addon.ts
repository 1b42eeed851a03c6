/**
 * The typed surface of the addon: exactly what native/addon.cc exports. Programs, calls and blocks cross as arrays of numbers
 * ("words"), whose order is written down in native/program/program.h, native/boundary/eager.h and native/program/runner.h.
 * Every function checks all it is given and throws an `Error` with a code of `errorCodes`.
 */

import type { TypedArray } from '../util/dtype.js'

declare const program: unique symbol
declare const state: unique symbol
declare const runner: unique symbol

/** Objects of the addon; freed when they are released, or else collected. */
export type ProgramHandle = { readonly [program]: true }
export type StateHandle = { readonly [state]: true }
export type RunnerHandle = { readonly [runner]: true }

/** What the binary is: the names of its kernels and micro-operations in the order of their numbers, and how it computes here. */
export interface Description {
  kernels: string[]
  elementwise: string[]
  /** OpenBLAS's kernel for this processor. */
  blas: string
  /** The instruction set of the library's own kernels. */
  isa: string
  threads: number
  /** The most threads that a call may use: processors, affinity and control groups considered. */
  processors: number
}

/** Of a finished block; the same as `BlockResult` of the engine contract. */
export interface NativeBlockResult {
  status: 'done' | 'cancelled' | 'failed'
  epochs: number
  runs: number
  kept: number
  report: Float64Array
  failure?: {
    kind: 'index' | 'nonfinite'
    program: number
    epoch: number
    run: number
    step: number
    position?: number
    value?: number
    size?: number
  }
}

/** The processes that were started together. */
export interface NativeWorld {
  rank: number
  size: number
  /** Open MPI or MPICH, and what the library says of itself. */
  family: string
  file: string
  version: string
  /** Whether threads may call it at once. */
  concurrent: boolean
  /** What files said that could not be used. */
  failures: string[]
}

export interface Addon {
  describe(): Description
  threads(): number
  /** As many as the machine allows, at most. */
  setThreads(threads: number): void
  /** The processor quota of this process's control groups (0: none), with the system's files looked for below `root` ('': the system's own). */
  processorQuota(root: string): number
  /** Permutations of 0 … n − 1, one after the other, of the streams (seed, purpose, a, b), (seed, purpose, a + 1, b), … All words below 2³². */
  permutations(out: Int32Array, n: number, seedLow: number, seedHigh: number, purpose: number, a: number, b: number): void

  /** One kernel call: outputs first. `words` may be longer than the call. */
  call(words: Float64Array, ...operands: TypedArray[]): void

  compile(words: Float64Array): ProgramHandle
  run(program: ProgramHandle, state: StateHandle | undefined, report: Float64Array | undefined, ...inputs: TypedArray[]): void
  /** Frees it at once: it is taken by no function any more. Runners that were made with it go on. */
  releaseProgram(program: ProgramHandle): void

  /** `floats`: offset (bytes), length and type of each floating range. */
  createState(bytes: number, floats: Float64Array): StateHandle
  writeState(state: StateHandle, offset: number, source: TypedArray): void
  /** Offsets in bytes and targets in turn, all read of one moment; the version that they are of. */
  readState(state: StateHandle, ranges: readonly (number | TypedArray)[]): number
  stateVersion(state: StateHandle): number
  /** Frees it at once: it is taken by no function any more. */
  releaseState(state: StateHandle): void

  createRunner(state: StateHandle, programs: readonly ProgramHandle[], ...inputs: (TypedArray | undefined)[]): RunnerHandle
  runBlock(runner: RunnerHandle, words: Float64Array, ...windows: (TypedArray | undefined)[]): Promise<NativeBlockResult>
  cancelRunner(runner: RunnerHandle): void
  /** Writes runs, epochs and cost. */
  runnerProgress(runner: RunnerHandle, out: Float64Array): void
  closeRunner(runner: RunnerHandle): void
  /** Ends every training of the process, its workers' too, in the middle of a run; their promises never settle. For a process that exits. */
  abandonAll(): void

  /** Opens the first of the files that is an MPI library and begins, on the main thread; size 0 where none is one. */
  worldBegin(files: readonly string[]): NativeWorld
  /** The ranks' hosts for messages; after so many seconds of waiting for a rank all are ended. `yields`: ranks share processors. */
  worldWatch(hosts: readonly string[], stallSeconds: number, yields: boolean): void
  /**
   * All ranks have to call it: kind 0 waits for all, 1 adds up, 2 hands out the root's values, 3 gives each rank its bytes of every
   * rank: so many go to each and come from each. Channel 1 is the library's, 2 the user's.
   */
  worldCollective(kind: number, channel: number, root: number, values: TypedArray, counts?: Float64Array): Promise<TypedArray>
  /** Says why on stderr and ends all ranks, this one first. */
  worldAbort(reason: string, code: number): void
  /** Waits for all ranks and leaves MPI. On the main thread. */
  worldFinalize(ends: boolean): void
  /** Whether a collective is under way. */
  worldWaits(): boolean
}

const functions: Record<keyof Addon, true> = {
  describe: true,
  threads: true,
  setThreads: true,
  processorQuota: true,
  permutations: true,
  call: true,
  compile: true,
  run: true,
  releaseProgram: true,
  createState: true,
  writeState: true,
  readState: true,
  stateVersion: true,
  releaseState: true,
  createRunner: true,
  runBlock: true,
  cancelRunner: true,
  runnerProgress: true,
  closeRunner: true,
  abandonAll: true,
  worldBegin: true,
  worldWatch: true,
  worldCollective: true,
  worldAbort: true,
  worldFinalize: true,
  worldWaits: true,
}
/** What a binary of these sources exports. */
export const addonFunctions = Object.keys(functions) as readonly (keyof Addon)[]
