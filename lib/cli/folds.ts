/** `--folds`: cross-validation with the choices of the training. What cannot be is said before anything is trained. */

import { type FittedTable, fitTable, folds, scoreTable, split, type Table, type TableScores, WengertError } from '../index.js'
import type { Choices } from './choices.js'
import { settled, trainNetwork } from './network.js'

/** A fold with its table, fitted on its training part. */
export interface Fold {
  readonly train: Table
  readonly validation: Table
  readonly test: Table
  readonly table: FittedTable
}

/** The folds, each fitted and tried on its own rows. Errors: as `folds`, `split` and `fitTable`, naming the fold. */
export function foldsOf(rows: Table, { split: { parts: _, ...how }, fit }: Choices, k: number | undefined): Fold[] {
  if (k === undefined) return []
  const said = <T>(which: string, body: () => T): T => {
    try {
      return body()
    } catch (error) {
      if (!(error instanceof WengertError)) throw error
      throw new WengertError(error.code, `--folds ${k}: ${which}${error.message.replace(/^\w+: /, '')}`)
    }
  }
  return said('', () => folds(rows, { ...how, folds: k })).map((fold, i) =>
    said(`fold ${i + 1}: `, () => {
      const [train, validation] = split(fold.train, { ...how, parts: [0.85, 0.15] })
      const table = fitTable(train, fit)
      // Whatever a row holds that the training part does not know.
      for (const part of [train, validation, fold.test]) table(part)
      return { train, validation, test: fold.test, table }
    }),
  )
}

/** The scores of each fold. */
export async function crossValidated(list: readonly Fold[], choices: Choices): Promise<TableScores[]> {
  const scores: TableScores[] = []
  for (const { table, train, validation, test } of list) {
    const { model } = await trainNetwork(table, table(train), table(validation), choices.recipe)
    scores.push(await scoreTable(model, table, test, settled(model, table, validation, choices)))
  }
  return scores
}
