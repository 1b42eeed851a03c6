/** The first layer of a network over a table: features pass, codes of categories become learned vectors. */

import { WengertError } from '../errors.js'
import { squeeze } from '../primitives/movement.js'
import { concat, slice } from '../primitives/parts.js'
import { nextSeed, Random } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { formatShape } from '../util/shape.js'
import { Embedding } from './embedding.js'
import type { Initializer } from './init.js'
import { Module } from './module.js'

/** Small, so that no category outweighs the other features at first; the row of rare and unknown ones is 0. */
const smallRows: Initializer = (shape, rng, dtype) => {
  const rows = rng.normal(shape, { dtype })
  for (let i = 0; i < rows.size; i++) rows.data[i] = i < shape[1] ? 0 : (rows.data[i] as number) * 0.1
  return new Tensor(rows.shape, rows.dtype, rows.data)
}

/**
 * x [m, dense + codes] → [m, width]: the first `dense` columns as they are, then a learned vector for each code. Made by
 * `fitTable(…).input()`.
 *
 * @throws ERR_RANGE, ERR_VALUE; in `forward` ERR_SHAPE, ERR_INDEX for a code that the table does not have
 */
export class TableInput extends Module {
  readonly dense: number
  readonly embeddings: readonly Embedding[]
  /** The number of features that the next layer sees. */
  readonly width: number

  constructor(dense: number, embeddings: readonly Embedding[] = []) {
    super()
    this.dense = checkNumber('TableInput', 'dense', dense, { integer: true, min: embeddings.length > 0 ? 0 : 1 })
    if (!Array.isArray(embeddings) || !embeddings.every((embedding) => embedding instanceof Embedding))
      throw new WengertError('ERR_VALUE', `TableInput: expected a list of embeddings, got ${describe(embeddings)}`, { actual: embeddings })
    this.embeddings = embeddings
    this.width = dense + embeddings.reduce((sum, { features }) => sum + features, 0)
  }

  /** With embeddings of the given sizes, drawn by `rng`. */
  static of(dense: number, sizes: readonly { count: number; width: number }[], rng: Random = new Random(nextSeed())): TableInput {
    return new TableInput(
      dense,
      sizes.map(({ count, width }) => new Embedding(count, width, { init: smallRows, rng })),
    )
  }

  override config(): Record<string, unknown> {
    return { dense: this.dense, embeddings: this.embeddings }
  }

  /** Rebuilds a saved layer. */
  static fromConfig(config: Record<string, unknown>, Type: typeof TableInput = TableInput): TableInput {
    checkOptions('TableInput', config, ['dense', 'embeddings'])
    return new Type(config.dense as number, config.embeddings as readonly Embedding[])
  }

  override forward(x: Tensor): Tensor {
    const { dense, embeddings } = this
    const columns = dense + embeddings.length
    if (x.rank === 0 || x.shape[x.rank - 1] !== columns) {
      throw new WengertError('ERR_SHAPE', `TableInput: expected x of shape [*, ${columns}], got ${formatShape(x.shape)}`, {
        expected: columns,
        actual: x.shape,
      })
    }
    if (embeddings.length === 0) return x
    const part = (from: number, to: number) => slice(x, ...x.shape.slice(0, -1).map(() => null), [from, to])
    const vectors = embeddings.map((embedding, i) => embedding.forward(squeeze(part(dense + i, dense + i + 1), -1)))
    return concat(dense > 0 ? [part(0, dense), ...vectors] : vectors, -1)
  }

  override describe(): string {
    return `TableInput ${this.dense + this.embeddings.length} → ${this.width}`
  }
}
