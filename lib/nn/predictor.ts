/**
 * Prediction: a module's forward function compiled for each input shape, in a bounded cache. Forward functions see batches;
 * one sample becomes a batch of one on its way in, and its axis is taken off on the way out.
 */

import { engine } from '../backend/select.js'
import { WengertError } from '../errors.js'
import { compile, type Plan } from '../plan/plan.js'
import { StateLayout } from '../plan/state-layout.js'
import { Abstract } from '../primitives/primitive.js'
import { shapesOnly } from '../primitives/random.js'
import { emptyTensor, Tensor } from '../tensor/tensor.js'
import { Tally } from '../util/bounded-cache.js'
import { type Dtype, dtypeOf, type FloatDtype, isDetached, type TypedArray } from '../util/dtype.js'
import { formatShape, type Shape, sameShape, sizeOf } from '../util/shape.js'
import { withBatchesOnly } from './batches.js'
import { type Meaning, meaningOf } from './meaning.js'
import { Outline } from './outline.js'
import { outputOf } from './output.js'
import { type Parameter, withBindings } from './parameter.js'

interface Compiled {
  backend: unknown
  /** Of the input, as it is given and as the forward function sees it: [1, …shape] for one sample. */
  shape: Shape
  seen: Shape
  dtype: Dtype
  /** The rank of one sample as it was known then. */
  sample: number | undefined
  /** The module as it was traced, with its parameters and buffers. */
  outline: Outline
  /** Of the output, as the forward function makes it and as it is given. */
  result: Shape
  output: Shape
  outputDtype: Dtype
  /** Undefined where the forward function's path depends on values: then it is run eagerly. */
  plan: Plan | undefined
}

/** Entries of one model; and the bytes of all of them but the newest. */
const capacity = 64
const mostBytes = 64 * 2 ** 20
/** What a predictor needs of a module. */
export interface Predictable {
  readonly dtype: FloatDtype
  describe(): string
  namedState(): [name: string, value: Parameter][]
  modules(): { training: boolean }[]
  // biome-ignore lint/suspicious/noExplicitAny: see Module
  forward(x: Tensor): any
}

/** Runs `body` with every submodule as in use, and puts the flags back. */
export function inEvalMode<T>(module: Predictable, body: () => T): T {
  const modules = module.modules()
  const flags = modules.map((m) => m.training)
  for (const m of modules) m.training = false
  try {
    return body()
  } finally {
    modules.forEach((m, i) => {
      m.training = flags[i] as boolean
    })
  }
}

/**
 * How an input of this shape may be read, in order of preference: as it is, or as one sample, [1, …]. What a model was trained
 * on settles it; a vector is one sample where it can be, anything larger a batch.
 */
function readings(shape: Shape, sample: number | undefined): Shape[] {
  const single = [1, ...shape]
  if (sample !== undefined && shape.length === sample) return [single]
  if (sample !== undefined && shape.length === sample + 1) return [shape]
  return shape.length < 2 ? [single, shape] : [shape, single]
}

/** Whether an error says that the forward function does not take an input of this shape. */
const isMisfit = (error: unknown): error is WengertError =>
  error instanceof WengertError && (error.code === 'ERR_SHAPE' || error.code === 'ERR_AXIS')

export class Predictor {
  readonly #cache: Compiled[] = []
  readonly #tally = new Tally()
  readonly #meaning: Meaning

  constructor(readonly module: Predictable) {
    this.#meaning = meaningOf(module)
  }

  predict(x: Tensor): Tensor {
    const compiled = this.#known(x.shape, x.dtype) ?? this.#trace(x.shape, x.dtype)
    if (!compiled.plan) return this.#eagerly(compiled, x.data)
    const out = emptyTensor(compiled.output, compiled.outputDtype)
    compiled.plan.run(undefined, [x.data, ...compiled.outline.parameters.map((p) => p.peek()), out.data])
    return out
  }

  predictInto(x: TypedArray, out: TypedArray, shape: Shape = [x.length]): void {
    const given = dtypeOf(x)
    const known = given && this.#known(shape, given)
    const dtype = known ? given : this.module.dtype
    if (given !== dtype || dtypeOf(out) === undefined) {
      throw new WengertError('ERR_DTYPE', `predictInto: expected typed arrays of ${dtype}, got ${given} and ${dtypeOf(out)}`, {
        expected: dtype,
        actual: [given, dtypeOf(out)],
      })
    }
    if (isDetached(x) || isDetached(out))
      throw new WengertError('ERR_DETACHED', 'predictInto: the buffer of a typed array was transferred away: transfer a copy of it instead')
    if (sizeOf(shape) !== x.length)
      throw new WengertError(
        'ERR_SHAPE',
        `predictInto: expected ${sizeOf(shape)} elements for shape ${formatShape(shape)}, got ${x.length}`,
        { expected: sizeOf(shape), actual: x.length },
      )
    const compiled = known ?? this.#trace(shape, dtype)
    if (out.length !== sizeOf(compiled.output) || dtypeOf(out) !== compiled.outputDtype) {
      throw new WengertError(
        'ERR_SHAPE',
        `predictInto: expected out to hold ${sizeOf(compiled.output)} elements of ${compiled.outputDtype}, got ${out.length} of ${dtypeOf(out)}`,
        {
          expected: compiled.output,
          actual: out.length,
        },
      )
    }
    if (!compiled.plan) {
      out.set(this.#eagerly(compiled, x).data)
      return
    }
    const { outline, plan } = compiled
    const arrays: TypedArray[] = [x]
    for (const parameter of outline.parameters) arrays.push(parameter.peek())
    arrays.push(out)
    plan.run(undefined, arrays)
  }

  /** A run of its own on the engine's thread, over copies of parameters, buffers and x. */
  async predictAsync(x: Tensor): Promise<Tensor> {
    const compiled = this.#known(x.shape, x.dtype) ?? this.#trace(x.shape, x.dtype)
    if (!compiled.plan || !engine().offThread) return this.predict(x)
    const out = emptyTensor(compiled.output, compiled.outputDtype)
    await compiled.plan.runAside('predictAsync', [x.data, ...compiled.outline.parameters.map((p) => p.peek()), out.data])
    return out
  }

  /** What was compiled for such an input, if the module has not changed since. */
  #known(shape: Shape, dtype: Dtype): Compiled | undefined {
    const backend = engine()
    for (let i = 0; i < this.#cache.length; i++) {
      const entry = this.#cache[i] as Compiled
      if (entry.backend !== backend || entry.dtype !== dtype || !sameShape(entry.shape, shape)) continue
      if (entry.sample !== this.#meaning.sample || !entry.outline.holds) continue
      if (i > 0) {
        this.#cache.splice(i, 1)
        this.#cache.unshift(entry)
      }
      return entry
    }
    return undefined
  }

  #trace(shape: Shape, dtype: Dtype): Compiled {
    const parameters = this.module.namedState().map(([, value]) => value)
    // Taken afterwards: a field that the forward function itself changes is a note of its own.
    const entry = { ...this.#read(shape, dtype, parameters), outline: this.#outline(parameters) }
    this.#cache.unshift(entry)
    this.#trim()
    return entry
  }

  /** Frees what was not used for longest, where the model keeps too much; the newest stays. */
  #trim(): void {
    let bytes = 0
    let kept = 0
    for (const entry of this.#cache) {
      const more = entry.plan?.bytes ?? 0
      if (kept > 0 && (kept === capacity || bytes + more > mostBytes)) break
      bytes += more
      kept++
    }
    for (const { plan } of this.#cache.splice(kept)) plan?.release()
    this.#tally.set(bytes)
  }

  /** Modules predict as in use, whatever their flag says. */
  #outline(parameters: readonly Parameter[]): Outline {
    return new Outline(this.module, this.module.modules(), parameters, 'training')
  }

  /** Compiled by the first reading of the shape that the forward function takes. */
  #read(shape: Shape, dtype: Dtype, parameters: readonly Parameter[]): Omit<Compiled, 'outline'> {
    const { sample } = this.#meaning
    const misfits = new Map<Shape, WengertError>()
    for (const seen of readings(shape, sample)) {
      try {
        const compiled = this.#compile(seen, dtype, parameters)
        const { result } = compiled
        const single = seen.length > shape.length
        if (single && result[0] !== 1) {
          const text = `predict: ${this.module.describe()} gives shape ${formatShape(result)} for a batch of one sample, ${formatShape(seen)}: its first axis should be the batch's`
          throw new WengertError('ERR_SHAPE', text, { expected: 1, actual: result })
        }
        return { ...compiled, shape: [...shape], sample, output: single ? result.slice(1) : result }
      } catch (error) {
        if (!isMisfit(error)) throw error
        misfits.set(seen, error)
      }
    }
    // The error that speaks of the input as it was given.
    throw misfits.get(shape) ?? [...misfits.values()][0]
  }

  #eagerly(compiled: Compiled, x: TypedArray): Tensor {
    const { seen, dtype, output, outline } = compiled
    const { dtype: outputDtype, data } = inEvalMode(this.module, () => outputOf(this.module, new Tensor(seen, dtype, x)))
    compiled.outline = this.#outline(outline.parameters)
    return new Tensor(output, outputDtype, data)
  }

  #compile(seen: Shape, dtype: Dtype, parameters: readonly Parameter[]): Omit<Compiled, 'shape' | 'sample' | 'output' | 'outline'> {
    const forward = (x: Tensor, bound: readonly Tensor[]) =>
      withBatchesOnly(() => inEvalMode(this.module, () => withBindings(parameters, bound, () => outputOf(this.module, x), this.module)))
    const common = { backend: engine(), seen, dtype }
    try {
      const unknown = parameters.map((p) => new Abstract(p.shape, p.dtype))
      const { shape: result, dtype: outputDtype } = shapesOnly(() => forward(new Abstract(seen, dtype), unknown))
      const inputs = [
        { name: 'x', shape: seen, dtype },
        ...parameters.map((p, i) => ({ name: `parameter ${i}`, shape: p.shape, dtype: p.dtype })),
        { name: 'out', shape: result, dtype: outputDtype, writable: true },
      ]
      const plan = compile(inputs, new StateLayout(), { dtype: this.module.dtype }, (r) => {
        const bound = parameters.map((_, i) => r.input(i + 1))
        r.output(inputs.length - 1, forward(r.input(0), bound))
      })
      return { ...common, result, outputDtype, plan }
    } catch (error) {
      if (!(error instanceof WengertError) || error.code !== 'ERR_VALUE_NEEDED') throw error
      const values = parameters.map((p) => new Tensor(p.shape, p.dtype, p.peek()))
      const { shape: result, dtype: outputDtype } = forward(emptyTensor(seen, dtype), values)
      return { ...common, result, outputDtype, plan: undefined }
    }
  }
}

/** The shape of a model's output for a batch of this shape. */
export function outputShape(module: Predictable, batch: Shape): Shape {
  const parameters = module.namedState().map(([, value]) => value)
  const run = (x: Tensor, bound: readonly Tensor[]) =>
    inEvalMode(module, () => withBindings(parameters, bound, () => outputOf(module, x), module)).shape
  try {
    return shapesOnly(() =>
      run(
        new Abstract(batch, module.dtype),
        parameters.map((p) => new Abstract(p.shape, p.dtype)),
      ),
    )
  } catch (error) {
    if (!(error instanceof WengertError) || error.code !== 'ERR_VALUE_NEEDED') throw error
    return run(
      emptyTensor(batch, module.dtype),
      parameters.map((p) => new Tensor(p.shape, p.dtype, p.peek())),
    )
  }
}
