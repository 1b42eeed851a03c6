/** Convolution and pooling as their definitions read, cell by cell: random calls with what they should give. */

import { allocate, type Dtype, type TypedArray } from '../../lib/util/dtype.js'
import { call } from './engines.js'
import type { Case, Draw } from './reference.js'

interface Axis {
  size: number
  cells: number
  windows: number
  stride: number
  pad: number
  step: number
}

function axisOf(draw: Draw): Axis {
  const [size, cells, stride, step] = [draw.int(1, 7), draw.int(1, 3), draw.int(1, 3), draw.int(1, 2)]
  return { size, cells, windows: draw.int(1, 5), stride, pad: draw.int(0, 3), step }
}

/** Where cell `a` of window `i` is on the image; −1 beside it. */
function place({ size, stride, pad, step }: Axis, i: number, a: number): number {
  const at = i * stride + a * step - pad
  return at < size ? at : -1
}

const at = (x: TypedArray, i: number) => x[i] as number

export function convCase(draw: Draw, kernel: 'conv' | 'convInput' | 'convWeight', dtype: Dtype): Case {
  const [rows, columns] = [axisOf(draw), axisOf(draw)]
  const groups = draw.of([1, 1, 2, 3])
  const [n, own, each] = [draw.int(0, 2), draw.of([1, 1, 2, 5]), draw.of([1, 1, 3, 9, 17, 33])]
  const [c, d] = [own * groups, each * groups]
  const image = n * rows.size * columns.size * c
  const weight = rows.cells * columns.cells * own * d
  const result = n * rows.windows * columns.windows * d
  const [x, w, y] = [draw.array(dtype, image), draw.array(dtype, weight), draw.array(dtype, result)]
  const [dx, dw, dy] = [image, weight, result].map((length) => new Array<number>(length).fill(0)) as [number[], number[], number[]]
  for (let b = 0; b < n; b++) {
    for (let k = 0; k < d; k++) {
      const group = Math.floor(k / each)
      for (let i = 0; i < rows.windows; i++) {
        for (let j = 0; j < columns.windows; j++) {
          const to = ((b * rows.windows + i) * columns.windows + j) * d + k
          for (let u = 0; u < rows.cells; u++) {
            for (let v = 0; v < columns.cells; v++) {
              const [row, column] = [place(rows, i, u), place(columns, j, v)]
              if (row < 0 || column < 0) continue
              for (let e = 0; e < own; e++) {
                const from = ((b * rows.size + row) * columns.size + column) * c + group * own + e
                const cell = ((u * columns.cells + v) * own + e) * d + k
                dy[to] = (dy[to] as number) + at(x, from) * at(w, cell)
                dx[from] = (dx[from] as number) + at(y, to) * at(w, cell)
                dw[cell] = (dw[cell] as number) + at(y, to) * at(x, from)
              }
            }
          }
        }
      }
    }
  }
  const two = (key: 'stride' | 'pad' | 'step') => [rows[key], columns[key]]
  const sizes = [n, rows.size, columns.size, c, rows.windows, columns.windows, d, rows.cells, columns.cells]
  const ints = [...sizes, ...two('stride'), ...two('pad'), ...two('step'), groups]
  const [inputs, expected] = kernel === 'conv' ? [[x, w], dy] : kernel === 'convInput' ? [[y, w], dx] : [[x, y], dw]
  const before = allocate(dtype, expected.length).fill(Number.NaN)
  return { name: `${dtype} [${ints}]`, call: call(kernel, ints), inputs, before, expected }
}

export function poolCase(draw: Draw, kernel: 'maxPool' | 'poolTake' | 'poolPut', dtype: Dtype): Case {
  const [rows, columns] = [axisOf(draw), axisOf(draw)]
  const [n, c] = [draw.int(0, 2), draw.of([1, 2, 9, 20])]
  const image = n * rows.size * columns.size * c
  const result = n * rows.windows * columns.windows * c
  const x = draw.array(dtype, image)
  // Ties and NaN, which have rules.
  for (let i = 0; i < image; i++) x[i] = Math.round(at(x, i))
  if (draw.int(0, 3) === 0) for (let i = 0; i < image; i += 5) x[i] = Number.NaN
  const [t, g] = [draw.array(dtype, image), draw.array(dtype, result)]
  const largest = new Array<number>(result).fill(-Infinity)
  const taken = new Array<number>(result).fill(0)
  const put = new Array<number>(image).fill(0)
  for (let to = 0; to < result; to++) {
    const channel = to % c
    const j = Math.floor(to / c) % columns.windows
    const i = Math.floor(to / (c * columns.windows)) % rows.windows
    const b = Math.floor(to / (c * columns.windows * rows.windows))
    const cells: number[] = []
    for (let u = 0; u < rows.cells; u++) {
      for (let v = 0; v < columns.cells; v++) {
        const [row, column] = [place(rows, i, u), place(columns, j, v)]
        if (row >= 0 && column >= 0) cells.push(((b * rows.size + row) * columns.size + column) * c + channel)
      }
    }
    if (cells.length === 0) continue
    const bad = cells.filter((cell) => Number.isNaN(at(x, cell)))
    const best = Math.max(...cells.map((cell) => at(x, cell)))
    const chosen = (bad[bad.length - 1] ?? cells.find((cell) => at(x, cell) === best)) as number
    largest[to] = at(x, chosen)
    taken[to] = at(t, chosen)
    put[chosen] = (put[chosen] as number) + at(g, to)
  }
  const two = (key: 'stride' | 'pad' | 'step') => [rows[key], columns[key]]
  const sizes = [n, rows.size, columns.size, c, rows.windows, columns.windows, rows.cells, columns.cells]
  const ints = [...sizes, ...two('stride'), ...two('pad'), ...two('step')]
  const [inputs, expected] = kernel === 'maxPool' ? [[x], largest] : kernel === 'poolTake' ? [[t, x], taken] : [[g, x], put]
  const before = allocate(dtype, expected.length).fill(1)
  return { name: `${dtype} [${ints}]`, call: call(kernel, ints), inputs, before, expected }
}

/** Windows of pooling on `size` positions: how many, of how many cells, how far apart. */
function pooling(draw: Draw, size: number): { windows: number; cells: number; stride: number } {
  const cells = draw.int(1, Math.min(3, size))
  const stride = draw.int(1, 4)
  return { windows: draw.int(0, Math.floor((size - cells) / stride) + 1), cells, stride }
}

/** Of the pieces that reference is made of: poolPut, then a transpose of conv. */
export function pooledCase(draw: Draw, kernel: 'convInputPooled' | 'convWeightPooled', dtype: Dtype): Case {
  const [rows, columns] = [axisOf(draw), axisOf(draw)]
  const [n, c, d] = [draw.int(0, 2), draw.of([1, 3, 8, 17, 31, 33]), draw.of([1, 3, 8, 17, 31, 33, 70])]
  const [tall, wide] = [pooling(draw, rows.windows), pooling(draw, columns.windows)]
  const x = draw.array(dtype, n * rows.size * columns.size * c)
  const w = draw.array(dtype, rows.cells * columns.cells * c * d)
  const y = draw.array(dtype, n * rows.windows * columns.windows * d)
  const g = draw.array(dtype, n * tall.windows * wide.windows * d)
  // Ties and NaN, which have rules; zeros, which are skipped.
  for (let i = 0; i < y.length; i++) y[i] = Math.round(at(y, i))
  if (draw.int(0, 3) === 0) for (let i = 0; i < y.length; i += 5) y[i] = Number.NaN
  for (let i = 0; i < g.length; i += 3) g[i] = 0
  const [dx, dw] = [x.length, w.length].map((length) => new Array<number>(length).fill(0)) as [number[], number[]]
  for (let to = 0; to < g.length; to++) {
    const [k, j] = [to % d, Math.floor(to / d) % wide.windows]
    const [i, b] = [Math.floor(to / (d * wide.windows)) % tall.windows, Math.floor(to / (d * wide.windows * tall.windows))]
    const cells: [row: number, column: number][] = []
    for (let u = 0; u < tall.cells; u++) for (let v = 0; v < wide.cells; v++) cells.push([i * tall.stride + u, j * wide.stride + v])
    const value = ([p, q]: [number, number]) => at(y, ((b * rows.windows + p) * columns.windows + q) * d + k)
    const best = Math.max(...cells.map(value))
    const [p, q] = cells.findLast((cell) => Number.isNaN(value(cell))) ?? (cells.find((cell) => value(cell) === best) as [number, number])
    for (let u = 0; u < rows.cells; u++) {
      for (let v = 0; v < columns.cells; v++) {
        const [row, column] = [place(rows, p, u), place(columns, q, v)]
        if (row < 0 || column < 0) continue
        for (let e = 0; e < c; e++) {
          const from = ((b * rows.size + row) * columns.size + column) * c + e
          const cell = ((u * columns.cells + v) * c + e) * d + k
          dx[from] = (dx[from] as number) + at(g, to) * at(w, cell)
          dw[cell] = (dw[cell] as number) + at(g, to) * at(x, from)
        }
      }
    }
  }
  const two = (key: 'stride' | 'pad' | 'step') => [rows[key], columns[key]]
  const sizes = [n, rows.size, columns.size, c, rows.windows, columns.windows, d, rows.cells, columns.cells]
  const pools = [tall.windows, wide.windows, tall.cells, wide.cells, tall.stride, wide.stride]
  const ints = [...sizes, ...two('stride'), ...two('pad'), ...two('step'), ...pools]
  const [inputs, expected] = kernel === 'convInputPooled' ? [[g, y, w], dx] : [[x, g, y], dw]
  const before = allocate(dtype, expected.length).fill(Number.NaN)
  return { name: `${dtype} [${ints}]`, call: call(kernel, ints), inputs, before, expected }
}
