/**
 * What recurrent layers share: parameters with PyTorch's names and shapes, so that its state dicts load, layers over layers, directions,
 * lengths and states. Each direction of each layer is one `scan` over the steps, whose body is a cell: see `recurrent.ts`.
 */

import { scan } from '../autodiff/scan.js'
import { WengertError } from '../errors.js'
import { where } from '../primitives/elementwise.js'
import { expandDims, reshape, transpose } from '../primitives/movement.js'
import { concat, slice, stack } from '../primitives/parts.js'
import { zeros } from '../tensor/creation.js'
import { nextSeed, Random } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import type { FloatDtype } from '../util/dtype.js'
import { checkChoice, checkFlag, checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape, sameShape } from '../util/shape.js'
import { batchesOnly } from './batches.js'
import { Dropout } from './dropout.js'
import { checkLengths, type Lengths, stepsWithin } from './lengths.js'
import { Module } from './module.js'
import { Parameter } from './parameter.js'
import type { StepMemory } from './step-memory.js'

/** Of `RNN`, `GRU` and `LSTM`. */
export interface RecurrentOptions {
  /** How many layers, each over the outputs of the one before; 1 by default. */
  numLayers?: number | undefined
  /** Whether a second set of weights runs from the last step to the first; the features of its outputs follow the others. False by default. */
  bidirectional?: boolean | undefined
  /** In training: the probability with which outputs between two layers are zeroed; 0 by default. */
  dropout?: number | undefined
  /** Whether there are biases, two for each layer as in PyTorch; true by default. */
  bias?: boolean | undefined
  /** Whether x and output are [m, T, …], true by default (unlike PyTorch), or [T, m, …]. A state is [layers, m, hiddenSize] either way. */
  batchFirst?: boolean | undefined
  /** Where the draws come from; the default generator otherwise. */
  rng?: Random | undefined
  dtype?: FloatDtype | undefined
}

/** What a recurrent layer is run with. */
export interface RecurrentInputs<State> {
  /** How many steps of each sequence count: 1 … T. After them the output is 0, and the state stays that of the last one. */
  lengths?: Lengths | undefined
  /** What the first step starts from; zeros by default. */
  state?: State | undefined
}

/** What a recurrent layer gives. */
export interface RecurrentResult<State> {
  /** The hidden state after each step of the last layer: [m, T, hiddenSize], or 2 · hiddenSize for two directions. */
  output: Tensor
  /** The state after the last step of every layer and direction, [layers · directions, m, hiddenSize]. */
  state: State
}

const known = ['numLayers', 'bidirectional', 'dropout', 'bias', 'batchFirst', 'rng', 'dtype']

/** The weights of one direction of a layer. */
export interface CellWeights {
  readonly input: Tensor
  readonly hidden: Tensor
  readonly inputBias: Tensor | undefined
  readonly hiddenBias: Tensor | undefined
}

/** What the layers share: they differ in their cell, and in how many gates and parts of a state it has. */
export abstract class Recurrent<State> extends Module {
  readonly inputSize: number
  readonly hiddenSize: number
  readonly numLayers: number
  readonly bidirectional: boolean
  readonly bias: boolean
  readonly batchFirst: boolean;
  [name: `weight_${string}`]: Parameter
  [name: `bias_${string}`]: Parameter
  readonly dropout: Dropout | undefined
  readonly #dtype: FloatDtype

  constructor(
    readonly kind: string,
    inputSize: number,
    hiddenSize: number,
    gates: number,
    options: RecurrentOptions,
    more: readonly string[] = [],
  ) {
    super()
    checkOptions(kind, options, [...known, ...more])
    this.inputSize = checkNumber(kind, 'inputSize', inputSize, { integer: true, min: 1 })
    this.hiddenSize = checkNumber(kind, 'hiddenSize', hiddenSize, { integer: true, min: 1 })
    this.numLayers = checkNumber(kind, 'numLayers', options.numLayers ?? 1, { integer: true, min: 1 })
    this.bidirectional = checkFlag(kind, 'bidirectional', options.bidirectional ?? false)
    this.bias = checkFlag(kind, 'bias', options.bias ?? true)
    this.batchFirst = checkFlag(kind, 'batchFirst', options.batchFirst ?? true)
    const p = checkNumber(kind, 'dropout', options.dropout ?? 0, { min: 0, max: 1 })
    if (p > 0 && this.numLayers === 1)
      throw new WengertError(
        'ERR_OPTION',
        `${kind}: dropout acts between layers, and there is one; leave it out, or add an nn.Dropout behind the layer`,
        { actual: p },
      )
    const dtype = checkChoice(kind, 'dtype', options.dtype ?? 'float32', ['float32', 'float64'] as const)
    this.#dtype = dtype
    const { rng = new Random(nextSeed()) } = options
    if (!(rng instanceof Random)) throw new WengertError('ERR_OPTION', `${kind}: rng is a Random, not ${describe(rng)}`, { actual: rng })
    const bound = 1 / Math.sqrt(hiddenSize)
    const drawn = (...shape: number[]) => new Parameter(rng.uniform(shape, -bound, bound, { dtype }))
    for (let layer = 0; layer < this.numLayers; layer++) {
      for (const suffix of this.suffixes(layer)) {
        this[`weight_ih_${suffix}`] = drawn(gates * hiddenSize, layer === 0 ? inputSize : hiddenSize * this.directions)
        this[`weight_hh_${suffix}`] = drawn(gates * hiddenSize, hiddenSize)
        if (!this.bias) continue
        this[`bias_ih_${suffix}`] = drawn(gates * hiddenSize)
        this[`bias_hh_${suffix}`] = drawn(gates * hiddenSize)
      }
    }
    this.dropout = p > 0 ? new Dropout(p) : undefined
  }

  override get takesLengths(): boolean {
    return true
  }

  /** How many directions the steps are run through. */
  get directions(): number {
    return this.bidirectional ? 2 : 1
  }

  /** How many tensors a state is of. */
  protected get parts(): number {
    return 1
  }

  /** The next state of one step: x [m, features], state one tensor [m, hiddenSize] a part; its first part is the output. */
  abstract cell(x: Tensor, state: readonly Tensor[], weights: CellWeights): Tensor[]
  /** The parts of a state, and a state of parts. */
  protected abstract partsOf(state: State): readonly unknown[]
  protected abstract stateOf(parts: readonly Tensor[]): State

  /** The ends of the names of a layer's parameters, one a direction. */
  suffixes(layer: number): string[] {
    return this.bidirectional ? [`l${layer}`, `l${layer}_reverse`] : [`l${layer}`]
  }

  /** The weights by the end of their names. */
  weightsOf(suffix: string): CellWeights {
    return {
      input: this[`weight_ih_${suffix}`] as Parameter,
      hidden: this[`weight_hh_${suffix}`] as Parameter,
      inputBias: this[`bias_ih_${suffix}`],
      hiddenBias: this[`bias_hh_${suffix}`],
    }
  }

  /**
   * @param x [m, T, inputSize] (batchFirst), or one sequence [T, inputSize]; T ≥ 1
   * @throws ERR_SHAPE, ERR_DTYPE for x or a state that does not fit; ERR_RANGE for lengths outside 1 … T
   */
  override forward(x: Tensor, inputs: RecurrentInputs<State> = {}): RecurrentResult<State> {
    const { kind, inputSize, batchFirst, numLayers } = this
    checkOptions(`${kind}.forward`, inputs, ['lengths', 'state'])
    const single = x.rank === 2 && !batchesOnly()
    if ((x.rank !== 3 && !single) || x.shape[x.rank - 1] !== inputSize) {
      const form = batchFirst ? `[m, T, ${inputSize}]` : `[T, m, ${inputSize}]`
      throw new WengertError('ERR_SHAPE', `${kind}: expected x of shape ${form}, got ${formatShape(x.shape)}`, {
        expected: form,
        actual: x.shape,
      })
    }
    if (x.dtype !== this.#dtype)
      throw new WengertError('ERR_DTYPE', `${kind}: expected x of ${this.#dtype}, got ${x.dtype}`, {
        expected: this.#dtype,
        actual: x.dtype,
      })
    let steps = single ? expandDims(x, 1) : batchFirst ? transpose(x, [1, 0, 2]) : x
    const [T, m] = steps.shape as [number, number, number]
    if (T === 0)
      throw new WengertError('ERR_SHAPE', `${kind}: expected at least one step, got ${formatShape(x.shape)}`, { actual: x.shape })
    const start = this.#startOf(inputs.state, m, single)
    const lengths = inputs.lengths === undefined ? undefined : checkLengths(`${kind}.forward`, inputs.lengths, m, T)
    const counts = lengths && expandDims(stepsWithin(lengths, T), 2)
    const last: Tensor[][] = []
    for (let layer = 0; layer < numLayers; layer++) {
      if (layer > 0 && this.dropout) steps = this.#dropped(steps, this.dropout)
      const outputs = this.suffixes(layer).map((suffix, i) => {
        const [state, ys] = this.#run(steps, start[last.length] as readonly Tensor[], this.weightsOf(suffix), i === 1, counts)
        last.push(state)
        return ys
      })
      steps = outputs.length === 1 ? (outputs[0] as Tensor) : concat(outputs, 2)
    }
    const state = Array.from({ length: this.parts }, (_, part) => stack(last.map((one) => one[part] as Tensor)))
    const drop = (y: Tensor): Tensor => (single ? reshape(y, [y.shape[0] as number, y.shape[2] as number]) : y)
    return { output: single ? drop(steps) : batchFirst ? transpose(steps, [1, 0, 2]) : steps, state: this.stateOf(state.map(drop)) }
  }

  /** One step of all layers: x [m, inputSize] → [m, hiddenSize]. */
  override stepForward(x: Tensor, memory: StepMemory): Tensor {
    const { kind, inputSize, hiddenSize } = this
    if (this.bidirectional)
      throw new WengertError('ERR_STATE', `stepper: a ${kind} of two directions reads a sequence from its end too; it cannot be stepped`)
    if (x.rank !== 2 || x.shape[1] !== inputSize)
      throw new WengertError('ERR_SHAPE', `${kind}: expected a step of shape [${inputSize}], got ${formatShape(x.shape.slice(1))}`, {
        expected: [inputSize],
        actual: x.shape.slice(1),
      })
    const zero = zeros([memory.streams, hiddenSize], { dtype: this.#dtype })
    let y = x
    for (let layer = 0; layer < this.numLayers; layer++) {
      const weights = this.weightsOf(`l${layer}`)
      const first = Array.from({ length: this.parts }, () => zero)
      y = memory.carry(first, (state) => this.cell(y, state, weights))[0] as Tensor
    }
    return y
  }

  /** One direction over all steps: the last state, and the outputs [T, m, hiddenSize]. */
  #run(
    xs: Tensor,
    start: readonly Tensor[],
    weights: CellWeights,
    reverse: boolean,
    counts: Tensor | undefined,
  ): [state: Tensor[], ys: Tensor] {
    const init = [...start]
    if (!counts)
      return scan(
        (state: Tensor[], x: Tensor) => {
          const next = this.cell(x, state, weights)
          return [next, next[0] as Tensor] as const
        },
        init,
        xs,
        { reverse },
      )
    return scan(
      (state: Tensor[], { x, counted }: { x: Tensor; counted: Tensor }) => {
        const next = this.cell(x, state, weights)
        return [next.map((h, i) => where(counted, h, state[i] as Tensor)), where(counted, next[0] as Tensor, 0)] as const
      },
      init,
      { x: xs, counted: counts },
      { reverse },
    )
  }

  /** Masks are drawn for each sample: its axis comes first. */
  #dropped(steps: Tensor, dropout: Dropout): Tensor {
    if (!dropout.training || dropout.p === 0) return steps
    return transpose(dropout.forward(transpose(steps, [1, 0, 2])), [1, 0, 2])
  }

  /** The first state of each layer and direction: one tensor [m, hiddenSize] a part. */
  #startOf(state: State | undefined, m: number, single: boolean): readonly (readonly Tensor[])[] {
    const { kind, hiddenSize } = this
    const count = this.numLayers * this.directions
    if (state === undefined) {
      const zero = Array.from({ length: this.parts }, () => zeros([m, hiddenSize], { dtype: this.#dtype }))
      return Array.from({ length: count }, () => zero)
    }
    const shape = single ? [count, hiddenSize] : [count, m, hiddenSize]
    const given = this.partsOf(state)
    const parts = given.map((part) => {
      if (!(part instanceof Tensor) || !sameShape(part.shape, shape) || part.dtype !== this.#dtype) {
        const got = part instanceof Tensor ? `${part.dtype} ${formatShape(part.shape)}` : describe(part)
        const what = this.parts === 1 ? 'a state' : 'the two parts of a state'
        throw new WengertError(
          part instanceof Tensor && part.dtype === this.#dtype ? 'ERR_SHAPE' : 'ERR_VALUE',
          `${kind}: expected ${what} of ${this.#dtype} ${formatShape(shape)}, one row for each layer and direction, got ${got}`,
          { expected: shape, actual: part },
        )
      }
      return reshape(part, [count, m, hiddenSize])
    })
    return Array.from({ length: count }, (_, i) => parts.map((part) => reshape(slice(part, [i, i + 1]), [m, hiddenSize])))
  }

  override config(): Record<string, unknown> {
    const { inputSize, hiddenSize, numLayers, bidirectional, bias, batchFirst } = this
    return { inputSize, hiddenSize, numLayers, bidirectional, dropout: this.dropout?.p ?? 0, bias, batchFirst, dtype: this.#dtype }
  }

  override describe(): string {
    const { kind, inputSize, hiddenSize, numLayers, bidirectional, bias } = this
    return `${kind} ${inputSize} → ${hiddenSize}${numLayers > 1 ? `, ${numLayers} layers` : ''}${bidirectional ? ', bidirectional' : ''}${bias ? '' : ', no bias'}`
  }
}
