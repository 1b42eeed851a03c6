/**
 * A model that takes a sequence one element at a time: what a service calls that sees events as they come. The step is recorded once and
 * replayed; what layers keep lies in a state block of the program's.
 */

import type { State } from '../backend/backend.js'
import { engine } from '../backend/select.js'
import { WengertError } from '../errors.js'
import { compile, type Plan } from '../plan/plan.js'
import { StateLayout } from '../plan/state-layout.js'
import { add, equal, where } from '../primitives/elementwise.js'
import { expandDims, reshape } from '../primitives/movement.js'
import { Abstract } from '../primitives/primitive.js'
import { shapesOnly } from '../primitives/random.js'
import { arange, asTensor, type TensorLike, zeros } from '../tensor/creation.js'
import { emptyTensor, Tensor } from '../tensor/tensor.js'
import { allocate, type Dtype, dtypeOf, isDetached, type TypedArray } from '../util/dtype.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape, type Shape, sameShape, sizeOf } from '../util/shape.js'
import { type Parameter, withBindings } from './parameter.js'
import { inEvalMode, type Predictable } from './predictor.js'
import { Signature } from './signature.js'
import type { StepMemory } from './step-memory.js'

/** Of `stepper`. */
export interface StepperOptions {
  /** The longest sequence, for layers with keys and values or positions: they keep as many rows. 1024 by default. */
  maxSteps?: number | undefined
  /** How many sequences are stepped side by side: elements and outputs then have a first axis of that length. One by default. */
  streams?: number | undefined
  /** The shape of one element, for `stepInto`: what the first `step` was given, or one axis. */
  shape?: readonly number[] | undefined
}

/** What a stepper needs of a module. */
export interface Steppable extends Predictable {
  stepForward(x: Tensor, memory: StepMemory): Tensor
}

/** A step as it is done now: what is kept, in order, starting with the position. */
interface Recorded {
  readonly backend: unknown
  readonly signature: Signature
  readonly first: readonly Tensor[]
  readonly bounded: boolean
  readonly output: Shape
  readonly outputDtype: Dtype
  /** Undefined where the function's path depends on values, or nothing is compiled here. */
  readonly program: { plan: Plan; state: State; layout: StateLayout; parameters: readonly Parameter[] } | undefined
  /** What is kept, where there is no program. */
  kept: Tensor[]
}

/** One run of `stepForward`: reads what was kept, and notes what is to be. */
class Memory implements StepMemory {
  readonly first: Tensor[] = [zeros([], { dtype: 'int32' })]
  readonly next: Tensor[] = []
  bounded = false

  constructor(
    readonly streams: number,
    readonly maxSteps: number,
    /** What stands at a place now; undefined to learn what is asked for. */
    private readonly before: (place: number, first: Tensor) => Tensor,
  ) {
    this.next.push(add(this.before(0, this.first[0] as Tensor), 1))
  }

  position(): Tensor {
    this.bounded = true
    return this.before(0, this.first[0] as Tensor)
  }

  carry(first: readonly Tensor[], next: (before: readonly Tensor[]) => readonly Tensor[]): readonly Tensor[] {
    const start = this.first.length
    this.first.push(...first)
    // Their places are taken before `next` asks for more.
    this.next.length = start + first.length
    const made = next(first.map((x, i) => this.before(start + i, x)))
    made.forEach((x, i) => {
      const like = first[i] as Tensor
      if (!sameShape(x.shape, like.shape) || x.dtype !== like.dtype)
        throw new WengertError(
          'ERR_SHAPE',
          `stepper: what is carried must keep its shape and type; expected ${like.dtype} ${formatShape(like.shape)}, got ${x.dtype} ${formatShape(x.shape)}`,
          { expected: like.shape, actual: x.shape },
        )
      this.next[start + i] = x
    })
    return made
  }

  append(row: Tensor): Tensor {
    const { maxSteps } = this
    const here = equal(reshape(arange(maxSteps), [1, maxSteps, ...row.shape.slice(1).map(() => 1)]), this.position())
    const empty = zeros([row.shape[0] as number, maxSteps, ...row.shape.slice(1)], { dtype: row.dtype })
    return this.carry([empty], ([rows]) => [where(here, expandDims(row, 1), rows as Tensor)])[0] as Tensor
  }
}

/** A model that is stepped through a sequence: made by `model.stepper()`. Each holds a state of its own. */
export class Stepper {
  readonly #module: Steppable
  readonly #maxSteps: number
  readonly #streams: number | undefined
  #shape: Shape | undefined
  #dtype: Dtype
  #recorded: Recorded | undefined
  #position = 0
  #arrays: TypedArray[] = []

  constructor(module: Steppable, options: StepperOptions = {}) {
    checkOptions('stepper', options, ['maxSteps', 'streams', 'shape'])
    this.#module = module
    this.#maxSteps = checkNumber('stepper', 'maxSteps', options.maxSteps ?? 1024, { integer: true, min: 1 })
    this.#streams =
      options.streams === undefined ? undefined : checkNumber('stepper', 'streams', options.streams, { integer: true, min: 1 })
    if (options.shape !== undefined) {
      if (!Array.isArray(options.shape))
        throw new WengertError('ERR_OPTION', `stepper: expected shape to be a list of lengths, got ${describe(options.shape)}`)
      this.#shape = options.shape.map((n) => checkNumber('stepper', 'shape', n, { integer: true, min: 1 }))
    }
    this.#dtype = module.dtype
  }

  /** How many elements were taken since the beginning. */
  get position(): number {
    return this.#position
  }

  /**
   * Takes one element: the output after it, as the whole-sequence `forward` has it at this step.
   *
   * @param x one element, without axes for samples and steps: numbers [F], or an index; of several streams [streams, …]
   * @throws ERR_SHAPE for an element of another shape than those before; ERR_RANGE after `maxSteps` of them, for layers that keep rows
   */
  step(x: TensorLike | number): Tensor {
    const given = x instanceof Tensor ? x : asTensor('step', x, { dtype: this.#module.dtype })
    const shape = this.#streams === undefined ? given.shape : given.shape.slice(1)
    if (this.#streams !== undefined && given.shape[0] !== this.#streams)
      throw new WengertError(
        'ERR_SHAPE',
        `step: expected one element for each of ${this.#streams} streams, got ${formatShape(given.shape)}`,
        {
          expected: this.#streams,
          actual: given.shape,
        },
      )
    this.#take(shape, given.dtype)
    const { output, outputDtype } = this.#ready()
    const out = emptyTensor(this.#streams === undefined ? output.slice(1) : output, outputDtype)
    this.#run(given.data, out.data)
    return out
  }

  /**
   * As `step`, from typed array to typed array, without allocating.
   *
   * @throws ERR_SHAPE, ERR_DTYPE, ERR_DETACHED, ERR_RANGE
   */
  stepInto(x: TypedArray, out: TypedArray): void {
    const recorded = this.#known()
    if (recorded !== undefined && x.length === this.#elements && dtypeOf(x) === this.#dtype) {
      if (out.length === this.#outputs && dtypeOf(out) === recorded.outputDtype) {
        this.#run(x, out)
        return
      }
    }
    const dtype = dtypeOf(x)
    if (dtype === undefined) throw new WengertError('ERR_DTYPE', `stepInto: expected a typed array, got ${describe(x)}`, { actual: x })
    if (isDetached(x) || isDetached(out))
      throw new WengertError('ERR_DETACHED', 'stepInto: the buffer of a typed array was transferred away: transfer a copy of it instead')
    this.#take(this.#shape ?? [x.length / (this.#streams ?? 1)], dtype)
    const { outputDtype } = this.#ready()
    if (x.length !== this.#elements)
      throw new WengertError('ERR_SHAPE', `stepInto: expected ${this.#elements} numbers, got ${x.length}`, {
        expected: this.#elements,
        actual: x.length,
      })
    if (out?.length !== this.#outputs || dtypeOf(out) !== outputDtype)
      throw new WengertError(
        'ERR_SHAPE',
        `stepInto: expected out to hold ${this.#outputs} numbers of ${outputDtype}, got ${out?.length} of ${out && dtypeOf(out)}`,
        { expected: this.#outputs, actual: out?.length },
      )
    this.#run(x, out)
  }

  /** Begins a new sequence. */
  reset(): void {
    this.#position = 0
    if (this.#recorded) this.#write(this.#recorded.first.map((x) => x.data))
  }

  /** What is kept between two steps, as copies: to carry a sequence on later, also in another process. Undefined before the first step. */
  get state(): Tensor[] | undefined {
    const recorded = this.#recorded
    return (
      recorded &&
      this.#read(recorded).map((data, i) => {
        const { shape, dtype } = recorded.first[i] as Tensor
        return new Tensor(shape, dtype, data)
      })
    )
  }

  /**
   * Goes on from a state that a stepper of such a model had.
   *
   * @throws ERR_STATE for a state of another model, or before the first step of a stepper without `shape`
   */
  set state(given: readonly Tensor[] | undefined) {
    if (given === undefined) {
      this.reset()
      return
    }
    if (!this.#shape) throw new WengertError('ERR_STATE', 'stepper: give the option shape, of one element, to start from a state')
    const { first } = this.#ready()
    const fits = Array.isArray(given) && given.length === first.length
    if (!fits || !given.every((x, i) => x instanceof Tensor && sameShape(x.shape, first[i]?.shape ?? []) && x.dtype === first[i]?.dtype))
      throw new WengertError(
        'ERR_STATE',
        `stepper: this is not a state of ${this.#module.describe()}, which has ${first.length} tensors; give back what the stepper gave`,
        {
          expected: first.map(({ shape }) => shape),
          actual: given,
        },
      )
    this.#write(given.map((x) => x.data))
    this.#position = (given[0] as Tensor).data[0] as number
  }

  get #elements(): number {
    return (this.#streams ?? 1) * sizeOf(this.#shape ?? [])
  }

  get #outputs(): number {
    return sizeOf(this.#recorded?.output ?? [])
  }

  /** Fixes shape and type of elements by the first. */
  #take(shape: Shape, dtype: Dtype): void {
    const known = this.#recorded !== undefined
    if (this.#shape && !sameShape(shape, this.#shape))
      throw new WengertError('ERR_SHAPE', `step: expected elements of shape ${formatShape(this.#shape)}, got ${formatShape(shape)}`, {
        expected: this.#shape,
        actual: shape,
      })
    if (known && dtype !== this.#dtype)
      throw new WengertError('ERR_DTYPE', `step: expected elements of ${this.#dtype}, got ${dtype}`, {
        expected: this.#dtype,
        actual: dtype,
      })
    this.#shape = [...shape]
    this.#dtype = dtype
  }

  /** What was recorded, where the model is what it was then. */
  #known(): Recorded | undefined {
    const recorded = this.#recorded
    return recorded && recorded.backend === engine() && recorded.signature.holds ? recorded : undefined
  }

  /** The step of the model as it is now: recorded again where it has changed; what was kept stays. */
  #ready(): Recorded {
    const known = this.#known()
    if (known) return known
    const before = this.#recorded
    let made: Recorded
    try {
      made = this.#record()
    } catch (error) {
      // An element that the model does not take settles nothing.
      if (!before) this.#shape = undefined
      throw error
    }
    const same = before?.first.length === made.first.length && before.first.every((x, i) => sameShape(x.shape, made.first[i]?.shape ?? []))
    if (before && !same && this.#position > 0) {
      throw new WengertError(
        'ERR_STATE',
        'stepper: the model has changed so that what was kept does not fit it any more; call reset() before, or make another stepper',
      )
    }
    const kept = before && same ? this.#read(before) : made.first.map((x) => x.data)
    before?.program?.plan.release()
    before?.program?.state.release()
    this.#recorded = made
    this.#write(kept)
    return made
  }

  #record(): Recorded {
    const module = this.#module
    const streams = this.#streams ?? 1
    const parameters = module.namedState().map(([, value]) => value)
    const element = { shape: [streams, ...(this.#shape as Shape)], dtype: this.#dtype }
    const run = (x: Tensor, bound: readonly Tensor[], before: (place: number, first: Tensor) => Tensor) => {
      const memory = new Memory(streams, this.#maxSteps, before)
      const y = inEvalMode(module, () => withBindings(parameters, bound, () => module.stepForward(x, memory), module))
      return { y, memory }
    }
    const unknown = parameters.map((p) => new Abstract(p.shape, p.dtype))
    const backend = engine()
    const common = () => ({ backend, signature: new Signature(module, module.modules(), parameters, 'training'), kept: [] })
    try {
      const { y, memory } = shapesOnly(() =>
        run(new Abstract(element.shape, element.dtype), unknown, (_, { shape, dtype }) => new Abstract(shape, dtype)),
      )
      const layout = new StateLayout()
      const slots = memory.first.map(({ shape, dtype }, i) => layout.add(`kept ${i}`, shape, dtype))
      const inputs = [
        { name: 'x', ...element },
        ...parameters.map((p, i) => ({ name: `parameter ${i}`, shape: p.shape, dtype: p.dtype })),
        { name: 'out', shape: y.shape, dtype: y.dtype, writable: true },
      ]
      const plan = compile(inputs, layout, { dtype: module.dtype, atomic: false }, (r) => {
        const made = run(
          r.input(0),
          parameters.map((_, i) => r.input(i + 1)),
          (place) => r.state(slots[place] as number),
        )
        r.output(inputs.length - 1, made.y)
        made.memory.next.forEach((x, i) => {
          r.assign(slots[i] as number, x)
        })
      })
      const state = engine().createState(layout.bytes, [])
      const { first, bounded } = memory
      return { ...common(), first, bounded, output: y.shape, outputDtype: y.dtype, program: { plan, state, layout, parameters } }
    } catch (error) {
      if (!(error instanceof WengertError) || error.code !== 'ERR_VALUE_NEEDED') throw error
      const values = parameters.map((p) => new Tensor(p.shape, p.dtype, p.peek()))
      const { y, memory } = run(emptyTensor(element.shape, element.dtype), values, (_, first) => first)
      return { ...common(), first: memory.first, bounded: memory.bounded, output: y.shape, outputDtype: y.dtype, program: undefined }
    }
  }

  #run(x: TypedArray, out: TypedArray): void {
    const recorded = this.#recorded as Recorded
    const { program, bounded } = recorded
    if (bounded && this.#position >= this.#maxSteps)
      throw new WengertError(
        'ERR_RANGE',
        `step: this model keeps ${this.#maxSteps} steps, and as many were taken; call reset(), or give model.stepper({ maxSteps }) more`,
        { expected: this.#maxSteps, actual: this.#position + 1 },
      )
    if (program) {
      const arrays = this.#arrays
      arrays[0] = x
      let n = 1
      for (const parameter of program.parameters) arrays[n++] = parameter.peek()
      arrays[n++] = out
      arrays.length = n
      program.plan.run(program.state, arrays)
    } else {
      const memory = new Memory(this.#streams ?? 1, this.#maxSteps, (place) => recorded.kept[place] as Tensor)
      const given = new Tensor([this.#streams ?? 1, ...(this.#shape as Shape)], this.#dtype, x)
      const y = inEvalMode(this.#module, () => this.#module.stepForward(given, memory))
      out.set(y.data as never)
      recorded.kept = memory.next.map((t) => new Tensor(t.shape, t.dtype, t.data))
    }
    this.#position++
  }

  #read({ program, kept, first }: Recorded): TypedArray[] {
    if (!program) return kept.map(({ data }) => data.slice() as TypedArray)
    return first.map(({ dtype, size }, i) => {
      const target = allocate(dtype, size)
      program.state.read(program.layout.slots[i]?.offset as number, target)
      return target
    })
  }

  #write(values: readonly TypedArray[]): void {
    const recorded = this.#recorded
    if (!recorded) return
    const { program, first } = recorded
    if (!program) recorded.kept = first.map(({ shape, dtype }, i) => new Tensor(shape, dtype, values[i]?.slice() as TypedArray))
    else
      values.forEach((data, i) => {
        program.state.write(program.layout.slots[i]?.offset as number, data)
      })
  }
}

/** A stepper of a module's. Errors: ERR_OPTION, ERR_RANGE. */
export const makeStepper = (module: Steppable, options: StepperOptions): Stepper => new Stepper(module, options)
