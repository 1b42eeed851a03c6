/** Models over sequences made at random out of every layer that takes them, with data and lengths; drawn from a number. */

import * as w from '../../lib/index.js'
import type { Lengths } from '../../lib/nn/lengths.js'
import type { Loss } from '../../lib/nn/loss-contract.js'
import type { Tensor } from '../../lib/tensor/tensor.js'
import type { FloatDtype } from '../../lib/util/dtype.js'
import { Stream } from '../../lib/util/random.js'

const { nn } = w

interface Handed {
  lengths?: Lengths | undefined
}

/** A layer used on values whose axes lie otherwise; step by step there is nothing to turn. */
abstract class Turned<Inner extends w.nn.Module> extends nn.Module {
  constructor(readonly inner: Inner) {
    super()
  }
  override stepForward(x: Tensor, memory: w.nn.StepMemory): Tensor {
    return this.inner.stepForward(x, memory)
  }
  override config() {
    return { inner: this.inner }
  }
  static fromConfig(config: Record<string, unknown>, Type: new (inner: never) => w.nn.Module): w.nn.Module {
    return new Type(config.inner as never)
  }
}

/** A layer over [T, m, F] used on [m, T, F]. */
export class StepsFirst extends Turned<w.nn.RNN | w.nn.GRU | w.nn.LSTM> {
  override get takesLengths(): boolean {
    return true
  }
  override forward(x: Tensor, inputs: Handed = {}): Tensor {
    return this.inner.forward(x.transpose([1, 0, 2]), inputs).output.transpose([1, 0, 2])
  }
}

/** A convolution over [m, C, T] used on [m, T, C]. */
export class Channels extends Turned<w.nn.CausalConv1d> {
  override forward(x: Tensor): Tensor {
    return this.inner.forward(x.transpose([0, 2, 1])).transpose([0, 2, 1])
  }
}

/** Attention to maps of other sizes, under a mask of its own; some queries may look nowhere, or at padding alone. */
export class Looking extends nn.Module {
  constructor(
    readonly keys: w.nn.Linear,
    readonly values: w.nn.Linear,
    readonly attention: w.nn.MultiheadAttention,
    readonly kind: 'none' | 'bool' | 'float' | 'infinite',
    readonly number: number,
  ) {
    super()
  }
  override get takesLengths(): boolean {
    return true
  }
  override config() {
    const { keys, values, attention, kind, number } = this
    return { keys, values, attention, kind, number }
  }
  static fromConfig(config: Record<string, unknown>): Looking {
    const { keys, values, attention, kind, number } = config as never
    return new Looking(keys, values, attention, kind, number)
  }
  override forward(x: Tensor, inputs: Handed = {}): Tensor {
    const [T, dtype] = [x.shape[1] as number, this.keys.weight.dtype as FloatDtype]
    // The same where both steps are there, for any T.
    const draw = (i: number) => new Stream({ seed: this.number, purpose: 0, a: Math.floor(i / T), b: i % T }).uniform()
    const of = (f: (i: number) => number, type: 'bool' | FloatDtype) =>
      w
        .tensor(
          Float64Array.from({ length: T * T }, (_, i) => f(i)),
          { shape: [T, T], dtype: 'float64' },
        )
        .cast(type)
    const mask = {
      none: () => undefined,
      bool: () => of((i) => (draw(i) < 0.5 ? 1 : 0), 'bool'),
      float: () => of(draw, dtype),
      infinite: () => of((i) => (draw(i) < 0.5 ? draw(i) : -Infinity), dtype),
    }[this.kind]()
    return this.attention.forward(x, this.keys.forward(x), this.values.forward(x), { ...inputs, mask })
  }
}

/** Reads values: such a model trains eagerly. */
export class ReadingSteps extends nn.Module {
  constructor(readonly inner: w.nn.Sequential) {
    super()
  }
  override get takesLengths(): boolean {
    return true
  }
  override forward(x: Tensor, inputs: Handed = {}): Tensor {
    const y = this.inner.forward(x, inputs)
    if (Number.isNaN(y.data[0])) throw new Error('expected a number, got NaN')
    return y
  }
}

nn.registerModule('StepsFirst', StepsFirst as never)
nn.registerModule('Channels', Channels as never)
nn.registerModule('Looking', Looking as never)

export interface SequenceTask {
  /** The same model at each call, of a floating type. */
  make(dtype: FloatDtype): w.nn.Sequential
  m: number
  T: number
  /** [m, T, features], or indices [m, T]. */
  x(dtype: FloatDtype): Tensor
  y(dtype: FloatDtype): Tensor
  lengths: Int32Array | undefined
  loss: Loss
  optimizer(): ReturnType<typeof w.optim.adam>
  /** Whether x holds indices. */
  looksUp: boolean
  /** Whether there is an output a step. */
  everyStep: boolean
  /** Whether no output looks ahead, so that a stepper can follow. */
  causal: boolean
  /** Whether it draws in training. */
  draws: boolean
  description: string
}

const activations = [nn.Tanh, nn.GELU, nn.SiLU, nn.Softplus]

/** The task of a number. */
export function sequenceTask(number: number): SequenceTask {
  const text: string[] = []
  const traits = { causal: true, draws: false }
  const [few, hard] = [new Stream({ seed: number, purpose: 0, a: 21, b: 0 }), new w.Random(number + 1)]
  const looksUp = few.bounded(3) === 0
  const [m, T] = [2 + few.bounded(4), 2 + few.bounded(6)]
  const padded = few.bounded(3) > 0
  const everyStep = few.bounded(3) === 0
  const wantsCausal = few.bounded(2) === 0
  const labelled = few.bounded(2) === 0
  const plainOptimizer = few.bounded(2) === 0
  const lengths = padded ? Int32Array.from({ length: m }, (_, i) => (i === 0 ? T : 1 + few.bounded(T))) : undefined
  const count = 5

  const make = (dtype: FloatDtype): w.nn.Sequential => {
    text.length = 0
    const stream = new Stream({ seed: number, purpose: 0, a: 22, b: 0 })
    const below = (n: number) => stream.bounded(n)
    const rng = new w.Random(number)
    const common = { rng, dtype }
    const n = [4, 6, 8][below(3)] as number
    const linear = (from: number, to: number) => new nn.Linear(from, to, common)
    const drop = () => {
      const p = [0, 0, 0.2][below(3)] as number
      if (p > 0) traits.draws = true
      return p
    }
    const recurrent = (depth: number): w.nn.Module => {
      const kind = below(3)
      const bidirectional = !wantsCausal && below(2) === 0
      const numLayers = 1 + below(2)
      const batchFirst = below(2) === 0
      const size = bidirectional ? n / 2 : n
      const dropout = numLayers > 1 ? drop() : 0
      const options = { numLayers, bidirectional, dropout, batchFirst, bias: below(4) > 0, ...common }
      if (bidirectional) traits.causal = false
      text.push(
        `${['RNN', 'GRU', 'LSTM'][kind]}${bidirectional ? '↔' : ''}${numLayers}${dropout ? ' dropout' : ''}${batchFirst ? '' : ' T first'}`,
      )
      const nonlinearity = below(2) ? 'tanh' : ('relu' as const)
      const layer =
        kind === 0
          ? new nn.RNN(n, size, { ...options, nonlinearity })
          : kind === 1
            ? new nn.GRU(n, size, options)
            : new nn.LSTM(n, size, options)
      const whole = batchFirst ? layer : new StepsFirst(layer)
      return depth === 0 && below(3) === 0 ? new nn.Residual(whole) : whole
    }
    const encoder = (): w.nn.Module => {
      const causal = wantsCausal || below(3) === 0
      if (!causal) traits.causal = false
      const options = {
        dimFeedforward: 5,
        dropout: drop(),
        activation: (['relu', 'gelu'] as const)[below(2)],
        normFirst: below(2) === 0,
        causal,
        rotary: below(3) === 0 && (n / 2) % 2 === 0,
        ...common,
      }
      text.push(`encoder${causal ? ' causal' : ''}${options.rotary ? ' rotary' : ''}${options.dropout ? ' dropout' : ''}`)
      const layer = () => new nn.TransformerEncoderLayer(n, 2, options)
      if (below(2)) return layer()
      return new nn.TransformerEncoder(
        layer,
        2,
        below(2) ? { norm: below(2) ? new nn.RMSNorm(n, { dtype }) : new nn.LayerNorm(n, { dtype }) } : {},
      )
    }
    const looking = (): w.nn.Module => {
      const kind = (['none', 'bool', 'float', 'infinite'] as const)[below(4)] as 'none'
      const [kdim, vdim] = [below(2) ? n : 3, below(2) ? n : 5]
      const causal = below(2) === 0
      const dropout = drop()
      traits.causal = false
      text.push(`attention ${kind}${causal ? ' causal' : ''}${dropout ? ' dropout' : ''} ${kdim},${vdim}`)
      return new Looking(
        linear(n, kdim),
        linear(n, vdim),
        new nn.MultiheadAttention(n, 2, { kdim, vdim, causal, dropout, bias: below(3) > 0, ...common }),
        kind,
        number,
      )
    }
    const layer = (depth: number): w.nn.Module => {
      const kind = below(depth > 1 ? 9 : 12)
      switch (kind) {
        case 0:
        case 1:
          return recurrent(depth)
        case 2:
          return encoder()
        case 3:
          if (!wantsCausal && below(2)) return looking()
          if (!wantsCausal) traits.causal = false
          text.push('self-attention')
          return new nn.MultiheadAttention(n, 2, { causal: wantsCausal, rotary: (n / 2) % 2 === 0, dropout: drop(), ...common })
        case 4: {
          const [size, dilation] = [1 + below(3), 1 + below(2)]
          text.push(`convolution ${size}×${dilation}`)
          return new Channels(new nn.CausalConv1d(n, n, size, { dilation, groups: 1 + below(2), ...common }))
        }
        case 5:
          text.push('RMSNorm')
          return new nn.RMSNorm(n, { affine: below(2) === 0, eps: 1e-5, dtype })
        case 6:
          text.push('sinusoidal')
          return new nn.SinusoidalPositions(n)
        case 7:
          text.push('learned')
          return new nn.LearnedPositions(8, n, common)
        case 8:
          text.push('linear')
          return new nn.Sequential(linear(n, n), new (activations[below(activations.length)] as typeof nn.Tanh)())
        case 9:
          traits.draws = true
          text.push('dropout')
          return new nn.Dropout(0.2)
        case 10:
          text.push('residual')
          return new nn.Residual(new nn.Sequential(layer(depth + 1), layer(depth + 1)))
        default:
          text.push('parallel')
          return new nn.Sequential(new nn.Parallel(layer(depth + 1), layer(depth + 1)), linear(2 * n, n))
      }
    }
    const first = looksUp ? new nn.Embedding(count, n, common) : linear(3, n)
    const middle = Array.from({ length: 1 + below(3) }, () => layer(0))
    const ends = everyStep ? [] : [below(2) ? new nn.LastStep() : new nn.MeanOverTime()]
    text.push(everyStep ? 'every step' : (ends[0] as w.nn.Module).constructor.name)
    const model = new nn.Sequential(first, ...middle, ...ends, linear(n, 2))
    // Weights of float64 are those of float32.
    if (dtype === 'float64')
      model.loadStateDict(Object.fromEntries(Object.entries(make('float32').stateDict()).map(([name, p]) => [name, p.cast('float64')])))
    return model
  }

  make('float32')
  const shape = everyStep ? [m, T] : [m]
  const wide = (size: number) => Float64Array.from(hard.normal([size]).data)
  const [values, answers] = [looksUp ? hard.uniform([m, T], 0, count).floor().data : wide(m * T * 3), wide(m * (everyStep ? T : 1) * 2)]
  const labels = Int32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => (i * 7) % 2)
  return {
    make,
    m,
    T,
    x: (dtype) => w.tensor(values.slice(), { shape: looksUp ? [m, T] : [m, T, 3], dtype }),
    y: (dtype) => (labelled ? w.tensor(labels, { shape }) : w.tensor(answers.slice(), { shape: [...shape, 2], dtype })),
    lengths,
    loss: (labelled ? w.loss.crossEntropy : w.loss.mse) as Loss,
    optimizer: () =>
      (plainOptimizer
        ? w.optim.gradientDescent({ learningRate: 0.05, momentum: 0.5 })
        : w.optim.adam({ learningRate: 0.01, eps: 1e-3 })) as ReturnType<typeof w.optim.adam>,
    looksUp,
    everyStep,
    causal: traits.causal,
    draws: traits.draws,
    description: `${looksUp ? 'embedding' : 'features'} [${m}, ${T}] ${text.join(' ')}${padded ? ` lengths ${lengths}` : ''} ${labelled ? 'labels' : 'numbers'}`,
  }
}
