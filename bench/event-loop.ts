/**
 * `node dist/bench/event-loop.js`: how long the event loop is held up while an asynchronous fit runs in the same process, over
 * what it is held up when idle.
 */

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { backend } from '../lib/index.js'
import { dataset, network, stream, trainerOf } from './contestants.js'
import { samplesOf, type Workload, workloads } from './workloads.js'

/** Milliseconds. */
export interface Delays {
  p99: number
  max: number
}

export interface EventLoopReport {
  idle: Delays
  busy: Delays
  /** busy − idle, at least 0. */
  excess: Delays
  /** How long the work took. */
  seconds: number
  /** Turns of a 1 ms timer while it ran. */
  turns: number
}

/** The delays of a 1 ms timer during `work`, and before it during a pause of `idleSeconds`. */
export async function eventLoopDuring(work: () => Promise<unknown>, idleSeconds = 1): Promise<EventLoopReport> {
  const monitor = monitorEventLoopDelay({ resolution: 1 })
  const read = (): Delays => ({ p99: monitor.percentile(99) / 1e6, max: monitor.max / 1e6 })
  monitor.enable()
  await sleep(20)
  monitor.reset()
  await sleep(1000 * idleSeconds)
  const idle = read()
  monitor.reset()
  const start = performance.now()
  await work()
  const seconds = (performance.now() - start) / 1000
  // A delay is counted when the timer fires at last.
  await sleep(5)
  const busy = read()
  const turns = monitor.count
  monitor.disable()
  const excess = { p99: Math.max(0, busy.p99 - idle.p99), max: Math.max(0, busy.max - idle.max) }
  return { idle, busy, excess, seconds, turns }
}

/** A fit of W4's size, about a second or two of it natively. */
export function fitOfW4(epochs = 20): () => Promise<unknown> {
  const workload = workloads.find(({ name }) => name === 'W4') as Workload
  const data = dataset(workload, samplesOf(workload), workload.samples)
  const trainer = trainerOf(workload, network(workload))
  return () => trainer.fit(data, { epochs, seed: 1 })
}

/** W8's stream, about two seconds of it natively. */
export function streamOfW8(updates = 1_000_000): () => Promise<unknown> {
  const workload = workloads.find(({ name }) => name === 'W8') as Workload
  const samples = samplesOf(workload)
  const trainer = trainerOf(workload, network(workload))
  return () => trainer.fitStream(stream(workload, samples, updates))
}

async function main(): Promise<void> {
  const { name, threads } = backend()
  const work = fitOfW4(name === 'js' ? 1 : 20)
  const { idle, busy, excess, seconds, turns } = await eventLoopDuring(work, 2)
  const ms = (value: number) => `${value.toFixed(2)} ms`
  const row = (what: string, { p99, max }: Delays) =>
    console.log(`${what.padEnd(12)}  p99 ${ms(p99).padStart(9)}   max ${ms(max).padStart(9)}`)
  console.log(`event loop during a fit of 784-128-10, batch 128 (${name}, ${threads} threads, ${seconds.toFixed(2)} s, ${turns} turns)`)
  row('idle', idle)
  row('during fit', busy)
  row('excess', excess)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
