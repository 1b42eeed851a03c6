/**
 * How long a service's answers take while it learns: `node dist/bench/online-load.js [SECONDS] [ROUNDS]` (30, 5). Requests come
 * at 200 a second whether or not earlier ones were answered (an open loop), from this process; the server is another one. A
 * latency counts from the moment at which a request was due. Rounds with and without training take turns; medians are printed.
 */

import { spawn } from 'node:child_process'
import { Agent, request } from 'node:http'
import { fileURLToPath } from 'node:url'
import { Random } from '../lib/index.js'

const seconds = Number(process.argv[2] ?? 30)
const rounds = Number(process.argv[3] ?? 5)
const perSecond = 200

const samples = Array.from({ length: 500 }, (_, i) => ({ features: Array.from(new Random(i).normal([64]).data), label: i % 10 }))

function start(): Promise<{ port: number; end: () => Promise<void> }> {
  return new Promise((resolve, reject) => {
    const server = spawn(process.execPath, [fileURLToPath(new URL('../examples/online-server.js', import.meta.url))], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    server.once('error', reject)
    const ended = new Promise<void>((done) => server.once('exit', () => done()))
    server.stdout.on('data', (text: Buffer) => {
      const port = /port (\d+)/.exec(String(text))?.[1]
      if (port)
        resolve({
          port: Number(port),
          end: () => {
            server.kill('SIGTERM')
            return ended
          },
        })
    })
  })
}

function post(agent: Agent, port: number, path: string, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { agent, port, path, host: '127.0.0.1', method: 'POST', headers: { 'content-length': Buffer.byteLength(body) } },
      (response) => {
        response.resume()
        response.once('end', () => resolve(response.statusCode ?? 0))
      },
    )
    asked.once('error', reject)
    asked.end(body)
  })
}

/** Milliseconds of each answer of one round. */
async function round(port: number, learning: boolean): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const latencies: number[] = []
  const open: Promise<void>[] = []
  const started = performance.now()
  for (let i = 0; i < seconds * perSecond; ) {
    const due = started + (i * 1000) / perSecond
    const wait = due - performance.now()
    if (wait > 0) {
      // A timer is late by up to a millisecond: the last stretch is waited for turn by turn.
      await new Promise<void>((resolve) => (wait > 2 ? setTimeout(resolve, wait - 1.5) : setImmediate(resolve)))
      continue
    }
    const { features, label } = samples[i % samples.length] as (typeof samples)[number]
    const body = JSON.stringify(learning ? { features, label } : { features })
    open.push(
      post(agent, port, learning ? '/learn' : '/predict', body).then((status) => {
        if (status !== 200) throw new Error(`status ${status}`)
        latencies.push(performance.now() - due)
      }),
    )
    i++
    await new Promise((resolve) => setImmediate(resolve))
  }
  await Promise.all(open)
  agent.destroy()
  return latencies.sort((a, b) => a - b)
}

const at = (sorted: readonly number[], share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number
const median = (values: readonly number[]) =>
  at(
    [...values].sort((a, b) => a - b),
    0.5,
  )

const { port, end } = await start()
const found: Record<string, number[][]> = { predicting: [], learning: [] }
// The first requests compile; they belong to neither.
for (let i = 0; i < 200; i++) await post(new Agent(), port, i % 2 ? '/learn' : '/predict', JSON.stringify(samples[i]))
for (let i = 0; i < rounds; i++) {
  for (const [name, learning] of [
    ['predicting', false],
    ['learning', true],
  ] as const)
    found[name]?.push(await round(port, learning))
}
await end()
console.log(`${perSecond} requests a second for ${seconds} s, ${rounds} rounds each; medians of the rounds, milliseconds`)
for (const [name, all] of Object.entries(found)) {
  const row = [0.5, 0.9, 0.99, 0.999].map((share) => `p${100 * share} ${median(all.map((l) => at(l, share))).toFixed(2)}`)
  console.log(`${name.padEnd(12)} ${row.join('   ')}`)
}
