/**
 * How a primitive is applied; what one is, says row.ts.
 *
 * `apply` is the only door: the innermost open trace among the inputs interprets the primitive; where there is none, the
 * engine computes it. Nothing anywhere branches on a primitive's name.
 */

import type { Call } from '../backend/program.js'
import { engine } from '../backend/select.js'
import { WengertError } from '../errors.js'
import { emptyTensor, Tensor } from '../tensor/tensor.js'
import type { Dtype, TypedArray } from '../util/dtype.js'
import { userLine } from '../util/place.js'
import type { Aval, Params, Primitive } from './row.js'
import { Tuple } from './tuple.js'

export type * from './row.js'

/** The span of one trace: while its function runs, its tensors may be used. */
interface Opening {
  open: boolean
}

let depth = 0
let innermost: Opening = { open: false }
let capturing: Trace | undefined

/** An interpreter of primitives: a tape, forward mode, a recorder of programs. */
export abstract class Trace {
  readonly #opening = innermost

  /** @param level depth of nesting; the deepest trace among the inputs interprets */
  constructor(
    readonly level: number,
    /** What opened it, for messages: `grad`. */
    readonly name: string,
  ) {}

  /** Whether its function still runs. */
  get open(): boolean {
    return this.#opening.open
  }

  abstract apply(primitive: Primitive, inputs: readonly Tensor[], params: Params): Tensor

  /** What made a tensor of this trace, for messages. */
  abstract describe(x: Traced): string
}

/** A number that a tensor stands for while a function is recorded: like a number, it takes the element type of the tensors beside it. */
export interface StandingNumber {
  /** Whether it is an integer that int32 holds. */
  readonly integer: boolean
  /** A tensor of that element type with the number's value at each run. */
  as(dtype: Dtype): Tensor
}

/** A tensor that an open trace watches; `value` is what the next lower level sees. */
export class Traced extends Tensor {
  /** The number that it stands for, if it stands for one. */
  declare number?: StandingNumber

  constructor(
    readonly trace: Trace,
    readonly value: Tensor,
    shape = value.shape,
  ) {
    super(shape, value.dtype)
  }

  override get data(): TypedArray {
    if (!this.trace.open && below(this) instanceof Abstract) refuseLeaked('data', this)
    return this.value.data
  }

  /** What JavaScript's operators see: text where text is asked for. Errors: ERR_VALUE for arithmetic and comparisons, which would give NaN. */
  [Symbol.toPrimitive](hint: string): string {
    if (hint === 'string') return this.toString()
    throw new WengertError(
      'ERR_VALUE',
      `JavaScript's operators do not compute on tensors: write x.mul(2) for x * 2, x.less(y) for x < y (at ${userLine()})`,
      { expected: 'a number', actual: 'a tensor' },
    )
  }

  /** What is seen of it below a level that is not above its own trace's. */
  seenBelow(level: number): Tensor {
    return below(this.value, level)
  }
}

/** What is seen of a tensor below a level; by default below all traces: values, or what a program is recorded over. */
export function below(x: Tensor, level = 0): Tensor {
  const inner = x.resolve()
  return inner instanceof Traced && inner.trace.level >= level ? inner.seenBelow(level) : inner
}

/** A tensor without values: what a program is recorded over. */
export class Abstract extends Tensor {
  override get data(): TypedArray {
    throw new WengertError(
      'ERR_VALUE_NEEDED',
      `data: the value of a tensor is read at ${userLine()} while a program is recorded, which has no values yet`,
      { expected: 'a tensor with values', actual: 'one that is being recorded' },
    )
  }
}

/** Opens a nesting level, runs `body` in it, closes it: tensors of the traces that were made in it are then of no more use. */
export function atNextLevel<T>(body: (level: number) => T): T {
  const outer = innermost
  const opening = { open: true }
  innermost = opening
  depth++
  try {
    return body(depth)
  } finally {
    depth--
    innermost = outer
    opening.open = false
  }
}

/** The level of the innermost function that is differentiated or recorded. */
export const innermostLevel = (): number => depth

/** Whether any trace is open. */
export const tracing = (): boolean => depth > 0

/** Runs `body` with every application to a traced tensor handed to `trace`, whatever trace watches that tensor. */
export function capturedBy<T>(trace: Trace, body: () => T): T {
  const outer = capturing
  capturing = trace
  try {
    return body()
  } finally {
    capturing = outer
  }
}

/** Refuses a tensor of a trace whose function has returned. */
export function refuseLeaked(op: string, x: Traced): never {
  const { trace } = x
  const made = trace.describe(x)
  throw new WengertError(
    'ERR_LEAKED',
    `${op}: a tensor made by ${made} inside ${trace.name} is used after ${trace.name} has returned; return it from the function, or read its values inside`,
    { expected: 'a tensor that is not watched, or one of an open trace', actual: { trace: trace.name, madeBy: made } },
  )
}

/** Called with each value the engine computes, where someone wants to know (anomaly detection). */
export type Observer = (primitive: Primitive, inputs: readonly Tensor[], output: Tensor) => void
let observer: Observer | undefined

/** Whether someone watches what the engine computes, value by value. */
export const observed = (): boolean => observer !== undefined

/** Installs an observer for the time of `body`. */
export function observing<T>(watch: Observer, body: () => T): T {
  const outer = observer
  observer = watch
  try {
    return body()
  } finally {
    observer = outer
  }
}

/** Of rows without static arguments: what is prepared for such a row is remembered by the shapes and types of its operands. */
export const noParams: Params = Object.freeze({})

/** What an application needs for operands of these shapes and types. */
interface Preparation {
  readonly operands: readonly Aval[]
  readonly output: Aval
  readonly call: Call
}

const preparations = new WeakMap<object, Preparation[]>()
/** Shapes and types remembered for a row; the oldest gives way. */
const remembered = 8

function likeOperands(known: readonly Aval[], inputs: readonly Tensor[]): boolean {
  if (known.length !== inputs.length) return false
  for (let i = 0; i < known.length; i++) {
    const [a, b] = [known[i] as Aval, inputs[i] as Tensor]
    if (a.dtype !== b.dtype) return false
    if (a.shape === b.shape) continue
    const n = a.shape.length
    if (b.shape.length !== n) return false
    for (let axis = 0; axis < n; axis++) if (a.shape[axis] !== b.shape[axis]) return false
  }
  return true
}

function preparationOf(primitive: Primitive, inputs: readonly Tensor[], params: Params): Preparation {
  let list: Preparation[] | undefined
  if (params === noParams) {
    list = preparations.get(primitive)
    if (list === undefined) {
      list = []
      preparations.set(primitive, list)
    }
    for (let i = 0; i < list.length; i++) if (likeOperands((list[i] as Preparation).operands, inputs)) return list[i] as Preparation
  }
  const operands = inputs.map(({ shape, dtype }) => ({ shape: [...shape], dtype }))
  const output = primitive.infer(inputs, params)
  const call = primitive.lower(inputs, output, params)
  const preparation = { operands, output, call: list ? { ...call, again: true } : call }
  if (list) {
    if (list.length >= remembered) list.pop()
    list.unshift(preparation)
  }
  return preparation
}

/** Applies a primitive: the deepest trace among the inputs interprets it, else the engine computes it. */
export function apply<P extends Params>(primitive: Primitive<P>, inputs: readonly Tensor[], params: P): Tensor {
  const count = inputs.length
  const resolved: Tensor[] = new Array(count)
  let top: Traced | undefined
  let level = -1
  let abstract = false
  for (let i = 0; i < count; i++) {
    const x = (inputs[i] as Tensor).resolve()
    resolved[i] = x
    if (!(x instanceof Traced)) {
      if (x instanceof Abstract) abstract = true
      continue
    }
    const own = x.trace.open ? x.trace.level : 0
    if (own > level) {
      top = x
      level = own
    }
  }
  if (top !== undefined) {
    if (capturing !== undefined && capturing.level > level) return capturing.apply(primitive as unknown as Primitive, resolved, params)
    if (level === 0) refuseLeaked(primitive.name, top)
    return top.trace.apply(primitive as unknown as Primitive, resolved, params)
  }
  if (primitive.kind === 'general' && primitive.evaluate) return primitive.evaluate(resolved)
  if (abstract) {
    const like = primitive.infer(resolved, params)
    return like instanceof Tuple ? severalOf(like, ({ shape, dtype }) => new Abstract(shape, dtype)) : new Abstract(like.shape, like.dtype)
  }
  if (primitive.kind === 'general' && primitive.eager) return primitive.eager(resolved)
  const { output: aval, call } = preparationOf(primitive as unknown as Primitive, resolved, params)
  const several = aval instanceof Tuple ? severalOf(aval, ({ shape, dtype }) => emptyTensor(shape, dtype)) : undefined
  const operands: TypedArray[] = new Array(count)
  for (let i = 0; i < count; i++) operands[i] = (resolved[i] as Tensor).data
  if (several) {
    const outputs = several.parts as readonly Tensor[]
    engine().run(
      call,
      outputs.map((y) => y.data),
      operands,
    )
    for (const y of outputs) observer?.(primitive as unknown as Primitive, resolved, y)
    return several
  }
  const output = emptyTensor(aval.shape, aval.dtype)
  engine().run(call, [output.data], operands)
  observer?.(primitive as unknown as Primitive, resolved, output)
  return output
}

const severalOf = ({ parts }: Tuple, make: (like: Tensor) => Tensor): Tuple => new Tuple(parts.map((part) => make(part as Tensor)))
