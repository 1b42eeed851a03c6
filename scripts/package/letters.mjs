/** The last hand at the published modules: how their text stands in its file. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAst } from 'rolldown/parseAst'

/** A line is broken at the next statement after so many characters. */
const enough = 160

/** Letters beyond ASCII as escapes: V8 keeps a file that has one in twice the memory, and takes longer to read it. */
function escaped(text) {
  if (text.includes('String.raw')) throw new Error('String.raw would see the escapes of letters: write the string otherwise')
  return text.replace(/[\u0080-\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Where statements and members of classes begin. */
function beginnings(node, places = []) {
  if (Array.isArray(node)) for (const one of node) beginnings(one, places)
  else if (node !== null && typeof node === 'object')
    for (const [key, value] of Object.entries(node)) {
      if ((key === 'body' || key === 'consequent') && Array.isArray(value)) for (const { start } of value) places.push(start)
      beginnings(value, places)
    }
  return places
}

/** Lines that can be shown: Node prints the whole of one with an error that nobody catches. */
function inLines(text) {
  const lines = []
  let from = 0
  for (const at of beginnings(parseAst(text)).sort((a, b) => a - b)) {
    if (at - Math.max(from, text.lastIndexOf('\n', at - 1) + 1) < enough) continue
    lines.push(text.slice(from, at))
    from = at
  }
  return [...lines, text.slice(from)].join('\n')
}

export function finish(folder) {
  for (const name of readdirSync(folder, { recursive: true }).filter((one) => one.endsWith('.js'))) {
    const file = join(folder, name)
    writeFileSync(file, inLines(escaped(readFileSync(file, 'utf8'))))
  }
}
