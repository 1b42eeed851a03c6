/**
 * The tape, or Wengert list: the primitives applied to watched tensors, in order. It is what reverse mode sweeps backwards,
 * what is printed and drawn, and (recorded over abstract tensors) what a program is compiled from.
 */

import { apply, type Params, type Primitive, Trace, Traced } from '../primitives/primitive.js'
import { currentScope } from '../primitives/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'

/** One line of the tape; inputs of the traced function come first and have no primitive. */
export interface Entry {
  readonly primitive: Primitive | undefined
  readonly params: Params
  /** The operands as the next lower level sees them. */
  readonly inputs: readonly Tensor[]
  /** For each operand the entry that made it, or −1 for a constant. */
  readonly sources: readonly number[]
  readonly output: Tensor
  /** The part of a model that it came from. */
  readonly scope: string
  /** Whether a derivative can come through: a floating result with a differentiable path from an input. */
  readonly active: boolean
}

/** A tensor on a tape. */
export class Variable extends Traced {
  constructor(
    override readonly trace: Tape,
    value: Tensor,
    readonly index: number,
  ) {
    super(trace, value)
  }
}

export class Tape extends Trace {
  readonly entries: Entry[] = []
  /** How many of the first entries are inputs. */
  inputCount = 0
  /** The entries that the traced function returned. */
  outputs: readonly number[] = []

  /**
   * @param everything also record what has no derivative (for programs and for people); else such results are constants
   * @param inlining trace through functions with a rule of their own, that rule left out (for programs)
   * @param name what opened it, for messages
   */
  constructor(
    level: number,
    readonly everything = false,
    readonly inlining = everything,
    name = 'a recording',
  ) {
    super(level, name)
  }

  /** Registers an input. */
  watch(value: Tensor): Variable {
    this.inputCount++
    return this.push({ primitive: undefined, params: {}, inputs: [], sources: [], output: value.resolve() })
  }

  /** Records one application; the innermost trace among the inputs calls it. */
  apply(primitive: Primitive, inputs: readonly Tensor[], params: Params): Tensor {
    if (primitive.kind === 'general') {
      if (this.inlining && primitive.evaluate && !primitive.inProgram?.(inputs)) return primitive.evaluate(inputs)
      if (primitive.forReverse && !this.everything) primitive = primitive.forReverse()
    }
    const count = inputs.length
    const lower: Tensor[] = new Array(count)
    for (let i = 0; i < count; i++) lower[i] = this.lowerOf(inputs[i] as Tensor)
    const output = apply(primitive, lower, params)
    if (primitive.kind === 'nondifferentiable' && !this.everything) return output
    const sources: number[] = new Array(count)
    for (let i = 0; i < count; i++) sources[i] = this.indexOf(inputs[i] as Tensor)
    return this.push({ primitive, params, inputs: lower, sources, output })
  }

  override describe(x: Traced): string {
    const entry = this.entries[(x as Variable).index]
    return `${entry?.primitive?.name ?? 'an argument'}${entry?.scope ? ` in ${entry.scope}` : ''}`
  }

  /** What the level below sees of a tensor. */
  lowerOf(x: Tensor): Tensor {
    return x instanceof Variable && x.trace === this ? x.value : x
  }

  /** The entry of a tensor, or −1 for one that is not on this tape. */
  indexOf(x: Tensor): number {
    return x instanceof Variable && x.trace === this ? x.index : -1
  }

  /** Appends an entry whose output is known, and gives the variable that stands for it. */
  push({ primitive, params, inputs, sources, output }: Omit<Entry, 'scope' | 'active'>): Variable {
    let active = primitive === undefined
    if (isFloat(output.dtype)) {
      for (let i = 0; i < sources.length && !active && primitive !== undefined; i++)
        active = this.entries[sources[i] as number]?.active === true && transmits(primitive, i)
    } else active = false
    this.entries.push({ primitive, params, inputs, sources, output, scope: currentScope(), active })
    return new Variable(this, output, this.entries.length - 1)
  }
}

/** Whether a derivative can come through operand `i`. */
function transmits(primitive: Primitive, i: number): boolean {
  return primitive.kind === 'elementwise' ? primitive.derivatives[i] !== null : primitive.kind !== 'nondifferentiable'
}
