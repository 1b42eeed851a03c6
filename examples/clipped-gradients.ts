/**
 * Per-sample gradient clipping: the gradient of each sample by `vmap`, cut to one length before they are averaged, so that no
 * sample moves the model further than any other may. A tenth of the labels are wrong and stand far outside; the plain mean follows
 * them, the clipped one does not.
 *
 * `node dist/examples/clipped-gradients.js [--json]`
 */

import { backend, compile, loss, Random, readCsv, split, standardize, type Tensor, tensor, valueAndGrad, vmap, zeros } from 'wengert'
import { dataFile, flagsOf, percent, table } from './output.js'

const { json } = flagsOf(
  'clipped-gradients',
  'Clips the gradient of each sample before the mean, with wrong labels far outside.\n\n  --json         one line of JSON instead\n',
)

const seed = 1
const updates = 300
const learningRate = 0.5

const data = await readCsv(dataFile('iris.csv'), { target: 'species' })
const [train, test] = split(data, { test: 1 / 3, seed, stratify: true })
const scale = standardize(train)
const [inside, held] = [scale(train), scale(test)]

// One sample in ten: another label, and features thirty times as far from the mean.
const wrong = new Set(new Random(seed).permutation(inside.length).data.slice(0, Math.round(inside.length / 10)))
const factors = tensor(Array.from({ length: inside.length }, (_, i) => [wrong.has(i) ? 30 : 1]))
const x = inside.x.mul(factors)
const y = tensor(Int32Array.from(inside.y.data, (label, i) => (wrong.has(i) ? (label + 1) % 3 : label)))

interface Weights {
  w: Tensor
  b: Tensor
}
/** The cost of one sample: `features` are its four sizes, `label` its class. */
const costOf = ({ w, b }: Weights, features: Tensor, label: Tensor): Tensor =>
  loss.crossEntropy(w.matmul(features).add(b).expandDims(0), label.expandDims(0))
const ofEach = vmap(valueAndGrad(costOf), { inAxes: [null, 0, 0] })

/** One update by the mean of the gradients, each cut to the length `most`. */
const step = compile((p: Weights, features: Tensor, labels: Tensor, most: Tensor) => {
  const [costs, g] = ofEach(p, features, labels)
  const lengths = g.w.square().sum([1, 2]).add(g.b.square().sum(1)).sqrt()
  const factor = most.div(lengths.maximum(most))
  const mean = { w: g.w.mul(factor.reshape([-1, 1, 1])).mean(0), b: g.b.mul(factor.reshape([-1, 1])).mean(0) }
  const next = { w: p.w.sub(mean.w.mul(learningRate)), b: p.b.sub(mean.b.mul(learningRate)) }
  return { next, cost: costs.mean(), longest: lengths.max(), cut: lengths.greater(most).mean() }
})

const results = [Infinity, 1, 0.1].map((most) => {
  // Clipping by the largest number that float32 holds clips nothing.
  const limit = tensor(Number.isFinite(most) ? most : 1e38)
  const start = performance.now()
  const first = step({ w: zeros([3, 4]), b: zeros([3]) }, x, y, limit)
  let last = first
  for (let i = 1; i < updates; i++) last = step(last.next, x, y, limit)
  const milliseconds = performance.now() - start
  const { w, b } = last.next
  const right = held.x.matmul(w.transpose()).add(b).argmax(1).equal(held.y)
  return {
    most: Number.isFinite(most) ? most : null,
    accuracy: right.mean().item(),
    longest: first.longest.item(),
    cut: last.cut.item(),
    milliseconds,
  }
})

if (json) console.log(JSON.stringify({ engine: backend().name, samples: inside.length, wrong: wrong.size, results }))
else {
  console.log(
    `${inside.length} irises, ${wrong.size} of them with wrong labels and far outside; ${updates} updates, ${backend().name} engine\n`,
  )
  console.log(
    table([
      ['clipped at', 'accuracy on others', 'longest gradient', 'cut at the end', 'ms'],
      ...results.map(({ most, accuracy, longest, cut, milliseconds }) => [
        most === null ? 'nothing' : String(most),
        percent(accuracy),
        longest.toFixed(1),
        percent(cut),
        milliseconds.toFixed(0),
      ]),
    ]),
  )
}
