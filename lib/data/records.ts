/**
 * Records, such as a table's rows or a request's JSON, as features: a number stays one feature, a category becomes one
 * feature for each of its names. What a table was read with travels with a model as the first of its transforms.
 */

import { WengertError } from '../errors.js'
import { Tensor } from '../tensor/tensor.js'
import { describe } from '../util/options.js'
import { isPlainObject } from '../util/tree.js'
import type { Encoder } from './dataset.js'

/** A column of numbers: one feature. */
export interface NumberField {
  name: string
  kind: 'number'
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

/** A number written in decimal, as `-1.5e3`; undefined for anything else (`0x10`, `1,5`, `1e999`, an empty text). */
export function parseNumber(text: string): number | undefined {
  if (!/^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$/.test(text)) return undefined
  const value = Number(text)
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
    const where = (field: Field) => `records: '${field.name}' of record ${row}`
    if (!isPlainObject(record))
      throw new WengertError('ERR_VALUE', `records: expected objects of values by name, got ${describe(record)}`, { actual: record })
    let at = row * width
    fields.forEach((field, i) => {
      const value = Object.hasOwn(record, field.name) ? record[field.name] : undefined
      const missing = value === undefined || value === null || value === ''
      if (missing && (field.kind === 'number' ? field.mean === undefined : !field.optional))
        throw new WengertError('ERR_DATA', `${where(field)}: expected a ${field.kind}, got none`, { actual: value })
      if (field.kind === 'number') {
        const number = missing ? field.mean : typeof value === 'string' ? parseNumber(value) : value
        if (typeof number !== 'number' || !Number.isFinite(number))
          throw new WengertError('ERR_DATA', `${where(field)}: expected a number, got ${describe(value)}`, { actual: value })
        out[at] = number
      } else if (!missing) {
        const place = places[i]?.get(String(value).trim())
        if (place === undefined)
          throw new WengertError(
            'ERR_LABEL',
            `${where(field)}: expected one of ${field.categories.slice(0, 10).join(', ')}, got ${describe(value)}`,
            {
              expected: field.categories,
              actual: value,
            },
          )
        out[at + place] = 1
      }
      at += widthOf(field)
    })
  }
  const call = (records: unknown): Tensor => {
    const list = Array.isArray(records) ? records : [records]
    if (list.length === 0) throw new WengertError('ERR_DATA', 'records: expected at least one record, got none')
    const out = new Float32Array(list.length * width)
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
      const { name, kind, mean, categories, optional } = field
      if (kind === 'number' && (mean === undefined || Number.isFinite(mean)))
        return mean === undefined ? { name, kind } : { name, kind, mean: mean as number }
      if (kind !== 'category' || !Array.isArray(categories) || !categories.every((c) => typeof c === 'string')) throw bad(field)
      return { name, kind, categories, optional: optional === true }
    }),
  )
}
