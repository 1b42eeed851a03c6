/**
 * The floor: the matrix products of an update through OpenBLAS and nothing else (floor.cc). No gather, no bias, no
 * activation, no loss. For each layer with weights [n, k] and a batch of m rows:
 *
 *   forward             z[m,n] = a[m,k] · Wᵀ
 *   gradient and update W[n,k] ← W − ε · dzᵀ · a      one accumulating product
 *   input gradient      da[m,k] = dz[m,n] · W         not for the first layer, where nobody needs it
 *
 * ε is so small that the weights stay what they are. A product with a side of one is a GEMV or a GER.
 */

import { createRequire } from 'node:module'
import type { Contestant } from '../measure.js'

/** c[m, n] = op(a) · op(b), or added to c. */
export interface Product {
  m: number
  n: number
  k: number
  transA: boolean
  transB: boolean
  update: boolean
}

/** Those of an update, or of a prediction (`forwardOnly`). */
export function floorProducts(layers: readonly number[], m: number, forwardOnly = false): Product[] {
  const sizes = layers.slice(1).map((n, l) => ({ n, k: layers[l] as number, first: l === 0 }))
  const forward = sizes.map(({ n, k }) => ({ m, n, k, transA: false, transB: true, update: false }))
  if (forwardOnly) return forward
  const backward = sizes.reverse().flatMap(({ n, k, first }) => {
    const update = { m: n, n: k, k: m, transA: true, transB: false, update: true }
    return first ? [update] : [{ m, n: k, k: n, transA: false, transB: false, update: false }, update]
  })
  return [...forward, ...backward]
}

interface FloorAddon {
  run(products: Int32Array, double: boolean, threads: number, count: number): number
  recurrence(a: Float32Array, h: Float32Array, xs: Float32Array, count: number): number
}

/** The addon that `node scripts/build-native.mjs --floor` builds, or why it cannot be had. */
function load(): FloorAddon | string {
  const file = new URL('../../../build/bench/floor.node', import.meta.url)
  try {
    return createRequire(import.meta.url)(file.pathname) as FloorAddon
  } catch (error) {
    return (error as Error).message.split('\n')[0] as string
  }
}

let addon: FloorAddon | string | undefined

/** Why there is no floor, or undefined. */
export function floorMissing(): string | undefined {
  addon ??= load()
  return typeof addon === 'string' ? addon : undefined
}

/** The floor of a network at a batch size; only where none is missing. */
export function floor(products: readonly Product[], dtype: 'float32' | 'float64', threads: number): Contestant {
  const words = Int32Array.from(products.flatMap(({ m, n, k, transA, transB, update }) => [m, n, k, +transA, +transB, +update]))
  return {
    name: 'floor',
    async run(updates) {
      return { updates, seconds: (addon as FloorAddon).run(words, dtype === 'float64', threads, updates) }
    },
  }
}

/** A linear recurrence with its gradient in plain loops; undefined where there is no floor. See `recurrence` in floor.cc. */
export function recurrenceFloor(a: Float32Array, h: Float32Array, xs: Float32Array): ((count: number) => number) | undefined {
  if (floorMissing() !== undefined) return undefined
  return (count) => (addon as FloorAddon).recurrence(a, h, xs, count)
}
