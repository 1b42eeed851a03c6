/** A training for worker threads: see sweep.test.ts. */
import { threadId } from 'node:worker_threads'
import { loss, MBSGD, nn, Random } from '../../dist/lib/index.js'

export default async function train({ learningRate, hidden }, { seed, budget }) {
  const rng = new Random(1)
  const [x, y] = [rng.normal([32, 3]), rng.normal([32, 1])]
  const model = new nn.Sequential(new nn.Linear(3, hidden, { rng }), new nn.Tanh(), new nn.Linear(hidden, 1, { rng }))
  const trainer = new MBSGD(model, { loss: loss.squaredError, batchSize: 8, learningRate: learningRate / 10 })
  const { last } = await trainer.fit({ x, y }, { epochs: budget, seed })
  return { cost: last.cost, thread: threadId }
}
