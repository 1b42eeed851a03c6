/** Numbers out of records by the names of their columns: nothing fitted, nothing guessed. */

import { partOfOption, rangeOf, type Shard, type ShardOption } from '../distributed/shard.js'
import { WengertError } from '../errors.js'
import { fieldsOf, type Inputs, type Named, treeOf } from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { bytesPerElement, type FloatDtype, viewOf, withMemoryErrors } from '../util/dtype.js'
import { checkChoice, checkOptions, describe } from '../util/options.js'

/** Names of columns, for one input or by the names of several. */
export type ColumnNames = readonly string[] | { readonly [name: string]: readonly string[] }

/** Which columns of records become a data set. */
export interface RecordColumns<X extends ColumnNames = ColumnNames> {
  /** The columns of x, in order; for a model of several inputs a list for each: `{ ids: ['user', 'item'], features: ['age'] }`. */
  x: X
  /** The target: one column or several of numbers, or one of text, which gives class indices. */
  y: string | readonly string[]
  /** The column that says how much each sample counts. */
  weights?: string | undefined
  /** Names of the classes in order; those that occur, sorted, by default. */
  classes?: readonly string[] | undefined
  /**
   * Of x and of targets that are numbers; 'float32' by default. 'int32' keeps identifiers whole, for embeddings: x alone. Of
   * several inputs each may have its own: `{ ids: 'int32' }`.
   */
  dtype?: FloatDtype | 'int32' | Readonly<Record<string, FloatDtype | 'int32'>> | undefined
  /** Of several processes, 'auto' keeps this rank's range of the records, all of which are given; { rank, size } a part by its number. */
  shard?: ShardOption | undefined
}

type Range = readonly [from: number, to: number]
type Records = readonly Readonly<Record<string, unknown>>[]

function valueAt(records: Records, row: number, name: string): unknown {
  const record = records[row]
  if (typeof record !== 'object' || record === null || Array.isArray(record))
    throw new WengertError(
      'ERR_VALUE',
      `Dataset.fromRecords: expected objects of values by column, got ${describe(record)} as record ${row}`,
    )
  if (!Object.hasOwn(record, name))
    throw new WengertError('ERR_DATA', `Dataset.fromRecords: record ${row} has no column '${name}'`, {
      expected: name,
      actual: Object.keys(record),
    })
  return record[name]
}

/** Of the records from `from` up to `to`. */
function numbersOf(records: Records, names: readonly string[], dtype: FloatDtype | 'int32', [from, to]: Range): Tensor {
  const size = (to - from) * names.length
  const data = viewOf(dtype, new SharedArrayBuffer(Math.max(1, size) * bytesPerElement[dtype]), 0, size)
  for (let i = from; i < to; i++) {
    for (const [j, name] of names.entries()) {
      const given = valueAt(records, i, name)
      const value = typeof given === 'boolean' || typeof given === 'bigint' ? Number(given) : given
      const at = (i - from) * names.length + j
      if (typeof value === 'number') data[at] = value
      const exact = typeof given !== 'bigint' || (Number.isFinite(value) && BigInt(value as number) === given)
      const whole = exact && (dtype === 'int32' ? data[at] === value : Number.isFinite(data[at]))
      if (typeof value !== 'number' || !whole)
        throw new WengertError(
          'ERR_DATA',
          `Dataset.fromRecords: record ${i}, column '${name}': expected ${dtype === 'int32' ? 'an integer of 32 bits' : exact ? 'a finite number' : 'a number that a double holds'}, got ${describe(given)}${typeof given === 'string' ? '; fitTable takes texts' : ''}`,
          { actual: given },
        )
    }
  }
  return new Tensor([to - from, names.length], dtype, data)
}

function classIndices(
  records: Records,
  name: string,
  given: readonly string[] | undefined,
  [from, to]: Range,
): { y: Tensor; classes: readonly string[] } {
  const labels = records.map((_, i) => {
    const value = valueAt(records, i, name)
    const named = typeof value === 'string' || typeof value === 'boolean' || typeof value === 'bigint' || Number.isFinite(value)
    if (named) return String(value)
    throw new WengertError(
      'ERR_DATA',
      `Dataset.fromRecords: record ${i}, column '${name}': expected the name of a class, got ${describe(value)}`,
      { actual: value },
    )
  })
  const classes = given ?? [...new Set(labels)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const places = new Map(classes.map((label, i) => [label, i]))
  const y = Int32Array.from(labels.slice(from, to), (label, k) => {
    const i = from + k
    const place = places.get(label)
    if (place === undefined)
      throw new WengertError(
        'ERR_LABEL',
        `Dataset.fromRecords: record ${i}, column '${name}': expected one of ${classes.slice(0, 10).join(', ')}, got ${describe(label)}`,
        {
          expected: classes,
          actual: label,
        },
      )
    return place
  })
  return { y: new Tensor([to - from], 'int32', y), classes }
}

/** The type of each input. Errors: ERR_OPTION. */
function dtypesOf(inputs: readonly Named<unknown>[], given: NonNullable<RecordColumns['dtype']>): (FloatDtype | 'int32')[] {
  const choices = ['float32', 'float64', 'int32'] as const
  if (typeof given === 'string') {
    checkChoice('Dataset.fromRecords', 'dtype', given, choices)
    return inputs.map(() => given)
  }
  checkOptions(
    'Dataset.fromRecords: dtype',
    given,
    inputs.map(([name]) => name),
  )
  return inputs.map(([name]) => checkChoice('Dataset.fromRecords: dtype', name, given[name] ?? 'float32', choices))
}

interface Options {
  features?: readonly string[]
  classes?: readonly string[]
  weights?: Tensor
  shard?: Shard
}

/** x, y, and what goes with them. Errors: ERR_OPTION, ERR_DATA, ERR_VALUE, ERR_LABEL naming record and column. */
export function columnsOfRecords(given: Iterable<unknown>, columns: RecordColumns): { x: Inputs; y: Tensor; options: Options } {
  return withMemoryErrors('Dataset.fromRecords', () => {
    checkOptions('Dataset.fromRecords', columns ?? {}, ['x', 'y', 'weights', 'classes', 'dtype', 'shard'])
    const { x, y, weights, classes, dtype = 'float32', shard } = columns ?? {}
    const names = (value: unknown): value is readonly string[] =>
      Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === 'string')
    const targets = typeof y === 'string' ? [y] : y
    const inputs = fieldsOf('Dataset.fromRecords', x)
    if (!inputs.every((input): input is Named<readonly string[]> => names(input[1])) || !names(targets))
      throw new WengertError('ERR_OPTION', `Dataset.fromRecords: expected x and y to name columns, got ${describe(x)} and ${describe(y)}`)
    const dtypes = dtypesOf(inputs, dtype)
    if (typeof given !== 'object' || given === null || !(Symbol.iterator in given))
      throw new WengertError('ERR_VALUE', `Dataset.fromRecords: expected records, got ${describe(given)}`, { actual: given })
    const records = [...given] as Records
    if (records.length === 0) throw new WengertError('ERR_DATA', 'Dataset.fromRecords: there are no records; give at least one record')
    const part = partOfOption('Dataset.fromRecords', shard)
    const range = rangeOf(part, records.length)
    const rows = range[1] - range[0]
    const features = treeOf(
      inputs.map(([name, columns], i) => [name, numbersOf(records, columns, dtypes[i] as FloatDtype | 'int32', range)]),
    )
    const text = targets.length === 1 && typeof valueAt(records, 0, targets[0] as string) === 'string'
    const target =
      text || classes
        ? classIndices(records, targets[0] as string, classes, range)
        : { y: numbersOf(records, targets, dtypes.includes('float64') ? 'float64' : 'float32', range) }
    return {
      x: features,
      y: target.y,
      options: {
        ...(Array.isArray(x) && { features: [...x] }),
        ...('classes' in target && { classes: target.classes }),
        ...(weights !== undefined && { weights: numbersOf(records, [weights], 'float64', range).reshape([rows]) }),
        ...(part.size > 1 && { shard: { start: range[0], total: records.length } }),
      },
    }
  })
}
