/**
 * Regression with wrong targets among the right ones: the progression of diabetes after a year, by a linear model, learnt with
 * the squared error, Huber's loss and Tukey's bisquare; once from the data as they are, once with every tenth training
 * target's decimal point slipped by one place. The test part stays as it is.
 *
 * `node dist/examples/diabetes.js [--json]`
 */

import { backend, Dataset, FBGD, loss, nn, optim, Random, readCsv, split, standardize } from 'wengert'
import { dataFile, flagsOf, table } from './output.js'

const { json } = flagsOf(
  'diabetes',
  'Squared error, Huber and Tukey on clean targets and on targets with outliers.\n\n  --json   one line of JSON instead\n',
)

const seed = 1
/** The share of training targets that are ten times too large. */
const share = 0.1

const losses = {
  'squared error': loss.squaredError,
  'Huber, δ = 1': loss.huber.with({ delta: 1 }),
  "Tukey's bisquare, c = 4.685": loss.tukeyBisquare.with({ c: 4.685 }),
}

const data = await readCsv(dataFile('diabetes.csv'), { target: 'progression', types: { sex: 'category' } })
const [clean, test] = split(data, { test: 0.2, seed })
const scale = standardize(clean)

/** The same samples, with the decimal point of some targets slipped. */
function spoilt(set: Dataset): Dataset {
  const y = Float32Array.from(set.y.data)
  for (const i of new Random(seed).permutation(y.length).data.slice(0, Math.round(share * y.length))) y[i] = 10 * (y[i] as number)
  return new Dataset(set.x, y)
}

const median = (values: ArrayLike<number>): number => {
  const sorted = Float64Array.from(values).sort()
  const half = sorted.length >> 1
  return sorted.length % 2 ? (sorted[half] as number) : ((sorted[half - 1] as number) + (sorted[half] as number)) / 2
}

/**
 * δ and c count residuals in units of their spread, so that targets must be measured in it. Mean and standard deviation would
 * follow the outliers; the median and the median deviation (times 1.4826, the standard deviation of a normal variate) do not.
 */
function unitsOf(y: ArrayLike<number>) {
  const centre = median(y)
  const spread = 1.4826 * median(Array.from(y, (v) => Math.abs(v - centre)))
  return { spread, scaled: (set: Dataset) => ({ x: scale(set).x, y: set.y.sub(centre).div(spread).reshape([set.length, 1]) }) }
}

interface Result {
  targets: string
  loss: string
  /** Of the test part, in units of the target. */
  mae: number
  rmse: number
  r2: number
}

const results: Result[] = []
for (const [targets, train] of Object.entries({ clean, 'with outliers': spoilt(clean) })) {
  const { spread, scaled } = unitsOf(train.y.data)
  for (const [name, robust] of Object.entries(losses)) {
    const model = new nn.Linear(clean.x.shape[1] as number, 1, { rng: new Random(seed) })
    const trainer = new FBGD(model, { loss: robust, optimizer: optim.adam({ learningRate: 0.02 }) })
    await trainer.fit(scaled(train), { epochs: 3000, seed })
    const { mae, rmse, r2 } = await trainer.evaluate(scaled(test), { metrics: ['mae', 'rmse', 'r2'] })
    results.push({ targets, loss: name, mae: spread * (mae as number), rmse: spread * (rmse as number), r2: r2 as number })
  }
}

if (json) console.log(JSON.stringify({ engine: backend().name, train: clean.length, test: test.length, share, results }))
else {
  const rows = results.map((r) => [r.targets, r.loss, r.mae.toFixed(1), r.rmse.toFixed(1), r.r2.toFixed(3)])
  console.log(`${clean.length} patients to learn from, ${test.length} held out\n`)
  console.log(table([['training targets', 'loss', 'MAE', 'RMSE', 'R²'], ...rows], [1]))
}
