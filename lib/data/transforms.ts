/**
 * Transforms of features, fitted on the training part alone and then called on anything: a data set, a batch, one sample.
 * Statistics are float64. A transform is plain JSON when saved, so it travels with a model. To add one: a `fit…` function,
 * a function from JSON that checks what it reads, and an entry in `kinds`.
 */

import type { Shard } from '../distributed/shard.js'
import { WengertError } from '../errors.js'
import type { TensorLike } from '../tensor/creation.js'
import { tensorsOf } from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, type TypedArray, withMemoryErrors } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions, describe, listed } from '../util/options.js'
import { type Shape, sizeOf } from '../util/shape.js'
import { isPlainObject } from '../util/tree.js'
import type { AnyData } from './dataset.js'
import { imageFromJSON } from './images.js'
import { wholeTensor } from './shards.js'
import { trainingFeatures } from './transform-data.js'
import { byField, fieldsFromJSON } from './transform-fields.js'
import { define, numbers, sampleShape, type Transform, type TransformJSON } from './transform-rule.js'

/** What is fitted on the features, [m, …] and finite; of several inputs on each of floating numbers. Errors: ERR_OPTION for columns of several. */
function fitted(where: string, data: unknown, columns: unknown, make: (x: Features) => Transform): Transform {
  const { x, shard } = trainingFeatures(where, data)
  if (columns !== undefined && !(x instanceof Tensor))
    throw new WengertError(
      'ERR_OPTION',
      `${where}: columns belong to one input: fit it on one of ${listed(tensorsOf(x).map(([name]) => `x.${name}`))}`,
    )
  return withMemoryErrors(where, () => byField(where, x, (t) => make(featuresOf(where, t, shard))))
}

/** What a transform is fitted on: a feature's values are those of `values` from the first on, so many apart. */
interface Features {
  /** Of a sample. */
  readonly shape: Shape
  readonly rows: number
  column(feature: number): { readonly values: TypedArray; readonly first: number; readonly step: number }
}

/** Of a shard, one feature of all ranks' rows at a time. */
function featuresOf(where: string, x: Tensor, shard: Shard | undefined): Features {
  const shape = x.shape.slice(1)
  const width = sizeOf(shape)
  if (!shard) return { shape, rows: x.shape[0] as number, column: (first) => ({ values: x.data, first, step: width }) }
  const column = (j: number) => {
    const own = allocate(x.dtype, x.shape[0] as number)
    for (let i = 0; i < own.length; i++) own[i] = x.data[i * width + j] as number
    return { values: wholeTensor(where, new Tensor([own.length], x.dtype, own), shard).data, first: 0, step: 1 }
  }
  return { shape, rows: shard.total, column }
}

/** (x − shift) / scale + offset of each feature, each list one number a feature. */
interface Affine {
  shift: readonly number[]
  scale: readonly number[]
  offset: readonly number[]
}

function affine(kind: string, shape: Shape, { shift, scale, offset }: Affine): Transform {
  const width = shift.length
  return define({
    kind,
    input: shape,
    output: shape,
    forward: (from, at, to, position) => {
      for (let j = 0; j < width; j++)
        to[position + j] = ((from[at + j] as number) - (shift[j] as number)) / (scale[j] as number) + (offset[j] as number)
    },
    backward: (from, at, to, position) => {
      for (let j = 0; j < width; j++)
        to[position + j] = ((from[at + j] as number) - (offset[j] as number)) * (scale[j] as number) + (shift[j] as number)
    },
    json: { shape: [...shape], shift: [...shift], scale: [...scale], offset: [...offset] },
  })
}

/** Which features a transform changes: all unless listed. Errors: ERR_OPTION, ERR_INDEX. */
function chosen(where: string, columns: unknown, width: number): readonly number[] {
  if (columns === undefined) return Array.from({ length: width }, (_, i) => i)
  if (!Array.isArray(columns))
    throw new WengertError('ERR_OPTION', `${where}: expected columns to be a list of positions, got ${describe(columns)}`, {
      actual: columns,
    })
  const seen = new Set<number>()
  for (const c of columns) {
    if (!Number.isInteger(c) || c < 0 || c >= width || seen.has(c))
      throw new WengertError('ERR_INDEX', `${where}: expected distinct columns in 0 … ${width - 1}, got ${describe(c)}`, { actual: c })
    seen.add(c)
  }
  return columns
}

/**
 * Standardisation: z = (x − μ) / σ of each feature, with the mean μ and the standard deviation σ (over m, not m − 1) of the
 * training part. A constant feature becomes 0.
 *
 * @param train the training part, or a tensor such as its targets
 * @param options.columns the features to change; all by default
 * @throws ERR_DATA for NaN, Infinity or an empty set; ERR_INDEX; when called ERR_SHAPE, ERR_DATA
 * @example
 * const scale = standardize(train)
 * await trainer.fit(scale(train), { epochs: 30, validation: scale(test) })
 */
export function standardize(train: AnyData | TensorLike, options: { columns?: readonly number[] | undefined } = {}): Transform {
  checkOptions('standardize', options, ['columns'])
  return fitted('standardize', train, options.columns, (x) => standardized(x, options.columns))
}

function standardized({ shape, rows: m, column }: Features, columns: readonly number[] | undefined): Transform {
  const width = sizeOf(shape)
  const mean = allocate('float64', width) as Float64Array
  const deviation = (allocate('float64', width) as Float64Array).fill(1)
  for (const j of chosen('standardize', columns, width)) {
    const { values, first, step } = column(j)
    let sum = 0
    for (let i = 0; i < m; i++) sum += values[first + i * step] as number
    const mu = sum / m
    let squares = 0
    let rest = 0
    let largest = 0
    for (let i = 0; i < m; i++) {
      const value = values[first + i * step] as number
      const d = value - mu
      squares += d * d
      rest += d
      largest = Math.max(largest, Math.abs(value))
    }
    // The mean of a constant is rounded: what is left of it must not be taken for a spread.
    const variance = (squares - (rest * rest) / m) / m
    mean[j] = mu
    deviation[j] = variance > (m * 2 ** -52 * largest) ** 2 ? Math.sqrt(variance) : 1
  }
  return affine('standardize', shape, { shift: Array.from(mean), scale: Array.from(deviation), offset: new Array(width).fill(0) })
}

/**
 * Min-max scaling: each feature's range over the training part becomes [a, b], [0, 1] by default. A constant feature
 * becomes a. Values outside the training part's range land outside [a, b].
 *
 * @param options.range [a, b]; @param options.columns the features to change; all by default
 * @throws as `standardize`; ERR_RANGE for a range that is not two growing numbers
 */
export function minMax(
  train: AnyData | TensorLike,
  options: { range?: readonly [number, number] | undefined; columns?: readonly number[] | undefined } = {},
): Transform {
  checkOptions('minMax', options, ['range', 'columns'])
  const [a, b] = options.range ?? [0, 1]
  checkNumber('minMax', 'range[0]', a)
  checkNumber('minMax', 'range[1]', b, { min: a, exclusive: true })
  return fitted('minMax', train, options.columns, (x) => ranged(x, [a, b], options.columns))
}

function ranged({ shape, column }: Features, [a, b]: readonly [number, number], columns: readonly number[] | undefined): Transform {
  const width = sizeOf(shape)
  const low = allocate('float64', width) as Float64Array
  const scale = (allocate('float64', width) as Float64Array).fill(1)
  const offset = allocate('float64', width) as Float64Array
  for (const j of chosen('minMax', columns, width)) {
    const { values, first, step } = column(j)
    let [lo, hi] = [Infinity, -Infinity]
    for (let i = first; i < values.length; i += step) {
      lo = Math.min(lo, values[i] as number)
      hi = Math.max(hi, values[i] as number)
    }
    low[j] = lo
    scale[j] = hi > lo ? (hi - lo) / (b - a) : 1
    offset[j] = a
  }
  return affine('minMax', shape, { shift: Array.from(low), scale: Array.from(scale), offset: Array.from(offset) })
}

type Unknown = 'refuse' | 'zeros'

function indicators(shape: Shape, columns: readonly number[], values: readonly (readonly number[])[], unknown: Unknown): Transform {
  const width = sizeOf(shape)
  const which = new Map(columns.map((c, i) => [c, values[i] as readonly number[]]))
  const places = new Map([...which].map(([c, list]) => [c, new Map(list.map((v, i) => [v, i]))]))
  const total = values.reduce((sum, list) => sum + list.length - 1, width)
  return define({
    kind: 'oneHot',
    input: shape,
    output: [total],
    forward: (from, at, to, position) => {
      let next = position
      for (let j = 0; j < width; j++) {
        const value = from[at + j] as number
        const known = places.get(j)
        if (!known) {
          to[next++] = value
          continue
        }
        const place = known.get(value)
        if (place !== undefined) to[next + place] = 1
        else if (unknown === 'refuse')
          throw new WengertError(
            'ERR_LABEL',
            `oneHot: expected one of the ${known.size} values of feature ${j} in the training part, got ${value} (unknown: 'zeros' lets it pass)`,
            { expected: which.get(j), actual: value },
          )
        next += known.size
      }
    },
    backward: (from, at, to, position) => {
      let next = at
      for (let j = 0; j < width; j++) {
        const list = which.get(j)
        if (!list) {
          to[position + j] = from[next++] as number
          continue
        }
        let best = 0
        for (let k = 1; k < list.length; k++) if ((from[next + k] as number) > (from[next + best] as number)) best = k
        to[position + j] = list[best] as number
        next += list.length
      }
    },
    json: { shape: [...shape], columns: [...columns], values: values.map((list) => [...list]), unknown },
  })
}

/** The most distinct values of one feature: each becomes a feature of its own. */
const mostValues = 1000

/**
 * One-hot encoding: each listed feature becomes one feature for each value it has in the training part (in growing order),
 * 1 where it has that value and 0 elsewhere. The inverse gives the value of the largest.
 *
 * @param options.columns the features to encode; all by default
 * @param options.unknown what becomes of other values later: 'refuse' (the default) or 'zeros'
 * @throws as `standardize`; ERR_RANGE for a feature with more than 1000 values; when called ERR_LABEL
 * @example const encode = oneHotColumns(train, { columns: [3] })
 */
export function oneHotColumns(
  train: AnyData | TensorLike,
  options: { columns?: readonly number[] | undefined; unknown?: Unknown | undefined } = {},
): Transform {
  checkOptions('oneHotColumns', options, ['columns', 'unknown'])
  const unknown = checkChoice('oneHotColumns', 'unknown', options.unknown ?? 'refuse', ['refuse', 'zeros'] as const)
  return fitted('oneHotColumns', train, options.columns, (x) => encoded(x, options.columns, unknown))
}

function encoded({ shape, column }: Features, given: readonly number[] | undefined, unknown: Unknown): Transform {
  const width = sizeOf(shape)
  const columns = [...chosen('oneHotColumns', given, width)].sort((a, b) => a - b)
  const values = columns.map((j) => {
    const seen = new Set<number>()
    // Adding 0 makes one value of 0 and −0.
    const { values, first, step } = column(j)
    for (let i = first; i < values.length; i += step) seen.add((values[i] as number) + 0)
    if (seen.size > mostValues)
      throw new WengertError(
        'ERR_RANGE',
        `oneHotColumns: expected at most ${mostValues} values of a feature, got ${seen.size} of feature ${j}`,
        {
          expected: mostValues,
          actual: seen.size,
        },
      )
    return [...seen].sort((a, b) => a - b)
  })
  return indicators(shape, columns, values, unknown)
}

function affineFromJSON(json: TransformJSON): Transform {
  const shape = sampleShape(json)
  const width = sizeOf(shape)
  const scale = numbers(json, 'scale', width)
  const zero = scale.findIndex((s) => !(s > 0))
  if (zero >= 0) throw new WengertError('ERR_VALUE', `transform: expected positive scales, got ${scale[zero]}`, { actual: scale[zero] })
  return affine(json.kind, shape, { shift: numbers(json, 'shift', width), scale, offset: numbers(json, 'offset', width) })
}

function oneHotFromJSON(json: TransformJSON): Transform {
  const shape = sampleShape(json)
  const { columns, values } = json
  if (!Array.isArray(columns))
    throw new WengertError('ERR_VALUE', `transform: expected columns to be a list of positions, got ${describe(columns)}`, {
      actual: columns,
    })
  chosen('transform', columns, sizeOf(shape))
  if (!Array.isArray(values) || values.length !== columns.length)
    throw new WengertError('ERR_VALUE', `transform: expected a list of values for each column, got ${describe(values)}`, { actual: values })
  const lists = values.map((_, i) => numbers(values as unknown as TransformJSON, `${i}`, Array.isArray(values[i]) ? values[i].length : 0))
  const odd = lists.findIndex((list) => list.length === 0 || new Set(list).size < list.length)
  if (odd >= 0)
    throw new WengertError(
      'ERR_VALUE',
      `transform: expected distinct values for each column, got ${describe(lists[odd])} for column ${columns[odd]}`,
    )
  const unknown = checkChoice('transform', 'unknown', json.unknown, ['refuse', 'zeros'] as const)
  return indicators(shape, columns, lists, unknown)
}

const kinds = new Map<string, (json: TransformJSON) => Transform>([
  ['standardize', affineFromJSON],
  ['minMax', affineFromJSON],
  ['oneHot', oneHotFromJSON],
  ['image', imageFromJSON],
  ['fields', (json) => fieldsFromJSON(json, transformFromJSON)],
])

/** Makes a kind of transforms of one's own known to `transformFromJSON` and `loadModel`. Errors: ERR_STATE for a kind that is taken. */
export function registerTransform(kind: string, fromJSON: (json: TransformJSON) => Transform): void {
  if (kinds.has(kind) && kinds.get(kind) !== fromJSON)
    throw new WengertError('ERR_STATE', `registerTransform: the kind '${kind}' is taken; choose another name`, { actual: kind })
  kinds.set(kind, fromJSON)
}

/**
 * The transform that `JSON.stringify(transform)` kept.
 *
 * @throws ERR_VALUE for anything else
 */
export function transformFromJSON(json: unknown): Transform {
  if (!isPlainObject(json) || typeof json.kind !== 'string')
    throw new WengertError('ERR_VALUE', `transform: expected { kind, … }, got ${describe(json)}`, { actual: json })
  const read = kinds.get(json.kind)
  if (!read)
    throw new WengertError(
      'ERR_VALUE',
      `transform: expected a kind known here (${listed([...kinds.keys()])}), got ${describe(json.kind)}`,
      {
        expected: [...kinds.keys()],
        actual: json.kind,
      },
    )
  return read(json as TransformJSON)
}
