/** Modules made at random out of every layer, with casts, `checkpoint` and `customGradient` inside; drawn from a number. */

import * as w from '../../lib/index.js'
import type { Loss } from '../../lib/nn/loss-contract.js'
import type { Tensor } from '../../lib/tensor/tensor.js'
import type { FloatDtype } from '../../lib/util/dtype.js'
import { Stream } from '../../lib/util/random.js'

const { nn } = w

/** A layer computed again in the backward pass. */
export class Checkpointed extends nn.Module {
  constructor(readonly inner: w.nn.Module) {
    super()
  }
  override forward(x: Tensor): Tensor {
    return w.checkpoint((t: Tensor) => this.inner.forward(t))(x)
  }
}

/** A layer whose gradient is halved on its way to what comes before. */
class Halved extends nn.Module {
  constructor(readonly inner: w.nn.Module) {
    super()
  }
  override forward(x: Tensor): Tensor {
    return this.inner.forward(w.customGradient((t: Tensor) => [t.mul(1), (g: Tensor) => g.mul(0.5)])(x))
  }
}

/** A layer in the other floating type, and a step that rounds. */
class Elsewhere extends nn.Module {
  constructor(
    readonly features: number,
    readonly dtype2: FloatDtype,
    readonly own: w.nn.Parameter,
  ) {
    super()
  }
  override forward(x: Tensor): Tensor {
    const other = x.cast(this.dtype2 === 'float32' ? 'float64' : 'float32')
    const steps = x.mul(3.1).add(0.217).cast('int32').cast(this.dtype2).mul(0.1)
    return other.matmul(other.transpose()).mul(0.05).tanh().matmul(other).cast(this.dtype2).mul(this.own).add(steps)
  }
}

/** Reads values: such a module trains eagerly. */
export class Reading extends nn.Module {
  constructor(readonly inner: w.nn.Module) {
    super()
  }
  override forward(x: Tensor): Tensor {
    const y = this.inner.forward(x)
    if (Number.isNaN(y.data[0])) throw new Error('expected a number, got NaN')
    return y
  }
}

const activations = [
  nn.ReLU,
  nn.Tanh,
  nn.Sigmoid,
  nn.ELU,
  nn.GELU,
  nn.SiLU,
  nn.Mish,
  nn.SELU,
  nn.LeakyReLU,
  nn.Softplus,
  nn.LogSigmoid,
  nn.Hardtanh,
]

export interface RandomTask {
  /** The same model at each call. */
  make(): w.nn.Module
  x: Tensor
  y: Tensor
  loss: Loss
  /** A fresh optimiser. */
  optimizer(): ReturnType<typeof w.optim.adam>
  clipNorm: number | undefined
  /** Whether x holds indices. */
  looksUp: boolean
  /** Whether it draws in training. */
  draws: boolean
  description: string
  /** Whether anything is computed in float32. */
  narrow: boolean
}

/** The task of a number. */
export function randomTask(number: number, dtype: FloatDtype): RandomTask {
  const text: string[] = []
  const looksUp = number % 7 === 3
  const make = (): w.nn.Module => {
    text.length = 0
    const stream = new Stream({ seed: number, purpose: 0, a: 9, b: 0 })
    const below = (n: number) => stream.bounded(n)
    const rng = new w.Random(number)
    const linear = (from: number, to: number) => new nn.Linear(from, to, { rng, dtype, bias: below(4) > 0 })
    const layer = (n: number, depth: number): w.nn.Module => {
      const kind = below(depth > 1 ? 7 : 11)
      text.push(
        [
          'linear',
          'activation',
          'activation',
          'batchNorm',
          'layerNorm',
          'dropout',
          'softmax',
          'residual',
          'parallel',
          'checkpoint',
          'custom',
        ][kind] as string,
      )
      switch (kind) {
        case 0:
          return linear(n, n)
        case 3:
          return new nn.BatchNorm1d(n, { dtype })
        case 4:
          return new nn.LayerNorm(n, { dtype })
        case 5:
          return new nn.Dropout(0.2)
        case 6:
          if (below(2)) return new nn.Softmax()
          text.push('(in the other type)')
          return new Elsewhere(n, dtype, new nn.Parameter(rng.normal([n], { dtype })))
        case 7:
          return new nn.Residual(new nn.Sequential(layer(n, depth + 1), layer(n, depth + 1)))
        case 8:
          return new nn.Sequential(new nn.Parallel(layer(n, depth + 1), layer(n, depth + 1)), linear(2 * n, n))
        case 9:
          return new Checkpointed(new nn.Sequential(layer(n, depth + 1), linear(n, n), layer(n, depth + 1)))
        case 10:
          return new Halved(layer(n, depth + 1))
        default:
          return new (activations[below(activations.length)] as typeof nn.ReLU)()
      }
    }
    const n = 2 + below(4)
    const head = looksUp ? [new nn.Embedding(5, n, { rng, dtype }), new nn.Flatten(), linear(3 * n, n)] : [linear(3, n)]
    const layers = [...head, ...Array.from({ length: 1 + below(4) }, () => layer(n, 0)), linear(n, 2)]
    return new nn.Sequential(...layers)
  }
  const stream = new Stream({ seed: number, purpose: 0, a: 10, b: 0 })
  const rng = new w.Random(number + 1)
  const m = 3 + stream.bounded(5)
  const kind = stream.bounded(4)
  const label = Int32Array.from({ length: m }, (_, i) => i % 2)
  const losses = [w.loss.mse, w.loss.huber, w.loss.crossEntropy, w.loss.bceWithLogits] as readonly Loss[]
  const optimizers = [
    () => w.optim.gradientDescent({ learningRate: 0.05, momentum: 0.5 }),
    () => w.optim.adam({ learningRate: 0.01 }),
    () => w.optim.rmsProp({ learningRate: 0.01 }),
    () => w.optim.gradientDescent({ learningRate: 0.05 }),
  ] as (() => ReturnType<typeof w.optim.adam>)[]
  const optimizer = optimizers[stream.bounded(optimizers.length)] as RandomTask['optimizer']
  const clipNorm = stream.bounded(3) === 0 ? 0.5 : undefined
  const model = make()
  return {
    make,
    x: looksUp ? w.floor(rng.uniform([m, 3], 0, 5, { dtype })) : rng.normal([m, 3], { dtype }),
    y: kind === 2 ? w.tensor(label) : kind === 3 ? rng.uniform([m, 2], 0, 1, { dtype }) : rng.normal([m, 2], { dtype }),
    loss: losses[kind] as Loss,
    optimizer,
    clipNorm,
    looksUp,
    draws: model.modules().some((layer) => layer instanceof nn.Dropout),
    description: text.join(' '),
    narrow: dtype === 'float32' || model.modules().some((layer) => layer instanceof Elsewhere),
  }
}
