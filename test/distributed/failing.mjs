/**
 * A training in which rank 1 fails in the way that is asked for. Each rank that gets to it prints what its fit rejected with, and
 * the one that fails prints when: `failing at` and milliseconds. A second argument is the command that
 * pulls a cable; a third a file to which each rank adds its process.
 */
import { execFileSync } from 'node:child_process'
import { appendFileSync } from 'node:fs'
import { distributed, FBGD, loss, MBSGD, nn, Random, tensor } from '../../dist/lib/index.js'

const [, , how, pulling, pids] = process.argv
if (pids) appendFileSync(pids, `${process.pid}\n`)
await distributed.init({ stallSeconds: 2 })
// Rank 0 is done and waits for the others at its end; rank 1 is busy for longer than the limit, with the cable in place or without.
if (how === 'end' || how === 'end cable') {
  if (distributed.rank === 1) {
    await new Promise((resolve) => setTimeout(resolve, 1000))
    process.stderr.write(`failing at ${Date.now()}\n`)
    if (how === 'end cable') execFileSync('sh', ['-c', pulling])
    await new Promise((resolve) => setTimeout(resolve, 8000))
  }
  process.exit()
}
const rng = new Random(1)
const x = rng.normal([64, 4])
const y = rng.normal([64, 1])
// Of 64 rows in order, each rank has its part: row 63 is the last rank's.
const ids = tensor(Int32Array.from({ length: 64 }, (_, i) => (i === 63 ? 9 : i % 8)))
const dense = () => new nn.Sequential(new nn.Linear(4, 8, { rng }), new nn.Tanh(), new nn.Linear(8, 1, { rng }))
const squared = { loss: loss.squaredError, learningRate: 0.01 }
const trainers = {
  diverge: () => new MBSGD(dense(), { ...squared, batchSize: 8, learningRate: 1e30 }),
  overflow: () => new FBGD(new nn.Sequential(new nn.Linear(4, 1, { rng })), squared),
  index: () => new FBGD(new nn.Sequential(new nn.Embedding(8, 4, { rng }), new nn.Linear(4, 1, { rng })), squared),
}
const trainer = (trainers[how] ?? (() => new MBSGD(dense(), { ...squared, batchSize: 8 })))()
if (how === 'overflow') x.data[4 * 63] = 1e30
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
  // What it said has to get over first. The rank itself goes on, as far as it can.
  cable: async () => {
    await new Promise((resolve) => setTimeout(resolve, 200))
    execFileSync('sh', ['-c', pulling])
  },
  abort: () => setTimeout(() => stop.abort(new Error('enough')), 700),
  ...Object.fromEntries(Object.keys(trainers).map((name) => [name, () => {}])),
}
const fail = async () => {
  process.stderr.write(`failing at ${Date.now()}\n`)
  await ways[how]()
}
// A fit that nobody watches, in blocks of many epochs, and one that is looked at after each.
const watched = {
  onEpoch: async ({ epoch }) => {
    if (unlucky && epoch === 3) await fail()
  },
}
const quiet = how === 'abort' || how in trainers
if (quiet && unlucky) await fail()
if (how === 'data' && unlucky) x.data[0] += 1
try {
  await trainer.fit(
    { x: how === 'index' ? ids : x, y },
    { epochs: 1e7, seed: 1, signal: stop.signal, ...(quiet ? {} : { callbacks: [watched] }) },
  )
} catch (error) {
  console.log(JSON.stringify({ rank: distributed.rank, code: error.code, message: error.message, updates: trainer.updates }))
  if (!quiet) throw error
}
