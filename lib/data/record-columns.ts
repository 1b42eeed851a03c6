/** Numbers out of records by the names of their columns: nothing fitted, nothing guessed. */

import { WengertError } from '../errors.js'
import { Tensor } from '../tensor/tensor.js'
import { bytesPerElement, type FloatDtype, viewOf } from '../util/dtype.js'
import { checkChoice, checkOptions, describe } from '../util/options.js'

/** Which columns of records become a data set. */
export interface RecordColumns {
  /** The columns of x, in order. */
  x: readonly string[]
  /** The target: one column or several of numbers, or one of text, which gives class indices. */
  y: string | readonly string[]
  /** The column that says how much each sample counts. */
  weights?: string | undefined
  /** Names of the classes in order; those that occur, sorted, by default. */
  classes?: readonly string[] | undefined
  /** Of x and of targets that are numbers; 'float32' by default. 'int32' keeps identifiers whole, for embeddings: x alone. */
  dtype?: FloatDtype | 'int32' | undefined
}

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

function numbersOf(records: Records, names: readonly string[], dtype: FloatDtype | 'int32'): Tensor {
  const size = records.length * names.length
  const data = viewOf(dtype, new SharedArrayBuffer(Math.max(1, size) * bytesPerElement[dtype]), 0, size)
  for (let i = 0; i < records.length; i++) {
    for (const [j, name] of names.entries()) {
      const given = valueAt(records, i, name)
      const value = typeof given === 'boolean' || typeof given === 'bigint' ? Number(given) : given
      const at = i * names.length + j
      if (typeof value === 'number') data[at] = value
      const whole = dtype === 'int32' ? data[at] === value : Number.isFinite(data[at])
      if (typeof value !== 'number' || !whole)
        throw new WengertError(
          'ERR_DATA',
          `Dataset.fromRecords: record ${i}, column '${name}': expected ${dtype === 'int32' ? 'an integer of 32 bits' : 'a finite number'}, got ${describe(given)}${typeof given === 'string' ? '; fitTable takes texts' : ''}`,
          { actual: given },
        )
    }
  }
  return new Tensor([records.length, names.length], dtype, data)
}

function classIndices(records: Records, name: string, given: readonly string[] | undefined): { y: Tensor; classes: readonly string[] } {
  const labels = records.map((_, i) => String(valueAt(records, i, name)))
  const classes = given ?? [...new Set(labels)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const places = new Map(classes.map((label, i) => [label, i]))
  const y = Int32Array.from(labels, (label, i) => {
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
  return { y: new Tensor([records.length], 'int32', y), classes }
}

/** x, y, and what goes with them. Errors: ERR_OPTION, ERR_DATA, ERR_VALUE, ERR_LABEL naming record and column. */
export function columnsOfRecords(given: Iterable<unknown>, columns: RecordColumns) {
  checkOptions('Dataset.fromRecords', columns ?? {}, ['x', 'y', 'weights', 'classes', 'dtype'])
  const { x, y, weights, classes, dtype = 'float32' } = columns ?? {}
  checkChoice('Dataset.fromRecords', 'dtype', dtype, ['float32', 'float64', 'int32'] as const)
  const names = (value: unknown): value is readonly string[] =>
    Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === 'string')
  const targets = typeof y === 'string' ? [y] : y
  if (!names(x) || !names(targets))
    throw new WengertError('ERR_OPTION', `Dataset.fromRecords: expected x and y to name columns, got ${describe(x)} and ${describe(y)}`)
  if (typeof given !== 'object' || given === null || !(Symbol.iterator in given))
    throw new WengertError('ERR_VALUE', `Dataset.fromRecords: expected records, got ${describe(given)}`, { actual: given })
  const records = [...given] as Records
  if (records.length === 0) throw new WengertError('ERR_DATA', 'Dataset.fromRecords: expected at least one record, got none')
  const features = numbersOf(records, x, dtype)
  const text = targets.length === 1 && typeof valueAt(records, 0, targets[0] as string) === 'string'
  const target =
    text || classes
      ? classIndices(records, targets[0] as string, classes)
      : { y: numbersOf(records, targets, dtype === 'int32' ? 'float32' : dtype) }
  return {
    x: features,
    y: target.y,
    options: {
      features: [...x],
      ...('classes' in target && { classes: target.classes }),
      ...(weights !== undefined && { weights: numbersOf(records, [weights], 'float64').reshape([records.length]) }),
    },
  }
}
