/** What shards that are no whole are refused with, by every rank: prints a line each for what is asked for. */
import { Dataset, distributed, loss, MBSGD, nn, Random, windows } from '../../dist/lib/index.js'

await distributed.init()
const { rank } = distributed
const rng = new Random(1)
const x = rng.normal([20, 3])
const y = rng.normal([20, 1])
const rows = (from, to) => [x.slice([from, to]), y.slice([from, to])]
const shard = (from, to, total = 20) => new Dataset(...rows(from, to), { shard: { start: from, total } })
const ways = {
  gap: () => (rank === 0 ? shard(0, 8) : shard(10, 20)),
  overlap: () => (rank === 0 ? shard(0, 12) : shard(10, 20)),
  end: () => (rank === 0 ? shard(0, 10) : shard(10, 18)),
  totals: () => (rank === 0 ? shard(0, 10) : shard(10, 20, 30)),
  whole: () => (rank === 0 ? shard(0, 10) : new Dataset(x, y)),
  columns: () => (rank === 0 ? shard(0, 10) : new Dataset(rng.normal([10, 2]), y.slice([10, 20]), { shard: { start: 10, total: 20 } })),
}
const said = {}
for (const [name, make] of Object.entries(ways)) {
  const trainer = new MBSGD(new nn.Linear(name === 'columns' && rank === 1 ? 2 : 3, 1), {
    loss: loss.squaredError,
    batchSize: 4,
    learningRate: 0.1,
  })
  const why = await trainer.fit(make(), { epochs: 1, seed: 1 }).then(
    () => 'nothing',
    ({ code, message }) => `${code} ${message}`,
  )
  said[name] = await distributed.gather(why)
}
try {
  windows(shard(0, 10), { length: 2 })
} catch ({ code }) {
  said.windows = await distributed.gather(code)
}
if (rank === 0) console.log(JSON.stringify(said))
