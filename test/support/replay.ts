/** Functions of tensors by a compiled program, without a state. */

import type { Lowered } from '../../lib/plan/lower.js'
import { lowerFunction, Plan } from '../../lib/plan/plan.js'
import { StateLayout } from '../../lib/plan/state-layout.js'
import { emptyTensor, type Tensor } from '../../lib/tensor/tensor.js'
import type { FloatDtype } from '../../lib/util/dtype.js'

type Results = (...x: Tensor[]) => readonly Tensor[]

/** The program of a function: its inputs are those of the function, then its results, which are like these. */
export function programOf(f: Results, inputs: readonly Tensor[], like: readonly Tensor[], dtype: FloatDtype): Lowered {
  const specs = [...inputs, ...like].map((x, i) => ({ name: `${i}`, shape: x.shape, dtype: x.dtype, writable: i >= inputs.length }))
  return lowerFunction(specs, new StateLayout(), { dtype }, (r) => {
    f(...inputs.map((_, i) => r.input(i))).forEach((y, i) => {
      r.output(inputs.length + i, y)
    })
  })
}

/** The results by a program, written over what is no result. */
export function replay(f: Results, inputs: readonly Tensor[], like: readonly Tensor[], dtype: FloatDtype): Tensor[] {
  const outputs = like.map((y) => emptyTensor(y.shape, y.dtype))
  for (const y of outputs) y.data.fill(y.dtype === 'bool' ? 1 : 77)
  new Plan(programOf(f, inputs, like, dtype)).run(
    undefined,
    [...inputs, ...outputs].map((x) => x.data),
  )
  return outputs
}
