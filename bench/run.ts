/**
 * `npm run bench`: the library on both engines, plain loops, and the matrix products alone, in one run; ratios first.
 * `npm run bench -- --help` lists the options.
 */

import { availableParallelism, cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { backend, setBackend, setThreads } from '../lib/index.js'
import { contestants } from './contestants.js'
import { type EventLoopReport, eventLoopDuring, fitOfW4, streamOfW8 } from './event-loop.js'
import { floorMissing } from './floor/floor.js'
import { race } from './measure.js'
import { memoryOfFit } from './memory.js'
import { type Extras, type Result, report, resultsOf } from './results.js'
import { targetTable } from './targets.js'
import { type Variant, type Workload, workloads } from './workloads.js'

const help = `Measures the library side by side with plain loops and with the matrix products alone.

  npm run bench                        all workloads: ${workloads.map(({ name }) => name).join(', ')}
  npm run bench -- --only W3           one of them; may be repeated
  npm run bench -- --threads 2         threads of the native engine (1 by default)
  npm run bench -- --targets           ends with a table: what is meant to be reached, what was measured
  npm run bench -- --quick             three short turns: a look, not a measurement
  npm run bench -- --repetitions 5     turns; every contestant runs once in each (one that takes long: in the first two)
  npm run bench -- --seconds 0.5       what a contestant's part of a turn aims at
  npm run bench -- --json              ends with one line of JSON
  npm run bench -- --help              this text

native, js  one fit of many updates by the engine, all of its preparation included
plain       hand-written loops over typed arrays (bench/plain-loops.ts)
floor       the matrix products of the update alone, by OpenBLAS (bench/floor)

W0 is one whole fit; W8 a stream that gives one sample at a time; W10 one prediction. Variants: W4 and W5 in float64, W5 with Adam.
`

class Refused extends Error {}

function options() {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      targets: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      threads: { type: 'string', default: '1' },
      repetitions: { type: 'string' },
      seconds: { type: 'string' },
    },
  })
  const quick = values.quick === true
  const number = (name: 'threads' | 'repetitions' | 'seconds', normal: string, whole: boolean) => {
    const text = values[name] ?? normal
    const value = Number(text)
    if (!(value > 0 && value < 1000) || (whole && !Number.isInteger(value)))
      throw new Refused(`--${name}: expected a ${whole ? 'whole number' : 'number'} above 0, got '${text}'`)
    return value
  }
  const only = (values.only as string[]).map((one) => workloads.find(({ name }) => name.toUpperCase() === one.toUpperCase())?.name ?? one)
  const unknown = only.find((name) => !workloads.some((workload) => workload.name === name))
  if (unknown) throw new Refused(`--only: expected one of ${workloads.map(({ name }) => name).join(', ')}, got '${unknown}'`)
  return {
    json: values.json === true,
    help: values.help === true,
    targets: values.targets === true,
    whole: only.length === 0,
    chosen: workloads.filter(({ name }) => only.length === 0 || only.includes(name)),
    threads: number('threads', '1', true),
    repetitions: number('repetitions', quick ? '3' : '5', true),
    seconds: number('seconds', quick ? '0.1' : '0.5', false),
  }
}

/** Why the native engine does not run, or undefined where it does. */
function nativeMissing(): string | undefined {
  try {
    setBackend('native')
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

/** What is measured beside the times, on the native engine. */
async function extras(workload: Workload, threads: number): Promise<Extras> {
  if (workload.memory) return { threads, peakMB: (await memoryOfFit(workload.samples, threads)).peakMB ?? undefined }
  if (workload.kind !== 'stream') return { threads }
  setBackend('native')
  return { threads, eventLoop: (await eventLoopDuring(streamOfW8(), 0.5)).excess }
}

async function main(): Promise<void> {
  const { json, help: asked, targets, whole, chosen, threads, repetitions, seconds } = options()
  if (asked) {
    process.stdout.write(help)
    return
  }
  const missing = nativeMissing()
  const native = missing === undefined
  if (native) setThreads(threads)
  const { blas = null } = backend()
  const machine = {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    platform: `${process.platform}-${process.arch}`,
    node: process.versions.node,
    blas,
    load: Number((loadavg()[0] as number).toFixed(2)),
  }
  const engine = native ? `${blas ?? 'native'}, ${threads} ${threads === 1 ? 'thread' : 'threads'}` : `no native engine: ${missing}`
  console.log(
    `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}; ${engine}; load ${machine.load} at the start\n` +
      `medians of ${repetitions} turns ± half the distance of the quartiles\n`,
  )
  if (native && floorMissing()) console.log(`no floor: ${floorMissing()}\n`)
  const results: Result[] = []
  for (const workload of chosen) {
    for (const variant of ['sgd', ...(workload.variants ?? [])] as Variant[]) {
      const runners = contestants(workload, variant, native, threads)
      const times = await race(runners, { repetitions, seconds })
      for (const runner of runners) runner.close?.()
      const own = resultsOf(workload, variant, times, native && variant === 'sgd' ? await extras(workload, threads) : { threads })
      console.log(report(workload, variant, own))
      results.push(...own)
    }
  }
  let loop: EventLoopReport | undefined
  if (native && (whole || chosen.some(({ name }) => name === 'W4'))) {
    setBackend('native')
    loop = await eventLoopDuring(fitOfW4())
    const { p99, max } = loop.excess
    console.log(`event loop during a fit of W4: held up ${p99.toFixed(2)} ms (p99), ${max.toFixed(2)} ms (most), over idle\n`)
  }
  if (targets) console.log(`${targetTable(results, loop)}\n`)
  if (json) console.log(JSON.stringify({ machine, ...(loop && { eventLoop: loop.excess }), results }))
}

try {
  await main()
} catch (error) {
  const { code = '', message } = error as NodeJS.ErrnoException
  if (!(error instanceof Refused) && !code.startsWith('ERR_PARSE_ARGS')) throw error
  console.error(`bench: ${code ? message.split('. ')[0] : message}. What there is: npm run bench -- --help`)
  process.exitCode = 2
}
