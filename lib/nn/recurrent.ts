/** Recurrent layers, with PyTorch's gates in its order. What they share stands in `recurrence.ts`. */

import { WengertError } from '../errors.js'
import { add, mul, relu, sigmoid, sub, tanh } from '../primitives/elementwise.js'
import { linear } from '../primitives/linalg.js'
import { split } from '../primitives/parts.js'
import { Random } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkChoice, describe } from '../util/options.js'
import { type CellWeights, Recurrent, type RecurrentOptions } from './recurrence.js'

/** Of `RNN`. */
export interface RNNOptions extends RecurrentOptions {
  /** 'tanh' by default. */
  nonlinearity?: 'tanh' | 'relu' | undefined
}

/** From what `config` gave; the weights draw nothing from the default generator. */
function rebuilt<T>(config: Record<string, unknown>, Type: new (i: number, h: number, options: object) => T): T {
  const { inputSize, hiddenSize, ...options } = config
  return new Type(inputSize as number, hiddenSize as number, { ...options, rng: new Random(0) })
}

/** A state that is one tensor. */
abstract class OfOnePart extends Recurrent<Tensor> {
  protected override partsOf(state: Tensor): readonly unknown[] {
    return [state]
  }

  protected override stateOf([h]: readonly Tensor[]): Tensor {
    return h as Tensor
  }
}

/**
 * hₜ = tanh(W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh), or max(…, 0): Elman's network.
 *
 * @param options.nonlinearity 'tanh' by default; 'relu'
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE, ERR_DTYPE, ERR_RANGE
 * @example
 * const { output, state } = new nn.RNN(4, 16).forward(x)   // x [m, T, 4]: [m, T, 16] and [1, m, 16]
 */
export class RNN extends OfOnePart {
  readonly nonlinearity: 'tanh' | 'relu'

  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    super('RNN', inputSize, hiddenSize, 1, options, ['nonlinearity'])
    this.nonlinearity = checkChoice('RNN', 'nonlinearity', options.nonlinearity ?? 'tanh', ['tanh', 'relu'] as const)
  }

  override cell(x: Tensor, [h]: readonly Tensor[], { input, hidden, inputBias, hiddenBias }: CellWeights): Tensor[] {
    const z = add(linear(x, input, inputBias), linear(h as Tensor, hidden, hiddenBias))
    return [this.nonlinearity === 'relu' ? relu(z) : tanh(z)]
  }

  override config(): Record<string, unknown> {
    return { ...super.config(), nonlinearity: this.nonlinearity }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof RNN = RNN): RNN {
    return rebuilt(config, Type)
  }
}

/**
 * Gated recurrent units: r = σ(W_ir x + b_ir + W_hr h + b_hr), z likewise, n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn)),
 * h′ = (1 − z) ⊙ n + z ⊙ h. The rows of the weights are those of r, z and n, in this order.
 *
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE, ERR_DTYPE, ERR_RANGE
 * @example new nn.Sequential(new nn.GRU(8, 32, { rng: new Random(1) }), new nn.LastStep(), new nn.Linear(32, 4))
 */
export class GRU extends OfOnePart {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super('GRU', inputSize, hiddenSize, 3, options)
  }

  override cell(x: Tensor, [h]: readonly Tensor[], { input, hidden, inputBias, hiddenBias }: CellWeights): Tensor[] {
    const [xr, xz, xn] = split(linear(x, input, inputBias), 3, -1) as [Tensor, Tensor, Tensor]
    const [hr, hz, hn] = split(linear(h as Tensor, hidden, hiddenBias), 3, -1) as [Tensor, Tensor, Tensor]
    const r = sigmoid(add(xr, hr))
    const z = sigmoid(add(xz, hz))
    const n = tanh(add(xn, mul(r, hn)))
    return [add(n, mul(z, sub(h as Tensor, n)))]
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof GRU = GRU): GRU {
    return rebuilt(config, Type)
  }
}

/**
 * Long short-term memory: (i, f, g, o) = (σ, σ, tanh, σ)(W_ih x + b_ih + W_hh h + b_hh), c′ = f ⊙ c + i ⊙ g, h′ = o ⊙ tanh c′. The rows
 * of the weights are those of i, f, g and o, in this order. Its state is [h, c].
 *
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE, ERR_DTYPE, ERR_RANGE
 * @example
 * const lstm = new nn.LSTM(16, 128, { numLayers: 2, bidirectional: true, dropout: 0.2 })
 * const { output, state: [h, c] } = lstm.forward(x, { lengths: [50, 31] })
 */
export class LSTM extends Recurrent<readonly [h: Tensor, c: Tensor]> {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super('LSTM', inputSize, hiddenSize, 4, options)
  }

  protected override get parts(): number {
    return 2
  }

  protected override partsOf(state: readonly [Tensor, Tensor]): readonly unknown[] {
    if (!Array.isArray(state) || state.length !== 2)
      throw new WengertError('ERR_VALUE', `LSTM: expected a state [h, c], got ${describe(state)}`, { actual: state })
    return state
  }

  protected override stateOf(parts: readonly Tensor[]): readonly [Tensor, Tensor] {
    return parts as unknown as readonly [Tensor, Tensor]
  }

  override cell(x: Tensor, [h, c]: readonly Tensor[], { input, hidden, inputBias, hiddenBias }: CellWeights): Tensor[] {
    const [i, f, g, o] = split(add(linear(x, input, inputBias), linear(h as Tensor, hidden, hiddenBias)), 4, -1) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ]
    const next = add(mul(sigmoid(f), c as Tensor), mul(sigmoid(i), tanh(g)))
    return [mul(sigmoid(o), tanh(next)), next]
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof LSTM = LSTM): LSTM {
    return rebuilt(config, Type)
  }
}
