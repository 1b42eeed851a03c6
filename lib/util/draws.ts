/**
 * Drawing again what was drawn before: a function that is computed a second time (a recomputation in the backward pass)
 * must see the same random numbers. A source of draws tells where it stands before each draw; what was logged can be replayed.
 */

/** A generator, or another source of draws, with a place to go back to. */
export interface DrawSource<P = unknown> {
  tell(): P
  seek(position: P): void
}

type Log = Map<DrawSource, unknown>

let logs: readonly Log[] = []

function withLogs<T>(open: readonly Log[], body: () => T): T {
  const outer = logs
  logs = open
  try {
    return body()
  } finally {
    logs = outer
  }
}

/** Called by a source before it draws. */
export function aboutToDraw<P>(source: DrawSource<P>): void {
  for (const log of logs) if (!log.has(source as DrawSource)) log.set(source as DrawSource, source.tell())
}

/**
 * Runs `body`; the second result runs a function with every source that `body` drew from put back to where it stood then.
 * Sources go on afterwards as if nothing had been drawn again.
 */
export function replayable<T>(body: () => T): [value: T, replay: <U>(again: () => U) => U] {
  const log: Log = new Map()
  const value = withLogs([...logs, log], body)
  const replay = <U>(again: () => U): U => {
    const present = [...log.keys()].map((source) => [source, source.tell()] as const)
    for (const [source, position] of log) source.seek(position)
    try {
      // Whoever logs around a replay keeps what it logged: these draws are of an earlier time.
      return withLogs([], again)
    } finally {
      for (const [source, position] of present) source.seek(position)
    }
  }
  return [value, replay]
}
