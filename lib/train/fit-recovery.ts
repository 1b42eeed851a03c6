/**
 * Back to a moment after something failed: the parameters, counters and policies of a fit are then of the end of an epoch, and the
 * error says what happened and what stands.
 */

import type { BlockResult, Failure } from '../backend/program.js'
import { nameOf, world } from '../distributed/world.js'
import type { WengertError } from '../errors.js'
import type { Optimizer } from '../optim/optimizer.js'
import { failedElsewhere, shared } from './agreement.js'
import { badIndex, notFinite, ranAway } from './failures.js'
import type { Blocks } from './fit-blocks.js'
import type { FitSettings } from './fit-options.js'
import type { FitPlan } from './fit-plan.js'
import type { Moments } from './moments.js'
import type { Divergence, Policies } from './policies.js'
import type { Position, Stretch } from './position.js'
import type { TrainingProgress } from './training-progress.js'

/** What a rank found wrong in a block; `at` counts its epochs. */
interface Finding {
  readonly at: number
  readonly kind: string | undefined
  readonly says: string
}

/** What a fit counts, and how it goes back. */
export class Recovery {
  /** Moments to go back to, from the beginning of the fit's run on. */
  moments: Moments | undefined

  constructor(
    readonly of: {
      readonly host: { readonly progress: TrainingProgress; readonly optimizer: Optimizer }
      readonly divergence: FitSettings['divergence']
      readonly plan: FitPlan
      readonly blocks: Blocks
      readonly position: Position
      readonly policies: Policies
    },
  ) {}

  /** Takes note of an epoch's cost; whether it has run away. */
  weigh(cost: number): boolean {
    const { progress } = this.of.host
    progress.baseline ??= cost
    this.of.policies.after(cost, progress.baseline)
    return this.of.policies.diverged
  }

  /** The cost of a block's i-th epoch. */
  #costOf(result: BlockResult, i: number): number {
    return ((this.of.position.row(result, i) as Float64Array)[0] as number) / this.of.plan.timetable.seen
  }

  /** Counts what a block has done; false where it ended in the middle of what cannot be gone on with. */
  advance(result: BlockResult, stretch: Stretch): boolean {
    const { progress } = this.of.host
    const position = this.of.position
    const done = position.advance(result, stretch)
    progress.updates += done.updates
    progress.epoch += done.epochs
    const whole = done.updates === done.epochs * this.of.plan.timetable.updates - (done.epochs > 0 ? stretch.from : 0)
    return whole || (position.at > 0 && position.at < this.of.plan.timetable.updates)
  }

  /** Goes back to the end of an epoch: to a moment at or before it, from which epochs of the same block are made again. */
  async back(epoch: number): Promise<void> {
    const moments = this.moments as Moments
    const from = moments.last.epoch <= epoch ? moments.last : moments.good
    moments.back(from)
    if (epoch <= from.epoch) return
    // What is not made again stays undone.
    if (!(await this.#again(epoch))) return moments.back(from)
    await moments.commit()
  }

  /** Makes what follows once more, up to so many updates of an epoch; whether it came to that. */
  async #again(epoch: number, update = 0): Promise<boolean> {
    const { blocks, plan, position, host } = this.of
    for (;;) {
      const left = epoch - host.progress.epoch
      if (left < 0 || (left === 0 && position.at >= update)) return true
      const room = Math.min(plan.window?.updates ?? Infinity, left === 0 ? update - position.at : Infinity)
      const stretch = position.next(plan.window ? 1 : left, room)
      const { result } = await blocks.run(stretch)
      if (result.status !== 'done') return false
      this.advance(result, stretch)
      for (let i = 0; i < position.finished(result, stretch); i++) this.weigh(this.#costOf(result, i))
    }
  }

  /** The cost of some epochs has run away: the parameters before the first of them stand. */
  async ranAway(epoch: number, cost: number): Promise<WengertError> {
    const { progress, optimizer } = this.of.host
    const { factor, epochs } = this.of.divergence as Divergence
    await this.back(epoch - this.of.policies.high)
    const limit = factor * Math.max(this.of.policies.state.first ?? 0, progress.baseline ?? 0)
    return ranAway(epoch, cost, limit, epochs, this.#kept(), optimizer.learningRate)
  }

  #kept(): string {
    const { epoch } = this.of.host.progress
    if (this.of.position.at > 0) return `parameters are those of update ${this.of.host.progress.updates}`
    return epoch > 0 ? `parameters are those of epoch ${epoch}` : 'parameters are those of the start'
  }

  /**
   * After a failed block the parameters are those of the epoch before, or better before the epochs in which the cost ran away. A
   * number that is not finite: the epochs from there run once more with every step checked, which finds the first bad operation.
   * Ranks go back together, to before the first that failed.
   */
  async failed(result: BlockResult, stretch: Stretch): Promise<WengertError> {
    const { failure } = result
    const { progress, optimizer } = this.of.host
    const moments = this.moments as Moments
    const plan = this.of.plan
    const { timetable } = plan
    const { from, to } = stretch
    const own: Finding = {
      at: failure?.epoch ?? result.epochs,
      kind: failure?.kind,
      says: failure?.kind === 'index' ? badIndex(failure).message : '',
    }
    const findings = plan.parts.ranks ? await shared(own) : [own]
    const at = Math.min(...findings.map((one) => one.at))
    const made = failure ? timetable.updatesBeyond(result, stretch) + 1 : 0
    const where = `update ${progress.updates + at * timetable.updates + made} (epoch ${progress.epoch + at + 1})`
    const failing = progress.epoch + at
    const outside = findings.findIndex(({ kind }) => kind === 'index')
    if (outside >= 0) {
      await this.back(failing)
      if (failure?.kind === 'index') return badIndex(failure)
      return failedElsewhere('fit', outside, findings[outside]?.says as string)
    }
    for (let i = 0; i < at; i++) {
      const cost = this.#costOf(result, i)
      if (this.weigh(cost)) return this.ranAway(progress.epoch + i + 1, cost)
    }
    await this.back(failing - this.of.policies.high)
    const kept = this.#kept()
    // Where rows come for a while at a time, so does what is made again.
    const ahead = plan.window === undefined || (await this.#again(failing, from))
    const epochs = plan.window ? 1 : failing - progress.epoch + 1
    const again = plan.eager || !ahead ? undefined : (await this.of.blocks.run({ epochs, from, to }, { checked: true })).result
    moments.back(moments.last)
    const found = again?.status === 'failed' ? again.failure : failure
    const label = found?.kind === 'nonfinite' ? plan.labelOf(found) : undefined
    const first = plan.parts.ranks ? await firstOf(found, label) : label
    return notFinite(where, first, kept, optimizer.learningRate)
  }
}

/** The first of the ranks' bad operations, with the name of the rank. */
async function firstOf(found: Failure | undefined, label: string | undefined): Promise<string | undefined> {
  const { epoch = 0, program = 0, run = 0, step = 0 } = found ?? {}
  const all = (await shared({ at: [epoch, program, run, step], label })).map((one, rank) => ({ ...one, rank }))
  const known = all.filter((one) => one.label !== undefined)
  const before = (a: readonly number[], b: readonly number[]) => a.map((x, i) => x - (b[i] as number)).find((d) => d !== 0) ?? 0
  const [first] = known.sort((a, b) => before(a.at, b.at) || a.rank - b.rank)
  if (!first) return undefined
  const same = known.filter(({ at }) => before(at, first.at) === 0).length
  return `${first.label}, on ${same === world().size ? 'all ranks' : nameOf(first.rank)}`
}
