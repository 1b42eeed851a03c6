/** A program as text, for people who ask what runs. */

import { elementwiseOps, type Program, type Slot, type Step, spaces } from '../backend/program.js'

const elementwiseNames = Object.keys(elementwiseOps)

/** Floating-point operations of a call, counted as usual (a fused multiply-add is two). */
export function flopsOf(step: Step): number {
  const n = step.ints as readonly number[]
  switch (step.kernel) {
    case 'matmul':
      return 2 * (n[0] as number) * (n[1] as number) * (n[2] as number) * (n[3] as number)
    case 'elementwise':
      return (n[1] as number) * (n[2] as number) * (n[6] as number)
    default:
      return 0
  }
}

function detail(step: Step): string {
  const n = step.ints
  if (step.kernel === 'matmul') {
    const [batch, m, cols, k, transA, transB] = n as [number, number, number, number, number, number]
    const head = batch > 1 ? `${batch} × ` : ''
    const [alpha, beta] = step.scalars
    return `${head}[${m}, ${k}]${transA ? 'ᵀ' : ''} · [${k}, ${cols}]${transB ? 'ᵀ' : ''}${beta === 1 ? `, added${alpha === 1 ? '' : ` × ${alpha}`}` : ''}`
  }
  if (step.kernel === 'elementwise') {
    const [, rows, cols, inputs, outputs, , ops] = n as [number, number, number, number, number, number, number]
    const start = 7 + 2 * inputs + outputs
    const names = Array.from({ length: ops }, (_, i) => elementwiseNames[n[start + 4 * i] as number])
    return `[${rows}, ${cols}] ${names.join(' ')}`
  }
  return `[${n.join(', ')}]`
}

const spaceNames = ['arena', 'state', 'report']

function where(program: Program, slot: Slot): string {
  const name = slot.space < spaces.inputs ? spaceNames[slot.space] : program.inputs[slot.space - spaces.inputs]?.name
  return `${name}${slot.offset ? `+${slot.offset}` : ''}`
}

export function describeProgram(program: Program): string {
  const rows = program.steps.map((step, i) => {
    const slot = (id: number) => where(program, program.slots[id] as Slot)
    return [
      `${i}`,
      step.kernel,
      detail(step),
      `${step.outputs.map(slot).join(' ')} ← ${step.inputs.map(slot).join(' ')}`,
      flopsOf(step) > 0 ? `${flopsOf(step)}` : '',
    ]
  })
  const table = [['#', 'kernel', 'what', 'where', 'flops'], ...rows]
  const widths = [0, 1, 2, 3, 4].map((col) => table.reduce((w, row) => Math.max(w, (row[col] as string).length), 0))
  const lines = table.map((row) =>
    row
      .map((cell, col) => cell.padEnd(widths[col] as number))
      .join('  ')
      .trimEnd(),
  )
  const total = program.steps.reduce((sum, step) => sum + flopsOf(step), 0)
  return [
    ...lines,
    `${program.dtype}, ${program.steps.length} calls, ${total} flops a run, arena ${program.arenaBytes} bytes, state ${program.stateBytes} bytes`,
  ].join('\n')
}
