/**
 * How a program is cut into lines and single calls, and what is carried between memory and a line's registers: whatever other
 * steps or the caller may have written or will read. The rest stays in registers.
 */

import { bytesPerElement } from '../../../util/dtype.js'
import { type Loop, type Slot, type Step, spaces } from '../../program.js'
import type { Floats, Ref } from '../kernels/kernel.js'
import { thresholds } from '../thresholds.js'
import { append, type Cell, interpret, type Placed, Registers, Writer } from './line.js'

/** Numbers carried between memory and registers, one way. */
class Carried {
  readonly #refs: readonly Ref[]
  readonly #at: Int32Array
  readonly #registers: Int32Array

  constructor(cells: readonly Cell[]) {
    this.#refs = cells.map(({ placed }) => placed.ref)
    this.#at = Int32Array.from(cells, ({ at }) => at)
    this.#registers = Int32Array.from(cells, ({ register }) => register)
  }

  load(m: Floats): void {
    const [refs, at, registers] = [this.#refs, this.#at, this.#registers]
    for (let i = 0; i < refs.length; i++) {
      const ref = refs[i] as Ref
      m[registers[i] as number] = ref.array[ref.offset + (at[i] as number)] as number
    }
  }

  store(m: Floats): void {
    const [refs, at, registers] = [this.#refs, this.#at, this.#registers]
    for (let i = 0; i < refs.length; i++) {
      const ref = refs[i] as Ref
      ref.array[ref.offset + (at[i] as number)] = m[registers[i] as number] as number
    }
  }
}

/** Steps to be run one after the other: `step` is the first that each covers. */
export interface Stretch {
  /** False where the run shall end. */
  readonly run: () => unknown
  readonly step: number
}

/** A step, its number, and its kernel bound to its operands; of a loop the whole of it. */
export interface Numbered {
  readonly step: Step
  readonly number: number
  readonly run: () => unknown
}

/** The steps of a program as they are run: each by its kernel, or several as a line. */
export interface Stretches {
  readonly list: readonly Stretch[]
  /** Brings in the cells of the state that lines keep in registers from run to run. */
  begin(): void
  /** Brings them back. */
  end(): void
}

/**
 * Cuts a program into stretches. A line carries in what other steps or the caller may have written, and out what other steps
 * read; cells of the state that lines alone touch stay in registers from `begin` to `end`.
 */
export function stretches(steps: readonly Numbered[], operands: (slot: number) => Placed, dtype: 'float32' | 'float64'): Stretches {
  const registers = new Registers()
  const parts: { at: Numbered; writer: Writer | undefined }[] = []
  const others: Step[] = []
  for (let i = 0; i < steps.length; ) {
    const writer = new Writer(registers)
    let end = i
    while (
      end < steps.length &&
      writer.code.length < thresholds.longestLine &&
      append(writer, (steps[end] as Numbered).step, operands, dtype)
    )
      end++
    const line = end - i >= 2
    parts.push({ at: steps[i] as Numbered, writer: line ? writer : undefined })
    if (!line) others.push((steps[i] as Numbered).step)
    i = line ? end : i + 1
  }
  // A step that adds to its output reads it.
  const slotOf = (slot: number) => operands(slot).slot
  const read = others.flatMap((step) => reached(step, slotOf, ({ inputs, outputs }) => [...inputs, ...outputs]))
  const written = others.flatMap((step) => reached(step, slotOf, ({ outputs }) => outputs))
  const inState = ({ placed }: Cell) => placed.slot.space === spaces.state
  const given = ({ placed }: Cell) => placed.slot.space >= spaces.inputs
  const byOthers = (slots: readonly Slot[], { placed: { slot }, at }: Cell) => touched(slots, slot, at)
  const lines = parts.flatMap(({ writer }) => writer ?? [])
  const kept = new Map<string, Cell>()
  for (const { firstRead, written: own } of lines) {
    for (const [key, cell] of [...firstRead, ...own]) if (inState(cell) && !byOthers(written, cell)) kept.set(key, cell)
  }
  const m = dtype === 'float32' ? new Float32Array(registers.count) : new Float64Array(registers.count)
  for (const [register, value] of registers.constants) m[register] = value
  const list = parts.map(({ at: { run: alone, number: step }, writer }): Stretch => {
    if (!writer) return { run: alone, step }
    const loads = [...writer.firstRead.values()].filter((cell) => given(cell) || byOthers(written, cell))
    const stores = [...writer.written.values()].filter(
      (cell) => given(cell) || byOthers(read, cell) || (inState(cell) && byOthers(written, cell)),
    )
    const [before, after] = [new Carried(loads), new Carried(stores)]
    const [code, pairs] = [Int32Array.from(writer.code), Int32Array.from(writer.pairs)]
    const run = () => {
      before.load(m)
      interpret(code, pairs, m)
      after.store(m)
    }
    return { run, step }
  })
  const keys = new Set(lines.flatMap(({ written: own }) => [...own.keys()]))
  const all = new Carried([...kept.values()])
  const changed = new Carried([...kept].flatMap(([key, cell]) => (keys.has(key) ? [cell] : [])))
  return { list, begin: () => all.load(m), end: () => changed.store(m) }
}

/** Slots of a step, and of those in a loop: a window as all that it comes over. */
function reached(step: Step, slotOf: (slot: number) => Slot, of: (step: Step) => readonly number[], loops: readonly Loop[] = []): Slot[] {
  const { loop } = step
  if (loop) return loop.steps.flatMap((inner) => reached(inner, slotOf, of, [...loops, loop]))
  return of(step).map((id) => {
    const slot = slotOf(id)
    let [first, last] = [0, 0]
    for (const { length, windows } of loops) {
      const by = (windows.find((window) => window.slot === id)?.advance ?? 0) * Math.max(0, length - 1)
      first += Math.min(0, by)
      last += Math.max(0, by)
    }
    return { ...slot, offset: slot.offset + first * bytesPerElement[slot.dtype], length: slot.length + last - first }
  })
}

/** Whether an element of a slot lies within one of some slots. */
function touched(slots: readonly Slot[], slot: Slot, at: number): boolean {
  const byte = slot.offset + at * bytesPerElement[slot.dtype]
  return slots.some(
    (other) => other.space === slot.space && byte >= other.offset && byte < other.offset + other.length * bytesPerElement[other.dtype],
  )
}
