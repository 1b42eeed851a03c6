/**
 * A service that learns while it answers: `node dist/examples/online-server.js [PORT] [FILE]`, `--help` for more.
 *
 *   POST /predict {"features": [64 numbers]}                → {"class": 3, "probabilities": [...]}
 *   POST /learn   {"features": [64 numbers], "label": 3}    → {"class": ..., "probabilities": [...], "cost": 0.12}
 *   GET  /state                                             → {"updates": 1200, "cost": 0.31}
 *
 * The answer to /learn is that of before the update, so that costs tell how well unseen samples were known. An update takes
 * microseconds and is made in the request; the training state is written when the process is asked to end.
 */

import { existsSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { loss, nn, optim, Random, SGD, softmax, WengertError } from '../lib/index.js'

const features = 64
const classes = 10
const mostBytes = 1 << 16

function makeTrainer(): SGD {
  const rng = new Random(1)
  const model = new nn.Sequential(new nn.Linear(features, 32, { rng }), new nn.ReLU(), new nn.Linear(32, classes, { rng }))
  return new SGD(model, {
    loss: loss.crossEntropy,
    learningRate: 0.02,
    schedule: optim.schedules.inverseTime({ decay: 1e-5 }),
    // One absurd request, 1e38, would undo all that was learnt.
    maxDeviation: 20,
  })
}

/** A JSON body of at most 64 KiB. */
async function body(request: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of request) {
    bytes += (part as Buffer).length
    if (bytes > mostBytes) throw new RangeError(`expected at most ${mostBytes} bytes`)
    parts.push(part as Buffer)
  }
  const value: unknown = JSON.parse(Buffer.concat(parts).toString('utf8'))
  if (typeof value !== 'object' || value === null) throw new SyntaxError('expected an object')
  return value as Record<string, unknown>
}

/** The features of a request: JSON can write 1e999, which reads as Infinity. */
function featuresOf({ features: given }: Record<string, unknown>): number[] {
  if (!Array.isArray(given) || given.length !== features || !given.every(Number.isFinite))
    throw new RangeError(`expected features to be ${features} finite numbers`)
  return given as number[]
}

/** Starts the server; resolves to its port and what ends it. */
export async function serve(port = 0, file?: string): Promise<{ port: number; close: () => Promise<void> }> {
  const trainer = makeTrainer()
  if (file && existsSync(file)) await trainer.resume(file)
  let cost = Number.NaN
  const answer = (x: number[]) => {
    const probabilities = softmax(trainer.model.predict([x]), 1).data
    return { class: probabilities.indexOf(Math.max(...probabilities)), probabilities: Array.from(probabilities) }
  }
  const routes: Record<string, (given: Record<string, unknown>) => object> = {
    'GET /state': () => ({ updates: trainer.updates, cost }),
    'POST /predict': (given) => answer(featuresOf(given)),
    'POST /learn': (given) => {
      const x = featuresOf(given)
      const known = answer(x)
      cost = trainer.step([x], [given.label as number])
      return { ...known, cost }
    },
  }
  const server = createServer(async (request, response) => {
    const reply = (status: number, value: object) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
    }
    try {
      const name = `${request.method} ${request.url}`
      const route = Object.hasOwn(routes, name) ? routes[name] : undefined
      if (!route) return reply(404, { error: 'no such page' })
      reply(200, route(request.method === 'POST' ? await body(request) : {}))
    } catch (error) {
      // What the library refuses is the client's mistake; nothing was learnt from it.
      const theirs = error instanceof WengertError || error instanceof SyntaxError || error instanceof RangeError
      reply(theirs ? 400 : 500, { error: theirs ? (error as Error).message : 'internal error' })
    }
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const close = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    if (file) await trainer.save(file)
  }
  return { port: (server.address() as AddressInfo).port, close }
}

const help = `A service that learns while it answers, on 127.0.0.1.

  node dist/examples/online-server.js [PORT] [FILE]

  PORT     0 … 65535; any free one by default
  FILE     where the training state is kept: taken up at the start, written when the process is asked to end
  --help   this text

  POST /predict {"features": [64 numbers]}              the class and the probabilities
  POST /learn   {"features": [64 numbers], "label": 3}  the same, of before an update with the label, and the cost
  GET  /state                                           updates so far and the last cost
`

/** The port and the file of the command line. A wrong one ends the process with status 2. */
function argumentsOf(args: readonly string[]): [port: number, file: string | undefined] {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options: { help: { type: 'boolean' } }, allowPositionals: true })
    if (values.help) {
      process.stdout.write(help)
      process.exit(0)
    }
    const [port = '0', file, ...rest] = positionals
    if (!/^\d{1,5}$/.test(port) || Number(port) > 65535) throw new Error(`expected a port of 0 … 65535, got '${port}'`)
    if (rest.length > 0) throw new Error(`expected a port and a file, got '${rest[0]}' too`)
    return [Number(port), file]
  } catch (error) {
    console.error(`online-server: ${(error as Error).message.split('. ')[0]}. What there is: node dist/examples/online-server.js --help`)
    process.exit(2)
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { port, close } = await serve(...argumentsOf(process.argv.slice(2)))
  console.log(`listening on port ${port}`)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void close().then(() => process.exit(0)))
}
