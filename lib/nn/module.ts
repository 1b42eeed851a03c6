/**
 * Modules: trees of layers with named parameters. A subclass gives `forward`; its parameters and submodules are found
 * among its own fields, and in lists, plain objects, Maps and Sets among them, in the order in which they were set (that is
 * the registration order). What nobody can find, such as a `#private` field, is an error as soon as a forward meets it.
 */

import { WengertError } from '../errors.js'
import { noteDecision, noteFlag } from '../primitives/binding.js'
import type { TensorLike } from '../tensor/creation.js'
import type { InputsLike } from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { type FloatDtype, isFloat, type TypedArray } from '../util/dtype.js'
import { checkOptions, describe, listed } from '../util/options.js'
import { formatShape, sameShape } from '../util/shape.js'
import { Buffer } from './buffer.js'
import { eachHeld } from './fields.js'
import { noteFlagChange } from './flags.js'
import { inputsFor } from './inputs.js'
import { type Connections, type NetworkSvgOptions, networkSvg } from './network-svg.js'
import { Parameter } from './parameter.js'
import { Predictor } from './predictor.js'
import { ownNames } from './state-names.js'
import type { StepMemory } from './step-memory.js'
import { makeStepper, type Stepper, type StepperOptions } from './stepper.js'
import { summarize } from './summary.js'

/** A layer or a network: parameters by name, and a function of tensors. A subclass gives `forward`. */
export abstract class Module {
  /** Whether the module behaves as in training (dropout, batch statistics) or as in use. */
  declare training: boolean
  #training = true
  #predictor: Predictor | undefined

  static {
    // A field for all who use it, but recordings that go by it, and programs that were made for it, know of it. Not an own one: objects
    // whose own fields are all plain are compared several times faster.
    const flag: PropertyDescriptor & ThisType<Module> = {
      configurable: true,
      get() {
        noteFlag(this, this.#training)
        return this.#training
      },
      set(value: boolean) {
        noteDecision(this)
        noteFlagChange()
        this.#training = value
      },
    }
    Object.defineProperty(Module.prototype, 'training', flag)
  }

  /**
   * The module's function: a tensor in, or tensors by name (`forward({ ids, features }: { ids: Tensor; features: Tensor })`); a tensor
   * out, or an object whose `output` is what the next layer, the loss or the prediction takes.
   */
  // biome-ignore lint/suspicious/noExplicitAny: each class says what it takes, and what it gives beside its output
  abstract forward(x: any): any

  /** Direct submodules by field name; those in a list are `field.0`, `field.1`, …, in a plain object or a Map `field.key`. */
  children(): [name: string, child: Module][] {
    const found: [string, Module][] = []
    eachHeld(this, (name, value) => {
      if (value instanceof Module) found.push([name, value])
    })
    return found
  }

  /**
   * All parameters and buffers with their dotted names, in registration order; a shared one appears once.
   *
   * @throws ERR_STATE for two that would have one name
   */
  namedState(): [name: string, value: Parameter][] {
    const found = new Map<string, Parameter>()
    const seen = new Set<Parameter | Module>()
    const visit = (module: Module, prefix: string) => {
      if (seen.has(module)) return
      seen.add(module)
      eachHeld(module, (field, value) => {
        if (!(value instanceof Parameter) || seen.has(value)) return
        seen.add(value)
        const name = prefix + field
        if (found.has(name))
          throw new WengertError('ERR_STATE', `${this.describe()} has two parameters called '${name}': rename a field or a key`, {
            actual: name,
          })
        found.set(name, value)
      })
      for (const [name, child] of module.children()) visit(child, `${prefix}${name}.`)
    }
    visit(this, '')
    return [...found]
  }

  /** All parameters with their dotted names, in registration order; a shared one appears once. */
  namedParameters(): [name: string, parameter: Parameter][] {
    return this.namedState().filter(([, value]) => !(value instanceof Buffer))
  }

  /** All buffers (running statistics) with their dotted names, in registration order. */
  namedBuffers(): [name: string, buffer: Buffer][] {
    return this.namedState().filter((entry): entry is [string, Buffer] => entry[1] instanceof Buffer)
  }

  /** All buffers, in registration order. */
  buffers(): Buffer[] {
    return this.namedBuffers().map(([, buffer]) => buffer)
  }

  /** All parameters, in registration order. */
  parameters(): Parameter[] {
    return this.namedParameters().map(([, parameter]) => parameter)
  }

  /** This module and all below it, in registration order; a shared one appears once. */
  modules(): Module[] {
    const found = new Set<Module>()
    const visit = (module: Module) => {
      if (found.has(module)) return
      found.add(module)
      for (const [, child] of module.children()) visit(child)
    }
    visit(this)
    return [...found]
  }

  /** The values of parameters and buffers: a plain object of copies, in registration order. */
  stateDict(): Record<string, Tensor> {
    return Object.fromEntries(this.namedState().map(([name, p]) => [name, new Tensor(p.shape, p.dtype, p.peek().slice() as TypedArray)]))
  }

  /**
   * Takes values saved by `stateDict`, as tensors or arrays. With `strict` (the default) the names must be exactly this
   * module's; those of PyTorch's running statistics stand for ours.
   * Nothing is changed unless everything fits.
   *
   * @throws ERR_STATE for missing or unexpected names, other shapes or types; ERR_BUSY during a fit; ERR_NOT_DIFFERENTIABLE inside
   * a function that is being differentiated: there `functionalCall` runs a model with given parameters
   */
  loadStateDict(given: Record<string, TensorLike>, options: { strict?: boolean | undefined } = {}): void {
    checkOptions('loadStateDict', options, ['strict'])
    const own = new Map(this.namedState())
    const dict = ownNames(given, new Set(own.keys()))
    const missing = [...own.keys()].filter((name) => !Object.hasOwn(dict, name))
    const unexpected = Object.keys(dict).filter((name) => !own.has(name))
    if ((options.strict ?? true) && missing.length + unexpected.length > 0) {
      throw new WengertError(
        'ERR_STATE',
        `loadStateDict: expected the names ${listed([...own.keys()], 12)}, got ${listed(Object.keys(dict), 12)}${missing.length > 0 ? `; missing ${listed(missing, 12)}` : ''}${unexpected.length > 0 ? `; unexpected ${listed(unexpected, 12)}` : ''}`,
        {
          expected: [...own.keys()],
          actual: Object.keys(dict),
        },
      )
    }
    const pairs = Object.entries(dict)
      .filter(([name]) => own.has(name))
      .map(([name, value]): [string, unknown] => [
        name,
        isNumbers(value) ? (own.get(name) as Parameter).like('loadStateDict', value) : value,
      ])
    for (const [name, values] of pairs) {
      const parameter = own.get(name) as Parameter
      if (!(values instanceof Tensor) || !sameShape(values.shape, parameter.shape) || values.dtype !== parameter.dtype) {
        const got = values instanceof Tensor ? `${values.dtype} ${formatShape(values.shape)}` : describe(values)
        throw new WengertError(
          'ERR_STATE',
          `loadStateDict: expected ${parameter.dtype} ${formatShape(parameter.shape)} for ${name}, got ${got}`,
          { expected: parameter.shape, actual: values },
        )
      }
      parameter.refuseWhileBusy('loadStateDict')
      parameter.refuseWhileTraced('loadStateDict', values.resolve())
    }
    for (const [name, values] of pairs) own.get(name)?.assign(values as Tensor)
  }

  /** Behave as in training. */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode
    return this
  }

  /** Behave as in use. */
  eval(): this {
    return this.train(false)
  }

  /** Excludes the parameters from training; their gradients are then never computed. */
  freeze(): this {
    for (const parameter of this.parameters()) parameter.frozen = true
    return this
  }

  /** Includes the parameters in training again. */
  unfreeze(): this {
    for (const parameter of this.parameters()) parameter.frozen = false
    return this
  }

  /** The layers, their parameters and totals, as a table. */
  summary(): string {
    return summarize(this)
  }

  /** The layers that this module applies one after the other, as far as that is all it does; itself otherwise. */
  layersInOrder(): Module[] {
    return [this]
  }

  /** Whether `forward` takes { lengths } beside x: a container that was given lengths then hands them on. */
  get takesLengths(): boolean {
    return false
  }

  /**
   * One step of a sequence: x without its axis of steps, what is kept between two steps in `memory`. For a layer that treats each step
   * by itself that is `forward`; one of your own that does so says `stepForward(x) { return this.forward(x) }`.
   *
   * @throws ERR_STATE for a layer that does not say how
   */
  stepForward(_x: Tensor, _memory: StepMemory): Tensor {
    throw new WengertError(
      'ERR_STATE',
      `stepper: ${this.describe()} does not say how it takes one step of a sequence; give the class a method stepForward(x, memory)`,
      { actual: this.constructor.name },
    )
  }

  /**
   * The model as something that takes a sequence one element at a time, with a state of its own: the outputs are those of `forward` over
   * the whole sequence, as in use. Layers that look ahead (two directions, attention that is not causal) have none.
   *
   * @throws ERR_OPTION, ERR_RANGE; at the first step ERR_STATE for a layer that cannot be stepped
   * @example
   * const stepper = model.stepper()
   * for await (const event of events) console.log(stepper.step(event.values).item())
   */
  stepper(options: StepperOptions = {}): Stepper {
    return makeStepper(this, options)
  }

  /** The weights by which this layer joins its inputs to its outputs, where that is all it does. */
  connections(): Connections | undefined {
    return undefined
  }

  /**
   * The network as a drawing, an SVG document: nodes, weights, and with a sample its activations. The middle of large layers is left
   * out; what is not a weight between nodes is a box or a caption. For the graph of operations see `trace(…).toSvg()`.
   *
   * @throws ERR_SHAPE for a sample that does not fit; ERR_OPTION, ERR_RANGE
   * @example await writeFile('network.svg', model.toSvg({ sample: [0.05, 0.1] }))
   */
  toSvg(options: NetworkSvgOptions = {}): string {
    return networkSvg(this, options)
  }

  /** The floating type of the parameters; float32 where there are none. */
  get dtype(): FloatDtype {
    const dtype = this.parameters()[0]?.dtype
    return dtype !== undefined && isFloat(dtype) ? dtype : 'float32'
  }

  /**
   * What rebuilds this module, its weights apart, as plain JSON values; modules may stand among them. `saveModel` keeps it,
   * and `loadModel` hands it to the class's `static fromConfig(config)` or, where there is none, to its constructor. The
   * class must be known by name: see `registerModule`.
   */
  config(): Record<string, unknown> {
    return {}
  }

  /** A short description for summaries and messages: `Linear 64 → 32`. */
  describe(): string {
    return this.constructor.name
  }

  get #predictions(): Predictor {
    this.#predictor ??= new Predictor(this)
    return this.#predictor
  }

  /**
   * The output for a batch `x` of shape [m, …] or one sample, as in use (not training), computed at once.
   * The forward function is traced once for each shape and replayed. A model of several inputs takes them by name.
   *
   * @throws ERR_SHAPE naming the layer that the input does not fit; ERR_DATA for fields other than those it was trained with
   * @example model.predict({ ids: [7, 2], features: [0.3, 1.2, 0.5] })   // one sample
   */
  predict(x: InputsLike): Tensor {
    return this.#predictions.predict(inputsFor('predict', this, this.#predictions.dtype, x))
  }

  /** As `predict`, off the main thread; parameters are those at the time of the call. */
  predictAsync(x: InputsLike): Promise<Tensor> {
    return this.#predictions.predictAsync(inputsFor('predictAsync', this, this.#predictions.dtype, x))
  }

  /**
   * Predicts from typed array to typed array without allocating: `x` holds one sample or a batch of them, `out` the outputs.
   *
   * @param shape the shape of `x`; [x.length] by default (one sample)
   * @throws ERR_SHAPE where out does not have exactly the output's elements; ERR_DTYPE; ERR_DETACHED
   */
  predictInto(x: TypedArray, out: TypedArray, shape?: readonly number[]): void {
    this.#predictions.predictInto(x, out, shape)
  }
}

const isNumbers = (x: unknown): boolean => Array.isArray(x) || ArrayBuffer.isView(x) || typeof x === 'number'
