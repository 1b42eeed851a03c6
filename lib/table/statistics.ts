/** Statistics of lists of numbers, in float64. */

/** Mean and standard deviation (over m, not m − 1), in two passes; the deviation of a constant is 0 whatever its rounding. */
export function momentsOf(values: Float64Array): { mean: number; deviation: number } {
  const m = values.length
  if (m === 0) return { mean: 0, deviation: 0 }
  let sum = 0
  for (let i = 0; i < m; i++) sum += values[i] as number
  const mean = sum / m
  let squares = 0
  let rest = 0
  let largest = 0
  for (let i = 0; i < m; i++) {
    const d = (values[i] as number) - mean
    squares += d * d
    rest += d
    largest = Math.max(largest, Math.abs(values[i] as number))
  }
  const variance = (squares - (rest * rest) / m) / m
  return { mean, deviation: variance > (m * 2 ** -52 * largest) ** 2 ? Math.sqrt(variance) : 0 }
}

/** The k-th smallest, in linear time on average; reorders `values`. */
function select(values: Float64Array, k: number): number {
  let [low, high] = [0, values.length - 1]
  while (low < high) {
    const pivot = values[(low + high) >> 1] as number
    let [i, j] = [low, high]
    while (i <= j) {
      while ((values[i] as number) < pivot) i++
      while ((values[j] as number) > pivot) j--
      if (i > j) break
      const kept = values[i] as number
      values[i++] = values[j] as number
      values[j--] = kept
    }
    if (k <= j) high = j
    else if (k >= i) low = i
    else break
  }
  return values[k] as number
}

/** The median of numbers without NaN, the mean of the two middle ones of an even count; reorders `values`. */
export function median(values: Float64Array): number {
  const m = values.length
  const upper = select(values, m >> 1)
  if (m % 2 === 1) return upper
  // The lower half lies before the upper middle now.
  let lower = Number.NEGATIVE_INFINITY
  for (let i = 0; i < m >> 1; i++) lower = Math.max(lower, values[i] as number)
  return lower + (upper - lower) / 2
}

/** `count` values at equal steps of the distribution, the first the smallest, the last the largest. */
export function quantilesOf(values: Float64Array, count: number): number[] {
  return quantilesWithin(values.slice(), count)
}

/** As `quantilesOf`; sorts `values`. */
export function quantilesWithin(values: Float64Array, count: number): number[] {
  const sorted = values.sort()
  return Array.from({ length: count }, (_, i) => {
    const at = (i * (sorted.length - 1)) / (count - 1)
    const low = sorted[Math.floor(at)] as number
    return low + ((sorted[Math.ceil(at)] as number) - low) * (at - Math.floor(at))
  })
}
