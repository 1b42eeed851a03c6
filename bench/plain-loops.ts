/**
 * The yardstick for the JavaScript engine: the same training written by hand, for these networks alone, as loops over typed
 * arrays. No library, no tape, nothing general.
 */

import type { Workload } from './workloads.js'

/** Dimension letters: m rows of the batch, n outputs and k inputs of a layer. */
interface Layer {
  n: number
  k: number
  /** [n, k] */
  weight: Float32Array
  bias: Float32Array
  /** [m, n]: pre-activations, overwritten by activations. */
  a: Float32Array
  /** [m, n]: ∂cost/∂z. */
  dz: Float32Array
}

export class PlainNetwork {
  readonly layers: readonly Layer[]
  readonly #activation: Workload['activation']
  readonly #activeOutput: boolean
  readonly #crossEntropy: boolean
  readonly #batch: number
  /** [m, k] of the first layer. */
  readonly #x: Float32Array

  /** @param parameters weight [n, k] and bias [n] of each layer in turn; they are copied */
  constructor({ layers, activation, activeOutput, loss, batch }: Workload, parameters: readonly ArrayLike<number>[]) {
    this.layers = layers.slice(1).map((n, i) => ({
      n,
      k: layers[i] as number,
      weight: Float32Array.from(parameters[2 * i] as ArrayLike<number>),
      bias: Float32Array.from(parameters[2 * i + 1] as ArrayLike<number>),
      a: new Float32Array(batch * n),
      dz: new Float32Array(batch * n),
    }))
    this.#activation = activation
    this.#activeOutput = activeOutput === true
    this.#crossEntropy = loss === 'crossEntropy'
    this.#batch = batch
    this.#x = new Float32Array(batch * (layers[0] as number))
  }

  /** One pass over the samples in the given order; returns the mean of their losses. */
  epoch(x: Float32Array, y: ArrayLike<number>, order: Int32Array, rate: number): number {
    const { k } = this.layers[0] as Layer
    const { n } = this.layers[this.layers.length - 1] as Layer
    const perTarget = this.#crossEntropy ? 1 : n
    const targets = new Float32Array(this.#batch * perTarget)
    let total = 0
    for (let start = 0; start < order.length; start += this.#batch) {
      const m = Math.min(this.#batch, order.length - start)
      for (let r = 0; r < m; r++) {
        const from = order[start + r] as number
        for (let i = 0; i < k; i++) this.#x[r * k + i] = x[from * k + i] as number
        for (let i = 0; i < perTarget; i++) targets[r * perTarget + i] = y[from * perTarget + i] as number
      }
      this.#forward(m)
      total += this.#crossEntropy ? this.#softmaxCrossEntropy(targets, m) : this.#squaredError(targets, m)
      this.#backward(m, rate)
    }
    return total / order.length
  }

  #forward(m: number): void {
    let input = this.#x
    for (const [l, { n, k, weight, bias, a }] of this.layers.entries()) {
      const last = l === this.layers.length - 1
      for (let r = 0; r < m; r++) {
        const row = r * k
        for (let j = 0; j < n; j++) {
          const from = j * k
          let z = bias[j] as number
          for (let i = 0; i < k; i++) z += (weight[from + i] as number) * (input[row + i] as number)
          a[r * n + j] = z
        }
      }
      if (!last || this.#activeOutput) this.#activate(a, m * n)
      input = a
    }
  }

  /** The output for one sample, until the next call. */
  predict(x: Float32Array): Float32Array {
    this.#x.set(x)
    this.#forward(1)
    return (this.layers[this.layers.length - 1] as Layer).a
  }

  #activate(a: Float32Array, size: number): void {
    if (this.#activation === 'sigmoid') for (let i = 0; i < size; i++) a[i] = 1 / (1 + Math.exp(-(a[i] as number)))
    else if (this.#activation === 'tanh') for (let i = 0; i < size; i++) a[i] = Math.tanh(a[i] as number)
    else for (let i = 0; i < size; i++) a[i] = (a[i] as number) > 0 ? (a[i] as number) : 0
  }

  /** d ⊙ σ′, σ′ from the saved activation. */
  #deactivate(d: Float32Array, a: Float32Array, size: number): void {
    if (this.#activation === 'sigmoid') for (let i = 0; i < size; i++) d[i] = (d[i] as number) * (a[i] as number) * (1 - (a[i] as number))
    else if (this.#activation === 'tanh') for (let i = 0; i < size; i++) d[i] = (d[i] as number) * (1 - (a[i] as number) * (a[i] as number))
    else for (let i = 0; i < size; i++) if (a[i] === 0) d[i] = 0
  }

  /** The sum of the losses; leaves softmax(z) − oneHot(label), over m, as the last layer's dz. */
  #softmaxCrossEntropy(labels: Float32Array, m: number): number {
    const { n, a: z, dz } = this.layers[this.layers.length - 1] as Layer
    let total = 0
    for (let r = 0; r < m; r++) {
      const row = r * n
      let largest = -Infinity
      for (let j = 0; j < n; j++) largest = Math.max(largest, z[row + j] as number)
      let sum = 0
      for (let j = 0; j < n; j++) {
        const e = Math.exp((z[row + j] as number) - largest)
        dz[row + j] = e
        sum += e
      }
      const label = row + (labels[r] as number)
      total += Math.log(sum) + largest - (z[label] as number)
      for (let j = 0; j < n; j++) dz[row + j] = (dz[row + j] as number) / (sum * m)
      dz[label] = (dz[label] as number) - 1 / m
    }
    return total
  }

  /** The sum of ½ (ŷ − y)²; leaves its gradient, over m, as the last layer's dz. */
  #squaredError(targets: Float32Array, m: number): number {
    const { n, a, dz } = this.layers[this.layers.length - 1] as Layer
    let total = 0
    for (let i = 0; i < m * n; i++) {
      const error = (a[i] as number) - (targets[i] as number)
      total += 0.5 * error * error
      dz[i] = error / m
    }
    if (this.#activeOutput) this.#deactivate(dz, a, m * n)
    return total
  }

  /** From the last layer's dz: each layer hands its dz down by its old weights, then moves them. */
  #backward(m: number, rate: number): void {
    for (let l = this.layers.length - 1; l >= 0; l--) {
      const { n, k, weight, bias, dz } = this.layers[l] as Layer
      const below = l > 0 ? (this.layers[l - 1] as Layer) : undefined
      if (below) this.#handDown(below, weight, dz, n, m)
      const input = below ? below.a : this.#x
      for (let r = 0; r < m; r++) {
        const row = r * k
        for (let j = 0; j < n; j++) {
          const step = rate * (dz[r * n + j] as number)
          if (step === 0) continue
          const to = j * k
          bias[j] = (bias[j] as number) - step
          for (let i = 0; i < k; i++) weight[to + i] = (weight[to + i] as number) - step * (input[row + i] as number)
        }
      }
    }
  }

  /** dz of the layer below: (dz · weight) ⊙ σ′, σ′ from the saved activation. */
  #handDown(below: Layer, weight: Float32Array, dz: Float32Array, n: number, m: number): void {
    const { n: k, a, dz: out } = below
    out.fill(0, 0, m * k)
    for (let r = 0; r < m; r++) {
      const row = r * k
      for (let j = 0; j < n; j++) {
        const g = dz[r * n + j] as number
        const from = j * k
        for (let i = 0; i < k; i++) out[row + i] = (out[row + i] as number) + g * (weight[from + i] as number)
      }
    }
    this.#deactivate(out, a, m * k)
  }
}

/** Fisher–Yates in place. */
export function shuffle(order: Int32Array, next: () => number): void {
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1))
    const kept = order[i] as number
    order[i] = order[j] as number
    order[j] = kept
  }
}
