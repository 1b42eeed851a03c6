/**
 * `npm run bench`: microseconds an update of the library on both engines, of plain loops, and of the matrix products alone, in
 * one run; ratios first. `npm run bench -- --help` lists the options.
 */

import { availableParallelism, cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { backend, setBackend, setThreads } from '../lib/index.js'
import { contestants, type Name } from './contestants.js'
import { median, race, ratio, spread, type Times } from './measure.js'
import { titleOf, type Workload, workloads } from './workloads.js'

const help = `Measures updates of whole fits, side by side with plain loops and with the matrix products alone.

  npm run bench                        all workloads: ${workloads.map(({ name }) => name).join(', ')}
  npm run bench -- --only W3           one of them; may be repeated
  npm run bench -- --threads 2         threads of the native engine (1 by default)
  npm run bench -- --repetitions 7     turns; every contestant runs once in each
  npm run bench -- --seconds 0.25      what a contestant's part of a turn aims at
  npm run bench -- --json              ends with one line of JSON
  npm run bench -- --help              this text

native, js  one fit of many updates by the engine, all of its preparation included
plain       hand-written loops over typed arrays (bench/plain-loops.ts)
floor       the matrix products of the update alone, by the native engine (bench/floor.ts)
`

interface Result {
  workload: string
  /** The optimiser. */
  variant: 'sgd'
  engine: Name
  threads: number
  /** An update; the median of the turns. */
  microseconds: number
  /** Half the distance of the quartiles, as a share of the median. */
  spread: number
  samplesPerSecond: number
  /** Times over those of the floor and of others in the same turn, medians; null where they did not run. */
  floorRatio: number | null
  timesFasterThanJs: number | null
  timesFasterThanPlain: number | null
}

class Refused extends Error {}

function options() {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      threads: { type: 'string', default: '1' },
      repetitions: { type: 'string', default: '7' },
      seconds: { type: 'string', default: '0.25' },
    },
  })
  const number = (name: 'threads' | 'repetitions' | 'seconds', whole: boolean) => {
    const value = Number(values[name])
    if (!(value > 0 && value < 1000) || (whole && !Number.isInteger(value)))
      throw new Refused(`--${name}: expected a ${whole ? 'whole number' : 'number'} above 0, got '${values[name]}'`)
    return value
  }
  const only = (values.only as string[]).map((name) => name.toUpperCase())
  const unknown = only.find((name) => !workloads.some((workload) => workload.name === name))
  if (unknown) throw new Refused(`--only: expected one of ${workloads.map(({ name }) => name).join(', ')}, got '${unknown}'`)
  return {
    json: values.json === true,
    help: values.help === true,
    chosen: workloads.filter(({ name }) => only.length === 0 || only.includes(name)),
    threads: number('threads', true),
    repetitions: number('repetitions', true),
    seconds: number('seconds', false),
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

function resultsOf(workload: Workload, times: Times, threads: number): Result[] {
  const against = (name: Name, engine: string, invert: boolean) => {
    const [other, own] = [times[name], times[engine]]
    if (!other || !own) return null
    return invert ? ratio(other, own) : ratio(own, other)
  }
  return Object.entries(times).map(([engine, own]) => ({
    workload: workload.name,
    variant: 'sgd',
    engine: engine as Name,
    threads: engine === 'native' || engine === 'floor' ? threads : 1,
    microseconds: median(own),
    spread: spread(own),
    samplesPerSecond: (1e6 * workload.batch) / median(own),
    floorRatio: against('floor', engine, false),
    timesFasterThanJs: against('js', engine, true),
    timesFasterThanPlain: against('plain', engine, true),
  }))
}

/** A time with its unit, three digits. */
function time(microseconds: number): string {
  const [value, unit] = microseconds < 1000 ? [microseconds, 'µs'] : [microseconds / 1000, 'ms']
  return `${value.toPrecision(3)} ${unit}`
}

function report(workload: Workload, results: readonly Result[]): string {
  const of = (engine: Name) => results.find((result) => result.engine === engine)
  const native = of('native')
  const js = of('js')
  const times = (x: number | null | undefined) => (x === null || x === undefined ? '–' : `${x.toPrecision(3)} ×`)
  const ratios = [
    ...(native
      ? [
          `native takes ${times(native.floorRatio)} the floor; it is ${times(native.timesFasterThanJs)} faster than js, ${times(native.timesFasterThanPlain)} than plain loops`,
        ]
      : []),
    ...(js?.timesFasterThanPlain ? [`js takes ${times(1 / js.timesFasterThanPlain)} plain loops`] : []),
  ]
  const lines = results.map(
    ({ engine, microseconds, spread: s, samplesPerSecond }) =>
      `  ${engine.padEnd(7)} ${time(microseconds).padStart(9)} an update  ± ${(100 * s).toFixed(1).padStart(4)} %  ${Math.round(samplesPerSecond)} samples/s`,
  )
  return [`${workload.name}  ${titleOf(workload)}`, ...ratios.map((line) => `  ${line}`), ...lines, ''].join('\n')
}

async function main(): Promise<void> {
  const { json, help: asked, chosen, threads, repetitions, seconds } = options()
  if (asked) {
    process.stdout.write(help)
    return
  }
  const missing = nativeMissing()
  if (missing === undefined) setThreads(threads)
  const { blas = null } = backend()
  const machine = {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    platform: `${process.platform}-${process.arch}`,
    node: process.versions.node,
    blas,
  }
  const engine =
    missing === undefined ? `${blas ?? 'native'}, ${threads} ${threads === 1 ? 'thread' : 'threads'}` : `no native engine: ${missing}`
  console.log(
    `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}; ${engine}\nmedians of ${repetitions} turns ± half the distance of the quartiles\n`,
  )
  const results: Result[] = []
  for (const workload of chosen) {
    const runners = contestants(workload, missing === undefined)
    const times = await race(runners, { repetitions, seconds })
    for (const runner of runners) runner.close?.()
    const own = resultsOf(workload, times, threads)
    console.log(report(workload, own))
    results.push(...own)
  }
  if (json) console.log(JSON.stringify({ machine, results }))
}

try {
  await main()
} catch (error) {
  const { code = '', message } = error as NodeJS.ErrnoException
  if (!(error instanceof Refused) && !code.startsWith('ERR_PARSE_ARGS')) throw error
  console.error(`bench: ${code ? message.split('. ')[0] : message}. What there is: npm run bench -- --help`)
  process.exitCode = 2
}
