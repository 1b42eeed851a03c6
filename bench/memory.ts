/**
 * `node dist/bench/memory.js [samples]`: what a full-batch fit of so many samples adds to the memory of its process at the
 * peak, in MB, as one line of JSON. The peak is the kernel's own count, so it is Linux's alone; elsewhere `peakMB` is null.
 */

import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Tensor } from '../lib/index.js'
import { dataset, network, trainerOf } from './contestants.js'
import { samplesOf, type Workload, workloads } from './workloads.js'

export interface Memory {
  samples: number
  /** Added by the data and the fit. */
  peakMB: number | null
  /** Of the whole process: Node, the library and its binary included. */
  processMB: number | null
  dataMB: number
}

/** A field of /proc/self/status in MB. */
function status(field: string): number | null {
  try {
    const found = readFileSync('/proc/self/status', 'utf8').match(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm'))
    return found ? (1024 * Number(found[1])) / 1e6 : null
  } catch {
    return null
  }
}

const full = (samples: number): Workload => {
  const workload = workloads.find(({ memory }) => memory) as Workload
  return { ...workload, samples, batch: samples }
}

/** Measured in a process of its own. */
export async function memoryOfFit(samples: number, threads = 1): Promise<Memory> {
  const args = ['--expose-gc', fileURLToPath(import.meta.url), String(samples)]
  const env = { ...process.env, WENGERT_THREADS: String(threads) }
  const { stdout } = await promisify(execFile)(process.execPath, args, { env })
  return JSON.parse(stdout) as Memory
}

async function main(samples: number): Promise<void> {
  // All code is loaded and run once before the count starts.
  const small = full(2048)
  await trainerOf(small, network(small)).fit(dataset(small, samplesOf(small), 2048), { epochs: 2 })
  const workload = full(samples)
  globalThis.gc?.()
  const before = status('VmRSS')
  try {
    writeFileSync('/proc/self/clear_refs', '5')
  } catch {
    // Not allowed here: the peak so far, that of loading, stays the least that can be read.
  }
  const data = ownedBySet(workload)
  const { x, y } = data
  await trainerOf(workload, network(workload)).fit(data, { epochs: 3 })
  const peak = status('VmHWM')
  const report: Memory = {
    samples,
    peakMB: peak === null || before === null ? null : peak - before,
    processMB: peak,
    dataMB: (4 * (x.size + y.size)) / 1e6,
  }
  console.log(JSON.stringify(report))
}

/** The set written where it stays: no second copy counts. */
function ownedBySet(workload: Workload) {
  const { samples, layers } = workload
  const few = { ...workload, samples: 1000, batch: 1000 }
  const { x, y } = samplesOf(few)
  const inputs = layers[0] as number
  const share = (length: number) => new Float32Array(new SharedArrayBuffer(4 * length))
  const [xs, ys] = [share(samples * inputs), share(samples)]
  for (let i = 0; i < xs.length; i++) xs[i] = x[i % x.length] as number
  for (let i = 0; i < ys.length; i++) ys[i] = y[i % y.length] as number
  return { x: new Tensor([samples, inputs], 'float32', xs), y: new Tensor([samples, 1], 'float32', ys) }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(Number(process.argv[2] ?? 100_000))
