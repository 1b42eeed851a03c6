/**
 * Learns from streams of unequal lengths, one a rank, in a few ways; as one process from batches of what the ranks would have had
 * together. Prints one line of JSON: parameters, updates and samples by name.
 */
import { createHash } from 'node:crypto'
import { distributed, loss, MBSGD, nn, Random, tensor } from '../../dist/lib/index.js'

await distributed.init({ stallSeconds: 5 })
const ranks = Number(process.argv[2] ?? distributed.size)
const rng = new Random(3)
const samples = 60
const x = rng.normal([samples, 4])
const y = Int32Array.from({ length: samples }, (_, i) => i % 3)
const weights = Float32Array.from({ length: samples }, (_, i) => 1 + (i % 4))
const item = (i, n = 1, weighted = false) => ({
  x: x.slice([i, i + n]),
  y: tensor(y.slice(i, i + n)),
  ...(weighted && { weights: weights.slice(i, i + n) }),
})
const joined = (items) => {
  const of = (name) => items.flatMap((one) => Array.from(one[name]?.data ?? one[name] ?? []))
  const weighted = items[0].weights !== undefined
  return {
    x: tensor(Float32Array.from(of('x')), { shape: [of('y').length, 4] }),
    y: tensor(Int32Array.from(of('y'))),
    ...(weighted && { weights: Float32Array.from(of('weights')) }),
  }
}
const dense = () => {
  const rng = new Random(1)
  return new nn.Sequential(new nn.Linear(4, 8, { rng }), new nn.Tanh(), new nn.Linear(8, 3, { rng }))
}
const normed = () => {
  const rng = new Random(1)
  return new nn.Sequential(new nn.Linear(4, 8, { rng }), new nn.BatchNorm1d(8, { sync: true }), new nn.Tanh(), new nn.Linear(8, 3, { rng }))
}
/** Each rank's items; the last rank of several has none. */
const unequal = (r, n, weighted) =>
  Array.from({ length: r > 0 && r === ranks - 1 ? 0 : 9 - 4 * r }, (_, k) => item(((7 * k + 13 * r) % 40) + n, n, weighted))
const cases = {
  'one sample': [dense, (r) => unequal(r, 1)],
  batches: [dense, (r) => unequal(r, 2 + r)],
  weights: [dense, (r) => unequal(r, 3, true)],
  'batch norm': [normed, (r) => unequal(r, 3)],
  'bad items left out': [dense, (r) => unequal(r, 1).flatMap((one) => [{ x: [NaN, 0, 0, 0], y: 1 }, one]), { onError: 'skip' }],
  'at most so many': [dense, (r) => unequal(r, 1), { maxUpdates: 4 }],
}
async function* later(items) {
  for (const one of items) {
    await new Promise((resolve) => setTimeout(resolve, 3 * distributed.rank))
    yield one
  }
}
const results = {}
const note = async (name, model, progress) => {
  const state = Object.values(model.stateDict()).flatMap((t) => Array.from(t.data))
  const digests = await distributed.gather(
    createHash('sha256')
      .update(JSON.stringify([state, progress.cost]))
      .digest('hex'),
  )
  results[name] = {
    state,
    same: digests.every((one) => one === digests[0]),
    updates: progress.updates,
    samples: progress.samples,
    skipped: progress.skipped,
  }
}
for (const [name, [make, itemsOf, options = {}]] of Object.entries(cases)) {
  const model = make()
  const trainer = new MBSGD(model, { loss: loss.crossEntropy, batchSize: 1, learningRate: 0.1 })
  const alone = () => {
    const all = Array.from({ length: ranks }, (_, r) => itemsOf(r).filter(({ x }) => !Array.isArray(x)))
    const rounds = Math.max(...all.map((items) => items.length))
    return Array.from({ length: rounds }, (_, k) => joined(all.flatMap((items) => items.slice(k, k + 1))))
  }
  await note(name, model, await trainer.fitStream(distributed.size > 1 ? later(itemsOf(distributed.rank)) : alone(), options))
}
{
  // One stream that all read: each rank learns from its items of it.
  const model = dense()
  const trainer = new MBSGD(model, { loss: loss.crossEntropy, batchSize: 1, learningRate: 0.1 })
  const all = Array.from({ length: 23 }, (_, i) => item(2 * i))
  const groups = Array.from({ length: Math.ceil(23 / ranks) }, (_, k) => joined(all.slice(k * ranks, (k + 1) * ranks)))
  await note('one stream', model, await trainer.fitStream(distributed.size > 1 ? all : groups, { shard: 'auto' }))
}
if (distributed.rank === 0) console.log(JSON.stringify(results))
