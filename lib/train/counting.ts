/** What of a set counts: samples by their weights, or steps of samples by theirs and by the lengths of sequences. */

import { reshape } from '../primitives/movement.js'
import type { Tensor } from '../tensor/tensor.js'

export interface Counting {
  /** Whether each sample has a weight, or each of its steps. */
  readonly weighted: 'samples' | 'steps' | false
  /** Whether only the steps within a sample's `lengths` count, of targets of one a step. */
  readonly masked: boolean
}

/** Whether steps of a sample count differently. */
export const countsSteps = ({ weighted, masked }: Counting): boolean => masked || weighted === 'steps'

/** [m, T, …] → [m · T, …] */
export const stepsAsSamples = (x: Tensor): Tensor => reshape(x, [(x.shape[0] as number) * (x.shape[1] as number), ...x.shape.slice(2)])
