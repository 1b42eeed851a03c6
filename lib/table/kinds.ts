/** The kinds of columns by name: how each is fitted and read back. To add one: a line in `fits` and in `readers`. */

import { WengertError } from '../errors.js'
import { checkOptions, describe } from '../util/options.js'
import { isPlainObject } from '../util/tree.js'
import { categoryFromJSON, codesVersion, fitCategory } from './category.js'
import { dateFromJSON, fitDate } from './date.js'
import { type ColumnSpec, type Encoding, encodingVersion, Fields, type KindName } from './encoding.js'
import { fitBoolean, fitNumber, numberFromJSON } from './number.js'
import type { ColumnView, Room } from './table.js'
import { fitText, textFromJSON } from './text.js'

const fits: Partial<Record<KindName, (view: ColumnView, spec: ColumnSpec, room: Room) => Encoding>> = {
  number: fitNumber,
  boolean: fitBoolean,
  category: fitCategory,
  date: fitDate,
  text: fitText,
}

const readers: Readonly<Record<string, (f: Fields) => Encoding>> = {
  number: numberFromJSON,
  boolean: numberFromJSON,
  category: categoryFromJSON,
  date: dateFromJSON,
  text: textFromJSON,
}

/**
 * A column that is left out: an identifier, a constant, what is not known when it counts. Records may lack it.
 *
 * @param options.reason what the table says of it
 * @example fitTable(train, { target: 'churned', columns: { refunded: ignore({ reason: 'known only afterwards' }) } })
 */
export function ignore(options: { reason?: string } = {}): ColumnSpec<'ignore'> {
  checkOptions('ignore', options, ['reason'])
  if (options.reason !== undefined && typeof options.reason !== 'string')
    throw new WengertError('ERR_OPTION', `ignore: expected reason to be a text, got ${describe(options.reason)}`)
  return { kind: 'ignore', ...options }
}

/** Fits one column as its spec says. Errors: ERR_DATA. */
export function fitColumn(view: ColumnView, spec: ColumnSpec, room: Room): Encoding {
  const found = fits[spec.kind]
  if (!found)
    throw new WengertError('ERR_OPTION', `fitTable: column '${view.name}': ${spec.kind}() is for the target`, { actual: spec.kind })
  return found(view, spec, room)
}

/** The spec, if it is one. Errors: ERR_OPTION. */
export function checkSpec(name: string, spec: unknown): ColumnSpec {
  const known = [...Object.keys(fits), 'ignore', 'labels']
  if (!isPlainObject(spec) || !known.includes(spec.kind as string)) {
    const hint = typeof spec === 'function' ? ' (a function: call it)' : ''
    throw new WengertError('ERR_OPTION', `fitTable: columns.${name}: expected ${known.join('(), ')}(), got ${describe(spec)}${hint}`, {
      expected: known,
      actual: spec,
    })
  }
  return spec as ColumnSpec
}

/** Reads an encoding back. Errors: ERR_VALUE. */
export function encodingFromJSON(json: unknown, where: string): Encoding {
  const f = new Fields(isPlainObject(json) ? json : {}, where)
  const kind = f.text('kind')
  const read = Object.hasOwn(readers, kind) ? readers[kind] : undefined
  if (!read) throw f.fail('kind', Object.keys(readers).join(' or '))
  const versions = kind === 'category' ? [encodingVersion, codesVersion] : [encodingVersion]
  if (!versions.includes(f.json.version as number)) throw f.fail('version', versions.join(' or '))
  return read(f)
}
