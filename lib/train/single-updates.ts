/** Updates made one by one on the calling thread: `step`, and streams, which are steps with a shorter way in for single samples. */

import { engine } from '../backend/select.js'
import { Seen } from '../data/seen.js'
import { broadcastOn } from '../distributed/collectives.js'
import { writeCounter } from '../nn/dropout.js'
import { inputsFor } from '../nn/inputs.js'
import { allReduce } from '../primitives/collective.js'
import { type TensorLike, zeros } from '../tensor/creation.js'
import { type FieldSpec, fieldName, type InputsLike, tensorsOf } from '../tensor/inputs.js'
import { nextSeed } from '../tensor/random.js'
import { allocate, isFloat, type TypedArray } from '../util/dtype.js'
import { sizeOf } from '../util/shape.js'
import { notFinite } from './failures.js'
import type { StepParts } from './parts.js'
import { type Prepared, sampleOf } from './prepare.js'
import { RowCopy } from './rows.js'
import { type Batch, type Step, stepFor } from './steps.js'
import { asBatch, type Learned, type StreamItem } from './stream.js'
import type { Partner } from './stream-together.js'
import type { Training } from './training.js'
import { writeScalars } from './training-progress.js'
import type { TrainingState } from './training-state.js'

export class SingleUpdates {
  #seen: Seen | undefined
  /** The state that all processes are known to have alike. */
  #same: TrainingState | undefined

  /** @param most deviations that an input may lie from what was seen */
  constructor(
    readonly training: Training,
    readonly most: number | undefined,
  ) {}

  /** One update on a batch; the cost before it. Errors: those of `Trainer.step`. */
  step(x: InputsLike, y: TensorLike, options: Pick<StreamItem, 'weights'>): number {
    const { training } = this
    const given = inputsFor('step', training.recipe.model, training.signatures.now().dtype, x)
    const data = training.prepare('step', { ...options, x: given, y })
    return this.#learn(this.#stepFor(data), data)
  }

  /** What a stream does with each of its items. */
  learner(): (item: unknown) => Learned {
    const { training } = this
    let rows: RowCopy | undefined
    return (item) => {
      if (rows?.take(item) && rows.step.engine === engine() && training.still(rows.step.parts))
        return { cost: this.#update(rows.step, rows), samples: 1 }
      const data = training.prepare('fitStream', asBatch(item, training.recipe.model))
      const step = this.#stepFor(data)
      const cost = this.#learn(step, data)
      rows = RowCopy.of(item, data, step, training.recipe.loss)
      return { cost, samples: data.samples }
    }
  }

  /** What a stream of several processes does with each of its items, and with none. */
  partner(): Partner {
    const { training } = this
    const { model, loss, optimizer } = training.recipe
    const take = (item: unknown): Prepared => {
      const data = training.prepare('fitStream', asBatch(item, model))
      const step = this.#stepFor(data)
      const { x } = batchOf(data)
      const watched = this.most === undefined ? undefined : numbersOf(x, data.samples)
      if (watched && this.most !== undefined)
        this.#watched(watched, data.samples).check('fitStream', watched, this.most, featureNames(step.fields))
      return data
    }
    return {
      take,
      learn: (data, idle) => this.#learn(this.#stepFor(data, idle), data, idle),
      facts: {
        trainer: `${optimizer.name} and ${loss.name}`,
        parameters: model.namedParameters().map(([name, p]) => `${name} ${p.frozen} ${p.shape} ${p.dtype}`),
        progress: `${training.progress.epoch} epochs, ${training.progress.updates} updates`,
      },
      receive: async (data, from) => {
        const { x, y, weights } = (await broadcastOn('control', data, from)) as Prepared
        return data ?? take({ x, y, ...(weights && { weights }) })
      },
    }
  }

  /** The update on batches like this one. */
  #stepFor(data: Prepared, idle = false): Step {
    const { training } = this
    return stepFor(training.cache, training.parts([], 'step'), sampleOf(data), data.samples, idle)
  }

  #learn(step: Step, data: Prepared, idle = false): number {
    return this.#update(step, batchOf(data), idle)
  }

  /** Errors: ERR_BUSY; ERR_DIVERGED. */
  #update(step: Step, batch: Batch, idle = false): number {
    const { progress, recipe } = this.training
    const { state, signature } = step.parts
    const watched = this.most === undefined || idle ? undefined : numbersOf(batch.x, step.samples)
    const seen = watched && this.#watched(watched, step.samples)
    if (watched && this.most !== undefined) seen?.check('step', watched, this.most, featureNames(step.fields))
    if (step.parts.ranks) this.#takeFromFirst(step.parts)
    const block = state.claim('step')
    const { learningRate } = recipe.optimizer
    if (step.steadyRate !== learningRate) {
      writeScalars(recipe, step.scalars, 0, { epoch: progress.epoch, update: progress.updates }, state.groups)
      step.prepared(learningRate)
    }
    if (signature.draws) {
      progress.seed ??= nextSeed()
      writeCounter(step.counter, 0, progress.seed, progress.updates, 0)
    }
    const cost = step.run(block, batch)
    if (Number.isNaN(cost)) throw notFinite(`update ${progress.updates + 1}`, undefined, 'nothing was changed', learningRate)
    progress.updates++
    progress.unfinished = undefined
    if (watched) seen?.take(watched)
    return cost
  }

  /** Before the first of updates that several processes make together, each with rows of its own: all begin as the first is. */
  #takeFromFirst({ state, ranks }: StepParts): void {
    if (this.#same === state) return
    state.claim('step')
    const own = state.slots()
    const values = Object.entries(own).map(([name, t]) => {
      const counted = isFloat(t.dtype) && ranks?.rank !== 0 ? zeros(t.shape, { dtype: t.dtype }) : t
      return [name, isFloat(t.dtype) ? allReduce(counted) : t] as const
    })
    state.restore(Object.fromEntries(values))
    this.#same = state
  }

  /** Takes note of the data of a first fit, where `maxDeviation` asks. */
  saw({ x, samples }: Prepared): void {
    if (this.most === undefined || this.training.progress.seen) return
    const watched = numbersOf(
      tensorsOf(x).map(([, t]) => t.data),
      samples,
    )
    if (watched) this.#watched(watched, samples).take(watched)
  }

  /** What inputs like these have looked like: what a checkpoint brought, or what comes from now on. */
  #watched(x: TypedArray, samples: number): Seen {
    const { progress } = this.training
    const width = x.length / samples
    const { seen } = progress
    if (this.#seen?.width === width && seen === this.#seen) return this.#seen
    this.#seen = new Seen(width, seen?.mean.length === width ? seen : undefined)
    progress.seen = this.#seen
    return this.#seen
  }
}

const batchOf = ({ x, y, weights }: Prepared): Batch => ({
  x: tensorsOf(x).map(([, t]) => t.data),
  y: y.data,
  weights: weights?.data,
})

const isInteger = (x: TypedArray): boolean => x instanceof Int32Array || x instanceof Uint8Array

/** The features that can lie far off, one row a sample: all fields of floating numbers beside each other; none of integers. */
function numbersOf(x: readonly TypedArray[], samples: number): TypedArray | undefined {
  const [first, ...others] = x.filter((values) => !isInteger(values))
  if (!first || others.length === 0) return first
  const fields = [first, ...others].map((values) => ({ values, width: values.length / samples }))
  const width = fields.reduce((n, field) => n + field.width, 0)
  const out = allocate('float64', samples * width)
  for (let i = 0, at = 0; i < samples; i++)
    for (const field of fields) {
      out.set(field.values.subarray(i * field.width, (i + 1) * field.width), at)
      at += field.width
    }
  return out
}

/** What a message calls the j-th of these features. */
const featureNames = (fields: readonly FieldSpec[]) => (j: number) => {
  let at = j
  for (const { name, shape, dtype } of fields) {
    const width = isFloat(dtype) ? sizeOf(shape) : 0
    if (at < width) return name === '' ? `feature ${j}` : `feature ${at} of ${fieldName(name)}`
    at -= width
  }
  return `feature ${j}`
}
