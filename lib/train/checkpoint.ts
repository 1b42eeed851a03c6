/**
 * The file of a checkpoint: a safetensors file whose tensors are the state block's slots (`state.…`), the sums of an
 * unfinished epoch (`sums`) and what callbacks keep (`callback.0.…`), and whose metadata hold the counters as JSON.
 */

import type { SeenSums } from '../data/seen.js'
import { WengertError } from '../errors.js'
import { parseJSON } from '../io/json.js'
import type { Safetensors } from '../io/safetensors.js'
import { Tensor } from '../tensor/tensor.js'
import type { Dtype } from '../util/dtype.js'
import { listed, short } from '../util/options.js'
import { formatShape, type Shape, sameShape } from '../util/shape.js'
import { isPlainObject } from '../util/tree.js'
import type { TrainingProgress, Unfinished } from './training-progress.js'

const format = 'wengert-checkpoint'
const version = '1'

/** All that a checkpoint holds. */
export interface Checkpoint {
  trainer: string
  optimizer: string
  progress: TrainingProgress
  /** What the schedule remembers, where it remembers anything. */
  schedule?: Record<string, number>
  slots: Record<string, Tensor>
  /** How many updates moved a parameter, where that is neither all of a trained one's nor none of a frozen one's. */
  lagging: Readonly<Record<string, number>>
}

/** The tensors and metadata of a checkpoint. */
export function encodeCheckpoint({ trainer, optimizer, progress, schedule, slots, lagging }: Checkpoint): Safetensors {
  const { epoch, updates, baseline, seed, unfinished, seen } = progress
  const { partial, callbacks, policies, best } = unfinished ?? {}
  const kept = callbacks?.flatMap(({ tensors = {} }, i) =>
    Object.entries(tensors).map(([name, t]) => [`callback.${i}.${name}`, t] as const),
  )
  const counters = {
    trainer,
    optimizer,
    epoch,
    updates,
    baseline,
    seed,
    schedule,
    ...(Object.keys(lagging).length > 0 && { lagging }),
    seen: seen?.count,
    unfinished: unfinished && {
      seed: unfinished.seed,
      policies,
      best,
      partial: partial && { seed: partial.seed, updates: partial.updates, key: partial.key },
      callbacks: callbacks?.map(({ name, values }) => ({ name, values })),
    },
  }
  return {
    tensors: {
      ...Object.fromEntries(Object.entries(slots).map(([name, t]) => [`state.${name}`, t])),
      ...(partial && { sums: new Tensor([partial.sums.length], 'float64', partial.sums) }),
      ...(seen && { seen: new Tensor([2, seen.mean.length], 'float64', joined(seen)) }),
      ...Object.fromEntries(kept ?? []),
    },
    metadata: { format, version, counters: JSON.stringify(counters) },
  }
}

function joined({ mean, squares }: SeenSums): Float64Array {
  const both = new Float64Array(2 * mean.length)
  both.set(mean)
  both.set(squares, mean.length)
  return both
}

const foreign = (text: string, actual: unknown): WengertError => new WengertError('ERR_FILE', `resume: expected ${text}`, { actual })

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const optionalNumber = (value: unknown): value is number | undefined => value === undefined || typeof value === 'number'

/** Reads a checkpoint back; fit and consistency with a trainer are checked apart. Errors: ERR_FILE. */
export function decodeCheckpoint({ tensors, metadata }: Safetensors, file: string): Checkpoint {
  if (metadata.format !== format || metadata.version !== version || metadata.counters === undefined) {
    throw foreign(
      `a checkpoint (${format} ${version}), got ${short(metadata.format ?? 'a file of another kind')} ${short(metadata.version ?? '')}`,
      metadata.format,
    )
  }
  const counters = parseJSON('resume: counters', metadata.counters)
  const fields = (isPlainObject(counters) ? counters : {}) as Record<string, unknown>
  const { trainer, optimizer, epoch, updates, baseline, seed, schedule, lagging = {} } = fields
  const sound =
    typeof trainer === 'string' &&
    typeof optimizer === 'string' &&
    isCount(epoch) &&
    isCount(updates) &&
    optionalNumber(baseline) &&
    (seed === undefined || isCount(seed)) &&
    (schedule === undefined || isPlainObject(schedule)) &&
    isPlainObject(lagging) &&
    Object.values(lagging).every((made) => isCount(made) && made <= updates)
  if (!sound) throw foreign('counters of a training, got others', counters)
  const slots = Object.fromEntries(
    Object.entries(tensors).flatMap(([name, t]) => (name.startsWith('state.') ? [[name.slice('state.'.length), t] as const] : [])),
  )
  const seen = fields.seen === undefined ? undefined : decodeSeen(fields.seen, tensors.seen)
  const unfinished = fields.unfinished === undefined ? undefined : decodeUnfinished(fields.unfinished, tensors, file)
  return {
    trainer,
    optimizer,
    progress: { epoch, updates, baseline, seed, unfinished, seen },
    ...(schedule === undefined ? {} : { schedule: schedule as Record<string, number> }),
    slots,
    lagging: lagging as Record<string, number>,
  }
}

function decodeSeen(count: unknown, sums: Tensor | undefined): SeenSums {
  const width = sums?.shape[1]
  if (!isCount(count) || sums?.dtype !== 'float64' || sums.rank !== 2 || sums.shape[0] !== 2 || !width || !sums.data.every(Number.isFinite))
    throw foreign('what inputs looked like as a training writes it, got something else', count)
  const data = sums.data as Float64Array
  return { count, mean: data.slice(0, width), squares: data.slice(width) }
}

function decodeUnfinished(value: unknown, tensors: Record<string, Tensor>, file: string): Unfinished {
  const fields = (isPlainObject(value) ? value : {}) as Record<string, unknown>
  const { seed, partial, policies, best, callbacks } = fields
  const begun = partial as { seed: number; updates: number; key: string } | undefined
  const sums = tensors.sums
  const sound =
    isCount(seed) &&
    optionalNumber(best) &&
    (partial === undefined ||
      (isPlainObject(partial) &&
        isCount(begun?.seed) &&
        isCount(begun?.updates) &&
        typeof begun?.key === 'string' &&
        sums?.dtype === 'float64')) &&
    (policies === undefined ||
      (isPlainObject(policies) &&
        isCount(policies.calm) &&
        isCount(policies.high) &&
        optionalNumber(policies.previous) &&
        optionalNumber(policies.first))) &&
    (callbacks === undefined ||
      (Array.isArray(callbacks) && callbacks.every((c) => isPlainObject(c) && typeof c.name === 'string' && isPlainObject(c.values))))
  if (!sound) throw foreign('an unfinished fit as a training writes it, got another', value)
  const kept = tensorsOfCallbacks(tensors)
  return {
    seed,
    file,
    ...(begun && { partial: { ...begun, sums: (sums as Tensor).data as Float64Array } }),
    ...(policies === undefined ? {} : { policies: policies as unknown as NonNullable<Unfinished['policies']> }),
    ...(best === undefined ? {} : { best }),
    ...(callbacks === undefined
      ? {}
      : {
          callbacks: (callbacks as { name: string; values: Record<string, unknown> }[]).map(({ name, values }, i) => {
            const tensors = kept.get(i)
            return { name, values, ...(tensors && { tensors }) }
          }),
        }),
  }
}

/** Each callback's tensors by its place, from names such as `callback.0.best`. */
function tensorsOfCallbacks(tensors: Record<string, Tensor>): Map<number, Record<string, Tensor>> {
  const kept = new Map<number, [string, Tensor][]>()
  for (const [name, t] of Object.entries(tensors)) {
    const [, place, own] = /^callback\.(0|[1-9]\d{0,8})\.(.*)$/s.exec(name) ?? []
    if (place === undefined || own === undefined) continue
    const list = kept.get(Number(place))
    if (list) list.push([own, t])
    else kept.set(Number(place), [[own, t]])
  }
  return new Map([...kept].map(([place, list]) => [place, Object.fromEntries(list)]))
}

/** Refuses slots that are not exactly those of a trainer. Errors: ERR_STATE. */
export function checkSlots(slots: Record<string, Tensor>, expected: Record<string, { shape: Shape; dtype: Dtype }>): void {
  const missing = Object.keys(expected).filter((name) => !Object.hasOwn(slots, name))
  const unexpected = Object.keys(slots).filter((name) => !Object.hasOwn(expected, name))
  if (missing.length + unexpected.length > 0) {
    throw new WengertError(
      'ERR_STATE',
      `resume: the checkpoint is of another model or optimiser${missing.length > 0 ? `; missing ${listed(missing)}` : ''}${unexpected.length > 0 ? `; unexpected ${listed(unexpected)}` : ''}`,
      { expected: Object.keys(expected), actual: Object.keys(slots) },
    )
  }
  for (const [name, { shape, dtype }] of Object.entries(expected)) {
    const t = slots[name] as Tensor
    if (sameShape(t.shape, shape) && t.dtype === dtype) continue
    throw new WengertError(
      'ERR_STATE',
      `resume: expected ${dtype} ${formatShape(shape)} for ${name}, got ${t.dtype} ${formatShape(t.shape)}`,
      {
        expected: shape,
        actual: t.shape,
      },
    )
  }
}
