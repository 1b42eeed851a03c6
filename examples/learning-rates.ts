/**
 * Fixed against dynamic learning rates: a linear model of diabetes, one sample an update, the same start, order and largest
 * rate. A fixed rate either crawls or keeps jumping about the minimum; a rate that falls gets close and stays.
 *
 * `node dist/examples/learning-rates.js [--json] [--out docs/figures/learning-rates.svg]`
 */

import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { backend, FBGD, type History, loss, nn, optim, Random, readCsv, SGD, standardize } from 'wengert'
import { colours, figure, Panel, type Point } from './charts.js'
import { dataFile, flagsOf, table } from './output.js'

const { json, out } = flagsOf(
  'learning-rates',
  'Eight schedules of the learning rate on one task.\n\n  --json         one line of JSON instead\n  --out <path>   draw the costs as SVG\n',
)

const seed = 1
const epochs = 60
/** α, the largest rate of all schedules. */
const learningRate = 0.03

const raw = await readCsv(dataFile('diabetes.csv'), { target: 'progression', dtype: 'float64' })
const targets = raw.y.reshape([raw.length, 1])
const data = { x: standardize(raw)(raw.x), y: standardize(targets)(targets) }
const updates = epochs * raw.length
const linear = () => new nn.Linear(10, 1, { rng: new Random(seed), dtype: 'float64' })

const { constant, step, exponential, inverseTime, cosine, oneCycle, plateau } = optim.schedules
const runs = [
  { name: 'fixed, α', schedule: constant(), colour: colours.ink },
  { name: 'fixed, α/1000', learningRate: learningRate / 1000, schedule: constant(), colour: colours.violet },
  { name: 'step', schedule: step({ every: 15, factor: 0.2 }), colour: colours.blue },
  { name: 'exponential', schedule: exponential({ factor: 0.9 }), colour: colours.red },
  { name: '1/t', schedule: inverseTime({ decay: 0.002 }), colour: colours.green },
  { name: 'cosine with warm-up', schedule: cosine({ total: epochs, warmup: 3 }), colour: colours.blue },
  { name: 'one cycle', schedule: oneCycle({ total: updates }), colour: colours.red },
  { name: 'plateau', schedule: plateau({ factor: 0.3, patience: 4 }), colour: colours.green },
]

/** The least cost that a linear model can have, to rounding. */
const exact = new FBGD(linear(), { loss: loss.squaredError, optimizer: optim.gradientDescent({ learningRate: 0.2, momentum: 0.9 }) })
await exact.fit(data, { epochs: 5000, seed })
const { cost: least } = await exact.evaluate(data)

const results: { name: string; history: History; excess: number[] }[] = []
for (const { name, schedule, learningRate: rate = learningRate } of runs) {
  const trainer = new SGD(linear(), { loss: loss.squaredError, learningRate: rate, schedule })
  // The whole set again as validation: its cost after each epoch, not as met on the way.
  const history = await trainer.fit(data, { epochs, seed, validation: data })
  results.push({ name, history, excess: history.epochs.map(({ validation }) => (validation?.cost as number) - least) })
}

const last = (list: readonly number[]) => list[list.length - 1] as number
const lastRate = ({ history }: { history: History }) => history.last?.learningRate as number

if (json) {
  const rows = results.map((r) => ({ name: r.name, cost: least + last(r.excess), excess: last(r.excess), learningRate: lastRate(r) }))
  console.log(JSON.stringify({ engine: backend().name, least, schedules: rows }))
} else {
  const rows = results.map((r) => [
    r.name,
    lastRate(r).toPrecision(2),
    (least + last(r.excess)).toFixed(5),
    last(r.excess).toExponential(1),
  ])
  console.log(`SGD, ${updates} updates, α = ${learningRate}; the least cost of all linear models is ${least.toFixed(5)}\n`)
  console.log(table([['learning rate', 'at the end', 'cost', 'above the least'], ...rows]))
}

if (out !== undefined) {
  const panel = (title: string, shown: readonly number[]) => {
    const one = new Panel({ title, x: [0, epochs], y: [-6, 0.5], xLabel: 'epoch', yLabel: 'log₁₀ (cost − least cost)' })
    const points = (i: number) => results[i]?.excess.map((excess, e): Point => [e + 1, Math.log10(Math.max(excess, 1e-12))]) as Point[]
    if (!shown.includes(0)) one.line(points(0), colours.faint, 'fixed, α')
    for (const i of shown) one.line(points(i), runs[i]?.colour as string, runs[i]?.name)
    return one
  }
  await mkdir(dirname(out), { recursive: true })
  await writeFile(
    out,
    figure(panel('Fixed', [0, 1]), panel('Falling with time', [2, 3, 4]), panel('Rising first; following the cost', [5, 6, 7])),
  )
  if (!json) console.log(`\n${out}`)
}
