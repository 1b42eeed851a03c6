/** Stands for a model's table and encoders of records in the bundle of `wengert/web`, until a model is loaded that has one. */

import { WengertError } from '../errors.js'
import type * as tables from './tables.js'

let brought: typeof tables | undefined

/** Fetches what a model needs that answers to records. */
export async function bringTables(): Promise<void> {
  brought ??= await import('./tables.js')
}

const absent = (what: string): WengertError =>
  new WengertError(
    'ERR_STATE',
    `${what}: a model that answers to records is loaded by \`await loadModel(bytes)\`, which fetches what it needs`,
  )

export const recordEncoderFromJSON: typeof tables.recordEncoderFromJSON = (json) => {
  if (!brought) throw absent('decodeModel')
  return brought.recordEncoderFromJSON(json)
}

export const savedTable: typeof tables.savedTable = (model, options, outputs) => {
  if (brought) return brought.savedTable(model, options, outputs)
  if (options.table !== undefined || options.threshold !== undefined || options.temperature !== undefined) throw absent('encodeModel')
  return options.metadata === undefined ? {} : { metadata: JSON.parse(JSON.stringify(options.metadata)) as unknown }
}

export const tablePartsOf: typeof tables.tablePartsOf = (model, json) => {
  if (brought) return brought.tablePartsOf(model, json)
  if (json.table !== undefined) throw absent('decodeModel')
  return {
    table: undefined,
    threshold: undefined,
    temperature: undefined,
    metadata: (json.metadata ?? {}) as Record<string, unknown>,
    predictRecords: () => {
      throw new WengertError('ERR_STATE', 'predictRecords: the model was saved without a table')
    },
  }
}
