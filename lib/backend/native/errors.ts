/** Errors of the addon as the library's own, made where the caller's stack is still there. */

import { type ErrorCode, type ErrorDetails, errorCodes, WengertError } from '../../errors.js'
import { memoryError } from '../../util/dtype.js'

export function malformed(op: string, expected: unknown, got: unknown): WengertError {
  return new WengertError('ERR_PROGRAM', `${op}: expected ${expected}, got ${got}`, { expected, actual: got })
}

/** What to throw for what the addon threw. */
export function coded(error: unknown): unknown {
  const { code, message, expected, actual } = error as { code?: string; message: string } & ErrorDetails
  if (code === undefined || !Object.hasOwn(errorCodes, code)) return memoryError('native', error)
  const details: ErrorDetails = {}
  if (expected !== undefined) details.expected = expected
  if (actual !== undefined) details.actual = actual
  return new WengertError(code as ErrorCode, message, details)
}
