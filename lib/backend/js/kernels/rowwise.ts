/**
 * rowwise: a micro-program over the rows of a grid that may sum along them. Some rows are taken at a time; every register has a
 * scratch tile, and outputs are stored when the tile has been computed, so that they may lie where inputs do.
 */

import { allocate, type TypedArray } from '../../../util/dtype.js'
import { type ElementwiseOp, elementwiseLimits, elementwiseOps, rowLayouts, sumOfRow } from '../../program.js'
import { thresholds } from '../thresholds.js'
import { stores } from './elementwise.js'
import { type Floats, integers, malformed, type Operand, type Prepare, type Ref, type Run, scalarsOf, volume } from './kernel.js'
import { loops } from './micro-ops.js'
import { sumFloat } from './reduce.js'

const opNames = Object.keys(elementwiseOps) as ElementwiseOp[]

type Layout = (typeof rowLayouts)[number]

interface Op {
  /** Absent for the sum of a row. */
  readonly name: ElementwiseOp | undefined
  readonly operands: readonly number[]
}

/** A checked micro-program; registers are numbered as in the call, and hold an element for each of the grid (wide) or one for each row. */
interface Rows {
  readonly compute: 'float32' | 'float64'
  readonly rows: number
  readonly cols: number
  readonly layouts: readonly Layout[]
  readonly constants: readonly number[]
  readonly ops: readonly Op[]
  readonly results: readonly number[]
  readonly wide: readonly boolean[]
  readonly outputTypes: readonly Operand['dtype'][]
}

export const rowwise: Prepare = (call, outputs, inputs) => {
  const program = parse(call, outputs, inputs)
  return { bind: (outs, ins) => bind(program, outs, ins), inPlace: program.layouts.map((layout) => layout === 'dense') }
}

function parse(call: Parameters<Prepare>[0], outputs: readonly Operand[], inputs: readonly Operand[]): Rows {
  const refuse = (expected: unknown, got: unknown) => malformed('rowwise', expected, got)
  const ints = integers(call, 7, true)
  const [compute, rows, cols, ins, outs, constants, ops] = ints as unknown as [number, number, number, number, number, number, number]
  if (compute !== 0 && compute !== 1) throw refuse('compute of 0 or 1', compute)
  if (rows < 0 || cols < 0) throw refuse('a grid of 0 or more', `[${rows}, ${cols}]`)
  const counts = { inputs: ins, outputs: outs, constants, ops }
  for (const [name, count] of Object.entries(counts)) {
    const limit = elementwiseLimits[name as keyof typeof counts]
    if (count < 0 || count > limit) throw refuse(`0 … ${limit} ${name}`, count)
  }
  integers(call, 7 + ins + outs + 4 * ops)
  scalarsOf(call, constants)
  if (inputs.length !== ins) throw refuse(`${ins} inputs`, inputs.length)
  if (outputs.length !== outs) throw refuse(`${outs} outputs`, outputs.length)
  const size = volume(call, rows, cols)
  const lengths: Record<Layout, number> = { dense: size, row: cols, column: rows, single: 1 }
  let at = 7
  const next = () => ints[at++] as number
  const layouts = inputs.map(({ length }, i) => {
    const layout = rowLayouts[next()]
    if (layout === undefined) throw refuse('layouts of 0 to 3', ints[at - 1])
    if (length !== lengths[layout]) throw refuse(`input ${i} of ${lengths[layout]} elements`, length)
    return layout
  })
  const results = outputs.map(next)
  const first = ins + constants
  const wide: boolean[] = [...layouts.map((layout) => layout === 'dense' || layout === 'row'), ...new Array<boolean>(constants).fill(false)]
  const list = Array.from({ length: ops }, (_, i): Op => {
    const code = next()
    if (code < 0 || code > sumOfRow) throw refuse(`op codes up to ${sumOfRow}`, code)
    const name = opNames[code]
    const arity = name === undefined ? 1 : elementwiseOps[name]
    const operands = [next(), next(), next()]
    for (const [slot, register] of operands.entries()) {
      if (slot >= arity ? register !== 0 : register < 0 || register >= first + i)
        throw refuse(slot >= arity ? `0 for the unused operands of op ${i}` : `op ${i} to read registers below ${first + i}`, register)
    }
    const own = operands.slice(0, arity)
    const spans = own.some((register) => wide[register])
    if (name === undefined && !spans) throw refuse(`op ${i} to sum rows of elements`, operands[0])
    wide.push(name !== undefined && spans)
    return { name, operands: own }
  })
  for (const [o, register] of results.entries()) {
    if (register < first || register >= first + ops) throw refuse('outputs from ops', register)
    const expected = wide[register] ? size : rows
    const { length } = outputs[o] as Operand
    if (length !== expected) throw refuse(`output ${o} of ${expected} elements`, length)
  }
  return {
    compute: compute === 0 ? 'float32' : 'float64',
    rows,
    cols,
    layouts,
    constants: call.scalars,
    ops: list,
    results,
    wide,
    outputTypes: outputs.map(({ dtype }) => dtype),
  }
}

function copy(n: number, y: TypedArray, yo: number, x: TypedArray, xo: number): void {
  for (let i = 0; i < n; i++) y[yo + i] = x[xo + i] as number
}

/** Spreads a number a row over the rows. */
function spread(height: number, cols: number, y: TypedArray, x: TypedArray): void {
  for (let r = 0; r < height; r++) y.fill(x[r] as number, r * cols, (r + 1) * cols)
}

function bind(
  { compute, rows, cols, layouts, constants, ops, results, wide, outputTypes }: Rows,
  outs: readonly Ref[],
  ins: readonly Ref[],
): Run {
  const tall = Math.max(1, Math.min(rows, Math.floor(thresholds.tile / Math.max(cols, 1))))
  const area = tall * Math.max(cols, 1)
  const first = ins.length + constants.length
  /** What each register holds, and the same over whole rows where an operation on those reads a number a row. */
  const tiles = wide.map((whole) => allocate(compute, whole ? area : tall) as Floats)
  const whole = tiles.slice()
  const spreads = ops.map(({ name, operands }, i) => {
    if (name === undefined || !wide[first + i]) return []
    const own = [...new Set(operands)].filter((register) => !wide[register] && whole[register] === tiles[register])
    for (const register of own) whole[register] = allocate(compute, area) as Floats
    return own
  })
  const step = (height: number, i: number): void => {
    const { name, operands } = ops[i] as Op
    const y = tiles[first + i] as Floats
    const [a, b = a, c = a] = operands as [number, number?, number?]
    if (name === undefined) {
      for (let r = 0; r < height; r++) y[r] = sumFloat(cols, tiles[a] as Floats, r * cols, 1)
      return
    }
    for (const register of spreads[i] as number[]) spread(height, cols, whole[register] as Floats, tiles[register] as Floats)
    const from = wide[first + i] ? whole : tiles
    const n = wide[first + i] ? height * cols : height
    loops[name](n, y, 0, from[a] as Floats, 0, from[b] as Floats, 0, from[c] as Floats, 0)
  }
  return () => {
    for (let i = 0; i < constants.length; i++) (tiles[ins.length + i] as Floats).fill(constants[i] as number)
    for (let row = 0; row < rows; row += tall) {
      const height = Math.min(tall, rows - row)
      for (let i = 0; i < ins.length; i++) {
        const { array, offset } = ins[i] as Ref
        const tile = tiles[i] as Floats
        const layout = layouts[i] as Layout
        if (layout === 'dense') copy(height * cols, tile, 0, array, offset + row * cols)
        else if (layout === 'column') copy(height, tile, 0, array, offset + row)
        else if (layout === 'single') tile.fill(array[offset] as number)
        else for (let r = 0; r < height; r++) copy(cols, tile, r * cols, array, offset)
      }
      for (let i = 0; i < ops.length; i++) step(height, i)
      for (let o = 0; o < outs.length; o++) {
        const { array, offset } = outs[o] as Ref
        const register = results[o] as number
        const n = wide[register] ? cols : 1
        stores[outputTypes[o] as Operand['dtype']](height * n, array, offset + row * n, tiles[register] as Floats, 0)
      }
    }
  }
}
