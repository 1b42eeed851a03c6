/** What tells a step's position to layers that see steps in no order: waves or learned rows that are added, and rotations of queries and keys. */

import { WengertError } from '../errors.js'
import { add, cos, mul, sin, sub } from '../primitives/elementwise.js'
import { gather } from '../primitives/indexing.js'
import { cast, reshape } from '../primitives/movement.js'
import { concat, slice, split } from '../primitives/parts.js'
import { nextSeed, Random } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, type FloatDtype, isFloat } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import { Module } from './module.js'
import { Parameter } from './parameter.js'
import type { StepMemory } from './step-memory.js'

/** The number of steps of x […, T, features]. Errors: ERR_SHAPE. */
function stepsOf(where: string, x: Tensor, features: number, most = Infinity): number {
  const T = x.shape[x.rank - 2] as number
  if (x.rank < 2 || x.shape[x.rank - 1] !== features)
    throw new WengertError('ERR_SHAPE', `${where}: expected x of shape [m, T, ${features}], got ${formatShape(x.shape)}`, {
      expected: ['m', 'T', features],
      actual: x.shape,
    })
  if (T > most) throw new WengertError('ERR_SHAPE', `${where}: expected at most ${most} steps, got ${T}`, { expected: most, actual: T })
  return T
}

/**
 * y = x + p: p[t, 2i] = sin(t/base^(2i/d)), p[t, 2i + 1] = cos(t/base^(2i/d)). Nothing is learned.
 *
 * @param features d, the length of the last axis
 * @param options.base 10000 by default
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE
 * @example new nn.Sequential(new nn.Embedding(256, 64), new nn.SinusoidalPositions(64))
 */
export class SinusoidalPositions extends Module {
  readonly features: number
  readonly base: number

  constructor(features: number, options: { base?: number | undefined } = {}) {
    super()
    checkOptions('SinusoidalPositions', options, ['base'])
    this.features = checkNumber('SinusoidalPositions', 'features', features, { integer: true, min: 1 })
    this.base = checkNumber('SinusoidalPositions', 'base', options.base ?? 10000, { min: 0, exclusive: true })
  }

  override config(): Record<string, unknown> {
    return { features: this.features, base: this.base }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof SinusoidalPositions = SinusoidalPositions): SinusoidalPositions {
    checkOptions('SinusoidalPositions', config, ['features', 'base'])
    return new Type(config.features as number, { base: config.base as number })
  }

  override forward(x: Tensor): Tensor {
    const T = stepsOf('SinusoidalPositions', x, this.features)
    return add(x, this.rows(T, isFloat(x.dtype) ? x.dtype : 'float32'))
  }

  override stepForward(x: Tensor, memory: StepMemory): Tensor {
    const rows = this.rows(memory.maxSteps, isFloat(x.dtype) ? x.dtype : 'float32')
    return add(x, gather(rows, memory.position()))
  }

  /** p of the first positions, [T, features]. */
  rows(T: number, dtype: FloatDtype): Tensor {
    const { features, base } = this
    const data = allocate(dtype, T * features)
    for (let t = 0; t < T; t++) {
      for (let j = 0; j < features; j++) {
        const angle = t / base ** ((j - (j % 2)) / features)
        data[t * features + j] = j % 2 === 0 ? Math.sin(angle) : Math.cos(angle)
      }
    }
    return new Tensor([T, features], dtype, data)
  }

  override describe(): string {
    return `SinusoidalPositions ${this.features}`
  }
}

/**
 * y = x + W[t]: a learned row for each position, normal with variance 1 at first like an embedding's.
 *
 * @param count how many positions there are: x has no more steps
 * @throws ERR_RANGE, ERR_OPTION; in `forward` ERR_SHAPE
 * @example new nn.LearnedPositions(128, 64)
 */
export class LearnedPositions extends Module {
  readonly count: number
  readonly features: number
  weight: Parameter

  constructor(count: number, features: number, options: { rng?: Random | undefined; dtype?: FloatDtype | undefined } = {}) {
    super()
    checkOptions('LearnedPositions', options, ['rng', 'dtype'])
    this.count = checkNumber('LearnedPositions', 'count', count, { integer: true, min: 1 })
    this.features = checkNumber('LearnedPositions', 'features', features, { integer: true, min: 1 })
    const dtype = checkChoice('LearnedPositions', 'dtype', options.dtype ?? 'float32', ['float32', 'float64'] as const)
    const { rng = new Random(nextSeed()) } = options
    if (!(rng instanceof Random))
      throw new WengertError('ERR_OPTION', `LearnedPositions: rng is a Random, not ${describe(rng)}`, { actual: rng })
    this.weight = new Parameter(rng.normal([count, features], { dtype }))
  }

  override config(): Record<string, unknown> {
    return { count: this.count, features: this.features, dtype: this.weight.dtype }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof LearnedPositions = LearnedPositions): LearnedPositions {
    checkOptions('LearnedPositions', config, ['count', 'features', 'dtype'])
    const { count, features, dtype } = config
    return new Type(count as number, features as number, { dtype: dtype as FloatDtype, rng: new Random(0) })
  }

  override forward(x: Tensor): Tensor {
    const T = stepsOf('LearnedPositions', x, this.features, this.count)
    return add(x, slice(this.weight, [0, T]))
  }

  override stepForward(x: Tensor, memory: StepMemory): Tensor {
    return add(x, gather(this.weight, memory.position()))
  }

  override describe(): string {
    return `LearnedPositions ${this.count} × ${this.features}`
  }
}

/**
 * `rotary` of one step at a position that a program knows: x […, 1, d].
 *
 * @param most how many positions there are
 */
export function rotaryAt(x: Tensor, position: Tensor, most: number, base: number): Tensor {
  const half = (x.shape[x.rank - 1] as number) / 2
  const [c, s] = turns(0, most, half, base, isFloat(x.dtype) ? x.dtype : 'float32').map((rows) =>
    reshape(gather(rows, position), [1, half]),
  )
  return turned(x, c as Tensor, s as Tensor)
}

/** Of `rotary`. */
export interface RotaryOptions {
  /** 10000 by default. */
  base?: number | undefined
  /** The position of each step, [T] or a number for the first; 0, 1, 2, … by default. */
  positions?: Tensor | number | undefined
}

/**
 * Rotary positions: the pairs (x[i], x[i + d/2]) of step t are turned by the angle t/base^(2i/d), so that a product of two rows depends
 * on how far apart they are. Halves are paired as in GPT-NeoX and Llama.
 *
 * @param x […, T, d], d even
 * @throws ERR_SHAPE for an odd number of features; ERR_RANGE, ERR_OPTION
 * @example scaledDotProductAttention(nn.rotary(q), nn.rotary(k), v)
 */
export function rotary(x: Tensor, options: RotaryOptions = {}): Tensor {
  checkOptions('rotary', options, ['base', 'positions'])
  const base = checkNumber('rotary', 'base', options.base ?? 10000, { min: 0, exclusive: true })
  const [T, d] = x.shape.slice(-2) as [number, number]
  if (x.rank < 2 || d % 2 !== 0)
    throw new WengertError('ERR_SHAPE', `rotary: expected x of shape […, T, d] with an even d, got ${formatShape(x.shape)}`, {
      actual: x.shape,
    })
  const dtype = isFloat(x.dtype) ? x.dtype : 'float32'
  const [c, s] = turns(options.positions ?? 0, T, d / 2, base, dtype)
  return turned(x, c, s)
}

/** The pairs of halves turned by angles of which these are the cosines and sines. */
function turned(x: Tensor, c: Tensor, s: Tensor): Tensor {
  const [a, b] = split(x, 2, -1) as [Tensor, Tensor]
  return concat([sub(mul(a, c), mul(b, s)), add(mul(b, c), mul(a, s))], -1)
}

/** cos and sin of the angles, [T, half]. */
function turns(positions: Tensor | number, T: number, half: number, base: number, dtype: FloatDtype): [Tensor, Tensor] {
  const rates = Float64Array.from({ length: half }, (_, i) => base ** (-i / half))
  if (typeof positions === 'number') {
    const at = (f: (angle: number) => number) => {
      const data = allocate(dtype, T * half)
      for (let k = 0; k < T * half; k++) data[k] = f((positions + Math.floor(k / half)) * (rates[k % half] as number))
      return new Tensor([T, half], dtype, data)
    }
    return [at(Math.cos), at(Math.sin)]
  }
  if (positions.size !== T)
    throw new WengertError('ERR_SHAPE', `rotary: expected ${T} positions, got ${formatShape(positions.shape)}`, { expected: T })
  const row = allocate(dtype, half)
  row.set(rates)
  const angles = mul(cast(reshape(positions, [T, 1]), dtype), new Tensor([1, half], dtype, row))
  return [cos(angles), sin(angles)]
}
