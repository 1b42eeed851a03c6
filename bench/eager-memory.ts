/**
 * The memory of an eager training loop that never yields: 784-512-10, plain tensors, no disposal, no forced collection.
 * `node dist/bench/eager-memory.js [--steps 20000] [--batch 1]` prints the largest resident set; its bound is 300 MB.
 */

import { parseArgs } from 'node:util'
import { backend, linear, loss, Random, type Tensor, tensor, valueAndGrad } from '../lib/index.js'

const { values: flags } = parseArgs({ options: { steps: { type: 'string', default: '20000' }, batch: { type: 'string', default: '1' } } })
const [steps, batch] = [Number(flags.steps), Number(flags.batch)]

const rng = new Random(1)
let weights = [rng.normal([512, 784]).mul(0.03), rng.normal([512]).mul(0), rng.normal([10, 512]).mul(0.03), rng.normal([10]).mul(0)]
const x = rng.normal([batch, 784])
const y = tensor(Int32Array.from({ length: batch }, (_, i) => i % 10))
const cost = (w: Tensor[]) => loss.crossEntropy(linear(linear(x, w[0] as Tensor, w[1]).relu(), w[2] as Tensor, w[3]), y)
const step = valueAndGrad(cost)

let largest = 0
let value = NaN
const start = performance.now()
for (let i = 0; i < steps; i++) {
  const [J, gradients] = step(weights) as [Tensor, Tensor[]]
  weights = weights.map((w, k) => w.sub((gradients[k] as Tensor).mul(0.001)))
  value = J.item()
  if (i % 50 === 0) largest = Math.max(largest, process.memoryUsage.rss())
}
largest = Math.max(largest, process.memoryUsage.rss())
console.log(
  `${backend().name}: ${steps} steps, batch ${batch}, cost ${value.toPrecision(3)}, largest resident set ${(largest / 1e6).toFixed(0)} MB, ${((performance.now() - start) / 1000).toFixed(1)} s`,
)
process.exitCode = largest < 300e6 ? 0 : 1
