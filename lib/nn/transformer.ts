/** Layers of transformers, with PyTorch's names, shapes and order of parameters, and its defaults; batches come first. */

import { WengertError } from '../errors.js'
import { gelu } from '../primitives/composites.js'
import { add, relu } from '../primitives/elementwise.js'
import { Random } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import type { FloatDtype } from '../util/dtype.js'
import { checkChoice, checkFlag, checkNumber, checkOptions, describe } from '../util/options.js'
import { type AttentionInputs, checkMaking, MultiheadAttention } from './attention.js'
import { Dropout } from './dropout.js'
import { Linear } from './layers.js'
import type { Lengths } from './lengths.js'
import { Module } from './module.js'
import { LayerNorm } from './normalization.js'
import { outputOf } from './output.js'
import type { StepMemory } from './step-memory.js'

/** Of `TransformerEncoderLayer` and `TransformerDecoderLayer`. */
export interface TransformerOptions {
  /** Units of the network behind the attention; 2048 by default. */
  dimFeedforward?: number | undefined
  /** In training: the probability with which values are zeroed; 0.1 by default. */
  dropout?: number | undefined
  /** 'relu' by default. */
  activation?: 'relu' | 'gelu' | undefined
  /** Whether x is normalised before attention and network instead of after their sums; false by default. */
  normFirst?: boolean | undefined
  /** Of the normalisations; 1e−5 by default. */
  eps?: number | undefined
  /** Whether a step never sees later ones: of the self-attention; false by default. */
  causal?: boolean | undefined
  /** Whether queries and keys of the self-attention are turned by their positions (`nn.rotary`); false by default. */
  rotary?: boolean | number | undefined
  /** Where the draws come from; the default generator otherwise. */
  rng?: Random | undefined
  dtype?: FloatDtype | undefined
}

const known = ['dimFeedforward', 'dropout', 'activation', 'normFirst', 'eps', 'causal', 'rotary', 'rng', 'dtype']

/** What encoder and decoder layers share. */
abstract class TransformerLayer extends Module {
  readonly dModel: number
  readonly numHeads: number
  readonly activation: 'relu' | 'gelu'
  readonly normFirst: boolean
  readonly self_attn: MultiheadAttention
  abstract readonly linear1: Linear
  abstract readonly linear2: Linear
  abstract readonly dropout: Dropout

  constructor(
    readonly kind: string,
    dModel: number,
    numHeads: number,
    options: TransformerOptions,
    made: { rng: Random; dtype: FloatDtype },
  ) {
    super()
    this.dModel = checkNumber(kind, 'dModel', dModel, { integer: true, min: 1 })
    this.numHeads = checkNumber(kind, 'numHeads', numHeads, { integer: true, min: 1 })
    if (dModel % numHeads !== 0)
      throw new WengertError('ERR_RANGE', `${kind}: ${numHeads} heads do not divide dModel (${dModel})`, { actual: numHeads })
    this.activation = checkChoice(kind, 'activation', options.activation ?? 'relu', ['relu', 'gelu'] as const)
    this.normFirst = checkFlag(kind, 'normFirst', options.normFirst ?? false)
    const dropout = checkNumber(kind, 'dropout', options.dropout ?? 0.1, { min: 0, max: 1 })
    const { causal, rotary } = options
    this.self_attn = new MultiheadAttention(dModel, numHeads, { dropout, causal, rotary, ...made })
  }

  /** x and a part of the layer, dropped out, with the normalisation before the part or after the sum. */
  protected joined(x: Tensor, norm: LayerNorm, dropout: Dropout, part: (x: Tensor) => Tensor): Tensor {
    if (this.normFirst) return add(x, dropout.forward(part(norm.forward(x))))
    return norm.forward(add(x, dropout.forward(part(x))))
  }

  protected network(x: Tensor): Tensor {
    const hidden = this.linear1.forward(x)
    return this.linear2.forward(this.dropout.forward(this.activation === 'gelu' ? gelu(hidden) : relu(hidden)))
  }

  override config(): Record<string, unknown> {
    const { dModel, numHeads, linear1, dropout, activation, normFirst, self_attn } = this
    const { causal, rotary } = self_attn
    const own = { dimFeedforward: linear1.outFeatures, dropout: dropout.p, activation, normFirst, eps: this.eps, causal, rotary }
    return { dModel, numHeads, ...own, dtype: linear1.weight.dtype }
  }

  protected abstract get eps(): number

  override describe(): string {
    const { kind, dModel, numHeads, linear1, self_attn } = this
    return `${kind} ${dModel}, ${numHeads} heads, ${linear1.outFeatures} units${self_attn.causal ? ', causal' : ''}`
  }
}

/** From what `config` gave; the weights draw nothing from the default generator. */
function rebuilt<T>(config: Record<string, unknown>, Type: new (d: number, h: number, options: object) => T): T {
  const { dModel, numHeads, ...options } = config
  return new Type(dModel as number, numHeads as number, { ...options, rng: new Random(0) })
}

const lastOf = (kind: string, dModel: number, options: TransformerOptions, { rng, dtype }: { rng: Random; dtype: FloatDtype }) => {
  const units = checkNumber(kind, 'dimFeedforward', options.dimFeedforward ?? 2048, { integer: true, min: 1 })
  const p = options.dropout ?? 0.1
  return {
    linear: (to: 'in' | 'out') => (to === 'in' ? new Linear(dModel, units, { rng, dtype }) : new Linear(units, dModel, { rng, dtype })),
    norm: () => new LayerNorm(dModel, { dtype, eps: options.eps }),
    drop: () => new Dropout(p),
  }
}

/**
 * Self-attention and a network of one hidden layer, each added to what it is given and normalised: [m, T, dModel] → the same.
 *
 * @param dModel features of a step
 * @param numHeads divides dModel
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE, ERR_DTYPE, ERR_RANGE
 * @example new nn.TransformerEncoderLayer(64, 4, { dimFeedforward: 256, activation: 'gelu' }).forward(x, { lengths })
 */
export class TransformerEncoderLayer extends TransformerLayer {
  readonly linear1: Linear
  readonly dropout: Dropout
  readonly linear2: Linear
  readonly norm1: LayerNorm
  readonly norm2: LayerNorm
  readonly dropout1: Dropout
  readonly dropout2: Dropout

  constructor(dModel: number, numHeads: number, options: TransformerOptions = {}) {
    const kind = 'TransformerEncoderLayer'
    checkOptions(kind, options, known)
    const made = checkMaking(kind, options)
    super(kind, dModel, numHeads, options, made)
    const { linear, norm, drop } = lastOf(kind, dModel, options, made)
    this.linear1 = linear('in')
    this.dropout = drop()
    this.linear2 = linear('out')
    this.norm1 = norm()
    this.norm2 = norm()
    this.dropout1 = drop()
    this.dropout2 = drop()
  }

  protected override get eps(): number {
    return this.norm1.eps
  }

  override get takesLengths(): boolean {
    return true
  }

  /** @param x [m, T, dModel], or one sequence [T, dModel] */
  override forward(x: Tensor, inputs: AttentionInputs = {}): Tensor {
    const y = this.joined(x, this.norm1, this.dropout1, (v) => this.self_attn.forward(v, v, v, inputs))
    return this.joined(y, this.norm2, this.dropout2, (v) => this.network(v))
  }

  override stepForward(x: Tensor, memory: StepMemory): Tensor {
    const y = this.joined(x, this.norm1, this.dropout1, (v) => this.self_attn.stepForward(v, memory))
    return this.joined(y, this.norm2, this.dropout2, (v) => this.network(v))
  }

  /** Rebuilds a saved layer. */
  static fromConfig(
    config: Record<string, unknown>,
    Type: typeof TransformerEncoderLayer = TransformerEncoderLayer,
  ): TransformerEncoderLayer {
    return rebuilt(config, Type)
  }
}

/** What a decoder layer is run with. */
export interface DecoderInputs {
  /** Of the self-attention: see `AttentionInputs`. */
  mask?: Tensor | undefined
  causal?: boolean | undefined
  lengths?: Lengths | undefined
  /** Of the attention to the memory. */
  memoryMask?: Tensor | undefined
  memoryLengths?: Lengths | undefined
}

/**
 * Self-attention, attention to an encoder's output, and a network of one hidden layer, each added to what it is given and normalised.
 *
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE, ERR_DTYPE, ERR_RANGE
 * @example new nn.TransformerDecoderLayer(64, 4, { causal: true }).forward(x, memory, { memoryLengths })
 */
export class TransformerDecoderLayer extends TransformerLayer {
  readonly multihead_attn: MultiheadAttention
  readonly linear1: Linear
  readonly dropout: Dropout
  readonly linear2: Linear
  readonly norm1: LayerNorm
  readonly norm2: LayerNorm
  readonly norm3: LayerNorm
  readonly dropout1: Dropout
  readonly dropout2: Dropout
  readonly dropout3: Dropout

  constructor(dModel: number, numHeads: number, options: TransformerOptions = {}) {
    const kind = 'TransformerDecoderLayer'
    checkOptions(kind, options, known)
    const made = checkMaking(kind, options)
    super(kind, dModel, numHeads, options, made)
    this.multihead_attn = new MultiheadAttention(dModel, numHeads, { dropout: options.dropout ?? 0.1, ...made })
    const { linear, norm, drop } = lastOf(kind, dModel, options, made)
    this.linear1 = linear('in')
    this.dropout = drop()
    this.linear2 = linear('out')
    this.norm1 = norm()
    this.norm2 = norm()
    this.norm3 = norm()
    this.dropout1 = drop()
    this.dropout2 = drop()
    this.dropout3 = drop()
  }

  protected override get eps(): number {
    return this.norm1.eps
  }

  /**
   * @param x [m, T, dModel]
   * @param memory [m, S, dModel]: what the encoder gave
   */
  override forward(x: Tensor, memory?: Tensor, inputs: DecoderInputs = {}): Tensor {
    if (!(memory instanceof Tensor))
      throw new WengertError('ERR_VALUE', `${this.kind}: expected forward(x, memory), got ${describe(memory)} for the memory`, {
        actual: memory,
      })
    checkOptions(`${this.kind}.forward`, inputs, ['mask', 'causal', 'lengths', 'memoryMask', 'memoryLengths'])
    const { mask, causal, lengths, memoryMask, memoryLengths } = inputs
    const own = this.joined(x, this.norm1, this.dropout1, (v) => this.self_attn.forward(v, v, v, { mask, causal, lengths }))
    const read = this.joined(own, this.norm2, this.dropout2, (v) =>
      this.multihead_attn.forward(v, memory, memory, { mask: memoryMask, lengths: memoryLengths }),
    )
    return this.joined(read, this.norm3, this.dropout3, (v) => this.network(v))
  }

  /** Rebuilds a saved layer. */
  static fromConfig(
    config: Record<string, unknown>,
    Type: typeof TransformerDecoderLayer = TransformerDecoderLayer,
  ): TransformerDecoderLayer {
    return rebuilt(config, Type)
  }
}

/** Of `TransformerEncoder` and `TransformerDecoder`: how to make a layer. */
type LayerMaker<Layer> = Layer | ((index: number) => Layer)

/** Layers one after the other, and maybe a normalisation at the end. */
abstract class TransformerStack<Layer extends TransformerLayer> extends Module {
  readonly layers: readonly Layer[]
  readonly norm: Module | undefined

  constructor(
    readonly kind: string,
    Type: {
      new (dModel: number, numHeads: number, options?: TransformerOptions): Layer
      fromConfig(config: Record<string, unknown>): Layer
    },
    layer: LayerMaker<Layer>,
    numLayers: number,
    options: { norm?: Module | undefined },
  ) {
    super()
    checkOptions(kind, options, ['norm'])
    checkNumber(kind, 'numLayers', numLayers, { integer: true, min: 1 })
    this.layers = Array.from({ length: numLayers }, (_, i) => {
      const made: unknown = typeof layer === 'function' ? layer(i) : layer
      if (!(made instanceof Type))
        throw new WengertError('ERR_VALUE', `${kind}: expected a ${Type.name}, got ${describe(made)}`, { actual: made })
      if (typeof layer === 'function') return made
      // A layer with the same values.
      const copy = Type.fromConfig(made.config())
      copy.loadStateDict(made.stateDict())
      return copy
    })
    const { norm } = options
    if (norm !== undefined && !(norm instanceof Module))
      throw new WengertError('ERR_VALUE', `${kind}: expected norm to be a module, got ${describe(norm)}`, { actual: norm })
    this.norm = norm
  }

  /** All layers, then the normalisation. */
  protected through(x: Tensor, run: (x: Tensor, layer: Layer) => Tensor): Tensor {
    const y = this.layers.reduce(run, x)
    return this.norm ? outputOf(this.norm, y) : y
  }

  override config(): Record<string, unknown> {
    return { layers: this.layers, ...(this.norm && { norm: this.norm }) }
  }

  override describe(): string {
    return `${this.kind} of ${this.layers.length}`
  }
}

/** What `config` of a stack gave, as its constructor takes it. Errors: ERR_OPTION, ERR_VALUE. */
function stackOf<Layer>(kind: string, config: Record<string, unknown>): [(i: number) => Layer, number, { norm?: Module | undefined }] {
  checkOptions(kind, config, ['layers', 'norm'])
  const { layers, norm } = config
  if (!Array.isArray(layers))
    throw new WengertError('ERR_VALUE', `${kind}: expected a list of layers, got ${describe(layers)}`, { actual: layers })
  return [(i) => layers[i] as Layer, layers.length, { norm: norm as Module | undefined }]
}

/**
 * Encoder layers one after the other.
 *
 * @param layer a function of the layer's number that makes one; or a layer, of which `numLayers` copies are made that start alike, as in
 *   PyTorch
 * @param options.norm a module that is applied at the end, for layers with `normFirst`
 * @throws ERR_RANGE, ERR_VALUE, ERR_OPTION
 * @example
 * const rng = new Random(1)
 * const encoder = new nn.TransformerEncoder(() => new nn.TransformerEncoderLayer(64, 4, { rng }), 2)
 */
export class TransformerEncoder extends TransformerStack<TransformerEncoderLayer> {
  constructor(layer: LayerMaker<TransformerEncoderLayer>, numLayers: number, options: { norm?: Module | undefined } = {}) {
    super('TransformerEncoder', TransformerEncoderLayer, layer, numLayers, options)
  }

  override get takesLengths(): boolean {
    return true
  }

  /** @param x [m, T, dModel], or one sequence [T, dModel] */
  override forward(x: Tensor, inputs: AttentionInputs = {}): Tensor {
    return this.through(x, (v, layer) => layer.forward(v, inputs))
  }

  override stepForward(x: Tensor, memory: StepMemory): Tensor {
    const y = this.layers.reduce((v, layer) => layer.stepForward(v, memory), x)
    return this.norm ? this.norm.stepForward(y, memory) : y
  }

  /** Rebuilds a saved stack. */
  static fromConfig(config: Record<string, unknown>, Type: typeof TransformerEncoder = TransformerEncoder): TransformerEncoder {
    return new Type(...stackOf<TransformerEncoderLayer>('TransformerEncoder', config))
  }
}

/**
 * Decoder layers one after the other, all of which read the same memory.
 *
 * @param layer a function of the layer's number that makes one; or a layer, of which `numLayers` copies are made that start alike, as in
 *   PyTorch
 * @param options.norm a module that is applied at the end, for layers with `normFirst`
 * @throws ERR_RANGE, ERR_VALUE, ERR_OPTION
 * @example
 * const rng = new Random(1)
 * const decoder = new nn.TransformerDecoder(() => new nn.TransformerDecoderLayer(64, 4, { causal: true, rng }), 2)
 * decoder.forward(x, encoder.forward(source, { lengths }), { memoryLengths: lengths })
 */
export class TransformerDecoder extends TransformerStack<TransformerDecoderLayer> {
  constructor(layer: LayerMaker<TransformerDecoderLayer>, numLayers: number, options: { norm?: Module | undefined } = {}) {
    super('TransformerDecoder', TransformerDecoderLayer, layer, numLayers, options)
  }

  /**
   * @param x [m, T, dModel]
   * @param memory [m, S, dModel]: what the encoder gave
   */
  override forward(x: Tensor, memory?: Tensor, inputs: DecoderInputs = {}): Tensor {
    return this.through(x, (v, layer) => layer.forward(v, memory, inputs))
  }

  /** Rebuilds a saved stack. */
  static fromConfig(config: Record<string, unknown>, Type: typeof TransformerDecoder = TransformerDecoder): TransformerDecoder {
    return new Type(...stackOf<TransformerDecoderLayer>('TransformerDecoder', config))
  }
}
