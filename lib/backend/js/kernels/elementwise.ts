/**
 * elementwise: a straight-line micro-program over a grid [rows, cols], run tile by tile. Each micro-operation is one loop over
 * a tile of contiguous elements (micro-ops.ts). An operand that is dense and of the compute type is read and written where it
 * lies; single elements and repeated rows are spread out once a run, columns and other types once a tile. A grid without
 * repeated rows and columns is one long row.
 */

import type { Dtype, TypedArray } from '../../../util/dtype.js'
import { type ElementwiseOp, elementwiseLimits, elementwiseOps } from '../../program.js'
import { thresholds } from '../thresholds.js'
import { type Floats, integers, malformed, type Operand, type Pair, type Prepare, Ref, type Run, scalarsOf, volume } from './kernel.js'
import { type Loop, type Loop1, type Loop2, loops } from './micro-ops.js'
import { toInt32 } from './special.js'

const opNames = Object.keys(elementwiseOps) as ElementwiseOp[]

/** Where the elements of a register are during a tile: an operand's own memory or a scratch tile. */
type Place = Ref

const placeOf = (array: TypedArray): Place => new Ref(array, 0, undefined, 0)

/** Scratch tiles by compute type, shared by all calls: nothing of them outlives a run. */
const scratch: [Place[], Place[]] = [[], []]

function scratchTile(compute: number, index: number): Place {
  const tiles = scratch[compute as 0 | 1]
  while (tiles.length <= index) tiles.push(placeOf(compute === 0 ? new Float32Array(thresholds.tile) : new Float64Array(thresholds.tile)))
  return tiles[index] as Place
}

type Layout = 'dense' | 'row' | 'column' | 'single'

interface Op {
  name: ElementwiseOp
  operands: readonly number[]
}

/** A checked micro-program on its grid; registers are numbered as in the call. */
interface Micro {
  compute: number
  rows: number
  cols: number
  layouts: readonly Layout[]
  constants: readonly number[]
  ops: readonly Op[]
  results: readonly number[]
  inputTypes: readonly Dtype[]
  outputTypes: readonly Dtype[]
}

function layoutOf(rows: number, cols: number, rowStride: number, colStride: number): Layout {
  const dense = (rows <= 1 || rowStride === cols) && (cols <= 1 || colStride === 1)
  if (rowStride === cols && colStride === 1) return 'dense'
  if (rowStride === 0 && colStride === 1) return dense ? 'dense' : cols === 1 ? 'single' : 'row'
  if (rowStride === 1 && colStride === 0) return dense ? 'dense' : rows === 1 ? 'single' : 'column'
  if (rowStride === 0 && colStride === 0) return 'single'
  throw malformed('elementwise', 'strides (cols, 1), (0, 1), (1, 0) or (0, 0)', `(${rowStride}, ${colStride}) on [${rows}, ${cols}]`)
}

function lengthOf(rows: number, cols: number, rowStride: number, colStride: number): number {
  if (rowStride === 0 && colStride === 0) return 1
  if (rowStride === cols && colStride === 1) return rows * cols
  return colStride === 1 ? cols : rows
}

/** Loads n elements into the compute type. */
function load(n: number, y: TypedArray, yo: number, x: TypedArray, xo: number): void {
  for (let i = 0; i < n; i++) y[yo + i] = x[xo + i] as number
}

function fill(n: number, y: TypedArray, yo: number, value: number): void {
  for (let i = 0; i < n; i++) y[yo + i] = value
}

function storeInt32(n: number, y: TypedArray, yo: number, x: TypedArray, xo: number): void {
  for (let i = 0; i < n; i++) y[yo + i] = toInt32(x[xo + i] as number)
}

function storeBool(n: number, y: TypedArray, yo: number, x: TypedArray, xo: number): void {
  for (let i = 0; i < n; i++) y[yo + i] = x[xo + i] !== 0 ? 1 : 0
}

export const stores = { float32: load, float64: load, int32: storeInt32, bool: storeBool } as const

export const elementwise: Prepare = (call, outputs, inputs) => {
  const micro = parse(call.ints, call, outputs, inputs)
  return {
    bind: (outs, ins) => bind(micro, outs, ins),
    inPlace: micro.layouts.map((layout) => layout === 'dense' || micro.rows * micro.cols === 1),
  }
}

function parse(ints: readonly number[], call: Parameters<Prepare>[0], outputs: readonly Operand[], inputs: readonly Operand[]): Micro {
  integers(call, 7, true)
  const [compute, rows, cols, ins, outs, constants, ops] = ints as unknown as [number, number, number, number, number, number, number]
  if (compute !== 0 && compute !== 1) throw malformed('elementwise', 'compute of 0 or 1', compute)
  if (rows < 0 || cols < 0) throw malformed('elementwise', 'a grid of 0 or more', `[${rows}, ${cols}]`)
  const limits: [string, number, number][] = [
    ['inputs', ins, elementwiseLimits.inputs],
    ['outputs', outs, elementwiseLimits.outputs],
    ['constants', constants, elementwiseLimits.constants],
    ['ops', ops, elementwiseLimits.ops],
  ]
  for (const [name, count, limit] of limits) if (count < 0 || count > limit) throw malformed('elementwise', `0 … ${limit} ${name}`, count)
  integers(call, 7 + 2 * ins + outs + 4 * ops)
  scalarsOf(call, constants)
  if (inputs.length !== ins) throw malformed('elementwise', `${ins} inputs`, inputs.length)
  if (outputs.length !== outs) throw malformed('elementwise', `${outs} outputs`, outputs.length)
  const size = volume(call, rows, cols)
  let at = 7
  const next = () => ints[at++] as number
  const layouts = inputs.map(({ length }, i) => {
    const [rowStride, colStride]: Pair = [next(), next()]
    const layout = layoutOf(rows, cols, rowStride, colStride)
    const expected = lengthOf(rows, cols, rowStride, colStride)
    if (length !== expected) throw malformed('elementwise', `input ${i} of ${expected} elements`, length)
    return layout
  })
  const registers = ins + constants + ops
  const results = outputs.map(({ length }, i) => {
    const register = next()
    if (register < 0 || register >= registers) throw malformed('elementwise', `output ${i} from a register below ${registers}`, register)
    if (length !== size) throw malformed('elementwise', `output ${i} of ${size} elements`, length)
    return register
  })
  const list: Op[] = []
  for (let i = 0; i < ops; i++) {
    const name = opNames[next()]
    if (name === undefined) throw malformed('elementwise', `op ${i} with a code below ${opNames.length}`, ints[at - 1])
    const operands = [next(), next(), next()]
    const arity = elementwiseOps[name]
    const own = ins + constants + i
    for (const [slot, register] of operands.entries()) {
      if (slot >= arity ? register !== 0 : register < 0 || register >= own) {
        throw malformed(
          'elementwise',
          slot >= arity ? `0 for the unused operands of op ${i}` : `op ${i} to read registers below ${own}`,
          register,
        )
      }
    }
    list.push({ name, operands: operands.slice(0, arity) })
  }
  return {
    compute,
    rows,
    cols,
    layouts,
    constants: call.scalars,
    ops: list,
    results,
    inputTypes: inputs.map((x) => x.dtype),
    outputTypes: outputs.map((x) => x.dtype),
  }
}

/** One micro-operation bound to places. */
interface Bound {
  readonly loop: Loop
  readonly arity: number
  readonly y: Place
  readonly a: Place
  readonly b: Place
  readonly c: Place
}

/** Something spread out or converted before the operations: once a run, or once a tile (then `at` says where it stands). */
interface Feed {
  readonly from: Ref
  readonly to: Place
}

const sameMemory = (a: Ref, b: Ref): boolean => a.base === b.base && a.start === b.start

function bind(micro: Micro, outs: readonly Ref[], ins: readonly Ref[]): Run {
  const { compute, layouts, constants, ops, results, inputTypes, outputTypes } = micro
  const type = compute === 0 ? 'float32' : 'float64'
  const flat = !layouts.includes('row') && !layouts.includes('column')
  const rows = flat ? 1 : micro.rows
  const cols = flat ? micro.rows * micro.cols : micro.cols
  if (micro.rows * micro.cols === 0) return () => {}
  const single = rows * cols <= thresholds.tile
  /** Whole rows in a tile; 1 where a row may take several tiles. */
  const tall = Math.max(1, Math.min(rows, Math.floor(thresholds.tile / cols)))
  const width = Math.min(cols, thresholds.tile)
  const area = tall * width

  let tiles = 0
  const free: Place[] = []
  const take = () => free.pop() ?? scratchTile(compute, tiles++)

  const places: Place[] = []
  /** In-place operands that move with the tile, where there are several: the place, its operand, and how it moves. */
  const movers: { place: Place; ref: Ref; row: boolean }[] = []
  const spreads: Feed[] = []
  const repeats: Feed[] = []
  const columns: Feed[] = []
  const converts: { from: Ref; to: Place; row: boolean }[] = []
  const inSitu = (ref: Ref, row = false): Place => {
    if (single) return ref
    const place = placeOf(ref.array)
    movers.push({ place, ref, row })
    return place
  }
  for (const [i, layout] of layouts.entries()) {
    const ref = ins[i] as Ref
    const native = inputTypes[i] === type
    const longRow = layout === 'row' && tall === 1
    if (native && (layout === 'dense' || longRow)) {
      places.push(inSitu(ref, longRow))
      continue
    }
    const to = take()
    places.push(to)
    if (layout === 'single') spreads.push({ from: ref, to })
    else if (layout === 'column') columns.push({ from: ref, to })
    else if (layout === 'row' && !longRow) repeats.push({ from: ref, to })
    else converts.push({ from: ref, to, row: longRow })
  }
  for (const value of constants) {
    const tile = compute === 0 ? new Float32Array(area) : new Float64Array(area)
    places.push(placeOf(tile.fill(value)))
  }

  const first = places.length
  const lastRead = new Array<number>(first + ops.length).fill(-1)
  for (const [i, op] of ops.entries()) for (const register of op.operands) lastRead[register] = i
  for (const register of results) lastRead[register] = ops.length
  const direct = new Set<number>()
  const bound: Bound[] = ops.map(({ name, operands }, i) => {
    const register = first + i
    const out = results.findIndex((result, o) => {
      if (result !== register || direct.has(o) || outputTypes[o] !== type) return false
      // writing now must not destroy an input that shares the memory and is read later
      return !ins.some((ref, r) => (lastRead[r] as number) > i && sameMemory(ref, outs[o] as Ref))
    })
    const [a, b, c] = operands.map((r) => places[r] as Place) as [Place, Place | undefined, Place | undefined]
    for (const r of new Set(operands)) {
      const place = places[r] as Place
      if (r >= first && lastRead[r] === i && scratch[compute as 0 | 1].includes(place)) free.push(place)
    }
    let y: Place
    if (out >= 0) {
      direct.add(out)
      y = inSitu(outs[out] as Ref)
    } else y = take()
    places[register] = y
    return { loop: loops[name], arity: operands.length, y, a, b: b ?? a, c: c ?? a }
  })
  // an input that is itself a result and shares memory with some output is kept aside before any output is stored
  for (const register of new Set(results)) {
    const ref = ins[register]
    if (!ref || layouts[register] !== 'dense' || !outs.some((out) => sameMemory(ref, out))) continue
    const place = places[register] as Place
    const kept = take()
    bound.push({ loop: loops.copy, arity: 1, y: kept, a: place, b: place, c: place })
    places[register] = kept
  }
  const last = results
    .map((register, o) => ({
      from: places[register] as Place,
      to: outs[o] as Ref,
      store: stores[outputTypes[o] as Dtype],
      direct: direct.has(o),
    }))
    .filter((x) => !x.direct)
    .map((x) => ({ ...x, to: inSitu(x.to) }))

  const operate = (n: number): void => {
    for (let i = 0; i < bound.length; i++) {
      const { loop, arity, y, a, b, c } = bound[i] as Bound
      if (arity === 1) (loop as Loop1)(n, y.array as Floats, y.offset, a.array as Floats, a.offset)
      else if (arity === 2) (loop as Loop2)(n, y.array as Floats, y.offset, a.array as Floats, a.offset, b.array as Floats, b.offset)
      else loop(n, y.array as Floats, y.offset, a.array as Floats, a.offset, b.array as Floats, b.offset, c.array as Floats, c.offset)
    }
    for (let i = 0; i < last.length; i++) {
      const { store, from, to } = last[i] as (typeof last)[number]
      store(n, to.array, to.offset, from.array, from.offset)
    }
  }
  const begin = (): void => {
    for (let i = 0; i < spreads.length; i++) {
      const { from, to } = spreads[i] as Feed
      fill(area, to.array, to.offset, from.array[from.offset] as number)
    }
    for (let i = 0; i < repeats.length; i++) {
      const { from, to } = repeats[i] as Feed
      for (let r = 0; r < tall; r++) load(cols, to.array, to.offset + r * cols, from.array, from.offset)
    }
  }
  /** Brings what a tile reads into place: `height` rows from `row`, `n / height` elements of each from `col`. */
  const feed = (n: number, row: number, col: number, height: number): void => {
    const at = row * cols + col
    for (let i = 0; i < movers.length; i++) {
      const { place, ref, row: alongRow } = movers[i] as (typeof movers)[number]
      place.array = ref.array
      place.offset = ref.offset + (alongRow ? col : at)
    }
    for (let i = 0; i < converts.length; i++) {
      const { from, to, row: alongRow } = converts[i] as (typeof converts)[number]
      load(n, to.array, to.offset, from.array, from.offset + (alongRow ? col : at))
    }
    const each = n / height
    for (let i = 0; i < columns.length; i++) {
      const { from, to } = columns[i] as Feed
      for (let r = 0; r < height; r++) fill(each, to.array, to.offset + r * each, from.array[from.offset + row + r] as number)
    }
  }

  if (single) {
    const n = rows * cols
    if (spreads.length + repeats.length + columns.length + converts.length === 0) return () => operate(n)
    return () => {
      begin()
      feed(n, 0, 0, rows)
      operate(n)
    }
  }
  return () => {
    begin()
    for (let row = 0; row < rows; row += tall) {
      const height = Math.min(tall, rows - row)
      for (let col = 0; col < cols; col += width) {
        const n = height * Math.min(width, cols - col)
        feed(n, row, col, height)
        operate(n)
      }
    }
  }
}
