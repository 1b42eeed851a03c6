/**
 * A parameter: a tensor that a module owns and a trainer changes. Its values live in a typed array of JavaScript's and,
 * while it is being trained, in a trainer's state block; reading `.data` brings over the newest values that may be seen.
 */

import { WengertError } from '../errors.js'
import { Bindable, withBindings as bound } from '../primitives/binding.js'
import { Traced } from '../primitives/primitive.js'
import { asTensor, type TensorLike } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, type TypedArray } from '../util/dtype.js'
import { describe } from '../util/options.js'
import { formatShape, sameShape } from '../util/shape.js'
import { pathTo } from './fields.js'
import { noteFlagChange } from './flags.js'

/** A trainer that holds a parameter's values. */
export interface Home {
  /** Whether a fit is running: the values may be read (as of a finished epoch) but not written. */
  readonly busy: boolean
  /**
   * Brings newer values, where there are any, into the parameter's `array`. During a fit: those of all parameters at once, which
   * then stay for the rest of the running piece of JavaScript, so that reads one after the other are of one epoch.
   */
  pull(parameter: Parameter): void
  /** The parameter has gone to another home. */
  left(parameter: Parameter): void
  /** The values in JavaScript's array may have been changed: take them before the next update. */
  touched(parameter: Parameter): void
}

/** A tensor that a module trains. */
export class Parameter extends Bindable {
  #frozen = false
  #home: Home | undefined
  readonly #values: TypedArray
  readonly #plain: Tensor

  /** Copies the values: two parameters made from one tensor are trained apart, and the tensor stays as it is. */
  constructor(initial: Tensor) {
    if (!(initial instanceof Tensor))
      throw new WengertError('ERR_VALUE', `Parameter: expected a tensor, got ${describe(initial)}`, { actual: initial })
    const own = allocate(initial.dtype, initial.size)
    own.set(initial.data)
    super(initial.shape, initial.dtype, own)
    this.#values = own
    this.#plain = new Tensor(initial.shape, initial.dtype, own)
    // What deep equality and structured cloning see: the newest values.
    Object.defineProperty(this, 'values', { get: () => this.peek(), enumerable: true })
  }

  /** Excluded from training: its gradient is not even computed. */
  get frozen(): boolean {
    return this.#frozen
  }

  set frozen(value: boolean) {
    noteFlagChange()
    this.#frozen = value
  }

  /**
   * The values. While a fit runs: those of a finished epoch, the same one for all that is read without an `await`. A write through this array is seen by the next update or
   * prediction if `.data` was read after the last one; during a fit writes are lost, use `assign`, which refuses.
   */
  override get data(): TypedArray {
    // Read within a trace, they are not constants: the trace says what is to be done.
    const { standIn } = this
    if (standIn) return standIn.data
    if (this.#home) {
      this.#home.pull(this)
      this.#home.touched(this)
    }
    return this.#values
  }

  /** The values for reading only: not taken as possibly changed. */
  peek(): TypedArray {
    this.#home?.pull(this)
    return this.#values
  }

  /** The array of the values, as it stands: a home writes newer ones into it. */
  get array(): TypedArray {
    return this.#values
  }

  /** The bound tensor, or a plain one over the newest values: what operations hold on to is never the parameter itself. */
  override resolve(): Tensor {
    const { standIn } = this
    if (standIn) return standIn
    if (listing && !listing.parameters.has(this)) throw unlisted(this, listing.owner)
    this.peek()
    return this.#plain
  }

  /** Whether a running fit trains this parameter. */
  get busy(): boolean {
    return this.#home?.busy ?? false
  }

  /** What holds the values while a trainer has them in a state block. */
  get home(): Home | undefined {
    return this.#home
  }

  /** Hands the parameter to a trainer's state block. Errors: ERR_BUSY while another trains it. */
  moveTo(home: Home | undefined): void {
    if (this.#home === home) return
    this.refuseWhileBusy('fit')
    this.#home?.pull(this)
    this.#home?.left(this)
    this.#home = home
  }

  /**
   * Replaces the values.
   *
   * @param given a tensor of the parameter's shape and type, or numbers, which take its type
   * @throws ERR_BUSY during a fit; ERR_SHAPE; ERR_DTYPE; ERR_NOT_DIFFERENTIABLE where a function is being differentiated by the
   * values or by the parameter: the assignment would be lost on it
   */
  assign(given: TensorLike): void {
    this.refuseWhileBusy('assign')
    const values = this.like('assign', given)
    this.refuseWhileTraced('assign', values)
    if (!sameShape(values.shape, this.shape)) {
      throw new WengertError('ERR_SHAPE', `assign: expected shape ${formatShape(this.shape)}, got ${formatShape(values.shape)}`, {
        expected: this.shape,
        actual: values.shape,
      })
    }
    if (values.dtype !== this.dtype)
      throw new WengertError('ERR_DTYPE', `assign: expected ${this.dtype}, got ${values.dtype}`, {
        expected: this.dtype,
        actual: values.dtype,
      })
    this.#values.set(values.data)
    this.#home?.touched(this)
  }

  /** Throws where a running fit trains the parameter. */
  refuseWhileBusy(op: string): void {
    if (this.busy) throw new WengertError('ERR_BUSY', `${op}: a running fit trains this parameter; await the fit, or abort it first`)
  }

  /** A tensor as it is; numbers as a tensor of the parameter's type, a flat typed array also of its shape. */
  like(op: string, given: unknown): Tensor {
    if (given instanceof Tensor) return given.resolve()
    const flat = ArrayBuffer.isView(given) && (given as TypedArray).length === this.size
    return asTensor(op, given, { dtype: this.dtype, ...(flat && { shape: this.shape }) })
  }

  /** Throws where values that are being differentiated by would be copied, or the parameter has a stand-in. */
  refuseWhileTraced(op: string, values: Tensor): void {
    if (!(values instanceof Traced) && this.standIn === undefined) return
    throw new WengertError(
      'ERR_NOT_DIFFERENTIABLE',
      `${op}: a parameter cannot be assigned to inside a function that is being differentiated or recorded, since no derivative would pass through it; call the model with functionalCall(model, parameters, x) instead`,
    )
  }
}

/** The module that is traced, and all parameters that it lists. */
interface Listing {
  readonly owner: Owner
  readonly parameters: ReadonlySet<Parameter>
}

/** What an error says of a module. */
interface Owner {
  describe(): string
}

let listing: Listing | undefined

function unlisted(parameter: Parameter, owner: Owner): WengertError {
  const path = pathTo(owner, parameter)
  const place = path === undefined ? 'which none of its fields leads to' : `this${path}`
  return new WengertError(
    'ERR_STATE',
    `${owner.describe()}: its forward or its loss uses a parameter that the model does not list, ${parameter.dtype} ${formatShape(parameter.shape)}, ${place}: it would be neither trained nor saved. Keep it, or the module it belongs to, in a field of the model, or in a list, a plain object or a Map in one; #private fields, closures and instances of other classes are not looked into`,
    { actual: path },
  )
}

/**
 * Runs `body` with each parameter replaced by a tensor (of the same shape and type).
 *
 * @param owner the module whose parameters these are, all of them: meeting another is then an error (ERR_STATE)
 */
export function withBindings<T>(parameters: readonly Parameter[], tensors: readonly Tensor[], body: () => T, owner?: Owner): T {
  const before = listing
  if (owner) listing = { owner, parameters: new Set(parameters) }
  try {
    return bound(parameters, tensors, body)
  } finally {
    listing = before
  }
}
