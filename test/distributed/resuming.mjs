/** Trains, writes a checkpoint, and goes on from it: prints the parameters after so many epochs, by every rank's digest. */
import { createHash } from 'node:crypto'
import { Dataset, distributed, loss, MBSGD, nn, optim, Random } from '../../dist/lib/index.js'

const [, , how, path, parted] = process.argv
await distributed.init()
const rng = new Random(1)
const x = rng.normal([100, 4])
const y = rng.normal([100, 1])
const model = new nn.Sequential(new nn.Linear(4, 8, { rng }), new nn.Tanh(), new nn.Dropout(0.2), new nn.Linear(8, 1, { rng }))
const trainer = new MBSGD(model, { loss: loss.squaredError, batchSize: 12, optimizer: optim.adam({ learningRate: 0.01 }) })
if (how === 'resume') await trainer.resume(path)
const epochs = how === 'half' || how === 'cut' ? 3 : 6 - trainer.epoch
const data = parted === 'shards' ? new Dataset(x, y, { shard: 'auto' }) : { x, y }
await trainer.fit(data, { epochs, seed: 1, ...((how === 'half' || how === 'cut') && { checkpoint: { path, everyUpdates: 5 } }) })
if (how === 'half') await trainer.save(path)
const state = Object.values(model.stateDict()).flatMap((t) => Array.from(t.data))
const digests = await distributed.gather(createHash('sha256').update(JSON.stringify(state)).digest('hex'))
if (distributed.rank === 0) console.log(JSON.stringify({ state, same: digests.every((one) => one === digests[0]) }))
