/** When a fit writes checkpoints, and where the last few and the best are kept. */

import { WengertError } from '../errors.js'
import { checkPath, writeAtomic } from '../io/atomic.js'
import { partsOf, type Safetensors } from '../io/safetensors.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'

/** Where and how often `fit` writes checkpoints. */
export interface CheckpointOptions {
  /** The file; it always holds the newest checkpoint, whole. */
  path: string
  /** Updates between two checkpoints, counted over the trainer's life; within an epoch where need be. */
  everyUpdates?: number | undefined
  /** Epochs between two checkpoints, counted over the trainer's life; 1 where nothing else is said. */
  everyEpochs?: number | undefined
  /** Seconds between two checkpoints, > 0. */
  everySeconds?: number | undefined
  /** How many to keep: the older ones as `path.1` (the one before the newest), `path.2`, …; 1 by default. */
  keep?: number | undefined
  /** Keep the one of the epoch with the lowest validation cost (the cost, where there is no validation) as `path.best`. */
  best?: boolean | undefined
}

export type CheckedCheckpoint = Required<Pick<CheckpointOptions, 'path' | 'keep' | 'best'>> &
  Pick<CheckpointOptions, 'everyUpdates' | 'everyEpochs' | 'everySeconds'>

/** Errors: ERR_OPTION, ERR_RANGE, ERR_VALUE. */
export function checkCheckpoint(options: CheckpointOptions | undefined): CheckedCheckpoint | undefined {
  if (options === undefined) return undefined
  const where = 'fit: checkpoint'
  checkOptions(where, options, ['path', 'everyUpdates', 'everyEpochs', 'everySeconds', 'keep', 'best'])
  const { everyUpdates, everyEpochs, everySeconds, best = false } = options
  if (typeof best !== 'boolean')
    throw new WengertError('ERR_OPTION', `${where}: expected best to be true or false, got ${describe(best)}`, { actual: best })
  const count = (name: string, value: number | undefined) =>
    value === undefined ? undefined : checkNumber(where, name, value, { integer: true, min: 1 })
  const updates = count('everyUpdates', everyUpdates)
  const seconds = everySeconds === undefined ? undefined : checkNumber(where, 'everySeconds', everySeconds, { min: 0, exclusive: true })
  const epochs = count('everyEpochs', everyEpochs) ?? (updates === undefined && seconds === undefined ? 1 : undefined)
  return {
    path: checkPath(where, options.path),
    keep: checkNumber(where, 'keep', options.keep ?? 1, { integer: true, min: 1, max: 1000 }),
    best,
    ...(updates === undefined ? {} : { everyUpdates: updates }),
    ...(epochs === undefined ? {} : { everyEpochs: epochs }),
    ...(seconds === undefined ? {} : { everySeconds: seconds }),
  }
}

export class CheckpointPolicy {
  #saved = performance.now()
  #updatesASecond = 0
  #epoch: number

  /** @param best the lowest cost so far, from a checkpoint */
  constructor(
    readonly options: CheckedCheckpoint,
    epoch: number,
    public best: number | undefined,
  ) {
    this.#epoch = epoch
  }

  /** How many updates may go by, from `updates` on, before it has to be asked again whether a checkpoint is due. */
  room(updates: number): number {
    const { everyUpdates, everySeconds } = this.options
    const byCount = everyUpdates === undefined ? Infinity : everyUpdates - (updates % everyUpdates)
    const byTime = everySeconds === undefined ? Infinity : Math.max(64, Math.floor(this.#updatesASecond * Math.min(everySeconds / 4, 0.5)))
    return Math.min(byCount, byTime)
  }

  /** Likewise in epochs. */
  epochs(epoch: number): number {
    const { everyEpochs, best } = this.options
    if (best) return 1
    return everyEpochs === undefined ? Infinity : everyEpochs - (epoch % everyEpochs)
  }

  /** Takes note of a finished block, and says whether a checkpoint is due now. */
  due(updates: number, epoch: number, made: number, seconds: number): boolean {
    if (seconds > 0) this.#updatesASecond = made / seconds
    const { everyUpdates, everyEpochs, everySeconds } = this.options
    const newEpoch = epoch !== this.#epoch
    this.#epoch = epoch
    return (
      (everyUpdates !== undefined && updates % everyUpdates === 0) ||
      (everyEpochs !== undefined && newEpoch && epoch % everyEpochs === 0) ||
      (everySeconds !== undefined && performance.now() - this.#saved >= everySeconds * 1000)
    )
  }

  /** Whether an epoch's cost is the lowest so far. */
  better(cost: number): boolean {
    if (!this.options.best || (this.best !== undefined && cost >= this.best)) return false
    this.best = cost
    return true
  }

  /** Writes the newest, and moves the older ones on: at every moment `path` is a whole checkpoint. */
  async write({ tensors, metadata }: Safetensors): Promise<void> {
    const { path, keep = 1 } = this.options
    // The parts as they lie: a copy of all of them would hold up the event loop.
    await writeAtomic(path, partsOf('checkpoint', tensors, metadata), {
      where: 'checkpoint',
      at: async (stage) => {
        if (stage === 'flushed' && keep > 1) await shift(path, keep)
      },
    })
    this.#saved = performance.now()
  }

  async writeBest({ tensors, metadata }: Safetensors): Promise<void> {
    await writeAtomic(`${this.options.path}.best`, partsOf('checkpoint', tensors, metadata), { where: 'checkpoint' })
  }
}

const absent = (error: unknown): void => {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
}

/** `path.1` becomes `path.2` and so on; `path` itself stays and gets the second name `path.1`. */
async function shift(path: string, keep: number): Promise<void> {
  const { copyFile, link, rename, unlink } = process.getBuiltinModule('node:fs/promises')
  for (let i = keep - 2; i >= 1; i--) await rename(`${path}.${i}`, `${path}.${i + 1}`).catch(absent)
  await unlink(`${path}.1`).catch(absent)
  try {
    await link(path, `${path}.1`)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return
    // File systems without second names.
    await copyFile(path, `${path}.1`)
  }
}
