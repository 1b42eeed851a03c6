/**
 * Samples a second of data-parallel training: 784-512-256-10, cross-entropy, plain gradient descent, 128 samples a rank and update.
 * Alone or under a launcher (one thread a rank); beside it ddp.py, the same with PyTorch's DistributedDataParallel over gloo.
 *
 *   WENGERT_THREADS=1 node bench/distributed/scale.mjs
 *   WENGERT_THREADS=1 npx wengert launch -n 2 bench/distributed/scale.mjs [epochs measured, 60]
 *   WENGERT_THREADS=1 node bench/distributed/scale.mjs profile
 */
import { distributed, loss, MBSGD, nn, Random, tensor } from '../../dist/lib/index.js'

await distributed.init()
const { rank, size } = distributed
const rng = new Random(1)
// 16 updates an epoch.
const samples = 128 * 16 * size
const x = rng.normal([samples, 784])
const y = tensor(Int32Array.from({ length: samples }, (_, i) => i % 10))
const model = new nn.Sequential(
  new nn.Linear(784, 512, { rng }),
  new nn.ReLU(),
  new nn.Linear(512, 256, { rng }),
  new nn.ReLU(),
  new nn.Linear(256, 10, { rng }),
)
const trainer = new MBSGD(model, { loss: loss.crossEntropy, batchSize: 128 * size, learningRate: 0.01 })
if (process.argv[2] === 'profile') {
  const profile = trainer.profile({ x, y })
  if (rank === 0) console.log(String(profile))
  process.exit(0)
}
/** Samples a second in stretches of some updates each: on a machine that does other things, too, the best of many says most. */
const [first, epochs] = [5, Number(process.argv[2] ?? 60)]
const rates = []
let before = 0
const onEpoch = ({ epoch }) => {
  const now = performance.now()
  if (epoch > first) rates.push(samples / ((now - before) / 1000))
  before = now
}
const start = process.cpuUsage()
await trainer.fit({ x, y }, { epochs: first + epochs, seed: 1, onEpoch })
const { user, system } = process.cpuUsage(start)
rates.sort((a, b) => a - b)
if (rank === 0) {
  const updates = trainer.updates
  const milliseconds = (user + system) / 1000 / updates
  const [median, best] = [rates[Math.floor(rates.length / 2)], rates.at(-1)].map(Math.round)
  console.log(
    JSON.stringify({ ranks: size, samplesPerSecond: median, best, processorMillisecondsAnUpdate: Number(milliseconds.toFixed(2)) }),
  )
}
