/**
 * From rows to a served model: 20,000 customers of mixed columns, of whom a tenth leave; a column that gives the answer away is
 * found and left out; the latest customers are held out; the network is compared with what a linear model says; probabilities
 * are calibrated, a threshold is chosen by what mistakes cost, and the model of one file answers to raw records.
 *
 * `node dist/examples/churn.js [--json] [--out churn.wengert]`
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  backend,
  calibrate,
  category,
  chooseThreshold,
  date,
  earlyStopping,
  type FittedTable,
  findLeaks,
  fitTable,
  loadModel,
  MBSGD,
  nn,
  number,
  optim,
  permutationImportance,
  Random,
  readTable,
  saveModel,
  scoreTable,
  split,
  TablePredictor,
} from 'wengert'
import { customers } from './churn-data.js'
import { flagsOf, table as lines, percent } from './output.js'

const { json, out } = flagsOf(
  'churn',
  'Tells which customers will leave.\n\n  --json         one line of JSON instead\n  --out <path>   keep the model there\n',
)

const seed = 1
const all = await readTable(customers(20_000))
const leaks = findLeaks(all, 'churned').map(({ column }) => column)
const [train, validation, test] = split(all.without(...leaks), { parts: [0.7, 0.15, 0.15], by: 'joined' })
const table = fitTable(train, { target: 'churned', columns: { plan: category(), joined: date(), monthly_spend: number({ log: true }) } })

/** A network over the table, trained until the validation part gets no better. */
async function trained(table: FittedTable, hidden: readonly number[]): Promise<nn.Sequential> {
  const rng = new Random(seed)
  const layers: nn.Module[] = [table.input({ rng })]
  let width = table.width
  for (const size of hidden) {
    layers.push(new nn.Linear(width, size, { rng }), new nn.ReLU(), new nn.Dropout(0.1))
    width = size
  }
  const model = new nn.Sequential(...layers, new nn.Linear(width, table.outputs, { rng }))
  const trainer = new MBSGD(model, { loss: table.loss, optimizer: optim.adamW({ learningRate: 1e-3, weightDecay: 0.01 }), batchSize: 128 })
  await trainer.fit(table(train), { epochs: 40, seed, validation: table(validation), callbacks: [earlyStopping({ patience: 5 })] })
  return model
}

const model = await trained(table, [64, 32])
const temperature = calibrate(model, table, validation)
const chances = new TablePredictor(model, table, { temperature }).values(validation).filter((_, i) => i % 2 === 1)
// A customer who leaves unnoticed costs eight times what a needless call costs.
const threshold = chooseThreshold(chances, table(validation).y.data, { for: { falsePositive: 1, falseNegative: 8 } })
const scores = await scoreTable(model, table, test, { temperature, threshold })
const linear = await scoreTable(await trained(table, []), table, test)
const useful = permutationImportance(model, table, test, { temperature })

// What a serving process does: it has the file, and a record as the database holds it.
const folder = out === undefined ? await mkdtemp(join(tmpdir(), 'churn-')) : undefined
const path = out ?? join(folder as string, 'churn.wengert')
await saveModel(model, path, { table, temperature, threshold, metadata: { version: '1', auc: scores.rocAuc } })
const served = await loadModel(path)
if (folder) await rm(folder, { recursive: true })
const { churned: _, ...customer } = test.record(test.length - 1)
const [answer] = served.predictRecords([customer])

if (json) {
  console.log(
    JSON.stringify({
      engine: backend().name,
      leaks,
      rows: [train.length, validation.length, test.length],
      scores,
      linear,
      temperature,
      threshold,
      useful,
      answer,
    }),
  )
} else {
  const figures = (s: typeof scores) => [s.rocAuc, s.prAuc, s.logLoss, s.brier].map((value) => (value as number).toFixed(3))
  console.log(`left out, as it gives the answer away: ${leaks.join(', ')}\n\n${table}\n`)
  console.log(
    lines([
      ['on the latest customers', 'ROC AUC', 'PR AUC', 'log loss', 'Brier'],
      ['network', ...figures(scores)],
      ['linear', ...figures(linear)],
    ]),
  )
  console.log(
    `\ntemperature ${temperature.toFixed(2)}; called from ${percent(threshold)} on: ${percent(scores.recall as number)} of those who leave, ${percent(scores.precision as number)} of the calls right`,
  )
  console.log(
    `most useful: ${useful
      .slice(0, 5)
      .map(({ column }) => column)
      .join(', ')}\n\n${JSON.stringify(customer)}\n→ ${JSON.stringify(answer)}`,
  )
}
