/**
 * Donated arguments: a result may be written over the memory of an argument that nobody reads afterwards. It is a rewrite of the
 * finished program, decided by what its steps read and write; where it is not safe the result has memory of its own.
 */

import { flatSteps, type Program, type Step, spaces } from '../backend/program.js'

/** Kernels that may stop a run: nothing may be overwritten before them that the caller still has after a failure. */
const mayStop: ReadonlySet<string> = new Set([
  'gather',
  'scatterAdd',
  'takeAlong',
  'putAlong',
  'oneHot',
  'toIndex',
  'softmaxCrossEntropy',
  'softmaxCrossEntropyGrad',
])

/** Where the strides of an elementwise call's inputs begin in its integers; see `ElementwiseCode`. */
const firstStride = 7

/** Whether an elementwise step reads its operand `i` point by point, so that it may be overwritten by the result. */
function readsInPlace({ kernel, ints }: Step, i: number): boolean {
  if (kernel !== 'elementwise') return false
  const [, rows, cols] = ints as [number, number, number]
  const [rowStride, colStride] = [ints[firstStride + 2 * i], ints[firstStride + 2 * i + 1]]
  return (cols === 1 || colStride === 1) && (rows === 1 || rowStride === cols)
}

/** Whether input `result` may lie in the memory of input `donor`: nothing reads the donor after the result is written, and no step can fail. */
function fits(program: Program, result: number, donor: number): boolean {
  const [to, from] = [program.inputs[result], program.inputs[donor]]
  if (to?.dtype !== from?.dtype || to?.length !== from?.length || from?.length === 0) return false
  const within = (slot: number, input: number) => program.slots[slot]?.space === spaces.inputs + input
  // A loop is taken as one step: what it reads it reads again after it has written.
  const steps = program.steps.map((step) => {
    if (!step.loop) return { ...step, stops: mayStop.has(step.kernel) }
    const all = flatSteps(step.loop.steps)
    const [outputs, inputs] = [all.flatMap((inner) => inner.outputs), all.flatMap((inner) => inner.inputs)]
    return { ...step, outputs, inputs, stops: all.some(({ kernel }) => mayStop.has(kernel)) }
  })
  const written = steps.findIndex(({ outputs }) => outputs.some((slot) => within(slot, result)))
  if (written < 0) return false
  return steps.every((step, at) => {
    if (at >= written && step.stops) return false
    return step.inputs.every((slot, i) => {
      if (!within(slot, donor) || at < written) return true
      return at === written && program.slots[slot]?.dtype === to?.dtype && readsInPlace(step, i)
    })
  })
}

/** The program with results in the memory of donors, and which took which. */
export function overDonors(
  program: Program,
  results: readonly number[],
  donors: readonly number[],
): { program: Program; taken: ReadonlyMap<number, number> } {
  const taken = new Map<number, number>()
  const left = new Set(donors)
  for (const result of results) {
    for (const donor of left) {
      if (!fits(program, result, donor)) continue
      taken.set(result, donor)
      left.delete(donor)
      break
    }
  }
  const used = new Set(taken.values())
  return {
    taken,
    program: {
      ...program,
      inputs: program.inputs.map((input, i) => {
        if (taken.has(i)) return { ...input, length: 0, writable: false }
        return used.has(i) ? { ...input, writable: true } : input
      }),
      slots: program.slots.map((slot) => {
        const donor = taken.get(slot.space - spaces.inputs)
        return donor === undefined ? slot : { ...slot, space: spaces.inputs + donor }
      }),
    },
  }
}
