/** Elementwise rows whose result is true or false: they have no derivative. Exported by elementwise.ts, and so public. */

import { comparison } from './notation.js'
import { type Binary, binary, type Unary, unary } from './pointwise.js'

/** a = b. */
export const equal: Binary = binary('equal', { doc: 'a = b', output: 'bool', notation: comparison('=') })

/** a ≠ b. */
export const notEqual: Binary = binary('notEqual', { doc: 'a ≠ b', output: 'bool', notation: comparison('≠') })

/** a < b. */
export const less: Binary = binary('less', { doc: 'a < b', output: 'bool', notation: comparison('<') })

/** a ≤ b. */
export const lessEqual: Binary = binary('lessEqual', { doc: 'a ≤ b', output: 'bool', notation: comparison('≤') })

/** a > b. */
export const greater: Binary = binary('greater', { doc: 'a > b', output: 'bool', notation: comparison('>') })

/** a ≥ b. */
export const greaterEqual: Binary = binary('greaterEqual', { doc: 'a ≥ b', output: 'bool', notation: comparison('≥') })

/** a and b. */
export const logicalAnd: Binary = binary('logicalAnd', { doc: 'a and b', output: 'bool', notation: comparison('∧') })

/** a or b. */
export const logicalOr: Binary = binary('logicalOr', { doc: 'a or b', output: 'bool', notation: comparison('∨') })

/** True where x is 0. */
export const logicalNot: Unary = unary('logicalNot', { doc: 'true where x is 0', output: 'bool' })

/** False where x is NaN or infinite. */
export const isFinite: Unary = unary('isFinite', { doc: 'false where x is NaN or infinite', output: 'bool' })
