// The process ends while a long product is computed: by process.exit, or its worker is terminated. Run by test-platforms.mjs:
//   exits.mjs LIBRARY exit|terminate DELAY
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

const [library, kind, delay] = isMainThread ? process.argv.slice(2) : workerData

async function train() {
  const { FBGD, loss, nn, Random } = await import(library)
  const rng = new Random(1)
  const [x, y] = [rng.normal([1536, 1536]), rng.normal([1536, 1536])]
  const model = new nn.Linear(1536, 1536, { rng })
  parentPort?.postMessage('training')
  await new FBGD(model, { loss: loss.mse, learningRate: 1e-3 }).fit({ x, y }, { epochs: 1e6, seed: 1 })
}

if (!isMainThread || kind === 'exit') train()
if (isMainThread && kind === 'exit') setTimeout(() => process.exit(7), 500 + Number(delay))
if (isMainThread && kind === 'terminate') {
  const worker = new Worker(new URL(import.meta.url), { workerData: [library, kind, delay] })
  worker.on('message', () => setTimeout(() => worker.terminate().then(() => process.exit(7)), Number(delay)))
}
