/** JSON that a file brings: as `JSON.parse`, but a name given twice in one object is refused, not silently the last. */

import { WengertError } from '../errors.js'
import { short } from '../util/options.js'

const deepest = 64

const quote = 34
const comma = 44
const openBracket = 91
const backslash = 92
const closeBracket = 93
const openBrace = 123
const closeBrace = 125

/** The position of the quote that closes the string which opens at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1
  for (let c = text.charCodeAt(at); c !== quote; c = text.charCodeAt(at)) at += c === backslash ? 2 : 1
  return at
}

/**
 * The value, with coded errors; one pass, whose time is linear in the text and whose stack is not its depth.
 *
 * @throws ERR_FILE for text that is not JSON, names given twice, and nesting deeper than 64
 */
export function parseJSON(where: string, text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new WengertError('ERR_FILE', `${where}: the text is not JSON: ${short((error as Error).message, 120)}`, {
      cause: error,
    })
  }
  // The text is known to be JSON: strings, brackets and commas are all that has to be looked at.
  const names: (Set<string> | undefined)[] = []
  let top: Set<string> | undefined
  let nameNext = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === openBrace || c === openBracket) {
      top = c === openBrace ? new Set() : undefined
      if (names.push(top) > deepest) throw new WengertError('ERR_FILE', `${where}: the JSON is nested more than ${deepest} deep`)
      nameNext = c === openBrace
    } else if (c === closeBrace || c === closeBracket) {
      names.pop()
      top = names[names.length - 1]
      nameNext = false
    } else if (c === comma) nameNext = top !== undefined
    else if (c === quote) {
      const end = endOfString(text, i)
      if (nameNext) {
        const name = JSON.parse(text.slice(i, end + 1)) as string
        if (top?.has(name))
          throw new WengertError('ERR_FILE', `${where}: the name '${short(name, 80)}' stands there twice`, { actual: name })
        top?.add(name)
        nameNext = false
      }
      i = end
    }
  }
  return value
}
