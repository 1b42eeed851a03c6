/** JSON that a file brings: as `JSON.parse`, but a name given twice in one object is refused, not silently the last. */

import { WengertError } from '../errors.js'

const deepest = 64

/**
 * The value, with coded errors.
 *
 * @throws ERR_FILE for text that is not JSON, names given twice, and nesting deeper than 64
 */
export function parseJSON(where: string, text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new WengertError('ERR_FILE', `${where}: expected JSON, got text that is not: ${(error as Error).message.slice(0, 120)}`, {
      cause: error,
    })
  }
  // The text is known to be JSON: strings and brackets are all that has to be looked at.
  const names: (Set<string> | undefined)[] = []
  const token = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g
  for (let match = token.exec(text); match; match = token.exec(text)) {
    const [found, colon] = match
    if (found === '{' || found === '[') {
      names.push(found === '{' ? new Set() : undefined)
      if (names.length > deepest) throw new WengertError('ERR_FILE', `${where}: expected JSON at most ${deepest} deep, got a deeper one`)
    } else if (found === '}' || found === ']') names.pop()
    else if (colon !== undefined) {
      const name = JSON.parse(found.slice(0, -colon.length)) as string
      const seen = names[names.length - 1]
      if (seen?.has(name))
        throw new WengertError('ERR_FILE', `${where}: expected each name once, got '${name.slice(0, 80)}' twice`, { actual: name })
      seen?.add(name)
    }
  }
  return value
}
