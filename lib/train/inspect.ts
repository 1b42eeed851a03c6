/** What a fit would run, looked at without training: its programs as tables, and where their time goes. */

import type { AnyData } from '../data/dataset.js'
import { WengertError } from '../errors.js'
import type { Profile } from '../plan/profile.js'
import { allocate, type TypedArray } from '../util/dtype.js'
import type { FitHost } from './fit-loop.js'
import { FitPlan } from './fit-plan.js'
import { reportLayout } from './parts.js'
import { writeScalars } from './training-progress.js'

/** One program of an epoch, and how often it runs there. */
export interface ProgramProfile {
  readonly repeat: number
  readonly profile: Profile
}

/** The programs of an epoch, profiled; `toString()` gives their tables. */
export class TrainingProfile {
  constructor(readonly programs: readonly ProgramProfile[]) {}

  /** The tables of all programs. */
  toString(): string {
    return this.programs.map(({ repeat, profile }) => `${heading(repeat)}\n${profile}`).join('\n\n')
  }
}

const heading = (repeat: number) => `${repeat} × an epoch:`

/** The programs of a fit without validation and metrics. */
function planOf(where: string, host: FitHost, data: AnyData): FitPlan {
  const set = host.prepare(where, data)
  if (set.shard)
    throw new WengertError(
      'ERR_DISTRIBUTED',
      `${where}: the data set is a shard, whose programs depend on the others'; ${where} the whole set, or as much of it as is at hand, in one process`,
    )
  const parts = host.parts([])
  const plan = new FitPlan({ parts, report: reportLayout(0, true, false, 0), set: { data: set, batching: host.batching(set, parts) } })
  if (!plan.eager) return plan
  throw new WengertError(
    'ERR_VALUE_NEEDED',
    `${where}: ${host.model.describe()} reads values in forward(), so it trains eagerly and has no program`,
  )
}

export function describeTraining(host: FitHost, data: AnyData): string {
  const plan = planOf('describe', host, data)
  try {
    return plan.programs.map(({ plan: one, repeat }) => `${heading(repeat)}\n${one.describe()}`).join('\n\n')
  } finally {
    plan.close()
  }
}

export function profileTraining(host: FitHost, data: AnyData): TrainingProfile {
  const plan = planOf('profile', host, data)
  const { groups } = plan.parts.state
  const scalars = new Float64Array(host.optimizer.scalarCount * groups.length)
  writeScalars(host, scalars, 0, { epoch: host.progress.epoch, update: host.progress.updates }, groups)
  const hyperparameters: TypedArray = allocate(plan.parts.dtype, scalars.length)
  hyperparameters.set(scalars)
  const state = plan.parts.state.copy()
  try {
    return new TrainingProfile(
      plan.programs.map(({ plan: one, repeat }) => ({ repeat, profile: one.profile(state, plan.inputs(hyperparameters)) })),
    )
  } finally {
    state.release()
    plan.close()
  }
}
