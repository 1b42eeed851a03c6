/**
 * Lines: neighbouring steps of a very small program as one straight list of operations on single numbers. Calling a kernel
 * costs V8 tens of nanoseconds, as much as all the arithmetic of a network of a few neurons; here an operation costs about
 * four. What is computed is the same: float64 within an operation or a sum, rounded to the program's type when stored.
 *
 * To add an operation: a case in `interpret` and its name in `lineOps`; to add a kernel: an entry in `writers`.
 */

import { bytesPerElement } from '../../../util/dtype.js'
import { elementwiseOps, type Slot, type Step, spaces } from '../../program.js'
import type { Floats, Ref } from '../kernels/kernel.js'
import { thresholds } from '../thresholds.js'

/** A step's operand: its slot, and where it lies at the moment. */
export interface Placed {
  readonly slot: Slot
  readonly ref: Ref
}

const lineOps = [
  'copy',
  'neg',
  'add',
  'sub',
  'mul',
  'div',
  'square',
  'sqrt',
  'exp',
  'log',
  'relu',
  'sigmoid',
  'tanh',
  'maximum',
  'minimum',
] as const
const dotCode = lineOps.length
const productCode = dotCode + 1
const operationNames = Object.keys(elementwiseOps)

/** A number in memory, and the register that stands for it. */
export interface Cell {
  readonly placed: Placed
  readonly at: number
  readonly register: number
}

/** Registers are numbers of the program's type; each cell of memory that its lines touch has one. */
export class Registers {
  count = 0
  readonly constants: [register: number, value: number][] = []
  readonly #cells = new Map<string, number>()

  of(key: string): number {
    const register = this.#cells.get(key) ?? this.count++
    this.#cells.set(key, register)
    return register
  }

  constant(value: number): number {
    this.constants.push([this.count, value])
    return this.count++
  }
}

export class Writer {
  readonly code: number[] = []
  /** Pairs of registers whose products are summed. */
  readonly pairs: number[] = []
  /** Cells that the line reads before it has written them, and those that it writes. */
  readonly firstRead = new Map<string, Cell>()
  readonly written = new Map<string, Cell>()

  constructor(readonly registers: Registers) {}

  key({ slot }: Placed, at: number): string {
    return `${slot.space} ${slot.offset + at * bytesPerElement[slot.dtype]}`
  }

  read(placed: Placed, at: number): number {
    const key = this.key(placed, at)
    const register = this.registers.of(key)
    if (!this.written.has(key)) this.firstRead.set(key, { placed, at, register })
    return register
  }

  write(placed: Placed, at: number): number {
    const key = this.key(placed, at)
    const register = this.registers.of(key)
    this.written.set(key, { placed, at, register })
    return register
  }

  temporary(): number {
    return this.registers.count++
  }

  constant(value: number): number {
    return this.registers.constant(value)
  }

  emit(op: number, to: number, a: number, b = 0, c = 0): void {
    this.code.push(op, to, a, b, c)
  }
}

type StepWriter = (writer: Writer, step: Step, outputs: readonly Placed[], inputs: readonly Placed[]) => boolean

const elementwise: StepWriter = (writer, { ints, scalars }, outputs, inputs) => {
  const [, rows, cols, ins, outs, , ops] = ints as [number, number, number, number, number, number, number]
  if (rows * cols > thresholds.lineElements || rows * cols * ops > thresholds.lineOperations / 4) return false
  const results = 7 + 2 * ins
  const code = results + outs
  const codes = Array.from({ length: ops }, (_, k) => lineOps.indexOf(operationNames[ints[code + 4 * k] as number] as 'copy'))
  if (codes.includes(-1)) return false
  const constants = scalars.map((value) => writer.constant(value))
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) {
      const element = (i: number) => r * (ints[7 + 2 * i] as number) + c * (ints[8 + 2 * i] as number)
      const registers = [...inputs.map((x, i) => writer.read(x, element(i))), ...constants]
      const places = outputs.map((y) => writer.key(y, r * cols + c))
      // An operation writes an output at once, unless a later one still reads an input that lies in the same place.
      const direct = outputs.map((_, o) => {
        const made = (ints[results + o] as number) - registers.length
        const twice = outputs.some((__, other) => other < o && ints[results + other] === ints[results + o])
        const covered = inputs.map((x, i) => writer.key(x, element(i)) === places[o])
        const readLater = codes.some((_op, k) => k > made && [1, 2].some((word) => covered[ints[code + 4 * k + word] as number] === true))
        return made >= 0 && !twice && !readLater ? made : -1
      })
      codes.forEach((op, k) => {
        const at = code + 4 * k
        const [x, y] = [registers[ints[at + 1] as number] as number, registers[ints[at + 2] as number] as number]
        const output = direct.indexOf(k)
        registers.push(output < 0 ? writer.temporary() : writer.write(outputs[output] as Placed, r * cols + c))
        writer.emit(op, registers[registers.length - 1] as number, x, y)
      })
      outputs.forEach((y, i) => {
        if ((direct[i] as number) < 0) writer.emit(0, writer.write(y, r * cols + c), registers[ints[results + i] as number] as number)
      })
    }
  }
  return true
}

const matmul: StepWriter = (writer, { ints, scalars }, [c], [a, b, s]) => {
  const [batch, m, n, k, transA, transB] = ints as [number, number, number, number, number, number]
  if (batch !== 1 || m * n * k > thresholds.lineProducts || k === 0) return false
  const [alpha, beta] = scalars as [number, number]
  if (beta !== 0 && beta !== 1) return false
  const factor = s ? writer.read(s, 0) : -1
  const scale = writer.constant(alpha)
  const plain = alpha === 1 && factor < 0 && beta === 0
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      const at = i * n + j
      if (k === 1) {
        const [x, y] = [writer.read(a as Placed, i), writer.read(b as Placed, j)]
        const before = beta === 1 ? writer.read(c as Placed, at) : -1
        const to = writer.write(c as Placed, at)
        if (plain) writer.emit(lineOps.indexOf('mul'), to, x, y)
        else writer.code.push(productCode, to, x, y, scale, factor, before)
        continue
      }
      const from = writer.pairs.length
      for (let p = 0; p < k; p++) {
        writer.pairs.push(
          writer.read(a as Placed, transA ? p * m + i : i * k + p),
          writer.read(b as Placed, transB ? j * k + p : p * n + j),
        )
      }
      const old = beta === 1 ? writer.read(c as Placed, at) : -1
      writer.code.push(dotCode, writer.write(c as Placed, at), from, writer.pairs.length, scale, factor, old)
    }
  }
  return true
}

const sum: StepWriter = (writer, { ints }, [y], [x]) => {
  const [outer, n, inner] = ints as [number, number, number]
  if (outer * n * inner > thresholds.lineProducts) return false
  const one = writer.constant(1)
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const from = writer.pairs.length
      for (let p = 0; p < n; p++) writer.pairs.push(writer.read(x as Placed, (o * n + p) * inner + i), one)
      writer.code.push(dotCode, writer.write(y as Placed, o * inner + i), from, writer.pairs.length, one, -1, -1)
    }
  }
  return true
}

const writers: Partial<Record<Step['kernel'], StepWriter>> = { elementwise, matmul, sum }

/** Operations take five words, products and sums of products seven. */
export function interpret(code: Int32Array, pairs: Int32Array, m: Floats): void {
  for (let i = 0; i < code.length; i += 5) {
    const op = code[i] as number
    const to = code[i + 1] as number
    if (op >= dotCode) {
      let total = 0
      if (op === productCode) {
        total = (m[code[i + 2] as number] as number) * (m[code[i + 3] as number] as number)
      } else {
        const end = code[i + 3] as number
        for (let p = code[i + 2] as number; p < end; p += 2)
          total += (m[pairs[p] as number] as number) * (m[pairs[p + 1] as number] as number)
      }
      const factor = code[i + 5] as number
      const old = code[i + 6] as number
      const alpha = factor < 0 ? (m[code[i + 4] as number] as number) : (m[code[i + 4] as number] as number) * (m[factor] as number)
      m[to] = old < 0 ? alpha * total : alpha * total + (m[old] as number)
      i += 2
      continue
    }
    const x = m[code[i + 2] as number] as number
    switch (op) {
      case 0:
        m[to] = x
        break
      case 1:
        m[to] = -x
        break
      case 2:
        m[to] = x + (m[code[i + 3] as number] as number)
        break
      case 3:
        m[to] = x - (m[code[i + 3] as number] as number)
        break
      case 4:
        m[to] = x * (m[code[i + 3] as number] as number)
        break
      case 5:
        m[to] = x / (m[code[i + 3] as number] as number)
        break
      case 6:
        m[to] = x * x
        break
      case 7:
        m[to] = Math.sqrt(x)
        break
      case 8:
        m[to] = Math.exp(x)
        break
      case 9:
        m[to] = Math.log(x)
        break
      case 10:
        m[to] = Math.max(x, 0)
        break
      case 11:
        m[to] = 1 / (1 + Math.exp(-x))
        break
      case 12:
        m[to] = Math.tanh(x)
        break
      case 13:
        m[to] = Math.max(x, m[code[i + 3] as number] as number)
        break
      case 14:
        m[to] = Math.min(x, m[code[i + 3] as number] as number)
        break
    }
  }
}

/** Adds a step to a line, or leaves the line as it was and says no. */
export function append(writer: Writer, step: Step, operands: (slot: number) => Placed, dtype: string): boolean {
  const write = writers[step.kernel]
  const outputs = step.outputs.map(operands)
  const inputs = step.inputs.map(operands)
  const fits = [...outputs, ...inputs].every(({ slot }) => slot.dtype === dtype && slot.space !== spaces.report)
  const computes = step.kernel !== 'elementwise' || step.ints[0] === (dtype === 'float32' ? 0 : 1)
  return write !== undefined && fits && computes && write(writer, step, outputs, inputs)
}
