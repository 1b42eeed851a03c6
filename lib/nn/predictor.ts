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
import { ones } from '../tensor/creation.js'
import { type FieldSpec, fieldName, formatFields, type Inputs, type Named, tensorsOf, treeOf } from '../tensor/inputs.js'
import { emptyTensor, Tensor } from '../tensor/tensor.js'
import { Tally } from '../util/bounded-cache.js'
import { type Dtype, dtypeOf, type FloatDtype, isDetached, type TypedArray } from '../util/dtype.js'
import { formatShape, type Shape, sameShape, sizeOf } from '../util/shape.js'
import { withBatchesOnly } from './batches.js'
import { type Meaning, meaningOf } from './meaning.js'
import { outputOf } from './output.js'
import { type Parameter, withBindings } from './parameter.js'
import { Signature } from './signature.js'

interface Compiled {
  backend: unknown
  /** The inputs, as they are given and as the forward function sees them: [1, …shape] for one sample. */
  given: readonly FieldSpec[]
  seen: readonly FieldSpec[]
  /** What was known of one sample then. */
  sample: Meaning['sample']
  fields: Meaning['fields']
  /** The module as it was traced, with its parameters and buffers, and their floating type. */
  signature: Signature
  own: FloatDtype
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
  forward(x: any): any
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
 * How inputs of these shapes may be read, in order of preference: as they are, or as one sample, [1, …]. What a model was trained
 * on settles it; vectors are one sample where they can be, anything larger a batch.
 *
 * @throws ERR_SHAPE for fields of which some are one sample and others batches
 */
function readings(given: readonly FieldSpec[], { sample, fields }: Meaning): (readonly FieldSpec[])[] {
  const single = given.map((field) => ({ ...field, shape: [1, ...field.shape] }))
  const ranks = fields ? fields.map(({ rank }) => rank) : sample === undefined ? undefined : [sample]
  if (ranks?.length === given.length) {
    if (given.every(({ shape }, i) => shape.length === ranks[i])) return [single]
    if (given.every(({ shape }, i) => shape.length === (ranks[i] as number) + 1)) return [alike(given)]
  }
  if (fields) {
    const expected = fields.map(({ name, rank }) => `${name} of ${rank + 1} axes`).join(', ')
    throw new WengertError(
      'ERR_SHAPE',
      `predict: expected a batch, x with ${expected}, or one sample with an axis less each, got ${formatFields(given)}`,
      { expected: fields, actual: given },
    )
  }
  if (given.some(({ shape }) => shape.length === 0)) return [single]
  const [rows] = (given[0] as FieldSpec).shape
  if (given.some(({ shape }) => shape[0] !== rows)) return [single]
  return given.every(({ shape }) => shape.length < 2) ? [single, given] : [given, single]
}

/** Batches of as many samples. Errors: ERR_SHAPE. */
function alike(given: readonly FieldSpec[]): readonly FieldSpec[] {
  const rows = given[0]?.shape[0]
  const other = given.find(({ shape }) => shape[0] !== rows)
  if (!other) return given
  throw new WengertError('ERR_SHAPE', `predict: expected as many rows in each field of x, got ${formatFields(given)}`, {
    expected: rows,
    actual: other.shape[0],
  })
}

/** Whether an error says that the forward function does not take an input of this shape. */
const isMisfit = (error: unknown): error is WengertError =>
  error instanceof WengertError && (error.code === 'ERR_SHAPE' || error.code === 'ERR_AXIS')

/** Whether these are inputs like those given before. */
function isFor(given: readonly FieldSpec[], fields: readonly Named<{ shape: Shape; dtype: Dtype }>[]): boolean {
  if (given.length !== fields.length) return false
  for (let i = 0; i < given.length; i++) {
    const [a, b] = [given[i] as FieldSpec, fields[i] as Named<{ shape: Shape; dtype: Dtype }>]
    if (a.dtype !== b[1].dtype || a.name !== b[0] || !sameShape(a.shape, b[1].shape)) return false
  }
  return true
}

export class Predictor {
  readonly #cache: Compiled[] = []
  readonly #tally = new Tally()
  readonly #meaning: Meaning

  constructor(readonly module: Predictable) {
    this.#meaning = meaningOf(module)
  }

  /** The floating type of the module's parameters: found by going through its fields, so it is remembered while they are the same. */
  get dtype(): FloatDtype {
    const [latest] = this.#cache
    return latest?.signature.holds ? latest.own : this.module.dtype
  }

  predict(x: Inputs): Tensor {
    const fields = tensorsOf(x)
    const compiled = this.#compiledFor(fields)
    if (!compiled.plan)
      return this.#eagerly(
        compiled,
        fields.map(([, t]) => t.data),
      )
    const out = emptyTensor(compiled.output, compiled.outputDtype)
    compiled.plan.run(undefined, this.#arrays(fields, compiled, out))
    return out
  }

  #compiledFor(fields: readonly Named<Tensor>[]): Compiled {
    return this.#known(fields) ?? this.#trace(fields.map(([name, { shape, dtype }]) => ({ name, shape: [...shape], dtype })))
  }

  #arrays(fields: readonly Named<Tensor>[], { signature }: Compiled, out: Tensor): TypedArray[] {
    const arrays: TypedArray[] = []
    for (const [, t] of fields) arrays.push(t.data)
    for (const parameter of signature.parameters) arrays.push(parameter.peek())
    arrays.push(out.data)
    return arrays
  }

  predictInto(x: TypedArray, out: TypedArray, shape: Shape = [x.length]): void {
    if (this.#meaning.fields)
      throw new WengertError(
        'ERR_VALUE',
        `predictInto: the model takes several inputs (${this.#meaning.fields.map(({ name }) => name).join(', ')}); use predict`,
      )
    const given = dtypeOf(x)
    const known = given && this.#known([['', { shape, dtype: given }]])
    const dtype = known ? given : this.dtype
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
    const compiled = known ?? this.#trace([{ name: '', shape: [...shape], dtype }])
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
      out.set(this.#eagerly(compiled, [x]).data)
      return
    }
    const { signature, plan } = compiled
    const arrays: TypedArray[] = [x]
    for (const parameter of signature.parameters) arrays.push(parameter.peek())
    arrays.push(out)
    plan.run(undefined, arrays)
  }

  /** A run of its own on the engine's thread, over copies of parameters, buffers and x. */
  async predictAsync(x: Inputs): Promise<Tensor> {
    const fields = tensorsOf(x)
    const compiled = this.#compiledFor(fields)
    if (!compiled.plan || !engine().offThread) return this.predict(x)
    const out = emptyTensor(compiled.output, compiled.outputDtype)
    await compiled.plan.runAside('predictAsync', this.#arrays(fields, compiled, out))
    return out
  }

  /** What was compiled for such an input, if the module has not changed since. */
  #known(fields: readonly Named<{ shape: Shape; dtype: Dtype }>[]): Compiled | undefined {
    const backend = engine()
    const { sample, fields: forms } = this.#meaning
    for (let i = 0; i < this.#cache.length; i++) {
      const entry = this.#cache[i] as Compiled
      if (entry.backend !== backend || !isFor(entry.given, fields)) continue
      if (entry.sample !== sample || entry.fields !== forms || !entry.signature.holds) continue
      if (i > 0) {
        this.#cache.splice(i, 1)
        this.#cache.unshift(entry)
      }
      return entry
    }
    return undefined
  }

  #trace(given: readonly FieldSpec[]): Compiled {
    const parameters = this.module.namedState().map(([, value]) => value)
    // Taken afterwards: a field that the forward function itself changes is a note of its own.
    const entry = { ...this.#read(given, parameters), signature: this.#signature(parameters), own: this.module.dtype }
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
  #signature(parameters: readonly Parameter[]): Signature {
    return new Signature(this.module, this.module.modules(), parameters, 'training')
  }

  /** Compiled by the first reading of the inputs that the forward function takes. */
  #read(given: readonly FieldSpec[], parameters: readonly Parameter[]): Omit<Compiled, 'signature' | 'own'> {
    const { sample, fields } = this.#meaning
    const misfits = new Map<readonly FieldSpec[], WengertError>()
    for (const seen of readings(given, this.#meaning)) {
      try {
        const compiled = this.#compile(seen, parameters)
        const { result } = compiled
        const single = seen !== given
        if (single && result[0] !== 1) {
          const text = `predict: ${this.module.describe()} gives shape ${formatShape(result)} for a batch of one sample, ${formatFields(seen)}: its first axis should be the batch's`
          throw new WengertError('ERR_SHAPE', text, { expected: 1, actual: result })
        }
        return { ...compiled, given, sample, fields, output: single ? result.slice(1) : result }
      } catch (error) {
        if (!isMisfit(error)) throw error
        misfits.set(seen, error)
      }
    }
    // The error that speaks of the input as it was given.
    throw misfits.get(given) ?? [...misfits.values()][0]
  }

  /** On copies: what a forward function hands on as it is must not be the caller's. */
  #eagerly(compiled: Compiled, values: readonly TypedArray[]): Tensor {
    const { seen, output, signature } = compiled
    const x = treeOf(seen.map(({ name, shape, dtype }, i) => [name, new Tensor(shape, dtype, values[i]?.slice() as TypedArray)]))
    const { dtype: outputDtype, data } = inEvalMode(this.module, () => outputOf(this.module, x))
    compiled.signature = this.#signature(signature.parameters)
    return new Tensor(output, outputDtype, data)
  }

  #compile(
    seen: readonly FieldSpec[],
    parameters: readonly Parameter[],
  ): Omit<Compiled, 'given' | 'sample' | 'fields' | 'output' | 'signature' | 'own'> {
    const forward = (of: (field: FieldSpec, i: number) => Tensor, bound: readonly Tensor[]) => {
      const x = treeOf(seen.map((field, i) => [field.name, of(field, i)]))
      return withBatchesOnly(() =>
        inEvalMode(this.module, () => withBindings(parameters, bound, () => outputOf(this.module, x), this.module)),
      )
    }
    const common = { backend: engine(), seen }
    try {
      const unknown = parameters.map((p) => new Abstract(p.shape, p.dtype))
      const { shape: result, dtype: outputDtype } = shapesOnly(() => forward(({ shape, dtype }) => new Abstract(shape, dtype), unknown))
      const inputs = [
        ...seen.map(({ name, shape, dtype }) => ({ name: fieldName(name), shape, dtype })),
        ...parameters.map((p, i) => ({ name: `parameter ${i}`, shape: p.shape, dtype: p.dtype })),
        { name: 'out', shape: result, dtype: outputDtype, writable: true },
      ]
      const plan = compile(inputs, new StateLayout(), { dtype: this.module.dtype }, (r) => {
        const bound = parameters.map((_, i) => r.input(seen.length + i))
        r.output(
          inputs.length - 1,
          forward((_, i) => r.input(i), bound),
        )
      })
      return { ...common, result, outputDtype, plan }
    } catch (error) {
      if (!(error instanceof WengertError) || error.code !== 'ERR_VALUE_NEEDED') throw error
      const values = parameters.map((p) => new Tensor(p.shape, p.dtype, p.peek()))
      const { shape: result, dtype: outputDtype } = forward(({ shape, dtype }) => emptyTensor(shape, dtype), values)
      return { ...common, result, outputDtype, plan: undefined }
    }
  }
}

/** The shape of a model's output for a batch like this. */
export function outputShape(module: Predictable, batch: readonly FieldSpec[]): Shape {
  const parameters = module.namedState().map(([, value]) => value)
  const run = (make: (field: FieldSpec) => Tensor, bound: readonly Tensor[]) => {
    const x = treeOf(batch.map((field) => [field.name, make(field)]))
    return inEvalMode(module, () => withBindings(parameters, bound, () => outputOf(module, x), module)).shape
  }
  try {
    return shapesOnly(() =>
      run(
        ({ shape, dtype }) => new Abstract(shape, dtype),
        parameters.map((p) => new Abstract(p.shape, p.dtype)),
      ),
    )
  } catch (error) {
    if (!(error instanceof WengertError) || error.code !== 'ERR_VALUE_NEEDED') throw error
    return run(
      // A sequence has a step at least.
      ({ name, shape, dtype }) => (name === 'lengths' ? ones(shape, { dtype }) : emptyTensor(shape, dtype)),
      parameters.map((p) => new Tensor(p.shape, p.dtype, p.peek())),
    )
  }
}
