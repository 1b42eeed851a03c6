/** Weights of classes, for losses that are to mind the rare ones. */

import { WengertError } from '../errors.js'
import { checkNumber, checkOptions } from '../util/options.js'

/**
 * A weight for each class: (count of the most frequent class / count of the class) ^ power. With power 1, the default, all
 * classes weigh the same in all; with ½ the rare ones weigh more, but not as much.
 *
 * @param labels class indices, one a sample, such as `data.y.data`
 * @throws ERR_LABEL for a label that is not one of the classes
 * @example loss.crossEntropy.with({ weight: classWeights(data.y.data, 2) })
 */
export function classWeights(labels: ArrayLike<number>, classes: number, options: { power?: number } = {}): number[] {
  checkOptions('classWeights', options, ['power'])
  const power = checkNumber('classWeights', 'power', options.power ?? 1, { min: 0 })
  const counts = new Float64Array(checkNumber('classWeights', 'classes', classes, { integer: true, min: 1 }))
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i] as number
    if (!(label in counts))
      throw new WengertError('ERR_LABEL', `classWeights: expected labels in 0 … ${classes - 1}, got ${label} for sample ${i}`, {
        actual: label,
      })
    counts[label] = (counts[label] as number) + 1
  }
  const largest = counts.reduce((a, b) => Math.max(a, b), 0)
  return Array.from(counts, (n) => (n === 0 ? 1 : (largest / n) ** power))
}
