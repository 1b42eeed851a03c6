/** Golden files: read, with the numbers that JSON cannot hold put back. */

import { readFileSync } from 'node:fs'

export type Numbers = readonly (number | 'nan' | 'inf' | '-inf')[]

/** One evaluation of a peer: the inputs, the value, and for a cotangent g the cotangents of the inputs. */
export interface GoldenCase {
  params?: Record<string, unknown>
  shapes: number[][]
  inputs: Numbers[]
  value: Numbers
  g?: Numbers
  grads?: (Numbers | null)[]
}

export function golden<T>(name: string): T & { generator: string; peer: string; seed: number } {
  return JSON.parse(readFileSync(new URL(`../golden/${name}.json`, import.meta.url), 'utf8'))
}

const special = { nan: Number.NaN, inf: Infinity, '-inf': -Infinity }
export const numbers = (values: Numbers): number[] => values.map((v) => (typeof v === 'number' ? v : special[v]))
