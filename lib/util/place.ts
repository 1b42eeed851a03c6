/** Where in the user's code something happens. */

/** Frames of the library itself are left out of the stacks shown. */
let own: readonly string[] | undefined
function ownFrames(): readonly string[] {
  if (own) return own
  const library = new URL('..', import.meta.url)
  // In a browser places are addresses.
  const path = process.getBuiltinModule?.('node:url').fileURLToPath(library)
  own = path === undefined ? [library.href] : [library.href, path]
  return own
}

/** The innermost line outside the library on the present stack: `name (file:line:column)`. */
export function userLine(): string {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 100
  const { stack = '' } = new Error('here')
  Error.stackTraceLimit = limit
  const frames = stack.split('\n').slice(1)
  const frame = frames.find(
    (line) => !ownFrames().some((place) => line.includes(place)) && !line.includes('(node:') && /:\d+:\d+/.test(line),
  )
  return frame?.trim().replace(/^at /, '') ?? 'an unknown line'
}
