/**
 * Records, such as a table's rows or a request's JSON, as features: a number stays one feature, a category becomes one
 * feature for each of its names. What a table was read with travels with a model as the first of its transforms.
 */

import { WengertError } from '../errors.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate } from '../util/dtype.js'
import { describe, listed, short } from '../util/options.js'
import { isPlainObject } from '../util/tree.js'
import type { Encoder } from './dataset.js'

/** What divides a number's fraction. */
export type Decimal = '.' | ','

/** A column of numbers: one feature. */
export interface NumberField {
  name: string
  kind: 'number'
  /** What divides the fraction of a number given as text; '.' where it is left out. */
  decimal?: ','
  /** What stands for a missing number; without it a missing one is refused. */
  mean?: number
}

/** A column of names: one feature for each. */
export interface CategoryField {
  name: string
  kind: 'category'
  /** In the order of the features that they become. */
  categories: readonly string[]
  /** Whether a missing one gives zeros in all of them; refused otherwise. */
  optional?: boolean
}

/** One column of a table, in the order of the features. */
export type Field = NumberField | CategoryField

const widthOf = (field: Field): number => (field.kind === 'number' ? 1 : field.categories.length)

/** The names of the features: a number's own, `name=category` for each category. */
export function featureNames(fields: readonly Field[]): string[] {
  return fields.flatMap((field) => (field.kind === 'number' ? [field.name] : field.categories.map((c) => `${field.name}=${c}`)))
}

// Each character has one place in a pattern: where it has two, a long cell takes time that is quadratic in its length.
const patterns: Record<Decimal, RegExp> = {
  '.': /^\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*$/,
  ',': /^\s*[+-]?(?:\d+(?:,\d*)?|,\d+)(?:[eE][+-]?\d+)?\s*$/,
}

/**
 * A number written in decimal, as `-1.5e3` (`-1,5e3` with a decimal comma); undefined for anything else (`0x10`, `1e999`,
 * an empty text, a comma where a point is expected).
 */
export function parseNumber(text: string, decimal: Decimal = '.'): number | undefined {
  if (!patterns[decimal].test(text)) return undefined
  const value = Number(decimal === ',' ? text.replace(',', '.') : text)
  return Number.isFinite(value) ? value : undefined
}

/**
 * An encoder of records { name: value } with the given fields, called on one or on a list: it gives float32 [features] or
 * [m, features]. Numbers may be numbers or text, categories text or numbers; other names are ignored.
 *
 * @throws when called ERR_DATA for what is missing or no number; ERR_LABEL for an unknown category
 */
export function recordEncoder(fields: readonly Field[]): Encoder {
  const places = fields.map((field) => (field.kind === 'category' ? new Map(field.categories.map((name, i) => [name, i])) : undefined))
  const width = fields.reduce((n, field) => n + widthOf(field), 0)
  const encode = (record: unknown, row: number, out: Float32Array): void => {
    const where = (field: Field) => `records: '${short(field.name)}' of record ${row}`
    if (!isPlainObject(record))
      throw new WengertError('ERR_VALUE', `records: expected objects of values by name, got ${describe(record)}`, { actual: record })
    let at = row * width
    fields.forEach((field, i) => {
      const value = Object.hasOwn(record, field.name) ? record[field.name] : undefined
      const missing = value === undefined || value === null || value === ''
      if (missing && (field.kind === 'number' ? field.mean === undefined : !field.optional))
        throw new WengertError('ERR_DATA', `${where(field)}: expected a ${field.kind}, got none`, { actual: value })
      if (field.kind === 'number') {
        const number = missing ? field.mean : typeof value === 'string' ? parseNumber(value, field.decimal) : value
        if (typeof number !== 'number' || !Number.isFinite(number))
          throw new WengertError('ERR_DATA', `${where(field)}: expected a number, got ${describe(value)}`, { actual: value })
        out[at] = number
      } else if (!missing) {
        // Anything else would be asked for a text of its own making.
        const text =
          typeof value === 'string' ? value.trim() : typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined
        const place = text === undefined ? undefined : places[i]?.get(text)
        if (place === undefined)
          throw new WengertError('ERR_LABEL', `${where(field)}: expected one of ${listed(field.categories)}, got ${describe(value)}`, {
            expected: field.categories,
            actual: value,
          })
        out[at + place] = 1
      }
      at += widthOf(field)
    })
  }
  const call = (records: unknown): Tensor => {
    const list = Array.isArray(records) ? records : [records]
    if (list.length === 0) throw new WengertError('ERR_DATA', 'records: there are no records; give at least one record')
    const out = allocate('float32', list.length * width) as Float32Array
    list.forEach((record, row) => {
      encode(record, row, out)
    })
    return new Tensor(Array.isArray(records) ? [list.length, width] : [width], 'float32', out)
  }
  return Object.assign(call, { kind: 'records', toJSON: () => ({ kind: 'records', fields: fields.map((field) => ({ ...field })) }) })
}

/** Reads back what an encoder's `toJSON` gave. Errors: ERR_VALUE. */
export function recordEncoderFromJSON(json: Record<string, unknown>): Encoder {
  const bad = (what: unknown) =>
    new WengertError('ERR_VALUE', `transform: expected fields { name, kind, … }, got ${describe(what)}`, { actual: what })
  if (!Array.isArray(json.fields) || json.fields.length === 0) throw bad(json.fields)
  return recordEncoder(
    json.fields.map((field: unknown): Field => {
      if (!isPlainObject(field) || typeof field.name !== 'string') throw bad(field)
      const { name, kind, mean, decimal, categories, optional } = field
      if (kind === 'number' && (mean === undefined || Number.isFinite(mean)) && (decimal === undefined || decimal === ','))
        return { name, kind, ...(mean !== undefined && { mean: mean as number }), ...(decimal !== undefined && { decimal }) }
      if (kind !== 'category' || !Array.isArray(categories) || !categories.every((c) => typeof c === 'string')) throw bad(field)
      if (new Set(categories).size < categories.length) throw bad(field)
      return { name, kind, categories, optional: optional === true }
    }),
  )
}
