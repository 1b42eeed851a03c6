/**
 * Orders of samples for an epoch: pure functions of (labels, seed, epoch) that fill an Int32Array with positions. A batch
 * is a run of `batchSize` of them; the last may be shorter. Streams: purpose `order`, a = epoch, b = 0 for the plain order
 * (the trainers' own), 1 for the stratified, 2 for the balanced one.
 */

import { WengertError } from '../errors.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkNumber } from '../util/options.js'
import { permutation, purposes, Stream } from '../util/random.js'

/** Of `stratifiedOrder`, `balancedOrder` and `batchCount`. */
export interface OrderOptions {
  /** In 0 … 2⁵³ − 1; the same seed and epoch give the same order. */
  seed: number
  /** Counted over a trainer's life. */
  epoch: number
  /** Samples a batch. */
  batchSize: number
}

type Labels = ArrayLike<number> | Tensor

/** The number of batches in an epoch: ⌈m / m′⌉, or without the shorter last one ⌊m / m′⌋ (one at least). */
export function batchCount(samples: number, batchSize: number, dropLast = false): number {
  return dropLast ? Math.max(1, Math.floor(samples / batchSize)) : Math.ceil(samples / batchSize)
}

/** Shuffles in place: Fisher–Yates, as `permutation`. */
function shuffle(values: Int32Array, stream: Stream): void {
  for (let i = values.length - 1; i > 0; i--) {
    const j = stream.bounded(i + 1)
    const kept = values[i] as number
    values[i] = values[j] as number
    values[j] = kept
  }
}

/** Positions by class, classes in growing order. Errors: ERR_LABEL for a label that is no integer; ERR_DATA for none. */
function byClass(where: string, labels: Labels): Int32Array[] {
  const values = 'data' in labels ? labels.data : labels
  const groups = new Map<number, number[]>()
  for (let i = 0; i < values.length; i++) {
    const label = values[i] as number
    if (!Number.isInteger(label))
      throw new WengertError('ERR_LABEL', `${where}: expected class labels, got ${label} for sample ${i}`, { actual: label })
    const group = groups.get(label)
    if (group) group.push(i)
    else groups.set(label, [i])
  }
  if (groups.size === 0) throw new WengertError('ERR_DATA', `${where}: there are no labels`)
  return [...groups].sort(([a], [b]) => a - b).map(([, positions]) => Int32Array.from(positions))
}

function checkOrder(where: string, out: Int32Array, options: OrderOptions, samples?: number): void {
  checkNumber(where, 'batchSize', options.batchSize, { integer: true, min: 1 })
  checkNumber(where, 'seed', options.seed, { integer: true, min: 0, max: Number.MAX_SAFE_INTEGER })
  checkNumber(where, 'epoch', options.epoch, { integer: true, min: 0, max: 2 ** 32 - 1 })
  if (samples !== undefined && out.length !== samples)
    throw new WengertError('ERR_SHAPE', `${where}: expected room for ${samples} positions, got ${out.length}`, {
      expected: samples,
      actual: out.length,
    })
}

/**
 * How many of each class each batch holds: ⌊q⌋ or ⌈q⌉ of q = n_c m′ / n, so that a batch's counts add up to its size and a
 * class's to n_c. Such a table always exists: the last short batch rounds by largest remainders; then every full batch
 * gives its leftover places to the classes with most places still owed, which never owes a class more than batches are left.
 * Ties fall by the stream; full batches are then shuffled, so that none is special.
 */
function quotas(counts: readonly number[], batchSize: number, stream: Stream): Int32Array[] {
  const n = counts.reduce((a, b) => a + b, 0)
  const full = Math.floor(n / batchSize)
  const rest = n - full * batchSize
  const classes = Int32Array.from(counts, (_, c) => c)
  shuffle(classes, stream)
  const whole = (size: number) => Int32Array.from(counts, (count) => Math.floor((count * size) / n))
  const total = (row: Int32Array) => row.reduce((a, b) => a + b, 0)
  const last = whole(rest)
  const byRemainder = [...classes].sort((a, b) => (((counts[b] as number) * rest) % n) - (((counts[a] as number) * rest) % n))
  for (const c of byRemainder.slice(0, rest - total(last))) last[c] = (last[c] as number) + 1
  const base = whole(batchSize)
  const extra = batchSize - total(base)
  const owed = Int32Array.from(counts, (count, c) => count - (last[c] as number) - full * (base[c] as number))
  const rows: Int32Array[] = []
  for (let j = 0; j < full; j++) {
    const row = base.slice()
    for (const c of [...classes].sort((a, b) => (owed[b] as number) - (owed[a] as number)).slice(0, extra)) {
      row[c] = (row[c] as number) + 1
      owed[c] = (owed[c] as number) - 1
    }
    rows.push(row)
  }
  const order = Int32Array.from({ length: full }, (_, j) => j)
  shuffle(order, stream)
  return [...Array.from(order, (j) => rows[j] as Int32Array), ...(rest > 0 ? [last] : [])]
}

/** Deals each class's positions, in their order, to the batches. */
function deal(out: Int32Array, groups: readonly Int32Array[], batchSize: number, stream: Stream): void {
  const used = new Int32Array(groups.length)
  let at = 0
  for (const row of quotas(
    groups.map((group) => group.length),
    batchSize,
    stream,
  )) {
    for (let c = 0; c < groups.length; c++) {
      const from = used[c] as number
      const to = from + (row[c] as number)
      out.set((groups[c] as Int32Array).subarray(from, to), at)
      at += to - from
      used[c] = to
    }
  }
}

/** A plain random order of 0 … out.length − 1: the trainers' own. */
export function randomOrder(out: Int32Array, { seed, epoch }: { seed: number; epoch: number }): void {
  checkOrder('randomOrder', out, { seed, epoch, batchSize: 1 })
  permutation(out, { seed, purpose: purposes.order, a: epoch, b: 0 })
}

/**
 * A stratified order: each sample once an epoch, and every batch holds each class in proportion. Of n_c samples in n, a
 * batch of m′ has n_c m′ / n, rounded down or up; so has the last short batch by its own size. Which batches round up, which
 * samples meet, and the order of the batches change with the epoch; within a batch, classes follow each other.
 *
 * @param out room for as many positions as there are labels
 * @param labels integers, one a sample
 * @throws ERR_LABEL, ERR_SHAPE, ERR_RANGE, ERR_DATA
 */
export function stratifiedOrder(out: Int32Array, labels: Labels, options: OrderOptions): void {
  const groups = byClass('stratifiedOrder', labels)
  checkOrder('stratifiedOrder', out, options, 'data' in labels ? labels.size : labels.length)
  const stream = new Stream({ seed: options.seed, purpose: purposes.order, a: options.epoch, b: 1 })
  for (const group of groups) shuffle(group, stream)
  deal(out, groups, options.batchSize, stream)
}

/**
 * A class-balanced order: every class equally often, whatever its share of the samples, and every batch holds each class
 * m′ / k times, rounded down or up. A rare class's samples come up again, each once before any comes a second time; a
 * common class's are drawn without repetition, others each epoch. Classes that get one more, where k does not divide the
 * number of positions, are drawn too.
 *
 * @param out as many positions as an epoch is to have, usually one a label
 * @throws ERR_LABEL, ERR_RANGE, ERR_DATA
 */
export function balancedOrder(out: Int32Array, labels: Labels, options: OrderOptions): void {
  const groups = byClass('balancedOrder', labels)
  checkOrder('balancedOrder', out, options)
  const stream = new Stream({ seed: options.seed, purpose: purposes.order, a: options.epoch, b: 2 })
  const classes = Int32Array.from(groups, (_, c) => c)
  shuffle(classes, stream)
  const sizes = new Int32Array(groups.length).fill(Math.floor(out.length / groups.length))
  for (const c of classes.subarray(0, out.length % groups.length)) sizes[c] = (sizes[c] as number) + 1
  const drawn = groups.map((group, c) => {
    const positions = new Int32Array(sizes[c] as number)
    for (let at = 0; at < positions.length; at += group.length) {
      shuffle(group, stream)
      positions.set(group.subarray(0, positions.length - at), at)
    }
    return positions
  })
  deal(out, drawn, options.batchSize, stream)
}
