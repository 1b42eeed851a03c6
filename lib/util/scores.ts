/** How good probabilities are, as plain functions on arrays in float64: ranks, likelihoods, and how well they are calibrated. */

/** Positions by falling score. */
function byScore(scores: ArrayLike<number>): Uint32Array {
  return Uint32Array.from({ length: scores.length }, (_, i) => i).sort((a, b) => (scores[b] as number) - (scores[a] as number))
}

/**
 * Area under the precision–recall curve as average precision, Σ (Rₙ − Rₙ₋₁) Pₙ over the thresholds between distinct scores
 * (scikit-learn's `average_precision_score`). NaN where there is no positive.
 */
export function averagePrecision(scores: ArrayLike<number>, positive: ArrayLike<number | boolean>): number {
  const order = byScore(scores)
  let positives = 0
  for (let i = 0; i < order.length; i++) if (positive[i]) positives++
  let [hits, sum] = [0, 0]
  for (let i = 0; i < order.length; ) {
    const before = hits
    const score = scores[order[i] as number]
    while (i < order.length && scores[order[i] as number] === score) if (positive[order[i++] as number]) hits++
    sum += ((hits - before) / positives) * (hits / i)
  }
  return positives === 0 ? Number.NaN : sum
}

/** Area under the ROC curve: the chance that a positive scores above a negative, ties half. NaN where either is missing. */
export function areaUnderRoc(scores: ArrayLike<number>, positive: ArrayLike<number | boolean>): number {
  const order = byScore(scores)
  const n = order.length
  let [above, positives, pairs] = [0, 0, 0]
  for (let i = 0; i < n; ) {
    let [p, q] = [0, 0]
    const score = scores[order[i] as number]
    for (; i < n && scores[order[i] as number] === score; i++) positive[order[i] as number] ? p++ : q++
    pairs += above * q + (p * q) / 2
    above += p
    positives += p
  }
  return pairs / (positives * (n - positives))
}

/** The mean of −ln p of the class that was true; probabilities [m, k] row-major, stopped at 1e−15. */
export function meanLogLoss(probabilities: ArrayLike<number>, k: number, classes: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < classes.length; i++) sum -= Math.log(Math.max(probabilities[i * k + (classes[i] as number)] as number, 1e-15))
  return sum / classes.length
}

/**
 * The Brier score: with two classes the mean of (p₁ − y)², with more the mean of Σ (pₖ − yₖ)² over the classes.
 * Probabilities [m, k] row-major.
 */
export function brierScore(probabilities: ArrayLike<number>, k: number, classes: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < classes.length; i++)
    for (let c = k === 2 ? 1 : 0; c < k; c++) sum += ((probabilities[i * k + c] as number) - (classes[i] === c ? 1 : 0)) ** 2
  return sum / classes.length
}

/**
 * The expected calibration error: over ten ranges of the probability of the class that is predicted, the mean distance from
 * how often it was true, weighed by how many samples fall there.
 */
export function calibrationError(probabilities: ArrayLike<number>, k: number, classes: ArrayLike<number>): number {
  const bins = Array.from({ length: 10 }, () => ({ n: 0, confidence: 0, right: 0 }))
  for (let i = 0; i < classes.length; i++) {
    let best = 0
    for (let c = 1; c < k; c++) if ((probabilities[i * k + c] as number) > (probabilities[i * k + best] as number)) best = c
    const p = probabilities[i * k + best] as number
    const bin = bins[Math.min(9, Math.floor(p * 10))] as (typeof bins)[0]
    bin.n++
    bin.confidence += p
    if (best === classes[i]) bin.right++
  }
  return bins.reduce((sum, { confidence, right }) => sum + Math.abs(confidence - right), 0) / classes.length
}

/** The softmax of `k` logits from `at`, divided by a temperature, into `out`. */
export function softmaxInto(logits: ArrayLike<number>, at: number, k: number, temperature: number, out: Float64Array, to = 0): void {
  let highest = -Infinity
  for (let c = 0; c < k; c++) highest = Math.max(highest, logits[at + c] as number)
  let sum = 0
  for (let c = 0; c < k; c++) {
    const e = Math.exp(((logits[at + c] as number) - highest) / temperature)
    out[to + c] = e
    sum += e
  }
  for (let c = 0; c < k; c++) out[to + c] = (out[to + c] as number) / sum
}
