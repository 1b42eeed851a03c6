/**
 * Samples a second of data-parallel training: 784-512-256-10, cross-entropy, plain gradient descent, 128 samples a rank and update.
 * Alone or under a launcher (one thread a rank); beside it ddp.py, the same with PyTorch's DistributedDataParallel over gloo.
 *
 *   WENGERT_THREADS=1 node bench/distributed/scale.mjs
 *   WENGERT_THREADS=1 npx wengert launch -n 2 bench/distributed/scale.mjs
 */
import { distributed, loss, MBSGD, nn, Random, tensor } from '../../dist/lib/index.js'

await distributed.init()
const { rank, size } = distributed
const rng = new Random(1)
const samples = 128 * 64
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
await trainer.fit({ x, y }, { epochs: 1, seed: 1 })
const rates = []
for (let i = 0; i < 5; i++) {
  await distributed.barrier()
  const start = performance.now()
  await trainer.fit({ x, y }, { epochs: 2, seed: 1 })
  rates.push((2 * samples) / ((performance.now() - start) / 1000))
}
rates.sort((a, b) => a - b)
if (rank === 0) console.log(JSON.stringify({ ranks: size, samplesPerSecond: Math.round(rates[2]), best: Math.round(rates[4]) }))
