/** A program as text, for people who ask what runs. To say more about a kernel: a case in `detailOf`, and in `flopsOf`. */

import { elementwiseOps, type Loop, type Program, type Slot, type Step, spaces } from '../backend/program.js'
import { bytesPerElement } from '../util/dtype.js'

/** Multiply-adds of a convolution or of its transposes: every cell of every window, over the zeros around the image too. */
const windowsOf = ([batch, , , c, p, q, d, kh, kw]: readonly number[], groups: number): number =>
  [batch, p, q, d, kh, kw].reduce<number>((product, size) => product * (size as number), 1) * ((c as number) / groups)

/** The scores of attention, of which a causal mask leaves half. */
const scoresOf = ([m, heads, T, S, , , , causal]: readonly number[]): number =>
  ((m as number) * (heads as number) * (T as number) * (S as number)) / (causal ? 2 : 1)

const elementwiseNames = [...Object.keys(elementwiseOps), 'sum']

const timesOf = (step: Step): number => step.loop?.length ?? 1

/** Floating-point operations of a call, counted as usual (a fused multiply-add is two; a function of one number is one). */
export function flopsOf(step: Step): number {
  const n = step.ints as readonly number[]
  switch (step.kernel) {
    case 'loop':
      return timesOf(step) * (step.loop?.steps ?? []).reduce((sum, inner) => sum + flopsOf(inner), 0)
    case 'matmul':
      return 2 * (n[0] as number) * (n[1] as number) * (n[2] as number) * (n[3] as number)
    case 'elementwise':
    case 'rowwise':
      return (n[1] as number) * (n[2] as number) * (n[6] as number)
    case 'conv':
    case 'convInput':
    case 'convWeight':
      return 2 * windowsOf(n, n[15] as number)
    case 'attention':
      return 2 * scoresOf(n) * ((n[4] as number) + (n[5] as number))
    case 'attentionGrad':
      return 2 * scoresOf(n) * (3 * (n[4] as number) + 2 * (n[5] as number))
    // One position in a window of pooling.
    case 'convInputPooled':
    case 'convWeightPooled':
      return 2 * windowsOf([...n.slice(0, 4), n[15] as number, n[16] as number, ...n.slice(6)], 1)
    default:
      return 0
  }
}

/** The sizes of a convolution, of its transposes, of pooling: images, windows, where they lie. */
function imagesOf(kernel: Step['kernel'], n: readonly number[]): string | undefined {
  const size = (...sizes: (number | undefined)[]) => sizes.join(' × ')
  const unless = (usual: number, name: string, [a, b]: readonly number[]) => (a === usual && b === usual ? '' : `, ${name} ${size(a, b)}`)
  const lie = (from: number) =>
    unless(1, 'stride', n.slice(from)) + unless(0, 'padding', n.slice(from + 2)) + unless(1, 'dilation', n.slice(from + 4))
  const [batch, h, w, c, p, q] = n
  if (kernel.startsWith('conv')) {
    const pooled = kernel.endsWith('Pooled')
    const groups = pooled || n[15] === 1 ? '' : `, ${n[15]} groups`
    const pools = pooled ? `, at the largest of windows ${size(n[17], n[18])}` : ''
    return `${batch} of ${size(h, w, c)} ∗ ${size(n[7], n[8])} → ${size(p, q, n[6])}${lie(9)}${groups}${pools}`
  }
  const pool = kernel === 'maxPool' || kernel === 'poolTake' || kernel === 'poolPut'
  return pool ? `${batch} of ${size(h, w, c)}, windows ${size(n[6], n[7])} → ${size(p, q)}${lie(8)}` : undefined
}

/** Bytes of a call's operands, each counted once: what it moves at least where nothing is in a cache. A gather sees part of its first. */
export function bytesOf(program: Program, step: Step): number {
  if (step.loop) return timesOf(step) * step.loop.steps.reduce((sum, inner) => sum + bytesOf(program, inner), 0)
  const bytes = (id: number) => {
    const { length, dtype } = program.slots[id] as Slot
    return length * bytesPerElement[dtype]
  }
  // Most of what is added up lies where its sum will.
  if (step.kernel === 'allReduce') return summedBytes(program, step)
  const whole = [...new Set([...step.outputs, ...step.inputs])].reduce((sum, id) => sum + bytes(id), 0)
  if (step.kernel !== 'gather') return whole
  return whole - bytes(step.inputs[0] as number) + bytes(step.outputs[0] as number)
}

/** Bytes that a step adds up over all processes. */
export function summedBytes(program: Program, step: Step): number {
  if (step.kernel !== 'allReduce') return 0
  const { length, dtype } = program.slots[step.outputs[0] as number] as Slot
  return length * bytesPerElement[dtype]
}

/** What a call computes, with its sizes. */
export function detailOf(step: Step): string {
  const n = step.ints
  if (step.loop) return `${step.loop.length} times ${step.loop.steps.length} calls`
  if (step.kernel === 'matmul') {
    const [batch, m, cols, k, transA, transB] = n as [number, number, number, number, number, number]
    const head = batch > 1 ? `${batch} × ` : ''
    const [alpha, beta] = step.scalars
    return `${head}[${m}, ${k}]${transA ? 'ᵀ' : ''} · [${k}, ${cols}]${transB ? 'ᵀ' : ''}${beta === 1 ? `, added${alpha === 1 ? '' : ` × ${alpha}`}` : ''}`
  }
  if (step.kernel === 'elementwise' || step.kernel === 'rowwise') {
    const [, rows, cols, inputs, outputs, , ops] = n as [number, number, number, number, number, number, number]
    const start = 7 + (step.kernel === 'elementwise' ? 2 : 1) * inputs + outputs
    const names = Array.from({ length: ops }, (_, i) => elementwiseNames[n[start + 4 * i] as number])
    return `[${rows}, ${cols}] ${names.join(' ')}`
  }
  if (step.kernel === 'allReduce') {
    const [vote, ...sizes] = n as [number, ...number[]]
    return `${sizes.reduce((a, b) => a + b, 0).toLocaleString('en')} numbers of ${sizes.length} arrays${vote ? ', the last a vote' : ''}`
  }
  if (step.kernel === 'attention' || step.kernel === 'attentionGrad') {
    const [m, heads, T, S, d, e, , causal, masked] = n
    return `${m} × ${heads} heads, ${T} queries · ${S} keys of ${d === e ? d : `${d}, values of ${e}`}${causal ? ', causal' : ''}${masked ? ', masked' : ''}`
  }
  return imagesOf(step.kernel, n) ?? `[${n.join(', ')}]`
}

const spaceNames = ['arena', 'state', 'report']

function where(program: Program, slot: Slot): string {
  const name = slot.space < spaces.inputs ? spaceNames[slot.space] : program.inputs[slot.space - spaces.inputs]?.name
  return `${name}${slot.offset ? `+${slot.offset}` : ''}`
}

/** A count with its thousands apart, or nothing for none. */
export const grouped = (n: number): string => (n > 0 ? n.toLocaleString('en') : '')

/** Rows of cells under a heading; the columns named are numbers and end at one line. */
export function textTable(heading: readonly string[], rows: readonly (readonly string[])[], numbers: readonly number[]): string {
  const table = [heading, ...rows]
  const widths = heading.map((_, col) => table.reduce((w, row) => Math.max(w, (row[col] as string).length), 0))
  const cell = (text: string, col: number) =>
    numbers.includes(col) ? text.padStart(widths[col] as number) : text.padEnd(widths[col] as number)
  return table.map((row) => row.map(cell).join('  ').trimEnd()).join('\n')
}

/**
 * A table of the calls: what each computes, its operations and the bytes of its operands, and where they lie; those of a loop under it,
 * each counted once there and as often as it is run in the loop's own line. A window is marked ↓ or ↑, as it moves.
 *
 * @param labels of the steps: those of loops are shown
 */
export function describeProgram(program: Program, labels: readonly string[] = []): string {
  const rows: string[][] = []
  const notes: string[] = []
  const add = (steps: readonly Step[], loops: readonly Loop[]): void => {
    for (const step of steps) {
      const slot = (id: number) => {
        const advance = loops
          .findLast(({ windows }) => windows.some((window) => window.slot === id))
          ?.windows.find((window) => window.slot === id)
        return where(program, program.slots[id] as Slot) + (advance ? (advance.advance > 0 ? '↓' : '↑') : '')
      }
      const i = rows.length
      if (step.loop && labels[i]) notes.push(`${i}: ${labels[i]}`)
      rows.push([
        `${i}`,
        `${'  '.repeat(loops.length)}${step.kernel}`,
        detailOf(step),
        grouped(flopsOf(step)),
        grouped(bytesOf(program, step)),
        step.loop ? '' : `${step.outputs.map(slot).join(' ')} ← ${step.inputs.map(slot).join(' ')}`,
      ])
      if (step.loop) add(step.loop.steps, [...loops, step.loop])
    }
  }
  add(program.steps, [])
  const total = (of: (step: Step) => number) => program.steps.reduce((sum, step) => sum + of(step), 0).toLocaleString('en')
  const moved = total((step) => bytesOf(program, step))
  const held = `arena ${program.arenaBytes.toLocaleString('en')} bytes, state ${program.stateBytes.toLocaleString('en')} bytes`
  return [
    textTable(['#', 'kernel', 'what', 'flops', 'bytes', 'where'], rows, [0, 3, 4]),
    ...notes,
    `${program.dtype}, ${rows.length} calls, ${total(flopsOf)} flops and ${moved} bytes a run; ${held}`,
  ].join('\n')
}
