/** The first layer of a network over a table: numbers pass, codes of categories become a feature each, or learned vectors. */

import { WengertError } from '../errors.js'
import { add, mul } from '../primitives/elementwise.js'
import { oneHot, toIndex } from '../primitives/indexing.js'
import { squeeze } from '../primitives/movement.js'
import { concat, slice } from '../primitives/parts.js'
import { nextSeed, Random } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, type FloatDtype } from '../util/dtype.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import { isPlainObject } from '../util/tree.js'
import { Embedding } from './embedding.js'
import type { Initializer } from './init.js'
import { Module } from './module.js'

/** Small, so that no category outweighs the other features at first; the row of rare and unknown ones is 0. */
const smallRows: Initializer = (shape, rng, dtype) => {
  const rows = rng.normal(shape, { dtype })
  for (let i = 0; i < rows.size; i++) rows.data[i] = i < shape[1] ? 0 : (rows.data[i] as number) * 0.1
  return new Tensor(rows.shape, rows.dtype, rows.data)
}

/** A column of codes that become a feature each: 1 at the code's place, 0 elsewhere. */
export interface Places {
  /** How many features there are; codes are 0 … count − 1. */
  readonly count: number
  /** The features of the code `count`, which stands for a category that training did not have; without them there is no such code. */
  readonly average?: readonly number[]
}

/** What a column of codes becomes. */
type Code = ({ readonly as: 'oneHot' } & Places) | { readonly as: 'embedding'; readonly count: number; readonly width: number }

/** What lies around the embeddings in x. */
interface TableInputOptions {
  places?: readonly Places[]
  /** Columns behind the codes that pass as they are. */
  tail?: number
}

/** The places as checked copies. Errors: ERR_VALUE. */
function checkedPlaces(places: unknown): readonly Places[] {
  const sound = ({ count, average }: Partial<Places>): boolean =>
    Number.isInteger(count) &&
    (count as number) >= 1 &&
    (count as number) < 1 << 20 &&
    (average === undefined || (Array.isArray(average) && average.length === count && average.every(Number.isFinite)))
  if (!Array.isArray(places) || !places.every((one) => isPlainObject(one) && sound(one)))
    throw new WengertError('ERR_VALUE', `TableInput: expected places as a list of { count, average }, got ${describe(places)}`, {
      actual: places,
    })
  return places.map(({ count, average }: Places) => ({ count, ...(average && { average: [...average] }) }))
}

/**
 * x [m, dense + codes] → [m, width]: the first `dense` columns as they are, then a feature for each place of a category, then a
 * learned vector for each code. Made by `fitTable(…).input()`.
 *
 * @throws ERR_RANGE, ERR_VALUE; in `forward` ERR_SHAPE, ERR_INDEX for a code that the table does not have
 */
export class TableInput extends Module {
  readonly dense: number
  readonly embeddings: readonly Embedding[]
  readonly places: readonly Places[]
  readonly tail: number
  /** The number of features that the next layer sees. */
  readonly width: number

  constructor(dense: number, embeddings: readonly Embedding[] = [], options: TableInputOptions = {}) {
    super()
    checkOptions('TableInput', options, ['places', 'tail'])
    if (!Array.isArray(embeddings) || !embeddings.every((embedding) => embedding instanceof Embedding))
      throw new WengertError('ERR_VALUE', `TableInput: expected a list of embeddings, got ${describe(embeddings)}`, { actual: embeddings })
    this.places = checkedPlaces(options.places ?? [])
    this.dense = checkNumber('TableInput', 'dense', dense, { integer: true, min: embeddings.length + this.places.length > 0 ? 0 : 1 })
    this.tail = checkNumber('TableInput', 'tail', options.tail ?? 0, { integer: true, min: 0 })
    this.embeddings = embeddings
    this.width =
      dense +
      this.places.reduce((sum, { count }) => sum + count, 0) +
      embeddings.reduce((sum, { features }) => sum + features, 0) +
      this.tail
  }

  /** With embeddings of the given sizes, drawn by `rng`. */
  static of(
    dense: number,
    codes: readonly Code[],
    { rng = new Random(nextSeed()), tail = 0 }: { rng?: Random; tail?: number } = {},
  ): TableInput {
    const places = codes.flatMap((code) =>
      code.as === 'oneHot' ? [{ count: code.count, ...(code.average && { average: code.average }) }] : [],
    )
    const embeddings = codes.flatMap((code) =>
      code.as === 'embedding' ? [new Embedding(code.count, code.width, { init: smallRows, rng })] : [],
    )
    return new TableInput(dense, embeddings, { places, tail })
  }

  override config(): Record<string, unknown> {
    return {
      dense: this.dense,
      embeddings: this.embeddings,
      ...(this.places.length > 0 && { places: this.places }),
      ...(this.tail > 0 && { tail: this.tail }),
    }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof TableInput = TableInput): TableInput {
    checkOptions('TableInput', config, ['dense', 'embeddings', 'places', 'tail'])
    const { dense, embeddings, ...options } = config
    return new Type(dense as number, embeddings as readonly Embedding[], options as TableInputOptions)
  }

  override forward(x: Tensor): Tensor {
    const { dense, embeddings, places, tail } = this
    const codes = places.length + embeddings.length
    const columns = dense + codes + tail
    if (x.rank === 0 || x.shape[x.rank - 1] !== columns) {
      throw new WengertError('ERR_SHAPE', `TableInput: expected x of shape [*, ${columns}], got ${formatShape(x.shape)}`, {
        expected: columns,
        actual: x.shape,
      })
    }
    if (codes === 0) return x
    const part = (from: number, to: number) => lastAxis(x, from, to)
    const code = (i: number) => squeeze(part(dense + i, dense + i + 1), -1)
    return concat(
      [
        ...(dense > 0 ? [part(0, dense)] : []),
        ...places.map((one, i) => spread(code(i), one)),
        ...embeddings.map((embedding, i) => embedding.forward(code(places.length + i))),
        ...(tail > 0 ? [part(columns - tail, columns)] : []),
      ],
      -1,
    )
  }

  override describe(): string {
    return `TableInput ${this.dense + this.places.length + this.embeddings.length + this.tail} → ${this.width}`
  }
}

const lastAxis = (x: Tensor, from: number, to: number): Tensor => slice(x, ...x.shape.slice(0, -1).map(() => null), [from, to])

/** Codes […] as features […, count]. */
function spread(code: Tensor, { count, average }: Places): Tensor {
  const dtype = code.dtype as FloatDtype
  if (!average) return oneHot(toIndex(code, count), count, { dtype })
  const found = oneHot(toIndex(code, count + 1), count + 1, { dtype })
  const data = allocate(dtype, count)
  data.set(average)
  return add(lastAxis(found, 0, count), mul(lastAxis(found, count, count + 1), new Tensor([count], dtype, data)))
}
