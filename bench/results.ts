/** From times to results, and from results to text: ratios first. */

import type { Delays } from './event-loop.js'
import { median, ratio, spread, type Times } from './measure.js'
import { titleOf, updatesOf, type Variant, type Workload } from './workloads.js'

export interface Result {
  workload: string
  variant: Variant
  engine: string
  threads: number
  /** Of one unit: an update; a whole fit for W0; one prediction for W10. The median of the turns. */
  microseconds: number
  /** Half the distance of the quartiles, as a share of the median. */
  spread: number
  samplesPerSecond: number
  /** Times over those of the floor and of others in the same turn, medians; null where they did not run. */
  floorRatio: number | null
  timesFasterThanJs: number | null
  timesFasterThanPlain: number | null
  /** Of a variant in float64: its time over that in float32. */
  timesFloat32: number | null
  /** What a training of its own process adds to the memory of the process at its peak, the data included; null where not measured. */
  peakMB: number | null
  /** Of a stream: the delay of the event loop, over that when idle. */
  eventLoop?: { p99: number; max: number }
}

export interface Extras {
  threads: number
  peakMB?: number | undefined
  eventLoop?: Delays | undefined
}

export function resultsOf(workload: Workload, variant: Variant, times: Times, { threads, peakMB, eventLoop }: Extras): Result[] {
  const samples = workload.batch * updatesOf(workload)
  const own = Object.entries(times).filter(([engine]) => engine !== 'float32')
  return own.map(([engine, taken]) => {
    const over = (other: string) => (times[other]?.length ? ratio(taken, times[other] as readonly number[]) : null)
    const under = (other: string) => (times[other]?.length ? ratio(times[other] as readonly number[], taken) : null)
    const native = engine === 'native'
    return {
      workload: workload.name,
      variant,
      engine,
      threads: native || engine === 'floor' ? threads : 1,
      microseconds: median(taken),
      spread: spread(taken),
      samplesPerSecond: (1e6 * samples) / median(taken),
      floorRatio: over('floor'),
      timesFasterThanJs: under('js'),
      timesFasterThanPlain: under('plain'),
      timesFloat32: native ? over('float32') : null,
      peakMB: native ? (peakMB ?? null) : null,
      ...(native && eventLoop ? { eventLoop } : {}),
    }
  })
}

/** A time with its unit, three digits. */
export function time(microseconds: number): string {
  const [value, unit] =
    microseconds < 1000 ? [microseconds, 'µs'] : microseconds < 1e6 ? [microseconds / 1000, 'ms'] : [microseconds / 1e6, 's ']
  return `${value >= 100 ? Math.round(value) : value.toPrecision(3)} ${unit}`
}

export const times = (x: number | null | undefined): string =>
  x === null || x === undefined ? '–' : `${x >= 100 ? Math.round(x) : x.toPrecision(3)} ×`

const units = { update: 'an update', fit: 'a fit', stream: 'an update', prediction: 'a prediction' } as const

/** One workload's block of lines. */
export function report(workload: Workload, variant: Variant, results: readonly Result[]): string {
  const of = (engine: string) => results.find((result) => result.engine === engine)
  const [native, js] = [of('native'), of('js')]
  const lines: string[] = []
  if (native) {
    const floor = native.floorRatio === null ? '' : `takes ${times(native.floorRatio)} the floor; it `
    const plain = native.timesFasterThanPlain === null ? '' : `, ${times(native.timesFasterThanPlain)} than plain loops`
    lines.push(`native ${floor}is ${times(native.timesFasterThanJs)} faster than js${plain}`)
    if (native.timesFloat32 !== null) lines.push(`native takes ${times(native.timesFloat32)} its time in float32`)
    if (native.peakMB !== null) lines.push(`a fit adds ${native.peakMB.toFixed(1)} MB to its process at the peak, the data included`)
    if (native.eventLoop) {
      const { p99, max } = native.eventLoop
      lines.push(`the event loop is held up ${p99.toFixed(2)} ms (p99), ${max.toFixed(2)} ms (most), over idle`)
    }
  }
  if (js?.timesFasterThanPlain) lines.push(`js takes ${times(1 / js.timesFasterThanPlain)} plain loops`)
  for (const { engine, microseconds, spread: s, samplesPerSecond } of results) {
    const rate = samplesPerSecond >= 100 ? Math.round(samplesPerSecond) : samplesPerSecond.toPrecision(3)
    lines.push(
      `${engine.padEnd(7)} ${time(microseconds).padStart(9)} ${units[workload.kind]}  ± ${(100 * s).toFixed(1).padStart(4)} %  ${rate} samples/s`,
    )
  }
  const title = variant === 'sgd' ? titleOf(workload) : `${titleOf(workload)}; ${variant === 'adam' ? 'Adam' : variant}`
  return [`${workload.name.padEnd(4)}${title}`, ...lines.map((line) => `    ${line}`), ''].join('\n')
}
