/** How closely results must agree: one table for the whole suite, relative to the largest element unless a use says otherwise. */

import type { Dtype } from '../../lib/util/dtype.js'

export interface Tolerance {
  /** A peer's golden value, computed in float64. */
  peer: number
  /** The two engines, and eager against replayed. */
  engines: number
  /** Central differences: of values for a first derivative, of derivatives for a second. */
  differences: number
  /** A peer after a hundred updates. */
  training: number
}

export const tolerances: Record<Dtype, Tolerance> = {
  float32: { peer: 2e-6, engines: 1e-5, differences: Number.NaN, training: 1e-5 },
  float64: { peer: 1e-13, engines: 1e-12, differences: 2e-7, training: 1e-10 },
  int32: { peer: 0, engines: 0, differences: 0, training: 0 },
  bool: { peer: 0, engines: 0, differences: 0, training: 0 },
}

/** The first place where two lists differ by more than `tolerance` times the largest finite element of `expected`, or ''. */
export function farthest(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): string {
  if (actual.length !== expected.length) return `${actual.length} elements for ${expected.length}`
  let scale = 1e-30
  for (let i = 0; i < expected.length; i++) if (Number.isFinite(expected[i])) scale = Math.max(scale, Math.abs(expected[i] as number))
  for (let i = 0; i < actual.length; i++) {
    const [a, b] = [actual[i] as number, expected[i] as number]
    if (a === b || Object.is(a, b)) continue
    if (!(Math.abs(a - b) <= tolerance * scale)) return `[${i}]: ${a} for ${b}`
  }
  return ''
}

/** The same, each element by its own size, or by `floor` where that is larger. */
export function farthestEach(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, floor: number): string[] {
  const found: string[] = []
  for (let i = 0; i < Math.max(actual.length, expected.length); i++) {
    const [a, b] = [actual[i] as number, expected[i] as number]
    if (a === b || Object.is(a, b)) continue
    if (!(Math.abs(a - b) <= tolerance * Math.max(Math.abs(b), floor))) found.push(`[${i}]: ${a} for ${b}`)
  }
  return found
}
