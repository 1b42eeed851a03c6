/** From the report of a block to the records of the epochs that it brought to their end. */

import type { BlockResult } from '../backend/program.js'
import type { Loss } from '../nn/loss.js'
import { putMeans, scoresOf } from './evaluation.js'
import type { Hyperparameters } from './fit-blocks.js'
import type { FitSettings } from './fit-options.js'
import type { FitPlan } from './fit-plan.js'
import { healthOf } from './health.js'
import type { EpochRecord } from './history.js'
import type { ReportLayout } from './parts.js'
import type { Position, Stretch } from './position.js'
import type { Prepared } from './prepare.js'
import { BlockRecords } from './records.js'
import type { TrainingProgress } from './training-progress.js'

/** What the records of a fit are made of. */
interface Recorded {
  readonly plan: FitPlan
  readonly position: Position
  readonly layout: ReportLayout
  readonly validation: Prepared | undefined
  readonly settings: FitSettings
  readonly loss: Loss
}

/** @param before the trainer's progress before the block; @param seconds of the fit so far */
export function recordsOf(
  { plan, position, layout, validation, settings, loss }: Recorded,
  { result, hyperparameters }: { result: BlockResult; hyperparameters: Hyperparameters },
  stretch: Stretch,
  { epoch: epochsBefore, updates: updatesBefore }: Readonly<TrainingProgress>,
  seconds: number,
): BlockRecords {
  const { timetable } = plan
  const trained = plan.parts.state.parameters.filter((p) => p.trained)
  const { length } = layout
  const make = (i: number): EpochRecord => {
    const updates = (i + 1) * timetable.updates - stretch.from
    const record: EpochRecord = {
      epoch: epochsBefore + i + 1,
      updates: updatesBefore + updates,
      cost: 0,
      learningRate: hyperparameters.table[(updates - 1) * hyperparameters.each] as number,
      seconds,
    }
    putMeans(record, result.report, i * length, settings.metrics, timetable.seen, layout.counted)
    if (validation || settings.health) {
      const row = position.row(result, i) as Float64Array
      if (validation) record.validation = scoresOf(row, layout.validation, settings.metrics, validation, loss, plan.predictions)
      if (settings.health) record.health = healthOf(row, layout.health, trained, timetable.updates)
    }
    return record
  }
  const epochs = position.finished(result, stretch)
  const records = new BlockRecords(epochs, (i) => (result.report[i * length] as number) / timetable.seen, make)
  // The predictions of this block make room for those of the next.
  if (plan.predictions) records.all
  return records
}
