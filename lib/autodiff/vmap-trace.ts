/**
 * The interpreter of `vmap`: a function of one sample runs once over the stack of all of them. A `Batched` tensor looks like
 * one sample's; what the level below sees has the axis of the samples in front. Each row says how it is applied to stacks.
 */

import { WengertError } from '../errors.js'
import { broadcastTo } from '../primitives/broadcast.js'
import { microOps } from '../primitives/micro-ops.js'
import { reshape } from '../primitives/movement.js'
import {
  Abstract,
  type Aval,
  apply,
  atNextLevel,
  type Batch,
  below,
  type GeneralPrimitive,
  type Params,
  type Primitive,
  Trace,
  Traced,
} from '../primitives/primitive.js'
import { sum } from '../primitives/reduce.js'
import { Tuple } from '../primitives/tuple.js'
import { zeros } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import type { TypedArray } from '../util/dtype.js'
import { broadcastShapes, foldGrid, formatShape, type Shape, sameShape } from '../util/shape.js'
import { type Graph, replay } from './closed.js'

type Maybe = Tensor | undefined

/** A tensor that each mapped sample has for itself; `value` holds those of all, along its first axis. */
export class Batched extends Traced {
  #ground: Abstract | undefined

  constructor(
    override readonly trace: BatchTrace,
    value: Tensor,
    /** What made it; an argument where undefined. */
    readonly primitive?: Primitive,
    /** The one counter that all samples have, where they draw apart from it. */
    readonly common?: Tensor,
  ) {
    super(trace, value, value.shape.slice(1))
  }

  override get data(): TypedArray {
    throw new WengertError(
      'ERR_VALUE_NEEDED',
      `data: inside vmap a tensor stands for ${this.trace.size} samples at once and has no single value; choose with where, or return the tensor and read it outside`,
      { expected: 'a tensor with values', actual: { samples: this.trace.size } },
    )
  }

  /** A sample without its values; where the trace is entered again (see `again`), the same stack as it is seen there. */
  override seenBelow(level: number): Tensor {
    const { again } = this.trace
    if (level > 0) return again ? new Batched(again, below(this.value, level)) : refuseKept()
    this.#ground ??= new Abstract(this.shape, this.dtype)
    return this.#ground
  }

  override toString(): string {
    return `Tensor ${this.dtype} ${formatShape(this.shape)}, each of ${this.trace.size} samples inside vmap`
  }
}

/** What a model keeps has one value, and each sample would give it another. */
export function refuseKept(): never {
  throw new WengertError(
    'ERR_VALUE',
    'vmap: a layer keeps running statistics, and each sample would give it others; call eval() on the model, or take its batches as one argument',
  )
}

/** Elementwise rows: the axes of a sample stay aligned at the last, that of the samples comes before them all. */
function aligned({ row, inputs, mapped, params }: Batch<Params>): Tensor {
  const rank = inputs.reduce((most, x, i) => Math.max(most, x.rank - (mapped[i] ? 1 : 0)), 0)
  const operands = inputs.map((x, i) => {
    const missing = rank + 1 - x.rank
    return mapped[i] && missing > 0 ? reshape(x, [x.shape[0] as number, ...new Array<number>(missing).fill(1), ...x.shape.slice(1)]) : x
  })
  const shapes = operands.map((x) => x.shape)
  const shape = broadcastShapes(row.name, shapes)
  if (foldGrid(shape, shapes)) return apply(row, operands, params)
  return apply(
    row,
    operands.map((x) => (sameShape(x.shape, shape) || x.size === 1 ? x : broadcastTo(x, shape))),
    params,
  )
}

export class BatchTrace extends Trace {
  /** The trace that stands for this one while a derivative of what was mapped is taken, after this one has ended. */
  again: BatchTrace | undefined

  constructor(
    level: number,
    /** How many samples there are. */
    readonly size: number,
    name: string,
  ) {
    super(level, name)
  }

  owns(x: Tensor): x is Batched {
    return x instanceof Batched && x.trace === this
  }

  override describe(x: Traced): string {
    return (x as Batched).primitive?.name ?? 'an argument'
  }

  /** What the level below sees of a tensor, the axis of the samples in front: repeated where all samples share it. */
  full(x: Tensor): Tensor {
    if (this.owns(x)) return x.value
    return broadcastTo(reshape(x, [1, ...x.shape]), [this.size, ...x.shape])
  }

  apply(primitive: Primitive, inputs: readonly Tensor[], params: Params): Tensor {
    const mapped = inputs.map((x) => this.owns(x))
    const lower = inputs.map((x) => (this.owns(x) ? x.value : x))
    if (this.size === 0 && !lower.some((x) => x instanceof Tuple)) {
      const none = ({ shape, dtype }: Aval) => zeros([0, ...shape], { dtype })
      const like = primitive.infer(inputs, params)
      const value = like instanceof Tuple ? new Tuple(like.parts.map((part) => part && none(part))) : none(like)
      return new Batched(this, value, primitive)
    }
    if (primitive.kind === 'general' && primitive.evaluate && !primitive.batch)
      return new Batched(this, apply(overSamples(primitive, this, mapped), lower, params), primitive)
    const rule = primitive.batch ?? (microOps.has(primitive) ? aligned : undefined)
    if (rule === undefined)
      throw new WengertError(
        'ERR_PROGRAM',
        `vmap: the operation '${primitive.name}' does not say how it is applied to a stack of samples`,
        {
          expected: 'a batching rule',
          actual: primitive.name,
        },
      )
    const result = rule({
      row: primitive,
      inputs: lower,
      mapped,
      params,
      size: this.size,
      full: (i) => this.full(inputs[i] as Tensor),
      common: inputs.map((x) => (this.owns(x) ? x.common : undefined)),
    })
    return 'same' in result ? result.same : new Batched(this, result, primitive)
  }
}

/** Evaluates a graph over samples: of the inputs that are `mapped` their stacks. Its results are stacks, all of them. */
export function replayMapped(graph: Graph, inputs: readonly Tensor[], mapped: readonly boolean[], size: number): Tensor[] {
  return atNextLevel((level) => {
    const trace = new BatchTrace(level, size, 'vmap')
    const samples = inputs.map((x, i) => (mapped[i] ? new Batched(trace, x) : x))
    return replay(graph, samples).map((y) => trace.full(y.resolve()))
  })
}

/**
 * A function with a derivative of its own, over the stack of samples: its value and both its rules are mapped, when they are
 * asked for. By then the function may have returned, so the trace is entered again.
 */
function overSamples(primitive: GeneralPrimitive, trace: BatchTrace, mapped: readonly boolean[]): GeneralPrimitive {
  const { size } = trace
  /** Runs `body` over samples of the stacks; its results have the axis of the samples in front. */
  const entered = (body: (sample: (x: Tensor) => Tensor, inputs: (xs: readonly Tensor[]) => Tensor[]) => readonly Maybe[]): Maybe[] =>
    atNextLevel((level) => {
      const inner = new BatchTrace(level, size, trace.name)
      const outer = trace.again
      trace.again = inner
      try {
        const sample = (x: Tensor) => new Batched(inner, x)
        return body(sample, (xs) => xs.map((x, i) => (mapped[i] ? sample(x) : x))).map((y) => y && inner.full(y.resolve()))
      } finally {
        trace.again = outer
      }
    })
  const sampleOf = (x: { shape: Shape; dtype: Tensor['dtype'] }, i: number) => (mapped[i] ? { shape: x.shape.slice(1), dtype: x.dtype } : x)
  return {
    ...primitive,
    infer: (inputs, params) => {
      const { shape, dtype } = primitive.infer(inputs.map(sampleOf), params)
      return { shape: [size, ...shape], dtype }
    },
    evaluate: (inputs) => entered((_, own) => [(primitive.evaluate as NonNullable<typeof primitive.evaluate>)(own(inputs))])[0] as Tensor,
    jvp: (tangents, { inputs, output, params, level }) =>
      entered((sample, own) => {
        const moving = tangents.map((t, i) => (t && mapped[i] ? sample(t) : t))
        return [primitive.jvp(moving, { inputs: own(inputs), output: sample(output), params, ...(level !== undefined && { level }) })]
      })[0],
    vjp: (g, { inputs, output, params, level }, wanted) =>
      entered((sample, own) =>
        primitive.vjp(sample(g), { inputs: own(inputs), output: sample(output), params, ...(level !== undefined && { level }) }, wanted),
      ).map((c, i) => (c && !mapped[i] ? sum(c, 0) : c)),
  }
}
