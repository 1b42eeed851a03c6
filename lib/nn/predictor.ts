/** Prediction: a module's forward function compiled for each input shape, in a bounded cache. */

import type { Executable } from '../backend/backend.js'
import { engine } from '../backend/select.js'
import { WengertError } from '../errors.js'
import { compile, type Plan } from '../plan/plan.js'
import { StateLayout } from '../plan/state-layout.js'
import { Abstract } from '../primitives/primitive.js'
import { emptyTensor, Tensor } from '../tensor/tensor.js'
import { type Dtype, dtypeOf, type FloatDtype, isDetached, type TypedArray } from '../util/dtype.js'
import { formatShape, type Shape, sameShape, sizeOf } from '../util/shape.js'
import { Outline } from './outline.js'
import { type Parameter, withBindings } from './parameter.js'

interface Compiled {
  backend: unknown
  shape: Shape
  /** Of the input. */
  dtype: Dtype
  /** The module as it was traced, with its parameters and buffers. */
  outline: Outline
  output: Shape
  outputDtype: Dtype
  /** Undefined where the forward function's path depends on values: then it is run eagerly. */
  plan: Plan | undefined
}

const capacity = 16

/** What a predictor needs of a module. */
export interface Predictable {
  readonly dtype: FloatDtype
  namedState(): [name: string, value: Parameter][]
  modules(): { training: boolean }[]
  forward(x: Tensor): Tensor
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

export class Predictor {
  readonly #cache: Compiled[] = []

  constructor(readonly module: Predictable) {}

  predict(x: Tensor): Tensor {
    const compiled = this.#known(x.shape, x.dtype) ?? this.#trace(x.shape, x.dtype)
    if (!compiled.plan) return inEvalMode(this.module, () => this.module.forward(x))
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
      throw new WengertError('ERR_DETACHED', 'predictInto: expected typed arrays, got one whose buffer was transferred away')
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
      out.set(inEvalMode(this.module, () => this.module.forward(new Tensor(shape, dtype, x))).data)
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
    const { parameters } = compiled.outline
    const layout = new StateLayout()
    const slots = parameters.map((p, i) => layout.add(`${i}`, p.shape, p.dtype))
    const out = layout.add('out', compiled.output, compiled.outputDtype)
    const plan = compile([{ name: 'x', shape: x.shape, dtype: x.dtype }], layout, { dtype: this.module.dtype }, (r) => {
      r.assign(
        out,
        inEvalMode(this.module, () =>
          withBindings(
            parameters,
            slots.map((slot) => r.state(slot)),
            () => this.module.forward(r.input(0)),
          ),
        ),
      )
    })
    const state = engine().createState(layout.bytes, [])
    parameters.forEach((p, i) => {
      state.write(layout.slots[slots[i] as number]?.offset as number, p.peek())
    })
    const runner = engine().createRunner(state, [plan.executable as Executable], [x.data, ...plan.lowered.constants])
    try {
      await runner.run({ epochs: 1, segments: [{ program: 0, repeat: 1 }], windows: {} })
      const result = emptyTensor(compiled.output, compiled.outputDtype)
      state.read(layout.slots[out]?.offset as number, result.data)
      return result
    } finally {
      runner.close()
    }
  }

  /** What was compiled for such an input, if the module has not changed since. */
  #known(shape: Shape, dtype: Dtype): Compiled | undefined {
    const backend = engine()
    for (let i = 0; i < this.#cache.length; i++) {
      const entry = this.#cache[i] as Compiled
      if (entry.backend !== backend || entry.dtype !== dtype || !sameShape(entry.shape, shape) || !entry.outline.holds) continue
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
    const outline = new Outline(this.module, this.module.modules(), parameters)
    const entry = this.#compile(shape, dtype, outline)
    this.#cache.unshift(entry)
    if (this.#cache.length > capacity) this.#cache.pop()
    return entry
  }

  #compile(shape: Shape, dtype: Dtype, outline: Outline): Compiled {
    const { parameters } = outline
    const forward = (x: Tensor) => inEvalMode(this.module, () => this.module.forward(x))
    const common = { backend: engine(), shape: [...shape], dtype, outline }
    try {
      const { shape: output, dtype: outputDtype } = forward(new Abstract(shape, dtype))
      const inputs = [
        { name: 'x', shape, dtype },
        ...parameters.map((p, i) => ({ name: `parameter ${i}`, shape: p.shape, dtype: p.dtype })),
        { name: 'out', shape: output, dtype: outputDtype, writable: true },
      ]
      const plan = compile(inputs, new StateLayout(), { dtype: this.module.dtype }, (r) => {
        const bound = parameters.map((_, i) => r.input(i + 1))
        r.output(
          inputs.length - 1,
          withBindings(parameters, bound, () => forward(r.input(0))),
        )
      })
      return { ...common, output, outputDtype, plan }
    } catch (error) {
      if (!(error instanceof WengertError) || error.code !== 'ERR_VALUE_NEEDED') throw error
      const { shape: output, dtype: outputDtype } = forward(emptyTensor(shape, dtype))
      return { ...common, output, outputDtype, plan: undefined }
    }
  }
}
