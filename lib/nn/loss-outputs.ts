/**
 * What the outputs mean that a loss teaches: above which value one output says class 1, and whether several tell the classes
 * apart each for itself or only together. The library's losses declare it; of others it is found from what they cost.
 */

import { tensor } from '../tensor/creation.js'
import type { Loss, OutputKind } from './loss-contract.js'

/** Above which an output of its own means class 1. */
const boundaries: Readonly<Partial<Record<OutputKind, number>>> = {
  probabilities: 0.5,
  logits: 0,
  scores: 0,
  logProbabilities: Math.log(0.5),
}

/** All kinds by name, as files and options give them. */
export const outputKinds: readonly OutputKind[] = [
  'probabilities',
  'logits',
  'classLogits',
  'logProbabilities',
  'scores',
  'classScores',
  'values',
]

/** Above which a single output means class 1; undefined where outputs of this kind have no such value. */
export const boundaryOf = (kind: OutputKind | undefined): number | undefined => kind && boundaries[kind]

/** Whether only the differences between a sample's outputs count, so that one of them alone says nothing. */
export const isRelative = (kind: OutputKind | undefined): boolean => kind === 'classLogits' || kind === 'classScores'

/** What the outputs mean: as the loss declares it, or as its costs tell; undefined where they do not. */
export function outputsOf(loss: Loss, outputs: number): OutputKind | undefined {
  if (loss.outputs !== undefined) return loss.outputs
  if (loss.targets === undefined || loss.targets === 'values') return 'values'
  try {
    return outputs === 1 ? ofOne(loss) : ofSeveral(loss, outputs)
  } catch {
    return undefined
  }
}

/** The loss of one sample. */
function costOf(loss: Loss, prediction: readonly number[], target: number): number {
  const labels = loss.targets === 'classes'
  const y = labels
    ? tensor(Int32Array.of(target))
    : tensor(prediction.length === 1 ? [[target]] : [prediction.map((_, k) => (k === target ? 1 : 0))], { dtype: 'float64' })
  const costs = loss(tensor([prediction], { dtype: 'float64' }), y, { reduction: 'none' })
  return costs.data.reduce((a, b) => a + b, 0)
}

const same = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b))

/** The boundary is where both classes cost as much: ½ for probabilities, 0 for logits and scores. */
function ofOne(loss: Loss): OutputKind | undefined {
  const none = loss.targets === 'signs' ? -1 : 0
  const undecided = (output: number) => same(costOf(loss, [output], 1), costOf(loss, [output], none))
  const [half, zero] = [undecided(0.5), undecided(0)]
  if (half === zero) return undefined
  return half ? 'probabilities' : loss.targets === 'signs' ? 'scores' : 'logits'
}

/** Logits of a softmax may all be raised by the same amount. */
function ofSeveral(loss: Loss, outputs: number): OutputKind {
  const at = (shift: number) => Array.from({ length: outputs }, (_, k) => (k + 1) / (outputs * (outputs + 1)) + shift)
  return same(costOf(loss, at(0), 0), costOf(loss, at(0.25), 0)) ? 'classLogits' : 'probabilities'
}
