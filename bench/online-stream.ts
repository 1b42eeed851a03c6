/**
 * A million single samples through `fitStream`, 64 → 32 → 10: `node dist/bench/online-stream.js [SAMPLES]`. Prints the throughput
 * and how much the resident set grows over the last half, in MB per 10,000 samples.
 */

import { backend, loss, nn, optim, Random, SGD, type StreamItem } from '../lib/index.js'

const count = Number(process.argv[2] ?? 1_000_000)
const rng = new Random(1)
const model = new nn.Sequential(new nn.Linear(64, 32, { rng }), new nn.ReLU(), new nn.Linear(32, 10, { rng }))
const trainer = new SGD(model, {
  loss: loss.crossEntropy,
  learningRate: 0.01,
  schedule: optim.schedules.inverseTime({ decay: 1e-6 }),
})
const rows = Array.from({ length: 1024 }, () => rng.normal([64]).data as Float32Array)

const memory: { samples: number; megabytes: number }[] = []
function* source(): Generator<StreamItem> {
  for (let i = 0; i < count; i++) {
    if (i % Math.max(1, Math.floor(count / 100)) === 0) memory.push({ samples: i, megabytes: process.memoryUsage.rss() / 1e6 })
    // A row of its own each time, as a real source makes them.
    yield { x: (rows[i & 1023] as Float32Array).slice(), y: (i % 10) as never }
  }
}

const { seconds, samples } = await trainer.fitStream(source())

/** The slope of a straight line through the last half, by least squares. */
const half = memory.slice(memory.length >> 1)
const mean = (f: (p: (typeof half)[number]) => number) => half.reduce((s, p) => s + f(p), 0) / half.length
const [mx, my] = [mean((p) => p.samples), mean((p) => p.megabytes)]
const slope = half.reduce((s, p) => s + (p.samples - mx) * (p.megabytes - my), 0) / half.reduce((s, p) => s + (p.samples - mx) ** 2, 0)

const { name, blas } = backend()
console.log(
  `${samples.toLocaleString('en')} samples in ${seconds.toFixed(2)} s: ${Math.round(samples / seconds).toLocaleString('en')} a second (${name}${blas ? `, ${blas}` : ''})`,
)
console.log(
  `resident set: ${memory[memory.length - 1]?.megabytes.toFixed(0)} MB, slope over the last half ${(slope * 10_000).toFixed(4)} MB per 10,000 samples`,
)
