/**
 * The neutral language between the plan and the engines: *kernel calls* on flat operands, and *programs*, lists of calls
 * over slots. Both engines implement exactly these kernels by name and refuse exactly the same malformed calls; eager
 * execution is one call on typed arrays, replay is a program. Shapes never cross: a kernel sees canonical integer
 * dimensions in `ints`, numbers in `scalars`, and operands as (element type, length).
 *
 * To add a kernel: a line here, `lib/backend/js/kernels/<room>.ts` (the readable definition), `native/kernels/<room>.cc`.
 *
 * F is the floating type of the call: that of its first floating output (or input, where no output is floating).
 * All operands are dense and row-major; "[a, b]" below is an operand of a·b elements. Empty dimensions (0) are allowed.
 *
 * | kernel         | outputs ← inputs                            | ints                              | scalars      |
 * |----------------|---------------------------------------------|-----------------------------------|--------------|
 * | elementwise    | any ← any                                   | see `ElementwiseCode`             | constants    |
 * | matmul         | c[batch,m,n] F ← a F, b F, (s[1] F)         | batch, m, n, k, transA, transB, strideA, strideB | alpha, beta |
 * | sum prod max min | out[outer,inner] ← x[outer,n,inner], same dtype (F or int32) | outer, n, inner  |              |
 * | any all        | out[outer,inner] bool ← x[outer,n,inner] bool | outer, n, inner                 |              |
 * | argmax argmin  | out[outer,inner] int32 ← x[outer,n,inner] F or int32 | outer, n, inner          |              |
 * | cumsum         | out[outer,n,inner] F or int32 ← x           | outer, n, inner, reverse          |              |
 * | softmax logSoftmax | out[outer,n,inner] F ← x                | outer, n, inner                   |              |
 * | logSumExp      | out[outer,inner] F ← x[outer,n,inner]       | outer, n, inner                   |              |
 * | copy           | out ← x, same dtype                         | rank, fill, dims[rank], srcOffset, srcStrides[rank], dstOffset, dstStrides[rank] | fillValue |
 * | concat         | out[outer, Σnᵢ, inner] ← xᵢ[outer,nᵢ,inner], same dtype | outer, inner, n₁ … n_k (k = inputs)  |   |
 * | gather         | out[outer,k,inner] ← x[outer,n,inner], index[k] int32 | outer, n, inner, k      |              |
 * | scatterAdd     | out[outer,n,inner] F ← x[outer,k,inner] F, index[k] int32, (s[1] F) | outer, n, inner, k | alpha, beta |
 * | takeAlong      | out[outer,k,inner] ← x[outer,n,inner], index[outer,k,inner] int32 | outer, n, inner, k |       |
 * | putAlong       | out[outer,n,inner] F ← x[outer,k,inner] F, index[outer,k,inner] int32 | outer, n, inner, k |   |
 * | oneHot         | out[k,n] ← index[k] int32                   | k, n                              |              |
 * | toIndex        | out[k] int32 ← x[k] F                       | k, n                              |              |
 * | softmaxCrossEntropy | loss[m] F ← z[m,n] F, label[m] int32   | m, n                              |              |
 * | softmaxCrossEntropyGrad | dz[m,n] F, (loss[m] F) ← z[m,n] F, label[m] int32, g[m] or g[1] F | m, n |      |
 * | allReduce      | out[Σnᵢ] F ← xᵢ[nᵢ] F                       | vote, n₁ … n_k (k = inputs)       |              |
 * | argsort        | out[outer,n] int32 ← x[outer,n] F or int32  | outer, n, descending              |              |
 * | accumulate     | r[1] float64 ← x[n] F, int32 or bool        | n                                 |              |
 * | dropout        | out[rows,n] F ← x[rows,n] F, counter[4] int32 | rows, n, layer, first           | rate         |
 * | random         | out[n] F or int32 ← counter[4] int32        | n, kind, purpose, byRow, mixLow, mixHigh | low, high |
 * | conv           | y[n,p,q,d] F ← x[n,h,w,c] F, w[kh,kw,c/groups,d] F | n, h, w, c, p, q, d, kh, kw, strides[2], paddings[2], dilations[2], groups | |
 * | convInput      | x F ← y F, w F                              | those of conv                     |              |
 * | convWeight     | w F ← x F, y F                              | those of conv                     |              |
 * | maxPool        | y[n,p,q,c] F ← x[n,h,w,c] F                 | n, h, w, c, p, q, kh, kw, strides[2], paddings[2], dilations[2] | |
 * | poolTake       | y F ← t F, x F (t as x)                     | those of maxPool                  |              |
 * | poolPut        | out F ← g F, x F (g as y, out as x)         | those of maxPool                  |              |
 * | convInputPooled | x F ← g[n,p′,q′,d] F, y F, w F             | those of conv without groups, p′, q′, ph, pw, strides[2] | |
 * | convWeightPooled | w F ← x F, g[n,p′,q′,d] F, y F            | those of convInputPooled          |              |
 * | attention      | y[m,T,heads·e] F ← q, k, v F, (mask F or bool) | m, heads, T, S, d, e, operands, causal, mask[4] | scale |
 * | attentionGrad  | dq, dk, dv F ← q, k, v F, (mask F or bool), g[m,T,heads·e] F | those of attention | scale      |
 * | rowwise        | any ← any                                   | see `RowwiseCode`                 | constants    |
 *
 * - matmul: c[i] = alpha · s · op(a[i]) · op(b[i]) + beta · c[i]; op(a) is [m,k] (stored [k,m] if transA), op(b) is [k,n]
 *   (stored [n,k] if transB); a starts at i·strideA, b at i·strideB (a stride of 0 repeats one matrix). beta = 0 never
 *   reads c (NaN there does not spread). k = 0 gives beta · c. s, where given, is a run-time factor.
 *   c overlaps neither a nor b. Strides are 0 or more; a holds exactly (batch − 1)·strideA + m·k elements (any number where
 *   batch = 0), b likewise.
 * - sum of float32 accumulates in float64. max and min propagate NaN; of an empty axis they, argmax and argmin are refused
 *   (n = 0 with outer·inner > 0). argmax and argmin give the first of equals, and NaN counts as the extreme (PyTorch).
 *   int32 sums and products wrap modulo 2³².
 * - copy: for every multi-index d < dims: out[dstOffset + Σ dᵢ·dstStridesᵢ] = x[srcOffset + Σ dᵢ·srcStridesᵢ]; strides may be
 *   zero or negative in the source; with fill = 1, `out` is first filled with fillValue (else elements not written stay).
 *   Destination elements are distinct (checked: positive strides that nest, `stride ≥ extent of the smaller ones`, in some order).
 * - index values must lie in 0 … n − 1; each is checked as it is used; a bad one stops the run with status `index`
 *   (see `Failure`). putAlong starts from zero and adds; scatterAdd adds alpha · s · x, with beta = 0 to
 *   zero, with 1 to what is in out, which is left as it was where an index is bad. toIndex checks numbers likewise: each must be an integer there.
 * - allReduce: the inputs one after the other, added up over all processes of the world, which all have to come; of one
 *   process, as they are. With vote = 1 the last input is one number that the kernel writes: how many processes want the training to end.
 *   A process that fails before it comes to the vote all the same, and the run ends there for all of them.
 * - argsort gives the places of the elements in growing order, in falling order where descending = 1; equal ones keep their
 *   order, NaN counts as the largest.
 * - softmaxCrossEntropy: loss = logSumExp(z) − z[label]; its gradient dz = g · (softmax(z) − oneHot(label)),
 *   which gives the loss too where there is a second output: the same bits, in one pass.
 * - accumulate: r += Σ x, in float64.
 * - dropout: out[r, j] = x[r, j] · (1/(1 − rate)) where word j of the stream (seed, purpose dropout + 256 · layer,
 *   a = first + counter[3] + r modulo 2³², b = counter[2]) of util/random.ts is at least rate · 2³², else 0; the seed is
 *   counter[0] + 2³² · counter[1], unsigned. layer < 2²⁴; rate in [0, 1]. out may be x's memory.
 * - random: kind 0, uniform variates in [low, high); 1, standard normal ones; 2, a permutation of 0 … n − 1 (int32): the draws of
 *   `fillDraws` from the stream (seed, purpose, a = counter[2], b = counter[3] where byRow is not 0, else 0), the words of the seed
 *   being counter[0] ^ mixLow and the low 21 bits of counter[1] ^ mixHigh. The same bits on every machine and engine.
 * - conv: window (i, j) has cell (a, b) at row i·stride₀ + a·dilation₀ − padding₀, column likewise; cells that are not on the
 *   image count as zeros. groups ≥ 1 divides c and d: channel k of y sees the c/groups channels of its group alone.
 *   convInput and convWeight are its transposes by x and by w.
 * - maxPool: the largest of a window's cells on the image, NaN where any is; −∞ where there is none. poolTake gives t and
 *   poolPut adds g, from zero, where that cell stands: the first of equals in row-major order, the last NaN.
 * - convInputPooled and convWeightPooled are convInput and convWeight, of one group, of the gradient that poolPut gives of g and y: windows
 *   of ph × pw cells that all lie on y. What is 0 there is skipped, so it meets no infinity.
 * - attention: of every sample and head y = softmax(scale · q kᵀ + mask) v over the keys; with causal = 1 query t looks at the keys
 *   0 … t alone, and where a mask of bool is 0, or one of numbers −∞, it does not look: a query that may look nowhere gives 0. What is hidden has weight 0, whatever
 *   it is; values that are not finite may come through it. `operands` says how q, k and v lie: 3, q[m,T,heads·d],
 *   k[m,S,heads·d], v[m,S,heads·e]; 2, q and the rows of k and v side by side, [m,S,heads·(d+e)]; 1, all three so (T = S). mask[4] are
 *   the mask's dimensions, each 1 or that of [m,heads,T,S]; all 0 where there is none. attentionGrad gives the gradients of
 *   Σ g y by q, k and v, which lie as these do. S ≥ 1.
 */

import type { Dtype, TypedArray } from '../util/dtype.js'

// biome-ignore format: a table
export const kernelNames = [
  'elementwise', 'matmul', 'sum', 'prod', 'max', 'min', 'any', 'all', 'argmax', 'argmin', 'cumsum',
  'softmax', 'logSoftmax', 'logSumExp', 'copy', 'concat', 'gather', 'scatterAdd', 'takeAlong', 'putAlong', 'oneHot',
  'softmaxCrossEntropy', 'softmaxCrossEntropyGrad', 'accumulate', 'dropout', 'toIndex', 'random',
  'conv', 'convInput', 'convWeight', 'maxPool', 'poolTake', 'poolPut', 'argsort', 'allReduce',
  'convInputPooled', 'convWeightPooled', 'attention', 'attentionGrad', 'rowwise',
] as const
export type KernelName = (typeof kernelNames)[number]

/**
 * The micro-operations of the elementwise kernel, by name. Comparisons and logic give 1 or 0; anything nonzero is true.
 * `where` takes (condition, a, b). `mod` is a − floor(a/b)·b (the sign of b). `round` is half to even. `sign` of 0 is 0,
 * of NaN NaN. maximum and minimum propagate NaN. relu, max(x, 0), propagates NaN. gelu is the exact form; geluTanh the approximation.
 * `pow` as C's pow. Everything is computed in F; `sigmoid`, `tanh`, `exp` neither overflow nor give NaN at |x| = 1e4.
 * Values of int32 and bool are numbers of F too. What brings them there: `toBool` is x ≠ 0 (of NaN 1); `toInt32` truncates and
 * saturates, NaN → 0; `wrapInt32`, of an integer below 2⁵³, and `mulInt32` wrap modulo 2³²; `powInt32` wraps where b ≥ 0, and
 * otherwise truncates. None of them gives −0.
 */
// biome-ignore format: a table
export const elementwiseOps = {
  // one operand
  copy: 1, neg: 1, abs: 1, sign: 1, floor: 1, ceil: 1, round: 1, square: 1, sqrt: 1, rsqrt: 1, reciprocal: 1,
  exp: 1, expm1: 1, log: 1, log1p: 1, sin: 1, cos: 1, tan: 1, asin: 1, acos: 1, atan: 1, sinh: 1, cosh: 1, tanh: 1,
  asinh: 1, acosh: 1, atanh: 1, erf: 1, sigmoid: 1, logSigmoid: 1, softplus: 1, relu: 1, logicalNot: 1, isFinite: 1,
  toBool: 1, toInt32: 1, wrapInt32: 1,
  // two operands
  add: 2, sub: 2, mul: 2, div: 2, pow: 2, atan2: 2, mod: 2, maximum: 2, minimum: 2,
  equal: 2, notEqual: 2, less: 2, lessEqual: 2, greater: 2, greaterEqual: 2, logicalAnd: 2, logicalOr: 2,
  mulInt32: 2, powInt32: 2,
  // three operands
  where: 3,
} as const
export type ElementwiseOp = keyof typeof elementwiseOps

/**
 * The `ints` of an elementwise call: a straight-line micro-program applied at every point of a [rows, cols] grid.
 *
 *   [compute, rows, cols, inputs, outputs, constants, ops,
 *    rowStride, colStride          for each input: element (r, c) is at r·rowStride + c·colStride,
 *    register                      for each output: which register it receives (all outputs are dense [rows, cols]),
 *    code, a, b, c                 for each op: its operands' registers (unused ones 0)]
 *
 * `compute` is 0 for float32, 1 for float64. Strides: (cols, 1) dense, (0, 1) one row repeated, (1, 0) one column
 * repeated, (0, 0) a single element. Registers number the inputs, then the constants (`scalars`), then the ops' results;
 * an op may only read registers before its own. Inputs are converted to the compute type as they are read, outputs to
 * their own type as they are written (to int32: truncated, saturating, NaN → 0; to bool: ≠ 0).
 * An output may be the same memory as an input of the same type with dense strides, or be disjoint from all inputs.
 * At most 32 inputs, 16 outputs, 32 constants, 128 ops.
 * `code` is the op's index in the order of the keys of `elementwiseOps`.
 */
export type ElementwiseCode = readonly number[]
export const elementwiseCodes = Object.fromEntries(Object.keys(elementwiseOps).map((name, code) => [name, code])) as Record<
  ElementwiseOp,
  number
>
export const elementwiseLimits = { inputs: 32, outputs: 16, constants: 32, ops: 128 } as const

/**
 * The `ints` of a rowwise call: a micro-program at every row of a [rows, cols] grid, whose operations may also sum along the row.
 *
 *   [compute, rows, cols, inputs, outputs, constants, ops,
 *    layout                        for each input: its place in `rowLayouts`,
 *    register                      for each output: which op's register it receives,
 *    code, a, b, c                 for each op, as in `ElementwiseCode`; `sumOfRow` is the sum of a row]
 *
 * A register holds an element for each of the grid, or one for each row: of inputs those that are `column` or `single`, and of ops the
 * sums and what is computed of such registers alone; with the others they stand for the same number along their row. An output has
 * rows · cols elements or as many as there are rows, as its register has. All else is as in elementwise calls, and the bits are
 * those of elementwise calls and sums by themselves. An output may be the memory of a dense input of its type.
 */
export type RowwiseCode = readonly number[]
export const rowLayouts = ['dense', 'row', 'column', 'single'] as const
export const sumOfRow: number = Object.keys(elementwiseOps).length

/** One kernel call, operands apart. */
export interface Call<Kernel = KernelName> {
  kernel: Kernel
  ints: readonly number[]
  scalars: readonly number[]
  /** The same object comes again, for other operands: an engine may keep what it makes of it. */
  again?: boolean
}

/** Where a slot lives: 0 the arena, 1 the state block, 2 the report, 3 + i the i-th input. */
export const spaces = { arena: 0, state: 1, report: 2, inputs: 3 } as const

/**
 * `length` elements of `dtype` from `offset` (bytes, a multiple of the type's size; of the window's start for inputs) in
 * `space`; in the report and in inputs, of their type.
 */
export interface Slot {
  space: number
  offset: number
  length: number
  dtype: Dtype
}

/** A call bound to slots (indices into `Program.slots`), or a loop. */
export interface Step extends Call<KernelName | 'loop'> {
  outputs: readonly number[]
  inputs: readonly number[]
  /** Of the kernel `loop`, which has no operands and no numbers of its own. */
  loop?: Loop
}

/**
 * Steps that are run `length` times. `windows` are slots that lie elsewhere in each iteration: `advance` elements on (or back) from where
 * they were in the one before, beginning where they are declared; after the loop they are there again. A slot may be a window of several
 * loops, one in the other. A step reads and writes either the same slot, or memory that shares nothing with it in any iteration.
 */
export interface Loop {
  length: number
  windows: readonly Window[]
  steps: readonly Step[]
}

export interface Window {
  slot: number
  advance: number
}

/** All steps of a program in the order by which they are numbered: a loop before the steps in it. */
export function flatSteps(steps: readonly Step[]): Step[] {
  return steps.flatMap((step) => (step.loop ? [step, ...flatSteps(step.loop.steps)] : [step]))
}

/**
 * An input of a program: an array owned by the caller. One run sees `length` elements from the input's *cursor*; after
 * each run the cursor moves by `advance` elements. In a runner, the cursors of inputs bound with it return to 0 at the
 * start of every epoch; those of a block's windows go on through the block. Only a `writable` input may be an output;
 * it shares no memory with another input.
 */
export interface ProgramInput {
  name: string
  dtype: Dtype
  length: number
  advance: number
  writable?: boolean
}

/**
 * A list of steps over slots, straight but for its loops. The arena is scratch: its content between runs is undefined. The report is
 * `report` float64 entries; where there is any, entry 0 is the cost. Each step that writes entry 0 tests it: where it is
 * not finite the run stops there (`nonfinite`, with that step), so steps after it, updates above all, never see a bad cost.
 * `atomic`: the run begins an update, so a cancellation is honoured before it; false for the runs that
 * must follow (FBGD's chunks are atomic, its final update is not).
 */
export interface Program {
  dtype: 'float32' | 'float64'
  arenaBytes: number
  stateBytes: number
  report: number
  inputs: readonly ProgramInput[]
  slots: readonly Slot[]
  steps: readonly Step[]
  atomic: boolean
}

/**
 * Why a run stopped by itself. `step` is the index among all steps of the program (`flatSteps`), or −1 where the state was found not finite when
 * the block ended; `position` the place in the index operand. `elsewhere`: another process could not make its part.
 */
export type Failure =
  | { kind: 'index'; program: number; epoch: number; run: number; step: number; position: number; value: number; size: number }
  | { kind: 'nonfinite' | 'elsewhere'; program: number; epoch: number; run: number; step: number }

/** What an engine gets for one crossing: so many epochs, each the same list of (program, repeat). */
export interface Block {
  epochs: number
  segments: readonly { program: number; repeat: number }[]
  /** New contents for the inputs that change from block to block (orders, schedules), by input index; copied before the call returns. Their cursors restart at 0. */
  windows: Readonly<Record<number, TypedArray>>
  /** Test every floating output of every step for NaN and Infinity (slow; for diagnosis). */
  checked?: boolean
}

/** `report` is [epochs, report entries] of the epochs that were finished, then the unfinished one's row where there is one. */
export interface BlockResult {
  status: 'done' | 'cancelled' | 'failed'
  epochs: number
  /** Whole runs made, over all programs. */
  runs: number
  /** How many of the block's epochs the state holds: `epochs`, or after a failure those up to the snapshot gone back to. */
  kept: number
  report: Float64Array
  failure?: Failure
}
