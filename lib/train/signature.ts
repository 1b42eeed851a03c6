/**
 * What compiled updates depend on of a model: its layers, their flags (training or in use) and other fields, its parameters, and
 * which of them are frozen. Every cached plan of a trainer is known by the signature that it was made for.
 */

import { draws } from '../nn/draws.js'
import { flagChanges } from '../nn/flags.js'
import type { Module } from '../nn/module.js'
import type { Parameter } from '../nn/parameter.js'
import { outputShape } from '../nn/predictor.js'
import { Signature as TreeSignature } from '../nn/signature.js'
import { type FieldSpec, type Inputs, sameFields, specsOf } from '../tensor/inputs.js'
import type { FloatDtype } from '../util/dtype.js'
import type { Shape } from '../util/shape.js'

let made = 0

export class Signature {
  /** Of this one alone, for keys. */
  readonly id = ++made
  readonly dtype: FloatDtype
  /** Whether the model draws random numbers in training. */
  readonly draws: boolean
  readonly #parameters: readonly Parameter[]
  readonly #frozen: readonly boolean[]
  readonly #outputs: { input: readonly FieldSpec[]; output: Shape }[] = []
  #tree: { readonly layers: TreeSignature; readonly modules: readonly Module[]; readonly training: readonly boolean[] }
  /** When the flags were last found to be as they were. */
  #flagsAt: number

  constructor(readonly model: Module) {
    this.dtype = model.dtype
    this.draws = draws(model)
    this.#parameters = model.namedState().map(([, value]) => value)
    this.#frozen = this.#parameters.map(({ frozen }) => frozen)
    this.#tree = this.#look()
    this.#flagsAt = flagChanges
  }

  #look() {
    const modules = this.model.modules()
    return { layers: new TreeSignature(this.model, modules, this.#parameters), modules, training: modules.map(({ training }) => training) }
  }

  /** Whether the model is as it was: asked before every update, so flags are looked at only where any was set since. */
  get holds(): boolean {
    if (this.#flagsAt !== flagChanges) {
      if (!this.#sameFlags) return false
      this.#flagsAt = flagChanges
    }
    return this.#tree.layers.holds
  }

  get #sameFlags(): boolean {
    const { modules, training } = this.#tree
    return (
      modules.every((module, i) => module.training === training[i]) && this.#parameters.every(({ frozen }, i) => frozen === this.#frozen[i])
    )
  }

  /** Runs the model's forward function: a field that it changes itself is a note of its own, and no change of the model. */
  around<T>(body: () => T): T {
    const held = this.holds
    try {
      return body()
    } finally {
      if (held && !this.holds && this.#sameParameters) this.#tree = this.#look()
    }
  }

  get #sameParameters(): boolean {
    const now = this.model.namedState()
    return now.length === this.#parameters.length && now.every(([, value], i) => value === this.#parameters[i])
  }

  /** The shape of the model's output for one sample of a batch of this shape. */
  outputOf(batch: Inputs): Shape {
    const input = specsOf(batch).map((field) => ({ ...field, shape: [1, ...field.shape.slice(1)] }))
    let known = this.#outputs.find((entry) => sameFields(entry.input, input))
    if (!known) {
      const output = this.around(() => outputShape(this.model, input).slice(1))
      known = { input, output }
      this.#outputs.push(known)
    }
    return known.output
  }
}

/** So many forms of a model are remembered: switching between them costs no new plans. */
const remembered = 8

/** The signatures that a model has had lately. */
export class Signatures {
  /** The latest first. */
  #known: Signature[] = []

  constructor(readonly model: Module) {}

  /** The model's signature as it is. */
  now(): Signature {
    const [latest] = this.#known
    if (latest?.holds) return latest
    const signature = this.#known.find(({ holds }) => holds) ?? new Signature(this.model)
    this.#known = [signature, ...this.#known.filter((other) => other !== signature)].slice(0, remembered)
    return signature
  }
}
