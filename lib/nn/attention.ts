/** Attention of several heads as a layer, with PyTorch's parameters. The function itself stands in `attend.ts`. */

import { WengertError } from '../errors.js'
import { lessEqual, logicalAnd, where } from '../primitives/elementwise.js'
import { linear } from '../primitives/linalg.js'
import { expandDims, reshape, transpose } from '../primitives/movement.js'
import { slice, split } from '../primitives/parts.js'
import { arange, zeros } from '../tensor/creation.js'
import { nextSeed, Random } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import type { FloatDtype } from '../util/dtype.js'
import { checkChoice, checkFlag, checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import { type AttentionOptions, attendHeads, scaledDotProductAttention } from './attend.js'
import { batchesOnly } from './batches.js'
import { Dropout } from './dropout.js'
import { Linear } from './layers.js'
import { checkLengths, type Lengths, within } from './lengths.js'
import { Module } from './module.js'
import { Parameter } from './parameter.js'
import { rotary, rotaryAt } from './positions.js'
import type { StepMemory } from './step-memory.js'

/** Of `MultiheadAttention`. */
export interface MultiheadAttentionOptions {
  /** In training: the probability with which weights are zeroed; 0 by default. */
  dropout?: number | undefined
  /** Whether there are biases; true by default. */
  bias?: boolean | undefined
  /** Features of keys and of values; embedDim by default. With others the maps are `q_proj_weight`, `k_proj_weight` and `v_proj_weight`. */
  kdim?: number | undefined
  vdim?: number | undefined
  /** Whether a query never looks at later keys; false by default. */
  causal?: boolean | undefined
  /** Whether queries and keys are turned by their positions (`nn.rotary`); false by default. A number is its base. */
  rotary?: boolean | number | undefined
  /** Where the draws come from; the default generator otherwise. */
  rng?: Random | undefined
  dtype?: FloatDtype | undefined
}

/** Which keys a query may look at. */
export interface AttentionInputs {
  /**
   * bool: true where a query (row) may look at a key (column), the opposite of PyTorch's `attn_mask`; or floating numbers that are
   * added to the scores, −∞ where it may not. [T, S], [m, T, S] or [m, heads, T, S]. A query that may look nowhere gets zeros.
   */
  mask?: Tensor | undefined
  /** Whether a query never looks at later keys; what the layer was told by default. */
  causal?: boolean | undefined
  /** How many keys of each sequence count: 1 … S; all by default. */
  lengths?: Lengths | undefined
}

/** Of attention layers: floating types and generators. Errors: ERR_OPTION. */
export function checkMaking(where: string, options: { rng?: Random | undefined; dtype?: FloatDtype | undefined }) {
  const dtype = checkChoice(where, 'dtype', options.dtype ?? 'float32', ['float32', 'float64'] as const)
  const { rng = new Random(nextSeed()) } = options
  if (!(rng instanceof Random)) throw new WengertError('ERR_OPTION', `${where}: rng is a Random, not ${describe(rng)}`, { actual: rng })
  return { rng, dtype }
}

/**
 * Attention of `numHeads` heads, each over embedDim/numHeads features of learned maps of queries, keys and values; a last map joins them.
 *
 * @param embedDim features of queries and results, and of keys and values but for `kdim` and `vdim`
 * @param numHeads divides embedDim
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE, ERR_DTYPE, ERR_RANGE
 * @example
 * const attention = new nn.MultiheadAttention(64, 4)
 * attention.forward(x, { lengths })               // self-attention, x [m, T, 64]
 * attention.forward(q, memory, memory, { lengths })
 */
export class MultiheadAttention extends Module {
  readonly embedDim: number
  readonly numHeads: number
  readonly dropout: Dropout | undefined
  readonly causal: boolean
  readonly rotary: boolean | number
  readonly kdim: number
  readonly vdim: number
  /** Of queries, keys and values one below the other; apart where keys or values have features of their own number. */
  in_proj_weight: Parameter | undefined
  q_proj_weight: Parameter | undefined
  k_proj_weight: Parameter | undefined
  v_proj_weight: Parameter | undefined
  in_proj_bias: Parameter | undefined
  readonly out_proj: Linear

  constructor(embedDim: number, numHeads: number, options: MultiheadAttentionOptions = {}) {
    super()
    const op = 'MultiheadAttention'
    checkOptions(op, options, ['dropout', 'bias', 'kdim', 'vdim', 'causal', 'rotary', 'rng', 'dtype'])
    this.embedDim = checkNumber(op, 'embedDim', embedDim, { integer: true, min: 1 })
    this.numHeads = checkNumber(op, 'numHeads', numHeads, { integer: true, min: 1 })
    if (embedDim % numHeads !== 0)
      throw new WengertError('ERR_RANGE', `${op}: ${numHeads} heads do not divide embedDim (${embedDim})`, { actual: numHeads })
    const p = checkNumber(op, 'dropout', options.dropout ?? 0, { min: 0, max: 1 })
    this.causal = checkFlag(op, 'causal', options.causal ?? false)
    const turned = options.rotary ?? false
    this.rotary =
      typeof turned === 'number' ? checkNumber(op, 'rotary', turned, { min: 0, exclusive: true }) : checkFlag(op, 'rotary', turned)
    if (turned !== false && (embedDim / numHeads) % 2 !== 0)
      throw new WengertError(
        'ERR_RANGE',
        `${op}: rotary positions turn pairs of features; a head has ${embedDim / numHeads}, an odd number`,
        {
          actual: embedDim / numHeads,
        },
      )
    const bias = checkFlag(op, 'bias', options.bias ?? true)
    const { rng, dtype } = checkMaking(op, options)
    this.kdim = checkNumber(op, 'kdim', options.kdim ?? embedDim, { integer: true, min: 1 })
    this.vdim = checkNumber(op, 'vdim', options.vdim ?? embedDim, { integer: true, min: 1 })
    // Glorot's bounds.
    const weight = (rows: number, columns: number) => {
      const bound = Math.sqrt(6 / (rows + columns))
      return new Parameter(rng.uniform([rows, columns], -bound, bound, { dtype }))
    }
    const apart = this.kdim !== embedDim || this.vdim !== embedDim
    this.q_proj_weight = apart ? weight(embedDim, embedDim) : undefined
    this.k_proj_weight = apart ? weight(embedDim, this.kdim) : undefined
    this.v_proj_weight = apart ? weight(embedDim, this.vdim) : undefined
    this.in_proj_weight = apart ? undefined : weight(3 * embedDim, embedDim)
    this.in_proj_bias = bias ? new Parameter(zeros([3 * embedDim], { dtype })) : undefined
    this.out_proj = new Linear(embedDim, embedDim, { bias, rng, dtype })
    this.out_proj.bias?.assign(zeros([embedDim], { dtype }))
    this.dropout = p > 0 ? new Dropout(p) : undefined
  }

  override get takesLengths(): boolean {
    return true
  }

  /**
   * @param q [m, T, embedDim], or one sequence [T, embedDim]
   * @param k [m, S, kdim]; q by default, and `inputs` then may stand in its place
   * @param v [m, S, vdim]; k by default
   * @returns like q
   */
  override forward(q: Tensor, inputs?: AttentionInputs): Tensor
  override forward(q: Tensor, k?: Tensor, v?: Tensor, inputs?: AttentionInputs): Tensor
  override forward(q: Tensor, second: Tensor | AttentionInputs = q, third?: Tensor, fourth?: AttentionInputs): Tensor {
    const op = 'MultiheadAttention.forward'
    const alone = !(second instanceof Tensor) && third === undefined && fourth === undefined
    const inputs = (alone ? second : fourth) ?? {}
    const k = alone ? q : (second as Tensor)
    const v = third ?? k
    for (const x of [k, v])
      if (!(x instanceof Tensor))
        throw new WengertError('ERR_VALUE', `${op}: expected forward(q, k, v, options) with tensors, got ${describe(x)} for one of them`, {
          actual: x,
        })
    checkOptions(op, inputs, ['mask', 'causal', 'lengths'])
    const single = q.rank === 2 && !batchesOnly()
    const queries = this.#checked(q, single, 'q', this.embedDim)
    // What is the same tensor is one still: it is mapped at once.
    const keys = k === q && this.kdim === this.embedDim ? queries : this.#checked(k, single, 'k', this.kdim)
    const values = v === k && this.vdim === this.kdim ? keys : this.#checked(v, single, 'v', this.vdim)
    const [m, T] = queries.shape as [number, number]
    const S = keys.shape[1] as number
    if (keys.shape[0] !== m || values.shape[0] !== m || values.shape[1] !== S)
      throw new WengertError(
        'ERR_SHAPE',
        `${op}: expected keys and values of as many sequences as q, and as many steps as each other, got ${[q, k, v].map((x) => formatShape(x.shape)).join(', ')}`,
        { actual: [q.shape, k.shape, v.shape] },
      )
    const projected = this.#projected(queries, keys, values)
    const asked = { mask: this.#maskOf(inputs, m, S), causal: inputs.causal ?? this.causal }
    const dropout = this.dropout?.training ? this.dropout.p : 0
    const y = this.out_proj.forward(
      this.rotary === false && dropout === 0
        ? attendHeads(op, projected, { heads: this.numHeads, ...asked })
        : this.#apart(projected, { ...asked, dropout }),
    )
    return single ? reshape(y, [T, this.embedDim]) : y
  }

  /** One step of causal self-attention: x [m, embedDim]. Keys and values are kept. */
  override stepForward(x: Tensor, memory: StepMemory): Tensor {
    const { embedDim, numHeads, rotary: base } = this
    if (!this.causal)
      throw new WengertError('ERR_STATE', 'stepper: attention that is not causal looks at later steps; make the layer with causal: true')
    const [m, d] = [memory.streams, embedDim / numHeads]
    const [q, k, v] = this.#parts(this.#projected(x, x, x))
    const turn = (t: Tensor): Tensor => {
      if (base === false) return t
      const heads = reshape(t, [m, numHeads, 1, d])
      return rotaryAt(heads, memory.position(), memory.maxSteps, typeof base === 'number' ? base : 10000)
    }
    const kept = (t: Tensor): Tensor => reshape(memory.append(reshape(t, [m, numHeads, d])), [m, memory.maxSteps, embedDim])
    const seen = lessEqual(arange(memory.maxSteps), memory.position())
    const operands = [reshape(turn(q), [m, 1, embedDim]), kept(turn(k)), kept(v)]
    const attended = attendHeads('stepper', operands, { heads: numHeads, causal: false, mask: seen })
    return this.out_proj.forward(reshape(attended, [m, embedDim]))
  }

  #checked(x: Tensor, single: boolean, name: string, width: number): Tensor {
    if (x.rank !== (single ? 2 : 3) || x.shape[x.rank - 1] !== width || x.shape[x.rank - 2] === 0)
      throw new WengertError('ERR_SHAPE', `MultiheadAttention: expected ${name} of shape [m, T, ${width}], got ${formatShape(x.shape)}`, {
        expected: ['m', 'T', width],
        actual: x.shape,
      })
    return single ? expandDims(x, 0) : x
  }

  /** Queries, keys and values; those of one tensor come of one product, and stay side by side. */
  #projected(q: Tensor, k: Tensor, v: Tensor): Tensor[] {
    const { embedDim: E, in_proj_weight: weight, in_proj_bias: bias } = this
    if (!weight) {
      const own = (x: Tensor, of: Parameter | undefined, i: number) => linear(x, of as Parameter, bias && slice(bias, [i * E, (i + 1) * E]))
      return [own(q, this.q_proj_weight, 0), own(k, this.k_proj_weight, 1), own(v, this.v_proj_weight, 2)]
    }
    if (q === k && k === v) return [linear(q, weight, bias)]
    const mapped = (x: Tensor, from: number, to: number) =>
      linear(x, slice(weight, [from * E, to * E]), bias && slice(bias, [from * E, to * E]))
    if (k === v) return [mapped(q, 0, 1), mapped(k, 1, 3)]
    return [mapped(q, 0, 1), mapped(k, 1, 2), mapped(v, 2, 3)]
  }

  /** What was projected, each by itself. */
  #parts(projected: readonly Tensor[]): [Tensor, Tensor, Tensor] {
    return projected.flatMap((x) => split(x, (x.shape.at(-1) as number) / this.embedDim, -1)) as [Tensor, Tensor, Tensor]
  }

  /** Attention with each head by itself, [m, heads, T, E/heads]: turned by positions, or with weights dropped out. */
  #apart(projected: readonly Tensor[], asked: AttentionOptions): Tensor {
    const [q, k, v] = this.#parts(projected).map((x) => this.#heads(x)) as [Tensor, Tensor, Tensor]
    const turn = (x: Tensor): Tensor =>
      this.rotary === false ? x : rotary(x, typeof this.rotary === 'number' ? { base: this.rotary } : {})
    const attended = scaledDotProductAttention(turn(q), turn(k), v, asked)
    return reshape(transpose(attended, [0, 2, 1, 3]), [q.shape[0] as number, q.shape[2] as number, this.embedDim])
  }

  /** [m, T, E] → [m, heads, T, E/heads]. */
  #heads(x: Tensor): Tensor {
    const [m, T] = x.shape as [number, number]
    return transpose(reshape(x, [m, T, this.numHeads, this.embedDim / this.numHeads]), [0, 2, 1, 3])
  }

  /** What is hidden by a mask or by lengths, for [m, heads, T, S]. */
  #maskOf({ mask, lengths }: AttentionInputs, m: number, S: number): Tensor | undefined {
    const own = mask instanceof Tensor && mask.rank === 3 ? expandDims(mask, 1) : mask
    if (lengths === undefined) return own
    const counted = reshape(within(checkLengths('MultiheadAttention.forward', lengths, m, S), S), [m, 1, 1, S])
    if (!(own instanceof Tensor)) return own === undefined ? counted : own
    return own.dtype === 'bool' ? logicalAnd(own, counted) : where(counted, own, -Infinity)
  }

  override config(): Record<string, unknown> {
    const { embedDim, numHeads, dropout, causal, in_proj_bias, out_proj, kdim, vdim } = this
    return {
      embedDim,
      numHeads,
      dropout: dropout?.p ?? 0,
      causal,
      rotary: this.rotary,
      bias: in_proj_bias !== undefined,
      ...(kdim !== embedDim && { kdim }),
      ...(vdim !== embedDim && { vdim }),
      dtype: out_proj.weight.dtype,
    }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof MultiheadAttention = MultiheadAttention): MultiheadAttention {
    const { embedDim, numHeads, ...options } = config
    return new Type(embedDim as number, numHeads as number, { ...options, rng: new Random(0) })
  }

  override describe(): string {
    const { embedDim, numHeads, causal } = this
    return `MultiheadAttention ${embedDim}, ${numHeads} heads${causal ? ', causal' : ''}${this.rotary ? ', rotary' : ''}`
  }
}
