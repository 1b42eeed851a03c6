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

/** Windows on images: see `conv` in program.ts. */
export interface Geometry {
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
export function checkReach(call: Call, g: Geometry): Geometry {
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

/** The windows of a row, first … end, whose cell b lies on the image. */
const firstWindow = (g: Geometry, b: number): number => Math.max(0, Math.ceil((g.padW - b * g.stepW) / g.strideW))
const endOfWindows = (g: Geometry, b: number): number => Math.min(g.q, Math.floor((g.w - 1 + g.padW - b * g.stepW) / g.strideW) + 1)

/*
 * Three loops that differ in their innermost lines alone. They are written out: a function called for each cell costs more than
 * the cell. x, y and w are where the channels of a cell begin in the image, the result and the kernel.
 */

/** y[n, p, q, :] += x[…, c] · w[a, b, c, :] over all cells on the image. */
export const conv: Prepare = (call, outputs, inputs) => {
  const g = checked(call, outputs, inputs, [
    ['y', 'y'],
    ['x', 'x'],
    ['w', 'w'],
  ])
  return {
    bind: ([out], [a, b]) => {
      const [to, left, right] = [out as Ref, a as Ref, b as Ref]
      return () => convForward(g, to.array as Floats, to.offset, left.array as Floats, left.offset, right.array as Floats, right.offset)
    },
  }
}

function convForward(g: Geometry, out: Floats, to: number, left: Floats, from: number, right: Floats, by: number): void {
  const { h, w: width, c: channels, q: windows, d: results, strideW, padW, stepW } = g
  const own = channels / g.groups
  const each = results / g.groups
  out.fill(0, to, to + g.n * g.p * g.q * g.d)
  for (let i = 0; i < g.n; i++) {
    for (let p = 0; p < g.p; p++) {
      for (let a = 0; a < g.kh; a++) {
        const r = p * g.strideH + a * g.stepH - g.padH
        if (r < 0 || r >= h) continue
        for (let b = 0; b < g.kw; b++) {
          const end = endOfWindows(g, b)
          for (let q = firstWindow(g, b); q < end; q++) {
            const x = from + ((i * h + r) * width + q * strideW + b * stepW - padW) * channels
            const y = to + ((i * g.p + p) * windows + q) * results
            const w = by + (a * g.kw + b) * own * results
            for (let c = 0; c < channels; c++) {
              const first = own === channels ? 0 : Math.floor(c / own) * each
              const row = w + (own === channels ? c : c % own) * results
              const value = left[x + c] as number
              for (let d = first; d < first + each; d++) out[y + d] = (out[y + d] as number) + value * (right[row + d] as number)
            }
          }
        }
      }
    }
  }
}

/** x̄[…, c] += Σ_d ȳ[n, p, q, d] · w[a, b, c, d] over all cells on the image. */
export const convInput: Prepare = (call, outputs, inputs) => {
  const g = checked(call, outputs, inputs, [
    ['x', 'x'],
    ['y', 'g'],
    ['w', 'w'],
  ])
  return {
    bind: ([out], [a, b]) => {
      const [to, left, right] = [out as Ref, a as Ref, b as Ref]
      return () => convBackward(g, to.array as Floats, to.offset, left.array as Floats, left.offset, right.array as Floats, right.offset)
    },
  }
}

function convBackward(g: Geometry, out: Floats, to: number, left: Floats, from: number, right: Floats, by: number): void {
  const { h, w: width, c: channels, q: windows, d: results, strideW, padW, stepW } = g
  const own = channels / g.groups
  const each = results / g.groups
  out.fill(0, to, to + g.n * g.h * g.w * g.c)
  for (let i = 0; i < g.n; i++) {
    for (let p = 0; p < g.p; p++) {
      for (let a = 0; a < g.kh; a++) {
        const r = p * g.strideH + a * g.stepH - g.padH
        if (r < 0 || r >= h) continue
        for (let b = 0; b < g.kw; b++) {
          const end = endOfWindows(g, b)
          for (let q = firstWindow(g, b); q < end; q++) {
            const x = to + ((i * h + r) * width + q * strideW + b * stepW - padW) * channels
            const y = from + ((i * g.p + p) * windows + q) * results
            const w = by + (a * g.kw + b) * own * results
            for (let c = 0; c < channels; c++) {
              const first = own === channels ? 0 : Math.floor(c / own) * each
              const row = w + (own === channels ? c : c % own) * results
              let sum = 0
              for (let d = first; d < first + each; d++) sum += (left[y + d] as number) * (right[row + d] as number)
              out[x + c] = (out[x + c] as number) + sum
            }
          }
        }
      }
    }
  }
}

/** w̄[a, b, c, :] += x[…, c] · ȳ[n, p, q, :] over all cells on the image. */
export const convWeight: Prepare = (call, outputs, inputs) => {
  const g = checked(call, outputs, inputs, [
    ['w', 'w'],
    ['x', 'x'],
    ['y', 'g'],
  ])
  return {
    bind: ([out], [a, b]) => {
      const [to, left, right] = [out as Ref, a as Ref, b as Ref]
      return () =>
        convWeightBackward(g, to.array as Floats, to.offset, left.array as Floats, left.offset, right.array as Floats, right.offset)
    },
  }
}

function convWeightBackward(g: Geometry, out: Floats, to: number, left: Floats, from: number, right: Floats, by: number): void {
  const { h, w: width, c: channels, q: windows, d: results, strideW, padW, stepW } = g
  const own = channels / g.groups
  const each = results / g.groups
  out.fill(0, to, to + g.kh * g.kw * own * g.d)
  for (let i = 0; i < g.n; i++) {
    for (let p = 0; p < g.p; p++) {
      for (let a = 0; a < g.kh; a++) {
        const r = p * g.strideH + a * g.stepH - g.padH
        if (r < 0 || r >= h) continue
        for (let b = 0; b < g.kw; b++) {
          const end = endOfWindows(g, b)
          for (let q = firstWindow(g, b); q < end; q++) {
            const x = from + ((i * h + r) * width + q * strideW + b * stepW - padW) * channels
            const y = by + ((i * g.p + p) * windows + q) * results
            const w = to + (a * g.kw + b) * own * results
            for (let c = 0; c < channels; c++) {
              const first = own === channels ? 0 : Math.floor(c / own) * each
              const row = w + (own === channels ? c : c % own) * results
              const value = left[x + c] as number
              for (let d = first; d < first + each; d++) out[row + d] = (out[row + d] as number) + value * (right[y + d] as number)
            }
          }
        }
      }
    }
  }
}

/** Where the largest of each window stands in x: the first of equals, the last NaN; −1 in a window without a cell on the image. */
function largestPlaces(g: Geometry, image: Floats, offset: number, places: Float64Array): void {
  let at = 0
  for (let n = 0; n < g.n; n++) {
    for (let p = 0; p < g.p; p++) {
      for (let q = 0; q < g.q; q++) {
        for (let c = 0; c < g.c; c++) {
          let place = -1
          let best = -Infinity
          for (let a = 0; a < g.kh; a++) {
            const row = p * g.strideH + a * g.stepH - g.padH
            if (row < 0 || row >= g.h) continue
            for (let b = 0; b < g.kw; b++) {
              const column = q * g.strideW + b * g.stepW - g.padW
              if (column < 0 || column >= g.w) continue
              const cell = ((n * g.h + row) * g.w + column) * g.c + c
              const value = image[offset + cell] as number
              if (place < 0 || value > best || Number.isNaN(value)) {
                best = value
                place = cell
              }
            }
          }
          places[at++] = place
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
      const places = new Float64Array(size.y)
      const [to, from] = [y as Ref, x as Ref]
      return () => {
        const [out, image] = [to.array as Floats, from.array as Floats]
        largestPlaces(g, image, from.offset, places)
        for (let at = 0; at < places.length; at++) {
          const place = places[at] as number
          out[to.offset + at] = place < 0 ? -Infinity : (image[from.offset + place] as number)
        }
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
      const places = new Float64Array(size.y)
      const [to, values, from] = [y as Ref, t as Ref, x as Ref]
      return () => {
        const [out, tangent] = [to.array as Floats, values.array as Floats]
        largestPlaces(g, from.array as Floats, from.offset, places)
        for (let at = 0; at < places.length; at++) {
          const place = places[at] as number
          out[to.offset + at] = place < 0 ? 0 : (tangent[values.offset + place] as number)
        }
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
      const places = new Float64Array(size.y)
      const [to, values, from] = [y as Ref, grad as Ref, x as Ref]
      return () => {
        const [out, gradient] = [to.array as Floats, values.array as Floats]
        out.fill(0, to.offset, to.offset + size.x)
        largestPlaces(g, from.array as Floats, from.offset, places)
        for (let at = 0; at < places.length; at++) {
          const place = places[at] as number
          if (place >= 0) out[to.offset + place] = (out[to.offset + place] as number) + (gradient[values.offset + at] as number)
        }
      }
    },
  }
}
