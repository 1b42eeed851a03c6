/** Columns of free text: counts of words and pairs of words, hashed into a fixed number of features. */

import { checkNumber, checkOptions } from '../util/options.js'
import { textOf } from './category.js'
import { missingTexts } from './cell.js'
import { type ColumnSpec, type Encoding, encodingVersion, type Fields } from './encoding.js'
import type { ColumnView } from './table.js'

/** Of `text`. */
export interface TextOptions {
  /** Into how many features the words are hashed; 128 by default. */
  buckets?: number
  /** Up to how many words in a row are counted together; 2 by default. */
  words?: number
  /** Whether a record may lack the column. */
  optional?: boolean
}

/**
 * A column of free text. Words, in lower case, and runs of neighbouring words are hashed to features (with a sign, so that
 * collisions cancel on average); each feature is 1 + ln(count), and the whole has length 1. Nothing is learned from the text.
 */
export function text(options: TextOptions = {}): ColumnSpec<'text'> {
  checkOptions('text', options, ['buckets', 'words', 'optional'])
  if (options.buckets !== undefined) checkNumber('text', 'buckets', options.buckets, { integer: true, min: 2, max: 65_536 })
  if (options.words !== undefined) checkNumber('text', 'words', options.words, { integer: true, min: 1, max: 5 })
  return { kind: 'text', ...options }
}

/** What follows in a text is not looked at: a request cannot cost more. */
const longest = 20_000

/** FNV-1a over the code units, going on from `hash`. */
function hashed(hash: number, word: string): number {
  for (let i = 0; i < word.length; i++) hash = Math.imul(hash ^ word.charCodeAt(i), 0x01000193)
  return hash
}

/** A hash whose high bits depend on all of the low ones. */
function mixed(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** The words of a text: runs of letters and digits. */
export function wordsOf(content: string): string[] {
  return (
    content
      .slice(0, longest)
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? []
  )
}

interface Fitted {
  name: string
  optional: boolean
  buckets: number
  words: number
}

function encoding(fitted: Fitted): Encoding {
  const { name, optional, buckets, words } = fitted
  const features = Array.from({ length: buckets }, (_, i) => `${name} #${i}`)
  return {
    name,
    kind: 'text',
    optional,
    columns: features,
    features,
    says: `text, ${words > 1 ? `runs of up to ${words} words` : 'words'} hashed to ${buckets} features`,
    read: (value) => (value === undefined || missingTexts.has(value as string) ? undefined : textOf(value)),
    write(raw, out, at) {
      for (let i = 0; i < buckets; i++) out[at + i] = 0
      if (raw === undefined) return
      const list = wordsOf(raw as string)
      for (let from = 0; from < list.length; from++) {
        let hash = 0x811c9dc5
        for (let n = 0; n < words && from + n < list.length; n++) {
          hash = Math.imul(hashed(hash, list[from + n] as string) ^ 32, 0x01000193)
          const bits = mixed(hash)
          const place = at + ((bits >>> 1) % buckets)
          out[place] = (out[place] as number) + (bits & 1 ? 1 : -1)
        }
      }
      let squares = 0
      for (let i = at; i < at + buckets; i++) {
        const count = out[i] as number
        if (count !== 0) out[i] = Math.sign(count) * (1 + Math.log(Math.abs(count)))
        squares += (out[i] as number) ** 2
      }
      const length = Math.sqrt(squares)
      if (length > 0) for (let i = at; i < at + buckets; i++) out[i] = (out[i] as number) / length
    },
    toJSON: () => ({ version: encodingVersion, kind: 'text', ...fitted }),
  }
}

export function fitText(view: ColumnView, spec: TextOptions): Encoding {
  return encoding({ name: view.name, optional: spec.optional ?? false, buckets: spec.buckets ?? 128, words: spec.words ?? 2 })
}

export function textFromJSON(f: Fields): Encoding {
  return encoding({
    name: f.text('name'),
    optional: f.flag('optional'),
    buckets: f.integer('buckets', 2, 65_536),
    words: f.integer('words', 1, 5),
  })
}
