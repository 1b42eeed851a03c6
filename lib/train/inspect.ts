/** What a fit would run, looked at without training: its programs as tables, and where their time goes. */

import type { DataLike } from '../data/dataset.js'
import { WengertError } from '../errors.js'
import type { Profile } from '../plan/profile.js'
import { allocate, type TypedArray } from '../util/dtype.js'
import { writeScalars } from './course.js'
import type { FitHost } from './fit-loop.js'
import { FitPlan } from './fit-plan.js'
import { sampleOf } from './prepare.js'
import { reportLayout } from './step-programs.js'
import { TrainingState } from './training-state.js'

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

/** The programs of a fit without validation and metrics, over a layout of its own. */
function planOf(where: string, host: FitHost, data: DataLike): { plan: FitPlan; own: TrainingState } {
  const set = host.prepare(where, data)
  const before = host.parts([])
  const own = new TrainingState(host.model, host.optimizer, before.state.accumulates)
  const parts = { ...before, state: own }
  const report = reportLayout(0, true, false, 0)
  const plan = new FitPlan({
    parts,
    report,
    set: { data: set, batching: host.batching(set, sampleOf(set), parts, report.length) },
  })
  if (!plan.eager) return { plan, own }
  throw new WengertError(
    'ERR_VALUE_NEEDED',
    `${where}: expected a model that can be recorded, got ${host.model.describe()}, which reads values in forward() and so has no program`,
  )
}

export function describeTraining(host: FitHost, data: DataLike): string {
  const { plan } = planOf('describe', host, data)
  return plan.programs.map(({ plan: one, repeat }) => `${heading(repeat)}\n${one.describe()}`).join('\n\n')
}

export function profileTraining(host: FitHost, data: DataLike): TrainingProfile {
  const { plan, own } = planOf('profile', host, data)
  const { scalarCount } = host.optimizer
  const scalars = new Float64Array(scalarCount)
  writeScalars(host, scalars, 0, { epoch: 0, update: 0 })
  const rates: TypedArray = allocate(plan.parts.dtype, scalarCount)
  rates.set(scalars)
  const inputs = plan.inputs(plan.orders(0, 0, 1), rates, plan.counters(0, 0, 1))
  const state = own.copy()
  return new TrainingProfile(plan.programs.map(({ plan: one, repeat }) => ({ repeat, profile: one.profile(state, inputs) })))
}
