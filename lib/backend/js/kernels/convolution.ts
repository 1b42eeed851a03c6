/**
 * Convolutions and pooling over windows, channels last: plain loops, the readable definition of both.
 *
 * N images of H × W with C channels; P × Q windows, D channels of the result; KH × KW cells a window.
 */

import type { Call } from '../../program.js'
import {
  checkCounts,
  checkOperand,
  dimensions,
  type Floats,
  malformed,
  type Operand,
  type Prepare,
  type Ref,
  scalarsOf,
  volume,
} from './kernel.js'

type Eleven = [number, number, number, number, number, number, number, number, number, number, number]

interface Geometry {
  n: number
  h: number
  w: number
  c: number
  p: number
  q: number
  d: number
  kh: number
  kw: number
  strideH: number
  strideW: number
  padH: number
  padW: number
  stepH: number
  stepW: number
  groups: number
}

function convGeometry(call: Call): Geometry {
  const [n, h, w, c, p, q, d, kh, kw, strideH, strideW, ...rest] = dimensions(call, 16) as readonly number[] as Eleven & number[]
  const [padH, padW, stepH, stepW, groups] = rest as unknown as [number, number, number, number, number]
  scalarsOf(call, 0)
  if (groups < 1 || c % groups !== 0 || d % groups !== 0) throw malformed(call.kernel, `groups that divide ${c} and ${d} channels`, groups)
  return checkReach(call, { n, h, w, c, p, q, d, kh, kw, strideH, strideW, padH, padW, stepH, stepW, groups })
}

function poolGeometry(call: Call): Geometry {
  const [n, h, w, c, p, q, kh, kw, strideH, strideW, padH, ...rest] = dimensions(call, 14) as readonly number[] as Eleven & number[]
  const [padW, stepH, stepW] = rest as unknown as [number, number, number]
  scalarsOf(call, 0)
  return checkReach(call, { n, h, w, c, p, q, d: c, kh, kw, strideH, strideW, padH, padW, stepH, stepW, groups: 1 })
}

/** Every row and column that a window reaches is a safe integer, and windows and cells go forwards. */
function checkReach(call: Call, g: Geometry): Geometry {
  const least = Math.min(g.strideH, g.strideW, g.stepH, g.stepW)
  if (least < 1) throw malformed(call.kernel, 'strides and dilations of 1 or more', least)
  for (const [count, stride, cells, step] of [
    [g.p, g.strideH, g.kh, g.stepH],
    [g.q, g.strideW, g.kw, g.stepW],
  ] as const) {
    volume(call, Math.max(1, count), Math.max(1, stride))
    volume(call, Math.max(1, cells), Math.max(1, step))
  }
  return g
}

interface Operands {
  x: number
  w: number
  y: number
}

const sizes = (call: Call, g: Geometry): Operands => ({
  x: volume(call, g.n, g.h, g.w, g.c),
  w: volume(call, g.kh, g.kw, g.c / g.groups, g.d),
  y: volume(call, g.n, g.p, g.q, g.d),
})

function checked(
  call: Call,
  outputs: readonly Operand[],
  inputs: readonly Operand[],
  roles: readonly ['x' | 'w' | 'y', string][],
): Geometry {
  const geometry = convGeometry(call)
  const size = sizes(call, geometry)
  checkCounts(call, outputs, inputs, 1, 2)
  const [out, a, b] = roles as [['x' | 'w' | 'y', string], ['x' | 'w' | 'y', string], ['x' | 'w' | 'y', string]]
  const dtype = checkOperand(call, out[1], outputs[0], 'float', size[out[0]])
  checkOperand(call, a[1], inputs[0], dtype, size[a[0]])
  checkOperand(call, b[1], inputs[1], dtype, size[b[0]])
  return geometry
}

/** Calls `visit` for each cell of each window that lies on the image, with its offsets in x, y and w. */
function walk(g: Geometry, visit: (x: number, y: number, w: number) => void): void {
  const cell = (g.c / g.groups) * g.d
  for (let n = 0; n < g.n; n++) {
    for (let p = 0; p < g.p; p++) {
      for (let q = 0; q < g.q; q++) {
        const y = ((n * g.p + p) * g.q + q) * g.d
        for (let a = 0; a < g.kh; a++) {
          const row = p * g.strideH + a * g.stepH - g.padH
          if (row < 0 || row >= g.h) continue
          for (let b = 0; b < g.kw; b++) {
            const column = q * g.strideW + b * g.stepW - g.padW
            if (column < 0 || column >= g.w) continue
            visit(((n * g.h + row) * g.w + column) * g.c, y, (a * g.kw + b) * cell)
          }
        }
      }
    }
  }
}

/** y[n, p, q, :] += x[…, c] · w[a, b, c, :] over all cells on the image. */
export const conv: Prepare = (call, outputs, inputs) => {
  const g = checked(call, outputs, inputs, [
    ['y', 'y'],
    ['x', 'x'],
    ['w', 'w'],
  ])
  const [own, each] = [g.c / g.groups, g.d / g.groups]
  return {
    bind: ([y], [x, w]) => {
      const [to, from, weight] = [y as Ref, x as Ref, w as Ref]
      return () => {
        const [out, image, kernel] = [to.array as Floats, from.array as Floats, weight.array as Floats]
        out.fill(0, to.offset, to.offset + g.n * g.p * g.q * g.d)
        walk(g, (xAt, yAt, wAt) => {
          for (let c = 0; c < g.c; c++) {
            const value = image[from.offset + xAt + c] as number
            const group = Math.floor(c / own)
            const row = weight.offset + wAt + (c - group * own) * g.d
            const at = to.offset + yAt
            for (let d = group * each; d < (group + 1) * each; d++)
              out[at + d] = (out[at + d] as number) + value * (kernel[row + d] as number)
          }
        })
      }
    },
  }
}

/** x̄[…, c] += Σ_d ȳ[n, p, q, d] · w[a, b, c, d] over all cells on the image. */
export const convInput: Prepare = (call, outputs, inputs) => {
  const g = checked(call, outputs, inputs, [
    ['x', 'x'],
    ['y', 'g'],
    ['w', 'w'],
  ])
  const [own, each] = [g.c / g.groups, g.d / g.groups]
  return {
    bind: ([x], [y, w]) => {
      const [to, from, weight] = [x as Ref, y as Ref, w as Ref]
      return () => {
        const [out, grad, kernel] = [to.array as Floats, from.array as Floats, weight.array as Floats]
        out.fill(0, to.offset, to.offset + g.n * g.h * g.w * g.c)
        walk(g, (xAt, yAt, wAt) => {
          const at = from.offset + yAt
          for (let c = 0; c < g.c; c++) {
            const group = Math.floor(c / own)
            const row = weight.offset + wAt + (c - group * own) * g.d
            let sum = 0
            for (let d = group * each; d < (group + 1) * each; d++) sum += (grad[at + d] as number) * (kernel[row + d] as number)
            out[to.offset + xAt + c] = (out[to.offset + xAt + c] as number) + sum
          }
        })
      }
    },
  }
}

/** w̄[a, b, c, :] += x[…, c] · ȳ[n, p, q, :] over all cells on the image. */
export const convWeight: Prepare = (call, outputs, inputs) => {
  const g = checked(call, outputs, inputs, [
    ['w', 'w'],
    ['x', 'x'],
    ['y', 'g'],
  ])
  const [own, each] = [g.c / g.groups, g.d / g.groups]
  return {
    bind: ([w], [x, y]) => {
      const [to, from, gradient] = [w as Ref, x as Ref, y as Ref]
      return () => {
        const [out, image, grad] = [to.array as Floats, from.array as Floats, gradient.array as Floats]
        out.fill(0, to.offset, to.offset + g.kh * g.kw * own * g.d)
        walk(g, (xAt, yAt, wAt) => {
          const at = gradient.offset + yAt
          for (let c = 0; c < g.c; c++) {
            const value = image[from.offset + xAt + c] as number
            const group = Math.floor(c / own)
            const row = to.offset + wAt + (c - group * own) * g.d
            for (let d = group * each; d < (group + 1) * each; d++)
              out[row + d] = (out[row + d] as number) + value * (grad[at + d] as number)
          }
        })
      }
    },
  }
}

/** The first cell of a window beginning at `start` that is not before the image. */
const firstCell = (start: number, step: number): number => (start < 0 ? Math.ceil(-start / step) : 0)

/** Where the largest of a window stands in x, for each channel in turn: the first of equals, the last NaN; −1 in an empty window. */
function walkExtremes(g: Geometry, image: Floats, offset: number, visit: (x: number, y: number) => void): void {
  for (let n = 0; n < g.n; n++) {
    for (let p = 0; p < g.p; p++) {
      for (let q = 0; q < g.q; q++) {
        const y = ((n * g.p + p) * g.q + q) * g.c
        const [top, left] = [p * g.strideH - g.padH, q * g.strideW - g.padW]
        for (let c = 0; c < g.c; c++) {
          let [place, best] = [-1, -Infinity]
          for (let a = firstCell(top, g.stepH); a < g.kh && top + a * g.stepH < g.h; a++) {
            for (let b = firstCell(left, g.stepW); b < g.kw && left + b * g.stepW < g.w; b++) {
              const at = ((n * g.h + top + a * g.stepH) * g.w + left + b * g.stepW) * g.c + c
              const value = image[offset + at] as number
              if (place < 0 || value > best || Number.isNaN(value)) {
                best = value
                place = at
              }
            }
          }
          visit(place, y + c)
        }
      }
    }
  }
}

/** y = the largest of each window; −∞ in one without a cell on the image. */
export const maxPool: Prepare = (call, outputs, inputs) => {
  const g = poolGeometry(call)
  checkCounts(call, outputs, inputs, 1, 1)
  const size = sizes(call, g)
  const dtype = checkOperand(call, 'x', inputs[0], 'float', size.x)
  checkOperand(call, 'y', outputs[0], dtype, size.y)
  return {
    bind: ([y], [x]) => {
      const [to, from] = [y as Ref, x as Ref]
      return () => {
        const [out, image] = [to.array as Floats, from.array as Floats]
        walkExtremes(g, image, from.offset, (place, at) => {
          out[to.offset + at] = place < 0 ? -Infinity : (image[from.offset + place] as number)
        })
      }
    },
  }
}

/** y = t at the place of the largest of each window of x. */
export const poolTake: Prepare = (call, outputs, inputs) => {
  const g = poolGeometry(call)
  checkCounts(call, outputs, inputs, 1, 2)
  const size = sizes(call, g)
  const dtype = checkOperand(call, 'y', outputs[0], 'float', size.y)
  checkOperand(call, 't', inputs[0], dtype, size.x)
  checkOperand(call, 'x', inputs[1], dtype, size.x)
  return {
    bind: ([y], [t, x]) => {
      const [to, values, from] = [y as Ref, t as Ref, x as Ref]
      return () => {
        const [out, tangent] = [to.array as Floats, values.array as Floats]
        walkExtremes(g, from.array as Floats, from.offset, (place, at) => {
          out[to.offset + at] = place < 0 ? 0 : (tangent[values.offset + place] as number)
        })
      }
    },
  }
}

/** x̄ = 0, then g added at the place of the largest of each window of x. */
export const poolPut: Prepare = (call, outputs, inputs) => {
  const g = poolGeometry(call)
  checkCounts(call, outputs, inputs, 1, 2)
  const size = sizes(call, g)
  const dtype = checkOperand(call, 'out', outputs[0], 'float', size.x)
  checkOperand(call, 'g', inputs[0], dtype, size.y)
  checkOperand(call, 'x', inputs[1], dtype, size.x)
  return {
    bind: ([y], [grad, x]) => {
      const [to, values, from] = [y as Ref, grad as Ref, x as Ref]
      return () => {
        const [out, gradient] = [to.array as Floats, values.array as Floats]
        out.fill(0, to.offset, to.offset + size.x)
        walkExtremes(g, from.array as Floats, from.offset, (place, at) => {
          if (place >= 0) out[to.offset + place] = (out[to.offset + place] as number) + (gradient[values.offset + at] as number)
        })
      }
    },
  }
}
