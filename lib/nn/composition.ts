/** Ways of putting modules together, beside `Sequential`. */

import { WengertError } from '../errors.js'
import { add } from '../primitives/elementwise.js'
import { reshape } from '../primitives/movement.js'
import { concat } from '../primitives/parts.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkOptions, describe } from '../util/options.js'
import { formatShape, sameShape } from '../util/shape.js'
import { Module } from './module.js'
import { type HandedOn, outputOf } from './output.js'
import type { StepMemory } from './step-memory.js'

function checkModule(where: string, what: string, value: unknown): Module {
  if (!(value instanceof Module))
    throw new WengertError('ERR_VALUE', `${where}: expected ${what}, got ${describe(value)}`, { actual: value })
  return value
}

/** All axes of a sample as one: [m, …] → [m, n]. */
export class Flatten extends Module {
  override forward(x: Tensor): Tensor {
    const [m = 1, ...rest] = x.shape
    return x.rank < 2 ? x : reshape(x, [m, rest.reduce((a, b) => a * b, 1)])
  }
}

/**
 * y = x + inner(x): inner learns what is to be changed.
 *
 * @throws (forward) ERR_SHAPE where inner gives another shape
 * @example new nn.Residual(new nn.Sequential(new nn.Linear(16, 16), new nn.ReLU()))
 */
export class Residual extends Module {
  readonly inner: Module

  constructor(inner: Module) {
    super()
    this.inner = checkModule('Residual', 'a module', inner)
  }

  override config(): Record<string, unknown> {
    return { inner: this.inner }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof Residual = Residual): Residual {
    checkOptions('Residual', config, ['inner'])
    return new Type(config.inner as Module)
  }

  override get takesLengths(): boolean {
    return true
  }

  override forward(x: Tensor, inputs: HandedOn = {}): Tensor {
    const y = outputOf(this.inner, x, inputs)
    // A broadcast sum would hide the mistake.
    if (!sameShape(x.shape, y.shape)) {
      throw new WengertError(
        'ERR_SHAPE',
        `Residual: expected the inner module to keep the shape ${formatShape(x.shape)}, got ${formatShape(y.shape)}`,
        { expected: x.shape, actual: y.shape },
      )
    }
    return add(x, y)
  }

  override stepForward(x: Tensor, memory: StepMemory): Tensor {
    return add(x, this.inner.stepForward(x, memory))
  }
}

/**
 * All branches see x; their outputs are joined along the last axis.
 *
 * @throws (forward) ERR_SHAPE where outputs differ in another axis
 * @example new nn.Parallel(new nn.Linear(8, 4), new nn.Identity())  // [m, 8] → [m, 12]
 */
export class Parallel extends Module {
  readonly branches: readonly Module[]

  constructor(...branches: Module[]) {
    super()
    if (branches.length === 0) throw new WengertError('ERR_VALUE', 'Parallel: give it at least one branch')
    this.branches = branches.map((branch, i) => checkModule('Parallel', `a module at position ${i}`, branch))
  }

  override config(): Record<string, unknown> {
    return { branches: this.branches }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof Parallel = Parallel): Parallel {
    checkOptions('Parallel', config, ['branches'])
    if (!Array.isArray(config.branches))
      throw new WengertError('ERR_VALUE', `Parallel: expected a list of branches, got ${describe(config.branches)}`, {
        actual: config.branches,
      })
    return new Type(...config.branches)
  }

  override get takesLengths(): boolean {
    return true
  }

  override forward(x: Tensor, inputs: HandedOn = {}): Tensor {
    return concat(
      this.branches.map((branch) => outputOf(branch, x, inputs)),
      -1,
    )
  }

  override stepForward(x: Tensor, memory: StepMemory): Tensor {
    return concat(
      this.branches.map((branch) => branch.stepForward(x, memory)),
      -1,
    )
  }

  override describe(): string {
    return `Parallel of ${this.branches.length}`
  }
}
