/** Where in a model an operation comes from: modules name their part while their forward function runs. */

let current = ''

/** The names of the modules at work, from the outermost: `Sequential/2 Linear 32 → 10`. */
export function currentScope(): string {
  return current
}

/** Puts a name in place of the present one, which is given back; for loops that are too tight for a function each time. */
export function replaceScope(name: string): string {
  const outer = current
  current = name
  return outer
}

/** Runs `body` under a name, within the present scope or (`absolute`) in place of it. */
export function withScope<T>(name: string, body: () => T, absolute = false): T {
  const outer = current
  current = absolute || outer === '' ? name : `${outer} / ${name}`
  try {
    return body()
  } finally {
    current = outer
  }
}
