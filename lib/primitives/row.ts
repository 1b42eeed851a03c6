/**
 * What a primitive is: one row, with a shape rule, one kernel call, and its derivative. Three kinds:
 * - *elementwise*: per input a function linear in `g` (the Jacobian is diagonal, so it serves both modes);
 * - *linear*: its transpose (the tangent of the output is the primitive applied to the tangents);
 * - *general*: `jvp` and `vjp`.
 * A row without derivatives is `kind: 'nondifferentiable'`. To add one, see `docs/adding.md`.
 */

import type { Call } from '../backend/program.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Dtype } from '../util/dtype.js'
import type { Shape } from '../util/shape.js'
import type { Notation } from './notation.js'

/** What is known of a tensor without its values. */
export interface Aval {
  readonly shape: Shape
  readonly dtype: Dtype
}

/** Static arguments of a primitive: plain data, comparable by JSON. */
export type Params = Readonly<Record<string, unknown>>

/** A sample for the tests that are generated from the table: shapes or values of the inputs, and parameters. */
export interface Sample {
  inputs: readonly (Tensor | { shape: Shape; low?: number; high?: number; dtype?: Dtype; below?: number })[]
  params?: Params
}

interface Row<P extends Params> {
  readonly name: string
  /** The equation and conventions, for the reference. */
  readonly doc: string
  /** Shape and type of the result; of several results a `Tuple` of them. */
  readonly infer: (inputs: readonly Aval[], params: P) => Aval
  /** The kernel call on dense operands (outputs, then inputs in order). */
  readonly lower: (inputs: readonly Aval[], output: Aval, params: P) => Call
  /**
   * The call of y ← y + α·f(x) where the kernel has that form: operands as `lower`'s, and where `scaled` one more input, a
   * run-time factor of one element. Undefined where it has not.
   */
  readonly accumulate?: (inputs: readonly Aval[], output: Aval, params: P, alpha: number, scaled: boolean) => Call | undefined
  readonly samples: () => Sample[]
  /**
   * Whether row i of the output depends on row i alone of those inputs that hold one row a sample. Left out: it does not
   * (a full batch is then never cut into chunks across it).
   */
  readonly rowwise?: (inputs: readonly Aval[], output: Aval, params: P, rows: readonly boolean[]) => boolean
  /** Its inputs, all of the output's type, may lie one after the other in the output's memory, where the kernel then leaves them. */
  readonly joins?: boolean
  /** How an application is written on a printed or drawn tape; a call of its name where left out. */
  readonly notation?: Notation
  /** The application over a stack of samples (`vmap`). Elementwise rows need none: ranks are aligned. */
  readonly batch?: BatchRule<P>
  /** Only passes of a program put it there, once all transforms are done: recorded functions never hold it, so it needs no rules. */
  readonly madeByPasses?: true
  /** Multiplies the tests' tolerances, with its reason in a comment. */
  readonly tolerance?: number
}

/** One application over a stack of samples: in every mapped input the axis of the samples is the first. */
export interface Batch<P extends Params> {
  readonly row: Primitive<P>
  readonly inputs: readonly Tensor[]
  /** Which inputs have the axis of the samples; at least one has. */
  readonly mapped: readonly boolean[]
  readonly params: P
  /** How many samples there are. */
  readonly size: number
  /** Input `i` with the axis of the samples in front: repeated along it where the input is not mapped. */
  readonly full: (i: number) => Tensor
  /** Of a mapped input that is the same in all samples, but from which each is to draw apart: that one. */
  readonly common: readonly (Tensor | undefined)[]
}

/** The result with the axis of the samples in front; or one result, the `same` for all samples. */
export type BatchRule<P extends Params> = (batch: Batch<P>) => Tensor | { readonly same: Tensor }

/** Everything a derivative rule may use: the inputs, the output, the parameters. */
export interface Saved<P extends Params> {
  readonly inputs: readonly Tensor[]
  readonly output: Tensor
  readonly params: P
  /** The level of the trace that differentiates: the inputs are below it. */
  readonly level?: number
}

/** g ↦ (∂y/∂xᵢ) g, linear in g; null where the i-th input has no derivative. */
export type ElementwiseRule = ((g: Tensor, inputs: readonly Tensor[], y: Tensor) => Tensor) | null

export interface ElementwisePrimitive<P extends Params = Params> extends Row<P> {
  readonly kind: 'elementwise'
  readonly derivatives: readonly ElementwiseRule[]
}

export interface LinearPrimitive<P extends Params = Params> extends Row<P> {
  readonly kind: 'linear'
  /** The cotangent of input `i`, given that of the output. */
  readonly transpose: (g: Tensor, i: number, inputs: readonly Aval[], params: P) => Tensor
}

export interface GeneralPrimitive<P extends Params = Params> extends Row<P> {
  readonly kind: 'general'
  /** The tangent of the output; absent tangents are zero, and at least one is present. */
  readonly jvp: (tangents: readonly (Tensor | undefined)[], saved: Saved<P>) => Tensor | undefined
  /** The cotangents of the inputs with `wanted[i]`; others may be left undefined. */
  readonly vjp: (g: Tensor, saved: Saved<P>, wanted: readonly boolean[]) => readonly (Tensor | undefined)[]
  /** The value, where it is made by other primitives and not by a kernel: a function that keeps a rule of its own. */
  readonly evaluate?: (inputs: readonly Tensor[]) => Tensor
  /** The value where the inputs have values, in place of a kernel call: for rows that only programs need. */
  readonly eager?: (inputs: readonly Tensor[]) => Tensor
  /** Value and tangent at once, where the tangent follows the course of the value (a loop): taken in place of `jvp`. */
  readonly both?: (tangents: readonly (Tensor | undefined)[], inputs: readonly Tensor[]) => { output: Tensor; tangent: Tensor }
  /** A loop: what a program needs to repeat its body by itself. */
  readonly repeats?: Repetition
  /** Which of the results of its operand, a tuple, it is. */
  readonly part?: number
  /** Whether a program keeps an application with these operands, which has an `evaluate`, as it is. */
  readonly inProgram?: (inputs: readonly Tensor[]) => boolean
  /** The same function with a value that holds what its `vjp` needs, too: what a tape that is swept records in its place. */
  readonly forReverse?: () => GeneralPrimitive
}

/** A body that is run so many times. The operands of the row are the constants, then the first carries, then the stacks. */
export interface Repetition {
  readonly length: number
  /** From the last row of the stacks to the first. */
  readonly reverse: boolean
  readonly constants: number
  /** The carries; the results of the row begin with the last of them. */
  readonly carries: readonly Aval[]
  /** A row of each stack that is made. */
  readonly rows: readonly Aval[]
  /** One iteration: of constants, carries and rows of the stacks, the next carries and a row of each stack that is made. */
  readonly body: (inputs: readonly Tensor[]) => Tensor[]
}

export interface NondifferentiablePrimitive<P extends Params = Params> extends Row<P> {
  readonly kind: 'nondifferentiable'
}

export type Primitive<P extends Params = Params> =
  | ElementwisePrimitive<P>
  | LinearPrimitive<P>
  | GeneralPrimitive<P>
  | NondifferentiablePrimitive<P>
