/** A training in which rank 1 fails in the way that is asked for. Each rank that gets to it prints what its fit rejected with. */
import { distributed, loss, MBSGD, nn, Random } from '../../dist/lib/index.js'

const how = process.argv[2]
await distributed.init({ stallSeconds: 2 })
const rng = new Random(1)
const x = rng.normal([64, 4])
const y = rng.normal([64, 1])
const model = new nn.Sequential(new nn.Linear(4, 8, { rng }), new nn.Tanh(), new nn.Linear(8, 1, { rng }))
const trainer = new MBSGD(model, { loss: loss.squaredError, batchSize: 8, learningRate: how === 'diverge' ? 1e30 : 0.01 })
const stop = new AbortController()
const unlucky = distributed.rank === 1

const ways = {
  kill: () => process.kill(process.pid, 'SIGKILL'),
  stop: () => process.kill(process.pid, 'SIGSTOP'),
  throw: () => {
    throw new Error('no more')
  },
  uncaught: () =>
    setTimeout(() => {
      throw new Error('out of the blue')
    }, 0),
  exit: () => process.exit(0),
  stall: () => new Promise(() => setInterval(() => {}, 1000)),
  loop: () => {
    for (;;);
  },
  abort: () => setTimeout(() => stop.abort(new Error('enough')), 700),
  diverge: () => {},
}
// A fit that nobody watches, in blocks of many epochs, and one that is looked at after each.
const watched = {
  onEpoch: async ({ epoch }) => {
    if (unlucky && epoch === 3) await ways[how]()
  },
}
const quiet = how === 'abort' || how === 'diverge'
if (quiet && unlucky) ways[how]()
if (how === 'data' && unlucky) x.data[0] += 1
try {
  await trainer.fit({ x, y }, { epochs: 1e7, seed: 1, signal: stop.signal, ...(quiet ? {} : { callbacks: [watched] }) })
} catch (error) {
  console.log(JSON.stringify({ rank: distributed.rank, code: error.code, message: error.message, updates: trainer.updates }))
  if (!quiet) throw error
}
