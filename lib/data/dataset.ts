/**
 * Data sets: features x, one sample a row, targets y and, where samples count differently, their weights; checked once, kept
 * in shared memory so that training borrows it.
 */

import type { Shard } from '../distributed/shard.js'
import { WengertError } from '../errors.js'
import { asTensor, type TensorLike } from '../tensor/creation.js'
import {
  fieldName,
  fieldsOf,
  hasFields,
  type Inputs,
  type InputsLike,
  mapInputs,
  type TensorsOf,
  tensorsOf,
  treeOf,
} from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { allocateShared, type Dtype, type FloatDtype, withMemoryErrors } from '../util/dtype.js'
import { checkChoice, checkOptions, describe } from '../util/options.js'
import { formatShape, sameShape, sizeOf } from '../util/shape.js'
import { checkFinite } from './checks.js'
import { type ImageFolderOptions, readImageFolder } from './image-folder.js'
import { type ColumnNames, columnsOfRecords, type RecordColumns } from './record-columns.js'
import { cutTo, type DatasetShard, ownPositions, ownRows } from './shards.js'

/** What a data set is made of: one row of x and of y a sample. x is one tensor, or several by name: `{ ids, features }`. */
export interface DataLike<X extends InputsLike = TensorLike> {
  x: X
  y: TensorLike
  /**
   * How much each sample counts: m finite numbers >= 0, not all 0; only their proportions matter. Or how much each step does, [m, T], for
   * targets of [m, T, …]: 0 for those that do not. Equally by default.
   */
  weights?: TensorLike | undefined
  classes?: readonly string[] | undefined
  features?: readonly string[] | undefined
  encoder?: Encoder | undefined
}

/** How records became features: the first of the transforms that a model is saved with. */
export interface Encoder {
  (records: unknown): Tensor
  readonly kind: string
  /** What `saveModel` keeps of the encoder. */
  toJSON(): { kind: string; [field: string]: unknown }
}

type Names = Pick<AnyData, 'classes' | 'features' | 'encoder'>

/** What `Dataset` is told beside x and y. */
export interface DatasetOptions extends Names, Pick<DataLike, 'weights'> {
  dtype?: FloatDtype | undefined
  shard?: DatasetShard | undefined
}

/** Of one input or of several. */
export type AnyData = DataLike<InputsLike>

/** The tensor in shared memory (a copy, unless it lies there already). */
export function shared(x: Tensor): Tensor {
  if (x.data.buffer instanceof SharedArrayBuffer) return x
  const data = allocateShared(x.dtype, x.size)
  data.set(x.data)
  return new Tensor(x.shape, x.dtype, data)
}

/**
 * Samples x and targets y with as many rows, their weights, and the names of columns and classes where they have any. A model of
 * several inputs takes x as fields, each of one row a sample: `new Dataset({ ids: Int32Array, features: rows }, y)`; fields of
 * integers and of truth values stay what they are.
 */
export class Dataset<X extends InputsLike = TensorLike> {
  readonly x: TensorsOf<X>
  readonly y: Tensor
  /** How much each sample counts, [m]; equally where there are none. */
  readonly weights?: Tensor
  /** Names of the classes, where targets are class indices. */
  readonly classes?: readonly string[]
  /** Names of the features, one for each column of x. */
  readonly features?: readonly string[]
  /** How a table's rows became x: `saveModel` takes it as the first of its transforms. */
  readonly encoder?: Encoder
  /** Which rows of a whole these are, where other processes hold the others. */
  readonly shard?: Shard

  /**
   * Copies x, y and the weights into shared memory. Trainers take the weighted mean of the losses, Σ wᵢ Lᵢ / Σ wᵢ over the
   * samples of an update.
   *
   * @param options.dtype what numbers in plain arrays become: 'float32' by default; 'float64' keeps them exactly. Typed arrays
   *   and tensors keep their own type.
   * @param options.shard of several processes, 'auto' keeps this rank's range of the rows given, and { rank, size } a part by its number;
   *   { start, total } says that the rows given are those from `start` on of `total`, and that others hold the rest
   * @throws ERR_DATA for an empty set, numbers of samples that differ, NaN or Infinity, weights that are all 0; ERR_RANGE for a
   *   negative weight; ERR_VALUE, ERR_SHAPE
   * @example new Dataset(x, y, { weights: y.map((label) => (label === 1 ? 5 : 1)) })
   * @example new Dataset({ user: Int32Array.from(users), features: rows }, y)
   */
  constructor(x: X, y: TensorLike, options: DatasetOptions = {}) {
    checkOptions('Dataset', options, ['weights', 'classes', 'features', 'encoder', 'dtype', 'shard'])
    const dtype = checkChoice('Dataset', 'dtype', options.dtype ?? 'float32', ['float32', 'float64'] as const)
    const given = { x, y, ...(options.weights !== undefined && { weights: options.weights }) }
    const { data, shard, rows } = ownRows('Dataset', given, options.shard, dtype)
    const { x: features, y: targets, weights } = cutTo(checkData('Dataset', data, dtype, shard), rows)
    this.x = mapInputs(features, shared) as TensorsOf<X>
    this.y = shared(targets)
    if (weights) this.weights = shared(weights)
    if (options.classes) this.classes = options.classes
    if (options.features) this.features = options.features
    if (options.encoder) this.encoder = options.encoder
    if (shard) this.shard = shard
  }

  /**
   * Numbers out of records by the names of their columns, nothing fitted: x [m, columns], y [m, targets], or class indices for
   * a target of text. For mixed columns see `fitTable`.
   *
   * @throws ERR_DATA, ERR_LABEL, ERR_VALUE naming record and column; ERR_OPTION
   * @example Dataset.fromRecords(rows, { x: ['width', 'height'], y: 'species' })
   * @example Dataset.fromRecords(rows, { x: ['user', 'item'], y: 'rating', dtype: 'int32' })
   * @example Dataset.fromRecords(rows, { x: { ids: ['user'], features: ['age', 'income'] }, y: 'rating', dtype: { ids: 'int32' } })
   */
  static fromRecords<const X extends ColumnNames>(
    records: Iterable<unknown>,
    columns: RecordColumns<X>,
  ): X extends readonly string[] ? Dataset : Dataset<{ readonly [K in keyof X]: Tensor }>
  static fromRecords(records: Iterable<unknown>, columns: RecordColumns): Dataset<Inputs> {
    const { x, y, options } = columnsOfRecords(records, columns)
    return new Dataset(x, y, options)
  }

  /**
   * Images from a folder that holds one folder for each class: x [m, height, width, channels], or what `transform` makes of each;
   * y the class, 0, 1, … in the order of the folders' names, which are `classes`. No decoder is part of the library: one is handed in.
   *
   * @throws (rejects) ERR_DATA for a folder without images, a file that `decode` refuses, images of several sizes; ERR_FILE, ERR_OPTION
   * @example
   * const toInput = imageTransform({ height: 32, width: 32 })
   * const decode = (path) => sharp(path).resize(32, 32).removeAlpha().raw().toBuffer({ resolveWithObject: true })
   * const data = await Dataset.fromImageFolder('pets', { decode, transform: toInput })
   */
  static async fromImageFolder(path: string, options: ImageFolderOptions): Promise<Dataset> {
    const { x, y, classes, shard } = await readImageFolder(path, options)
    return new Dataset(x, y, { classes, shard })
  }

  /** The number of samples; of a shard, those that are here. */
  get length(): number {
    return this.y.shape[0] as number
  }

  /**
   * The samples at the given positions, in that order; of a shard, positions of the whole, which have to grow: of them those are kept
   * that are here. Errors: ERR_INDEX; ERR_DISTRIBUTED for another order of a shard's.
   */
  take(positions: ArrayLike<number>): Dataset<X> {
    if (!this.shard) return this.#take(positions)
    const { own, shard } = ownPositions('Dataset.take', this.shard, this.length, positions)
    return this.#take(own, shard)
  }

  #take(positions: ArrayLike<number>, shard?: Shard): Dataset<X> {
    return withMemoryErrors('Dataset.take', () => {
      const rows = (t: Tensor) => {
        const width = sizeOf(t.shape.slice(1))
        const out = allocateShared(t.dtype, positions.length * width)
        for (let i = 0; i < positions.length; i++) {
          const at = positions[i] as number
          if (!Number.isInteger(at) || at < 0 || at >= this.length) {
            throw new WengertError('ERR_INDEX', `Dataset.take: expected positions in 0 … ${this.length - 1}, got ${at}`, {
              expected: this.length,
              actual: at,
            })
          }
          out.set(t.data.subarray(at * width, (at + 1) * width), i * width)
        }
        return new Tensor([positions.length, ...t.shape.slice(1)], t.dtype, out)
      }
      const x = mapInputs(this.x as Inputs, rows) as unknown as X
      return carrying(new Dataset(x, rows(this.y), { ...namesOf(this), shard }), this.weights && rows(this.weights))
    })
  }
}

/** Gives a new set weights that were checked in another: those of a part may all be 0. */
export function carrying<X extends InputsLike>(set: Dataset<X>, weights: Tensor | undefined): Dataset<X> {
  if (weights) (set as { weights?: Tensor }).weights = shared(weights)
  return set
}

/** The names that a data set has of its classes and features, and where they come from. */
export function namesOf({ classes, features, encoder }: AnyData): Names {
  return { ...(classes && { classes }), ...(features && { features }), ...(encoder && { encoder }) }
}

/**
 * x, y and the weights as tensors of one number of samples, all finite; numbers in plain arrays become `dtype`.
 * Errors: ERR_DATA, ERR_RANGE, ERR_VALUE, ERR_SHAPE, ERR_DETACHED.
 */
export function checkData(
  where: string,
  data: unknown,
  dtype: FloatDtype = 'float32',
  shard = data instanceof Dataset ? data.shard : undefined,
): { x: Inputs; y: Tensor; weights?: Tensor } {
  if (typeof data !== 'object' || data === null || !('x' in data) || !('y' in data)) {
    throw new WengertError('ERR_VALUE', `${where}: expected data as { x, y }, got ${describe(data)}`, {
      expected: '{ x, y }',
      actual: data,
    })
  }
  const x = inputs(where, data.x, dtype, shard !== undefined)
  const y = column(where, 'y', data.y, dtype, shard !== undefined)
  // A Dataset was tested when it was made; a fit need not hold up the event loop to read all of it again.
  if (!(data instanceof Dataset)) {
    for (const [name, t] of tensorsOf(x)) checkFinite(where, fieldName(name), t, shard?.start)
    checkFinite(where, 'y', y, shard?.start)
  }
  checkRows(where, x, y)
  const given = (data as DataLike).weights
  if (given === undefined) return { x, y }
  return { x, y, weights: data instanceof Dataset ? (given as Tensor) : checkWeights(where, given, y, dtype, shard) }
}

/** x, or its fields by name. Errors: as `column`; ERR_VALUE. */
function inputs(where: string, x: unknown, dtype: FloatDtype, none: boolean): Inputs {
  if (!hasFields(x)) return column(where, 'x', x, dtype, none)
  return treeOf(fieldsOf(where, x).map(([name, values]) => [name, column(where, fieldName(name), values, dtype, none)]))
}

/** Errors: ERR_DATA for numbers of samples that differ. */
function checkRows(where: string, x: Inputs, y: Tensor): void {
  const fields = tensorsOf(x)
  const [first, samples] = [fieldName(fields[0]?.[0] as string), fields[0]?.[1].shape[0] as number]
  const odd = fields.find(([, t]) => t.shape[0] !== samples)
  if (odd)
    throw new WengertError(
      'ERR_DATA',
      `${where}: expected as many rows in each field of x, got ${samples} of ${first} and ${odd[1].shape[0]} of ${fieldName(odd[0])}`,
      { expected: samples, actual: odd[1].shape[0] },
    )
  if (samples === y.shape[0]) return
  throw new WengertError('ERR_DATA', `${where}: expected as many targets as samples, got ${samples} rows of x and ${y.shape[0]} of y`, {
    expected: samples,
    actual: y.shape[0],
  })
}

/** Weights of m samples, [m], or of their steps, [m, T]. Errors: ERR_DATA, ERR_RANGE, ERR_VALUE. */
function checkWeights(where: string, given: unknown, y: Tensor, dtype: FloatDtype, shard: Shard | undefined): Tensor {
  const m = y.shape[0] as number
  const t = given instanceof Tensor ? given : asTensor(`${where}: weights`, given, {}, dtype)
  const perStep = t.rank === 2 && y.rank > 1 && t.shape[1] !== 1 && sameShape(t.shape, y.shape.slice(0, 2))
  if ((t.size !== m || t.rank > 2) && !perStep) {
    throw new WengertError(
      'ERR_DATA',
      `${where}: expected one weight for each of ${m} samples${y.rank > 1 ? `, or for each step, ${formatShape(y.shape.slice(0, 2))}` : ''}, got weights of shape ${formatShape(t.shape)}`,
      {
        expected: m,
        actual: t.shape,
      },
    )
  }
  const weights = perStep ? t : t.reshape([m])
  checkFinite(where, 'weights', weights, shard?.start)
  const negative = weights.data.findIndex((w) => w < 0)
  if (negative >= 0) {
    throw new WengertError(
      'ERR_RANGE',
      `${where}: expected weights of 0 or more, got ${weights.data[negative]} for sample ${negative + (shard?.start ?? 0)}`,
      {
        expected: '>= 0',
        actual: weights.data[negative],
      },
    )
  }
  // Those of a shard may all be 0.
  if (!shard) refuseNoWeight(where, weights)
  return weights
}

/** Errors: ERR_DATA for weights that are all 0, whose mean nothing defines. */
export function refuseNoWeight(where: string, weights: Tensor): void {
  if (weights.data.some((w) => w > 0)) return
  throw new WengertError('ERR_DATA', `${where}: all weights are 0; at least one sample must count`, { actual: 0 })
}

function column(where: string, name: string, values: unknown, dtype: FloatDtype, none: boolean): Tensor {
  const t = values instanceof Tensor ? values : asTensor(`${where}: ${name}`, values, {}, dtype)
  if (t.rank === 0)
    throw new WengertError('ERR_SHAPE', `${where}: expected ${name} with one row a sample, got a scalar`, { actual: t.shape })
  if (t.size === 0 && !(none && t.shape[0] === 0))
    throw new WengertError('ERR_DATA', `${where}: expected at least one sample, got ${name} of shape ${formatShape(t.shape)}`, {
      actual: t.shape,
    })
  return t
}

/** The tensor in the type that a model computes in; integers stay where `keepIntegers`. */
export function converted(t: Tensor, dtype: Dtype, keepIntegers = false): Tensor {
  if (t.dtype === dtype || (keepIntegers && t.dtype === 'int32')) return t
  return asTensor('data', t, { dtype })
}
