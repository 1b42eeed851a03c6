/** What a model file keeps of the table that a model was trained by, and how a loaded model answers to records. */

import { WengertError } from '../errors.js'
import type { OutputKind } from '../nn/loss-contract.js'
import type { Module } from '../nn/module.js'
import type { TablePrediction } from '../table/answers.js'
import { type FittedTable, partsOf, tableFromJSON } from '../table/fit.js'
import { TablePredictor } from '../table/predictor.js'
import type { Table } from '../table/table.js'
import { describe } from '../util/options.js'
import { isPlainObject } from '../util/tree.js'

/** What is saved beside a model that was trained by a table. */
export interface SaveTableOptions {
  /** The fitted table: the loaded model then answers to raw records (`predictRecords`). */
  table?: FittedTable | undefined
  /** The probability from which the second of two classes, or a label, is predicted; 0.5 by default. */
  threshold?: number | undefined
  /** What logits are divided by before they become probabilities (`calibrate`); 1 by default. */
  temperature?: number | undefined
  /** What you want to know of the model later, as JSON. */
  metadata?: Readonly<Record<string, unknown>> | undefined
}

/** What a loaded model has of them. */
export interface TableParts {
  readonly table: FittedTable | undefined
  readonly threshold: number | undefined
  readonly temperature: number | undefined
  readonly metadata: Readonly<Record<string, unknown>>
  /**
   * Answers to raw records, or to rows of a table: `[{ churned: 'no', probability: 0.93, probabilities: { … } }]`.
   *
   * @throws ERR_STATE for a model saved without a table; ERR_DATA naming record and column
   * @example const [answer] = model.predictRecords<{ churned: 'no' | 'yes' }>([{ plan: 'pro', spend: 12 }])   // answer?.churned is 'no' | 'yes'
   */
  predictRecords<Answer extends object = object>(records: Iterable<unknown> | Table): (Answer & TablePrediction)[]
}

/** The fields of a model's JSON. Errors: ERR_OPTION, ERR_RANGE, ERR_VALUE for what cannot be kept or does not suit. */
export function savedTable(model: Module, options: SaveTableOptions, outputs: OutputKind | undefined): Record<string, unknown> {
  const { table, threshold, temperature, metadata } = options
  if (table !== undefined && !partsOf.has(table))
    throw new WengertError('ERR_OPTION', `saveModel: expected table to be made by fitTable, got ${describe(table)}`, { actual: table })
  if (table === undefined && (threshold !== undefined || temperature !== undefined))
    throw new WengertError('ERR_OPTION', 'saveModel: a threshold and a temperature belong to a table; give table too')
  if (table) new TablePredictor(model, table, { outputs, threshold, temperature }).check()
  if (metadata !== undefined && !isPlainObject(metadata))
    throw new WengertError('ERR_OPTION', `saveModel: expected metadata to be an object, got ${describe(metadata)}`, { actual: metadata })
  const kept: Record<string, unknown> = { ...(threshold !== undefined && { threshold }), ...(temperature !== undefined && { temperature }) }
  if (table) {
    kept.table = JSON.parse(JSON.stringify(table))
    // What cannot be read back is refused now, not in the process that serves.
    tableFromJSON(kept.table)
  }
  if (metadata !== undefined) {
    try {
      kept.metadata = JSON.parse(JSON.stringify(metadata))
    } catch (error) {
      throw new WengertError('ERR_OPTION', `saveModel: metadata is not JSON: ${(error as Error).message.slice(0, 120)}`, { cause: error })
    }
  }
  return kept
}

/** Reads the fields back, of a model whose outputs' meaning is known. Errors: ERR_FILE. */
export function tablePartsOf(model: Module, json: Readonly<Record<string, unknown>>): TableParts {
  const { threshold, temperature, metadata = {} } = json as { threshold?: number; temperature?: number; metadata?: unknown }
  let table: FittedTable | undefined
  let predictor: TablePredictor | undefined
  try {
    if (!isPlainObject(metadata)) throw new WengertError('ERR_VALUE', `expected metadata to be an object, got ${describe(metadata)}`)
    table = json.table === undefined ? undefined : tableFromJSON(json.table)
    predictor = table && new TablePredictor(model, table, { threshold, temperature })
  } catch (error) {
    throw new WengertError('ERR_FILE', `loadModel: the model's table is not one that saveModel wrote: ${(error as Error).message}`, {
      cause: error,
    })
  }
  return {
    table,
    threshold,
    temperature,
    metadata,
    predictRecords: <Answer extends object>(records: Iterable<unknown> | Table) => {
      if (!predictor)
        throw new WengertError(
          'ERR_STATE',
          'predictRecords: the model was saved without a table; give saveModel the one that fitTable made',
        )
      return predictor.predict(records) as (Answer & TablePrediction)[]
    },
  }
}
