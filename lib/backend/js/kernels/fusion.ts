/**
 * Pairs of micro-operations that one loop does at once: a product and the sum it goes into, a bias and the activation after it. They
 * are what most programs consist of, and on a small grid the call of a loop costs more than its arithmetic. In float32 the inner
 * result is rounded as if it had been stored, so a pair gives the bits of the two operations.
 */

import type { ElementwiseOp } from '../../program.js'
import { type Loop, loops } from './micro-ops.js'

/** A micro-operation, or a pair, ready to be placed: registers are numbered as in the call. */
export interface Unit {
  loop: Loop
  operands: readonly number[]
  register: number
}

/** An operation (outer) on the result of another (inner). */
interface Pair {
  outer: ElementwiseOp
  inner: ElementwiseOp
  /** The place of the inner result among the outer operands; both places where the outer operation is symmetric. */
  places: readonly number[]
  /** y = f(a, b, c): a and b the inner operands, c the outer's other one. By compute type: float32, float64. */
  loops: readonly [Loop, Loop]
}

const round = Math.fround

const pairs: readonly Pair[] = [
  {
    outer: 'add',
    inner: 'mul',
    places: [0, 1],
    loops: [
      (n, y, yo, a, ao, b, bo, c, co) => {
        for (let i = 0; i < n; i++) y[yo + i] = round((a[ao + i] as number) * (b[bo + i] as number)) + (c[co + i] as number)
      },
      (n, y, yo, a, ao, b, bo, c, co) => {
        for (let i = 0; i < n; i++) y[yo + i] = (a[ao + i] as number) * (b[bo + i] as number) + (c[co + i] as number)
      },
    ],
  },
  {
    outer: 'sub',
    inner: 'mul',
    places: [1],
    loops: [
      (n, y, yo, a, ao, b, bo, c, co) => {
        for (let i = 0; i < n; i++) y[yo + i] = (c[co + i] as number) - round((a[ao + i] as number) * (b[bo + i] as number))
      },
      (n, y, yo, a, ao, b, bo, c, co) => {
        for (let i = 0; i < n; i++) y[yo + i] = (c[co + i] as number) - (a[ao + i] as number) * (b[bo + i] as number)
      },
    ],
  },
  {
    outer: 'mul',
    inner: 'mul',
    places: [0, 1],
    loops: [
      (n, y, yo, a, ao, b, bo, c, co) => {
        for (let i = 0; i < n; i++) y[yo + i] = round((a[ao + i] as number) * (b[bo + i] as number)) * (c[co + i] as number)
      },
      (n, y, yo, a, ao, b, bo, c, co) => {
        for (let i = 0; i < n; i++) y[yo + i] = (a[ao + i] as number) * (b[bo + i] as number) * (c[co + i] as number)
      },
    ],
  },
  {
    outer: 'mul',
    inner: 'sub',
    places: [0, 1],
    loops: [
      (n, y, yo, a, ao, b, bo, c, co) => {
        for (let i = 0; i < n; i++) y[yo + i] = round((a[ao + i] as number) - (b[bo + i] as number)) * (c[co + i] as number)
      },
      (n, y, yo, a, ao, b, bo, c, co) => {
        for (let i = 0; i < n; i++) y[yo + i] = ((a[ao + i] as number) - (b[bo + i] as number)) * (c[co + i] as number)
      },
    ],
  },
  {
    outer: 'sigmoid',
    inner: 'add',
    places: [0],
    loops: [
      (n, y, yo, a, ao, b, bo) => {
        for (let i = 0; i < n; i++) y[yo + i] = 1 / (1 + Math.exp(-round((a[ao + i] as number) + (b[bo + i] as number))))
      },
      (n, y, yo, a, ao, b, bo) => {
        for (let i = 0; i < n; i++) y[yo + i] = 1 / (1 + Math.exp(-((a[ao + i] as number) + (b[bo + i] as number))))
      },
    ],
  },
  {
    outer: 'tanh',
    inner: 'add',
    places: [0],
    loops: [
      (n, y, yo, a, ao, b, bo) => {
        for (let i = 0; i < n; i++) y[yo + i] = Math.tanh(round((a[ao + i] as number) + (b[bo + i] as number)))
      },
      (n, y, yo, a, ao, b, bo) => {
        for (let i = 0; i < n; i++) y[yo + i] = Math.tanh((a[ao + i] as number) + (b[bo + i] as number))
      },
    ],
  },
  {
    outer: 'relu',
    inner: 'add',
    places: [0],
    loops: [
      (n, y, yo, a, ao, b, bo) => {
        for (let i = 0; i < n; i++) y[yo + i] = Math.max(round((a[ao + i] as number) + (b[bo + i] as number)), 0)
      },
      (n, y, yo, a, ao, b, bo) => {
        for (let i = 0; i < n; i++) y[yo + i] = Math.max((a[ao + i] as number) + (b[bo + i] as number), 0)
      },
    ],
  },
]

/** The operations as units, those merged whose inner result nothing else reads. `first` is the register of the first operation. */
export function fuse(
  ops: readonly { name: ElementwiseOp; operands: readonly number[] }[],
  first: number,
  results: readonly number[],
  compute: number,
): Unit[] {
  const reads = new Map<number, number>()
  for (const register of [...ops.flatMap((op) => op.operands), ...results]) reads.set(register, (reads.get(register) ?? 0) + 1)
  const merged = new Set<number>()
  const units = ops.map(({ name, operands }, i): Unit => {
    for (const pair of pairs) {
      if (pair.outer !== name) continue
      for (const place of pair.places) {
        const register = operands[place] as number
        const inner = ops[register - first]
        if (inner?.name !== pair.inner || reads.get(register) !== 1 || merged.has(register)) continue
        // an operation that has itself taken in another has no plain form left to be merged
        if (inner.operands.some((x) => merged.has(x))) continue
        merged.add(register)
        return {
          loop: pair.loops[compute as 0 | 1],
          operands: [...inner.operands, ...operands.filter((_, at) => at !== place)],
          register: first + i,
        }
      }
    }
    return { loop: loops[name], operands, register: first + i }
  })
  return units.filter(({ register }) => !merged.has(register))
}
