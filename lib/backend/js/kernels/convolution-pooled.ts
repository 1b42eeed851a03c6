/**
 * The transposes of convolution of a gradient that stands at the largest cell of each window of pooling alone: poolPut, then
 * convInput or convWeight, in one pass over the windows.
 */

import type { Call } from '../../program.js'
import { checkReach, type Geometry } from './convolution.js'
import { checkCounts, checkOperand, dimensions, type Floats, malformed, type Prepare, type Ref, scalarsOf, volume } from './kernel.js'

/** Windows of pooling on the result of a convolution: p × q of them, of kh × kw cells. */
interface Pools {
  p: number
  q: number
  kh: number
  kw: number
  strideH: number
  strideW: number
}

interface Sizes extends Record<'x' | 'w' | 'y' | 'g', number> {}

function geometryOf(call: Call): { conv: Geometry; pools: Pools; sizes: Sizes } {
  const i = dimensions(call, 21)
  scalarsOf(call, 0)
  const at = (k: number) => i[k] as number
  const conv = checkReach(call, {
    ...{ n: at(0), h: at(1), w: at(2), c: at(3), p: at(4), q: at(5), d: at(6), kh: at(7), kw: at(8) },
    ...{ strideH: at(9), strideW: at(10), padH: at(11), padW: at(12), stepH: at(13), stepW: at(14), groups: 1 },
  })
  const pools = { p: at(15), q: at(16), kh: at(17), kw: at(18), strideH: at(19), strideW: at(20) }
  const least = Math.min(pools.kh, pools.kw, pools.strideH, pools.strideW)
  if (least < 1) throw malformed(call.kernel, 'windows and strides of 1 or more', least)
  for (const [windows, stride, cells, size, what] of [
    [pools.p, pools.strideH, pools.kh, conv.p, 'rows'],
    [pools.q, pools.strideW, pools.kw, conv.q, 'columns'],
  ] as const) {
    volume(call, Math.max(1, windows), stride)
    if (windows > 0 && (windows - 1) * stride > size - cells)
      throw malformed(call.kernel, `windows of pooling on the ${what} of y`, windows)
  }
  const { n, h, w, c, p, q, d, kh, kw } = conv
  const sizes = {
    x: volume(call, n, h, w, c),
    w: volume(call, kh, kw, c, d),
    y: volume(call, n, p, q, d),
    g: volume(call, n, pools.p, pools.q, d),
  }
  return { conv, pools, sizes }
}

/**
 * Calls visit(image, weight, g) with offsets of channels, for every cell under a window that carries a gradient.
 *
 * @param zeros whether for all other cells too, with a gradient of 0: what is not finite makes NaN of it
 */
function walk(
  s: Geometry,
  pools: Pools,
  g: Ref,
  y: Ref,
  zeros: boolean,
  visit: (image: number, weight: number, slope: number) => void,
): void {
  const [slopes, values] = [g.array as Floats, y.array as Floats]
  const rowOf = s.q * s.d
  const carrying = zeros ? new Uint8Array(s.n * s.p * rowOf) : undefined
  const visitCell = (n: number, p: number, q: number, d: number, slope: number) => {
    const [top, left] = [p * s.strideH - s.padH, q * s.strideW - s.padW]
    for (let a = 0; a < s.kh; a++) {
      const r = top + a * s.stepH
      if (r < 0 || r >= s.h) continue
      for (let b = 0; b < s.kw; b++) {
        const k = left + b * s.stepW
        if (k >= 0 && k < s.w) visit(((n * s.h + r) * s.w + k) * s.c, (a * s.kw + b) * s.c * s.d + d, slope)
      }
    }
  }
  let at = g.offset
  for (let n = 0; n < s.n; n++) {
    for (let p = 0; p < pools.p; p++) {
      for (let q = 0; q < pools.q; q++) {
        for (let d = 0; d < s.d; d++) {
          const slope = slopes[at++] as number
          if (slope === 0) continue
          const corner = y.offset + ((n * s.p + p * pools.strideH) * s.q + q * pools.strideW) * s.d + d
          let [row, column, best] = [0, 0, values[corner] as number]
          for (let a = 0; a < pools.kh; a++) {
            for (let b = 0; b < pools.kw; b++) {
              const value = values[corner + a * rowOf + b * s.d] as number
              if (!(value > best) && !Number.isNaN(value)) continue
              best = value
              row = a
              column = b
            }
          }
          visitCell(n, p * pools.strideH + row, q * pools.strideW + column, d, slope)
          if (carrying) carrying[corner - y.offset + row * rowOf + column * s.d] = 1
        }
      }
    }
  }
  carrying?.forEach((carries, cell) => {
    if (carries === 0)
      visitCell(Math.floor(cell / (s.p * rowOf)), Math.floor(cell / rowOf) % s.p, Math.floor(cell / s.d) % s.q, cell % s.d, 0)
  })
}

/** Whether one of so many elements is not finite. */
function anyInfinite({ array, offset }: Ref, size: number): boolean {
  let sum = 0
  for (let i = offset; i < offset + size; i++) sum += (array[i] as number) * 0
  return sum !== 0
}

/** x̄[…, c] += g · w[a, b, c, d] over the cells under the largest of each window. */
export const convInputPooled: Prepare = (call, outputs, inputs) => {
  const { conv, pools, sizes } = geometryOf(call)
  checkCounts(call, outputs, inputs, 1, 3)
  const dtype = checkOperand(call, 'x', outputs[0], 'float', sizes.x)
  checkOperand(call, 'g', inputs[0], dtype, sizes.g)
  checkOperand(call, 'y', inputs[1], dtype, sizes.y)
  checkOperand(call, 'w', inputs[2], dtype, sizes.w)
  return {
    bind: ([out], [g, y, by]) => {
      const [x, w] = [out as Ref, by as Ref]
      return () => {
        const [image, weight] = [x.array as Floats, w.array as Floats]
        image.fill(0, x.offset, x.offset + sizes.x)
        walk(conv, pools, g as Ref, y as Ref, anyInfinite(w, sizes.w), (at, row, slope) => {
          for (let c = 0; c < conv.c; c++)
            image[x.offset + at + c] = (image[x.offset + at + c] as number) + slope * (weight[w.offset + row + c * conv.d] as number)
        })
      }
    },
  }
}

/** w̄[a, b, c, d] += g · x[…, c] over the cells under the largest of each window. */
export const convWeightPooled: Prepare = (call, outputs, inputs) => {
  const { conv, pools, sizes } = geometryOf(call)
  checkCounts(call, outputs, inputs, 1, 3)
  const dtype = checkOperand(call, 'w', outputs[0], 'float', sizes.w)
  checkOperand(call, 'x', inputs[0], dtype, sizes.x)
  checkOperand(call, 'g', inputs[1], dtype, sizes.g)
  checkOperand(call, 'y', inputs[2], dtype, sizes.y)
  return {
    bind: ([out], [from, g, y]) => {
      const [w, x] = [out as Ref, from as Ref]
      return () => {
        const [weight, image] = [w.array as Floats, x.array as Floats]
        weight.fill(0, w.offset, w.offset + sizes.w)
        walk(conv, pools, g as Ref, y as Ref, anyInfinite(x, sizes.x), (at, row, slope) => {
          for (let c = 0; c < conv.c; c++) {
            const to = w.offset + row + c * conv.d
            weight[to] = (weight[to] as number) + slope * (image[x.offset + at + c] as number)
          }
        })
      }
    },
  }
}
