/** What the library is meant to reach with one thread, beside what a run measured: misses are to be seen. */

import type { EventLoopReport } from './event-loop.js'
import type { Result } from './results.js'
import { workloads } from './workloads.js'

interface Target {
  workload: string
  variant: Result['variant']
  what: string
  limit: number
  /** Whether the limit is the most or the least. */
  most: boolean
  value(native: Result): number | null | undefined
  unit: string
}

// biome-ignore format: a table
const limits: [workload: string, variant: Result['variant'], floor: number | null, js: number | null][] = [
  ['W0', 'sgd', null, 2],
  ['W1', 'sgd', 1.0, 2],
  ['W2', 'sgd', 1.8, 5],
  ['W3', 'sgd', 1.5, 15],
  ['W4', 'sgd', 1.15, 20],
  ['W5', 'sgd', 1.05, 25],
  ['W5', 'adam', 1.15, 25],
  ['W6', 'sgd', 1.0, 25],
  ['W7', 'sgd', 0.95, 10],
  ['W10', 'sgd', 1.4, null],
]

/** Bytes of a workload's data, in MB. */
const dataMB = (name: string): number => {
  const { layers = [], samples = 0 } = workloads.find((workload) => workload.name === name) ?? {}
  return (4 * samples * ((layers[0] ?? 0) + (layers[layers.length - 1] ?? 0))) / 1e6
}

const targets: Target[] = [
  ...limits.flatMap(([workload, variant, floor, js]): Target[] => [
    ...(floor === null
      ? []
      : [{ workload, variant, what: 'over the floor', limit: floor, most: true, value: (r: Result) => r.floorRatio, unit: '×' }]),
    ...(js === null
      ? []
      : [{ workload, variant, what: 'faster than js', limit: js, most: false, value: (r: Result) => r.timesFasterThanJs, unit: '×' }]),
  ]),
  ...['W4', 'W5'].map(
    (workload): Target => ({
      workload,
      variant: 'float64',
      what: 'over float32',
      limit: 2.3,
      most: true,
      value: (r) => r.timesFloat32,
      unit: '×',
    }),
  ),
  { workload: 'W7', variant: 'sgd', what: 'memory added', limit: dataMB('W7') + 64, most: true, value: (r) => r.peakMB, unit: 'MB' },
  { workload: 'W8', variant: 'sgd', what: 'samples a second', limit: 150_000, most: false, value: (r) => r.samplesPerSecond, unit: '' },
  { workload: 'W8', variant: 'sgd', what: 'event loop, p99', limit: 5, most: true, value: (r) => r.eventLoop?.p99, unit: 'ms' },
  { workload: 'W8', variant: 'sgd', what: 'event loop, most', limit: 20, most: true, value: (r) => r.eventLoop?.max, unit: 'ms' },
]

interface Row {
  workload: string
  what: string
  limit: number
  most: boolean
  value: number
  unit: string
}

/** The table of all targets that the results can be held to. `loop` is the event loop during an asynchronous fit. */
export function targetTable(results: readonly Result[], loop?: EventLoopReport): string {
  const rows: Row[] = []
  for (const { workload, variant, what, limit, most, value, unit } of targets) {
    const native = results.find((r) => r.workload === workload && r.variant === variant && r.engine === 'native')
    const measured = native && value(native)
    if (measured === null || measured === undefined) continue
    rows.push({ workload: variant === 'sgd' ? workload : `${workload} ${variant}`, what, limit, most, value: measured, unit })
  }
  for (const { workload, engine, timesFasterThanPlain } of results) {
    if (engine !== 'js' || timesFasterThanPlain === null) continue
    rows.push({ workload, what: 'js over plain loops', limit: 2, most: true, value: 1 / timesFasterThanPlain, unit: '×' })
  }
  if (loop) {
    const { p99, max } = loop.excess
    rows.push({ workload: 'W4 fit', what: 'event loop, p99', limit: 3, most: true, value: p99, unit: 'ms' })
    rows.push({ workload: 'W4 fit', what: 'event loop, most', limit: 15, most: true, value: max, unit: 'ms' })
  }
  const number = (x: number) => (x >= 1000 ? Math.round(x).toLocaleString('en') : x >= 100 ? x.toFixed(0) : x.toPrecision(3))
  const cells = rows.map(({ workload, what, limit, most, value, unit }) => {
    const met = most ? value <= limit : value >= limit
    const by = most ? value / limit : limit / value
    return [
      workload,
      what,
      `${most ? '≤' : '≥'} ${number(limit)} ${unit}`,
      `${number(value)} ${unit}`,
      met ? 'met' : `missed by ${by.toPrecision(3)} ×`,
    ]
  })
  const table = [['workload', 'what', 'target', 'measured', ''], ...cells]
  const widths = [0, 1, 2, 3, 4].map((col) => Math.max(...table.map((row) => (row[col] as string).length)))
  const missed = cells.filter((row) => row[4] !== 'met').length
  return [
    ...table.map((row) =>
      row
        .map((cell, col) => (col === 2 || col === 3 ? cell.padStart(widths[col] as number) : cell.padEnd(widths[col] as number)))
        .join('  ')
        .trimEnd(),
    ),
    `${rows.length - missed} of ${rows.length} met`,
  ].join('\n')
}
