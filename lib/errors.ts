/**
 * Every error the library raises on purpose is a `WengertError` with a stable `code`.
 * To add one: a line in `errorCodes`, then `throw new WengertError(code, 'op: expected …, got …')` where values were compared, else a
 * plain sentence: what happened, what to do.
 */

/** The codes, each with its usual cause and what to do about it. The troubleshooting guide is made from this table. */
// biome-ignore format: a table
export const errorCodes = {
  ERR_SHAPE: { cause: 'The shapes of the arguments do not fit together.', remedy: 'Compare the expected and the actual shape in the message.' },
  ERR_DTYPE: { cause: 'A tensor has an element type that the operation does not take.', remedy: 'Convert it with `.cast(dtype)`.' },
  ERR_AXIS: { cause: 'An axis is outside the rank of the tensor, or named twice.', remedy: 'Use −rank … rank − 1, each at most once.' },
  ERR_RANGE: { cause: 'A number is outside its allowed range.', remedy: 'Use a value in the range that the message names.' },
  ERR_INDEX: { cause: 'An index points outside the axis it selects from.', remedy: 'Check the indices or class labels against the size in the message.' },
  ERR_VALUE: { cause: 'A value is of a kind that the function does not take.', remedy: 'Pass what the message says is expected.' },
  ERR_OPTION: { cause: 'An option is unknown or has the wrong type.', remedy: 'Check its spelling; the message suggests the nearest name.' },
  ERR_DATA: { cause: 'A data set is empty, ragged, or holds NaN or Infinity.', remedy: 'Clean the rows that the message names.' },
  ERR_LABEL: { cause: 'A class label is not one of the classes.', remedy: 'Labels are integers 0 … classes − 1.' },
  ERR_DETACHED: { cause: 'The ArrayBuffer of a typed array was transferred away.', remedy: 'Do not transfer a buffer that the library still uses.' },
  ERR_DONATED: { cause: 'The memory of a tensor was handed to a compiled function by `donate`.', remedy: 'Use the result of that call; do not read the argument afterwards.' },
  ERR_BUSY: { cause: 'A parameter is being trained by a running fit.', remedy: 'Await the running fit, or abort it, first.' },
  ERR_DIVERGED: { cause: 'A cost or a parameter became NaN or Infinity.', remedy: 'Lower the learning rate, clip gradients, or standardise the data.' },
  ERR_NOT_SCALAR: { cause: 'A gradient was asked of a function whose value is not a scalar.', remedy: 'Use `jacobian` or `vjp`.' },
  ERR_NOT_DIFFERENTIABLE: { cause: 'An operation without a derivative lies on the path.', remedy: 'Remove it from the path or wrap it in `stopGradient`.' },
  ERR_LEAKED: { cause: 'A tensor of a function that was being differentiated or recorded is used after that function has returned.', remedy: 'Return it from the function, or read its values inside.' },
  ERR_VALUE_NEEDED: { cause: 'The value of a tensor was read while a program was being recorded, or inside of `vmap`.', remedy: 'Such a model runs eagerly; express the choice with `where` to have it compiled.' },
  ERR_STATE: { cause: 'A state does not fit the module or trainer it is loaded into.', remedy: 'Compare the names and shapes in the message.' },
  ERR_FILE: { cause: 'A file is truncated, corrupt, of another format, or cannot be read or written.', remedy: 'Check the path and the place in the file that the message names.' },
  ERR_PROGRAM: { cause: 'A program or kernel call is malformed.', remedy: 'This is a fault of the library: please report it.' },
  ERR_BACKEND: { cause: 'The native engine could not be loaded or does not exist on this platform.', remedy: 'See `backend().reason`; the JavaScript engine runs everything meanwhile.' },
  ERR_MEMORY: { cause: 'Native memory could not be allocated.', remedy: 'Use smaller batches or free memory.' },
  ERR_ANOMALY: { cause: 'An operation made NaN or Infinity while `detectAnomaly` watched.', remedy: 'Look at the operation and the line that the message names.' },
  ERR_DISTRIBUTED: { cause: 'The processes that were started together cannot work together: another MPI library, other data, another model, or one of them failed.', remedy: 'Do what the message says; it names the rank and its host.' },
  ERR_CANCELLED: { cause: 'A run was cancelled because its environment is shutting down.', remedy: 'None is needed.' },
} as const

/** The stable codes of the library's errors: the keys of `errorCodes`. */
export type ErrorCode = keyof typeof errorCodes

/** What an error carries besides its message. */
export interface ErrorDetails {
  expected?: unknown
  actual?: unknown
  cause?: unknown
}

/** Messages longer than this lose their middle: what they echo may come from anywhere. Callers cut texts short themselves (`describe`, `listed`). */
const longestMessage = 2000

function bounded(message: string): string {
  return message.length > longestMessage
    ? `${message.slice(0, longestMessage - 600)} … (${message.length - longestMessage + 100} characters left out) … ${message.slice(-500)}`
    : message
}

/** An error raised on purpose: `code` is stable, `message` reads `op: expected …, got …` where values were compared, else says what happened and what to do. */
export class WengertError extends Error {
  readonly code: ErrorCode
  readonly expected?: unknown
  readonly actual?: unknown

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(bounded(message), 'cause' in details ? { cause: details.cause } : undefined)
    this.name = `WengertError [${code}]`
    this.code = code
    if ('expected' in details) this.expected = details.expected
    if ('actual' in details) this.actual = details.actual
  }
}
