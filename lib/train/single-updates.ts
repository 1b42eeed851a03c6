/** Updates made one by one on the calling thread: `step`, and streams, which are steps with a shorter way in for single samples. */

import { engine } from '../backend/select.js'
import { Seen } from '../data/seen.js'
import { writeCounter } from '../nn/dropout.js'
import { asTensor, type TensorLike } from '../tensor/creation.js'
import { nextSeed } from '../tensor/random.js'
import type { TypedArray } from '../util/dtype.js'
import { writeScalars } from './course.js'
import { notFinite } from './failures.js'
import { type Prepared, sampleOf } from './prepare.js'
import { RowCopy } from './rows.js'
import { type Batch, type Step, stepFor } from './steps.js'
import { asBatch, type Learned, type StreamItem } from './stream.js'
import type { Training } from './training.js'

export class SingleUpdates {
  #seen: Seen | undefined

  /** @param most deviations that an input may lie from what was seen */
  constructor(
    readonly training: Training,
    readonly most: number | undefined,
  ) {}

  /** One update on a batch; the cost before it. Errors: those of `Trainer.step`. */
  step(x: TensorLike, y: TensorLike, options: Pick<StreamItem, 'weights'>): number {
    const { dtype } = this.training.signatures.now()
    const data = this.training.prepare('step', { ...options, x: asTensor('step: x', x, { dtype }), y })
    return this.#learn(this.#stepFor(data), data)
  }

  /** What a stream does with each of its items. */
  learner(): (item: unknown) => Learned {
    const { training } = this
    let rows: RowCopy | undefined
    return (item) => {
      if (rows?.take(item) && rows.step.engine === engine() && training.still(rows.step.parts))
        return { cost: this.#update(rows.step, rows), samples: 1 }
      const data = training.prepare('fitStream', asBatch(item))
      const step = this.#stepFor(data)
      const cost = this.#learn(step, data)
      rows = RowCopy.of(item, data, step, training.recipe.loss)
      return { cost, samples: data.samples }
    }
  }

  /** The update on batches like this one. */
  #stepFor(data: Prepared): Step {
    const { training } = this
    return stepFor(training.cache, training.parts([], 'step'), sampleOf(data), data.samples)
  }

  #learn(step: Step, { x, y, weights }: Prepared): number {
    return this.#update(step, { x: x.data, y: y.data, weights: weights?.data })
  }

  /** Errors: ERR_BUSY; ERR_DIVERGED. */
  #update(step: Step, batch: Batch): number {
    const { course, recipe } = this.training
    const { state, signature } = step.parts
    const seen = this.#watched(batch.x, step.samples)
    if (this.most !== undefined) seen?.check('step', batch.x, this.most)
    const block = state.claim('step')
    const { learningRate } = recipe.optimizer
    if (step.steadyRate !== learningRate) {
      writeScalars(recipe, step.scalars, 0, { epoch: course.epoch, update: course.updates }, state.groups)
      step.prepared(learningRate)
    }
    if (signature.draws) {
      course.seed ??= nextSeed()
      writeCounter(step.counter, 0, course.seed, course.updates, 0)
    }
    const cost = step.run(block, batch)
    if (Number.isNaN(cost)) throw notFinite(`update ${course.updates + 1}`, undefined, 'nothing was changed', learningRate)
    course.updates++
    course.unfinished = undefined
    seen?.take(batch.x)
    return cost
  }

  /** Takes note of the data of a first fit, where `maxDeviation` asks. */
  saw({ x, samples }: Prepared): void {
    if (!this.training.course.seen) this.#watched(x.data, samples)?.take(x.data)
  }

  /** What inputs like these have looked like, where `maxDeviation` asks: what a checkpoint brought, or what comes from now on. */
  #watched(x: TypedArray, samples: number): Seen | undefined {
    if (this.most === undefined || x instanceof Int32Array || x instanceof Uint8Array) return undefined
    const { course } = this.training
    const width = x.length / samples
    const { seen } = course
    if (this.#seen?.width === width && seen === this.#seen) return this.#seen
    this.#seen = new Seen(width, seen?.mean.length === width ? seen : undefined)
    course.seen = this.#seen
    return this.#seen
  }
}
