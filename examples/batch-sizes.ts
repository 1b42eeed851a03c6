/**
 * What the size m′ of a mini-batch changes: how far its gradient strays from that of all m samples, what an epoch costs, and
 * how low the cost gets in as many epochs. Drawn without replacement, the gradient's variance is (S²/m′)(1 − m′/m), S² being
 * the variance of the single samples' gradients: it falls as 1/m′ while m′ ≪ m.
 *
 * `node dist/examples/batch-sizes.js [--json] [--out docs/figures/batch-sizes.svg]`
 */

import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { backend, grad, linear, loss, MBSGD, nn, Random, randomOrder, relu, type Tensor } from 'wengert'
import { colours, figure, Panel, type Point } from './charts.js'
import { layers, loadDigits } from './digits-task.js'
import { flagsOf, table } from './output.js'

const { json, out } = flagsOf(
  'batch-sizes',
  'The variance of the gradient, the time of an epoch and the cost, by batch size.\n\n  --json         one line of JSON instead\n  --out <path>   draw the variance as SVG\n',
)

const seed = 1
const epochs = 10
const learningRate = 0.1
/** Batches whose gradients are measured for each size. */
const draws = 400

const [train] = await loadDigits(seed)
const m = train.length
const sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, m]

const start = () => {
  const rng = new Random(seed)
  const [inputs, hidden, classes] = layers
  return new nn.Sequential(new nn.Linear(inputs, hidden, { rng }), new nn.ReLU(), new nn.Linear(hidden, classes, { rng }))
}
const weights = Object.values(start().stateDict()) as [Tensor, Tensor, Tensor, Tensor]

/** The gradient of the mean loss over the samples at these positions, all parameters in one list. */
function gradient(positions: ArrayLike<number>): Float64Array {
  const { x, y } = train.take(positions)
  const cost = (w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) => loss.crossEntropy(linear(relu(linear(x, w1, b1)), w2, b2), y)
  const parts = grad(cost, { argnums: [0, 1, 2, 3] })(...weights)
  return Float64Array.from(parts.flatMap(({ data }) => Array.from(data)))
}

const whole = gradient(Array.from({ length: m }, (_, i) => i))
const distance = (g: Float64Array) => g.reduce((sum, value, i) => sum + (value - (whole[i] as number)) ** 2, 0)

/** S² = Σ‖gᵢ − ḡ‖²/(m − 1), summed over the parameters. */
const single = Array.from({ length: m }, (_, i) => distance(gradient([i]))).reduce((a, b) => a + b, 0) / (m - 1)

/** The mean of ‖g − ḡ‖² over batches of one size, as shuffled epochs without replacement hold them. */
function variance(size: number): number {
  let [sum, count] = [0, 0]
  const order = new Int32Array(m)
  for (let epoch = 0; count < draws; epoch++) {
    randomOrder(order, { seed, epoch })
    for (let at = 0; at + size <= m && count < draws; at += size, count++) sum += distance(gradient(order.subarray(at, at + size)))
  }
  return sum / count
}

/** The slope of a straight line through points, by least squares. */
function slope(points: readonly Point[]): number {
  const mean = (of: (p: Point) => number) => points.reduce((sum, p) => sum + of(p), 0) / points.length
  const [x, y] = [mean((p) => p[0]), mean((p) => p[1])]
  return points.reduce((sum, p) => sum + (p[0] - x) * (p[1] - y), 0) / points.reduce((sum, p) => sum + (p[0] - x) ** 2, 0)
}

interface Row {
  batchSize: number
  /** None for the full batch: it has no variance. */
  variance?: number
  expected: number
  updates: number
  microsecondsAnEpoch: number
  cost: number
}

const rows: Row[] = []
for (const batchSize of sizes) {
  const trainer = new MBSGD(start(), { loss: loss.crossEntropy, batchSize, learningRate })
  const history = await trainer.fit(train, { epochs, seed })
  rows.push({
    batchSize,
    ...(batchSize < m && { variance: variance(batchSize) }),
    expected: (single / batchSize) * (1 - batchSize / m),
    updates: history.updates,
    microsecondsAnEpoch: (1e6 * history.seconds) / epochs,
    cost: (await trainer.evaluate(train)).cost,
  })
}
const measured = rows.filter((row) => row.variance !== undefined) as Required<Row>[]
const logs = measured.filter(({ batchSize }) => batchSize <= m / 16).map((r): Point => [Math.log10(r.batchSize), Math.log10(r.variance)])
const fitted = slope(logs)

if (json) console.log(JSON.stringify({ engine: backend().name, samples: m, epochs, slope: fitted, sizes: rows }))
else {
  const head = ['batch size', 'variance', '(S²/m′)(1 − m′/m)', 'updates', 'ms an epoch', `cost after ${epochs} epochs`]
  const body = rows.map((r) => [
    `${r.batchSize}`,
    r.variance?.toExponential(2) ?? '0',
    r.expected.toExponential(2),
    `${r.updates}`,
    (r.microsecondsAnEpoch / 1000).toFixed(2),
    r.cost.toFixed(4),
  ])
  console.log(`${m} samples, rate ${learningRate} for all\n\n${table([head, ...body])}`)
  console.log(`\nvariance ∝ m′^${fitted.toFixed(3)} for m′ ≤ m/16`)
}

if (out !== undefined) {
  const panel = new Panel({ title: 'Variance of the gradient', x: [0, 3.2], y: [-3, 1.5], xLabel: 'log₁₀ m′', yLabel: 'log₁₀ variance' })
  const size = (log: number) => 10 ** log
  panel.curve((x) => Math.log10(single / size(x)), colours.faint, 'S²/m′', true)
  panel.curve((x) => Math.log10(Math.max(1e-9, (single / size(x)) * (1 - size(x) / m))), colours.blue, '(S²/m′)(1 − m′/m)')
  panel.steps(
    measured.map((r) => [Math.log10(r.batchSize), Math.log10(r.variance)]),
    colours.red,
    'measured',
  )
  await mkdir(dirname(out), { recursive: true })
  await writeFile(out, figure(panel))
  if (!json) console.log(`\n${out}`)
}
