/** What metrics know of the loss: whether its targets are classes, and what the outputs mean that it teaches. */

import { WengertError } from '../errors.js'
import type { Loss, OutputKind, TargetKind } from '../nn/loss.js'
import { boundaryOf, outputsOf } from '../nn/loss-outputs.js'
import type { Tensor } from '../tensor/tensor.js'

/** What a metric of one's own is told of the loss. */
export interface MetricContext {
  targets: TargetKind
  /** What the outputs mean; undefined where the loss does not tell. */
  outputs: OutputKind | undefined
  /** How messages call the loss. */
  loss: string
  /** The label of what does not count, where the loss has one. */
  ignoreIndex?: number | undefined
  /** Which steps of samples count, [m, T]: given where not all do. */
  mask?: Tensor | undefined
}

/** How messages call a loss. */
export const lossName = (loss: Loss): string => (loss.name ? `loss.${loss.name}` : 'the loss')

/** @param outputs how many a sample has */
export const contextOf = (loss: Loss, outputs: number): MetricContext => ({
  targets: loss.targets ?? 'values',
  outputs: outputsOf(loss, outputs),
  loss: lossName(loss),
  ignoreIndex: loss.ignoreIndex,
})

/** Errors: ERR_OPTION for a loss whose targets are no classes. */
export function refuseValues(name: string, { targets, loss }: MetricContext): void {
  if (targets !== 'values') return
  throw new WengertError(
    'ERR_OPTION',
    `${name}: expected a loss for classes, got ${loss}, whose targets are numbers; a loss of your own says otherwise by a property 'targets'`,
    { actual: loss },
  )
}

/** Above which one output, and its target, mean class 1. Errors: ERR_OPTION where the loss does not tell. */
export function limitsOf(name: string, { targets, outputs, loss }: MetricContext): { output: number; target: number } {
  const output = boundaryOf(outputs)
  if (output !== undefined) return { output, target: targets === 'signs' ? 0 : 0.5 }
  throw new WengertError(
    'ERR_OPTION',
    `${name}: ${loss} does not tell above which value its one output means class 1; give it a property 'outputs', such as 'logits' or 'probabilities'`,
    { actual: outputs },
  )
}
