/**
 * Kernels driven by integer data. Every index is checked as it is used: a bad one ends the run with its place in the index
 * operand, its value and the size it had to be below.
 */

import type { Call } from '../../program.js'
import {
  BadIndex,
  checkCounts,
  checkOperand,
  dimensions,
  malformed,
  type Operand,
  type Pair,
  type Prepare,
  type Quad,
  type Ref,
  type Run,
  scalarsOf,
  volume,
} from './kernel.js'

/** One index of a line, checked. */
function pick(index: Ref, position: number, n: number): number {
  const value = index.array[index.offset + position] as number
  if (value < 0 || value >= n) throw new BadIndex(position, value, n)
  return value
}

interface Indexed {
  outer: number
  n: number
  inner: number
  k: number
}

/** Checks (big, small, index): `big` is [outer, n, inner], `small` [outer, k, inner], index `along` the same or [k]. */
function checkIndexed(call: Call, outputs: readonly Operand[], inputs: readonly Operand[], along: boolean, adds: boolean): Indexed {
  const [outer, n, inner, k] = dimensions(call, 4) as Quad
  scalarsOf(call, 0)
  checkCounts(call, outputs, inputs, 1, 2)
  const big = volume(call, outer, n, inner)
  const small = volume(call, outer, k, inner)
  const dtype = checkOperand(call, 'x', inputs[0], adds ? 'float' : 'any', adds ? small : big)
  checkOperand(call, 'out', outputs[0], dtype, adds ? big : small)
  checkOperand(call, 'index', inputs[1], 'int32', along ? small : k)
  return { outer, n, inner, k }
}

type Body = (shape: Indexed, y: Ref, x: Ref, index: Ref) => void

function indexed(along: boolean, adds: boolean, body: Body): Prepare {
  return (call, outputs, inputs) => {
    const shape = checkIndexed(call, outputs, inputs, along, adds)
    const size = (outputs[0] as Operand).length
    return {
      bind: ([y], [x, index]): Run => {
        const to = y as Ref
        const from = x as Ref
        const where = index as Ref
        return () => {
          if (adds) for (let i = 0; i < size; i++) to.array[to.offset + i] = 0
          body(shape, to, from, where)
        }
      },
    }
  }
}

/** out[o, j, :] = x[o, index[j], :] */
export const gather = indexed(false, false, ({ outer, n, inner, k }, y, x, index) => {
  const to = y.array
  const from = x.array
  for (let j = 0; j < k; j++) {
    const row = pick(index, j, n)
    if (inner === 0) continue
    for (let o = 0; o < outer; o++) {
      const a = y.offset + (o * k + j) * inner
      const b = x.offset + (o * n + row) * inner
      for (let i = 0; i < inner; i++) to[a + i] = from[b + i] as number
    }
  }
})

/** out[o, index[j], :] += alpha · s · x[o, j, :], from zero, or where beta is 1 onto what is there. */
export const scatterAdd: Prepare = (call, outputs, inputs) => {
  const [alpha, beta] = scalarsOf(call, 2) as Pair
  if (beta !== 0 && beta !== 1) throw malformed(call.kernel, 'beta of 0 or 1', beta)
  const onto = beta === 1
  const scaled = inputs.length === 3
  const shape = checkIndexed({ ...call, scalars: [] }, outputs, scaled ? inputs.slice(0, 2) : inputs, false, true)
  if (scaled) checkOperand(call, 's', inputs[2], (inputs[0] as Operand).dtype, 1)
  const { outer, n, inner, k } = shape
  const size = (outputs[0] as Operand).length
  return {
    bind: ([y], [x, index, s]): Run => {
      const [out, from, where] = [y as Ref, x as Ref, index as Ref]
      return () => {
        const to = out.array
        const a = alpha * (s ? (s.array[s.offset] as number) : 1)
        // What is added to must not be left half changed.
        if (onto) for (let j = 0; j < k; j++) pick(where, j, n)
        else for (let i = 0; i < size; i++) to[out.offset + i] = 0
        for (let j = 0; j < k; j++) {
          const row = pick(where, j, n)
          for (let o = 0; o < outer; o++) {
            const at = out.offset + (o * n + row) * inner
            const own = from.offset + (o * k + j) * inner
            for (let i = 0; i < inner; i++) to[at + i] = (to[at + i] as number) + a * (from.array[own + i] as number)
          }
        }
      }
    },
  }
}

/** out[o, j, i] = x[o, index[o, j, i], i] */
export const takeAlong = indexed(true, false, ({ outer, n, inner, k }, y, x, index) => {
  if (inner === 0 || k === 0) return
  for (let o = 0, at = 0; o < outer; o++) {
    for (let j = 0; j < k; j++) {
      for (let i = 0; i < inner; i++, at++) {
        const row = pick(index, at, n)
        y.array[y.offset + at] = x.array[x.offset + (o * n + row) * inner + i] as number
      }
    }
  }
})

/** out[o, index[o, j, i], i] += x[o, j, i], from zero. */
export const putAlong = indexed(true, true, ({ outer, n, inner, k }, y, x, index) => {
  if (inner === 0 || k === 0) return
  for (let o = 0, at = 0; o < outer; o++) {
    for (let j = 0; j < k; j++) {
      for (let i = 0; i < inner; i++, at++) {
        const place = y.offset + (o * n + pick(index, at, n)) * inner + i
        y.array[place] = (y.array[place] as number) + (x.array[x.offset + at] as number)
      }
    }
  }
})

/** out[j] = x[j], which must be an integer in 0 … n − 1. */
export const toIndex: Prepare = (call, outputs, inputs) => {
  const [k, n] = dimensions(call, 2) as Pair
  scalarsOf(call, 0)
  checkCounts(call, outputs, inputs, 1, 1)
  checkOperand(call, 'out', outputs[0], 'int32', k)
  checkOperand(call, 'x', inputs[0], 'float', k)
  return {
    bind: ([y], [x]) => {
      const to = y as Ref
      const from = x as Ref
      return () => {
        for (let j = 0; j < k; j++) {
          const value = pick(from, j, n)
          if (!Number.isInteger(value)) throw new BadIndex(j, value, n)
          to.array[to.offset + j] = value
        }
      }
    },
  }
}

/** out[j, :] = 0 but for out[j, index[j]] = 1 */
export const oneHot: Prepare = (call, outputs, inputs) => {
  const [k, n] = dimensions(call, 2) as Pair
  scalarsOf(call, 0)
  checkCounts(call, outputs, inputs, 1, 1)
  const size = volume(call, k, n)
  checkOperand(call, 'out', outputs[0], 'any', size)
  checkOperand(call, 'index', inputs[0], 'int32', k)
  return {
    bind: ([y], [x]) => {
      const to = y as Ref
      const index = x as Ref
      return () => {
        for (let i = 0; i < size; i++) to.array[to.offset + i] = 0
        for (let j = 0; j < k; j++) to.array[to.offset + j * n + pick(index, j, n)] = 1
      }
    },
  }
}
