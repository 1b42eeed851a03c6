/** `wengert evaluate`: how good a model is on rows that it has not seen. */

import { scoreTable, streamTable, type Table } from '../index.js'
import { answered, columns, type Flag, type Given, given, helpOf, Misuse, short, thousands } from './arguments.js'
import { known, loaded } from './predict.js'
import { formatOf, readFlags, sourceOf, written } from './source.js'
import { scoreTableText } from './train.js'

const flags: Readonly<Record<string, Flag>> = readFlags
const usage = 'wengert evaluate <model> <file | -> [flags]'

async function run(options: Given): Promise<number> {
  const [modelPath, path, ...more] = options.positionals
  if (more.length > 0) throw new Misuse(`one file at a time, and got ${1 + more.length}`)
  const model = await loaded(modelPath)
  const { table, threshold, temperature } = model
  const said = new Set<string>()
  const batches = async function* (): AsyncGenerator<Table> {
    for await (const rows of streamTable(sourceOf(path), formatOf(options))) {
      for (const name of table.target) {
        if (!rows.has(name)) throw new Misuse(`the rows have no column '${name}', which the model predicts; wengert predict needs none`)
      }
      yield known(rows, table, said)
    }
  }
  const scores = await scoreTable(model, table, batches(), { threshold, temperature })
  if (options.on('json')) {
    await written(
      `${JSON.stringify({ task: table.task, target: table.target, classes: table.classes, threshold, temperature, ...scores })}\n`,
    )
    return 0
  }
  const { confusionMatrix, calibrationError } = scores
  await written(`${thousands(scores.rows)} rows\n${scoreTableText(table.task, [['', scores]])}\n`)
  if (calibrationError !== undefined) await written(`sure by ${short(calibrationError)} more or less than right (calibration error)\n`)
  if (confusionMatrix && confusionMatrix.length <= 20) {
    const names = table.classes as readonly string[]
    await written(
      `\n${columns([['true \\ predicted', ...names], ...confusionMatrix.map((row, c) => [names[c] as string, ...row.map(String)])])}\n`,
    )
  }
  return 0
}

export const evaluate = (args: readonly string[]): Promise<number> =>
  answered('evaluate', async () => {
    const options = given(args, flags)
    if (!options.on('help')) return run(options)
    await written(helpOf(usage, 'Scores a model on the rows of a CSV or of JSON lines that hold the target.', flags))
    return 0
  })
