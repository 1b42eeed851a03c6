/**
 * An update that several processes make together: each has a part of the rows, and what they made is added up in one
 * collective, gradients, losses, metrics and what the mean divides by. All report the same sums and find the same numbers bad.
 */

import type { BatchPart, Ranks } from '../nn/ranks.js'
import { allReduceAll } from '../primitives/collective.js'
import { div, maximum, mul } from '../primitives/elementwise.js'
import { cast } from '../primitives/movement.js'
import { sum } from '../primitives/reduce.js'
import { full, zeros } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import type { Cut } from './cut.js'
import { metricsOfBatch } from './metrics.js'
import { countsOf, knownShare, least, type Share, type StepParts, type Whole } from './parts.js'

/** A rank's rows of those `first` … `last` − 1; one that counts nothing where there are none for it. */
export function partOf({ rank, size }: Ranks, first: number, last: number): { range: readonly [number, number]; live: boolean } {
  const at = (r: number) => first + Math.floor(((last - first) * r) / size)
  const range = [at(rank), at(rank + 1)] as const
  return range[1] > range[0] ? { range, live: true } : { range: [first, first + 1], live: false }
}

export class Meeting {
  /** Sums over this process's rows: the losses, then each metric. */
  #numbers: Tensor[] | undefined
  /** What the mean divides by, as far as this process's rows make it up; none where that is known. */
  #count: Tensor | undefined
  #samples = 0

  constructor(
    readonly parts: StepParts,
    readonly ranks: Ranks,
    /** The cut that it is an update of: `own` and `shard`, where the rows are this process's alone. */
    readonly cut: Pick<Cut, 'kind' | 'rows' | 'own' | 'idle' | 'shard'>,
  ) {}

  /** This process's rows of those at hand. */
  part(first: number, last: number): BatchPart & { readonly range: readonly [number, number] | undefined } {
    const { ranks, cut } = this
    return cut.own || cut.shard ? { ranks, live: cut.rows > 0 && !cut.idle, range: undefined } : { ranks, ...partOf(ranks, first, last) }
  }

  /** What its rows count: with weights, or where the others' rows are their own, the sum of all counts is known afterwards. */
  share(y: Tensor, weights: Tensor | undefined, whole: Whole | undefined): Share {
    const { parts, cut } = this
    if (cut.kind === 'chunk') return knownShare(whole as Whole, weights)
    const counts = countsOf(parts.loss, parts.dtype, () => y, weights)
    const samples = cut.shard?.total ?? cut.rows
    // Processes with rows of their own, of which each has another number, report the mean.
    this.#samples = cut.own ? 1 : samples
    if (!counts && !cut.own) return { weights, samples, factor: 1 / samples }
    return { weights, samples, factor: 1, counts: counts ? sum(counts) : full([], y.shape[0] as number, { dtype: parts.dtype }) }
  }

  /** Takes what a forward pass has given. */
  add({ losses, prediction }: { losses: Tensor; prediction: Tensor }, y: Tensor, share: Share, live: boolean): void {
    const { metrics, loss, dtype } = this.parts
    const counted = (values: Tensor) => {
      const total = sum(isFloat(values.dtype) ? values : cast(values, dtype))
      return live ? total : mul(total, 0)
    }
    const numbers = [losses, ...metricsOfBatch(metrics, loss, prediction, y, share.weights)].map(counted)
    this.#numbers = this.#numbers?.map((before, i) => before.add(numbers[i] as Tensor)) ?? numbers
    if (share.counts) {
      const counts = live ? share.counts : mul(share.counts, 0)
      this.#count = this.#count?.add(counts) ?? counts
    }
  }

  /**
   * Adds up over all processes: gradients divided by what the mean divides by, the report's sums, and buffers averaged.
   *
   * @param gradients of this process's share of the cost
   */
  meet(gradients: readonly Tensor[], buffers: readonly Tensor[]): { gradients: Tensor[]; numbers: Tensor[]; buffers: Tensor[] } {
    const numbers = this.#numbers ?? []
    const count = this.#count ? [this.#count] : []
    const averaged = buffers.map((value) => mul(value, 1 / this.ranks.size))
    const sums = allReduceAll([...gradients, ...numbers, ...count, ...averaged], zeros([1], { dtype: this.parts.dtype }))
    const next = (n: number) => sums.splice(0, n)
    const [g, totals, [all], means] = [next(gradients.length), next(numbers.length), next(count.length), next(averaged.length)]
    if (!all) return { gradients: g, numbers: totals, buffers: means }
    const factor = div(1, maximum(all, least))
    const [cost, ...others] = totals as [Tensor, ...Tensor[]]
    return { gradients: g.map((x) => mul(x, factor)), numbers: [mul(cost, mul(factor, this.#samples)), ...others], buffers: means }
  }

  /** Adds up gradients whose share of the cost is whole. */
  gradients(sums: readonly Tensor[]): Tensor[] {
    return allReduceAll(sums, zeros([1], { dtype: this.parts.dtype }))
  }
}
