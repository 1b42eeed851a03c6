/**
 * `npm run bench:growth`: how time grows with batch, width, depth, samples and tape length, how long a deep network takes to
 * compile, and what a full batch adds to memory. `order` is the exponent p of time ~ nᵖ from the row above to this one: 1 is
 * linear, and less where fixed costs are still part of it.
 */

import { backend, grad, loss, MBSGD, nn, Random, setBackend, type Tensor, tensor } from '../lib/index.js'
import { median } from './measure.js'
import { memoryOfFit } from './memory.js'
import { time } from './results.js'

const rng = new Random(3)

function network(widths: readonly number[]): nn.Sequential {
  return new nn.Sequential(
    ...widths.slice(1).flatMap((n, i) => {
      const linear = new nn.Linear(widths[i] as number, n, { rng, init: 'he' })
      return i === widths.length - 2 ? [linear] : [linear, new nn.ReLU()]
    }),
  )
}

function dataOf(samples: number, inputs: number, classes: number) {
  return { x: rng.normal([samples, inputs]), y: tensor(Int32Array.from({ length: samples }, (_, i) => i % classes)) }
}

const trainer = (widths: readonly number[], batchSize: number) =>
  new MBSGD(network(widths), { loss: loss.crossEntropy, learningRate: 1e-3, batchSize })

/** A difference of two times is worth reading from so many microseconds on. */
const enough = 80_000

/** Microseconds of the work, the median of a few runs after one that warms up. */
async function timed(work: () => unknown, runs = 5): Promise<number> {
  await work()
  const taken: number[] = []
  for (let i = 0; i < runs; i++) {
    const start = performance.now()
    await work()
    taken.push(1000 * (performance.now() - start))
  }
  return median(taken)
}

/** Microseconds of an update: those of a long fit less those of a short one, so that what a fit costs once falls out. */
async function update(widths: readonly number[], batch: number): Promise<number> {
  const set = dataOf(4 * batch, widths[0] as number, widths[widths.length - 1] as number)
  const one = trainer(widths, batch)
  const timeOf = (epochs: number) => timed(() => one.fit(set, { epochs, seed: 1 }), 3)
  const short = await timeOf(1)
  for (let epochs = 8; ; epochs *= 4) {
    const longer = (await timeOf(1 + epochs)) - short
    if (longer > enough) return longer / (4 * epochs)
  }
}

function table(title: string, unit: string, points: readonly (readonly [n: number, microseconds: number])[]): void {
  console.log(title)
  points.forEach(([n, t], i) => {
    const [n0, t0] = points[i - 1] ?? [n, t]
    const order = i === 0 ? '' : (Math.log(t / t0) / Math.log(n / n0)).toFixed(2)
    console.log(
      `  ${n.toLocaleString('en').padStart(9)}  ${time(t).padStart(9)}  ${time(t / n).padStart(9)} ${unit}  ${order.padStart(6)}`.trimEnd(),
    )
  })
  console.log()
}

async function grown(values: readonly number[], measure: (n: number) => Promise<number>): Promise<[number, number][]> {
  const points: [number, number][] = []
  for (const n of values) points.push([n, await measure(n)])
  return points
}

/** The chain x ← sin(x) + x of n operations. */
const chain =
  (length: number) =>
  (x: Tensor): Tensor => {
    let y = x
    for (let i = 0; i < length / 2; i++) y = y.sin().add(x)
    return y.sum()
  }

async function main(): Promise<void> {
  if (process.argv.includes('--help')) {
    console.log('Prints tables of time against size. WENGERT_BACKEND and WENGERT_THREADS choose engine and threads (1 by default).')
    return
  }
  if (process.env.WENGERT_BACKEND === 'js') setBackend('js')
  const { name, threads } = backend()
  console.log(`${name}, ${threads} thread${threads === 1 ? '' : 's'}; columns: n, time, time over n, order of growth\n`)

  const layers = [256, 256, 10]
  table('batch n, 256-256-10: an update', 'a sample ', await grown([1, 8, 32, 128, 512, 2048], (n) => update(layers, n)))
  // A layer of n × n weights: 2 is what the arithmetic asks for.
  table(
    'width n, n-n-10, batch 64: an update (the arithmetic grows with order 2)',
    'a unit   ',
    await grown([64, 128, 256, 512, 1024], (n) => update([n, n, 10], 64)),
  )
  const deep = (n: number) => [...new Array<number>(n).fill(64), 10]
  table('depth n, layers of 64 units, batch 64: an update', 'a layer  ', await grown([2, 8, 32, 100], (n) => update(deep(n), 64)))
  table(
    'samples n, 64-32-10, batch 32: an epoch within a fit of ten',
    'a sample ',
    await grown([1024, 8192, 65_536, 262_144], async (n) => {
      const [set, one] = [dataOf(n, 64, 10), trainer([64, 32, 10], 32)]
      return (await timed(() => one.fit(set, { epochs: 10, seed: 1 }), 3)) / 10
    }),
  )
  const x = rng.normal([8], { dtype: 'float64' })
  table(
    'tape of n operations: its recording and its gradient, eagerly',
    'an entry ',
    await grown([100, 1000, 10_000, 50_000], (n) => timed(() => grad(chain(n))(x), 3)),
  )
  const few = dataOf(64, 64, 10)
  table(
    'layers n of 64 units: recording and compiling the update, warm',
    'a layer  ',
    await grown([10, 30, 100, 300], async (n) => {
      const one = trainer(deep(n), 64)
      const start = performance.now()
      one.describe(few)
      const first = 1000 * (performance.now() - start)
      const warm = await timed(() => one.describe(few), 3)
      console.log(`    ${n} layers: ${time(first)} the first time, ${time(warm)} warm`)
      return warm
    }),
  )
  console.log('full batch of n samples, 64-64-1: MB that data and fit add at the peak; of that the data')
  for (const n of [25_000, 100_000, 400_000]) {
    const { peakMB, dataMB } = await memoryOfFit(n, threads)
    const beyond = peakMB === null ? '–' : (peakMB - dataMB).toFixed(1)
    console.log(
      `  ${n.toLocaleString('en').padStart(9)}  ${(peakMB ?? NaN).toFixed(1).padStart(7)} MB  ${dataMB.toFixed(1).padStart(7)} MB  ${beyond.padStart(6)} MB beyond`,
    )
  }
}

process.env.WENGERT_THREADS ??= '1'
await main()
